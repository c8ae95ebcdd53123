//! `tests/demo`: what it prints to try is tried.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::support::http::Target;
use crate::support::process::free_port;
use crate::support::wait;

/// It builds what it runs, and a machine may be busy.
const SOON: std::time::Duration = std::time::Duration::from_secs(300);

#[test]
fn the_demo_does_what_it_says() {
    as_it_says(|script| {
        let mut command = Command::new("sh");
        let script = format!("cd {}\n{script}", env!("CARGO_MANIFEST_DIR"));
        command.args(["-e", "-c", &script]).stdin(Stdio::null());
        command
    });
}

/// Runs the demo in a clone, where `shell` leads to, and then each command that it prints.
pub(crate) fn as_it_says(shell: impl Fn(&str) -> Command) {
    // It listens on 127.0.0.1, whatever the port.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut demo = shell(&format!("PORT={} exec tests/demo", address.port()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh can be started");
    let group = Pid::from_raw(i32::try_from(demo.id()).expect("a pid"));
    let end = Ends(group);
    let mut printed = BufReader::new(demo.stdout.take().expect("asked for")).lines();
    let mut commands = Vec::new();
    while commands.len() < 6 {
        let line = printed.next().expect("six commands").expect("text");
        let command = line.strip_prefix("  ").unwrap_or_default();
        // What is printed of a command's own output stands behind a word.
        if ["while", "echo", "/"]
            .iter()
            .any(|start| command.starts_with(start))
        {
            commands.push(command.to_owned());
        }
    }
    let [_, good, reload, bad, again, status] = commands.as_slice() else {
        unreachable!("counted")
    };
    let said = |script: &str| {
        let output = shell(script).output().expect("sh can be started");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).expect("text")
    };
    let target = Target::inet(address);
    let version = || target.get("/").and_then(|answer| answer.version());
    wait::until("the demo's first answer", SOON, || version().is_ok());
    assert_eq!(version().expect("it serves"), "v1");
    assert_eq!(said(&format!("{good}\n{reload}")), "generation 2 serves\n");
    // The old one may take one more, until SIGTERM has reached it.
    wait::for_value("the version", SOON, "v2", || version().expect("it serves"));
    wait::until("the end of the old one", SOON, || {
        !said(status).contains("generation 1 ")
    });
    let failed = said(&format!("{bad}\nset +e\n{again}"));
    let reason = "generation 3 failed: exited with status 3 after ";
    assert!(failed.contains(reason), "{failed}");
    assert!(failed.contains("; generation 2 keeps serving"), "{failed}");
    assert!(failed.contains("exit status 1\n"), "{failed}");
    assert_eq!(version().expect("it serves"), "v2");
    let status = said(status);
    assert!(status.contains("serving generation 2"), "{status}");
    let directory = good
        .split_once(" >")
        .and_then(|(_, file)| file.strip_suffix("/deploy"));
    let exists = format!("test -e {}", directory.expect("what it reads"));
    let is_there = || {
        shell(&exists)
            .status()
            .expect("sh can be started")
            .success()
    };
    assert!(is_there());
    drop(end);
    demo.wait().expect("our child");
    assert!(!is_there(), "it cleans up after itself");
}

/// Ctrl-C.
struct Ends(Pid);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = killpg(self.0, Signal::SIGINT);
    }
}
