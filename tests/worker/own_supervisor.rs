//! `own-supervisor`: one program that is its own supervisor, made of `sd_starter::Starter`.
//!
//! ```text
//! own-supervisor ADDRESS CONTROL_SOCKET
//! ```
//!
//! Without a generation it is the supervisor, and starts itself; with one it serves.

mod same_answer;

use std::process::ExitCode;
use std::time::Duration;

use sd_starter::shell::settings::Ready;
use sd_starter::{Starter, worker};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, control] = arguments.as_slice() else {
        eprintln!("usage: own-supervisor ADDRESS CONTROL_SOCKET");
        return ExitCode::from(2);
    };
    let done = match worker::generation() {
        Some(generation) => serve(address, generation),
        None => supervise(address, control),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("own-supervisor: {reason}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn supervise(address: &str, control: &str) -> Done {
    let outcome = Starter::new(std::env::current_exe()?)
        .args([address, control])
        .port(address)?
        .ready(Ready::Notify)
        .control_socket(control)
        .interval(Duration::from_millis(100))
        .run()?;
    eprintln!("own-supervisor: {outcome:?}");
    Ok(())
}

fn serve(address: &str, generation: worker::Generation) -> Done {
    let listener = worker::sockets()?.tcp_listener(address)?;
    worker::ready()?;
    let body = format!("hello from generation {generation} (one, pid 0)\n");
    Ok(same_answer::serve(&listener, &body)?)
}
