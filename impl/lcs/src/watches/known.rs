//! What is known of the entries of some keys while something changes, and what a change of them
//! comes to for everybody (PSD-005 §4.1, §5.1; D-70, D-74).
//!
//! Entries of all layers, as a source gave them, with every accepted change since. Pure data; who
//! watches what is nothing to it.

use std::collections::{BTreeMap, BTreeSet};

use rsi::{BlanketEntry, Guid, PathEntry, ValueEntry};

use crate::change::{AcceptedChange, Effect};
use crate::key_file::Position;
use crate::layers::View;
use crate::name::FoldedName;
use crate::resolve::{ChildGroup, VisibleChild, folded, is_of};
use crate::security::SecurityDescriptor;
use crate::state::{HiveId, KeyId};
use crate::watches::record::{Event, EventKind};

/// Knowledge of keys.
#[derive(Clone, Debug, Default)]
pub struct Known {
    keys: BTreeMap<KeyId, KnownKey>,
    overtaken: bool,
}

#[derive(Clone, Debug, Default)]
struct KnownKey {
    values: BTreeMap<FoldedName, Vec<ValueEntry>>,
    blankets: Vec<BlanketEntry>,
    all_values: bool,
    names: BTreeMap<FoldedName, Vec<ChildGroup>>,
    all_names: bool,
    sd: Option<Vec<u8>>,
}

/// When a change is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// After all that came before it, and nothing else. That says more than sequence numbers: those of
    /// a transaction are older than its commit.
    InOrder,
    /// Late, so that it must not undo what is newer.
    Late,
}

/// Something that a difference depends on is not known, or is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// An event at the key of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The changed key and the way to it.
    pub position: Position,
    /// What changed.
    pub event: Event,
    /// Whether the key was out of view before: then there is an event only if an fd refers to it, so that
    /// it becomes an orphan (P-137).
    pub was_unseen: bool,
}

/// What can be seen of one child name, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildChange {
    /// Visible before.
    pub before: Option<VisibleChild>,
    /// Visible after.
    pub after: Option<VisibleChild>,
}

impl ChildChange {
    /// Whether another key is visible than before, or none.
    pub fn is_change(&self) -> bool {
        self.lost() != self.gained()
    }

    /// The key that was visible.
    pub fn lost(&self) -> Option<Guid> {
        self.before.as_ref().map(|child| child.guid)
    }

    /// The key that is visible.
    pub fn gained(&self) -> Option<Guid> {
        self.after.as_ref().map(|child| child.guid)
    }
}

/// Filling in what sources say.
impl Known {
    /// Nothing yet.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Nothing, of what may have changed since it could have been known.
    pub fn lost() -> Self {
        Self { overtaken: true, ..Self::default() }
    }

    /// The entries of one value, with the blankets of its key.
    pub fn learn_value(
        &mut self,
        key: KeyId,
        name: &FoldedName,
        entries: &[ValueEntry],
        blankets: &[BlanketEntry],
    ) {
        let key = self.keys.entry(key).or_default();
        key.blankets = blankets.to_vec();
        let entries = entries.iter().filter(|entry| is_of(&entry.name, name));
        key.values.insert(name.clone(), entries.cloned().collect());
    }

    /// The path entries of one name below a key.
    pub fn learn_name(&mut self, parent: KeyId, name: &str, entries: &[PathEntry]) {
        let groups = vec![(name.as_bytes().to_vec(), entries.to_vec())];
        self.keys.entry(parent).or_default().names.insert(FoldedName::new(name), groups);
    }

    /// A key's descriptor.
    pub fn learn_descriptor(&mut self, key: KeyId, sd: &[u8]) {
        self.keys.entry(key).or_default().sd = Some(sd.to_vec());
    }

