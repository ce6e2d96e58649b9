//! What the answer to a mutation does when it comes after its caller has gone (PSD-005 §7.1,
//! timed-out request records; §10.1; `FAIL-18`..`FAIL-25`, D-93, P-260..P-269).
//!
//! A request record retains all that the effects need. The events and the generation step come
//! with the response itself; what takes requests follows in a task that nobody waits for.

use std::collections::BTreeSet;
use std::sync::Arc;

use rsi::{PathEntry, Request};

use crate::env::Env;
use crate::hive_content::absent_is_empty;
use crate::kernel::{Failure, Kernel};
use crate::mutation::{FollowUp, Retained};
use crate::source::RequestError;
use crate::state::{KeyId, SlotId};
use crate::transactions::Within;
use crate::watches::{Overtaken, Publication, Scale};

/// What is left of a success that has been told of.
#[derive(Debug, Default)]
pub struct Told {
    /// Orphans that nobody has open.
    pub unopened: Vec<KeyId>,
    /// Keys of which it has to be asked whether they are orphans.
    pub doubtful: BTreeSet<KeyId>,
    /// Whether the layers or the parameters may be to be read, and the generation to step with that.
    pub bears: bool,
}

impl<E: Env> Kernel<E> {
    /// Applies the effects of a mutation that its source has done, as far as they have not been
    /// applied when that was heard.
    pub fn take_effect(self: Arc<Self>, retained: Retained) {
        // Nobody hears of a key before its record is there, and it is known to have its name still.
        let is_key = retained.told.created_key().is_some();
        let told = retained.entered.take();
        let told = told.or_else(|| (!is_key).then(|| self.tell_late(&retained)));
        let kernel = Arc::clone(&self);
        self.spawn(async move {
            match told {
                Some(told) => kernel.complete(retained, told).await,
                None => kernel.complete_creation(retained).await,
            }
        });
    }

    /// Has a source do something that must not be left undone: what gets no slot in time goes out
    /// when there is one. What becomes of it is nobody's error.
    pub async fn have_done(&self, within: Option<Within>, slot: SlotId, request: Request) {
        let answer = match within {
            None => self.tell(slot, request.clone(), None).await,
            Some(Within { id, .. }) => {
                self.ask_in(Some(id), slot, request.clone(), None).await.map(|_| ())
            }
        };
        let unsent = RequestError::TimedOut { dispatched: false };
        if answer == Err(Failure::Unanswered(unsent)) {
            let id_at_source = within.map(|within| within.id_at_source);
            self.connection(slot).send(id_at_source, request, None);
        }
    }

    /// A creation whose layer was deleted before the key was there has made a key that nothing names.
    async fn complete_creation(self: &Arc<Self>, mut retained: Retained) {
        if let Some(new_key) = retained.follow_up.create_key.take()
            && self.create_key_record(&retained, new_key, false).await.is_err()
        {
            return;
        }
        if let Some(guid) = retained.told.created_key()
            && let Some(entries) = self.entries_now(&retained.told).await
            && entries.iter().all(|entry| entry.target != Some(guid))
        {
            self.drop_key(KeyId::in_hive(retained.hive, guid)).await;
            return;
        }
        let told = self.tell_late(&retained);
        self.complete(retained, told).await;
    }

    /// What layers say of the name that a change is of; none where the source does not tell.
    async fn entries_now(&self, told: &Publication) -> Option<Vec<PathEntry>> {
        let (parent, name) = told.place()?;
        self.env.yield_point("look for what has lost its name").await;
        absent_is_empty(self.lookup_entries(parent, name, None).await).ok()
    }

    /// Events, orphans, and the generation unless it steps with a refresh.
    fn tell_late(&self, retained: &Retained) -> Told {
        let Retained { hive, scope, told, follow_up, .. } = retained;
        let overtaken = told.overtaken();
        self.publish_late(told, Scale::One);
        let bears = !self.bearing(*hive, scope).is_none();
        let mut state = self.state();
        let mut unopened = Vec::new();
        let mut doubtful = BTreeSet::new();
        let orphan = follow_up.orphan.map(|guid| KeyId::in_hive(*hive, guid));
        match overtaken {
            Overtaken::No => unopened.extend(orphan.filter(|key| state.orphan_key(*key))),
            Overtaken::Yes { named } if told.removes_name() => {
                let named = named.into_iter().map(|guid| KeyId::in_hive(*hive, guid));
                doubtful.extend(named.chain(orphan));
            }
            Overtaken::Yes { .. } => {}
        }
        if !bears {
            state.step_generation(*hive);
        }
        Told { unopened, doubtful, bears }
    }

    /// What takes requests. Nobody is left to be told of a failure.
    async fn complete(self: &Arc<Self>, retained: Retained, told: Told) {
        let Told { mut unopened, doubtful, bears } = told;
        let Retained { hive, scope, follow_up, creator, told, .. } = retained;
        if !doubtful.is_empty()
            && let Some(entries) = self.entries_now(&told).await
        {
            let is_named = |key: &KeyId| entries.iter().any(|e| e.target == Some(key.guid));
            unopened.extend(self.orphan(doubtful.into_iter().filter(|key| !is_named(key))));
        }
        if bears {
            let change = self.begin_change(hive, scope, None).await;
            let _ = self.finish_change(&change, creator).await;
        }
        if let FollowUp { write_time: Some(guid), .. } = follow_up {
            self.env.yield_point("write the last write time").await;
            let _ = self.write_time(KeyId::in_hive(hive, guid)).await;
        }
        for key in unopened {
            self.drop_key(key).await;
        }
        if let Some(layer) = told.written_layer()
            && self.layers().get(&layer).is_none()
        {
            self.purge_again(hive.slot, &layer).await;
        }
    }

    /// Notes orphans and tells their watches; returns those that nobody has open.
    fn orphan(&self, keys: impl Iterator<Item = KeyId>) -> Vec<KeyId> {
        let keys: Vec<KeyId> = keys.collect();
        let limits = self.parameters.watch_limits();
        let mut state = self.state();
        let new: Vec<KeyId> = keys.iter().copied().filter(|key| !state.is_orphaned(*key)).collect();
        state.tell_orphans(new.iter(), &BTreeSet::new(), limits);
        keys.into_iter().filter(|key| state.orphan_key(*key)).collect()
    }
}
