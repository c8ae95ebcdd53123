//! unicorn: it takes its sockets from a variable of its own, which its configuration makes of ours.

use crate::ten_reloads::Server;

const UNICORN: (&str, &str) = ("/usr/bin/unicorn", "unicorn");

const APP: &str = r#"
body = "hello from generation #{ENV['SERVER_STARTER_GENERATION']} (rack, pid #{$$})\n"
run lambda { |env| sleep 0.02; [200, {'Content-Type' => 'text/plain', 'Content-Length' => body.bytesize.to_s}, [body]] }
"#;

fn configuration(address: std::net::SocketAddr) -> String {
    format!(
        r#"
ENV['UNICORN_FD'] = ENV['SERVER_STARTER_PORT'].split(';').map {{ |entry| entry[/\d+\z/] }}.join(',')
# The same descriptors once more would be closed twice.
ENV.delete('LISTEN_PID')
listen '{address}'
worker_processes 4
"#
    )
}

#[test]
fn unicorn() {
    let Some(server) = Server::new("unicorn, QUIT", &[UNICORN]) else {
        return;
    };
    server.write("config.ru", APP);
    server.write("unicorn.conf.rb", &configuration(server.address()));
    let line = format!(
        "--interval=2 --port={} --signal-on-hup=QUIT --signal-on-term=QUIT -- unicorn -c unicorn.conf.rb config.ru",
        server.address()
    );
    let report = server.reload_under_load(&mut server.start_server(&line), |_| {});
    report.assert_no_failures();
}
