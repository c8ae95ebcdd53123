//! `sd-starter`, also under the name `start_server`. See `sd-starter --help`.

#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]
#![cfg_attr(
    all(target_env = "gnu", not(test)),
    expect(
        unsafe_code,
        reason = "main is exported under the C library's name for it"
    )
)]

use std::io::Write;

use sd_starter::Starter;
use sd_starter::cli::errand::{self, InVain};
use sd_starter::cli::{self, Refusal, escaped};
use sd_starter::core::Outcome;
#[cfg(all(target_env = "gnu", not(test)))]
use sd_starter::os::signals;
use sd_starter::shell::heritage;
use sd_starter::shell::settings::{Invocation, ProgramName};
use sd_starter::shell::start::exit_code;
use sd_starter::shell::voice::Voice;

/// Entered by the C library itself. Rust's runtime would first read /proc/self/maps, for a message in
/// case of a stack overflow: a seventh of the system calls before the first worker, and a tenth of the
/// time. (Arguments are there all the same where the C library is GNU's.)
#[cfg(all(target_env = "gnu", not(test)))]
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    signals::ignore_pipe();
    let code = run();
    // That nobody reads it is no error.
    let _ = std::io::stdout().flush();
    code.into()
}

#[cfg(any(not(target_env = "gnu"), test))]
fn main() -> std::process::ExitCode {
    run().into()
}

/// Does what the command line asks for, and answers the exit code.
fn run() -> u8 {
    let environment: Vec<_> = std::env::vars_os().collect();
    let name = cli::program_name(&std::env::args_os().next().unwrap_or_default());
    match cli::parse(std::env::args_os(), &environment) {
        Ok(Invocation::Supervise(settings)) => {
            match Starter::from(*settings).environment(environment).run() {
                Ok(Outcome::Stopped) => exit_code::OK,
                Ok(Outcome::NeverServed) => exit_code::NEVER_SERVED,
                Err(failure) => {
                    complain(name, &failure.say(Voice::of(name)));
                    failure.exit_code()
                }
            }
        }
        Ok(Invocation::CheckState(settings)) => match heritage::check(&settings) {
            Ok(consent) => {
                // If nobody reads it, nobody was asking.
                let _ = writeln!(std::io::stdout(), "{consent}");
                exit_code::OK
            }
            Err(reason) => {
                complain(name, &reason);
                exit_code::OTHER
            }
        },
        Ok(Invocation::Restart(errand)) => done(name, errand::restart(&errand)),
        Ok(Invocation::Stop(errand)) => {
            done(name, errand::stop(&errand, |line| complain(name, line)))
        }
        Err(refusal) => {
            let code = refusal.code();
            match refusal {
                Refusal::Text(text) => {
                    // That nobody reads the help is no error.
                    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
                }
                Refusal::Mistake { line, .. } => complain(name, &line),
            }
            code
        }
    }
}

fn done(name: ProgramName, result: Result<(), InVain>) -> u8 {
    match result {
        Ok(()) => exit_code::OK,
        Err(in_vain) => {
            // A worker's words may be in it.
            complain(name, &escaped::text(&in_vain.line));
            in_vain.code
        }
    }
}

/// A line on stderr; that nobody reads it is no error. start_server's lines bear no name.
fn complain(name: ProgramName, text: &str) {
    let prefix = match name {
        ProgramName::SdStarter => "sd-starter: ",
        ProgramName::StartServer => "",
    };
    let _ = writeln!(std::io::stderr(), "{prefix}{text}");
}
