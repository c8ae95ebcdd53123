//! A cgroup for each generation, where systemd has delegated ours (`Delegate=yes`; cgroups(7)).
//!
//! So a generation can be killed with everybody whom it started, and is not gone before they are.
//! We ourselves live in the leaf `supervisor` (`DelegateSubgroup=supervisor`, since systemd 254;
//! before, we move), because a cgroup with processes of its own cannot have controllers below.
//!
//! Limitations: cgroup v2 only. Before Linux 5.14 there is no cgroup.kill: the processes are then
//! killed one by one, and one that forks fast enough gets away until the unit stops.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::token::Token;
use crate::core::Exit;
use crate::os::epoll::{Epoll, Interest};
use crate::os::process;
use crate::protocol::cgroup_path;
use crate::protocol::generation::Generation;
use crate::protocol::state::held;

/// The leaf where we live.
const OURS: &str = "supervisor";

/// How systemd marks a delegated cgroup; the first is for everybody's eyes, but younger.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// How many names are tried before something must be wrong.
const TRIES: u32 = 100;

/// The cgroups of all generations.
#[derive(Debug)]
pub struct Cgroups {
    unit: PathBuf,
    leaves: BTreeMap<Generation, Leaf>,
}

#[derive(Debug)]
struct Leaf {
    directory: PathBuf,
    /// `cgroup.events`, which polls as an error when it has changed.
    events: File,
    /// How the worker ended, once it has, while others are left.
    exit: Option<Exit>,
}

/// Our own cgroup v2 path, where there is one.
#[must_use]
pub fn own_path() -> Option<String> {
    let mut text = String::with_capacity(4096);
    let file = File::open("/proc/self/cgroup").ok()?;
    // Bounded, so that nobody asks for its size first, which is 0.
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    cgroup_path::unified(&text).map(str::to_owned)
}

/// Whether this is the leaf where we live below the unit's cgroup.
pub(super) fn is_our_leaf(directory: &Path) -> bool {
    directory.file_name().is_some_and(|name| name == OURS)
}

impl Cgroups {
    /// Takes over the unit's cgroup, which is at `path` ([`own_path`]), if it was delegated to us;
    /// `None` where it was not.
    ///
    /// # Errors
    /// As mkdir(2), `EROFS` with `ProtectControlGroups=yes`; as a write to `cgroup.procs`.
    pub fn take_over(path: &str) -> io::Result<Option<Self>> {
        if path == "/" {
            return Ok(None);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let Some(own) = cgroup_path::directory(&mounts, path).map(PathBuf::from) else {
            return Ok(None);
        };
        let at_home = own.file_name().is_some_and(|name| name == OURS);
        let unit = match own.parent() {
            Some(parent) if at_home => parent.to_owned(),
            _ => own,
        };
        if !is_delegated(&unit) {
            return Ok(None);
        }
        if !at_home {
            let leaf = unit.join(OURS);
            match fs::create_dir(&leaf) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => write(&leaf.join("cgroup.procs"), b"0")?,
            }
        }
        // So that the kernel counts each leaf's memory. Where the controller was not delegated, or
        // belongs to cgroup v1, we add it up ourselves (see `resources`).
        let _ = write(&unit.join("cgroup.subtree_control"), b"+memory");
        let leaves = BTreeMap::new();
        Ok(Some(Self { unit, leaves }))
    }

    /// The unit's directory.
    #[must_use]
    pub fn unit(&self) -> &Path {
        &self.unit
    }

