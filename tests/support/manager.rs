//! A manager that is not systemd: it hears what a supervisor says to `$NOTIFY_SOCKET`, in order, and
//! can be made to stop listening.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt,
};

/// One datagram.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
    /// Of the sender, as the kernel vouches.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) at: Instant,
}

impl Message {
    /// The value of `name` in it.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Listens from its making until it is dropped.
pub(crate) struct FakeManager {
    address: String,
    shared: Arc<Shared>,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    heard: Mutex<Vec<Message>>,
    changed: Condvar,
    /// Held while reading, so that nothing is read once [`FakeManager::get_stuck`] has returned.
    listening: Mutex<bool>,
    unstuck: Condvar,
}

impl FakeManager {
    /// On a path, as systemd's own.
    pub(crate) fn at_path(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a path that is free");
        Self::listen(socket, path.to_str().expect("UTF-8").to_owned())
    }

    /// On an abstract address.
    pub(crate) fn at_abstract_name() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sd-starter-test.{}.{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        Self::listen(
            UnixDatagram::bind_addr(&address).expect("a free name"),
            format!("@{name}"),
        )
    }

    /// The value for NOTIFY_SOCKET.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Everything so far.
    pub(crate) fn heard(&self) -> Vec<Message> {
        self.shared
            .heard
            .lock()
            .expect("the listener does not panic")
            .clone()
    }

    /// The names in what was heard, in order, as in `["READY", "STATUS", "RELOADING"]`: for assertions
    /// on the order. `ignored` names are left out.
    pub(crate) fn order(&self, ignored: &[&str]) -> Vec<String> {
        let heard = self.heard();
        let names = heard.iter().flat_map(|message| message.text.lines());
        let names = names.filter_map(|line| Some(line.split_once('=')?.0));
        names
            .filter(|name| !ignored.contains(name))
            .map(str::to_owned)
            .collect()
    }

    /// Waits until there is a message that `wanted` likes, from the beginning, and returns the first.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Message {
        self.wait_for_nth(what, 1, limit, wanted)
    }

    /// The same for the `n`th such message, counted from 1.
    #[track_caller]
    pub(crate) fn wait_for_nth(
        &self,
        what: &str,
        n: usize,
        limit: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Message {
        let find = |heard: &[Message]| heard.iter().filter(|m| wanted(m)).nth(n - 1).cloned();
        let heard = self
            .shared
            .heard
            .lock()
            .expect("the listener does not panic");
        let missing = |heard: &mut Vec<Message>| find(heard).is_none();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(heard, limit, missing);
        let heard = waited.expect("the listener does not panic").0;
        let (found, all) = (find(&heard), heard.clone());
        drop(heard);
        found.unwrap_or_else(|| panic!("not heard within {limit:?}: {what}, of {all:#?}"))
    }

    /// Stops reading: senders soon find the socket's queue full (net.unix.max_dgram_qlen).
    pub(crate) fn get_stuck(&self) {
        *self
            .shared
            .listening
            .lock()
            .expect("the listener does not panic") = false;
    }

    /// Reads again, beginning with what was queued.
    pub(crate) fn get_unstuck(&self) {
        *self
            .shared
            .listening
            .lock()
            .expect("the listener does not panic") = true;
        self.shared.unstuck.notify_all();
    }

    fn listen(socket: UnixDatagram, address: String) -> Self {
        setsockopt(&socket, sockopt::PassCred, &true).expect("a unix socket");
        let shared = Arc::new(Shared {
            heard: Mutex::default(),
            changed: Condvar::new(),
            listening: Mutex::new(true),
            unstuck: Condvar::new(),
        });
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("an eventfd"));
        let (listener, stopped) = (Arc::clone(&shared), Arc::clone(&stop));
        let thread = thread::spawn(move || listener.read_until(&stopped, &socket));
        Self {
            address,
            shared,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for FakeManager {
    fn drop(&mut self) {
        self.stop.write(1).expect("an eventfd can be written once");
        self.get_unstuck();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "the listener has panicked"
            );
        }
        if !self.address.starts_with('@') {
            let _ = std::fs::remove_file(&self.address);
        }
    }
}

impl Shared {
    fn read_until(&self, stop: &EventFd, socket: &UnixDatagram) {
        loop {
            let mut polled = [
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) if polled[0].any() == Some(true) => return,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(reason) => panic!("poll: {reason}"),
            }
            let listening = self.listening.lock().expect("no panic with the lock held");
            let listening = self.unstuck.wait_while(listening, |listening| !*listening);
            let message = receive(socket);
            drop(listening.expect("no panic with the lock held"));
            if let Some(message) = message {
                self.heard
                    .lock()
                    .expect("no panic with the lock held")
                    .push(message);
                self.changed.notify_all();
            }
        }
    }
}

/// One datagram, if there is one. Fds that come with it are closed, which answers a BARRIER=1.
fn receive(socket: &UnixDatagram) -> Option<Message> {
    let mut text = [0; 8192];
    let mut slices = [IoSliceMut::new(&mut text)];
    let mut control = nix::cmsg_space!(UnixCredentials, [i32; 16]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags);
    let message = match message {
        Ok(message) => message,
        Err(Errno::EAGAIN | Errno::EINTR) => return None,
        Err(reason) => panic!("recvmsg: {reason}"),
    };
    let size = message.bytes;
    let mut sender = None;
    for control in message.cmsgs().expect("the control buffer is large enough") {
        if let ControlMessageOwned::ScmCredentials(credentials) = control {
            sender = Some(credentials);
        } else if let ControlMessageOwned::ScmRights(fds) = control {
            fds.into_iter()
                .for_each(|fd| nix::unistd::close(fd).expect("a received fd"));
        }
    }
    let sender = sender.expect("SO_PASSCRED is set");
    let text = String::from_utf8_lossy(&text[..size]).into_owned();
    Some(Message {
        text,
        pid: sender.pid(),
        uid: sender.uid(),
        at: Instant::now(),
    })
}
