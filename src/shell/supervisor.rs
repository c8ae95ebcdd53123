//! The loop: the only place that sees both the core and the effects. It decides nothing.
//!
//! One thread, one epoll. What the descriptors say becomes events, the machine turns them into
//! actions, and `deeds` carries these out. Between two wake-ups nothing runs.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::control::Control;
use super::envdir::Envdir;
use super::listeners::Listeners;
use super::log_command::LogCommand;
use super::manager::Manager;
use super::own_program::OwnProgram;
use super::pid_file::PidFile;
use super::resources::Resources;
use super::rest::{Done, Rest};
use super::runtime::Runtime;
use super::settings::Settings;
use super::spawn::Spawner;
use super::status_file::StatusFile;
use super::surroundings::Surroundings;
use super::survival::Survival;
use super::token::Token;
use super::trial::Trial;
use super::vault::Vault;
use super::voice::Voice;
use super::watchdog::Watchdog;
use super::workers::Workers;
use crate::core::{Action, Event, Machine, Now, Outcome, Requester};
use crate::os::clock;
use crate::os::daemon::Herald;
use crate::os::epoll::Epoll;
use crate::os::process;
use crate::os::reason::Reason;
use crate::os::signals::{Original, SignalFd};
use crate::protocol::control::Wait;

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
    pub(super) vault: Option<Vault>,
    /// Set where a successor could take over after a crash.
    pub(super) survival: Option<Survival>,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) control: Option<Control>,
    pub(super) runtime: Option<Runtime>,
    pub(super) surroundings: Surroundings,
    pub(super) voice: Voice,
    pub(super) invocation_id: Option<String>,
    pub(super) envdir: Envdir,
    pub(super) status_file: Option<StatusFile>,
    /// Held while we live.
    pub(super) pid_file: Option<PidFile>,
    /// What we were started as, for whoever takes our place.
    pub(super) own_program: OwnProgram,
    /// The signals that we were started with.
    pub(super) original: Original,
    /// Whether there are children that we did not start.
    pub(super) reaps_strangers: bool,
    /// A new program that is being tried.
    pub(super) trial: Option<Trial>,
    /// One that can take over.
    pub(super) successor: Option<OwnedFd>,
    pub(super) log_command: Option<LogCommand>,
    /// Set until the parent of a daemon knows how the start went.
    pub(super) herald: Option<Herald>,
    /// Events that wait for the machine.
    pub(super) queue: VecDeque<Event>,
    /// What the generations use.
    pub(super) resources: Resources,
    /// What was given back when.
    pub(super) rest: Rest,
    /// When we began.
    pub(super) started: Now,
    /// Clients that wait for something to hold.
    pub(super) waits: Vec<(Requester, Wait)>,
    /// Set by the machine's last action.
    pub(super) outcome: Option<Outcome>,
    /// Since when nothing can have come that was not heard.
    pub(super) looked: Duration,
    /// Whether the manager's socket is being waited for.
    pub(super) manager_blocked: bool,
    /// When it is looked at again: if it cannot be waited for, or an answer has waited long enough.
    pub(super) manager_due: Option<Duration>,
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
    /// What it keeps for us.
    pub vault: Option<Vault>,
    /// systemd's watchdog.
    pub watchdog: Option<Watchdog>,
    /// Where clients ask.
    pub control: Option<Control>,
    /// Where our sockets live.
    pub runtime: Option<Runtime>,
    /// What surrounds the workers.
    pub surroundings: Surroundings,
    /// Whose words the log uses.
    pub voice: Voice,
    /// INVOCATION_ID, to know the unit's own control processes by.
    pub invocation_id: Option<String>,
    /// The directory of variables.
    pub envdir: Envdir,
    /// Where the generations are listed.
    pub status_file: Option<StatusFile>,
    /// Our pid for scripts, and its lock.
    pub pid_file: Option<PidFile>,
    /// What we were started as.
    pub own_program: OwnProgram,
    /// The signals that we were started with.
    pub original: Original,
    /// Whether there are children that we did not start.
    pub reaps_strangers: bool,
    /// What takes the log, if that is a command.
    pub log_command: Option<LogCommand>,
    /// The way to the parent of a daemon.
    pub herald: Option<Herald>,
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
            vault: parts.vault,
            survival: None,
            watchdog: parts.watchdog,
            control: parts.control,
            runtime: parts.runtime,
            surroundings: parts.surroundings,
            voice: parts.voice,
            invocation_id: parts.invocation_id,
            envdir: parts.envdir,
            status_file: parts.status_file,
            pid_file: parts.pid_file,
            own_program: parts.own_program,
            original: parts.original,
            reaps_strangers: parts.reaps_strangers,
            trial: None,
            successor: None,
            log_command: parts.log_command,
            herald: parts.herald,
            queue: VecDeque::new(),
            resources: Resources::default(),
            rest: Rest::default(),
            started: Now::at(clock::now()),
            waits: Vec::new(),
            outcome: None,
            looked: clock::now(),
            manager_blocked: false,
            manager_due: None,
        }
    }

    /// Removes our files, in the order in which a successor needs their names; what is left to be
    /// closed is the log.
    pub fn clean_up(&mut self) -> Option<LogCommand> {
        self.empty_vault();
        for (path, error) in self.listeners.remove_files() {
            log::warn!(
                "cannot remove the socket {}: {}",
                path.display(),
                Reason(&error)
            );
        }
        if let Some(status_file) = &mut self.status_file {
            if let Err(error) = status_file.remove() {
                let path = status_file.path().display();
                log::warn!("cannot remove the status file {path}: {}", Reason(&error));
            }
        }
        self.log_command.take()
    }

    /// What systemd keeps for a restart of the service is what our next life can use: sockets, if
    /// those of paths keep their files.
    fn empty_vault(&mut self) {
        self.end_survival();
        let Some(vault) = &mut self.vault else { return };
        let systemds = self
            .runtime
            .as_ref()
            .filter(|runtime| runtime.is_systemds());
        let below: Vec<_> = systemds
            .map(|runtime| runtime.directory().to_owned())
            .into_iter()
            .collect();
        for name in self.listeners.leave_files(&below) {
            vault.release(&mut self.manager, &name);
        }
        // What does not get through is found useless in our next life.
        drop(self.manager.flush());
    }

    /// The loop cannot go on: the workers are told to leave, as nobody leads them any more.
    pub fn abandon(&self) {
        self.workers.signal_all(self.settings.signal_on_term);
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
        let mut is_first = true;
        loop {
            self.work_off()?;
            if std::mem::take(&mut is_first) {
                // Not before the first worker is on its way: there may be thousands.
                self.listeners.watch(&self.epoll);
            }
            if let Some(outcome) = self.outcome {
                if self.workers.is_empty() {
                    return Ok(outcome);
                }
            }
            self.hand_over();
            // Where it came back it has left an event.
            if !self.queue.is_empty() {
                continue;
            }
            tokens.clear();
            self.looked = clock::now();
            self.rest.before_sleep(self.done(), self.looked);
            let timeout = self.next_wake_up();
            let ready = self.epoll.wait(timeout).map_err(broken("waiting"))?;
            tokens.extend(ready.map(|ready| ready.token));
            if tokens.is_empty() {
                // The time is up. Whoever acts on that has to have heard what came meanwhile, also
                // when we were stopped (SIGSTOP, a machine that stalls).
                self.looked = clock::now();
                let ready = self.epoll.wait(Some(Duration::ZERO));
                tokens.extend(ready.map_err(broken("waiting"))?.map(|ready| ready.token));
            }
            tokens.extend(self.workers.unwatched(&self.epoll).map(u64::from));
            tokens.sort_unstable();
            for token in tokens
                .iter()
                .filter_map(|number| Token::from_number(*number))
            {
                self.hear(token)?;
            }
            self.mind_the_door()?;
            self.mind_strays();
            self.queue.push_back(Event::Tick);
        }
    }

    /// What has been done, if nothing is under way and nobody is being talked to.
    fn done(&self) -> Option<Done> {
        let visits = self.control.as_ref().map_or(Some(0), Control::visits);
        let done = self.machine.settled().zip(visits);
        done.map(|(generation, visits)| Done { generation, visits })
    }

    /// The time until something is due; none when only others can wake us.
    fn next_wake_up(&self) -> Option<Duration> {
        let now = clock::now();
        let machine = self.machine.deadline().map(Now::since_start);
        let watchdog = self.watchdog.as_ref().map(Watchdog::due);
        let log_command = self.log_command.as_ref().and_then(LogCommand::due);
        let door = self.control.as_ref().and_then(Control::due);
        let strays = self.survival.as_ref().and_then(Survival::due);
        let due = [
            machine,
            watchdog,
            log_command,
            door,
            self.manager_due,
            strays,
            self.workers.due(now),
            self.rest.due(),
        ];
        let due = due.into_iter().flatten().min();
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
        if let Some(log_command) = &mut self.log_command {
            log_command
                .start_if_due(&self.epoll)
                .map_err(broken("waiting for the log command"))?;
        }
        loop {
            while let Some(event) = self.queue.pop_front() {
                // A Tick is of the moment up to which everything has been heard.
                let now = match event {
                    Event::Tick => self.looked,
                    _ => clock::now(),
                };
                let actions = self.machine.step(event, Now::at(now));
                self.write_ahead(&actions)?;
                // What is done goes before what is said of it: nobody waits for a line, but a worker
                // to be started and an old one to be told to leave wait for each system call here.
                let is_note = |action: &Action| matches!(action, Action::Note(_));
                let (notes, deeds): (Vec<_>, Vec<_>) = actions.into_iter().partition(is_note);
                let done: Result<(), _> = deeds.into_iter().try_for_each(|deed| self.perform(deed));
                for note in notes {
                    self.perform(note)?;
                }
                done?;
                self.strike_off()?;
                self.update_status_file();
            }
            self.write_down()?;
            self.workers
                .discard_mail()
                .map_err(broken("reading a notify socket"))?;
            self.tell_parent();
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
                Err(error) => log::warn!(
                    "cannot read what generation {generation} says: {}",
                    Reason(&error)
                ),
            },
            Token::LogCommand => {
                if let Some(log_command) = &mut self.log_command {
                    log_command
                        .reap(&self.epoll)
                        .map_err(broken("reaping the log command"))?;
                }
            }
            Token::Signals => self.hear_signals()?,
            Token::Envdir => self.look_at_envdir(),
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
            Token::Trial => self.hear_trial()?,
            Token::Listener(number) => self.revive_listener(number),
            Token::Stored(id) => self
                .surroundings
                .fd_store
                .give_up(id, &self.epoll)
                .map_err(broken("closing a stored descriptor"))?,
        }
        Ok(())
    }
}
