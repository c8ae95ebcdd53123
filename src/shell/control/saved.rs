//! The control socket, handed from one supervisor to the next: nobody who knocks meanwhile is
//! turned away, and who was inside stays.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use super::{Client, Control};
use crate::os::epoll::{Epoll, Interest};
use crate::protocol::state::{Label, held};
use crate::shell::luggage::{Luggage, Packed, saved_socket_file, socket_file};
use crate::shell::token::Token;

impl Control {
    /// The socket and its clients.
    pub fn save<'a>(&'a self, packed: &mut Packed<'a>) -> held::Control {
        let clients = self.clients.iter();
        held::Control {
            fd: packed.add(Label::of("control"), &self.listener),
            file: saved_socket_file(&self.file),
            clients: clients
                .filter_map(|(id, client)| client.save(*id, packed))
                .collect(),
            newest: self.newest,
        }
    }

    /// The control socket of our predecessor. A client that did not come along is gone.
    ///
    /// # Errors
    /// When the socket itself did not come along; as epoll_ctl(2).
    pub fn take_over(
        saved: &held::Control,
        luggage: &mut Luggage,
        epoll: &Epoll,
    ) -> io::Result<Self> {
        let listener = UnixListener::from(luggage.take(&saved.fd)?);
        epoll.add(listener.as_fd(), Token::Control.into(), Interest::Readable)?;
        let mut control = Self {
            listener,
            file: socket_file(&saved.file),
            clients: std::collections::BTreeMap::new(),
            newest: saved.newest,
            accepting: true,
            reserve: std::fs::File::open("/dev/null").ok(),
        };
        for saved in &saved.clients {
            let Ok(client) = Client::take_over(saved, luggage) else {
                continue;
            };
            let token = Token::Client(saved.id).into();
            epoll.add(client.as_fd(), token, client.interest)?;
            control.clients.insert(saved.id, client);
        }
        control.mind_the_door(epoll)?;
        Ok(control)
    }

    /// Whether this client is here.
    #[must_use]
    pub fn has(&self, id: u64) -> bool {
        self.clients.contains_key(&id)
    }
}
