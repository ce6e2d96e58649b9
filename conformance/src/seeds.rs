//! The seeds of a campaign: a range, or one machine's share of it, in ascending order.
//!
//! Several machines that are given the shards of one range run each of its seeds exactly once.

use std::ops::Range;

/// One of several equal shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// The only share.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// Share `number`, counted from 1, of `count`; none if there is no such share.
    pub fn new(number: u64, count: u64) -> Option<Shard> {
        (1..=count).contains(&number).then(|| Shard { index: number - 1, count })
    }
}

/// The seeds that a campaign runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds {
    range: Range<u64>,
    shard: Shard,
}

impl Seeds {
    /// A share of a range: every seed that is its shard's by the remainder of a division.
    pub fn new(range: Range<u64>, shard: Shard) -> Seeds {
        Seeds { range, shard }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        match self.first() {
            Some(first) => (self.range.end - 1 - first) / self.shard.count + 1,
            None => 0,
        }
    }

    /// The seed at this position, the lowest being at 0.
    pub fn at(&self, position: u64) -> Option<u64> {
        let offset = position.checked_mul(self.shard.count)?;
        self.first()?.checked_add(offset).filter(|seed| *seed < self.range.end)
    }

    fn first(&self) -> Option<u64> {
        let Shard { index, count } = self.shard;
        let behind = (count + index - self.range.start % count) % count;
        self.range.start.checked_add(behind).filter(|first| *first < self.range.end)
    }
}

impl From<Range<u64>> for Seeds {
    fn from(range: Range<u64>) -> Seeds {
        Seeds::new(range, Shard::WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(seeds: &Seeds) -> Vec<u64> {
        (0..seeds.count()).filter_map(|position| seeds.at(position)).collect()
    }

    #[test]
    fn a_whole_range_is_itself() {
        assert_eq!(all(&Seeds::from(3..7)), [3, 4, 5, 6]);
    }

    #[test]
    fn there_is_no_share_0_and_none_above_their_number() {
        assert_eq!((Shard::new(0, 3), Shard::new(4, 3)), (None, None));
        assert_eq!(Shard::new(1, 1), Some(Shard::WHOLE));
    }

    #[test]
    fn the_last_seed_of_all_can_be_reached() {
        let seeds = Seeds::from(u64::MAX - 1..u64::MAX);
        assert_eq!((seeds.count(), seeds.at(0), seeds.at(1)), (1, Some(u64::MAX - 1), None));
    }

    proptest! {
        #[test]
        fn shards_have_each_seed_once(start in 0..50_u64, length in 0..50_u64, count in 1..9_u64) {
            let mut seeds = Vec::new();
            for number in 1..=count {
                let shard = Shard::new(number, count).expect("within the count");
                let share = all(&Seeds::new(start..start + length, shard));
                prop_assert!(share.is_sorted());
                seeds.extend(share);
            }
            seeds.sort_unstable();
            prop_assert_eq!(seeds, (start..start + length).collect::<Vec<_>>());
        }
    }
}
