//! The shipped pair, `app.socket` and `app.service`, in a rig, with the test worker as the app.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::http::Target;
use crate::support::rig::Rig;
use crate::support::running::Output;
use crate::support::wait;

/// What is expected to happen at once gets so long on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The port of the shipped socket unit.
const PORT: u16 = 8080;
/// What every release is given; rewriting it is a deploy.
const DEPLOY: &str = "/srv/app/deploy";

pub(crate) struct App {
    pub(crate) rig: Rig,
}

impl App {
    /// A rig in which the pair is ready to be started: the service is `sd-starter OPTIONS` with a
    /// worker in `/srv/app/current`, which is a link to a release, as deploy tools make it. The first
    /// release is a good one, version v1.
    pub(crate) fn new(options: &str) -> Option<Self> {
        let app = Self { rig: Rig::boot()? };
        app.deploy("--ready --text v1");
        app.release("good", "hello", |path| {
            symlink("/usr/bin/hello", path).expect("a new link");
        });
        app.link("good");
        app.exec_start(&format!(
            "/usr/bin/sd-starter {options} --dir /srv/app/current -- ./hello --deploy {DEPLOY}"
        ));
        Some(app)
    }

    /// The same, with the socket started and the first request answered.
    pub(crate) fn started(options: &str) -> Option<Self> {
        let app = Self::new(options)?;
        app.rig.ok(&["systemctl", "start", "app.socket"]);
        app.target()
            .get("/")
            .expect("the first request is answered");
        wait::for_value("the service", SOON, "active", || {
            app.property("ActiveState")
        });
        Some(app)
    }

    /// Replaces the service's command.
    pub(crate) fn exec_start(&self, command: &str) {
        self.rig.drop_in(
            "app.service",
            &format!("[Service]\nExecStart=\nExecStart={command}\n"),
        );
    }

    pub(crate) fn target(&self) -> Target {
        self.rig.tcp(PORT)
    }

    /// Sets how the next generation behaves: the worker's flags, separated by blanks.
    pub(crate) fn deploy(&self, flags: &str) {
        self.rig.write(DEPLOY, &flags.replace(" --", "\n--"), 0o644);
    }

    /// Makes a release with one file in it.
    pub(crate) fn release(&self, name: &str, file: &str, make: impl FnOnce(&std::path::Path)) {
        let directory = self.rig.path(format!("/srv/app/{name}"));
        std::fs::create_dir_all(&directory).expect("/srv is writable");
        make(&directory.join(file));
    }

    /// Makes a release the current one.
    pub(crate) fn link(&self, release: &str) {
        let (new, current) = (
            self.rig.path("/srv/app/new"),
            self.rig.path("/srv/app/current"),
        );
        let swap = symlink(release, &new).and_then(|()| std::fs::rename(&new, &current));
        swap.expect("/srv/app is writable");
    }

    /// `systemctl reload app`, once it is started: a socket may be served before systemd has read
    /// READY=1, and until then a reload is merged into the start (systemd's `job_type_collapse`).
    #[track_caller]
    pub(crate) fn reload(&self) -> Output {
        wait::until("the start to be over", SOON, || {
            self.property("ActiveState") != "activating"
        });
        self.rig.run(&["systemctl", "reload", "app"])
    }

    #[track_caller]
    pub(crate) fn reload_well(&self) {
        let output = self.reload();
        assert!(output.status.success(), "a good reload: {output}");
    }

    /// Waits until this version alone answers: an old generation may take one more request, until
    /// SIGTERM has reached it, and then drains.
    #[track_caller]
    pub(crate) fn wait_for_version(&self, version: &str) {
        self.wait_until_drained();
        let answer = self.target().get("/").and_then(|answer| answer.version());
        assert_eq!(answer.expect("an answer"), version);
    }

    /// Sends a signal to the supervisor alone. (The option of `systemctl kill` that does has had two
    /// names.)
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let main = self.property("MainPID");
        self.rig.ok(&["kill", "-s", name, &main]);
    }

    #[track_caller]
    pub(crate) fn property(&self, name: &str) -> String {
        self.rig.property("app.service", name)
    }

    /// After a daemon-reexec: `systemctl` is content when systemd hangs up, and until it is there again
    /// whoever asks it something may be refused.
    #[track_caller]
    pub(crate) fn wait_for_systemd(&self) {
        let ask = ["systemctl", "show", "--property=Version"];
        wait::until("systemd", SOON, || self.rig.run(&ask).status.success());
    }

    /// The pids of the supervisor, its workers, and whatever they have started.
    pub(crate) fn processes(&self) -> usize {
        let list = self
            .rig
            .path("/sys/fs/cgroup/system.slice/app.service/cgroup.procs");
        std::fs::read_to_string(list).map_or(0, |pids| pids.lines().count())
    }

    /// Waits until the supervisor and one worker are all there is.
    #[track_caller]
    pub(crate) fn wait_until_drained(&self) {
        wait::for_value("the processes of the service", SOON, 2, || self.processes());
    }

    /// What the journal has of the service: from us, from `starterctl` and from the workers. Our own
    /// lines by their name as well: journald asks /proc for the unit, and who has ended is not there.
    pub(crate) fn journal(&self) -> String {
        let ours = "SYSLOG_IDENTIFIER=sd-starter";
        self.rig.journal(&["_SYSTEMD_UNIT=app.service", "+", ours])
    }
}
