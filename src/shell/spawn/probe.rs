//! Starting the command of `--ready=command:CMD`: a shell, with the worker's environment and
//! directory, in a session of its own.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::{Spawner, c_string};
use crate::os::child::{self, Child, Plan};
use crate::protocol::generation::Generation;
use crate::protocol::worker_env::{self, Variable};

impl Spawner {
    /// Asks `command` about a worker: it finds WORKER_PID and SERVER_STARTER_GENERATION in its
    /// environment, and none of the worker's sockets.
    ///
    /// # Errors
    /// See [`child::spawn`].
    pub fn probe(
        &self,
        command: &OsStr,
        generation: Generation,
        pid: i32,
        variables: &[Variable],
    ) -> io::Result<Child> {
        let mut extra: Vec<_> = self.told.iter().chain(variables).cloned().collect();
        extra.extend(Variable::new("WORKER_PID", pid.to_string()));
        let env = worker_env::build(&self.environment, &extra, &[], &[], generation, None);
        let shell = c_string(b"/bin/sh");
        let argv = [
            c_string(b"sh"),
            c_string(b"-c"),
            c_string(command.as_bytes()),
        ];
        child::spawn(&Plan {
            programs: &[shell],
            argv: &argv,
            env: &env,
            with_listen_pid: false,
            with_watchdog_pid: false,
            new_session: true,
            sockets: &[],
            directory: self.directory.as_deref(),
            signals: &self.signals,
            cgroup_procs: None,
            stdout_stderr: None,
        })
    }
}
