//! `sd-starter`, also under the name `start_server`. See `sd-starter --help`.

use std::io::Write;
use std::process::ExitCode;

use sd_starter::cli::{self, Refusal};
use sd_starter::core::Outcome;
use sd_starter::shell::settings::Invocation;
use sd_starter::shell::start::{Environment, exit_code, supervise};

fn main() -> ExitCode {
    let environment: Vec<_> = std::env::vars_os().collect();
    let code = match cli::parse(std::env::args_os(), &environment) {
        Ok(Invocation::Supervise(settings)) => {
            match supervise(*settings, Environment(environment)) {
                Ok(Outcome::Stopped) => exit_code::OK,
                Ok(Outcome::NeverServed) => exit_code::NEVER_SERVED,
                Err(failure) => {
                    complain(&failure.to_string());
                    failure.exit_code()
                }
            }
        }
        Ok(Invocation::Restart(_) | Invocation::Stop(_)) => {
            complain("--restart and --stop are not here yet");
            exit_code::OTHER
        }
        Err(refusal) => {
            let code = refusal.code();
            match refusal {
                Refusal::Text(text) => {
                    // That nobody reads the help is no error.
                    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
                }
                Refusal::Mistake { line, .. } => complain(&line),
            }
            code
        }
    };
    ExitCode::from(code)
}

/// A line on stderr; that nobody reads it is no error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "sd-starter: {text}");
}
