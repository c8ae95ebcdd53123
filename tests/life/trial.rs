//! A build that dies some time after it was ready, while it is on trial.

use std::process::Command;

use super::SOON;
use super::support::http::Target;
use super::support::process::{Supervisor, command, free_address};
use super::support::scratch::Scratch;
use super::support::{programs, wait};

const BAD_DEPLOYS: u64 = 10;

#[test]
fn each_bad_deploy_is_a_failed_verdict_and_the_old_one_keeps_serving() {
    let scratch = Scratch::new();
    let (deploy, control) = (scratch.join("deploy"), scratch.join("control"));
    let write = |flags: String| std::fs::write(&deploy, flags).expect("writable");
    write("--ready\n--text good".to_owned());
    let address = free_address();
    let mut command = command(programs::SD_STARTER);
    command
        .args([
            "--ready",
            "notify",
            "--attempts",
            "1",
            "--kill-old-delay",
            "5",
        ])
        .args(["--port", &address.to_string()])
        .arg("--control-socket")
        .arg(&control)
        .arg("--")
        .arg(programs::hello())
        .arg("--deploy")
        .arg(&deploy);
    let supervisor = Supervisor::start(&mut command);
    supervisor.wait_for_line("is ready", SOON);
    let reload = || {
        let mut starterctl = Command::new(programs::STARTERCTL);
        let output = starterctl.arg("reload").arg(&control).output();
        let output = output.expect("starterctl runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };

    for number in 1..=BAD_DEPLOYS {
        // Spread over the trial, but for its end: a worker that the machine keeps waiting has to die in it.
        let millis = number * 150;
        write(format!("--ready\n--text bad\n--exit-after-ms {millis}:9"));
        let (code, said) = reload();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("exited with status 9"), "{said}");
        assert!(said.contains("generation 1 keeps serving"), "{said}");
        let answer = Target::inet(address)
            .get("/")
            .and_then(|answer| answer.generation());
        assert_eq!(answer.expect("an answer"), 1);
    }

    write("--ready\n--text better".to_owned());
    assert_eq!(reload().0, Some(0));
    wait::for_value("the version that serves", SOON, "better", || {
        let answer = Target::inet(address)
            .get("/")
            .and_then(|answer| answer.version());
        answer.expect("an answer")
    });
}
