//! `--path`: unix sockets and the files that they are.

use crate::client::ask_path;
use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::Scene;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

/// Starts with these options: the worker's variable without descriptors, or the exit code.
fn outcome(scene: &Scene, options: &str) -> Result<Vec<String>, i32> {
    let mut supervisor = scene.start(format!("--interval=0 {options}"));
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    if supervisor.running() {
        Ok(scene.worker(1).keys())
    } else {
        Err(supervisor.exit_code())
    }
}

#[test]
fn the_key_is_the_path_as_given() {
    let scene = Scene::new();
    let absolute = scene.path("b.sock").display().to_string();
    std::fs::create_dir(scene.path("sub")).expect("a directory");
    let keys = outcome(
        &scene,
        &format!("--path=a.sock --path={absolute} --path=./sub/../c.sock"),
    );
    assert_eq!(
        keys,
        Ok(vec![
            "a.sock".to_owned(),
            absolute,
            "./sub/../c.sock".to_owned()
        ])
    );
}

#[test]
fn it_is_a_listening_stream_socket_that_everybody_may_connect_to() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0 --path=s.sock --backlog=5");
    let worker = scene.worker(1);
    let metadata = scene.path("s.sock").symlink_metadata().expect("the socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o777);
    let socket = &worker.sockets()[0];
    assert_eq!(socket.fact("type"), i64::from(libc::SOCK_STREAM));
    assert_eq!(socket.fact("listening"), 1);
    assert_eq!(
        ask_path(&scene.path("s.sock")).map(|answer| answer.key),
        Some("s.sock".to_owned())
    );
}

#[test]
fn workers_do_not_inherit_the_umask_of_the_bind() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0 --path=s.sock");
    let worker = scene.worker(1);
    let umask = std::fs::read_to_string("/proc/self/status").expect("our own");
    let umask = umask
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .expect("a field of the kernel");
    assert_eq!(worker.status_field("Umask"), umask.trim());
}

#[test]
fn it_is_removed_at_the_end() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --path=a.sock --path=b.sock");
    scene.worker(1);
    assert!(scene.exists("a.sock") && scene.exists("b.sock"));
    supervisor.stop();
    assert!(!scene.exists("a.sock") && !scene.exists("b.sock"));
}

#[test]
fn it_is_removed_when_the_start_fails() {
    let scene = Scene::new();
    assert!(outcome(&scene, "--path=a.sock --path=no-such-dir/b.sock").is_err());
    assert!(!scene.exists("a.sock"));
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    let scene = Scene::new();
    scene.stale_socket("s.sock");
    assert_eq!(
        outcome(&scene, "--path=s.sock"),
        Ok(vec!["s.sock".to_owned()])
    );
}

#[test]
fn an_at_sign_is_part_of_the_name() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0 --path=@name");
    assert_eq!(scene.worker(1).keys(), ["@name"]);
    assert!(scene.exists("@name"));
}

#[test]
fn a_socket_that_somebody_listens_on() {
    let scene = Scene::new();
    let _listener = UnixListener::bind(scene.path("s.sock")).expect("a socket");
    let expected = pick("path-in-use", Ok(vec!["s.sock".to_owned()]), Err(98));
    assert_eq!(outcome(&scene, "--path=s.sock"), expected);
}

#[test]
fn a_file_that_is_no_socket() {
    let scene = Scene::new();
    scene.write("precious", "data");
    let outcome = outcome(&scene, "--path=precious").map_err(|_| "refused");
    assert_eq!(
        outcome,
        pick(
            "path-not-a-socket",
            Ok(vec!["precious".to_owned()]),
            Err("refused")
        )
    );
    assert_eq!(
        scene.read("precious"),
        pick("path-not-a-socket", None, Some("data".to_owned()))
    );
}

#[test]
fn a_symbolic_link_to_a_file() {
    let scene = Scene::new();
    scene.write("precious", "data");
    symlink("precious", scene.path("link")).expect("a link");
    let outcome = outcome(&scene, "--path=link").map_err(|_| "refused");
    assert_eq!(
        outcome,
        pick(
            "path-not-a-socket",
            Ok(vec!["link".to_owned()]),
            Err("refused")
        )
    );
    assert_eq!(scene.read("precious").as_deref(), Some("data"));
}

#[test]
fn a_path_that_no_worker_can_parse() {
    for path in ["a=b.sock", "a;b.sock"] {
        let scene = Scene::new();
        let mut supervisor = scene.start(format!("--interval=0 --path={path}"));
        wait_until("a worker or the end", || {
            scene.happened(1, "start") || !supervisor.running()
        });
        let refused = !supervisor.running();
        assert_eq!(refused, pick("unrepresentable-path", false, true), "{path}");
    }
}
