//! What a transaction remembers of each mutation that its source has accepted: what the commit
//! makes of it, and nothing that a read or a rollback would use (PSD-005 §5.1; `TXN-50`, `TXN-51`).

use rsi::Guid;

use crate::change::AcceptedChange;
use crate::mutation::{FollowUp, Scope};
use crate::name::FoldedName;
use crate::security::Sid;

/// A mutation in the log of a transaction.
#[derive(Clone, Debug)]
pub struct Logged {
    /// What was stored, for the events.
    pub change: AcceptedChange,
    /// What it touched, for the layers.
    pub scope: Scope,
    /// The layer written into; none for a descriptor.
    pub layer: Option<FoldedName>,
    /// A key that lost its last path entry.
    pub orphan: Option<Guid>,
    /// Whether it was about a name that is in view outside the transaction.
    pub was_visible: bool,
    /// Who created a key.
    pub creator: Option<Sid>,
}

impl Logged {
    /// What is remembered of a mutation.
    pub fn of(
        change: AcceptedChange,
        scope: &Scope,
        follow_up: &FollowUp,
        creator: Option<Sid>,
    ) -> Self {
        let layer = change.layer();
        let FollowUp { orphan, was_visible, .. } = *follow_up;
        Self { change, scope: scope.clone(), layer, orphan, was_visible, creator }
    }
}