    /// The entries of all values of a key, and its blankets.
    pub fn learn_values(&mut self, key: KeyId, entries: &[ValueEntry], blankets: &[BlanketEntry]) {
        let key = self.keys.entry(key).or_default();
        key.all_values = true;
        key.blankets = blankets.to_vec();
        key.values.clear();
        for entry in entries {
            key.values.entry(folded(&entry.name)).or_default().push(entry.clone());
        }
    }

    /// The path entries of all names below a key.
    pub fn learn_children(&mut self, key: KeyId, groups: &[ChildGroup]) {
        let known = self.keys.entry(key).or_default();
        known.all_names = true;
        known.names.clear();
        for group in groups {
            known.names.entry(folded(&group.0)).or_default().push(group.clone());
        }
    }
}

/// Knowledge of before a transaction, from what was read in it.
impl Known {
    /// Takes in what was read of a key before a change of it. What is known already is older, from
    /// before the transaction changed it, and stays; the rest the transaction has not changed.
    pub fn complete(&mut self, key: KeyId, read: Self) {
        let Some(read) = read.keys.into_iter().find(|(id, _)| *id == key).map(|(_, key)| key)
        else {
            return;
        };
        let known = self.keys.entry(key).or_default();
        if !known.all_values && known.values.is_empty() {
            known.blankets = read.blankets;
        }
        if !known.all_values {
            for (name, entries) in read.values {
                known.values.entry(name).or_insert(entries);
            }
            known.all_values = read.all_values;
        }
        if !known.all_names {
            for (name, groups) in read.names {
                known.names.entry(name).or_insert(groups);
            }
            known.all_names = read.all_names;
        }
        known.sd = known.sd.take().or(read.sd);
    }
}

/// What is known.
impl Known {
    /// Whether all values of a key are.
    pub fn has_values(&self, key: KeyId) -> bool {
        self.keys.get(&key).is_some_and(|key| key.all_values)
    }

    /// Whether all names below a key are.
    pub fn has_children(&self, key: KeyId) -> bool {
        self.keys.get(&key).is_some_and(|key| key.all_names)
    }

    /// Whether the entries of a name below a key are.
    pub fn has_name(&self, parent: KeyId, name: &FoldedName) -> bool {
        let key = self.keys.get(&parent);
        key.is_some_and(|key| key.all_names || key.names.contains_key(name))
    }

    /// Whether all that a change depends on is.
    pub fn covers(&self, change: &AcceptedChange) -> bool {
        let key = change.position.key();
        match &change.effect {
            Effect::ValueSet(entry) => self.has_value(key, &folded(&entry.name)),
            Effect::ValueRemoved { name, .. } => self.has_value(key, &folded(name)),
            Effect::BlanketSet(_) | Effect::BlanketRemoved { .. } => self.has_values(key),
            Effect::SecuritySet { .. } => self.keys.get(&key).is_some_and(|key| key.sd.is_some()),
            Effect::KeyCreated { name, .. }
            | Effect::PathHidden { name, .. }
            | Effect::PathRemoved { name, .. } => self.has_name(key, &FoldedName::new(name)),
        }
    }

    fn has_value(&self, key: KeyId, name: &FoldedName) -> bool {
        let key = self.keys.get(&key);
        key.is_some_and(|key| key.all_values || key.values.contains_key(name))
    }

    /// What differs in a key's values between two views of the same entries, by name.
    pub fn values_between(
        &self,
        key: KeyId,
        before: &View,
        after: &View,
    ) -> Result<Vec<Event>, Unclear> {
        let key = self.keys.get(&key).ok_or(Unclear)?;
        let names: Vec<FoldedName> = key.values.keys().cloned().collect();
        Ok(value_events(&key.effective(&names, before)?, &key.effective(&names, after)?))
    }

    /// What can be seen below a key in either of two views of the same entries, by name.
    pub fn children_between(
        &self,
        key: KeyId,
        before: &View,
        after: &View,
    ) -> Result<Vec<ChildChange>, Unclear> {
        let key = self.keys.get(&key).ok_or(Unclear)?;
        key.names.keys().map(|name| key.child_between(name, before, after)).collect()
    }

