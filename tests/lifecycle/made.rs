//! The packages that the tests install: ours in several versions, and the example's. Each is made once,
//! by the commands that make those that are published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::builds;
use crate::support::scratch::Scratch;

/// The version that the sources have.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// One that is newer: the same program but for the number, which is as long.
pub(crate) const NEWER: &str = "0.1.9";
/// One whose supervisor cannot take over.
pub(crate) const BROKEN: &str = "0.1.8";

/// Everything, in a directory that the containers get a copy of.
pub(crate) struct Made {
    scratch: Scratch,
}

/// Which tool makes a package.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Deb,
    Rpm,
}

/// Makes all packages, or finds them made.
pub(crate) fn packages() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = Made {
            scratch: Scratch::new(),
        };
        made.make();
        made
    })
}

impl Made {
    /// Our own package.
    pub(crate) fn ours(&self, kind: Kind, version: &str) -> PathBuf {
        self.scratch.join(match kind {
            Kind::Deb => format!("sd-starter_{version}_amd64.deb"),
            Kind::Rpm => format!("sd-starter-{version}-1.x86_64.rpm"),
        })
    }

    /// The example of a server's package.
    pub(crate) fn greeter(&self, kind: Kind, version: &str) -> PathBuf {
        self.scratch.join(match kind {
            Kind::Deb => format!("greeter_{version}_all.deb"),
            Kind::Rpm => format!("greeter-{version}-1.noarch.rpm"),
        })
    }

    /// What systemd's own packages bring on a system of RPMs.
    pub(crate) fn systemd_rpm(&self) -> PathBuf {
        self.scratch.join("systemd-257-1.x86_64.rpm")
    }

    /// A package with a start_server of its own, as Perl's.
    pub(crate) fn perls(&self, kind: Kind) -> PathBuf {
        self.scratch.join(match kind {
            Kind::Deb => "perls_0.35_all.deb",
            Kind::Rpm => "perls-0.35-1.noarch.rpm",
        })
    }

    fn make(&self) {
        let programs = programs();
        let newer = self.variant("newer", |program| {
            let old = fs::read(programs.join(program)).expect("it was built");
            replace(&old, VERSION.as_bytes(), NEWER.as_bytes())
        });
        let broken = self.variant("broken", |program| {
            let old = fs::read(programs.join(program)).expect("it was built");
            match program {
                "sd-starter" => b"#!/bin/sh\necho 'this build does not run' >&2\nexit 1\n".to_vec(),
                _ => replace(&old, VERSION.as_bytes(), BROKEN.as_bytes()),
            }
        });
        let versions = [(VERSION, programs), (NEWER, &newer), (BROKEN, &broken)];
        for (version, programs) in versions {
            for maker in ["packaging/deb", "packaging/rpm"] {
                let mut command = Command::new(repository().join(maker));
                command
                    .arg(self.scratch.join(""))
                    .env("PROGRAMS", programs)
                    .env("VERSION", version);
                output(&mut command);
            }
        }
        for version in ["1.0", "1.1", "1.2~broken"] {
            self.greeter_deb(version);
            self.greeter_rpm(version);
        }
        let perls = path("tests/packaging/perls");
        let mut deb = Command::new("dpkg-deb");
        output(
            deb.args(["--root-owner-group", "--build", &perls])
                .arg(self.perls(Kind::Deb)),
        );
        self.rpmbuild(&perls, "perls.spec", &[], &[]);
        self.rpmbuild(
            "systemd-rpm",
            "systemd-rpm.spec",
            &[],
            &[(
                "libraries",
                &format!("{}/lib/x86_64-linux-gnu", sysroot().display()),
            )],
        );
    }

    /// Programs that are not quite ours.
    fn variant(&self, name: &str, program: impl Fn(&str) -> Vec<u8>) -> PathBuf {
        let directory = self.scratch.join(name);
        fs::create_dir(&directory).expect("a new directory");
        for name in ["sd-starter", "starterctl"] {
            let path = directory.join(name);
            builds::install_bytes(&program(name), &path);
        }
        directory
    }

    fn greeter_deb(&self, version: &str) {
        let source = self.greeter_source(version);
        let mut command = Command::new("dpkg-buildpackage");
        command
            .args(["--no-sign", "--build=binary"])
            .current_dir(&source);
        // What cargo and the tests set is not for debhelper.
        output(
            command
                .env_remove("MAKEFLAGS")
                .env_remove("CARGO_MAKEFLAGS"),
        );
    }

    fn greeter_rpm(&self, version: &str) {
        let source = self.greeter_source(version);
        self.rpmbuild(
            source.to_str().expect("UTF-8"),
            "greeter.spec",
            &[
                "--load",
                &path("tests/packaging/systemd-rpm/macros.systemd"),
            ],
            &[("greeter_version", version)],
        );
    }

    /// The sources of the example, in this version: in a directory of its own below a build directory.
    fn greeter_source(&self, version: &str) -> PathBuf {
        let source = self.scratch.join(format!("greeter-{version}"));
        let mut copy = Command::new("cp");
        output(
            copy.arg("-rT")
                .arg(path("tests/packaging/greeter"))
                .arg(&source),
        );
        for file in ["greet", "debian/changelog"] {
            let file = source.join(file);
            let text = fs::read_to_string(&file).expect("there");
            fs::write(&file, text.replace("@VERSION@", version)).expect("our copy");
        }
        source
    }

    /// Without build dependencies: Debian's rpm knows nothing of what dpkg has installed.
    fn rpmbuild(&self, source: &str, spec: &str, options: &[&str], defines: &[(&str, &str)]) {
        let source = repository().join("tests/packaging").join(source);
        let mut command = Command::new("rpmbuild");
        command.args(["-bb", "--quiet", "--nodeps"]).args(options);
        let top = self.scratch.join("rpmbuild");
        for (name, value) in [
            ("_topdir", top.to_str().expect("UTF-8")),
            ("_sourcedir", source.to_str().expect("UTF-8")),
            ("_rpmdir", self.scratch.join("").to_str().expect("UTF-8")),
            (
                "_build_name_fmt",
                "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            ),
        ]
        .iter()
        .chain(defines)
        {
            command.arg("--define").arg(format!("{name} {value}"));
        }
        output(command.arg(source.join(spec)));
    }
}

/// The directory with the programs as packages have them; SD_STARTER_PROGRAMS names one that is there.
pub(crate) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        if let Some(there) = std::env::var_os("SD_STARTER_PROGRAMS") {
            return there.into();
        }
        let mut build = Command::new(repository().join("packaging/build"));
        PathBuf::from(output(&mut build).trim_end())
    })
}

/// The C library that they are linked with.
fn sysroot() -> PathBuf {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("packaging");
    let directory = made.join("sysroot");
    let mut sysroot = Command::new(repository().join("packaging/sysroot"));
    PathBuf::from(output(sysroot.arg(directory)).trim_end())
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn path(inside: &str) -> String {
    repository()
        .join(inside)
        .to_str()
        .expect("UTF-8")
        .to_owned()
}

/// Runs a command that must succeed, in the repository if nowhere else.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> String {
    let ended = command.output();
    let ended = ended.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(
        ended.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        ended.status
    );
    stdout.into_owned()
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "nothing may move");
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    bytes
}
