//! Mutations in a transaction that are heard of late: what becomes of them depends on what has
//! become of the transaction (PSD-005 §5.1, §10.1; D-93, P-263).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsi::{Request, Response, TransactionId};

use super::mutation::Accepted;
use crate::env::Env;
use crate::kernel::Kernel;
use crate::mutation::FollowUp;
use crate::source::AnyEffect;
use crate::turns::{Place, Share};

/// A bound transaction as its source knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// The transaction.
    pub id: TransactionId,
    /// What its source knows it by.
    pub id_at_source: TransactionId,
}

/// What has become of a bound transaction, also for requests that outlive it.
#[derive(Default)]
pub struct Fate(Mutex<Stage>);

#[derive(Default)]
enum Stage {
    /// It goes on.
    #[default]
    Open,
    /// It is over for its owner, but the answer to its commit is still due. With what the source has
    /// accepted for it since.
    Undecided(Vec<Accepted>),
    /// What was done in it has taken place.
    Committed,
    /// What was done in it has not.
    Void,
}

/// Where a mutation that is heard of late belongs.
enum Admitted {
    /// In the transaction.
    Within(Accepted),
    /// After its commit.
    After(Accepted),
}

impl Fate {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transaction has ended without having been committed, as far as is known.
    pub fn end(&self, commit_in_flight: bool) {
        let mut stage = self.lock();
        if matches!(*stage, Stage::Open) {
            *stage = if commit_in_flight { Stage::Undecided(Vec::new()) } else { Stage::Void };
        }
    }

    /// Its commit has succeeded. Returns what had to wait for that.
    pub fn commit(&self) -> Vec<Accepted> {
        match std::mem::replace(&mut *self.lock(), Stage::Committed) {
            Stage::Undecided(accepted) => accepted,
            Stage::Open | Stage::Committed | Stage::Void => Vec::new(),
        }
    }

    /// Its commit will never succeed.
    pub fn give_up(&self) {
        let mut stage = self.lock();
        if !matches!(*stage, Stage::Committed) {
            *stage = Stage::Void;
        }
    }

    fn admit(&self, accepted: Accepted) -> Option<Admitted> {
        match &mut *self.lock() {
            Stage::Open => Some(Admitted::Within(accepted)),
            Stage::Undecided(waiting) => {
                waiting.push(accepted);
                None
            }
            Stage::Committed => Some(Admitted::After(accepted)),
            Stage::Void => None,
        }
    }

    fn is_open(&self) -> bool {
        matches!(*self.lock(), Stage::Open)
    }

    fn is_committed(&self) -> bool {
        matches!(*self.lock(), Stage::Committed)
    }
}

impl<E: Env> Kernel<E> {
    /// What happens when a mutation's success comes after its caller has gone.
    pub fn late_acceptance(self: &Arc<Self>, accepted: Accepted) -> AnyEffect {
        let kernel = Arc::clone(self);
        Box::new(move |response: Response| {
            if response == Response::Done {
                kernel.begin_operation().accept_late(accepted);
            }
        })
    }

    /// As [`Kernel::late_acceptance`] of the record of a new key. The path entry of a refused one is
    /// taken back, wherever it is by then.
    pub fn late_record_within(
        self: &Arc<Self>,
        accepted: Accepted,
        take_back: Request,
    ) -> AnyEffect {
        let kernel = Arc::clone(self);
        Box::new(move |response: Response| {
            let kernel = kernel.begin_operation();
            if response == Response::Done {
                kernel.accept_late(accepted);
                return;
            }
            kernel.clone().spawn(async move {
                let Accepted { within, slot, fate, .. } = accepted;
                let _turn = kernel.turns.take(Place::Transaction(within.id), Share::Alone).await;
                if fate.is_open() {
                    kernel.have_done(Some(within), slot, take_back).await;
                } else if fate.is_committed() {
                    kernel.have_done(None, slot, take_back).await;
                }
            });
        })
    }

    /// A source has done a mutation in a transaction, and nobody waits for what follows. Where the transaction is
    /// over, that is told in the order of the responses; else it has its turn among the operations of the
    /// transaction.
    fn accept_late(self: Arc<Self>, accepted: Accepted) {
        let Some(accepted) = self.admit_late(accepted) else { return };
        let kernel = Arc::clone(&self);
        self.spawn(async move {
            let place = Place::Transaction(accepted.within.id);
            let turn = kernel.turns.take(place, Share::Alone).await;
            if let Some(accepted) = kernel.admit_late(accepted) {
                // Nobody is left to be told of a failure.
                let _ = kernel.finish_within(accepted).await;
            }
            drop(turn);
        });
    }

    /// A mutation of a transaction that is still open is given back; what has become of any other is seen to.
    fn admit_late(self: &Arc<Self>, accepted: Accepted) -> Option<Accepted> {
        let fate = Arc::clone(&accepted.fate);
        match fate.admit(accepted)? {
            Admitted::Within(accepted) => Some(accepted),
            Admitted::After(accepted) => {
                Arc::clone(self).take_effect_after_commit(accepted);
                None
            }
        }
    }

    /// Applies a mutation that a commit has carried out and that was not in the transaction's log.
    pub fn take_effect_after_commit(self: Arc<Self>, accepted: Accepted) {
        let Accepted { logged, new_key, write_time, .. } = accepted;
        let hive = logged.change.position.hive();
        let follow_up = FollowUp {
            create_key: new_key,
            orphan: logged.orphan,
            write_time: write_time.map(|(key, _)| key.guid),
            was_visible: logged.was_visible,
        };
        let (scope, creator) = (logged.scope, logged.creator);
        if logged.was_visible && self.state().machine == Some(hive) {
            self.state().metadata.note_visible(&scope);
        }
        let told = self.unforeseen(vec![logged.change]);
        let retained = self.retain(hive, scope, follow_up, creator, told);
        self.take_effect(retained);
    }
}
