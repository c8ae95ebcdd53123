//! A real systemd of the test's own: booted in about half a second, with its own network, gone with the
//! test (see `rig.sh`). Any number of them run at once.
//!
//! It is booted from this machine's /usr, with this machine's version of systemd; or, to see another
//! one, from the root of another system (see `root.sh`): that of `SD_STARTER_RIG_ROOT`, with our
//! programs from the directory `SD_STARTER_RIG_PROGRAMS`, where they are built for an older C library.
//!
//! Limitations: Linux, and root.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Seek};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

use super::builds;
use super::gate::Gate;
use super::http::Target;
use super::network::Network;
use super::programs;
use super::requirement;
use super::running::{Output, Running};

/// A boot takes half a second; a machine under load gets more.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// For a command inside.
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// Where gates are, inside.
const GATES: &str = "/run/gates";

pub(crate) struct Rig {
    name: String,
    /// Closing it is what ends the rig.
    stdin: Option<ChildStdin>,
    guardian: Child,
    /// Pid 1 of the container, as we see it.
    leader: i32,
    network: Network,
    /// What nspawn said.
    log: File,
    pub(crate) boot_time: Duration,
    drop_ins: AtomicU32,
}

impl Rig {
    /// Boots one, with our programs in /usr/bin and the shipped units in /etc/systemd/system.
    /// None where it cannot run; see [`requirement`].
    pub(crate) fn boot() -> Option<Self> {
        let base = std::env::var_os("SD_STARTER_RIG_ROOT").map(PathBuf::from);
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        requirement::rig().then(|| Self::boot_now(base.as_deref(), Some(&units), &programs::all()))
    }

    /// Boots one from a root of `root.sh`, with nothing of ours in it: for packages, which can be
    /// installed in it.
    pub(crate) fn boot_from(base: &Path) -> Option<Self> {
        requirement::rig().then(|| Self::boot_now(Some(base), None, &[]))
    }

