//! What is measured.

use crate::contender::Contender;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    Start,
    StartOf1000,
    ReloadMain,
    ReadyTold,
    Answer,
    Cpu,
    CpuOwn,
    PssStarted,
    PssReloaded,
    PrivateDirty,
    SocketBytes,
    WakeUps,
    P99Quiet,
    P99Reloads,
    P99Ratio,
    Reloads,
    Lost,
    Systemctl,
    EarlyDirty,
    LateDirty,
    EarlyDescriptors,
    LateDescriptors,
    EarlyThreads,
    LateThreads,
    Size,
}

impl Metric {
    pub(crate) const ALL: [Self; 25] = [
        Self::Start,
        Self::StartOf1000,
        Self::ReloadMain,
        Self::ReadyTold,
        Self::Answer,
        Self::Cpu,
        Self::CpuOwn,
        Self::PssStarted,
        Self::PssReloaded,
        Self::PrivateDirty,
        Self::SocketBytes,
        Self::WakeUps,
        Self::P99Quiet,
        Self::P99Reloads,
        Self::P99Ratio,
        Self::Reloads,
        Self::Lost,
        Self::Systemctl,
        Self::EarlyDirty,
        Self::LateDirty,
        Self::EarlyDescriptors,
        Self::LateDescriptors,
        Self::EarlyThreads,
        Self::LateThreads,
        Self::Size,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Start => "exec of the supervisor to the worker's main(), ms",
            Self::StartOf1000 => "the same with 1,000 sockets, ms",
            Self::ReloadMain => "reload signal to the new worker's main(), ms",
            Self::ReadyTold => "new worker's READY to the old one's SIGTERM, ms",
            Self::Answer => "reload asked for to the new worker's first answer, ms",
            Self::Cpu => "CPU of 100 reloads, supervisor and its children up to main(), ms",
            Self::CpuOwn => "of which the supervisor itself, ms",
            Self::PssStarted => "idle after the start: PSS, KiB",
            Self::PssReloaded => "idle after ten reloads: PSS, KiB",
            Self::PrivateDirty => "idle: private dirty memory, KiB",
            Self::SocketBytes => "idle: private dirty memory for each further socket, bytes",
            Self::WakeUps => "idle: context switches in 60 s",
            Self::P99Quiet => "p99 latency under load, no reloads, ms",
            Self::P99Reloads => {
                "p99 latency under load, a reload each 50 ms or as fast as it can, ms"
            }
            Self::P99Ratio => "p99 with reloads / p99 without, of laps one after the other",
            Self::Reloads => "reloads under load",
            Self::Lost => "requests lost in these",
            Self::Systemctl => "`systemctl reload` (or `restart`) as a whole, ms",
            Self::EarlyDirty => "private dirty memory after 10 reloads, KiB",
            Self::LateDirty => "private dirty memory after 10,000 reloads, KiB",
            Self::EarlyDescriptors => "descriptors after 10 reloads",
            Self::LateDescriptors => "descriptors after 10,000 reloads",
            Self::EarlyThreads => "threads after 10 reloads",
            Self::LateThreads => "threads after 10,000 reloads",
            Self::Size => "size of the program, MiB",
        }
    }

    /// The part of the bench that measures it.
    pub(crate) const fn part(self) -> &'static str {
        match self {
            Self::Start | Self::StartOf1000 => "starts",
            Self::ReloadMain | Self::ReadyTold | Self::Cpu | Self::CpuOwn => "reloads",
            Self::PssStarted | Self::PssReloaded | Self::PrivateDirty | Self::SocketBytes => {
                "memory"
            }
            Self::WakeUps => "idle",
            Self::Answer
            | Self::P99Quiet
            | Self::P99Reloads
            | Self::P99Ratio
            | Self::Reloads
            | Self::Lost => "load",
            Self::Systemctl => "systemd",
            Self::EarlyDirty
            | Self::LateDirty
            | Self::EarlyDescriptors
            | Self::LateDescriptors
            | Self::EarlyThreads
            | Self::LateThreads => "endurance",
            Self::Size => "done",
        }
    }

    /// Whether this row must have a figure for it.
    pub(crate) const fn applies_to(self, contender: Contender) -> bool {
        match self {
            Self::Start
            | Self::ReloadMain
            | Self::ReadyTold
            | Self::Cpu
            | Self::CpuOwn
            | Self::PssStarted
            | Self::PssReloaded
            | Self::PrivateDirty
            | Self::WakeUps => contender.has_records(),
            Self::StartOf1000 | Self::SocketBytes => contender.takes_1000_sockets(),
            Self::Answer
            | Self::P99Quiet
            | Self::P99Reloads
            | Self::P99Ratio
            | Self::Reloads
            | Self::Lost => true,
            Self::EarlyDirty
            | Self::LateDirty
            | Self::EarlyDescriptors
            | Self::LateDescriptors
            | Self::EarlyThreads
            | Self::LateThreads
            | Self::Systemctl
            | Self::Size => matches!(contender, Contender::Ours),
        }
    }
}
