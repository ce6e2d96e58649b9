//! How many seeds without a failure show that a defect is gone.
//!
//! A defect that shows in a share p of the seeds stays hidden in n of them with a chance of (1 - p)^n.

/// The chance that is left for a defect that is still there.
const DOUBT: f64 = 0.05;

/// The number of further seeds without a failure after which it is 95 % likely that a defect which showed
/// in `failed` of `ran` seeds is fixed. None if it showed in no seed.
pub fn seeds_for_confidence(failed: u64, ran: u64) -> Option<u64> {
    if failed == 0 || ran == 0 {
        return None;
    }
    if failed >= ran {
        return Some(1);
    }
    let share = failed as f64 / ran as f64;
    Some((DOUBT.ln() / (-share).ln_1p()).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_failure_needs_three_times_its_distance() {
        assert_eq!(seeds_for_confidence(1, 1_000), Some(2_995));
        assert_eq!(seeds_for_confidence(1, 1_000_000_000), Some(2_995_732_273));
    }

    #[test]
    fn half_the_seeds_need_five() {
        assert_eq!(seeds_for_confidence(1, 2), Some(5), "1/32 is below 5 %, 1/16 is not");
    }

    #[test]
    fn a_failure_of_every_seed_needs_one_and_none_needs_none() {
        assert_eq!((seeds_for_confidence(7, 7), seeds_for_confidence(0, 7)), (Some(1), None));
    }
}
