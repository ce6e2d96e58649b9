//! Telling watchers of accepted mutations: what has to be known before, and the moment of telling
//! (PSD-005 §4.1, §4.2, §5.1, §10.1; D-70, D-73, D-93).
//!
//! A [`Publication`] is made before the source can have done the mutation and knows the entries
//! that it will change. While it waits, whatever else is published is carried out on its knowledge
//! too, so that each mutation's difference is its own, in the order of publication. Where knowledge
//! is missing, watchers that may be concerned get OVERFLOW.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, TransactionId};

use crate::change::{AcceptedChange, Effect};
use crate::configuration::WatchLimits;
use crate::env::Env;
use crate::kernel::Kernel;
use crate::layers::View;
use crate::name::FoldedName;
use crate::resolve::{folded, text};
use crate::state::{KeyId, State};
use crate::watches::knowledge::{Knowledge, Question};
use crate::watches::known::{Heard, Known, Occurrence};
use crate::watches::map::{Arming, Batch};
use crate::watches::record::{Event, EventKind};

/// Mutations that a source is about to do, and what is known of what they change.
pub struct Publication {
    changes: Vec<AcceptedChange>,
    known: Arc<Knowledge>,
}

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

    /// The keys that lose their last name by it; none where that is not known.
    pub fn orphans(&self) -> Option<BTreeSet<Guid>> {
        let mut known = self.known.lock().as_ref()?.clone();
        let mut orphans = BTreeSet::new();
        for change in self.changes.iter().filter(|change| change.takes_name()) {
            if !known.covers(change) {
                return None;
            }
            let named = known.named(change);
            known.apply(change, Heard::InOrder);
            orphans.extend(named.difference(&known.named(change)));
        }
        Some(orphans)
    }

    /// The key that was created, if one was.
    pub fn created_key(&self) -> Option<Guid> {
        self.changes.iter().find_map(AcceptedChange::created_key)
    }

    /// Whether it can take a key its last name.
    pub fn removes_name(&self) -> bool {
        self.changes.iter().any(AcceptedChange::takes_name)
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

impl<E: Env> Kernel<E> {
    /// A place for what will be known of something that is about to change.
    pub fn begin_knowledge(&self, known: Known) -> Arc<Knowledge> {
        Knowledge::under_way(known, &mut self.state().under_way)
    }

    /// Another place for what is known.
    pub fn copy_knowledge(&self, known: &Knowledge) -> Arc<Knowledge> {
        let mut state = self.state();
        let known = known.lock().clone().unwrap_or_default();
        Knowledge::under_way(known, &mut state.under_way)
    }

    /// Prepares to tell of `changes`, in their order, before a source is asked to do or to commit
    /// them. What `known` lacks is asked, where a watch may be concerned; a question that fails is
    /// no failure of the mutation.
    pub async fn foresee(
        &self,
        changes: Vec<AcceptedChange>,
        known: &Arc<Knowledge>,
    ) -> Arc<Publication> {
        let questions = {
            let state = self.state();
            let limits = self.parameters.watch_limits();
            let concerned = |change: &&AcceptedChange| state.watches.may_see(change, limits);
            match known.lock().as_mut() {
                Some(known) => {
                    // What has come before the mutation is sent has come before the mutation.
                    known.catch_up();
                    questions(changes.iter().filter(concerned), &changes, known)
                }
                None => BTreeSet::new(),
            }
        };
        self.ask_for(questions, known).await;
        Arc::new(Publication { changes, known: Arc::clone(known) })
    }

    async fn ask_for(&self, questions: BTreeSet<Question>, known: &Arc<Knowledge>) {
        for question in questions {
            self.env.yield_point("look at what a watch sees").await;
            // Without the answer the watchers will hear that something is lost.
            let _ = self.answer(&question, known).await;
        }
    }

    /// As [`Kernel::foresee`] where it is too late to ask: whoever is concerned will get OVERFLOW.
    pub fn unforeseen(&self, changes: Vec<AcceptedChange>) -> Arc<Publication> {
        Arc::new(Publication { changes, known: self.begin_knowledge(Known::lost()) })
    }

    /// Completes what has been read for a mutation within a transaction, where a watch may be
    /// concerned. It is asked there too.
    pub async fn look_within(
        &self,
        transaction: TransactionId,
        change: &AcceptedChange,
        known: &Arc<Knowledge>,
    ) {
        let questions = {
            let state = self.state();
            let limits = self.parameters.watch_limits();
            let concerned = state.watches.may_see(change, limits).then_some(change);
            let known = known.lock();
            let known = known.as_ref();
            known.map(|known| questions(concerned.into_iter(), &[], known)).unwrap_or_default()
        };
        let questions = questions.into_iter().map(|question| question.within(transaction));
        self.ask_for(questions.collect(), known).await;
    }

    /// Tells whoever watches of mutations that are done, all in this moment; the second time
    /// nothing happens.
    pub fn publish(&self, publication: &Publication, scale: Scale) {
        self.publish_in(&mut self.state(), publication, scale);
    }

    /// As [`Kernel::publish`], among other things that are done in this moment.
    pub fn publish_in(&self, state: &mut State<E>, publication: &Publication, scale: Scale) {
        if let Some(known) = publication.known.take() {
            self.publish_with(state, publication, known, scale, Heard::InOrder);
        }
    }

    /// As [`Kernel::publish`] of mutations whose success is heard of late. If anything has changed
    /// the same entries meanwhile, nobody knows which came first (D-93).
    pub fn publish_late(&self, publication: &Publication, scale: Scale) {
        self.publish_late_in(&mut self.state(), publication, scale);
    }

    /// As [`Kernel::publish_late`], among other things that are done in this moment.
    pub fn publish_late_in(&self, state: &mut State<E>, publication: &Publication, scale: Scale) {
        if let Some(known) = publication.known.take() {
            let known = if known.is_overtaken() { Known::nothing() } else { known };
            let heard = if scale == Scale::One { Heard::Late } else { Heard::InOrder };
            self.publish_with(state, publication, known, scale, heard);
        }
    }

    fn publish_with(
        &self,
        state: &mut State<E>,
        publication: &Publication,
        mut known: Known,
        scale: Scale,
        heard: Heard,
    ) {
        let view = View::global(Arc::clone(&state.layers));
        let limits = self.parameters.watch_limits();
        let is_watched = !state.watches.is_empty();
        let mut batch = Batch::default();
        for change in &publication.changes {
            state.under_way.apply(change, heard);
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

    /// Asks a question, whose answer is learned as it arrives.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn answer(
        &self,
        question: &Question,
        knowledge: &Arc<Knowledge>,
    ) -> Result<(), Errno> {
        let learning = Some(knowledge);
        match question {
            Question::Value(key, _, name) => {
                self.query_value(*key, name, learning).await.map(|_| ())
            }
            Question::Values(key) => self.query_values(*key, learning).await.map(|_| ()),
            Question::Name(parent, _, name) => {
                self.lookup_entries(*parent, name, learning).await.map(|_| ())
            }
            Question::Children(key) => {
                self.enum_children_unjudged(*key, learning).await.map(|_| ())
            }
            Question::Descriptor(key) => self.read_key(*key, learning).await.map(|_| ()),
        }
    }
}

impl<E: Env> State<E> {
    /// Tells the watches on keys that have become orphans.
    pub fn tell_orphans<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a KeyId>,
        told: &BTreeSet<Arming>,
        limits: WatchLimits,
    ) {
        let mut batch = Batch::default();
        for key in keys {
            self.watches.note_at(*key, &Event::of_key(EventKind::KeyDeleted), told, &mut batch);
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
