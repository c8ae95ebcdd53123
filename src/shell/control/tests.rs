//! The control socket without a supervisor: who is answered, who is dropped, what the loop waits for.

use super::*;
use crate::protocol::control::{render_call, render_part, render_reply};
use serde_json::json;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

struct House {
    _scratch: crate::os::scratch::Scratch,
    path: PathBuf,
    epoll: Epoll,
    control: Control,
}

impl House {
    fn new() -> Self {
        let scratch = crate::os::scratch::Scratch::new();
        let path = scratch.path("control");
        let epoll = Epoll::new().unwrap();
        let control = Control::open(&path, &epoll).unwrap();
        House {
            _scratch: scratch,
            path,
            epoll,
            control,
        }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
    }

    /// One round of the loop, which has something to do at once; what was heard of clients.
    fn round(&mut self) -> Vec<(u64, Heard)> {
        let ready: Vec<_> = self.epoll.wait(Some(Duration::ZERO)).unwrap().collect();
        let mut heard = Vec::new();
        for token in ready
            .iter()
            .filter_map(|ready| Token::from_number(ready.token))
        {
            match token {
                Token::Control => self.control.accept(&self.epoll).unwrap(),
                Token::Client(id) => {
                    heard.push((id, self.control.attend(id, &self.epoll).unwrap()));
                }
                other => panic!("{other:?} was not added"),
            }
        }
        heard
    }

    /// Rounds until there is nothing to do; a loop that would spin fails.
    fn settle(&mut self) -> Vec<(u64, Heard)> {
        let mut heard = Vec::new();
        for _ in 0..1000 {
            if self.epoll.wait(Some(Duration::ZERO)).unwrap().len() == 0 {
                return heard;
            }
            heard.extend(self.round());
        }
        panic!("the loop never rests");
    }

    fn answer(&mut self, id: u64) {
        let reply = render_reply(&json!({ "to": id }));
        self.control.answer(id, &reply, &self.epoll).unwrap();
    }
}

fn call(method: &str) -> Vec<u8> {
    render_call(method, &json!({}))
}

fn rest(mut stream: UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_client_that_shuts_its_side_is_answered_and_then_dropped() {
    let mut house = House::new();
    let mut client = house.connect();
    client.write_all(&call("Stop")).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(house.settle(), [(1, Heard::Call(Call::Stop))]);
    house.answer(1);
    assert_eq!(house.settle(), []);
    assert_eq!(rest(client), "{\"parameters\":{\"to\":1}}\0");
    assert!(house.control.clients.is_empty());
}

#[test]
fn what_a_client_asked_for_before_it_went_away_is_heard() {
    let mut house = House::new();
    let mut client = house.connect();
    client.write_all(&call("Stop")).unwrap();
    drop(client);
    let mut heard = house.settle();
    if heard.len() < 2 {
        // A child that another test forks in this moment has its end, too, until it executes something.
        let _ = house.epoll.wait(Some(Duration::from_secs(10))).unwrap();
        heard.extend(house.settle());
    }
    assert_eq!(heard, [(1, Heard::Call(Call::Stop)), (1, Heard::Gone)]);
    assert!(house.control.clients.is_empty());
}

#[test]
fn calls_are_answered_one_by_one_and_the_loop_rests_in_between() {
    let mut house = House::new();
    let mut client = house.connect();
    let calls = [call("Stop"), call("GetStatus"), call("Dance"), call("Stop")].concat();
    client.write_all(&calls).unwrap();
    assert_eq!(house.settle(), [(1, Heard::Call(Call::Stop))]);
    house.answer(1);
    assert_eq!(house.settle(), [(1, Heard::Call(Call::GetStatus))]);
    house.answer(1);
    let heard = house.settle();
    assert_eq!(heard.last(), Some(&(1, Heard::Call(Call::Stop))));
    client.shutdown(Shutdown::Write).unwrap();
    house.answer(1);
    house.settle();
    let text = rest(client);
    assert_eq!(text.matches("\"to\"").count(), 3, "{text}");
    assert!(
        text.contains("org.varlink.service.MethodNotFound"),
        "{text}"
    );
}

#[test]
fn a_call_that_wants_no_answer_gets_none() {
    let mut house = House::new();
    let mut client = house.connect();
    let oneway = b"{\"method\":\"org.sdstarter.Supervisor.Stop\",\"oneway\":true}\0";
    client.write_all(oneway).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(house.settle(), [(1, Heard::Call(Call::Stop))]);
    house.answer(1);
    assert_eq!(rest(client), "");
}

#[test]
fn garbage_is_refused_and_the_client_dropped() {
    let mut house = House::new();
    let garbage: [&[u8]; 4] = [b"\0", b"GET / HTTP/1.1\0", b"[[[[\0", b"{\"method\":7}\0"];
    for bytes in garbage {
        let mut client = house.connect();
        client.write_all(bytes).unwrap();
        house.settle();
        assert!(rest(client).contains("InvalidParameter"));
    }
    let mut endless = house.connect();
    let piece = vec![b'x'; 2 * crate::protocol::control::MAX_CALL];
    endless.set_nonblocking(true).unwrap();
    let _ = endless.write(&piece);
    house.settle();
    let _ = endless.write(&piece);
    house.settle();
    assert!(house.control.clients.is_empty(), "an endless call");
    let mut half = house.connect();
    half.write_all(b"{\"method\":").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    house.settle();
    assert_eq!(rest(half), "");
}

#[test]
fn a_monitor_that_does_not_read_is_dropped_and_the_others_hear_on() {
    let mut house = House::new();
    let subscribe = crate::protocol::control::render_subscription("Monitor");
    let (mut slow, mut quick) = (house.connect(), house.connect());
    slow.write_all(&subscribe).unwrap();
    quick.write_all(&subscribe).unwrap();
    assert_eq!(house.settle().len(), 2);
    let event = render_part(&json!({ "text": "x".repeat(1000) }));
    let mut buffer = vec![0; 4 * event.len()];
    let mut heard = 0;
    for _ in 0..1000 {
        for id in house.control.monitors() {
            let inform = house.control.inform(id, &event, false, &house.epoll);
            inform.unwrap();
        }
        heard += quick.read(&mut buffer).unwrap();
    }
    assert_eq!(heard, 1000 * event.len());
    assert_eq!(house.control.monitors().len(), 1);
}

#[test]
fn who_only_holds_a_place_has_to_leave_when_the_house_is_full() {
    let mut house = House::new();
    let begun = clock::now();
    let idle: Vec<_> = (0..MOST_CLIENTS).map(|_| house.connect()).collect();
    house.settle();
    let mut late = house.connect();
    late.write_all(&call("GetStatus")).unwrap();
    assert_eq!(house.settle(), [], "it waits in the backlog");
    let due = house.control.due().expect("time will make room");
    for client in house.control.clients.values_mut() {
        client.heard = client.heard.saturating_sub(IDLE);
    }
    assert!(due >= begun + IDLE, "not before it has been idle");
    house.control.mind_the_door(&house.epoll).unwrap();
    let heard = house.settle();
    assert!(
        heard.contains(&(257, Heard::Call(Call::GetStatus))),
        "{heard:?}"
    );
    assert_eq!(idle.len(), MOST_CLIENTS);
}
