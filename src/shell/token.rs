//! What a descriptor is to the loop. The order of the variants is the order of handling within
//! one wake-up: exits first, so that nobody is signalled or believed after its end was seen.

use crate::protocol::generation::Generation;

/// A descriptor's meaning, as the number that epoll(7) carries.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Token {
    /// A worker's pidfd: it ended.
    Exit(Generation),
    /// A worker's report from between fork and exec.
    Outcome(Generation),
    /// A worker's notify socket.
    Mail(Generation),
    /// The log command ended.
    LogCommand,
    /// Signals to us.
    Signals,
    /// The directory of `--envdir` has changed.
    Envdir,
    /// systemd has room for another message.
    Manager,
    /// Somebody knocks at the control socket.
    Control,
    /// A client of the control socket.
    Client(u64),
    /// A worker's pipe of `--ready=fd:N`.
    Readiness(Generation),
    /// A command of `--ready=command:CMD`: it ended.
    Probe(Generation),
    /// A worker's cgroup: somebody came, or the last one went.
    Tree(Generation),
    /// The other end of a descriptor in the workers' fd store was closed.
    Stored(u64),
    /// The trial of a new program has ended.
    Trial,
    /// A listener, by its place in the list: it was shut down.
    Listener(u64),
}

/// The kind stands in the top byte, so numbers sort as tokens do.
const KIND_SHIFT: u32 = 56;

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        let (kind, id) = match token {
            Token::Exit(generation) => (0, generation.get()),
            Token::Outcome(generation) => (1, generation.get()),
            Token::Mail(generation) => (2, generation.get()),
            Token::LogCommand => (3, 0),
            Token::Signals => (4, 0),
            Token::Envdir => (5, 0),
            Token::Manager => (6, 0),
            Token::Control => (7, 0),
            Token::Client(id) => (8, id),
            Token::Readiness(generation) => (16, generation.get()),
            Token::Probe(generation) => (17, generation.get()),
            Token::Tree(generation) => (18, generation.get()),
            Token::Stored(id) => (19, id),
            Token::Trial => (20, 0),
            Token::Listener(number) => (21, number),
        };
        (kind << KIND_SHIFT) | id
    }
}

impl Token {
    /// The token behind a number that epoll gave back; `None` for what never was one.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        let id = number & ((1 << KIND_SHIFT) - 1);
        let generation = Generation::new(id);
        match number >> KIND_SHIFT {
            0 => generation.map(Self::Exit),
            1 => generation.map(Self::Outcome),
            2 => generation.map(Self::Mail),
            3 => Some(Self::LogCommand),
            4 => Some(Self::Signals),
            5 => Some(Self::Envdir),
            6 => Some(Self::Manager),
            7 => Some(Self::Control),
            8 => Some(Self::Client(id)),
            16 => generation.map(Self::Readiness),
            17 => generation.map(Self::Probe),
            18 => generation.map(Self::Tree),
            19 => Some(Self::Stored(id)),
            20 => Some(Self::Trial),
            21 => Some(Self::Listener(id)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_its_number_and_numbers_sort_as_tokens_do() {
        let generation = Generation::FIRST.next();
        let tokens = [
            Token::Exit(Generation::FIRST),
            Token::Exit(generation),
            Token::Outcome(generation),
            Token::Mail(generation),
            Token::LogCommand,
            Token::Signals,
            Token::Envdir,
            Token::Manager,
            Token::Control,
            Token::Client(9),
            Token::Readiness(generation),
            Token::Probe(generation),
            Token::Tree(generation),
            Token::Stored(7),
            Token::Trial,
            Token::Listener(3),
        ];
        let numbers = tokens.map(u64::from);
        assert!(numbers.is_sorted());
        assert_eq!(numbers.map(Token::from_number), tokens.map(Some));
        assert_eq!(Token::from_number(u64::MAX), None);
    }
}