    /// What can be seen of one name below a key in either of two views of the same entries.
    pub fn child_between(
        &self,
        parent: KeyId,
        name: &FoldedName,
        before: &View,
        after: &View,
    ) -> Result<ChildChange, Unclear> {
        self.keys.get(&parent).ok_or(Unclear)?.child_between(name, before, after)
    }
}

/// Changes.
impl Known {
    /// Carries out a change and returns what differs by it in everybody's view, in order.
    ///
    /// # Errors
    /// When that cannot be told. The change has been carried out as far as it can be.
    pub fn difference(
        &mut self,
        change: &AcceptedChange,
        view: &View,
    ) -> Result<Vec<Occurrence>, Unclear> {
        let covered = self.covers(change);
        let before = self.seen(change, view);
        self.apply(change, Heard::InOrder);
        if !covered {
            return Err(Unclear);
        }
        Ok(differing(change, &before?, &self.seen(change, view)?))
    }

    /// Carries out a change.
    pub fn apply(&mut self, change: &AcceptedChange, heard: Heard) {
        let id = change.position.key();
        if let Effect::KeyCreated { entry: PathEntry { target: Some(guid), .. }, sd, .. } =
            &change.effect
        {
            let created = self.keys.entry(id.beside(*guid)).or_default();
            (created.all_values, created.all_names) = (true, true);
            created.sd = Some(sd.clone());
        }
        if let Some(key) = self.keys.get_mut(&id) {
            key.apply(&change.effect, heard);
        }
    }

    /// Carries out a change that somebody else published.
    pub fn overtake(&mut self, change: &AcceptedChange, heard: Heard) {
        let is_blanket =
            matches!(change.effect, Effect::BlanketSet(_) | Effect::BlanketRemoved { .. });
        let masks = |key: &KnownKey| is_blanket && !key.values.is_empty();
        let key = self.keys.get(&change.position.key());
        self.overtaken |= self.covers(change) || key.is_some_and(masks);
        self.apply(change, heard);
    }

    /// Takes what has been published so far for older than what is to come.
    pub fn catch_up(&mut self) {
        self.overtaken = false;
    }

    /// Forgets the keys of a hive, and those that may be of it.
    pub fn forget(&mut self, hive: HiveId) {
        self.keys.retain(|key, _| {
            key.slot != hive.slot || key.hive_index.is_some_and(|index| index != hive.index)
        });
    }

    /// Whether somebody else has published a change of something that is known here.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }

    /// The keys that layers name by the path entries that a change is of, as far as they are known.
    pub fn named(&self, change: &AcceptedChange) -> BTreeSet<Guid> {
        let key = self.keys.get(&change.position.key());
        let named = |name| Some(key?.named(&FoldedName::new(name)));
        change.child_name().and_then(named).unwrap_or_default()
    }

    fn seen(&self, change: &AcceptedChange, view: &View) -> Result<Seen, Unclear> {
        let key = self.keys.get(&change.position.key()).ok_or(Unclear)?;
        Ok(match &change.effect {
            Effect::ValueSet(entry) => Seen::Values(key.effective(&[folded(&entry.name)], view)?),
            Effect::ValueRemoved { name, .. } => {
                Seen::Values(key.effective(&[folded(name)], view)?)
            }
            Effect::BlanketSet(_) | Effect::BlanketRemoved { .. } => {
                let names: Vec<FoldedName> = key.values.keys().cloned().collect();
                Seen::Values(key.effective(&names, view)?)
            }
            Effect::SecuritySet { .. } => Seen::Descriptor(canonical(key.sd.as_deref())),
            Effect::KeyCreated { name, .. }
            | Effect::PathHidden { name, .. }
            | Effect::PathRemoved { name, .. } => {
                let name = FoldedName::new(name);
                let visible = key.visible(&name, view)?.map(|child| child.guid);
                Seen::Child { visible, named: key.named(&name) }
            }
        })
    }
}

