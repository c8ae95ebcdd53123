//! The state machine's part of a saved state: `core::saved` writes it, `core::restored` reads it.
//!
//! Deliberately not the machine's own types: those may be rearranged, this may only grow. What the
//! administrator asked for (the machine's `Policy`) is not in here, because the command line in
//! force says it: after a crash that may be another one, and then the new rules count from there.

use super::record::{choice, record};

/// A moment: nanoseconds of CLOCK_MONOTONIC.
pub type Moment = u64;

/// A duration, in nanoseconds.
pub type Span = u64;

record! {
    /// The machine. By default, one that was asked for nothing yet.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct Machine {
        /// The newest generation number given out.
        pub newest: Option<u64>,
        /// What it is about.
        pub phase: Phase,
        /// Told to leave, oldest first.
        pub leaving: Vec<Leaving>,
        /// Requests that wait for the next swap.
        pub again: Vec<Request>,
        /// Whether READY=1 was ever sent.
        pub active: bool,
        /// Whether RELOADING=1 was sent and READY=1 is owed.
        pub reloading: bool,
        /// Deaths of serving generations in quick succession.
        pub deaths: u32,
        /// Whom a `--ready=command:CMD` that runs was asked about.
        pub probing: Option<u64>,
        /// The failure that STATUS mentions.
        pub last_failure: Option<Failure>,
        /// How the last reload ended, and when.
        pub last_verdict: Option<(Moment, Verdict)>,
        /// Reloads that failed.
        pub reloads_failed: u64,
        /// Serving generations that died by themselves.
        pub restarts: u64,
        /// How fast swaps may follow each other.
        pub pace: Pace,
        /// When systemd is to be asked for more time.
        pub extend_at: Option<Moment>,
        /// The STATUS that systemd knows.
        pub status: String,
        /// An upgrade that is under way.
        pub upgrade: Option<Upgrade>,
    }
}

record! {
    /// How fast swaps may follow each other.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct Pace {
        /// When as many as ever may begin at once.
        pub rested_at: Option<Moment>,
        /// Until when a request counts as one of many.
        pub crowded_until: Option<Moment>,
    }
}

choice! {
    /// What the machine is about.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub enum Phase {
        /// Nothing was asked for yet.
        #[default]
        New,
        /// One serves.
        Steady {
            /// Which.
            current: Serving,
        },
        /// A candidate is on its way.
        Swapping {
            /// The one that serves meanwhile.
            current: Option<Serving>,
            /// The candidate.
            next: Candidate,
        },
        /// Everybody leaves.
        Stopping(stopping: Stopping),
        /// Everybody is gone.
        Finished,
    }
}

record! {
    /// A worker's process.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Worker {
        /// Its generation.
        pub generation: u64,
        /// Its process id.
        pub pid: i32,
        /// When it was forked.
        pub forked: Moment,
        /// Its last STATUS=.
        pub words: Option<String>,
        /// Whether it has complained (ERRNO=).
        pub complained: bool,
        /// Its watchdog.
        pub watch: Watch,
    }
}

choice! {
    /// What is expected of a worker's watchdog.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Watch {
        /// Nothing.
        Off,
        /// Nothing for now.
        Resting {
            /// Its period.
            period: Span,
        },
        /// A sign of life.
        Armed {
            /// Its period.
            period: Span,
            /// Until when.
            due: Moment,
        },
        /// It did not come.
        Missed {
            /// Its period.
            period: Span,
        },
    }
}

record! {
    /// The generation that serves.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Serving {
        /// Its process.
        pub worker: Worker,
        /// Since when.
        pub since: Moment,
        /// The last swap or failed reload.
        pub settled: Moment,
    }
}

record! {
    /// The generation that is to serve next, over all its attempts.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Candidate {
        /// Why it exists.
        pub reason: Reason,
        /// How far its present attempt is.
        pub step: Step,
        /// Failures in a row.
        pub failures: u32,
        /// Failures since the requests joined.
        pub tries: u32,
        /// Who waits for it.
        pub requests: Vec<Request>,
    }
}

choice! {
    /// Why a candidate exists.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Reason {
        /// The first one ever.
        First,
        /// Somebody asked.
        Reload,
        /// The serving one died or hangs.
        Replacement,
    }
}

choice! {
    /// How far an attempt is.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub enum Step {
        /// A fork was asked for and not yet answered.
        Forking {
            /// As which generation.
            generation: u64,
        },
        /// Forked.
        Executing {
            /// Its process.
            worker: Worker,
            /// When it has failed.
            timeout_at: Option<Moment>,
        },
        /// Its program runs.
        Booting {
            /// Its process.
            worker: Worker,
            /// When being alive is enough.
            alive_at: Option<Moment>,
            /// How far asking a command is.
            probe: Probe,
            /// When it has failed.
            timeout_at: Option<Moment>,
        },
        /// Ready and watched.
        Trial {
            /// Its process.
            worker: Worker,
            /// Since when.
            ready_at: Moment,
            /// Until when.
            until: Moment,
        },
        /// Between two attempts.
        Pausing {
            /// Until when.
            until: Moment,
        },
    }
}

