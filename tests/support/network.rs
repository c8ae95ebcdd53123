//! A network namespace to send requests in: this process's own, or a rig's.

use std::fs::File;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};

/// `None` inside is where the test process lives.
#[derive(Clone, Default)]
pub(crate) struct Network(Option<Arc<File>>);

impl Network {
    /// The namespace that process `pid` lives in.
    pub(crate) fn of_process(pid: i32) -> Self {
        let file = File::open(format!("/proc/{pid}/ns/net")).expect("the process lives");
        Self(Some(Arc::new(file)))
    }

    /// Moves the calling thread there for good, and with it every thread that it starts. For threads
    /// that exist for nothing else.
    pub(crate) fn enter(&self) {
        if let Some(file) = &self.0 {
            setns(&**file, CloneFlags::CLONE_NEWNET).expect("root may enter a rig's network");
        }
    }

    /// Runs `work` there, on a thread of its own. A socket made there stays there, whoever uses it.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if self.0.is_none() {
            return work();
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