    /// Makes a leaf for a generation and answers its open `cgroup.procs`.
    ///
    /// # Errors
    /// As mkdir(2), open(2) and epoll_ctl(2).
    pub fn open(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<OwnedFd> {
        let directory = self.create(generation)?;
        let opened = || -> io::Result<(File, File)> {
            let procs = OpenOptions::new()
                .write(true)
                .open(directory.join("cgroup.procs"))?;
            let events = File::open(directory.join("cgroup.events"))?;
            // Only what has been read once can change.
            is_populated(&events)?;
            let token = Token::Tree(generation).into();
            epoll.add(events.as_fd(), token, Interest::Changed)?;
            Ok((procs, events))
        };
        let (procs, events) = opened().inspect_err(|_| remove(&directory))?;
        let leaf = Leaf {
            directory,
            events,
            exit: None,
        };
        self.leaves.insert(generation, leaf);
        Ok(procs.into())
    }

    /// A new directory. Its name is unique, because those of an earlier life of ours may be
    /// left: systemd 247 starts a unit again before the last processes are reaped.
    fn create(&self, generation: Generation) -> io::Result<PathBuf> {
        let pid = std::process::id();
        let mut taken = io::ErrorKind::AlreadyExists.into();
        for attempt in 0..TRIES {
            let directory = self.unit.join(match attempt {
                0 => format!("gen-{generation}-{pid}"),
                _ => format!("gen-{generation}-{pid}.{attempt}"),
            });
            match fs::create_dir(&directory) {
                Ok(()) => return Ok(directory),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    /// The leaves, for a successor.
    #[must_use]
    pub fn save(&self) -> Vec<held::Cgroup> {
        let save = |(generation, leaf): (&Generation, &Leaf)| held::Cgroup {
            generation: generation.get(),
            directory: leaf.directory.as_path().into(),
            exit: leaf.exit.map(Into::into),
        };
        self.leaves.iter().map(save).collect()
    }

    /// A leaf that a predecessor has made, and how its worker ended, if it has.
    ///
    /// # Errors
    /// As open(2), `NotFound` when it is gone; as epoll_ctl(2).
    pub fn inherit(
        &mut self,
        generation: Generation,
        directory: PathBuf,
        exit: Option<Exit>,
        epoll: &Epoll,
    ) -> io::Result<()> {
        let events = File::open(directory.join("cgroup.events"))?;
        is_populated(&events)?;
        let token = Token::Tree(generation).into();
        epoll.add(events.as_fd(), token, Interest::Changed)?;
        let leaf = Leaf {
            directory,
            events,
            exit,
        };
        self.leaves.insert(generation, leaf);
        Ok(())
    }

    /// Whether a generation has one.
    #[must_use]
    pub fn contains(&self, generation: Generation) -> bool {
        self.leaves.contains_key(&generation)
    }

    /// The worker has ended, in this way: whether others of its leaf are left.
    ///
    /// # Errors
    /// As read(2).
    pub fn survives(&mut self, generation: Generation, exit: Exit) -> io::Result<bool> {
        let Some(leaf) = self.leaves.get_mut(&generation) else {
            return Ok(false);
        };
        leaf.exit = Some(exit);
        is_populated(&leaf.events)
    }

    /// Looks at a leaf that has changed: how its worker ended, if everybody is gone now.
    ///
    /// # Errors
    /// As read(2).
    pub fn look(&self, generation: Generation) -> io::Result<Option<Exit>> {
        let Some(leaf) = self.leaves.get(&generation) else {
            return Ok(None);
        };
        let populated = is_populated(&leaf.events)?;
        Ok(leaf.exit.filter(|_| !populated))
    }

    /// SIGKILL to everybody in a generation's leaf.
    ///
    /// # Errors
    /// As write(2).
    pub fn kill(&self, generation: Generation) -> io::Result<()> {
        let Some(leaf) = self.leaves.get(&generation) else {
            return Ok(());
        };
        match write(&leaf.directory.join("cgroup.kill"), b"1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                kill_one_by_one(&leaf.directory.join("cgroup.procs"))
            }
            other => other,
        }
    }

    /// Removes an empty leaf.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn close(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<()> {
        match self.leaves.remove(&generation) {
            Some(leaf) => {
                epoll.remove(leaf.events.as_fd())?;
                remove(&leaf.directory);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Marked by systemd; or, where nobody could read the mark (systemd before 251, not root), given
/// to our user while what is above it was not.
fn is_delegated(unit: &Path) -> bool {
    let marked = |name: &str| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(unit, name, &mut value[..]);
        length.is_ok_and(|length| value.get(..length) == Some(b"1"))
    };
    if DELEGATED.into_iter().any(marked) {
        return true;
    }
    let user = nix::unistd::geteuid();
    let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let above = unit.parent().and_then(owner);
    !user.is_root() && owner(unit) == Some(user.as_raw()) && above != Some(user.as_raw())
}

fn is_populated(events: &File) -> io::Result<bool> {
    let mut buffer = [0; 128];
    let count = match events.read_at(&mut buffer, 0) {
        // Nobody is in a cgroup that is gone: a worker with the rights to it took it away.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(false),
        other => other?,
    };
    let text = String::from_utf8_lossy(&buffer[..count]);
    Ok(cgroup_path::is_populated(&text))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(bytes)
}

fn kill_one_by_one(procs: &Path) -> io::Result<()> {
    let members = || -> io::Result<Vec<i32>> {
        let text = fs::read_to_string(procs)?;
        Ok(text.lines().filter_map(|pid| pid.parse().ok()).collect())
    };
    for pid in members()? {
        let Ok(pidfd) = process::pidfd_open(pid) else {
            continue;
        };
        // Still a member: so the pidfd is of that process and of no later one.
        if members()?.contains(&pid) {
            // It may have ended by itself.
            let _ = process::send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
    }
    Ok(())
}

/// Removes a cgroup with those that a worker has made in it. What cannot be removed goes when
/// systemd removes the unit's.
fn remove(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
