//! `sd_starter::worker` under everything that can start a server: Perl's start_server, our own,
//! systemd-socket-activate, and a socket unit without any supervisor. One program, the same answers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::builds;
use crate::support::http::Target;
use crate::support::process::{Supervisor, command, free_address, free_port};
use crate::support::programs::{self, SD_STARTER, STARTERCTL};
use crate::support::requirement;
use crate::support::rig::Rig;
use crate::support::scratch::Scratch;
use crate::support::wait;

const SOON: Duration = Duration::from_secs(30);

fn answers(file: &Path) -> Vec<String> {
    wait::until("the answers", SOON, || file.exists());
    let text = fs::read_to_string(file).expect("written whole");
    text.lines().map(str::to_owned).collect()
}

/// The same command line, and the same asks, for the original and for us.
fn under_start_server(program: &str, listener: &str) -> Vec<String> {
    let scratch = Scratch::new();
    let (tcp, inet6, udp) = (free_address(), free_port(), free_address());
    let path = scratch.join("a.sock");
    let (path, file) = (path.to_str().expect("text"), scratch.join("answers"));
    let mut start = command(program);
    start
        .args(["--interval", "1", "--port", &tcp.to_string()])
        .args(["--port", &format!("[::1]:{inet6}"), "--path", path])
        .args(["--port", &format!("{}:u{}", udp.ip(), udp.port()), "--"])
        .arg(programs::example("taker"))
        .arg(&file)
        .args(["tcp", &tcp.to_string(), "tcp", &format!("[::1]:{inet6}")])
        .args(["unix", path, "tcp", &udp.to_string(), "udp", "only"])
        .args(["tcp", &tcp.to_string(), "tcp", "nowhere"]);
    let _supervisor = Supervisor::start(&mut start);
    let lines = answers(&file);
    let expected = [
        "generation 1".to_owned(),
        format!("tcp {tcp}: Ok({tcp})"),
        format!("tcp [::1]:{inet6}: Ok([::1]:{inet6})"),
        format!("unix {path}: Ok({path:?} (pathname))"),
        format!("tcp {udp}: error: the socket for \"{udp}\" is a UDP socket, not a TCP listener"),
        format!("udp only: Ok({udp})"),
        format!("tcp {tcp}: error: the socket for \"{tcp}\" was taken before"),
        "tcp nowhere: error: no socket is left for \"nowhere\"".to_owned(),
        "left: 0".to_owned(),
        "asked twice: the sockets of this process were asked for before".to_owned(),
        "environment untouched: true".to_owned(),
        format!("somebody listens: {listener}"),
    ];
    assert_eq!(lines, expected);
    lines
}

#[test]
fn under_perls_start_server() {
    if requirement::file("/usr/bin/start_server", "libserver-starter-perl") {
        under_start_server("start_server", "false");
    }
}

#[test]
fn under_ours() {
    under_start_server(SD_STARTER, "true");
}

/// It asks for the socket on standard input, whose number stays taken.
#[test]
fn a_socket_on_standard_input_under_both() {
    for program in ["start_server", SD_STARTER] {
        let (address, scratch) = (free_address(), Scratch::new());
        let file = scratch.join("answers");
        let mut start = command(program);
        start
            .args(["--interval", "1", "--port", &format!("{address}=0"), "--"])
            .arg(programs::example("taker"))
            .arg(&file)
            .args(["tcp", &address.to_string(), "raw", "only"]);
        let _supervisor = Supervisor::start(&mut start);
        let lines = answers(&file);
        assert_eq!(
            lines[1],
            format!("tcp {address}: Ok({address})"),
            "{program}"
        );
        assert_eq!(
            lines[2],
            "raw only: error: the socket for the only socket was taken before"
        );
    }
}

#[test]
fn under_systemd_socket_activate() {
    if !requirement::file("/usr/bin/systemd-socket-activate", "systemd") {
        return;
    }
    let (address, scratch) = (free_address(), Scratch::new());
    let file = scratch.join("answers");
    let key = address.to_string();
    let mut start = command("systemd-socket-activate");
    start
        .args(["-l", &key, "--fdname=http"])
        .arg(programs::example("taker"))
        .arg(&file)
        .args(["tcp", "http", "tcp", &key])
        .stdout(Stdio::null());
    let supervisor = Supervisor::start(&mut start);
    supervisor.wait_for_line("Listening on", SOON);
    // It starts the program at the first connection.
    let _connection = std::net::TcpStream::connect(address).expect("it listens");
    let lines = answers(&file);
    let expected = [
        "no generation".to_owned(),
        format!("tcp http: Ok({address})"),
        format!("tcp {key}: error: the socket for \"{key}\" was taken before"),
        "left: 0".to_owned(),
    ];
    assert_eq!(lines[..4], expected);
    assert_eq!(lines[6], "somebody listens: false");
}

