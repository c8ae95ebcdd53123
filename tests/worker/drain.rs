//! Leaving gracefully.
//!
//! SIGTERM (or SIGINT, SIGQUIT) begins the drain: no further connection is accepted, the connections
//! that are open are finished, then the process exits. What is still in the listening socket's queue
//! belongs to the other generation.

#![expect(
    unsafe_code,
    reason = "installing a signal handler is unsafe, and accept must be interrupted"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;

use crate::inherited::Listener;

/// Interrupts accept; nobody else uses it, and by default it does nothing.
const KICK: Signal = Signal::SIGURG;
/// How often, until the acceptor is out of accept.
const KICK_INTERVAL: Duration = Duration::from_millis(2);

/// Whether we are leaving, and what is still open.
pub(crate) struct Drain {
    /// Written once and never read: for every poller it is readable from then on.
    begun: EventFd,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    accepting: bool,
    connections: usize,
}

impl Drain {
    /// A drain that begins with the first termination signal. To be called before any thread is
    /// started, so that all of them have those signals blocked.
    pub(crate) fn on_signals(ignore_term: bool) -> io::Result<Arc<Self>> {
        let mut signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT]);
        signals.thread_block()?;
        SigSet::from(KICK).thread_block()?;
        if ignore_term {
            signals.remove(Signal::SIGTERM);
        }
        let handler = SigAction::new(
            SigHandler::Handler(interrupt),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing at all, which is async-signal-safe.
        unsafe { sigaction(KICK, &handler)? };

        let drain = Arc::new(Self {
            begun: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let signalled = Arc::clone(&drain);
        thread::spawn(move || {
            while signals.wait().is_err() {}
            signalled.begin();
        });
        Ok(drain)
    }

    /// Whether it has begun, now.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun_within(Some(Duration::ZERO))
    }

    /// Waits for it to begin; without a limit, for ever.
    pub(crate) fn begun_within(&self, limit: Option<Duration>) -> bool {
        !readable(&[self.begun.as_fd()], limit).is_empty()
    }

    /// Waits until `stream` has something to read (`Some(true)`), the drain begins (`Some(false)`), or,
    /// once it has begun, `grace` is over (`None`).
    pub(crate) fn next(&self, stream: BorrowedFd<'_>, grace: Duration) -> Option<bool> {
        if self.has_begun() {
            return (!readable(&[stream], Some(grace)).is_empty()).then_some(true);
        }
        Some(readable(&[stream, self.begun.as_fd()], None).contains(&0))
    }

    /// Accepts connections, each served on a thread of its own, until the drain begins.
    pub(crate) fn accept_until_begun<S>(
        self: &Arc<Self>,
        listeners: &[Listener],
        serve: impl Fn(OwnedFd) -> S,
    ) -> Result<(), String>
    where
        S: FnOnce() + Send + 'static,
    {
        self.update(|state| state.accepting = true);
        SigSet::from(KICK)
            .thread_unblock()
            .map_err(|e| format!("SIGURG: {e}"))?;
        let mut watched: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        watched.push(self.begun.as_fd());
        while !self.has_begun() {
            for index in readable(&watched, None) {
                let Some(listener) = listeners.get(index) else {
                    break;
                };
                // In blocking mode this may wait: a sibling generation was quicker. Hence the kick.
                match listener
                    .accept()
                    .map_err(|e| Errno::from_raw(e.raw_os_error()))
                {
                    Ok(stream) => self.spawn(serve(stream)),
                    Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => {}
                    Err(reason) => return Err(format!("accept: {reason}")),
                }
            }
        }
        self.update(|state| state.accepting = false);
        Ok(())
    }

    /// Waits until the last connection is closed.
    pub(crate) fn wait_until_idle(&self) {
        let state = self
            .state
            .lock()
            .expect("no thread panics with the lock held");
        let idle = self
            .changed
            .wait_while(state, |state| state.connections > 0);
        drop(idle.expect("no thread panics with the lock held"));
    }

    /// Tells everybody, and interrupts accept until the acceptor has noticed: a signal that comes
    /// just before accept would be lost, so one is not enough.
    fn begin(&self) {
        self.begun
            .write(1)
            .expect("the counter is 0, it cannot overflow");
        let mut state = self
            .state
            .lock()
            .expect("no thread panics with the lock held");
        while state.accepting {
            let waited = self.changed.wait_timeout(state, KICK_INTERVAL);
            state = waited.expect("no thread panics with the lock held").0;
            if state.accepting {
                kill(Pid::this(), KICK).expect("a process may signal itself");
            }
        }
    }

    fn spawn(self: &Arc<Self>, serve: impl FnOnce() + Send + 'static) {
        /// Counts the connection out, also when its thread panics.
        struct Open(Arc<Drain>);
        impl Drop for Open {
            fn drop(&mut self) {
                self.0.update(|state| state.connections -= 1);
            }
        }
        self.update(|state| state.connections += 1);
        let open = Open(Arc::clone(self));
        thread::spawn(move || {
            let _open = open;
            serve();
        });
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(
            &mut self
                .state
                .lock()
                .expect("no thread panics with the lock held"),
        );
        self.changed.notify_all();
    }
}

extern "C" fn interrupt(_: libc::c_int) {}

/// Waits, and returns the indices of the fds that can be read (or have failed, which a read tells).
fn readable(fds: &[BorrowedFd<'_>], limit: Option<Duration>) -> Vec<usize> {
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
    });
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    while let Err(reason) = poll(&mut polled, timeout) {
        assert_eq!(
            reason,
            Errno::EINTR,
            "poll fails only for arguments that are wrong"
        );
    }
    let any = |fd: &PollFd<'_>| fd.any() != Some(false);
    polled
        .iter()
        .enumerate()
        .filter(|(_, fd)| any(fd))
        .map(|(index, _)| index)
        .collect()
}
