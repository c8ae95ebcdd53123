//! The clients that called `Monitor`: they hear of every event, in our words whatever the log's.

use std::time::SystemTime;

use super::supervisor::{Broken, Supervisor, broken};
use super::voice::Voice;
use crate::core::{Name, Note};
use crate::protocol::control::{render_part, render_reply};
use crate::protocol::message_ids::message_id;
use crate::protocol::monitor_event::{EXITING, MonitorEvent, WATCHING};

impl Supervisor {
    /// Says at once how things stand, so that the client knows that it will miss nothing more.
    pub(super) fn begin_monitoring(&mut self, id: u64) -> Result<(), Broken> {
        let serving = self.machine.snapshot().serving();
        let event = event(
            WATCHING,
            serving.map(|generation| generation.get()),
            None,
            self.machine.status_text(),
        );
        self.inform(id, &render_part(&event), false)
    }

    /// Passes on what the log is told.
    pub(super) fn tell_monitors(&mut self, note: &Note) -> Result<(), Broken> {
        let monitors = match &self.control {
            Some(control) => control.monitors(),
            None => return Ok(()),
        };
        if monitors.is_empty() {
            return Ok(());
        }
        for line in Voice::Ours.say(note) {
            let (generation, pid) = line.worker.map_or((None, None), numbers);
            let last = line.event == EXITING;
            let event = event(line.event, generation, pid, line.text);
            let message = if last {
                render_reply(&event)
            } else {
                render_part(&event)
            };
            for id in &monitors {
                self.inform(*id, &message, last)?;
            }
        }
        Ok(())
    }

    fn inform(&mut self, id: u64, event: &[u8], last: bool) -> Result<(), Broken> {
        match &mut self.control {
            Some(control) => control
                .inform(id, event, last, &self.epoll)
                .map_err(broken("telling a client of an event")),
            None => Ok(()),
        }
    }
}

const fn numbers(worker: Name) -> (Option<u64>, Option<i32>) {
    (Some(worker.generation.get()), Some(worker.pid))
}

fn event(name: &str, generation: Option<u64>, pid: Option<i32>, text: String) -> MonitorEvent {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    MonitorEvent {
        event: name.to_owned(),
        generation,
        pid,
        text,
        message_id: message_id(name).map(str::to_owned),
        time_usec: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
    }
}
