//! Telling watchers of a layer that comes, goes or changes rank (PSD-005 §4.1; `WATCH-42`..
//! `WATCH-48`, D-74, D-76, D-78).
//!
//! The entries stay; the table changes. So all that is watched is read once and resolved under both
//! tables. Nobody's fd did this: the ways of events are those by which the keys are visible.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::configuration::WatchLimits;
use crate::env::Env;
use crate::kernel::Kernel;
use crate::layers::{LayerTable, View};
use crate::name::FoldedName;
use crate::state::{HiveId, KeyId, SlotId, State};
use crate::turns::{Place, Share};
use crate::watches::knowledge::{Knowledge, Question};
use crate::watches::known::{ChildChange, Known, Unclear};
use crate::watches::map::{Arming, Batch, Watch, WatchId};
use crate::watches::record::{Event, EventKind};

/// A change of the layer table that is about to be published.
pub struct LayerShift {
    after: View,
    known: Arc<Knowledge>,
    resumed: Option<SlotId>,
    limits: WatchLimits,
}

/// What watches are told of a change of the layer table.
#[derive(Default)]
struct Findings {
    batch: Batch,
    /// What has to be known for more.
    questions: BTreeSet<Question>,
    /// Watched keys that have been told that they are out of view.
    lost: BTreeSet<KeyId>,
}

impl<E: Env> Kernel<E> {
    /// Reads what is watched, so that it can be told what the coming table changes of it. None if
    /// nothing can change. The caller keeps others from changing `held`, whose keys may be its own
    /// turns; at the keys of other hives it waits for whoever changes them. Of `resumed`, a source
    /// whose return it is that the table comes from, nobody can tell what has changed (P-148).
    pub async fn foresee_layers(
        &self,
        table: &Arc<LayerTable>,
        held: HiveId,
        resumed: Option<SlotId>,
    ) -> Option<LayerShift> {
        let shift = {
            let mut state = self.state();
            if state.layers.resolves_like(table) {
                return None;
            }
            let known = Knowledge::under_way(Known::nothing(), &mut state.under_way);
            let limits = self.parameters.watch_limits();
            LayerShift { after: View::global(Arc::clone(table)), known, resumed, limits }
        };
        let mut asked = BTreeSet::new();
        // Every round asks what no other has asked, so the loop ends where the hives do.
        loop {
            let missing: Vec<Question> = {
                let state = self.state();
                let questions = shift.survey(&state).questions;
                questions.into_iter().filter(|question| asked.insert(question.clone())).collect()
            };
            if missing.is_empty() {
                return Some(shift);
            }
            for question in missing {
                self.env.yield_point("look at what a watch sees").await;
                let _turn = match question.place() {
                    Some((key, place))
                        if key.slot != held.slot || key.hive_index != Some(held.index) =>
                    {
                        Some(self.turns.take(place, Share::Read).await)
                    }
                    _ => None,
                };
                // What stays unknown is told as lost.
                let _ = self.answer(&question, &shift.known).await;
            }
        }
    }
}

/// Tells the watches of a slot that something has changed there by a layer, nobody can tell what: those for which
/// anything would have to be read.
pub fn overflow<E: Env>(state: &mut State<E>, slot: SlotId, limits: WatchLimits) {
    let (known, view) = (Known::nothing(), View::global(Arc::clone(&state.layers)));
    let mut batch = Batch::default();
    let here = state.watches.iter().filter(|(_, watch)| watch.position.hive().slot == slot);
    for (id, watch) in here {
        let mut findings = Findings::default();
        let mut survey = Survey {
            id,
            watch,
            known: &known,
            before: &view,
            after: &view,
            limits,
            is_orphaned: state.is_orphaned(watch.position.key()),
            findings: &mut findings,
            unclear: false,
        };
        survey.look();
        if !findings.questions.is_empty() {
            batch.add_overflow(id);
        }
    }
    state.watches.deliver(batch, limits, None);
}

impl Question {
    /// The key that it is about, and where others may be changing what it asks for.
    fn place(&self) -> Option<(KeyId, Place)> {
        match self {
            Self::Values(key) | Self::Value(key, ..) | Self::Descriptor(key) => {
                Some((*key, Place::Values(*key)))
            }
            Self::Children(key) | Self::Name(key, ..) => Some((*key, Place::Children(*key))),
        }
    }
}

impl LayerShift {
    /// Queues what the table changes, in the moment in which it is published and before that.
    /// Returns the watches that have been told that their keys are out of view.
    pub fn publish<E: Env>(&self, state: &mut State<E>) -> BTreeSet<Arming> {
        let Findings { batch, lost, .. } = self.survey(state);
        drop(self.known.take());
        state.watches.deliver(batch, self.limits, None);
        if let Some(slot) = self.resumed {
            // The OVERFLOW of its return, if that has been read already.
            state.watches.overflow_slot(slot, self.limits);
        }
        lost.iter().flat_map(|key| state.watches.armings_on(*key)).collect()
    }