#[test]
fn under_a_plain_socket_unit_and_its_store() {
    let Some(rig) = Rig::boot() else { return };
    let inside = "/run/taker";
    builds::copy(&programs::example("taker"), &rig.path(inside));
    rig.write(
        "/etc/systemd/system/plain.socket",
        "[Socket]\nListenStream=127.0.0.1:8080\nListenStream=[::1]:8081\n\
         ListenStream=/run/plain.sock\nListenDatagram=/run/plain.dgram\nFileDescriptorName=web\n",
        0o644,
    );
    rig.write(
        "/etc/systemd/system/plain.service",
        "[Service]\nType=notify\n\
         ExecStart=/run/taker /run/answers tcp web tcp 127.0.0.1:8080 tcp [::1]:8081 \
         unix /run/plain.sock datagram only\n",
        0o644,
    );
    rig.ok(&["systemctl", "daemon-reload"]);
    rig.ok(&["systemctl", "start", "plain.socket"]);
    // Type=notify: this ends when it has said READY=1.
    rig.ok(&["systemctl", "start", "plain.service"]);
    let lines = answers(&rig.path("/run/answers"));
    let expected = [
        "no generation",
        "tcp web: Ok(127.0.0.1:8080)",
        "tcp 127.0.0.1:8080: error: the socket for \"127.0.0.1:8080\" was taken before",
        "tcp [::1]:8081: Ok([::1]:8081)",
        "unix /run/plain.sock: Ok(\"/run/plain.sock\" (pathname))",
        "datagram only: Ok(\"/run/plain.dgram\" (pathname))",
        "left: 0",
        "asked twice: the sockets of this process were asked for before",
        "environment untouched: true",
        "somebody listens: true",
    ];
    assert_eq!(lines, expected);
    assert_eq!(rig.property("plain.service", "StatusText"), "taken");
}

/// A shell in between that does not exec: LISTEN_PID is the shell's.
#[test]
fn the_sockets_of_another_process_are_left_alone() {
    let scratch = Scratch::new();
    let file = scratch.join("answers");
    let mut start = command("sh");
    start
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 \"$@\" & wait", "sh"])
        .arg(programs::example("taker"))
        .arg(&file)
        .args(["tcp", "only"]);
    let shell = Supervisor::start(&mut start);
    let reason = format!(
        "tcp only: error: sockets were passed to process {} (LISTEN_PID), which is not this one",
        shell.pid()
    );
    assert_eq!(answers(&file)[1], reason);
}

/// Without a supervisor's dependencies: what `default-features = false` promises.
#[test]
fn the_workers_side_depends_on_libc_alone() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--no-default-features"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo is there, for it runs this test");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let names: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["sd-starter", "libc"]);
}

/// What one generation gives the supervisor to keep, the next one has.
#[test]
fn the_store_hands_state_from_one_generation_to_the_next() {
    let (address, scratch) = (free_address(), Scratch::new());
    let control = scratch.join("control");
    let mut start = command(SD_STARTER);
    start
        .args(["--fd-store-max", "4", "--ready", "notify"])
        .arg("--control-socket")
        .arg(&control)
        .args(["--port", &address.to_string(), "--"])
        .arg(programs::example("heir"));
    let supervisor = Supervisor::start(&mut start);
    let target = Target::inet(address);
    wait::until("the first answer", SOON, || target.get("/").is_ok());
    for reload in 1..=2 {
        let reloaded = Command::new(STARTERCTL)
            .arg("reload")
            .arg(&control)
            .output();
        let reloaded = reloaded.expect("it can be started");
        assert!(
            reloaded.status.success(),
            "{reloaded:?}\n{}",
            supervisor.stderr()
        );
        // It knows no graceful end, so a request may meet the one that has just been told to leave.
        let expected = format!("inherited: 1{}\n", ",2".repeat(reload - 1));
        wait::until(&expected, SOON, || {
            target.get("/").is_ok_and(|answer| answer.body == expected)
        });
    }
}
