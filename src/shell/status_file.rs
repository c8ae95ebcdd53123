//! `--status-file`: the generations that are or were ready, for scripts and for `--restart`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::luggage::{own_file, saved_own_file};
use super::own_file::OwnFile;
use crate::core::{Snapshot, State};
use crate::protocol::generation::Generation;
use crate::protocol::state::held;
use crate::protocol::status_file::render;

/// The file and what stands in it.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
    temporary: PathBuf,
    /// What stands in the file, or would if it could be written.
    listed: Vec<(Generation, i32)>,
    /// Set once we have written it.
    ours: Option<OwnFile>,
    trouble: bool,
}

impl StatusFile {
    /// Prepares; nothing is written yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".{}", std::process::id()));
        Self {
            path,
            temporary: temporary.into(),
            listed: Vec::new(),
            ours: None,
            trouble: false,
        }
    }

    /// What stands in the file, for a successor.
    #[must_use]
    pub fn save(&self) -> held::StatusFile {
        let listed = self.listed.iter();
        held::StatusFile {
            file: self.ours.as_ref().map(saved_own_file),
            listed: listed
                .map(|(generation, pid)| (generation.get(), *pid))
                .collect(),
        }
    }

    /// The file that a predecessor has written.
    pub fn take_over(&mut self, saved: &held::StatusFile) {
        let listed = saved.listed.iter();
        self.ours = saved.file.as_ref().map(own_file);
        self.listed = listed
            .filter_map(|(number, pid)| Some((Generation::new(*number)?, *pid)))
            .collect();
    }

    /// Writes the file if something has changed.
    ///
    /// # Errors
    /// As open(2), write(2) and rename(2), once until it works again (B6): a disk that is full
    /// is no reason to stop serving.
    pub fn update(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let listed = listed(snapshot, &self.listed);
        if listed == self.listed {
            return Ok(());
        }
        self.listed = listed;
        match self.write() {
            Ok(ours) => {
                self.ours = Some(ours);
                self.trouble = false;
                Ok(())
            }
            Err(_) if self.trouble => Ok(()),
            Err(error) => {
                self.trouble = true;
                Err(error)
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file if it is the one that we wrote last.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove(&mut self) -> io::Result<()> {
        self.ours.take().map_or(Ok(()), |ours| ours.remove())
    }

    /// Whoever reads sees the old list or the new one, never a part.
    fn write(&self) -> io::Result<OwnFile> {
        let open = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o666)
                .open(&self.temporary)
        };
        let mut file = match open() {
            // Left behind by a process that had our pid: exclusive again, so no link is followed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&self.temporary)?;
                open()?
            }
            other => other?,
        };
        let written = file
            .write_all(render(&self.listed).as_bytes())
            .and_then(|()| OwnFile::new(&self.path, &file))
            .and_then(|ours| fs::rename(&self.temporary, &self.path).map(|()| ours));
        if written.is_err() {
            // What is half written is of no use; if even this fails the error above says why.
            let _ = fs::remove_file(&self.temporary);
        }
        written
    }
}

/// Who is listed: whoever is ready, and whoever leaves and was listed before. A generation that
/// never became ready is not, and neither is a dead one (B16).
fn listed(snapshot: &Snapshot, before: &[(Generation, i32)]) -> Vec<(Generation, i32)> {
    let generations = snapshot.generations.iter();
    let worker = generations.filter(|seen| match seen.state {
        State::Spawned | State::Booting => false,
        State::Trial | State::Serving => true,
        State::Draining => before
            .iter()
            .any(|(generation, _)| *generation == seen.generation),
    });
    worker.map(|seen| (seen.generation, seen.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Now, Seen};
    use crate::os::scratch::Scratch;

    fn snapshot(workers: &[(u64, State)]) -> Snapshot {
        let seen = |(number, state): &(u64, State)| Seen {
            generation: Generation::new(*number).unwrap(),
            pid: i32::try_from(*number).unwrap() + 100,
            state: *state,
            forked: Now::default(),
            since: None,
            deadline: None,
            words: None,
        };
        Snapshot {
            generations: workers.iter().map(seen).collect(),
            newest: None,
            swapping: false,
            announced: false,
            stopping: false,
            last_failure: None,
            last_verdict: None,
            reloads_failed: 0,
            restarts: 0,
        }
    }

    #[test]
    fn a_generation_is_listed_from_ready_to_gone() {
        let scratch = Scratch::new();
        let path = scratch.path("status");
        let mut file = StatusFile::new(path.clone());
        let mut after = |workers: &[(u64, State)]| {
            file.update(&snapshot(workers)).unwrap();
            fs::read_to_string(&path).ok()
        };
        assert_eq!(after(&[(9, State::Booting)]), None);
        assert_eq!(after(&[(9, State::Serving)]).unwrap(), "9:109\n");
        let trial = [(9, State::Serving), (10, State::Trial)];
        assert_eq!(after(&trial).unwrap(), "9:109\n10:110\n");
        let swapped = [(9, State::Draining), (10, State::Serving)];
        assert_eq!(after(&swapped).unwrap(), "9:109\n10:110\n");
        let failed = [(10, State::Serving), (11, State::Draining)];
        assert_eq!(after(&failed).unwrap(), "10:110\n");
        assert_eq!(after(&[]).unwrap(), "");
        file.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn b6_trouble_is_said_once_and_a_file_of_others_stays() {
        let scratch = Scratch::new();
        let path = scratch.path("dir/status");
        let mut file = StatusFile::new(path.clone());
        let serving = |number| snapshot(&[(number, State::Serving)]);
        assert!(file.update(&serving(1)).is_err());
        assert!(file.update(&serving(2)).is_ok());
        fs::create_dir(scratch.path("dir")).unwrap();
        fs::write(&path, "theirs").unwrap();
        file.remove().unwrap();
        assert!(path.exists());
        assert!(file.update(&serving(3)).is_ok());
        assert_eq!(fs::read_to_string(&path).unwrap(), "3:103\n");
        file.remove().unwrap();
        assert!(!path.exists());
    }
}
