//! `Monitor`: every event, as it happens.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::app::SOON;
use crate::instance::{Client, Instance};

/// The next events up to one of that name, and whether more was promised with it.
fn up_to(client: &mut Client, last: &str) -> (Vec<Value>, bool) {
    let mut events = Vec::new();
    loop {
        let mut reply = client.next().expect("an event");
        let event = reply["parameters"].take();
        let is_last = event["event"] == last;
        events.push(event);
        if is_last {
            return (events, reply["continues"] == true);
        }
    }
}

#[test]
fn a_monitor_hears_of_everything_until_the_end() {
    let mut instance = Instance::start(&[]);
    let mut monitor = Client::connect(&instance.socket());
    monitor.send("Monitor", json!({}), true);
    let (first, more) = up_to(&mut monitor, "watching");
    assert!(
        more && first.len() == 1 && first[0]["generation"] == 1,
        "{first:?}"
    );

    instance.deploy("--ready --text v2");
    assert!(instance.run(&["reload"]).status.success());
    let (events, more) = up_to(&mut monitor, "drained");
    let names: Vec<_> = events.iter().map(|event| event["event"].clone()).collect();
    let expected = ["reload-asked", "starting", "ready", "draining", "drained"];
    assert!(more && names == expected, "{names:?}");
    assert_eq!(events[2]["generation"], 2);
    assert_eq!(events[2]["pid"], instance.status()["workers"][0]["pid"]);
    assert!(
        events[2]["messageId"]
            .as_str()
            .is_some_and(|id| id.len() == 32)
    );
    assert!(
        events[2]["text"]
            .as_str()
            .is_some_and(|text| text.contains("is ready"))
    );

    instance.deploy("--exit-at-start 3");
    assert!(!instance.run(&["reload"]).status.success());
    let (events, _) = up_to(&mut monitor, "attempt-failed");
    let failed = events.last().expect("it ends with it");
    assert!(
        failed["text"]
            .as_str()
            .is_some_and(|text| text.contains("exited with status 3"))
    );

    assert!(instance.run(&["stop"]).status.success());
    let (_, more) = up_to(&mut monitor, "exiting");
    assert!(!more, "the last one says that it is the last");
    assert_eq!(instance.supervisor.wait_for_code(SOON), 0);
}

#[test]
fn a_monitor_has_to_expect_more() {
    let instance = Instance::start(&[]);
    let mut client = Client::connect(&instance.socket());
    let reply = client.call("Monitor", json!({}));
    assert_eq!(reply["error"], "org.varlink.service.ExpectedMore");
    let reply = client.call("GetStatus", json!({}));
    assert_eq!(reply["parameters"]["serving"], 1, "and may ask on");
}

#[test]
fn watching_in_a_pipe_is_a_line_of_json_for_every_change() {
    let instance = Instance::start(&[]);
    let watch = instance.ctl(&["status", "--watch", "--json"]).spawn();
    let mut watch = watch.expect("starterctl");
    let lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut statuses = lines.map(|line| -> Value {
        serde_json::from_str(&line.expect("UTF-8")).expect("a line of JSON")
    });
    assert_eq!(statuses.next().expect("at once")["serving"], 1);
    instance.deploy("--ready --text v2");
    assert!(instance.run(&["reload"]).status.success());
    let changed = statuses.find(|status| status["serving"] == 2);
    assert!(changed.is_some(), "it says what has changed");
    assert!(instance.run(&["stop"]).status.success());
    statuses.for_each(drop);
    assert!(watch.wait().expect("our child").success());
}
