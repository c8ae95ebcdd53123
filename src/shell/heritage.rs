//! What a predecessor has left us: the state that it wrote, and the descriptors that came along.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use super::adopted::{self, Inherited};
use super::bequest::boot_id;
use super::foundation::policy;
use super::luggage::Luggage;
use super::settings::Settings;
use super::start::Environment;
use crate::core::{Machine, Now};
use crate::os::daemon::Herald;
use crate::os::fd;
use crate::os::reason::Reason;
use crate::os::signals::Original;
use crate::protocol::address::{Address, SocketKind};
use crate::protocol::listen_fds::Name;
use crate::protocol::state::{self, MAX_LENGTH, State, consent};
use crate::protocol::version::version;

/// In whose environment `PID:FD` says that the process PID finds a state on descriptor FD. It is
/// never passed on.
pub const VARIABLE: &str = "SD_STARTER_STATE";

/// All of it.
#[derive(Debug)]
pub struct Heritage {
    /// What was going on.
    pub state: State,
    /// With which descriptors.
    pub luggage: Luggage,
}

/// How we come to be.
#[derive(Debug)]
pub enum Descent {
    /// Without a predecessor in this process.
    None,
    /// In the place of one.
    Heir(Box<Heritage>),
    /// In the place of one whose state cannot be used.
    Disinherited {
        /// Why not.
        reason: String,
    },
}

impl Descent {
    /// Looks for what a predecessor has left, and takes the variable that says so out of the
    /// environment. To be called before any descriptor is opened.
    #[must_use]
    pub fn claim(environment: &mut Environment, settings: &Settings) -> Self {
        let place = environment.0.iter().position(|(name, _)| name == VARIABLE);
        let Some(place) = place else {
            return Self::None;
        };
        let (_, value) = environment.0.remove(place);
        let value = value.to_str().and_then(|value| value.split_once(':'));
        let Some((pid, number)) = value else {
            return Self::None;
        };
        // Like LISTEN_PID: a variable that strayed to another process means nothing to it.
        if pid != std::process::id().to_string() {
            return Self::None;
        }
        let Ok(number) = number.parse() else {
            return Self::None;
        };
        let read = fd::adopt(number)
            .map_err(|error| Reason(&error).to_string())
            .and_then(|fd| read(File::from(fd), settings));
        match read {
            Ok(state) => {
                let luggage = Luggage::inherit(&state.fds);
                Self::Heir(Box::new(Heritage { state, luggage }))
            }
            Err(reason) => Self::Disinherited { reason },
        }
    }
}

impl Heritage {
    /// When our predecessors began.
    #[must_use]
    pub fn started(&self) -> Now {
        Now::at(Duration::from_nanos(self.state.held.started))
    }

    /// The pipe to the parent of a daemon whose start is not over.
    pub fn herald(&mut self) -> Option<Herald> {
        let label = self.state.held.herald.as_ref()?;
        self.luggage.take(label).ok().map(Herald::inherited)
    }

    /// The signals that they were started with.
    #[must_use]
    pub fn original(&self) -> Original {
        let signals = &self.state.held.signals;
        Original::from_parts(&signals.blocked, signals.ignores_child)
    }
}

/// Reads a state and sees whether we could go on from there.
///
/// # Errors
/// The reason, in a line.
fn read(file: File, settings: &Settings) -> Result<State, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_LENGTH).unwrap_or(u64::MAX);
    let mut file = file.take(limit.saturating_add(1));
    file.read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the state: {}", Reason(&error)))?;
    let state = state::parse(&bytes).map_err(|error| format!("cannot use the state: {error}"))?;
    fitting(state, settings)
}

/// A state, if we could go on from there.
///
/// # Errors
/// The reason, in a line.
pub fn fitting(state: State, settings: &Settings) -> Result<State, String> {
    if state.held.boot != boot_id() {
        return Err("cannot use the state: it is of another boot".to_owned());
    }
    let sockets = state.held.listeners.len();
    Machine::restore(&state.machine, policy(settings, sockets))
        .map_err(|unfit| format!("cannot use the state: {unfit}"))?;
    Ok(state)
}

/// `--check-state`: whether we could take over from whoever wrote the state on standard input,
/// under this command line. The answer is for `Trial`.
///
/// # Errors
/// The reason, in a line.
pub fn check(settings: &Settings) -> Result<String, String> {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = input.map_err(|error| Reason(&error).to_string())?;
    read(input.into(), settings)?;
    Ok(consent::render(version()))
}

/// The listeners among what exec left open, for one who knows nothing else of them: they are ours,
/// because they were in this process, and what they are the kernel says. Our own control and notify
/// sockets are not among them.
#[must_use]
pub fn unclaimed(settings: &Settings) -> Vec<Inherited> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<i32>().ok()
    });
    // By number: the order in which they were opened.
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    let adopted = numbers.into_iter().filter_map(|number| {
        let fd = fd::adopt(number).ok()?;
        let facts = adopted::facts(fd.as_fd()).ok()?;
        let listens = match facts.kind {
            SocketKind::Stream | SocketKind::SeqPacket => facts.accepting == Some(true),
            SocketKind::Datagram => facts.address != Address::Unnamed,
            SocketKind::Raw | SocketKind::Other(_) | SocketKind::NotASocket => false,
        };
        let name = Name::unknown();
        (listens && !is_for_us(&facts.address, settings)).then_some(Inherited { number, name, fd })
    });
    adopted.collect()
}

/// Whether a unix socket is where only our own are: named as the control or a notify socket, and
/// nobody has asked for it.
fn is_for_us(address: &Address, settings: &Settings) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = match address {
        Address::UnixPath(path) => Path::new(std::ffi::OsStr::from_bytes(path)),
        Address::Unnamed => return true,
        _ => return false,
    };
    let name = path.file_name().unwrap_or_default().as_bytes();
    let ours = name == b"control" || name.ends_with(b".control") || name.starts_with(b"notify.");
    let control = settings.control_socket.as_deref() == Some(path);
    (ours || control) && !settings.paths.iter().any(|wanted| wanted == path)
}
