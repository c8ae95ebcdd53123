//! What clients of the control socket ask, as events; what becomes of it, as replies.

use log::LevelFilter;
use serde_json::{Value, json};

use super::control::Heard;
use super::report::{self, Sight};
use super::supervisor::{Broken, Supervisor, broken};
use crate::core::{Event, Now, Origin, Request, Requester, StopBy, Verdict};
use crate::os::clock;
use crate::protocol::control::{self, Call, Refusal, Reload};
use crate::protocol::generation::Generation;

impl Supervisor {
    pub(super) fn attend_client(&mut self, id: u64) -> Result<(), Broken> {
        let Some(control) = &mut self.control else {
            return Ok(());
        };
        let heard = control
            .attend(id, &self.epoll)
            .map_err(broken("attending a client"))?;
        self.take_call(id, heard)
    }

    /// Time alone makes room for those who wait to be let in.
    pub(super) fn mind_the_door(&mut self) -> Result<(), Broken> {
        match &mut self.control {
            Some(control) => control
                .mind_the_door(&self.epoll)
                .map_err(broken("listening for clients")),
            None => Ok(()),
        }
    }

    fn take_call(&mut self, id: u64, heard: Heard) -> Result<(), Broken> {
        match heard {
            Heard::Nothing => Ok(()),
            Heard::Gone => {
                let requester = Requester(id);
                self.waits.retain(|(other, _)| *other != requester);
                self.queue.push_back(Event::Gone { requester });
                Ok(())
            }
            Heard::Call(Call::Monitor) => self.begin_monitoring(id),
            Heard::Call(call) => match self.carry_out(id, call) {
                Some(reply) => self.reply(id, &reply),
                None => Ok(()),
            },
        }
    }

    /// Does what can be done at once and answers it; what takes time is answered later.
    fn carry_out(&mut self, id: u64, call: Call) -> Option<Vec<u8>> {
        let requester = Requester(id);
        match call {
            Call::GetInfo => Some(control::info()),
            Call::GetInterfaceDescription(interface) => Some(
                control::description(&interface)
                    .unwrap_or_else(|refusal| control::render_refusal(&refusal)),
            ),
            Call::GetStatus => Some(control::render_reply(&self.status())),
            // Its answers are events, see `monitors`.
            Call::Monitor => None,
            Call::Ping => Some(control::render_reply(&json!({}))),
            Call::SetLogLevel(level) => {
                log::set_max_level(log_level(level));
                Some(control::render_reply(&json!({})))
            }
            Call::Reload(reload) => {
                let only_if = match reload.if_generation.map(Generation::new) {
                    Some(None) => {
                        let refusal = Refusal::InvalidParameter("ifGeneration".to_owned());
                        return Some(control::render_refusal(&refusal));
                    }
                    Some(generation) => generation,
                    None => None,
                };
                let origin = self.origin_of(&reload);
                let request = Request {
                    requester: Some(requester),
                    origin,
                    only_if,
                };
                self.queue.push_back(Event::Reload(request));
                None
            }
            Call::Stop => {
                let by = StopBy::Terminate;
                self.queue.push_back(Event::Stop {
                    requester: Some(requester),
                    by,
                });
                None
            }
            Call::Upgrade => {
                self.queue.push_back(Event::Upgrade {
                    requester: Some(requester),
                });
                None
            }
            Call::Wait(wait) => {
                self.waits.push((requester, wait));
                None
            }
        }
    }

    /// A control process of our own unit carries our pid and our invocation in its environment
    /// (systemd.exec(5)); then the unit is "reloading" already and systemd need not be told.
    fn origin_of(&self, reload: &Reload) -> Origin {
        let pid = i32::try_from(std::process::id()).ok();
        let same_unit = self.invocation_id.is_some() && reload.invocation_id == self.invocation_id;
        if pid.is_some() && reload.main_pid == pid && same_unit {
            Origin::ControlProcess
        } else {
            Origin::Client
        }
    }

    /// The reply to `GetStatus`.
    fn status(&mut self) -> Value {
        let now = Now::at(clock::now());
        let seen = Sight {
            snapshot: &self.machine.snapshot(),
            text: &self.machine.status_text(),
            settings: &self.settings,
            listeners: &self.listeners,
            started: self.started,
            now,
        };
        report::status(&seen, |pid| self.resources.of(pid, now))
    }

    fn reply(&mut self, id: u64, reply: &[u8]) -> Result<(), Broken> {
        let Some(control) = &mut self.control else {
            return Ok(());
        };
        control
            .answer(id, reply, &self.epoll)
            .map_err(broken("answering a client"))
    }

    pub(super) fn answer_client(
        &mut self,
        requester: Requester,
        verdict: &Verdict,
    ) -> Result<(), Broken> {
        let reply = match verdict {
            Verdict::Serving(generation) => {
                control::render_reply(&json!({ "generation": generation.get() }))
            }
            Verdict::Stopped => control::render_reply(&json!({})),
            Verdict::Stopping => control::render_refusal(&Refusal::Stopping),
            Verdict::OtherGeneration { serving } => {
                control::render_refusal(&Refusal::OtherGeneration {
                    serving: serving.map(Generation::get),
                })
            }
            Verdict::Upgraded { from, to } => {
                control::render_reply(&json!({ "from": from, "to": to }))
            }
            Verdict::NotUpgraded { reason } => control::render_refusal(&Refusal::UpgradeFailed {
                reason: reason.clone(),
            }),
            Verdict::Failed { failure, kept } => control::render_refusal(&Refusal::ReloadFailed {
                reason: verdict.to_string(),
                generation: failure.generation.get(),
                kept: kept.map(Generation::get),
            }),
        };
        let Requester(id) = requester;
        self.reply(id, &reply)
    }

    /// Answers those for whom what they wait for has come, or cannot come any more.
    pub(super) fn answer_waits(&mut self) -> Result<(), Broken> {
        if self.waits.is_empty() {
            return Ok(());
        }
        let snapshot = self.machine.snapshot();
        let (done, waits): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waits)
            .into_iter()
            .partition(|(_, wait)| snapshot.stopping || report::holds(wait, &snapshot));
        self.waits = waits;
        for (Requester(id), wait) in done {
            let serving = snapshot.serving().map(Generation::get);
            let reply = if report::holds(&wait, &snapshot) {
                control::render_reply(&json!({ "serving": serving }))
            } else {
                control::render_refusal(&Refusal::Stopping)
            };
            self.reply(id, &reply)?;
        }
        Ok(())
    }
}

/// A level of syslog(3), as the coarser ones of our log.
const fn log_level(level: u8) -> LevelFilter {
    match level {
        0..=3 => LevelFilter::Error,
        4 => LevelFilter::Warn,
        5 | 6 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    }
}
