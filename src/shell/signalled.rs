//! What signals to us mean.

use super::supervisor::{Broken, Supervisor, broken};
use crate::core::{Event, Origin, Request, StopBy};
use crate::os::process;
use crate::os::reason::Reason;
use crate::protocol::signal_name::Signal;

impl Supervisor {
    pub(super) fn hear_signals(&mut self) -> Result<(), Broken> {
        while let Some(received) = self.signals.receive().map_err(broken("reading signals"))? {
            let Some(signal) = Signal::new(received.signal) else {
                continue;
            };
            if self.settings.forward.contains(&signal) {
                self.forward(signal);
                continue;
            }
            match signal {
                Signal::HUP => {
                    let request = Request {
                        requester: None,
                        origin: Origin::Hangup,
                        only_if: None,
                    };
                    self.queue.push_back(Event::Reload(request));
                }
                Signal::USR2 => self.queue.push_back(Event::Upgrade { requester: None }),
                Signal::TERM => self.queue_stop(StopBy::Terminate),
                Signal::QUIT => self.queue_stop(StopBy::Quit),
                Signal::INT => self.queue_stop(StopBy::Interrupt),
                // Its message is the pidfd's; as PID 1 there may be others.
                Signal::CHLD => self.reap_strangers(),
                signal => log::info!("received {signal}: ignored (see --forward)"),
            }
        }
        Ok(())
    }

    fn queue_stop(&mut self, by: StopBy) {
        // Before the exits of the same wake-up: a stop that goes to the whole group (^C,
        // KillMode=control-group) must not look like workers that died by themselves.
        self.queue.push_front(Event::Stop {
            requester: None,
            by,
        });
    }

    fn forward(&self, signal: Signal) {
        let Some(generation) = self.machine.serving_generation() else {
            log::info!("received {signal}: no generation is serving that could have it");
            return;
        };
        log::info!("received {signal}: passing it to generation {generation}");
        if let Err(error) = self.workers.signal(generation, signal) {
            log::warn!(
                "cannot send {signal} to generation {generation}: {}",
                Reason(&error)
            );
        }
    }

    pub(super) fn reap_strangers(&self) {
        if self.reaps_strangers {
            let log_command = self.log_command.as_ref();
            let trial = self.trial.as_ref();
            let is_ours = |pid| {
                self.workers.owns(pid)
                    || trial.is_some_and(|trial| trial.owns(pid))
                    || self.surroundings.probes.owns(pid)
                    || log_command.is_some_and(|command| command.owns(pid))
            };
            if let Err(error) = process::reap_strangers(is_ours) {
                log::warn!(
                    "cannot reap processes that we did not start: {}",
                    Reason(&error)
                );
            }
        }
    }
}
