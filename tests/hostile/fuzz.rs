//! The bodies of `fuzz/`, with a bounded number of inputs: the seeds, mutations of them, and noise.
//! The same inputs each time; `SD_STARTER_SEED=N` begins elsewhere.

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use sd_starter::protocol::generation::Generation;
use sd_starter::shell::mailbox::Mailbox;

use crate::is_full;
use crate::support::scratch::Scratch;

/// splitmix64 (Vigna): small, and good enough to make noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        // What parsers look for, half of the time.
        const TELLING: &[u8] = b"\0\n=:;,.[]{}\"\\-+0189 \xffuU/";
        if self.next() % 2 == 0 {
            TELLING[self.below(TELLING.len())]
        } else {
            self.next().to_le_bytes()[0]
        }
    }

    /// An input made of the seeds.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match self.below(8) {
            0 => (0..self.below(200)).map(|_| self.byte()).collect(),
            1 => {
                let (a, b) = (self.below(seeds.len()), self.below(seeds.len()));
                let (a, b) = (&seeds[a], &seeds[b]);
                let (to, from) = (self.below(a.len() + 1), self.below(b.len() + 1));
                [&a[..to], &b[from..]].concat()
            }
            _ => seeds[self.below(seeds.len())].clone(),
        };
        for _ in 0..self.below(6) {
            let at = self.below(input.len() + 1);
            match self.below(5) {
                0 => input.insert(at, self.byte()),
                1 if at < input.len() => drop(input.remove(at)),
                2 if at < input.len() => input[at] = self.byte(),
                3 => {
                    let end = (at + self.below(20)).min(input.len());
                    let part = input[at..end].to_vec();
                    let times = if self.below(50) == 0 {
                        2000
                    } else {
                        1 + self.below(4)
                    };
                    let repeated = part.repeat(times);
                    input.splice(at..at, repeated);
                }
                _ => input.truncate(at),
            }
        }
        input
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let list = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = list.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("readable");
    paths.into_iter().map(read).collect()
}

fn first_seed() -> u64 {
    let seed = std::env::var("SD_STARTER_SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[test]
fn s10_no_input_breaks_a_parser() {
    let count = if is_full() { 1_000_000 } else { 30_000 };
    for (name, body) in bodies::BODIES {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seed");
        for seed in &seeds {
            body(seed);
        }
        let mut noise = Noise(first_seed());
        for number in 0..count {
            let input = noise.input(&seeds);
            if catch_unwind(AssertUnwindSafe(|| body(&input))).is_err() {
                panic!(
                    "{name}: input {number}: {:?}",
                    String::from_utf8_lossy(&input)
                );
            }
        }
        println!("{name}: {count} inputs");
    }
}

#[test]
fn every_body_has_its_target_and_every_target_its_body() {
    let names: Vec<String> = bodies::BODIES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let list = std::fs::read_dir(folder).expect("the targets").flatten();
    let mut targets: Vec<_> = list
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    targets.sort();
    assert_eq!(targets, names);
    let manifest = std::fs::read_to_string("fuzz/Cargo.toml").expect("its manifest");
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
}

#[test]
fn s10_no_datagram_with_whatever_comes_along_breaks_a_mailbox() {
    let scratch = Scratch::new();
    let mailbox = Mailbox::open(&scratch.join(""), Generation::FIRST).expect("our directory");
    let address = UnixAddr::new(mailbox.address()).expect("a short path");
    let socket = UnixDatagram::unbound().expect("a socket");
    let us = i32::try_from(std::process::id()).expect("a pid");
    // Known by its name: other tests open and close theirs meanwhile.
    let name = "sd-starter-fuzz-rights";
    let open = || {
        let fds = std::fs::read_dir("/proc/self/fd")
            .expect("we live")
            .flatten();
        let targets = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().contains(name))
            .count()
    };
    let null = || -> OwnedFd {
        rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd")
    };
    let seeds = seeds("notify");
    let mut noise = Noise(first_seed());
    let (mut heard, mut refused) = (0, 0);
    for _ in 0..if is_full() { 200_000 } else { 5000 } {
        let mut input = noise.input(&seeds);
        // A socket takes no more than that at once.
        input.truncate(100_000);
        let fds: Vec<_> = (0..noise.below(4)).map(|_| null()).collect();
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights };
        let payload = [IoSlice::new(&input)];
        let flags = MsgFlags::empty();
        sendmsg(socket.as_raw_fd(), &payload, control, flags, Some(&address)).expect("it is read");
        let mail = mailbox
            .collect(us, sd_starter::shell::mailbox::Reading::Taking)
            .expect("whatever it is");
        heard += mail.words.len();
        refused += usize::from(mail.refused.is_some());
    }
    assert!(
        heard > 100 && refused > 100,
        "{heard} heard, {refused} refused"
    );
    assert_eq!(open(), 0, "a descriptor is left open");
}
