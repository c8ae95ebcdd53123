//! What we leave to a successor: all that is going on, and every descriptor that it needs.

use std::sync::OnceLock;

use super::luggage::Packed;
use super::supervisor::Supervisor;
use crate::core::Requester;
use crate::protocol::state::{Held, Label, State, held};
use crate::protocol::version::version;

/// Which boot this is; moments mean nothing in another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Supervisor {
    /// The state as it is between two steps, and the descriptors that it names.
    pub(super) fn bequest(&self) -> (State, Packed<'_>) {
        let mut packed = Packed::default();
        let around = &self.surroundings;
        let (kept, newest_kept) = around.fd_store.save(&mut packed);
        let mut held = Held {
            boot: boot_id(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            started: u64::try_from(self.started.since_start().as_nanos()).unwrap_or(u64::MAX),
            program: self.own_program.path().into(),
            log_level: log::max_level().to_string(),
            signals: self.signals_at_start(),
            workers: self.workers.save(&around.readiness, &mut packed),
            cgroups: around
                .cgroups
                .as_ref()
                .map_or_else(Vec::new, super::cgroups::Cgroups::save),
            probes: around.probes.save(&mut packed),
            kept,
            newest_kept,
            control: self
                .control
                .as_ref()
                .map(|control| control.save(&mut packed)),
            waits: self.waits.iter().map(wait).collect(),
            runtime: self
                .runtime
                .as_ref()
                .map(|runtime| runtime.save(&mut packed)),
            pid_file: self.pid_file.as_ref().map(|file| file.save(&mut packed)),
            status_file: self
                .status_file
                .as_ref()
                .map(super::status_file::StatusFile::save),
            log_command: self
                .log_command
                .as_ref()
                .and_then(|command| command.save(&mut packed)),
            herald: self
                .herald
                .as_ref()
                .map(|herald| packed.add(Label::of("herald"), herald)),
            ..Held::default()
        };
        self.listeners.save(&mut held);
        self.listeners.pack(&mut packed);
        if let Some(ledger) = self.ledger() {
            packed.add(ledger_label(), ledger);
        }
        let state = State {
            writer: version().to_owned(),
            machine: self.machine.save(),
            held,
            fds: packed.numbers(),
        };
        (state, packed)
    }

    fn signals_at_start(&self) -> held::Signals {
        let (blocked, ignores_child) = self.original.to_parts();
        held::Signals {
            blocked,
            ignores_child,
        }
    }
}

fn wait((Requester(id), wait): &(Requester, crate::protocol::control::Wait)) -> held::Wait {
    held::Wait {
        id: *id,
        generation: wait.generation,
        drained: wait.drained,
        serving: wait.serving,
    }
}

/// The memory with the state that is kept for the case of a crash.
pub(super) fn ledger_label() -> Label {
    Label::of("ledger")
}

/// This boot; empty where it cannot be known.
pub(super) fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    BOOT.get_or_init(|| read().trim().to_owned()).clone()
}