/// What a change can bear on, as everybody sees it.
enum Seen {
    Values(BTreeMap<FoldedName, Content>),
    Child {
        visible: Option<Guid>,
        /// Every key that some layer names, active or not.
        named: BTreeSet<Guid>,
    },
    Descriptor(Option<Vec<u8>>),
}

/// An effective value, and its name as stored.
struct Content {
    name: Vec<u8>,
    value_type: u32,
    data: Vec<u8>,
}

impl KnownKey {
    fn effective(
        &self,
        names: &[FoldedName],
        view: &View,
    ) -> Result<BTreeMap<FoldedName, Content>, Unclear> {
        let mut effective = BTreeMap::new();
        for name in names {
            let entries = self.values.get(name).map(Vec::as_slice).unwrap_or_default();
            let value = view.resolve_value(entries, &self.blankets).map_err(|_| Unclear)?;
            if let Some(value) = value {
                let (value_type, data) = value.content();
                let content =
                    Content { name: value.name().to_vec(), value_type, data: data.to_vec() };
                effective.insert(name.clone(), content);
            }
        }
        Ok(effective)
    }

    fn visible(&self, name: &FoldedName, view: &View) -> Result<Option<VisibleChild>, Unclear> {
        let groups = self.names.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut visible = view.visible_children(groups).map_err(|_| Unclear)?;
        Ok(visible.remove(name))
    }

    fn named(&self, name: &FoldedName) -> BTreeSet<Guid> {
        let groups = self.names.get(name).into_iter().flatten();
        groups.flat_map(|(_, entries)| entries).filter_map(|entry| entry.target).collect()
    }

    fn child_between(
        &self,
        name: &FoldedName,
        before: &View,
        after: &View,
    ) -> Result<ChildChange, Unclear> {
        Ok(ChildChange { before: self.visible(name, before)?, after: self.visible(name, after)? })
    }

    fn apply(&mut self, effect: &Effect, heard: Heard) {
        match effect {
            Effect::ValueSet(entry) => {
                let name = folded(&entry.name);
                if self.all_values || self.values.contains_key(&name) {
                    replace(self.values.entry(name).or_default(), entry, heard);
                }
            }
            Effect::ValueRemoved { name, layer } => {
                if let Some(entries) = self.values.get_mut(&folded(name)) {
                    entries.retain(|entry| !is_of(&entry.layer, layer));
                }
            }
            Effect::BlanketSet(blanket) => replace(&mut self.blankets, blanket, heard),
            Effect::BlanketRemoved { layer } => {
                self.blankets.retain(|blanket| !is_of(&blanket.layer, layer));
            }
            Effect::KeyCreated { name, entry, .. } | Effect::PathHidden { name, entry } => {
                self.replace_path_entry(name, entry, heard);
            }
            Effect::PathRemoved { name, layer } => {
                for group in self.names.get_mut(&FoldedName::new(name)).into_iter().flatten() {
                    group.1.retain(|entry| !is_of(&entry.layer, layer));
                }
            }
            Effect::SecuritySet { sd } => {
                if self.sd.is_some() {
                    self.sd = Some(sd.clone());
                }
            }
        }
    }

    fn replace_path_entry(&mut self, name: &str, entry: &PathEntry, heard: Heard) {
        let identity = FoldedName::new(name);
        if !self.all_names && !self.names.contains_key(&identity) {
            return;
        }
        let groups = self.names.entry(identity).or_default();
        let layer = folded(&entry.layer);
        let own = |present: &&PathEntry| is_of(&present.layer, &layer);
        let mut present = groups.iter().flat_map(|(_, entries)| entries).filter(own);
        if heard == Heard::InOrder || present.all(|present| present.sequence <= entry.sequence) {
            for (_, entries) in groups.iter_mut() {
                entries.retain(|present| !is_of(&present.layer, &layer));
            }
            groups.push((name.as_bytes().to_vec(), vec![entry.clone()]));
        }
    }
}