choice! {
    /// How far asking a command is.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Probe {
        /// None is asked.
        Off,
        /// It begins at this moment.
        At(at: Moment),
        /// It runs.
        Running {
            /// When it is cut off.
            until: Moment,
        },
        /// It was cut off.
        Ending,
    }
}

record! {
    /// A worker that was told to leave.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Leaving {
        /// Its process.
        pub worker: Worker,
        /// Why.
        pub why: Farewell,
        /// Since when.
        pub since: Moment,
        /// When it is killed.
        pub kill: Kill,
        /// Whether its own process is left, or only others of its cgroup.
        pub led: bool,
    }
}

choice! {
    /// Why a worker was told to leave.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Farewell {
        /// A newer one serves.
        Replaced,
        /// It failed as a candidate.
        Abandoned,
        /// Everybody leaves.
        Stopped,
        /// It died by itself.
        Died,
    }
}

choice! {
    /// When whoever leaves is killed.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Kill {
        /// Never.
        Never,
        /// At this moment.
        At {
            /// When.
            moment: Moment,
            /// After how long.
            patience: Span,
        },
        /// It was.
        Done,
    }
}

record! {
    /// The end, while it is under way.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Stopping {
        /// Whether by SIGINT.
        pub interrupted: bool,
        /// What the workers got.
        pub signal: i32,
        /// When those who are left are killed.
        pub kill: Kill,
        /// A fork that was asked for and not yet answered.
        pub forking: Option<u64>,
        /// Who waits for the end.
        pub requesters: Vec<u64>,
        /// Whether the first generation could not be started.
        pub never_served: bool,
    }
}

record! {
    /// A request for a reload.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Request {
        /// The connection that waits for the verdict.
        pub requester: Option<u64>,
        /// Where it came from.
        pub origin: Origin,
        /// Only if this generation serves.
        pub only_if: Option<u64>,
    }
}

choice! {
    /// Where a request came from.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Origin {
        /// `ExecReload=`.
        ControlProcess,
        /// `starterctl reload` from elsewhere.
        Client,
        /// SIGHUP.
        Hangup,
        /// `--enable-auto-restart`.
        Timer,
    }
}

choice! {
    /// How a request ended.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub enum Verdict {
        /// This one serves.
        Serving(generation: u64),
        /// It failed.
        Failed {
            /// Why.
            failure: Failure,
            /// Who keeps serving.
            kept: Option<u64>,
        },
        /// Another one serves than the one named.
        OtherGeneration {
            /// Which.
            serving: Option<u64>,
        },
        /// We stop.
        Stopping,
        /// We have stopped.
        Stopped,
        /// Another build took over.
        Upgraded {
            /// The version before.
            from: String,
            /// The version since.
            to: String,
        },
        /// It did not.
        NotUpgraded {
            /// Why.
            reason: String,
        },
    }
}

record! {
    /// Why an attempt failed.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Failure {
        /// Which generation.
        pub generation: u64,
        /// What happened.
        pub cause: Cause,
        /// Its last STATUS=.
        pub last_words: Option<String>,
    }
}

choice! {
    /// What ended an attempt.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub enum Cause {
        /// Fork or exec failed.
        NotStarted {
            /// Stage, thing and reason.
            text: String,
            /// errno(3).
            errno: i32,
        },
        /// It ended before it was ready.
        Exited {
            /// How.
            exit: Exit,
            /// How long after its fork.
            after: Span,
        },
        /// Not ready in time.
        NotReady {
            /// The time.
            timeout: Span,
        },
        /// It ended on trial.
        ExitedOnTrial {
            /// How.
            exit: Exit,
            /// How long after it was ready.
            after: Span,
        },
        /// It said that it is broken.
        Reported {
            /// What it said.
            text: String,
        },
        /// It hangs: no sign of life for this long; `None` when it said so itself.
        Hung {
            /// The period that passed.
            missed: Option<Span>,
        },
    }
}

choice! {
    /// How a process ended.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Exit {
        /// By itself.
        Status(status: i32),
        /// By a signal.
        Killed {
            /// Its number.
            signal: i32,
            /// Whether it left a core dump.
            core: bool,
        },
        /// Nobody knows.
        Unknown,
    }
}

record! {
    /// An upgrade that is under way.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Upgrade {
        /// How far it is.
        pub step: UpgradeStep,
        /// Who waits for it.
        pub requesters: Vec<u64>,
        /// Who asked since it began, if anybody did: another one is due then.
        pub again: Option<Vec<u64>>,
    }
}

choice! {
    /// How far an upgrade is.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub enum UpgradeStep {
        /// The new program is being tried.
        Checking {
            /// When that has failed.
            until: Moment,
        },
        /// The trial was cut off.
        Ending,
        /// It can take over.
        Replacing {
            /// Its version.
            version: String,
            /// When that has failed.
            until: Moment,
        },
    }
}
