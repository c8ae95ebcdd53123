//! `sd-starter`, also under the name `start_server`. See `sd-starter --help`.

use std::io::Write;
use std::process::ExitCode;

use sd_starter::Starter;
use sd_starter::cli::errand::{self, InVain};
use sd_starter::cli::{self, Refusal};
use sd_starter::core::Outcome;
use sd_starter::shell::heritage;
use sd_starter::shell::settings::{Invocation, ProgramName};
use sd_starter::shell::start::exit_code;
use sd_starter::shell::voice::Voice;

fn main() -> ExitCode {
    let environment: Vec<_> = std::env::vars_os().collect();
    let name = cli::program_name(&std::env::args_os().next().unwrap_or_default());
    let code = match cli::parse(std::env::args_os(), &environment) {
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
    };
    ExitCode::from(code)
}

fn done(name: ProgramName, result: Result<(), InVain>) -> u8 {
    match result {
        Ok(()) => exit_code::OK,
        Err(in_vain) => {
            complain(name, &in_vain.line);
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
