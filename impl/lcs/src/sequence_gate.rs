//! The gate of sequence allocation: while a restore numbers its entries by itself, nobody else gets a
//! number (PSD-005 §2.7, §9.1; `RST-69`..`RST-79`, P-227).
//!
//! Closing it waits for nobody who allocates, since a number is taken in a moment; so a restore that
//! has the write lock of its hive cannot wait for a mutation that is waiting for that lock.

use std::sync::Arc;

use abi::Errno;
use futures::channel::oneshot;

use crate::env::Env;
use crate::kernel::Kernel;
use crate::state::SlotId;

/// See the module.
#[derive(Default)]
pub struct SequenceGate {
    closed: bool,
    /// The highest number that the restore has sent.
    dispatched_max: Option<u64>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl SequenceGate {
    /// Whether a restore has it.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The first number that nobody has been given, a restore under way included (`RST-81`).
    pub fn first_free(&self, next_sequence: u64) -> u64 {
        let behind = self.dispatched_max.map_or(0, |sequence| sequence.saturating_add(1));
        next_sequence.max(behind)
    }

    /// Completes, with an error, when the gate may have opened.
    fn opening(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.retain(|waiting| !waiting.is_canceled());
        self.waiting.push(sender);
        receiver
    }
}

/// The closed gate, in the hands of a restore. Dropping it moves the counter behind everything that
/// was sent and opens it.
pub struct HeldGate<E: Env> {
    kernel: Arc<Kernel<E>>,
    offset: u64,
}

impl<E: Env> HeldGate<E> {
    /// The number that a backup's sequence stands for, which counts as given out from now on.
    ///
    /// # Errors
    /// EOVERFLOW (`RST-76`, P-205).
    pub fn remap(&self, sequence: u64) -> Result<u64, Errno> {
        let remapped = self.offset.checked_add(sequence).filter(|sequence| *sequence < u64::MAX);
        let remapped = remapped.ok_or(Errno::EOVERFLOW)?;
        let gate = &mut self.kernel.state().sequence_gate;
        gate.dispatched_max = gate.dispatched_max.max(Some(remapped));
        Ok(remapped)
    }
}

impl<E: Env> Drop for HeldGate<E> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.kernel.state();
            state.next_sequence = state.sequence_gate.first_free(state.next_sequence);
            std::mem::take(&mut state.sequence_gate).waiting
        };
        // They look again, and one of them may be a restore that closes it.
        drop(waiting);
    }
}

impl<E: Env> Kernel<E> {
    /// Closes the gate, behind a restore that has it.
    pub async fn close_sequence_gate(self: &Arc<Self>) -> HeldGate<E> {
        loop {
            let opening = {
                let mut state = self.state();
                if !state.sequence_gate.is_closed() {
                    state.sequence_gate.closed = true;
                    return HeldGate { kernel: Arc::clone(self), offset: state.next_sequence };
                }
                state.sequence_gate.opening()
            };
            // Whoever opens it drops the sender.
            let _ = opening.await;
        }
    }

    /// Waits for the gate to be open. An operation that has found it closed has let go of its turns
    /// and begins again, so that readers wait for no restore (`RST-73`).
    pub async fn sequence_gate_opened(&self) {
        loop {
            let opening = {
                let mut state = self.state();
                if !state.sequence_gate.is_closed() {
                    return;
                }
                state.sequence_gate.opening()
            };
            // Whoever opens it drops the sender.
            let _ = opening.await;
        }
    }

    /// Takes the next sequence number; none while a restore has the gate (P-05, P-227).
    ///
    /// # Errors
    /// Those of [`crate::state::State::allocate_sequence`].
    pub fn allocate_sequence(&self, slot: SlotId) -> Result<Option<u64>, Errno> {
        self.state().allocate_sequence(slot)
    }
}
