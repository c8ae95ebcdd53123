//! A Node server, as MusicBrainz runs one: the last descriptor of the variable, and no `--`.

use crate::ten_reloads::Server;

const NODE: (&str, &str) = ("/usr/bin/node", "nodejs");

const SERVER: &str = r#"
const http = require('http');
const fd = Number(/=([0-9]+)$/.exec(process.env.SERVER_STARTER_PORT)[1]);
const generation = process.env.SERVER_STARTER_GENERATION;
const body = `hello from generation ${generation} (node, pid ${process.pid})\n`;
const server = http.createServer((request, response) => {
  response.writeHead(200, {'Content-Type': 'text/plain', 'Content-Length': body.length});
  setTimeout(() => response.end(body), 20);
});
server.listen({fd});
process.on('SIGTERM', () => server.close());
"#;

#[test]
fn node_on_a_port() {
    let Some(server) = Server::new("Node on a port", &[NODE]) else {
        return;
    };
    server.write("server.js", SERVER);
    let line = format!("--port {} node server.js", server.address());
    let report = server.reload_under_load(&mut server.start_server(&line), |_| {});
    report.assert_no_failures();
}

#[test]
fn node_on_a_path() {
    let Some(server) = Server::new("Node on a path", &[NODE]) else {
        return;
    };
    let server = server.on_path("node.sock");
    server.write("server.js", SERVER);
    let report = server.reload_under_load(
        &mut server.start_server("--path node.sock node server.js"),
        |_| {},
    );
    report.assert_no_failures();
}
