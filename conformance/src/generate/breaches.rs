//! Sources that break the protocol, where others just die (PSD-005 §7.1, D-90).

use proptest::prelude::*;

use super::Generator;
use crate::plan::Fault;
use crate::source_device::Breach;

impl Generator {
    /// A death as it is, or, once in so many times, one by a breach of the protocol.
    pub(super) fn maybe_a_breach(&mut self, death: Fault, one_in: u32) -> Fault {
        if !self.chance(one_in) {
            return death;
        }
        let breach = Breach::ALL[self.rng.random_range(0..Breach::ALL.len())];
        match death {
            Fault::KillSource { source } => Fault::BreakProtocol { source, breach },
            Fault::KillSourceAt { source, request, executed } => {
                Fault::BreakProtocolAt { source, breach, request, executed }
            }
            other => other,
        }
    }
}
