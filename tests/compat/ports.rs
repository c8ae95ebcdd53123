//! `--port`: the forms, their keys, and the sockets behind them.

use crate::client::{ask_port, ask_tcp, ask_udp};
use crate::differences::pick;
use crate::eventually::{happens_within, wait_until};
use crate::scene::{Scene, free_port};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Starts with one `--port`, in which `P` stands for a free port; gives the keys or the exit code.
fn key_of(form: &str) -> Result<(u16, Vec<String>), i32> {
    let scene = Scene::new();
    let port = free_port();
    let value = form.replace('P', &port.to_string());
    let mut supervisor = scene
        .launch()
        .options("--interval=0")
        .argument(format!("--port={value}"))
        .worker()
        .start();
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    if supervisor.running() {
        Ok((port, scene.worker(1).keys()))
    } else {
        Err(supervisor.exit_code())
    }
}

/// Every form in a scene of its own; complains about all that differ at once.
fn assert_keys(forms: &[(&str, &str)]) {
    let wrong: Vec<String> = forms
        .iter()
        .filter_map(|(form, key)| match key_of(form) {
            Ok((port, keys)) => {
                let expected = key.replace('P', &port.to_string());
                (keys != [expected.clone()])
                    .then(|| format!("{form}: {keys:?} instead of {expected:?}"))
            }
            Err(code) => Some(format!("{form}: exit code {code} instead of {key}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ipv4_forms_keep_the_text_of_the_host() {
    assert_keys(&[
        ("P", "P"),
        (" P ", "P"),
        ("127.0.0.1:P", "127.0.0.1:P"),
        ("localhost:P", "localhost:P"),
        ("0:P", "0:P"),
        ("127.1:P", "127.1:P"),
        ("0.0.0.0:P", "0.0.0.0:P"),
        ("[127.0.0.1]:P", "127.0.0.1:P"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0P", "0P"),
    ]);
}

#[test]
fn ipv6_forms_get_brackets() {
    assert_keys(&[
        ("[::1]:P", "[::1]:P"),
        ("[::]:P", "[::]:P"),
        ("::1:P", "[::1]:P"),
        ("[ ::1]:P", "[::1]:P"),
    ]);
}

#[test]
fn udp_forms_lose_their_u() {
    assert_keys(&[
        ("uP", "P"),
        ("127.0.0.1:uP", "127.0.0.1:P"),
        ("[::1]:uP", "[::1]:P"),
        ("uP=9", "P"),
    ]);
}

#[test]
fn pinned_forms_have_the_same_keys() {
    assert_keys(&[
        ("P=9", "P"),
        ("P =9", "P"),
        ("127.0.0.1:P=9", "127.0.0.1:P"),
        ("[::1]:P=9", "[::1]:P"),
        ("127.0.0.1:uP=9", "127.0.0.1:P"),
    ]);
}

fn assert_refused(forms: &[&str], message: &str) {
    let wrong: Vec<String> = forms
        .iter()
        .filter_map(|form| {
            let finished = Scene::new()
                .launch()
                // A name server that does not answer is not waited for.
                .variable("RES_OPTIONS", "timeout:1 attempts:1")
                .argument(format!("--port={form}"))
                .worker()
                .start()
                .finished();
            let text = message.replace("FORM", form);
            let right = finished.code == Some(255) && finished.stderr.contains(&text);
            (!right).then(|| format!("{form}: {finished:?} instead of 255 and {text:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn text_that_is_no_port_is_refused() {
    assert_refused(
        &["8080=", "abc", "/path", "[8080", "8080=x", "8080 9"],
        "invalid ``port'' value:FORM",
    );
}

#[test]
fn hosts_that_do_not_resolve_are_refused() {
    assert_refused(
        &[":8080", "*:8080", "foo.invalid:8080"],
        "failed to resolve host:",
    );
}

#[test]
fn malformed_ipv6_is_refused() {
    assert_refused(&["[ ::1 ]: 8080", "u[::1]:8080", "[::zz]:8080"], "");
}

#[test]
fn a_port_out_of_range() {
    let value = 65_536 + u32::from(free_port());
    let outcome = key_of(&value.to_string()).map(|(_, keys)| keys);
    let expected = pick("port-out-of-range", Ok(vec![value.to_string()]), Err(255));
    assert_eq!(outcome, expected);
}

#[test]
fn ports_come_before_paths_each_in_their_order() {
    let scene = Scene::new();
    let (a, b) = (free_port(), free_port());
    let _supervisor = scene.start(format!(
        "--interval=0 --path=x.sock --port={b} --path=a.sock --port=127.0.0.1:{a}"
    ));
    let keys = scene.worker(1).keys();
    assert_eq!(
        keys,
        [
            b.to_string(),
            format!("127.0.0.1:{a}"),
            "x.sock".into(),
            "a.sock".into()
        ]
    );
}

#[test]
fn every_port_answers() {
    let scene = Scene::new();
    let (bare, named, six, udp) = (free_port(), free_port(), free_port(), free_port());
    let _supervisor = scene.start(format!(
        "--interval=0 --port={bare} --port=localhost:{named} --port=[::1]:{six} --port=u{udp}"
    ));
    scene.worker(1);
    let key = |answer: Option<crate::client::Answer>| answer.expect("an answer").key;
    assert_eq!(key(ask_port(bare)), bare.to_string());
    assert_eq!(key(ask_port(named)), format!("localhost:{named}"));
    assert_eq!(
        key(ask_tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, six)))),
        format!("[::1]:{six}")
    );
    assert_eq!(
        key(ask_udp(SocketAddr::from(([127, 0, 0, 1], udp)))),
        udp.to_string()
    );
}

#[test]
fn a_bare_port_is_ipv4_only_and_ipv6_is_ipv6_only() {
    let scene = Scene::new();
    let port = free_port();
    // Without IPV6_V6ONLY the second bind would fail.
    let _supervisor = scene.start(format!("--interval=0 --port={port} --port=[::]:{port}"));
    let sockets = scene.worker(1).sockets();
    assert_eq!(sockets[0].fact("domain"), i64::from(libc::AF_INET));
    assert_eq!(sockets[1].fact("domain"), i64::from(libc::AF_INET6));
    assert_eq!(sockets[1].fact("v6only"), 1);
    let answer = ask_tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).expect("an answer");
    assert_eq!(answer.key, format!("[::]:{port}"));
}

#[test]
fn tcp_and_udp_on_one_number_give_the_same_key_twice() {
    let scene = Scene::new();
    let port = free_port();
    let _supervisor = scene.start(format!("--interval=0 --port={port} --port=u{port}"));
    let worker = scene.worker(1);
    assert_eq!(worker.keys(), [port.to_string(), port.to_string()]);
    let types: Vec<i64> = worker
        .sockets()
        .iter()
        .map(|socket| socket.fact("type"))
        .collect();
    assert_eq!(
        types,
        [i64::from(libc::SOCK_STREAM), i64::from(libc::SOCK_DGRAM)]
    );
}

#[test]
fn sockets_are_blocking_reusable_and_listening() {
    let scene = Scene::new();
    let (tcp, udp) = (free_port(), free_port());
    let _supervisor = scene.start(format!(
        "--interval=0 --port={tcp} --port=u{udp} --path=s.sock"
    ));
    let worker = scene.worker(1);
    let sockets = worker.sockets();
    for socket in &sockets {
        assert!(!worker.nonblocking(socket.fd), "{}", socket.key);
    }
    let facts = |name| {
        sockets
            .iter()
            .map(|socket| socket.fact(name))
            .collect::<Vec<_>>()
    };
    assert_eq!(facts("listening"), [1, 0, 1]);
    assert_eq!(facts("reuseaddr")[..2], [1, 1]);
}

#[test]
fn the_backlog_is_as_large_as_the_kernel_allows_by_default() {
    let scene = Scene::new();
    let _supervisor = scene.start(format!("--interval=0 --port={}", free_port()));
    let limit =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a limit of the kernel");
    let limit: i64 = limit.trim().parse().expect("a number");
    assert_eq!(
        scene.worker(1).sockets()[0].fact("backlog"),
        limit.min(libc::SOMAXCONN.into())
    );
}

#[test]
fn the_backlog_is_as_asked_for() {
    let scene = Scene::new();
    let _supervisor = scene.start(format!("--interval=0 --backlog=17 --port={}", free_port()));
    assert_eq!(scene.worker(1).sockets()[0].fact("backlog"), 17);
}

#[test]
fn a_backlog_that_is_no_length_is_the_longest() {
    let limit =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a limit of the kernel");
    let limit: i64 = limit.trim().parse().expect("a number");
    for (backlog, least) in [
        ("-1", limit),
        ("-5", limit),
        ("99999999999", limit),
        ("0", limit.min(libc::SOMAXCONN.into())),
    ] {
        let scene = Scene::new();
        let options = format!("--interval=0 --backlog {backlog} --port={}", free_port());
        let _supervisor = scene.start(options);
        let length = scene.worker(1).sockets()[0].fact("backlog");
        assert!((least..=limit).contains(&length), "{backlog}: {length}");
    }
}

#[test]
fn without_ports_the_variable_is_set_and_empty() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0");
    assert_eq!(scene.worker(1).ports(), "");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn a_port_can_be_bound_again_at_once() {
    let port = free_port();
    // The server closes first: without SO_REUSEADDR its TIME_WAIT would hold the port.
    for _ in 0..2 {
        let scene = Scene::new();
        let mut supervisor = scene.start(format!("--interval=0 --port={port}"));
        scene.worker(1);
        assert!(ask_port(port).is_some());
        assert_eq!(supervisor.stop(), 0);
    }
}

#[test]
fn connections_wait_while_no_worker_accepts() {
    let scene = Scene::new();
    let port = free_port();
    scene.build("1: die_after=0");
    let _supervisor = scene.start(format!("--interval=2 --port={port}"));
    scene.await_event(1, "exit");
    // Asked while nobody accepts, answered by the next worker.
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(2));
    assert!(!happens_within(Duration::ZERO, || scene.happened(3, "start")));
}
