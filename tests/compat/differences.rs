//! The deliberate differences between the original and ours, in one table.
//!
//! The README quotes it. A story that meets a difference gives both expectations to [`pick`], with
//! the entry's id; that is the only place where a story's expectation may depend on the program.

use crate::program::{self, Program};

/// One deliberate difference in what the world can see.
pub(crate) struct Difference {
    pub(crate) id: &'static str,
    pub(crate) original: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        id: "options-after-the-program",
        original: "takes options that follow the program's name as its own, unless `--` stands before it",
        ours: "stops at the program's name; everything after it belongs to the program",
        why: "Twiggy's manual gives a line that the original rejects (`plackup --server Twiggy`)",
    },
    Difference {
        id: "version-text",
        original: "--version prints 0.35",
        ours: "--version prints our own name and version",
        why: "it is another program, and bug reports should say so",
    },
    Difference {
        id: "port-out-of-range",
        original: "accepts a port above 65535 and binds it modulo 65536",
        ours: "refuses it",
        why: "the key names a port on which nothing listens",
    },
    Difference {
        id: "colliding-pins",
        original: "a pin (`=FD`) silently replaces another socket that has this number",
        ours: "places every socket; two pins on one number are refused",
        why: "a socket is lost, and its key leads to another port",
    },
    Difference {
        id: "pin-on-output",
        original: "accepts the pins 1 and 2 and loses its own stdout or stderr",
        ours: "refuses them",
        why: "nobody means it, and the original dies of it",
    },
    Difference {
        id: "path-in-use",
        original: "takes a --path away from whoever listens on it",
        ours: "refuses, with exit code 98; only a socket that nobody listens on is replaced",
        why: "the other server is cut off without a word",
    },
    Difference {
        id: "path-not-a-socket",
        original: "unlinks whatever file or symbolic link stands at --path",
        ours: "refuses to start and leaves it alone",
        why: "a mistyped path destroys data",
    },
    Difference {
        id: "unrepresentable-path",
        original: "accepts a --path with `=` or `;`, whose entry no worker can parse",
        ours: "refuses it",
        why: "workers split at these characters and open the wrong descriptor",
    },
    Difference {
        id: "exec-failure-text",
        original: "the child prints `failed to exec PROGRAM`, the reason at once behind it and no newline; or `failed to chdir:DIR:REASON`",
        ours: "one line: the stage, the program or directory, the reason",
        why: "the next line of the log is readable",
    },
    Difference {
        id: "perl-location",
        original: "ends errors, and the line about a removed socket, with ` at .../Server/Starter.pm line N.`",
        ours: "prints the same lines without a location",
        why: "there is no such file",
    },
    Difference {
        id: "sigpipe",
        original: "workers start with SIGPIPE ignored",
        ours: "workers start with SIGPIPE default",
        why: "the original leaks a setting made for its own log pipe",
    },
    Difference {
        id: "unknown-signal",
        original: "accepts any --signal-on-hup and --signal-on-term and dies when it is needed",
        ours: "refuses a name that is no signal, with exit code 1",
        why: "a mistyped name orphans every worker at the first reload",
    },
    Difference {
        id: "reload-requests-coalesce",
        original: "starts one generation for every HUP, each killing the one before it",
        ours: "HUPs during a swap end in one further generation, started after the last of them",
        why: "nothing is lost, and generations do not stack up",
    },
    Difference {
        id: "old-workers-signalled-once",
        original: "signals every old worker again at each reload",
        ours: "signals a worker once; it has already been told to leave",
        why: "many servers stop at once when the signal comes a second time",
    },
    Difference {
        id: "time-bounds",
        original: "has no bound on how long a worker may take to leave",
        ours: "has --stop-timeout and --drain-timeout, then SIGKILL",
        why: "a worker that ignores the signal must not hang a stop or pile up",
    },
    Difference {
        id: "attempts",
        original: "tries to start a failing worker for ever",
        ours: "has --attempts N; a first generation that fails N times ends the program with exit code 69",
        why: "a service manager must be able to see the failure",
    },
    Difference {
        id: "restart-tells-the-truth",
        original: "--restart waits for one exact generation number, without limit",
        ours: "--restart ends when a newer generation serves alone, when the reload failed (non-zero), or at --timeout (non-zero)",
        why: "a deploy script must not hang, nor believe in a reload that failed",
    },
    Difference {
        id: "trial",
        original: "sleeps during --kill-old-delay, deaf to signals and to the new worker's death",
        ours: "watches the new worker during the delay and obeys a stop at once",
        why: "an outage is otherwise certain when the new worker dies in it",
    },
    Difference {
        id: "numeric-order",
        original: "sorts generations and pids as strings (`10` before `9`)",
        ours: "sorts them as numbers",
        why: "a script that takes the last line takes the wrong one",
    },
    Difference {
        id: "pid-file-in-use",
        original: "empties the pid file of a running instance, then waits for its lock",
        ours: "refuses to start and leaves the file alone",
        why: "after it neither instance can be stopped by its pid file",
    },
    Difference {
        id: "stray-signals",
        original: "QUIT, USR1 and USR2 kill the supervisor and orphan the workers",
        ours: "QUIT, USR1 and USR2 never orphan a worker",
        why: "a stray signal must not leave a server without its supervisor",
    },
    Difference {
        id: "envdir-odd-file",
        original: "skips a file in --envdir that it cannot read or whose name has a `=`, and cuts a value at its NUL",
        ours: "fails the start of that worker, with the file and the reason; the old generation keeps serving",
        why: "a worker with half of its settings is worse than none",
    },
    Difference {
        id: "bad-environment",
        original: "takes KILL_OLD_DELAY or AUTO_RESTART_INTERVAL for 0 when the environment has no number in it",
        ours: "refuses to start, with exit code 1, and names the variable",
        why: "a mistyped delay silently becomes none",
    },
];

