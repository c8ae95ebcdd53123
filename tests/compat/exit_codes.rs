//! Exit codes: the errno of the call that failed, as die() gives it, and a few others.

use crate::scene::{Scene, free_port};
use std::net::TcpListener;

fn code(arguments: &str) -> Option<i32> {
    let scene = Scene::new();
    scene
        .launch()
        .options(arguments)
        .worker()
        .start()
        .finished()
        .code
}

#[test]
fn an_unknown_option_is_1() {
    assert_eq!(code("--no-such-option"), Some(1));
}

#[test]
fn a_value_that_is_no_number_is_1() {
    assert_eq!(code("--interval=soon"), Some(1));
    assert_eq!(code("--backlog=many"), Some(1));
    assert_eq!(code("--kill-old-delay=x"), Some(1));
    assert_eq!(code("--auto-restart-interval=x"), Some(1));
}

#[test]
fn an_option_without_its_value_is_1() {
    assert_eq!(Scene::new().run("--port").code, Some(1));
    assert_eq!(code("--port="), Some(1));
}

#[test]
fn a_value_where_none_belongs_is_1() {
    assert_eq!(code("--enable-auto-restart=1"), Some(1));
}

#[test]
fn no_program_is_255() {
    let finished = Scene::new().run("--interval=0");
    assert_eq!(finished.code, Some(255));
    assert!(
        finished.stderr.ends_with("server program not specified\n"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_port_in_use_is_98() {
    let port = free_port();
    let _holder = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let scene = Scene::new();
    let finished = scene
        .launch()
        .options(format!("--port=127.0.0.1:{port}"))
        .worker()
        .start()
        .finished();
    assert_eq!(finished.code, Some(98));
    let expected = format!("failed to bind to 127.0.0.1:{port}:Address already in use");
    assert!(finished.stderr.contains(&expected), "{}", finished.stderr);
}

#[test]
fn an_address_of_another_machine_is_99() {
    assert_eq!(code("--port=192.0.2.1:8080"), Some(99));
}

#[test]
fn an_unreadable_directory_of_a_socket_is_2() {
    let scene = Scene::new();
    let finished = scene
        .launch()
        .options("--path=no-such-dir/s.sock")
        .worker()
        .start()
        .finished();
    assert_eq!(finished.code, Some(2));
    let expected = "failed to listen to file no-such-dir/s.sock:No such file or directory";
    assert!(finished.stderr.contains(expected), "{}", finished.stderr);
}

#[test]
fn a_pid_file_that_cannot_be_created_is_2() {
    let scene = Scene::new();
    let finished = scene
        .launch()
        .options("--path=s.sock --pid-file=no-such-dir/pid")
        .worker()
        .start()
        .finished();
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("no-such-dir/pid"),
        "{}",
        finished.stderr
    );
    // The socket that it bound does not stay.
    assert!(!scene.exists("s.sock"));
}

#[test]
fn a_log_file_that_cannot_be_created_is_2() {
    assert_eq!(code("--log-file=no-such-dir/log"), Some(2));
}

#[test]
fn a_privileged_port_without_privilege_is_13() {
    let unprivileged = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first_free: u16 = unprivileged
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024);
    if first_free <= 1 {
        eprintln!("skipped: this kernel has no privileged ports");
        return;
    }
    let scene = Scene::new();
    let start_server = scene.path("start_server").display().to_string();
    let launch = if nix::unistd::Uid::effective().is_root() {
        // Root without the one capability that it would use.
        let options = "--bounding-set=-net_bind_service --";
        scene
            .launch()
            .program("setpriv")
            .options(options)
            .argument(start_server)
    } else {
        scene.launch()
    };
    let finished = launch
        .options("--port=127.0.0.1:1")
        .worker()
        .start()
        .finished();
    assert_eq!(finished.code, Some(13), "{}", finished.stderr);
}
