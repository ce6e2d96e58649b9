//! Telling watchers of accepted mutations: what has to be known before, and the moment of telling
//! (PSD-005 §4.1, §4.2, §5.1, §10.1; D-70, D-73, D-93).
//!
//! A [`Publication`] is made before the source can have done the mutation and knows the entries
//! that it will change. While it waits, whatever else is published is carried out on its knowledge
//! too, so that each mutation's difference is its own, in the order of publication. Where knowledge
//! is missing, watchers that may be concerned get OVERFLOW.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use abi::Errno;
use rsi::{Guid, TransactionId};

use crate::change::{AcceptedChange, Effect};
use crate::configuration::WatchLimits;
use crate::env::Env;
use crate::hive_content::absent_is_empty;
use crate::kernel::Kernel;
use crate::layers::View;
use crate::name::FoldedName;
use crate::resolve::{folded, text};
use crate::state::{HiveId, KeyId};
use crate::watches::known::{Known, Occurrence};
use crate::watches::map::Batch;
use crate::watches::record::{Event, EventKind};

/// Mutations that a source is about to do, and what is known of what they change.
pub struct Publication {
    changes: Vec<AcceptedChange>,
    known: Arc<Knowledge>,
}

/// Knowledge that is kept up to date while it waits to be used; none once it has been.
#[derive(Default)]
pub struct Knowledge(Mutex<Option<Known>>);

/// The knowledge of everything that waits.
#[derive(Default)]
pub struct UnderWay(Vec<Weak<Knowledge>>);

/// What a publication is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A single mutation.
    One,
    /// A commit, which may be too much for a watch (D-73).
    Commit,
}

/// Whether the entries of a mutation have been changed since by others, as far as has been told.
pub enum Overtaken {
    /// They have not.
    No,
    /// They have, or it is not known.
    Yes {
        /// The keys that layers name by them, as far as that is known.
        named: BTreeSet<Guid>,
    },
}

/// A request whose answer tells something that a difference depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// One value of a key, of all layers.
    Value(KeyId, FoldedName, String),
    /// All values of a key.
    Values(KeyId),
    /// The path entries of one name.
    Name(KeyId, FoldedName, String),
    /// The path entries of all names.
    Children(KeyId),
    /// A key's descriptor.
    Descriptor(KeyId),
}

impl Question {
    /// As it is asked in a transaction.
    fn within(self, transaction: TransactionId) -> Self {
        let within = |key: KeyId| KeyId { transaction: Some(transaction), ..key };
        match self {
            Self::Value(key, folded, name) => Self::Value(within(key), folded, name),
            Self::Values(key) => Self::Values(within(key)),
            Self::Name(key, folded, name) => Self::Name(within(key), folded, name),
            Self::Children(key) => Self::Children(within(key)),
            Self::Descriptor(key) => Self::Descriptor(within(key)),
        }
    }
}

impl Publication {
    /// Whether anything else has changed the same entries.
    pub fn overtaken(&self) -> Overtaken {
        let known = self.known.lock();
        let named = |known: &Known| self.changes.iter().flat_map(|c| known.named(c)).collect();
        match known.as_ref() {
            Some(known) if !known.is_overtaken() => Overtaken::No,
            known => Overtaken::Yes { named: known.map(named).unwrap_or_default() },
        }
    }

    /// The key that was created, if one was.
    pub fn created_key(&self) -> Option<Guid> {
        self.changes.iter().find_map(AcceptedChange::created_key)
    }

    /// Whether it can take a key its last name.
    pub fn removes_name(&self) -> bool {
        self.changes.iter().any(|change| {
            matches!(change.effect, Effect::PathHidden { .. } | Effect::PathRemoved { .. })
        })
    }

    /// The key below which a name changes, and the name.
    pub fn place(&self) -> Option<(KeyId, &str)> {
        let mut changes = self.changes.iter();
        changes.find_map(|change| Some((change.position.key(), change.child_name()?)))
    }

    /// The layer that has an entry by it.
    pub fn written_layer(&self) -> Option<FoldedName> {
        self.changes.iter().find_map(AcceptedChange::layer_of_entry)
    }
}

