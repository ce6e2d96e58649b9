//! Sources that refuse: a commit that is busy or fails and may be tried again (PSD-005 §5.1), and transactions
//! that a source does not have (§7.3).

use proptest::prelude::*;
use registry_model::input::CommitRefusal;

use super::super::Generator;
use crate::plan::{Action, Fault, Step};

impl Generator {
    /// The source refuses a commit; the transaction goes on, and most are committed again.
    pub(in super::super) fn refuse_commit(&mut self) {
        let (transaction, path) = (self.begin(), self.watched_path());
        let source = self.source_of(&path);
        self.work(&transaction, &path);
        let refusal = if self.chance(3) { CommitRefusal::Failed } else { CommitRefusal::Busy };
        self.happens(Fault::RefuseCommit { source, refusal });
        self.act(1, Action::Commit { transaction: transaction.clone() });
        self.ask_for_state(&transaction);
        if self.chance(2) {
            self.look();
        }
        match self.rng.random_range(0..4) {
            0 => {
                let change = self.change_of(Generator::by_path(&path));
                self.within(&transaction, 3, change);
            }
            1 => {
                let read = self.read_of(&path);
                self.within(&transaction, 3, read);
            }
            _ => {}
        }
        if !self.chance(5) {
            self.commit(&transaction);
            self.noted(&path);
            self.look();
        }
        self.close_transaction(&transaction);
        let read = self.read_of(&path);
        self.act(3, read);
    }

    /// The source has no transactions for a while. Those that are bound go on.
    pub(in super::super) fn lose_transactions(&mut self) {
        let path = self.watched_path();
        let source = self.source_of(&path);
        self.happens(Fault::TransactionSupport { source, is_supported: false });
        let transaction = self.begin();
        let change = self.change_of(Generator::by_path(&path));
        self.within(&transaction, 3, change);
        self.ask_for_state(&transaction);
        self.happens(Fault::TransactionSupport { source, is_supported: true });
        if self.chance(2) {
            // A failed bind leaves it unbound (D-80).
            self.work(&transaction, &path);
            self.commit(&transaction);
            self.look();
        }
        self.close_transaction(&transaction);
    }

    fn happens(&mut self, fault: Fault) {
        self.calls += 1;
        self.plan.steps.push(Step::Fault(fault));
    }
}