/// An entry of which a layer has one.
trait LayerEntry: Clone {
    fn layer(&self) -> &[u8];
    fn sequence(&self) -> u64;
}

impl LayerEntry for ValueEntry {
    fn layer(&self) -> &[u8] {
        &self.layer
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl LayerEntry for BlanketEntry {
    fn layer(&self) -> &[u8] {
        &self.layer
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Puts an entry in the place of its layer's, unless it is heard of late and that is newer.
fn replace<T: LayerEntry>(entries: &mut Vec<T>, entry: &T, heard: Heard) {
    let layer = folded(entry.layer());
    let own = |present: &T| is_of(present.layer(), &layer);
    let is_newer = |present: &T| own(present) && present.sequence() > entry.sequence();
    if heard == Heard::InOrder || !entries.iter().any(is_newer) {
        entries.retain(|present| !own(present));
        entries.push(entry.clone());
    }
}

/// A descriptor as this kernel would write it, so that spelling makes no difference.
fn canonical(sd: Option<&[u8]>) -> Option<Vec<u8>> {
    let sd = sd?;
    let parsed = SecurityDescriptor::parse(sd);
    Some(parsed.map_or_else(|_| sd.to_vec(), |descriptor| descriptor.to_bytes()))
}

fn differing(change: &AcceptedChange, before: &Seen, after: &Seen) -> Vec<Occurrence> {
    let here = |event| Occurrence { position: change.position.clone(), event, was_unseen: false };
    match (before, after) {
        (Seen::Values(before), Seen::Values(after)) => {
            value_events(before, after).into_iter().map(here).collect()
        }
        (Seen::Descriptor(before), Seen::Descriptor(after)) if before != after => {
            vec![here(Event::of_key(EventKind::SecurityChanged))]
        }
        (Seen::Child { .. }, Seen::Child { .. }) => differing_child(change, before, after),
        _ => Vec::new(),
    }
}

/// D-74; a key out of view is told of when it becomes an orphan (P-140).
fn differing_child(change: &AcceptedChange, before: &Seen, after: &Seen) -> Vec<Occurrence> {
    let (
        Seen::Child { visible: before, named: named_before },
        Seen::Child { visible: after, named: named_after },
    ) = (before, after)
    else {
        return Vec::new();
    };
    let name = change.child_name().unwrap_or_default();
    let subkey = |kind| Occurrence {
        position: change.position.clone(),
        event: Event::named(kind, name.as_bytes()),
        was_unseen: false,
    };
    let mut occurrences = Vec::new();
    let mut lost: BTreeSet<Guid> = named_before.difference(named_after).copied().collect();
    if before != after {
        occurrences.extend(before.map(|_| subkey(EventKind::SubkeyDeleted)));
        occurrences.extend(after.map(|_| subkey(EventKind::SubkeyCreated)));
        lost.extend(before);
    }
    occurrences.extend(lost.into_iter().map(|guid| Occurrence {
        position: change.position.clone().child(guid, name.to_owned()),
        event: Event::of_key(EventKind::KeyDeleted),
        was_unseen: *before != Some(guid),
    }));
    occurrences
}

/// One event for each name whose effective value differs (D-70), in the order of the names.
fn value_events(
    before: &BTreeMap<FoldedName, Content>,
    after: &BTreeMap<FoldedName, Content>,
) -> Vec<Event> {
    let names: BTreeSet<&FoldedName> = before.keys().chain(after.keys()).collect();
    let event = |name: &FoldedName| match (before.get(name), after.get(name)) {
        (Some(old), None) => Some(Event::named(EventKind::ValueDeleted, &old.name)),
        (Some(old), Some(new)) if old.value_type == new.value_type && old.data == new.data => None,
        (_, Some(new)) => Some(Event::named(EventKind::ValueSet, &new.name)),
        (None, None) => None,
    };
    names.into_iter().filter_map(event).collect()
}
