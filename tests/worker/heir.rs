//! `heir`: generations that hand over state, in a file that has no name.
//!
//! Each finds in the store what the earlier ones have left, adds itself, and gives the file back to the
//! supervisor (`--fd-store-max`) before it says that it is ready. A cache that is warm, a counter, a
//! session table in shared memory (memfd_create(2)) travel the same way.

mod same_answer;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use sd_starter::worker::{self, Which};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sockets = worker::sockets()?;
    let mut state = match sockets.raw(Which::Name("state")) {
        Ok(fd) => File::from(fd),
        Err(_) => nameless()?,
    };
    let listener = sockets.tcp_listener(Which::Only)?;

    let mut inherited = String::new();
    state.rewind()?;
    state.read_to_string(&mut inherited)?;
    let generation = worker::generation().ok_or("no supervisor")?;
    let comma = if inherited.is_empty() { "" } else { "," };
    write!(state, "{comma}{generation}")?;
    // The same file again: the supervisor knows it, and keeps it once.
    worker::keep("state", &[state.as_fd()])?;
    worker::barrier(Duration::from_secs(10))?;
    worker::ready()?;

    let body = format!("inherited: {inherited}\n");
    Ok(same_answer::serve(&listener, &body)?)
}

/// A file that only descriptors lead to.
fn nameless() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("heir.{}", std::process::id()));
    let options = || {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
    };
    let file = options()?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
