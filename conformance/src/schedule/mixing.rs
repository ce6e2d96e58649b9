//! Numbers that follow from a seed (SplitMix64; Steele, Lea and Flood, "Fast Splittable Pseudorandom
//! Number Generators", 2014). Their own, so that a schedule in a script keeps its meaning whatever
//! becomes of anybody's generator.

/// The numbers of a seed.
#[derive(Clone, Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn of_seed(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// One below `end`, which is not 0. The slight preference of a remainder does not matter here.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
