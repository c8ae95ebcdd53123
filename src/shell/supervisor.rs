//! The loop: the only place that sees both the core and the effects. It decides nothing.
//!
//! One thread, one epoll. What the descriptors say becomes events, the machine turns them into
//! actions, and `deeds` carries these out. Between two wake-ups nothing runs.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::control::Control;
use super::listeners::Listeners;
use super::manager::Manager;
use super::runtime::Runtime;
use super::settings::Settings;
use super::spawn::Spawner;
use super::surroundings::Surroundings;
use super::token::Token;
use super::voice::Voice;
use super::watchdog::Watchdog;
use super::workers::Workers;
use crate::core::{Event, Machine, Now, Origin, Outcome, Request, Requester, StopBy};
use crate::os::clock;
use crate::os::epoll::Epoll;
use crate::os::process;
use crate::os::signals::SignalFd;
use crate::protocol::control::Wait;
use crate::protocol::signal_name::Signal;

/// Everything that the loop works with.
pub struct Supervisor {
    pub(super) settings: Settings,
    pub(super) machine: Machine,
    pub(super) epoll: Epoll,
    pub(super) signals: SignalFd,
    pub(super) workers: Workers,
    pub(super) spawner: Spawner,
    pub(super) listeners: Listeners,
    pub(super) manager: Manager,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) control: Option<Control>,
    pub(super) runtime: Runtime,
    pub(super) surroundings: Surroundings,
    pub(super) voice: Voice,
    pub(super) invocation_id: Option<String>,
    /// Events that wait for the machine.
    pub(super) queue: VecDeque<Event>,
    /// Clients that wait for something to hold.
    pub(super) waits: Vec<(Requester, Wait)>,
    /// Set by the machine's last action.
    pub(super) outcome: Option<Outcome>,
    /// Whether the manager's socket is being waited for.
    pub(super) manager_blocked: bool,
}

/// What the loop is built from.
pub struct Parts {
    /// What was asked for.
    pub settings: Settings,
    /// The state machine, not started.
    pub machine: Machine,
    /// What the loop waits with; the signals and the control socket are in it.
    pub epoll: Epoll,
    /// The signals that are ours.
    pub signals: SignalFd,
    /// How to start a worker.
    pub spawner: Spawner,
    /// What is handed over.
    pub listeners: Listeners,
    /// systemd.
    pub manager: Manager,
    /// systemd's watchdog.
    pub watchdog: Option<Watchdog>,
    /// Where clients ask.
    pub control: Option<Control>,
    /// Where our sockets live.
    pub runtime: Runtime,
    /// What surrounds the workers.
    pub surroundings: Surroundings,
    /// Whose words the log uses.
    pub voice: Voice,
    /// INVOCATION_ID, to know the unit's own control processes by.
    pub invocation_id: Option<String>,
}

/// Why the loop cannot go on. Each is an error of the machine that we run on.
#[derive(Debug)]
pub struct Broken {
    /// What was being done.
    pub stage: &'static str,
    /// Why it failed.
    pub error: io::Error,
}

pub(super) fn broken(stage: &'static str) -> impl FnOnce(io::Error) -> Broken {
    move |error| Broken { stage, error }
}

