//! The part of the comparison that systemd takes part in, in a rig.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use crate::book::Book;
use crate::contender::{Contender, Place};
use crate::metric::Metric;
use crate::support::rig::Rig;

/// The row of a service that is restarted, as it is done without a supervisor.
pub(crate) const RESTART: &str = "systemctl restart";
/// The row of a reload that does nothing.
pub(crate) const TRUE: &str = "ExecReload=/bin/true";
/// The port of the service that is restarted.
pub(crate) const RESTART_PORT: u16 = 8082;

pub(crate) struct Booted {
    pub(crate) rig: Rig,
}

impl Booted {
    /// Three socket-activated services with the common worker: the shipped units, the same with a
    /// reload that does nothing, and a worker without a supervisor.
    pub(crate) fn boot(place: &Place) -> Self {
        let rig = Rig::boot().expect("SD_STARTER_REQUIRE_RIG is set");
        for (program, name) in [
            (&place.sd_starter, "sd-starter"),
            (&place.starterctl, "starterctl"),
            (&place.worker, "bench-worker"),
        ] {
            let path = rig.path(format!("/usr/bin/{name}"));
            let copy = fs::copy(program, &path)
                .and_then(|_| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
            copy.expect("writes to the rig's /usr are its own");
        }
        let units = "/etc/systemd/system";
        let shipped = |name: &str| rig.read(&format!("{units}/{name}"));
        let write = |name: &str, text: &str| rig.write(&format!("{units}/{name}"), text, 0o644);
        let worker = "[Service]\nEnvironment=BENCH_SERVE=1\nExecStart=\n\
                      ExecStart=/usr/bin/sd-starter -- /usr/bin/bench-worker\n";
        write("app.service.d/bench.conf", worker);
        write("true.service.d/bench.conf", worker);
        let service = shipped("app.service").replace("app.socket", "true.socket");
        let reload = "ExecReload=/usr/bin/starterctl reload\n";
        assert!(service.contains(reload), "the shipped unit reloads so");
        write(
            "true.service",
            &service.replace(reload, "ExecReload=/bin/true\n"),
        );
        write(
            "true.socket",
            &shipped("app.socket").replace("8080", "8081"),
        );
        write(
            "plain.service",
            "[Unit]\nRequires=plain.socket\nAfter=plain.socket\nStartLimitIntervalSec=0\n\
             [Service]\nType=notify\n\
             Environment=BENCH_SERVE=1\nExecStart=/usr/bin/bench-worker\n",
        );
        write(
            "plain.socket",
            &format!("[Socket]\nListenStream=127.0.0.1:{RESTART_PORT}\n"),
        );
        rig.ok(&["systemctl", "daemon-reload"]);
        rig.ok(&["systemctl", "start", "app", "true", "plain"]);
        Self { rig }
    }

    /// `systemctl reload` and `systemctl restart` as a whole.
    pub(crate) fn reloads(&self, book: &mut Book, rounds: usize) {
        let commands = [
            (Contender::Ours.name(), "reload", "app"),
            (TRUE, "reload", "true"),
            (RESTART, "restart", "plain"),
        ];
        for _ in 0..rounds {
            for (row, verb, unit) in commands {
                let started = Instant::now();
                self.rig.ok(&["systemctl", verb, unit]);
                let took = started.elapsed();
                book.add(Metric::Systemctl, row, took.as_secs_f64() * 1e3);
            }
        }
    }
}