    /// What every watch will be told by what is known now, and what is not known.
    fn survey<E: Env>(&self, state: &State<E>) -> Findings {
        let known = self.known.lock();
        let mut findings = Findings::default();
        let Some(known) = known.as_ref() else { return findings };
        for (id, watch) in state.watches.iter() {
            let slot = watch.position.hive().slot;
            if !state.is_active(slot) || self.resumed == Some(slot) {
                continue;
            }
            let mut survey = Survey {
                id,
                watch,
                known,
                before: &View::global(Arc::clone(&state.layers)),
                after: &self.after,
                limits: self.limits,
                is_orphaned: state.is_orphaned(watch.position.key()),
                findings: &mut findings,
                unclear: false,
            };
            survey.look();
            if survey.unclear {
                findings.batch.add_overflow(id);
            }
        }
        findings
    }
}

/// What one watch is told.
struct Survey<'a> {
    id: WatchId,
    watch: &'a Watch,
    known: &'a Known,
    before: &'a View,
    after: &'a View,
    limits: WatchLimits,
    is_orphaned: bool,
    findings: &'a mut Findings,
    unclear: bool,
}

impl Survey<'_> {
    fn look(&mut self) {
        self.look_at_own_name();
        let mut met = BTreeSet::new();
        let mut ahead = vec![(self.watch.position.key(), Vec::new())];
        // Each key is taken up once, so the loop ends even where a source's tree has a cycle.
        while let Some((key, path)) = ahead.pop() {
            if !met.insert(key) {
                continue;
            }
            self.look_at_values(key, &path);
            let mut below = self.look_at_children(key, &path);
            below.reverse();
            ahead.extend(below);
        }
    }

    /// Whether the watched key itself goes out of view. An orphan has no name that could matter.
    fn look_at_own_name(&mut self) {
        if self.is_orphaned {
            return;
        }
        let position = &self.watch.position;
        let Some(parent) = position.parent() else { return };
        let name = FoldedName::new(position.name());
        if !self.known.has_name(parent, &name) {
            self.ask(Question::Name(parent, name, position.name().to_owned()));
            return;
        }
        let guid = Some(position.key().guid);
        match self.known.child_between(parent, &name, self.before, self.after) {
            Ok(child) if child.lost() == guid && child.gained() != guid => {
                self.tell(&Event::of_key(EventKind::KeyDeleted), &[]);
                self.findings.lost.insert(position.key());
            }
            Ok(_) => {}
            Err(Unclear) => self.unclear = true,
        }
    }

    fn look_at_values(&mut self, key: KeyId, path: &[String]) {
        if !EventKind::ValueSet.passes(self.watch.filter) {
            return;
        }
        if !self.known.has_values(key) {
            self.ask(Question::Values(key));
            return;
        }
        match self.known.values_between(key, self.before, self.after) {
            Ok(events) => {
                for event in &events {
                    self.tell(event, path);
                }
            }
            Err(Unclear) => self.unclear = true,
        }
    }

    /// Tells of the children of a key; returns those that the watch reaches.
    fn look_at_children(&mut self, key: KeyId, path: &[String]) -> Vec<(KeyId, Vec<String>)> {
        let descends =
            self.watch.subtree && self.limits.reaches(path.len() + 1) && !self.is_orphaned;
        if !descends && !EventKind::SubkeyDeleted.passes(self.watch.filter) {
            return Vec::new();
        }
        if !self.known.has_children(key) {
            self.ask(Question::Children(key));
            return Vec::new();
        }
        let Ok(children) = self.known.children_between(key, self.before, self.after) else {
            self.unclear = true;
            return Vec::new();
        };
        let mut below = Vec::new();
        for child in children {
            let reached = self.tell_of_child(key, &child, path, descends);
            if descends {
                below.extend(reached);
            }
        }
        below
    }

    /// Tells of one name below a key (D-74), as it is spelled now if there is anything (P-141);
    /// returns the keys that are or were visible there.
    fn tell_of_child(
        &mut self,
        key: KeyId,
        child: &ChildChange,
        path: &[String],
        descends: bool,
    ) -> Vec<(KeyId, Vec<String>)> {
        let Some(seen) = child.after.as_ref().or(child.before.as_ref()) else { return Vec::new() };
        let way: Vec<String> = path.iter().cloned().chain([seen.name.clone()]).collect();
        if child.is_change() {
            let subkey = |kind| Event::named(kind, seen.name.as_bytes());
            if child.before.is_some() {
                self.tell(&subkey(EventKind::SubkeyDeleted), path);
            }
            if child.after.is_some() {
                self.tell(&subkey(EventKind::SubkeyCreated), path);
            }
            if child.before.is_some() && descends {
                self.tell(&Event::of_key(EventKind::KeyDeleted), &way);
            }
        }
        let keys: BTreeSet<KeyId> =
            child.gained().into_iter().chain(child.lost()).map(|guid| key.beside(guid)).collect();
        keys.into_iter().map(|key| (key, way.clone())).collect()
    }

    fn tell(&mut self, event: &Event, path: &[String]) {
        if event.kind.passes(self.watch.filter) {
            self.findings.batch.add(self.id, self.watch, event, path.iter().map(String::as_str));
        }
    }

    fn ask(&mut self, question: Question) {
        self.findings.questions.insert(question);
        self.unclear = true;
    }
}
