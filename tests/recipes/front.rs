//! A web server in front, for a server that speaks FastCGI.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::process::{Supervisor, command, free_address};

/// HAProxy in front of a FastCGI server , without a second try for a request that
/// failed: what goes wrong behind it shall be seen.
pub(crate) fn haproxy(directory: &Path, server: SocketAddr) -> (Supervisor, SocketAddr) {
    let address = free_address();
    let text = format!(
        "global\n  log stderr local0 err\n\
         defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n  retries 0\n  option http-server-close\n\
         frontend f\n  bind {address}\n  default_backend b\n\
         backend b\n  use-fcgi-app php\n  server php {} proto fcgi\n\
         fcgi-app php\n  docroot {}\n  index index.php\n  no option keep-conn\n",
        server,
        directory.display()
    );
    let path = directory.join("front.cfg");
    std::fs::write(&path, text).expect("our own directory");
    let mut haproxy = command("haproxy");
    haproxy.args(["-db", "-f"]).arg(&path);
    (Supervisor::start(&mut haproxy), address)
}