impl Supervisor {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            settings: parts.settings,
            machine: parts.machine,
            epoll: parts.epoll,
            signals: parts.signals,
            workers: Workers::default(),
            spawner: parts.spawner,
            listeners: parts.listeners,
            manager: parts.manager,
            watchdog: parts.watchdog,
            control: parts.control,
            runtime: parts.runtime,
            surroundings: parts.surroundings,
            voice: parts.voice,
            invocation_id: parts.invocation_id,
            queue: VecDeque::new(),
            waits: Vec::new(),
            outcome: None,
            manager_blocked: false,
        }
    }

    /// Removes the files of the unix sockets that we bound; answers what could not be removed.
    pub fn remove_socket_files(&mut self) -> Vec<(PathBuf, io::Error)> {
        self.listeners.remove_files()
    }

    /// Runs until everybody is gone.
    ///
    /// # Errors
    /// When waiting itself fails: then there is nothing left to wait with.
    pub fn run(&mut self) -> Result<Outcome, Broken> {
        debug_assert!(
            process::is_single_threaded().unwrap_or(true),
            "fork needs a single thread"
        );
        self.queue.push_back(Event::Start);
        let mut tokens = Vec::new();
        loop {
            self.work_off()?;
            if let Some(outcome) = self.outcome {
                if self.workers.is_empty() {
                    return Ok(outcome);
                }
            }
            let timeout = self.next_wake_up();
            tokens.clear();
            let ready = self.epoll.wait(timeout).map_err(broken("waiting"))?;
            tokens.extend(ready.map(|ready| ready.token));
            tokens.sort_unstable();
            for token in tokens
                .iter()
                .filter_map(|number| Token::from_number(*number))
            {
                self.hear(token)?;
            }
            self.queue.push_back(Event::Tick);
        }
    }

    /// The time until something is due; none when only others can wake us.
    fn next_wake_up(&self) -> Option<Duration> {
        let now = clock::now();
        let machine = self.machine.deadline().map(Now::since_start);
        let watchdog = self.watchdog.as_ref().map(Watchdog::due);
        let due = [machine, watchdog].into_iter().flatten().min();
        due.map(|due| due.saturating_sub(now))
    }

    /// Feeds the machine until it has nothing to do any more.
    fn work_off(&mut self) -> Result<(), Broken> {
        if let Some(watchdog) = &mut self.watchdog {
            // Only a loop that comes round pets: that is the point of it.
            if watchdog.is_due(clock::now()) {
                self.manager.pet();
            }
        }
        loop {
            while let Some(event) = self.queue.pop_front() {
                let actions = self.machine.step(event, Now::at(clock::now()));
                for action in actions {
                    self.perform(action)?;
                }
            }
            self.answer_waits()?;
            self.flush_manager()?;
            // A client that was answered may have its next call ready.
            if self.queue.is_empty() {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, token: Token) -> Result<(), Broken> {
        match token {
            Token::Exit(generation) => {
                let news = self.workers.reap(generation, &self.epoll);
                self.take_end(generation, news.map_err(broken("reaping a worker"))?)?;
            }
            Token::Outcome(generation) => {
                let news = self.workers.look_at_start(generation, &self.epoll);
                self.take_news(
                    generation,
                    news.map_err(broken("reading how a start went"))?,
                )?;
            }
            Token::Mail(generation) => match self.workers.read_mail(generation) {
                Ok(news) => self.take_news(generation, news)?,
                Err(error) => log::warn!("cannot read what generation {generation} says: {error}"),
            },
            Token::Signals => self.hear_signals()?,
            // The outbox is emptied after every round.
            Token::Manager => {}
            Token::Control => {
                if let Some(control) = &mut self.control {
                    control
                        .accept(&self.epoll)
                        .map_err(broken("accepting a control client"))?;
                }
            }
            Token::Client(id) => self.attend_client(id)?,
            Token::Readiness(generation) => self.hear_readiness(generation)?,
            Token::Probe(generation) => self.hear_probe(generation)?,
            Token::Tree(generation) => self.look_at_tree(generation)?,
            Token::Stored(id) => self
                .surroundings
                .fd_store
                .give_up(id, &self.epoll)
                .map_err(broken("closing a stored descriptor"))?,
        }
        Ok(())
    }

    fn hear_signals(&mut self) -> Result<(), Broken> {
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
                Signal::TERM | Signal::QUIT => self.queue_stop(StopBy::Terminate),
                Signal::INT => self.queue_stop(StopBy::Interrupt),
                // Its message is the pidfd's; as PID 1 there may be others.
                Signal::CHLD => self.reap_strangers(),
                signal => log::info!("received {signal}: ignored (see --forward)"),
            }
        }
        Ok(())
    }

    fn queue_stop(&mut self, by: StopBy) {
        self.queue.push_back(Event::Stop {
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
            log::warn!("cannot send {signal} to generation {generation}: {error}");
        }
    }

    pub(super) fn reap_strangers(&self) {
        if std::process::id() == 1 {
            let ours = |pid| self.workers.owns(pid) || self.surroundings.probes.owns(pid);
            if let Err(error) = process::reap_strangers(ours) {
                log::warn!("cannot reap processes that we did not start: {error}");
            }
        }
    }
}
