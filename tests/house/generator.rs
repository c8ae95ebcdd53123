//! What the generator of the template's sockets makes of a user's files, run by the shell that there
//! is: a value is read as EnvironmentFile= reads it, or refused with a line.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A user's files, and what was made of them.
struct Made {
    directory: PathBuf,
    said: String,
}

impl Made {
    /// From files by their names, without the suffix, and their texts.
    fn of(test: &str, files: &[(&str, &str)]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("generator-{test}"));
        let _ = fs::remove_dir_all(&directory);
        let generators = directory.join("user-generators");
        let configuration = directory.join("sd-starter");
        for made in [&generators, &configuration] {
            fs::create_dir_all(made).expect("a new directory");
        }
        for (name, text) in files {
            let file = configuration.join(format!("{name}.conf"));
            fs::write(file, text).expect("a new file");
        }
        // Whose files they are it knows by its own directory.
        let generator = generators.join("sd-starter-generator");
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/sd-starter-generator");
        symlink(ours, &generator).expect("a new link");
        let mut command = Command::new("sh");
        command.arg(generator).arg(directory.join("out"));
        command.env("XDG_CONFIG_HOME", &directory);
        command.env("XDG_RUNTIME_DIR", "/run/user/1000");
        let output = command.output().expect("there is a shell");
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { directory, said }
    }

    /// The lines of the drop-in that say where a service listens.
    fn listens(&self, name: &str) -> Vec<String> {
        let drop_in = format!("out/sd-starter@{name}.socket.d/50-listen.conf");
        let text = fs::read_to_string(self.directory.join(drop_in)).unwrap_or_default();
        let socket = text.split("[Socket]\n").nth(1).unwrap_or_default();
        let lines = socket.lines().filter(|line| *line != "NoDelay=yes");
        lines.map(str::to_owned).collect()
    }

    fn refused(&self, name: &str, why: &str) {
        assert_eq!(self.listens(name), [""; 0], "{name}: {}", self.said);
        let line = |line: &&str| line.contains(&format!("/{name}.conf: ")) && line.contains(why);
        assert!(self.said.lines().any(|said| line(&said)), "{}", self.said);
    }
}

#[test]
fn the_generator_reads_a_value_as_systemd_does() {
    let made = Made::of(
        "values",
        &[
            (
                "crlf",
                "# of another system\r\nLISTEN=8086\r\nPROGRAM=/x\r\n",
            ),
            ("quoted", "LISTEN=\"8081\" \n"),
            ("single", " LISTEN = '8081 u5353' \t\n"),
            (
                "last",
                "LISTEN=1\nLISTEN=[::]:80 127.0.0.1:81 /run/a-b_c~.sock @x",
            ),
            ("before", "OPTIONS=a \\\nLISTEN=81\n"),
        ],
    );
    assert_eq!(made.listens("crlf"), ["ListenStream=0.0.0.0:8086"]);
    assert_eq!(made.listens("quoted"), ["ListenStream=0.0.0.0:8081"]);
    assert_eq!(
        made.listens("single"),
        ["ListenStream=0.0.0.0:8081", "ListenDatagram=0.0.0.0:5353"]
    );
    let last = ["[::]:80", "127.0.0.1:81", "/run/a-b_c~.sock", "@x"];
    let last = last.map(|address| format!("ListenStream={address}"));
    assert_eq!(made.listens("last"), last);
    assert_eq!(made.listens("before"), [""; 0], "it is a part of OPTIONS");
    assert_eq!(made.said, "");
}

#[test]
fn the_generator_refuses_what_it_does_not_understand() {
    let made = Made::of(
        "refused",
        &[
            ("newline", "LISTEN=80\\nExecStartPre=/bin/sh\n"),
            ("continued", "LISTEN=8080 \\\n8081\n"),
            ("comment", "LISTEN=8080 # here\n"),
            ("quotes", "LISTEN=\"80\" \"81\"\n"),
            ("specifier", "LISTEN=%t/x\n"),
            ("good", "LISTEN=80\n"),
        ],
    );
    for name in ["newline", "continued", "comment", "quotes"] {
        made.refused(name, "LISTEN: not understood: ");
    }
    made.refused("specifier", "LISTEN: no address: %t/x");
    assert_eq!(made.listens("good"), ["ListenStream=0.0.0.0:80"]);
    assert_eq!(made.said.lines().count(), 5, "{}", made.said);
}

#[test]
fn the_generator_refuses_names_that_cannot_run() {
    // /run/user/1000/sd-starter/sd-starter@NAME/notify.NNNNNNNN has 107 bytes.
    let (longest, longer) = ("n".repeat(54), "n".repeat(55));
    let text = "LISTEN=80\n";
    let files = [(&*longest, text), (&*longer, text), ("a:b", text)];
    let made = Made::of("names", &files);
    assert_eq!(made.listens(&longest), ["ListenStream=0.0.0.0:80"]);
    made.refused(&longer, "at most 54 bytes");
    made.refused("a:b", "no name for a service");
}
