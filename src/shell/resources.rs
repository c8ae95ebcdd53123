//! What a generation uses: memory and processor time of its whole tree of processes.
//!
//! A generation with a cgroup of its own is counted by it: whoever was orphaned is in it too, and
//! where it has the memory controller the kernel has done the sum. Else the resident pages are
//! added up: shared ones count more than once, but anything better (PSS) makes the kernel walk page
//! tables while the loop waits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::core::Now;
use crate::protocol::{cgroup_path, process_stat};

/// A figure is good for so long: many who ask at once must not slow the loop down.
const FRESH: Duration = Duration::from_millis(250);

/// Of a larger tree only so many processes are counted.
const MOST_PROCESSES: usize = 512;

/// What a tree of processes uses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Bytes.
    pub memory: u64,
    /// What `memory` counts.
    pub counted: Counted,
    /// Processor time so far.
    pub cpu: Duration,
    /// How many processes there are.
    pub processes: u64,
}

/// How memory was counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Counted {
    /// What the cgroup is charged for.
    Cgroup,
    /// The sum of the processes' resident pages.
    #[default]
    Rss,
}

/// The figures of a moment ago.
#[derive(Debug, Default)]
pub struct Resources {
    seen: BTreeMap<i32, (Now, Option<Usage>)>,
}

impl Resources {
    /// What the tree below `pid` uses; `None` when there is no such process.
    pub fn of(&mut self, pid: i32, now: Now) -> Option<Usage> {
        self.seen.retain(|_, (at, _)| now.since(*at) < FRESH);
        let (_, usage) = self
            .seen
            .entry(pid)
            .or_insert_with(|| (now, of_cgroup(pid).or_else(|| of_tree(pid))));
        *usage
    }
}

/// What the cgroup of `pid` uses, if that is not ours too.
fn of_cgroup(pid: i32) -> Option<Usage> {
    let ours = fs::read_to_string("/proc/self/cgroup").ok()?;
    let its = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let (ours, its) = (cgroup_path::unified(&ours)?, cgroup_path::unified(&its)?);
    if ours == its {
        return None;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    in_cgroup(Path::new(&cgroup_path::directory(&mounts, its)?))
}

/// What the cgroup in that directory uses: cgroup v2's files (Linux, Documentation/admin-guide/cgroup-v2.rst).
fn in_cgroup(directory: &Path) -> Option<Usage> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let procs = read("cgroup.procs")?;
    let pids = procs.lines().filter_map(|pid| pid.parse().ok());
    let mut usage = sum(pids.take(MOST_PROCESSES));
    // Unlike the sum, it knows those that have ended.
    let cpu = read("cpu.stat")?;
    let micros = cpu
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "));
    usage.cpu = Duration::from_micros(micros?.parse().ok()?);
    if let Some(memory) = read("memory.current").and_then(|memory| memory.trim().parse().ok()) {
        usage.memory = memory;
        usage.counted = Counted::Cgroup;
    }
    Some(usage)
}

fn of_tree(root: i32) -> Option<Usage> {
    let usage = sum(tree(root).into_iter());
    (usage.processes > 0).then_some(usage)
}

fn sum(pids: impl Iterator<Item = i32>) -> Usage {
    let page = rustix::param::page_size() as u64;
    let mut usage = Usage::default();
    let mut ticks = 0_u64;
    for pid in pids {
        // It may have ended meanwhile.
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let Some(stat) = line.and_then(|line| process_stat::parse(&line)) else {
            continue;
        };
        usage.processes += 1;
        usage.memory = usage.memory.saturating_add(stat.pages.saturating_mul(page));
        ticks = ticks.saturating_add(stat.ticks);
    }
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    usage.cpu = Duration::from_millis(ticks.saturating_mul(1000) / per_second);
    usage
}

/// A process and all its descendants, as far as they can be seen, up to a bound. Who was orphaned
/// has left the tree.
fn tree(root: i32) -> Vec<i32> {
    let mut pids = vec![root];
    let mut next = 0;
    while let Some(pid) = pids.get(next).copied() {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace();
            let room = MOST_PROCESSES.saturating_sub(pids.len());
            pids.extend(
                children
                    .filter_map(|pid| pid.parse::<i32>().ok())
                    .take(room),
            );
        }
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_is_counted_with_its_children() {
        let mut child = Command::new("sh")
            .args(["-c", "cat & read -r _"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh can be started");
        let pid = i32::try_from(child.id()).expect("a pid");
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let usage = loop {
            let usage = Resources::default().of(pid, Now::default());
            let usage = usage.expect("it lives");
            if usage.processes == 2 || std::time::Instant::now() > deadline {
                break usage;
            }
        };
        assert_eq!(usage.processes, 2);
        assert!(usage.memory > 100_000, "{usage:?}");
        drop(child.stdin.take());
        child.wait().expect("our child");
        assert_eq!(Resources::default().of(pid, Now::default()), None);
    }

    /// The kernel has one memory controller: where cgroup v1 holds it, as on the machines that test us,
    /// no cgroup v2 can. So here the directory is not the kernel's, but its files are as they write them.
    #[test]
    fn memory_is_the_kernels_sum_where_it_does_one() {
        let directory = std::env::temp_dir().join(format!("cgroup.{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        let write = |name: &str, text: &str| {
            fs::write(directory.join(name), text).expect("a scratch directory");
        };
        assert_eq!(in_cgroup(&directory), None, "no cgroup");
        write("cgroup.procs", &format!("{}\n", std::process::id()));
        assert_eq!(in_cgroup(&directory), None, "nor with this alone");
        write(
            "cpu.stat",
            "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
        );
        let without = in_cgroup(&directory).expect("a cgroup");
        assert_eq!((without.counted, without.processes), (Counted::Rss, 1));
        assert!(without.memory > 100_000, "our own pages: {without:?}");
        write("memory.current", "12345678901\n");
        let with = in_cgroup(&directory).expect("a cgroup");
        fs::remove_dir_all(&directory).expect("our own directory");
        let expected = Usage {
            memory: 12_345_678_901,
            counted: Counted::Cgroup,
            cpu: Duration::from_millis(1500),
            processes: 1,
        };
        assert_eq!(with, expected);
    }

    #[test]
    fn a_figure_is_kept_for_a_moment() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        let mut resources = Resources::default();
        let now = Now::at(Duration::from_secs(1));
        let first = resources.of(own, now);
        assert!(first.is_some());
        let held = vec![1_u8; 4_000_000];
        assert_eq!(resources.of(own, now.after(FRESH / 2)), first);
        assert_eq!(resources.seen.len(), 1);
        assert!(held.iter().all(|byte| *byte == 1));
        assert!(resources.of(own, now.after(FRESH)).is_some());
    }
}
