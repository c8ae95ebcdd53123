//! A machine of its own for each test: a Debian that was just installed, with a package manager at hand.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::made::{self, output};
use crate::support::http::Target;
use crate::support::requirement;
use crate::support::rig::Rig;
use crate::support::running::Output;
use crate::support::wait;

/// What is expected to happen at once gets so long on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Where packages are, inside.
const PACKAGES: &str = "/root";

pub(crate) struct Machine {
    pub(crate) rig: Rig,
}

/// What a root has beside systemd and dbus. The tests of users and of RPMs share one.
const EXTRAS: [&str; 3] = ["rpm", "libpam-systemd", "dbus-user-session"];

impl Machine {
    /// One with the Debian of that name. None where it cannot run.
    pub(crate) fn debian(suite: &str) -> Option<Self> {
        Self::boot(suite, &[])
    }

    /// One with rpm besides.
    pub(crate) fn with_rpm() -> Option<Self> {
        Self::boot("trixie", &EXTRAS)
    }

    /// One with managers of users besides.
    pub(crate) fn with_users() -> Option<Self> {
        Self::boot("bookworm", &EXTRAS)
    }

    fn boot(suite: &str, extras: &[&str]) -> Option<Self> {
        let tools = [
            ("/usr/bin/mmdebstrap", "mmdebstrap"),
            ("/usr/bin/dh_installsystemd", "debhelper"),
            ("/usr/bin/rpmbuild", "rpm"),
        ];
        if !tools
            .iter()
            .all(|(path, package)| requirement::file(path, package))
        {
            return None;
        }
        let mut root = std::process::Command::new("sh");
        root.arg(made::repository().join("tests/support/root.sh"));
        let root = output(root.arg(suite).args(extras));
        let rig = Rig::boot_from(Path::new(root.trim_end()))?;
        Some(Self { rig })
    }

    /// `dpkg ACTION PACKAGE`, with the package's file brought in where it is one. Its documents are
    /// installed, too, which these small systems else do without.
    pub(crate) fn dpkg(&self, action: &str, package: impl AsRef<Path>) -> Output {
        let package = self.bring(package.as_ref());
        let included = "--path-include=/usr/share/*";
        self.rig.run(&[
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "dpkg",
            included,
            action,
            &package,
        ])
    }

    /// `rpm ACTION PACKAGE`.
    pub(crate) fn rpm(&self, action: &str, package: impl AsRef<Path>) -> Output {
        let package = self.bring(package.as_ref());
        // It is --upgrade with one more thing allowed.
        let upgrade = if action == "--oldpackage" {
            "--upgrade"
        } else {
            action
        };
        self.rig.run(&["rpm", upgrade, action, &package])
    }

    fn bring(&self, package: &Path) -> String {
        if !package.exists() {
            return package.to_str().expect("UTF-8").to_owned();
        }
        let inside = Path::new(PACKAGES).join(package.file_name().expect("a file"));
        fs::copy(package, self.rig.path(&inside)).expect("/root is writable");
        inside.to_str().expect("UTF-8").to_owned()
    }

    /// Every file and directory of the system that is not somebody's data that changes by itself.
    pub(crate) fn files(&self) -> Vec<String> {
        // What goes while find looks at it is no error.
        let options = ["-ignore_readdir_race", "-xdev"];
        let find = ["find", "/etc", "/usr", "/var", "/srv", "/opt"];
        let list = self.rig.ok(&[&find[..], &options].concat());
        let moving = [
            "/var/log",
            "/var/cache",
            "/var/tmp",
            "/var/lib/dpkg",
            "/var/lib/rpm",
            "/var/lib/systemd",
            "/var/lib/private",
        ];
        let mut files: Vec<_> = list
            .lines()
            .filter(|path| !moving.iter().any(|moving| path.starts_with(moving)))
            .map(str::to_owned)
            .collect();
        files.sort();
        files
    }

    pub(crate) fn target(&self, port: u16) -> Target {
        self.rig.tcp(port)
    }

    /// What `systemctl` calls the state of a unit.
    #[track_caller]
    pub(crate) fn state(&self, unit: &str) -> String {
        self.rig.property(unit, "ActiveState")
    }

    #[track_caller]
    pub(crate) fn main_pid(&self, unit: &str) -> String {
        let pid = self.rig.property(unit, "MainPID");
        assert_ne!(pid, "0", "{unit} runs");
        pid
    }

    /// The version of the running supervisor, as it says itself.
    #[track_caller]
    pub(crate) fn running_version(&self, unit: &str) -> String {
        let status = self.rig.ok(&["starterctl", "status", unit]);
        let word = status.split("sd-starter ").find_map(|rest| {
            let version: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            (version.split('.').count() == 3).then_some(version)
        });
        word.unwrap_or_else(|| panic!("no version in {status}"))
    }

    /// Waits until this generation alone answers.
    #[track_caller]
    pub(crate) fn wait_for_answer(&self, port: u16, generation: u64) {
        wait::for_value("the answering generation", SOON, Ok(generation), || {
            let answer = self
                .target(port)
                .get("/")
                .and_then(|answer| answer.generation());
            answer.map_err(|failure| failure.to_string())
        });
    }
}

/// The command must have succeeded.
#[track_caller]
pub(crate) fn well(output: Output) -> String {
    assert!(output.status.success(), "{output}");
    format!("{}{}", output.stdout, output.stderr)
}
