//! Sets of small numbers.

/// A set of small numbers. Equal sets are equal values, however they came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BitSet {
    /// Without zeros at the end.
    words: Vec<u64>,
}

impl BitSet {
    pub(super) fn contains(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, number: usize) {
        if self.words.len() <= number / 64 {
            self.words.resize(number / 64 + 1, 0);
        }
        self.words[number / 64] |= 1 << (number % 64);
    }

    pub(super) fn remove(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_has_what_was_put_in_and_not_taken_out(
            changes in prop::collection::vec((any::<bool>(), 0_usize..200), 0..60),
        ) {
            let (mut bits, mut set) = (BitSet::default(), BTreeSet::new());
            for (is_put_in, number) in changes {
                if is_put_in {
                    bits.insert(number);
                    set.insert(number);
                } else {
                    bits.remove(number);
                    set.remove(&number);
                }
            }
            for number in 0..200 {
                prop_assert_eq!(bits.contains(number), set.contains(&number));
            }
            let mut again = BitSet::default();
            set.into_iter().for_each(|number| again.insert(number));
            prop_assert_eq!(bits, again);
        }
    }
}
