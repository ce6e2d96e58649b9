//! Late creations: a new key is told of when the answer to the request for its record has come.
//!
//! States PSD-005 §6.2 and §10.1 ("Request timeout") with P-261 and P-380. That request, or the look at the name
//! that follows it, is sent when the first answer comes, so what was in flight beside the creation is answered
//! before. Which requests are late is known to `late` and `stalls`.

use crate::database::{Database, Guid, HiveId, PathEntry, Target};
use crate::in_flight::Sent;
use crate::late::{About, Change, Late};
use crate::names::FoldedName;
use crate::state::State;
use crate::transactions::Mutation;

/// The key that a late request makes, or names.
pub(crate) struct Creation {
    hive: HiveId,
    parent: Guid,
    entry: PathEntry,
    key: Guid,
    /// The entry of the same layer that was there before.
    former: Option<PathEntry>,
}

impl Late {
    /// The creation that the request is of.
    pub(crate) fn creation(&self) -> Option<Creation> {
        let hive = self.hive;
        match (&self.change, &self.effect) {
            (Change::Mutation(Mutation::CreateKey { parent, entry, .. }), _) => {
                let Target::Key(key) = entry.target else { return None };
                let (parent, entry) = (*parent, entry.clone());
                Some(Creation { hive, parent, entry, key, former: None })
            }
            (Change::Contents(next), Some(effect)) => {
                let About::Child(parent, name) = &effect.about else { return None };
                let since = effect.since.as_ref()?;
                let made = |entry: &PathEntry| match entry.target {
                    Target::Key(key) if !since.keys.contains_key(&key) => Some(key),
                    _ => None,
                };
                let entries = next.lookup(*parent, name.as_str())?;
                let (entry, key) =
                    entries.values().find_map(|entry| Some((entry, made(entry)?)))?;
                let former = since.lookup(*parent, name.as_str());
                let former = former.and_then(|layers| layers.get(entry.layer.folded())).cloned();
                Some(Creation { hive, parent: *parent, entry: entry.clone(), key, former })
            }
            _ => None,
        }
    }

    /// A creation of which the layer is deleted before its record is asked for was never there (P-261).
    pub(crate) fn is_never_there(&self, later: &[Late]) -> bool {
        self.creation().is_some_and(|creation| is_deleted(creation.entry.layer.folded(), later))
    }

    /// The same request; if it commits a transaction, without the creations in that which were never there.
    pub(crate) fn without_gone_creations(&self, later: &[Late]) -> Late {
        let mut late = self.clone();
        if let Change::Commit(_, _, unanswered) = &mut late.change {
            unanswered.retain(|logged| match &logged.mutation {
                Mutation::CreateKey { entry, .. } => !is_deleted(entry.layer.folded(), later),
                _ => true,
            });
        }
        late
    }
}

/// Whether one of these requests surely deletes a layer.
fn is_deleted(layer: &FoldedName, requests: &[Late]) -> bool {
    let deletes = |late: &Late| match &late.change {
        Change::Layer { name, sent, .. } => name == layer && *sent == Sent::Surely,
        _ => false,
    };
    requests.iter().any(deletes)
}

impl Creation {
    /// Whether the key is still named where it was made.
    pub(crate) fn is_named(&self, state: &State) -> bool {
        let name = self.entry.name.folded();
        let entries = state.database(self.hive).lookup(self.parent, name.as_str());
        entries.is_some_and(|all| all.values().any(|entry| entry.target == Target::Key(self.key)))
    }

    /// What its layer has named no more is dropped, and was never there (P-261).
    pub(crate) fn drop(&self, state: &mut State) {
        state.database_mut(self.hive).drop_key(self.key);
    }

    /// The same state without the new key: what else was answered meanwhile has been told of.
    pub(crate) fn without(&self, state: &State) -> State {
        let mut without = state.clone();
        let database: &mut Database = without.database_mut(self.hive);
        database.drop_key(self.key);
        database.delete_entry(self.parent, self.entry.name.folded(), self.entry.layer.folded());
        if let Some(former) = &self.former {
            database.put_entry(self.parent, former.clone());
        }
        without
    }
}
