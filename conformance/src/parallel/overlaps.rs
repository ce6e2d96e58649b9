//! How far mutations of one key overlapped, so that a campaign can say whether it was worth anything.

use std::collections::BTreeMap;

use registry_model::Guid;
use registry_model::input::{Call, Fd};

use super::block::Made;
use crate::plan::ActorIndex;

/// The largest number of mutations of one key that were under way at one moment. `key_of` says which key
/// an actor's fd stands for.
pub(super) fn of_most_mutated(
    made: &[Made],
    key_of: impl Fn(ActorIndex, Fd) -> Option<Guid>,
) -> u64 {
    let mut by_key: BTreeMap<Guid, Vec<(u64, i64)>> = BTreeMap::new();
    for made in made {
        let Some(key) = mutated(&made.call).and_then(|fd| key_of(made.actor, fd)) else { continue };
        by_key.entry(key).or_default().extend([(made.invoked, 1), (made.returned, -1)]);
    }
    by_key.into_values().map(most_at_once).max().unwrap_or(0)
}

fn most_at_once(mut changes: Vec<(u64, i64)>) -> u64 {
    changes.sort_unstable();
    let running = changes.iter().scan(0_i64, |count, (_, change)| {
        *count += change;
        Some(*count)
    });
    running.max().unwrap_or(0).unsigned_abs()
}

/// The key that a call changes, or whose child it does.
fn mutated(call: &Call) -> Option<Fd> {
    match call {
        Call::SetValue { fd, .. }
        | Call::DeleteValue { fd, .. }
        | Call::BlanketTombstone { fd, .. }
        | Call::DeleteKey { fd, .. }
        | Call::HideKey { fd, .. }
        | Call::SetSecurity { fd, .. } => Some(*fd),
        Call::CreateKey { parent, .. } => Some(*parent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use registry_model::input::ProcessId;
    use registry_model::observation::Observation;

    use super::*;

    fn set(fd: Fd, invoked: u64, returned: u64) -> Made {
        let call = Call::DeleteValue { fd, name: Vec::new(), layer: Vec::new(), transaction: -1 };
        let answer = Ok(Observation::Done);
        Made { strand: 0, actor: 0, call, answer, invoked, returned, began: 0, ended: 0 }
    }

    fn overlaps(made: &[Made]) -> u64 {
        of_most_mutated(made, |_, fd| Some(Guid(u64::from(fd.unsigned_abs()))))
    }

    #[test]
    fn what_is_under_way_at_one_moment_counts() {
        assert_eq!(overlaps(&[set(1, 1, 4), set(1, 2, 3), set(1, 5, 6)]), 2);
    }

    #[test]
    fn each_key_counts_for_itself() {
        assert_eq!(overlaps(&[set(1, 1, 8), set(2, 2, 7), set(1, 3, 6)]), 2);
    }

    #[test]
    fn nothing_overlaps_with_reads() {
        let poll = Made { call: Call::Poll { fd: 1 }, ..set(1, 1, 2) };
        assert_eq!(overlaps(&[poll]), 0);
        let pass = Made { call: Call::Pass { fd: 1, to: ProcessId(0) }, ..set(1, 1, 2) };
        assert_eq!(overlaps(&[pass]), 0);
    }
}
