//! Which descriptor each socket has in a worker.
//!
//! Two protocols meet here. `LISTEN_FDS` wants sockets from 3 on without a gap, and
//! says nothing of others; a pin (`--port 8080=9`) wants one number for one socket.
//! So pins come first, and the rest fill the lowest free numbers from 3 on, in their
//! order. `LISTEN_FDS` then counts the run that begins at 3: every socket without a
//! pin is in it, and a pinned one is where it happens to continue the run, because
//! then it is a listening socket at that number and to leave it out would be a lie.

use crate::os::child::Places;
use crate::protocol::listen_fds::FIRST_FD;
use std::collections::BTreeSet;
use std::os::fd::RawFd;

/// Two wishes for one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Two sockets, by their index, are pinned to it.
    Pins {
        /// The one that comes first.
        first: usize,
        /// The other.
        second: usize,
        /// The number.
        fd: RawFd,
    },
    /// It is kept for something that is no socket, and this socket is pinned to it.
    PinOnReserved {
        /// The socket's index.
        socket: usize,
        /// The number.
        fd: RawFd,
    },
    /// It is kept for something that is no socket, but `LISTEN_FDS` needs it.
    Gap {
        /// The number.
        fd: RawFd,
        /// The last number that `LISTEN_FDS` needs.
        last: RawFd,
    },
}

/// Places sockets, each with the pin it may have; `reserved` is kept free of them.
///
/// # Errors
/// A [`Clash`], and the first one there is.
pub fn place(pins: &[Option<RawFd>], reserved: Option<RawFd>) -> Result<Vec<RawFd>, Clash> {
    let mut taken = BTreeSet::new();
    for (second, fd) in pinned(pins) {
        if reserved == Some(fd) {
            return Err(Clash::PinOnReserved { socket: second, fd });
        }
        if !taken.insert(fd) {
            let first = pinned(pins).find(|(_, other)| *other == fd);
            let first = first.map_or(second, |(first, _)| first);
            return Err(Clash::Pins { first, second, fd });
        }
    }
    let mut free = (FIRST_FD..).filter(|fd| !taken.contains(fd));
    let places = pins.iter().map(|pin| pin.or_else(|| free.next()));
    let places = places.collect::<Option<Vec<RawFd>>>();
    let places = places.expect("there are more numbers than sockets");
    let unpinned = pins.iter().zip(&places).filter(|(pin, _)| pin.is_none());
    let last = unpinned.map(|(_, fd)| *fd).max();
    match (reserved, last) {
        (Some(fd), Some(last)) if (FIRST_FD..=last).contains(&fd) => Err(Clash::Gap { fd, last }),
        _ => Ok(places),
    }
}

/// The indices of the sockets that `LISTEN_FDS` counts, in the order of its numbers.
pub fn run(places: &Places) -> Vec<usize> {
    (FIRST_FD..).map_while(|fd| places.at(fd)).collect()
}

fn pinned(pins: &[Option<RawFd>]) -> impl Iterator<Item = (usize, RawFd)> + '_ {
    let with_pin = |(index, pin): (usize, &Option<RawFd>)| pin.map(|fd| (index, fd));
    pins.iter().enumerate().filter_map(with_pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(places: &[RawFd]) -> Vec<usize> {
        super::run(&Places::new(places.iter().copied()))
    }

    use proptest::prelude::*;

    #[test]
    fn without_pins_sockets_stand_in_their_order_from_3_on() {
        assert_eq!(place(&[None, None, None], None), Ok(vec![3, 4, 5]));
        assert_eq!(run(&[3, 4, 5]), [0, 1, 2]);
        assert_eq!(place(&[], None), Ok(vec![]));
    }

    #[test]
    fn the_rest_fill_around_the_pins() {
        let places = place(&[None, Some(3), None, Some(9)], None);
        assert_eq!(places, Ok(vec![4, 3, 5, 9]));
        assert_eq!(run(&[4, 3, 5, 9]), [1, 0, 2]);
    }

    #[test]
    fn a_pin_that_continues_the_run_is_counted_and_another_is_not() {
        let places = place(&[None, Some(4), Some(0)], None).unwrap();
        assert_eq!(places, [3, 4, 0]);
        assert_eq!(run(&places), [0, 1]);
        assert_eq!(run(&[5]), [0; 0]);
    }

    #[test]
    fn b10_a_number_for_two_is_refused() {
        let clash = Clash::Pins {
            first: 1,
            second: 2,
            fd: 7,
        };
        assert_eq!(place(&[None, Some(7), Some(7)], None), Err(clash));
        let clash = Clash::PinOnReserved { socket: 0, fd: 7 };
        assert_eq!(place(&[Some(7)], Some(7)), Err(clash));
        let clash = Clash::Gap { fd: 3, last: 4 };
        assert_eq!(place(&[None, None], Some(3)), Err(clash));
        assert_eq!(place(&[None, None], Some(5)), Ok(vec![3, 4]));
    }

    proptest! {
        #[test]
        fn every_wish_is_granted_or_refused(
            pins in prop::collection::vec(prop::option::weighted(0.3, 0..20), 0..10),
            reserved in prop::option::of(3..20),
        ) {
            if let Ok(places) = place(&pins, reserved) {
                let numbers: BTreeSet<_> = places.iter().collect();
                prop_assert_eq!(numbers.len(), pins.len());
                prop_assert!(!places.iter().any(|fd| reserved == Some(*fd)));
                let counted = run(&places);
                for (index, pin) in pins.iter().enumerate() {
                    let granted = pin.map_or(counted.contains(&index), |fd| places[index] == fd);
                    prop_assert!(granted);
                }
                for (fd, index) in (3..).zip(counted) {
                    prop_assert_eq!(places[index], fd);
                }
            }
        }
    }
}
