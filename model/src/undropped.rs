//! Records of keys that nothing leads to, and that may be there all the same.
//!
//! RSI_DROP_KEY takes the record of a key that has lost its last name (PSD-005 §2.8, §7.2), and nobody is told whether
//! it has: its source may wait for a write lock with it and give up (P-156, P-370), not answer (P-365), or have a disk that
//! refuses it (P-453). Until the source's next start the record may be there then (P-342).

use crate::audit_events::is_of_transfer;
use crate::database::{Guid, HiveId};
use crate::state::State;
use crate::step::Step;

impl State {
    /// Whether the drop of a key of this hive may meet the lock of another hive of its source (P-370).
    pub(crate) fn may_not_drop(&self, hive: HiveId) -> bool {
        self.hives_beside(hive).into_iter().any(|other| self.is_locked_for_readers(other))
    }

    /// The drops since `before` in this hive may not have been carried out.
    pub(crate) fn leave_drops(&mut self, before: &State, hive: HiveId) {
        let now = self.database(hive).keys.clone();
        let records = before.database(hive).keys.iter();
        let is_known = |key: Guid| before.undropped.contains(&(hive, key));
        let dropped = records.filter(|(key, _)| !now.contains_key(key) && !is_known(**key));
        for (key, record) in dropped {
            self.undropped.insert_mut((hive, *key));
            self.knowledge_mut(hive).keys.insert_mut(*key, record.clone());
        }
    }

    /// It has turned out that a record is gone that might have been there, for its transactions as well.
    pub(crate) fn turns_out_dropped(&mut self, hive: HiveId, key: Guid) {
        self.undropped.remove_mut(&(hive, key));
        self.database_mut(hive).drop_key(key);
        self.change_open_contents(hive, |contents| contents.drop_key(key));
    }

    /// What calls may leave of what they drop, if a disk may have refused it or another hive is locked. What a transfer
    /// removes is dropped by no request of its own.
    pub(crate) fn with_drops_left(&self, mut steps: Vec<Step>, is_interrupted: bool) -> Vec<Step> {
        let is_any_locked = !self.transactions.is_empty() || self.awaits_answers();
        if !is_interrupted && !is_any_locked {
            return steps;
        }
        let may_be_left =
            |hive: &HiveId| self.is_active(*hive) && (is_interrupted || self.may_not_drop(*hive));
        let hives: Vec<HiveId> = self.hives.keys().copied().filter(may_be_left).collect();
        for step in &mut steps {
            if !step.audit.iter().any(is_of_transfer) {
                hives.iter().for_each(|hive| step.next.leave_drops(self, *hive));
            }
        }
        steps
    }
}
