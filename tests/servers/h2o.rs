//! h2o: under `start_server`, and as its own master, which runs `share/h2o/start_server` itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::process;
use crate::ten_reloads::{Server, program};

const H2O: (&str, &str) = ("/usr/bin/h2o", "h2o");
const SHARE: &str = "/usr/share/h2o";

/// Debian 13 and later have no h2o: there is nothing to require.
fn server(name: &'static str) -> Option<Server> {
    if !Path::new(H2O.0).exists() && !Path::new(SHARE).exists() {
        println!("skipped: {name}: this Debian has no h2o");
        return None;
    }
    Server::new(name, &[H2O]).map(Server::with_keep_alive)
}

/// Its configuration is read at every start of a generation: so the answer can name it.
fn configuration(server: &Server, generation: usize) -> String {
    let address = server.address();
    format!(
        "\
listen:
  host: {}
  port: {}
user: root
num-threads: 2
pid-file: {}
hosts:
  default:
    paths:
      /:
        mruby.handler: |
          Proc.new do |env|
            body = \"hello from generation {generation} (h2o, pid 0)\\n\"
            [200, {{\"content-type\" => \"text/plain\", \"content-length\" => body.bytesize.to_s}}, [body]]
          end
",
        address.ip(),
        address.port(),
        server.path("h2o.pid").display()
    )
}

#[test]
fn h2o_as_a_worker() {
    let Some(server) = server("h2o -c") else {
        return;
    };
    let deploy = |generation| server.write("h2o.conf", &configuration(&server, generation));
    let line = format!("--port={} -- h2o -c h2o.conf", server.address());
    let report = server.reload_under_load(&mut server.start_server(&line), deploy);
    report.assert_no_failures();
}

#[test]
fn h2o_as_a_master_runs_our_binary() {
    let Some(server) = server("h2o -m master") else {
        return;
    };
    // All of share/h2o is Debian's, but the one program.
    let share = server.path("share/h2o");
    fs::create_dir_all(&share).expect("our own directory");
    for entry in fs::read_dir(SHARE).expect("h2o's own files").flatten() {
        symlink(entry.path(), share.join(entry.file_name())).expect("a new link");
    }
    fs::remove_file(share.join("start_server")).expect("h2o brings one along");
    symlink(program(), share.join("start_server")).expect("a new link");

    let deploy = |generation| server.write("h2o.conf", &configuration(&server, generation));
    let mut command = process::command("h2o");
    command
        .args(["-m", "master", "-c", "h2o.conf"])
        .env("H2O_ROOT", server.path(""))
        .current_dir(server.path(""));
    let report = server.reload_under_load(&mut command, deploy);
    report.assert_no_failures();
}
