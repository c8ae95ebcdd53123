//! Whether a reload that was asked for by a signal has ended, and how: pure, from what can be
//! seen before and after.
//!
//! start_server waits for one exact generation number, and for ever when that one fails, is
//! overtaken or skipped (B3).

use crate::protocol::generation::Generation;

/// How it was before the signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The newest generation in the status file.
    pub(super) listed: Generation,
    /// The newest generation at all, where the supervisor tells: one that was on its way then
    /// does not run what we have deployed since.
    pub(super) newest: Option<Generation>,
}

/// How it is now.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The generations in the status file.
    pub(super) listed: Vec<Generation>,
    /// Who serves, where the supervisor tells.
    pub(super) serving: Option<Option<Generation>>,
    /// The last attempt that failed, where the supervisor tells.
    pub(super) failure: Option<(Generation, String)>,
    /// Whether the supervisor is stopping.
    pub(super) stopping: bool,
}

/// The end, or the reason; `None` while it is open.
pub(super) fn judge(before: &Before, seen: &Seen) -> Option<Result<(), String>> {
    let newest = before
        .newest
        .map_or(before.listed, |newest| newest.max(before.listed));
    let only_newer =
        !seen.listed.is_empty() && seen.listed.iter().all(|listed| *listed > before.listed);
    let serves = seen
        .serving
        .is_none_or(|serving| serving.is_some_and(|serving| serving > newest));
    if only_newer && serves {
        return Some(Ok(()));
    }
    if seen.stopping {
        return Some(Err("the server process is stopping".to_owned()));
    }
    let (_, reason) = seen
        .failure
        .as_ref()
        .filter(|(generation, _)| *generation > newest)?;
    let kept = match seen.serving.flatten() {
        Some(serving) => format!("generation {serving} keeps serving"),
        None => "no generation is serving".to_owned(),
    };
    Some(Err(format!("{reason}; {kept}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: u64) -> Generation {
        Generation::new(number).unwrap()
    }

    fn before(listed: u64, newest: Option<u64>) -> Before {
        Before {
            listed: generation(listed),
            newest: newest.map(generation),
        }
    }

    /// What is listed, who serves (0 for nobody), who failed.
    fn seen(listed: &[u64], serving: Option<u64>, failed: Option<u64>) -> Seen {
        Seen {
            listed: listed.iter().copied().map(generation).collect(),
            serving: serving.map(Generation::new),
            failure: failed.map(|number| (generation(number), format!("{number} failed"))),
            stopping: false,
        }
    }

    #[test]
    fn b3_any_newer_generation_will_do() {
        let one = before(1, Some(1));
        for (listed, serving, done) in [
            (&[1][..], 1, false),
            (&[1, 2], 2, false),
            (&[2], 2, true),
            (&[4, 5], 5, true),
            (&[], 0, false),
        ] {
            let verdict = judge(&one, &seen(listed, Some(serving), None));
            assert_eq!(verdict, done.then_some(Ok(())), "{listed:?}");
            // Perl's supervisor tells nothing but the list.
            let verdict = judge(&before(1, None), &seen(listed, None, None));
            assert_eq!(verdict, done.then_some(Ok(())), "{listed:?}");
        }
    }

    #[test]
    fn one_that_was_on_its_way_is_not_ours() {
        let two_on_its_way = before(1, Some(2));
        assert_eq!(judge(&two_on_its_way, &seen(&[2], Some(2), None)), None);
        assert_eq!(judge(&two_on_its_way, &seen(&[1], Some(1), Some(2))), None);
        let verdict = judge(&two_on_its_way, &seen(&[3], Some(3), None));
        assert_eq!(verdict, Some(Ok(())));
    }

    #[test]
    fn a_failure_is_told_with_its_reason() {
        let verdict = judge(&before(1, Some(1)), &seen(&[1], Some(1), Some(2)));
        let reason = "2 failed; generation 1 keeps serving".to_owned();
        assert_eq!(verdict, Some(Err(reason)));
        let mut stopping = seen(&[], Some(0), None);
        stopping.stopping = true;
        assert!(matches!(judge(&before(1, None), &stopping), Some(Err(_))));
    }
}
