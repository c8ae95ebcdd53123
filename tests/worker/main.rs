//! `hello`: a small HTTP server that is made to be swapped.
//!
//! It is the worker of this repository's tests and of the README's demo, and an example of the two
//! things that make any server hot-deployable: it takes its listening sockets from the environment
//! ([`inherited`], which is `sd_starter::worker` at work), and on SIGTERM it finishes what it has begun ([`drain`]).
//!
//! ```text
//! GET /                 hello from generation 7 (v2, pid 4242)
//! GET /hold?gate=PATH   the same line at once, the rest when a writer opens the FIFO at PATH
//! GET /report           what this process was given, as JSON (see `report`)
//! ```
//!
//! Everything that can go wrong with a deploy can be asked for by a flag ([`flags`]), on the
//! command line or in the file that `--deploy` names: a test deploys by rewriting that file.

mod connection;
mod drain;
mod flags;
mod inherited;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use connection::Site;
use drain::Drain;
use flags::Flags;
use report::Inheritance;
use sd_starter::worker;

fn main() -> ExitCode {
    // First of all: everything below changes what it reports.
    let inheritance = Inheritance::snapshot();
    let started = Instant::now();
    match Flags::read() {
        Ok(flags) => serve(&flags, inheritance, started).unwrap_or_else(|reason| fail(&reason)),
        Err(reason) => fail(&reason),
    }
}

fn serve(
    flags: &Flags,
    mut inheritance: Inheritance,
    started: Instant,
) -> Result<ExitCode, String> {
    if let Some(code) = flags.exit_at_start {
        eprintln!("hello: exiting with {code} at once, as told");
        return Ok(ExitCode::from(code));
    }
    let inherited = inherited::take()?;
    inheritance.ask_libsystemd();
    let listeners = &inherited.listeners;
    let drain = Drain::on_signals(flags.ignore_term).map_err(|e| format!("signals: {e}"))?;
    if let Some((after, code)) = flags.exit_after {
        std::thread::spawn(move || {
            std::thread::sleep(after.saturating_sub(started.elapsed()));
            eprintln!("hello: exiting with {code} after {after:?}, as told");
            exit(code);
        });
    }
    if flags.nonblocking {
        for listener in listeners {
            listener
                .set_nonblocking()
                .map_err(|e| format!("O_NONBLOCK: {e}"))?;
        }
    }
    if let Some(status) = &flags.status {
        worker::status(status).map_err(|e| format!("NOTIFY_SOCKET: {e}"))?;
    }
    if flags.never_ready {
        drain.begun_within(None);
        return Ok(ExitCode::SUCCESS);
    }
    if drain.begun_within(Some(flags.boot)) {
        return Ok(ExitCode::SUCCESS);
    }
    if flags.ready {
        worker::ready().map_err(|e| format!("NOTIFY_SOCKET: {e}"))?;
    }
    if let Some((after, _)) = flags.give_up_after {
        std::thread::spawn(move || {
            std::thread::sleep(after);
            eprintln!("hello: giving up after {after:?}, as told");
            let _ =
                nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGTERM);
        });
    }
    let site = Arc::new(Site::new(flags, inheritance, Arc::clone(&drain)));
    drain.accept_until_begun(listeners, |stream| {
        let site = Arc::clone(&site);
        move || connection::serve(stream, &site)
    })?;
    drain.wait_until_idle();
    if flags.linger {
        loop {
            std::thread::park();
        }
    }
    let code = flags.give_up_after.map_or(0, |(_, code)| code);
    Ok(ExitCode::from(code))
}

#[expect(clippy::exit, reason = "a crash does not wait for the other threads")]
fn exit(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("hello: {reason}");
    ExitCode::from(2)
}
