//! A server that says the same to everybody, one after the other.

use std::io::{Read, Write};
use std::net::TcpListener;

/// Answers until a connection fails.
pub(crate) fn serve(listener: &TcpListener, body: &str) -> std::io::Result<()> {
    let length = body.len();
    for stream in listener.incoming() {
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 1024])?;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
    }
    Ok(())
}
