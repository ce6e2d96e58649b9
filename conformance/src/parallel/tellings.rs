//! When a read or poll of watch events may count, beside changes that are under way.
//!
//! A change is told after its source has it (P-447): whoever looks between the two moments sees the change
//! and no event of it. The model has both in one moment, so that looking counts as early as the change began.

use registry_model::input::Call;

use super::block::Made;

/// From when on a call may have taken effect.
pub(super) fn invoked(made: &Made, all: &[Made]) -> u64 {
    if !matches!(made.call, Call::ReadEvents { .. } | Call::Poll { .. }) {
        return made.invoked;
    }
    let overlaps = |other: &&Made| other.invoked < made.returned && other.returned > made.invoked;
    let changes = all.iter().filter(|other| is_change(&other.call)).filter(overlaps);
    changes.map(|other| other.invoked).fold(made.invoked, u64::min)
}

/// Whether watches may be told of a call.
fn is_change(call: &Call) -> bool {
    match call {
        Call::SetValue { transaction, .. }
        | Call::DeleteValue { transaction, .. }
        | Call::BlanketTombstone { transaction, .. }
        | Call::CreateKey { transaction, .. }
        | Call::DeleteKey { transaction, .. }
        | Call::HideKey { transaction, .. }
        | Call::SetSecurity { transaction, .. } => *transaction == -1,
        Call::Commit { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use registry_model::observation::Observation;

    use super::*;

    fn made(call: Call, invoked: u64, returned: u64) -> Made {
        let answer = Ok(Observation::Done);
        Made { strand: 0, actor: 0, call, answer, invoked, returned, began: 0, ended: 0 }
    }

    fn look(invoked: u64, returned: u64) -> Made {
        made(Call::ReadEvents { fd: 3, capacity: 8 }, invoked, returned)
    }

    #[test]
    fn looking_counts_as_early_as_the_changes_under_way() {
        let all = [made(Call::Commit { fd: 1 }, 1, 6), made(Call::Commit { fd: 2 }, 3, 9)];
        assert_eq!(invoked(&look(4, 5), &all), 1);
        assert_eq!(invoked(&look(7, 8), &all), 3);
    }

    #[test]
    fn a_change_that_has_returned_was_told() {
        let all = [made(Call::Commit { fd: 1 }, 1, 2)];
        assert_eq!(invoked(&look(3, 4), &all), 3);
    }

    #[test]
    fn what_a_transaction_changes_is_told_at_its_commit() {
        let layer = Vec::new();
        let change = Call::DeleteKey { fd: 1, layer, transaction: 7 };
        assert_eq!(invoked(&look(3, 4), &[made(change, 1, 6)]), 3);
    }
}