impl Knowledge {
    /// A place for what will be known, told from now on of whatever is published.
    pub fn under_way(known: Known, all: &mut UnderWay) -> Arc<Self> {
        let knowledge = Arc::new(Self(Mutex::new(Some(known))));
        all.0.retain(|other| other.strong_count() > 0);
        all.0.push(Arc::downgrade(&knowledge));
        knowledge
    }

    /// Takes it out of use.
    pub fn take(&self) -> Option<Known> {
        self.lock().take()
    }

    /// What is known, to look at or to add to.
    pub fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Nothing is known any more of the keys of a hive, which a restore has changed.
    pub fn forget(&self, hive: HiveId) {
        for knowledge in self.0.iter().filter_map(Weak::upgrade) {
            if let Some(known) = knowledge.lock().as_mut() {
                known.forget(hive);
            }
        }
    }

    fn apply(&self, change: &AcceptedChange) {
        for knowledge in self.0.iter().filter_map(Weak::upgrade) {
            if let Some(known) = knowledge.lock().as_mut() {
                known.overtake(change);
            }
        }
    }
}

impl<E: Env> Kernel<E> {
    /// Prepares to tell of `changes`, in their order, before a source is asked to do or to commit
    /// them. What `known` lacks is asked, where a watch may be concerned; a question that fails is
    /// no failure of the mutation.
    pub async fn foresee(&self, changes: Vec<AcceptedChange>, known: Known) -> Arc<Publication> {
        let (known, questions) = {
            let mut state = self.state();
            let questions = if state.watches.is_empty() {
                BTreeSet::new()
            } else {
                let limits = self.parameters.watch_limits();
                let concerned = |change: &&AcceptedChange| state.watches.may_see(change, limits);
                questions(changes.iter().filter(concerned), &changes, &known)
            };
            (Knowledge::under_way(known, &mut state.under_way), questions)
        };
        for question in questions {
            self.env.yield_point("look at what a watch sees").await;
            // Without the answer the watchers will hear that something is lost.
            let _ = self.answer(&question, &known).await;
        }
        Arc::new(Publication { changes, known })
    }

    /// As [`Kernel::foresee`] where it is too late to ask: whoever is concerned will get OVERFLOW.
    pub fn unforeseen(&self, changes: Vec<AcceptedChange>) -> Arc<Publication> {
        let known = Knowledge::under_way(Known::lost(), &mut self.state().under_way);
        Arc::new(Publication { changes, known })
    }

    /// Completes what has been read for a mutation within a transaction, where a watch may be
    /// concerned. It is asked there too.
    pub async fn look_within(
        &self,
        transaction: TransactionId,
        change: &AcceptedChange,
        read: Known,
    ) -> Known {
        let questions = {
            let state = self.state();
            let limits = self.parameters.watch_limits();
            let is_concerned = !state.watches.is_empty() && state.watches.may_see(change, limits);
            questions(std::iter::once(change).filter(|_| is_concerned), &[], &read)
        };
        let knowledge = Knowledge(Mutex::new(Some(read)));
        for question in questions {
            self.env.yield_point("look at what a watch sees").await;
            // Without the answer the watchers will hear that something is lost.
            let _ = self.answer(&question.within(transaction), &knowledge).await;
        }
        knowledge.take().unwrap_or_default()
    }

    /// Tells whoever watches of mutations that are done, all in this moment; the second time
    /// nothing happens.
    pub fn publish(&self, publication: &Publication, scale: Scale) {
        if let Some(known) = publication.known.take() {
            self.publish_with(publication, known, scale);
        }
    }

    /// As [`Kernel::publish`] of mutations whose success is heard of late. If anything has changed
    /// the same entries meanwhile, nobody knows which came first (D-93).
    pub fn publish_late(&self, publication: &Publication, scale: Scale) {
        if let Some(known) = publication.known.take() {
            let known = if known.is_overtaken() { Known::nothing() } else { known };
            self.publish_with(publication, known, scale);
        }
    }