    fn boot_now(base: Option<&Path>, units: Option<&Path>, programs: &[PathBuf]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sd-starter-rig.{}.{number}", std::process::id());
        let started = Instant::now();

        let address = UnixAddress::from_abstract_name(&name).expect("a short name");
        let ready = UnixDatagram::bind_addr(&address).expect("no other rig has this name");
        let log =
            File::from(rustix::fs::memfd_create("rig.log", MemfdFlags::CLOEXEC).expect("a memfd"));
        let output = || Stdio::from(log.try_clone().expect("a spare fd"));
        let mut guardian = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                include_str!("rig.sh"),
                "rig.sh",
            ])
            .arg(&name)
            .arg(base.unwrap_or(Path::new("")))
            .arg(units.unwrap_or(Path::new("")))
            .args(programs)
            .env("NOTIFY_SOCKET", format!("@{name}"))
            .stdin(Stdio::piped())
            .stdout(output())
            .stderr(output())
            // Ctrl-C is for us, not for the guardian, who cleans up after us.
            .process_group(0)
            .spawn()
            .expect("unshare can be started");
        let stdin = guardian.stdin.take();
        let network = Network::default();
        let mut rig = Self {
            name,
            stdin,
            guardian,
            leader: 0,
            network,
            log,
            boot_time: Duration::ZERO,
            drop_ins: AtomicU32::new(0),
        };
        rig.wait_for_boot(&ready);
        rig.leader = rig.find_leader();
        rig.network = Network::of_process(rig.leader);
        rig.boot_time = started.elapsed();
        let state = rig.run(&["systemctl", "is-system-running"]);
        assert_eq!(
            state.stdout.trim(),
            "running",
            "failed: {}",
            rig.run(&["systemctl", "--failed"])
        );
        fs::create_dir(rig.path(GATES)).expect("/run is writable");
        rig
    }

    /// nspawn forwards the READY=1 that its pid 1 sends when the boot is over.
    fn wait_for_boot(&mut self, ready: &UnixDatagram) {
        let deadline = Instant::now() + BOOT_LIMIT;
        let mut message = [0; 4096];
        ready
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("not zero");
        loop {
            match ready.recv(&mut message) {
                Ok(size)
                    if message[..size]
                        .split(|byte| *byte == b'\n')
                        .any(|s| s == b"READY=1") =>
                {
                    return;
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("cannot hear from nspawn: {error}"),
            }
            let ended = self.guardian.try_wait().expect("our child");
            assert!(
                ended.is_none(),
                "the rig ended while booting: {ended:?}\n{}",
                self.log()
            );
            assert!(
                Instant::now() < deadline,
                "no boot within {BOOT_LIMIT:?}\n{}",
                self.log()
            );
        }
    }

    /// The guardian's unshare's nspawn's child.
    fn find_leader(&self) -> i32 {
        let mut pid = i32::try_from(self.guardian.id()).expect("a pid");
        for _ in 0..3 {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let children = children.expect("a living process");
            let mut children = children.split_whitespace();
            pid = children
                .next()
                .and_then(|pid| pid.parse().ok())
                .expect("a child");
            assert_eq!(children.next(), None, "one child only");
        }
        pid
    }

    /// Its systemd's pid, as we see it.
    pub(crate) fn leader(&self) -> i32 {
        self.leader
    }

    /// Its systemd's version.
    pub(crate) fn systemd_version(&self) -> u32 {
        // The first line: "systemd 252 (252.39-1~deb12u2)".
        let text = self.ok(&["systemctl", "--version"]);
        let version = text.split_whitespace().nth(1).map(str::parse);
        version.and_then(Result::ok).expect("a number")
    }

    /// The name of the machine and of its cgroup.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command inside to its end. Panics after a minute.
    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) -> Output {
        self.spawn(command).wait(RUN_LIMIT)
    }

    /// Runs a command inside that must succeed, and returns its stdout.
    #[track_caller]
    pub(crate) fn ok(&self, command: &[&str]) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{}: {output}", command.join(" "));
        output.stdout
    }

    /// Starts a command inside.
    pub(crate) fn spawn(&self, command: &[&str]) -> Running {
        Running::start(self.leader, command)
    }

    /// Where a file of the rig is for us. An absolute symlink on the way would lead out of the rig.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref().strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(self.leader.to_string())
            .join("root")
            .join(inside)
    }

    /// Writes a file, whole and at once: who reads it sees the old text or the new one.
    pub(crate) fn write(&self, inside: &str, text: &str, mode: u32) {
        let path = self.path(inside);
        let new = path.with_extension("rig-new");
        let write = || {
            fs::create_dir_all(path.parent().expect("not the root"))?;
            if mode & 0o111 != 0 {
                builds::install_bytes(text.as_bytes(), &path);
                return fs::set_permissions(&path, Permissions::from_mode(mode));
            }
            fs::write(&new, text)?;
            fs::set_permissions(&new, Permissions::from_mode(mode))?;
            fs::rename(&new, &path)
        };
        write().unwrap_or_else(|error| panic!("cannot write {inside} in the rig: {error}"));
    }

    pub(crate) fn read(&self, inside: &str) -> String {
        let text = fs::read_to_string(self.path(inside));
        text.unwrap_or_else(|error| panic!("cannot read {inside} in the rig: {error}"))
    }

    /// Adds a drop-in to a unit, after those that it has, and tells systemd.
    #[track_caller]
    pub(crate) fn drop_in(&self, unit: &str, text: &str) {
        let number = self.drop_ins.fetch_add(1, Ordering::Relaxed);
        let path = format!("/etc/systemd/system/{unit}.d/{number:03}.conf");
        self.write(&path, text, 0o644);
        self.ok(&["systemctl", "daemon-reload"]);
    }

    /// One property of a unit, as `systemctl show` says it.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "--property", name, unit])
            .trim_end()
            .to_owned()
    }

    /// What the journal has, with everything that was logged before this call.
    #[track_caller]
    pub(crate) fn journal(&self, arguments: &[&str]) -> String {
        self.ok(&["journalctl", "--sync"]);
        self.ok(&[
            &["journalctl", "--quiet", "--no-pager", "--output=cat"],
            arguments,
        ]
        .concat())
    }

    /// Runs `work` in the rig's network.
    pub(crate) fn net<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.network.within(work)
    }

    /// A port on the rig's loopback.
    pub(crate) fn tcp(&self, port: u16) -> Target {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Target::inet(address).within(self.network.clone())
    }

    /// A closed gate that every worker in the rig can read.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let inside = Path::new(GATES).join(name);
        Gate::closed(self.path(&inside), &inside)
    }

    fn log(&self) -> String {
        let mut text = String::new();
        let mut log = &self.log;
        let read = log.rewind().and_then(|()| log.read_to_string(&mut text));
        read.map_or_else(|error| format!("no log: {error}"), |_| text)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() && self.leader != 0 {
            // Whoever has to find out why wants to know what systemd saw.
            let last = self
                .spawn(&["journalctl", "--no-pager", "--lines=150"])
                .output();
            eprintln!("{}\nthe rig's journal:\n{last}", self.log());
        }
        drop(self.stdin.take());
        let ended = self.guardian.wait().expect("our child");
        if !ended.success() && !std::thread::panicking() {
            panic!("the rig did not come down cleanly: {ended}\n{}", self.log());
        }
    }
}