/// The expectation for the program under test, by the id of a deliberate difference.
pub(crate) fn pick<T>(id: &str, original: T, ours: T) -> T {
    assert!(
        DIFFERENCES.iter().any(|difference| difference.id == id),
        "no such difference in the table: {id}"
    );
    match program::under_test() {
        Program::Original => original,
        Program::Ours => ours,
    }
}

/// Every file of stories, so that the table holds nothing that no story shows.
const STORIES: &[&str] = &[
    include_str!("auto_restart.rs"),
    include_str!("bugs/files.rs"),
    include_str!("bugs/inherited.rs"),
    include_str!("bugs/numbers.rs"),
    include_str!("bugs/reload.rs"),
    include_str!("bugs/signals.rs"),
    include_str!("bugs/starting.rs"),
    include_str!("command_line.rs"),
    include_str!("daemonize.rs"),
    include_str!("envdir.rs"),
    include_str!("environment.rs"),
    include_str!("exit_codes.rs"),
    include_str!("kill_old_delay.rs"),
    include_str!("log_file.rs"),
    include_str!("messages.rs"),
    include_str!("pid_file.rs"),
    include_str!("pins.rs"),
    include_str!("ports.rs"),
    include_str!("reload.rs"),
    include_str!("restart.rs"),
    include_str!("signals.rs"),
    include_str!("start.rs"),
    include_str!("status_file.rs"),
    include_str!("stop.rs"),
    include_str!("unix_paths.rs"),
];

#[test]
fn every_difference_is_shown_by_a_story() {
    for difference in DIFFERENCES {
        let asked = format!("pick(\"{}\"", difference.id);
        let shown = STORIES.iter().any(|story| {
            story
                .split_whitespace()
                .collect::<String>()
                .contains(&asked)
        });
        assert!(shown, "no story for {}", difference.id);
    }
}

#[test]
fn every_bug_has_a_test() {
    for number in 1..=22 {
        let test = format!("fn b{number}_");
        assert!(
            STORIES.iter().any(|story| story.contains(&test)),
            "no test for B{number}"
        );
    }
}

#[test]
fn the_readme_quotes_every_difference() {
    let readme = include_str!("../../README.md");
    for Difference {
        id,
        original,
        ours,
        why,
    } in DIFFERENCES
    {
        let row = format!("| {id} | {original} | {ours} | {why} |");
        assert!(readme.contains(&row), "the README lacks or changes: {row}");
    }
}

#[test]
fn ids_are_unique_and_entries_complete() {
    for (index, difference) in DIFFERENCES.iter().enumerate() {
        let earlier = &DIFFERENCES[..index];
        assert!(
            earlier.iter().all(|other| other.id != difference.id),
            "twice: {}",
            difference.id
        );
        for text in [difference.original, difference.ours, difference.why] {
            assert!(
                !text.is_empty() && !text.ends_with('.'),
                "a text of {}",
                difference.id
            );
        }
    }
}
