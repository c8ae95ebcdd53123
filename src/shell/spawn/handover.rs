//! What a worker finds in `LISTEN_FDS` beside the listeners: the descriptors that an earlier
//! generation gave us to keep.
//!
//! They continue the run that begins at 3. A listener that is pinned to a number on the way is
//! counted where it stands; the number of `--ready=fd:N` ends the run, for nothing but the
//! readiness pipe may be there.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::os::fd;
use crate::protocol::listen_fds::{FIRST_FD, Name};
use crate::shell::listeners::Listeners;

/// The whole of `LISTEN_FDS`.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// The numbers of the stored descriptors, as many as could be placed, in their order.
    pub(super) places: Vec<RawFd>,
    /// The names from number 3 on.
    pub(super) names: Vec<Name>,
}

impl Handover {
    pub(super) fn plan(
        listeners: &Listeners,
        stored: &[(&Name, BorrowedFd<'_>)],
        reserved: Option<RawFd>,
    ) -> Self {
        let run = listeners.names().collect();
        if stored.is_empty() {
            // The run is as long as it can be.
            return Self {
                places: Vec::new(),
                names: run,
            };
        }
        let all = listeners.as_slice().iter();
        let pinned: Vec<_> = all
            .map(|listener| (listener.target, listener.name()))
            .collect();
        let stored: Vec<_> = stored.iter().map(|(name, _)| *name).collect();
        Self::continue_run(run, &pinned, &stored, reserved)
    }

    fn continue_run(
        run: Vec<Name>,
        pinned: &[(RawFd, Name)],
        stored: &[&Name],
        reserved: Option<RawFd>,
    ) -> Self {
        let (mut places, mut names) = (Vec::new(), run);
        let mut stored = stored.iter();
        for number in (FIRST_FD..).skip(names.len()) {
            let name = match pinned.iter().find(|(target, _)| *target == number) {
                _ if reserved == Some(number) => None,
                Some((_, name)) => Some(name),
                None => stored.next().map(|name| {
                    places.push(number);
                    *name
                }),
            };
            match name {
                Some(name) => names.push(name.clone()),
                None => break,
            }
        }
        Self { places, names }
    }
}

/// Duplicates that stand above every number where something will be put.
pub(super) fn above<'a>(sockets: &[(BorrowedFd<'a>, RawFd)]) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let highest = sockets.iter().map(|(_, target)| *target).max();
    let floor = highest.unwrap_or(0).saturating_add(1).max(fd::FIRST);
    let copy = |(source, target): &(BorrowedFd<'a>, RawFd)| {
        let copy = if source.as_raw_fd() >= floor {
            fd::duplicate_above(*source, source.as_raw_fd())?
        } else {
            fd::duplicate_above(source.as_fd(), floor)?
        };
        Ok((copy, *target))
    };
    sockets.iter().map(copy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn plan(
        run: &[&str],
        pinned: &[(RawFd, &str)],
        reserved: Option<RawFd>,
    ) -> (Vec<RawFd>, String) {
        let run: Vec<_> = run.iter().map(|text| name(text)).collect();
        let pinned: Vec<_> = pinned.iter().map(|(fd, text)| (*fd, name(text))).collect();
        let stored = [name("s"), name("t")];
        let handover = Handover::continue_run(run, &pinned, &[&stored[0], &stored[1]], reserved);
        let names: Vec<_> = handover.names.iter().map(Name::as_str).collect();
        (handover.places, names.join(":"))
    }

    #[test]
    fn stored_descriptors_follow_the_listeners() {
        assert_eq!(plan(&["a", "b"], &[], None), (vec![5, 6], "a:b:s:t".into()));
        assert_eq!(plan(&[], &[], None), (vec![3, 4], "s:t".into()));
    }

    #[test]
    fn a_pinned_listener_on_the_way_is_counted_where_it_stands() {
        let pinned = [(3, "a"), (5, "p"), (7, "q"), (9, "r")];
        assert_eq!(
            plan(&["a"], &pinned, None),
            (vec![4, 6], "a:s:p:t:q".into())
        );
    }

    #[test]
    fn the_readiness_pipe_ends_the_run() {
        assert_eq!(plan(&["a"], &[], Some(5)), (vec![4], "a:s".into()));
        assert_eq!(plan(&["a"], &[], Some(4)), (vec![], "a".into()));
    }
}