    fn publish_with(&self, publication: &Publication, mut known: Known, scale: Scale) {
        let mut state = self.state();
        let view = View::global(Arc::clone(&state.layers));
        let limits = self.parameters.watch_limits();
        let is_watched = !state.watches.is_empty();
        let mut batch = Batch::default();
        for change in &publication.changes {
            state.under_way.apply(change);
            if !is_watched {
                continue;
            }
            match known.difference(change, &view) {
                Ok(occurrences) => {
                    let is_told = |occurrence: &&Occurrence| {
                        !occurrence.was_unseen
                            || state.open_keys.contains_key(&occurrence.position.key())
                    };
                    for occurrence in occurrences.iter().filter(is_told) {
                        state.watches.note(occurrence, limits, &mut batch);
                    }
                }
                Err(_) => state.watches.note_unclear(change, limits, &mut batch),
            }
        }
        let burst = (scale == Scale::Commit).then_some(limits.transaction_burst_max);
        state.watches.deliver(batch, limits, burst);
    }

    /// Asks a question and notes the answer.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn answer(&self, question: &Question, knowledge: &Knowledge) -> Result<(), Errno> {
        match question {
            Question::Value(key, folded, name) => {
                let values = absent_is_empty(self.query_value(*key, name).await)?;
                knowledge.tell(|known| known.learn_value(*key, folded, values));
            }
            Question::Values(key) => {
                let values = absent_is_empty(self.query_values(*key).await)?;
                knowledge.tell(|known| known.learn_values(*key, values));
            }
            Question::Name(parent, _, name) => {
                let entries = absent_is_empty(self.lookup_entries(*parent, name).await)?;
                knowledge.tell(|known| known.learn_name(*parent, name, entries));
            }
            Question::Children(key) => {
                let children = absent_is_empty(self.enum_children_unjudged(*key).await)?;
                knowledge.tell(|known| known.learn_children(*key, children.groups));
            }
            Question::Descriptor(key) => {
                let metadata = self.read_key(*key).await?;
                knowledge.tell(|known| known.learn_descriptor(*key, metadata.sd));
            }
        }
        Ok(())
    }
}

impl Knowledge {
    fn tell(&self, learn: impl FnOnce(&mut Known)) {
        if let Some(known) = self.lock().as_mut() {
            learn(known);
        }
    }
}

impl<E: Env> crate::state::State<E> {
    /// Tells the watches on keys that have become orphans.
    pub fn tell_orphans<'a>(&mut self, keys: impl Iterator<Item = &'a KeyId>, limits: WatchLimits) {
        let mut batch = Batch::default();
        for key in keys {
            self.watches.note_at(*key, &Event::of_key(EventKind::KeyDeleted), &mut batch);
        }
        self.watches.deliver(batch, limits, None);
    }
}

/// The fewest questions that tell of the `concerned` changes all that is not known. A key that is
/// made by one of `all` has nothing that a source could tell.
fn questions<'a>(
    concerned: impl Iterator<Item = &'a AcceptedChange>,
    all: &[AcceptedChange],
    known: &Known,
) -> BTreeSet<Question> {
    let created: BTreeSet<KeyId> = all
        .iter()
        .filter_map(|change| Some(change.position.key().beside(change.created_key()?)))
        .collect();
    let mut questions = BTreeSet::new();
    let mut values: BTreeMap<KeyId, BTreeMap<FoldedName, String>> = BTreeMap::new();
    for change in concerned.filter(|change| !known.covers(change)) {
        let key = change.position.key();
        if created.contains(&key) {
            continue;
        }
        let names = values.entry(key);
        match &change.effect {
            Effect::ValueSet(entry) => {
                names.or_default().insert(folded(&entry.name), text(&entry.name));
            }
            Effect::ValueRemoved { name, .. } => {
                names.or_default().insert(folded(name), text(name));
            }
            Effect::BlanketSet(_) | Effect::BlanketRemoved { .. } => {
                questions.insert(Question::Values(key));
            }
            Effect::SecuritySet { .. } => {
                questions.insert(Question::Descriptor(key));
            }
            Effect::KeyCreated { name, .. }
            | Effect::PathHidden { name, .. }
            | Effect::PathRemoved { name, .. } => {
                questions.insert(Question::Name(key, FoldedName::new(name), name.clone()));
            }
        }
    }
    for (key, names) in values {
        if names.len() > 1 {
            questions.insert(Question::Values(key));
        } else if !questions.contains(&Question::Values(key)) {
            let single = names.into_iter().next();
            questions.extend(single.map(|(folded, name)| Question::Value(key, folded, name)));
        }
    }
    questions
}
