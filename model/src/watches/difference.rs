//! What a watch may tell of a key: the difference of two global effective views of it.
//!
//! States PSD-005 §4.1 ("Event types", "Blanket tombstone events", "Layer operation events") and the events
//! of §2.8, with D-70, D-74, P-141 and P-142. Recomputes both views from the rules of §2.7, wherever
//! something that is stored, or the layer table, is not the same. Does not know who watches.

use std::collections::BTreeSet;

use super::causes::{Cause, LayerChanges, shown_by_own_loss, shown_by_place};
use super::records::Kind;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Layered, PathEntry, Target};
use crate::names::{FoldedName, KeyName};
use crate::resolution::{EffectiveChild, EffectiveValue, Resolver, Viewer};
use crate::state::State;

/// One event, before anybody is told.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) kind: Kind,
    /// Empty for kinds that have none.
    pub(super) name: String,
    /// The child that the event is about, where it is not about the key itself.
    pub(super) child: Option<(Guid, KeyName)>,
    /// Whether nobody but the watches of the child is told.
    pub(super) is_for_child_alone: bool,
    /// Whether a layer operation has orphaned the child out of view, which only the source's answer to the
    /// deletion tells of (P-183).
    pub(super) is_known_by_answer: bool,
    /// What it shows, if somebody is told of it.
    pub(super) shows: Covered,
    /// What it shows if it is told on the very key that it is about.
    pub(super) shows_on_its_own: Covered,
}

/// One difference between two views of a key.
#[derive(Clone, Debug)]
pub(super) enum Difference {
    /// Events in this order (D-74).
    Events(Vec<Event>),
    /// One of the views cannot be read, so that nobody can tell (P-142).
    Unknown(Unread),
    /// Something that is stored differs, and no effective value does (WATCH-12). What that shows, if a
    /// watch is there that is not told.
    Unseen(Box<Covered>),
}

/// What cannot be read, and so whom it concerns.
#[derive(Clone, Debug)]
pub(super) enum Unread {
    /// A value, or all of them: watches of values.
    Values,
    /// The SD: watches of it.
    Descriptor,
    /// A name below the key: watches of subkeys. These keys may have lost it: their watches, and subtree
    /// watches that reach them (P-315).
    Name(BTreeSet<Guid>),
    /// All names below the key, and so what lies below those: watches of subkeys, and those that go
    /// deeper (P-183), but for a key that was an orphan before, below which nothing is told (P-173).
    Names { of_orphan: bool },
    /// The name of a child, for the watches of the child.
    NameOf(Guid),
}

/// Two global effective views of one hive.
pub(super) struct Views<'a> {
    before: Resolver<'a>,
    after: Resolver<'a>,
    same_layers: bool,
    /// What has become of the layers, if this is a layer operation.
    layers: Option<LayerChanges>,
    /// The keys that were orphaned in between.
    orphaned: BTreeSet<Guid>,
}

impl Difference {
    /// That the key itself has lost its last name.
    pub(super) fn of_own_loss() -> Difference {
        Difference::Events(vec![Event::of(Kind::KeyDeleted, "")])
    }

    fn is_for_children_alone(&mut self) {
        if let Difference::Events(events) = self {
            for event in events.iter_mut() {
                event.is_for_child_alone = event.child.is_some();
            }
        }
    }
}

impl Event {
    fn of(kind: Kind, name: &str) -> Event {
        let name = name.to_owned();
        let (is_for_child_alone, is_known_by_answer) = (false, false);
        let (shows, shows_on_its_own) = (Covered::new(), Covered::new());
        Event {
            kind,
            name,
            child: None,
            is_for_child_alone,
            is_known_by_answer,
            shows,
            shows_on_its_own,
        }
    }

    fn key_deleted(child: Guid, name: &KeyName) -> Event {
        let child = Some((child, name.clone()));
        Event { child, ..Event::of(Kind::KeyDeleted, "") }
    }
}

impl<'a> Views<'a> {
    pub(super) fn of(
        before: &'a State,
        after: &'a State,
        hive: HiveId,
        viewer: &'a Viewer,
    ) -> Views<'a> {
        let same_layers = resolve_alike(before, after);
        let new_orphans = after.orphans.iter().filter(|orphan| !before.orphans.contains(orphan));
        Views {
            before: before.kernel_resolver(hive, viewer),
            after: after.kernel_resolver(hive, viewer),
            same_layers,
            layers: (!same_layers).then(|| LayerChanges::of(before, after)),
            orphaned: new_orphans.filter(|(of, _)| *of == hive).map(|(_, key)| *key).collect(),
        }
    }

    /// All keys of the hive in either view.
    pub(super) fn keys(&self) -> BTreeSet<Guid> {
        let keys = |resolver: &Resolver<'a>| resolver.database.keys.keys().copied();
        keys(&self.before).chain(keys(&self.after)).collect()
    }

    /// Whether a key was orphaned in between.
    pub(super) fn is_orphaned(&self, key: Guid) -> bool {
        self.orphaned.contains(&key)
    }

    /// What a layer deletion orphans below keys that are not stored themselves: they were dropped from above it, and
    /// what they named lives on (P-14). Nothing else can be seen of what lies below them.
    pub(super) fn orphans_below_dropped(&self) -> Vec<(Guid, Difference)> {
        if self.orphaned.is_empty() {
            return Vec::new();
        }
        let stored = self.keys();
        let parents = self.before.database.path_entries.keys();
        let dropped = parents.filter(|parent| !stored.contains(parent));
        dropped.filter_map(|parent| Some((*parent, self.masked_orphans(*parent)?))).collect()
    }

    /// The later view of a key. Of one that was dropped in between it is that before the drop: what the drop
    /// takes away is told of by nobody, whether the key was open or not (P-136).
    fn after_of(&self, key: Guid) -> Resolver<'a> {
        let is_stored = |resolver: &Resolver<'a>| resolver.database.keys.contains_key(&key);
        if is_stored(&self.before) && !is_stored(&self.after) {
            Resolver { database: self.before.database, ..self.after }
        } else {
            self.after
        }
    }

    /// The differences in the values of a key, one a name.
    fn values(&self, key: Guid) -> Vec<Difference> {
        let later = self.after_of(key);
        let blankets = |resolver: &Resolver<'a>| resolver.database.blankets.get(&key);
        let (old_blankets, new_blankets) = (blankets(&self.before), blankets(&later));
        let same_contest = self.same_layers && old_blankets == new_blankets;
        let names =
            |resolver: &Resolver<'a>| resolver.database.value_names(key).map(|(name, _)| name);
        let names: BTreeSet<&FoldedName> = names(&self.before).chain(names(&later)).collect();
        let mut differences = Vec::new();
        for name in names {
            let entries = |resolver: &Resolver<'a>| resolver.database.value(key, name.as_str());
            let (old, new) = (entries(&self.before), entries(&later));
            if same_contest && old == new {
                continue;
            }
            let value = |resolver: &Resolver<'a>| {
                resolver.value(key, name.as_str(), &mut Covered::new()).map(|(value, _)| value)
            };
            let (Ok(before), Ok(after)) = (value(&self.before), value(&later)) else {
                differences.push(Difference::Unknown(Unread::Values));
                continue;
            };
            let cause = Cause::of((old, new), (old_blankets, new_blankets));
            let was_effective = before.is_some();
            differences.push(match value_event(before, after) {
                // A layer operation writes no value.
                None if self.layers.is_some() => continue,
                None => Difference::Unseen(Box::new(cause.unseen(was_effective))),
                Some(mut event) => {
                    event.shows = self
                        .layers
                        .map_or_else(|| cause.shows(event.kind), |layers| layers.shows(event.kind));
                    Difference::Events(vec![event])
                }
            });
        }
        differences
    }

    /// Whether the SD of a key differs.
    pub(super) fn descriptor(&self, key: Guid) -> Option<Difference> {
        let record = |resolver: &Resolver<'a>| resolver.database.keys.get(&key);
        let (before, after) = record(&self.before).zip(record(&self.after))?;
        if before.descriptor == after.descriptor {
            return None;
        }
        let mut event = Event::of(Kind::SdChanged, "");
        covers!(event.shows, "KEY-09");
        covers!(event.shows_on_its_own, "WATCH-31");
        Some(Difference::Events(vec![event]))
    }

    /// What a change of one value of a key shows, whose entries are read for it.
    pub(super) fn value(&self, key: Guid, name: &FoldedName) -> Vec<Difference> {
        let can_read = |resolver: Resolver<'_>| {
            resolver.value(key, name.as_str(), &mut Covered::new()).is_ok()
        };
        if can_read(self.before) && can_read(self.after_of(key)) {
            return self.values(key);
        }
        vec![Difference::Unknown(Unread::Values)]
    }

    /// What a layer operation changes of a key's values. Nothing is read if no layer ranks otherwise than
    /// before; what is deleted then was not in view (P-183).
    pub(super) fn values_by_layers(&self, key: Guid) -> Vec<Difference> {
        if self.same_layers { Vec::new() } else { self.all_values(key) }
    }

    /// What a change of blanket tombstones changes of a key's values, which are read all at once (P-183).
    pub(super) fn all_values(&self, key: Guid) -> Vec<Difference> {
        let can_read = |resolver: Resolver<'_>| resolver.values(key, &mut Covered::new()).is_ok();
        if can_read(self.before) && can_read(self.after_of(key)) {
            return self.values(key);
        }
        vec![Difference::Unknown(Unread::Values)]
    }

    /// What a layer operation changes of a key's children, which are read all at once. Where they cannot be
    /// read, each child is looked for on its own, for its own watches alone (P-183). If no layer ranks
    /// otherwise than before, nothing is read; what lost its last name then was not in view.
    pub(super) fn children_by_layers(&self, parent: Guid) -> Vec<Difference> {
        if self.same_layers {
            return self.masked_orphans(parent).into_iter().collect();
        }
        let mut differences = self.children(parent);
        if self.lists_children(parent) {
            if self.was_orphan(parent) {
                // Ways of events do not reach a parent that was an orphan (P-147).
                for difference in &mut differences {
                    difference.is_for_children_alone();
                }
            }
            return differences;
        }
        for difference in &mut differences {
            if let Difference::Events(events) = difference {
                events.retain(|event| event.child.is_some());
            }
            difference.is_for_children_alone();
        }
        differences
            .retain(|difference| !matches!(difference, Difference::Unknown(Unread::Name(_))));
        differences.extend(self.unreadable_children(parent));
        let of_orphan = self.was_orphan(parent);
        differences.push(Difference::Unknown(Unread::Names { of_orphan }));
        differences
    }

    /// The keys below a parent that became orphans though nothing in view has changed, for their own watches
    /// alone.
    fn masked_orphans(&self, parent: Guid) -> Option<Difference> {
        let named = self.before.database.children(parent);
        let mut events: Vec<Event> =
            named.flat_map(|(_, entries)| self.lost(Some(entries), None, None)).collect();
        for event in &mut events {
            event.is_for_child_alone = true;
            event.is_known_by_answer = true;
            covers!(event.shows_on_its_own, "DEL-41");
        }
        (!events.is_empty()).then_some(Difference::Events(events))
    }

    /// The keys among these entries that became orphans, but for the one that was in view: each once, however
    /// many entries led to it (P-140).
    fn lost(
        &self,
        entries: Option<&Layered<PathEntry>>,
        in_view: Option<Guid>,
        spelling: Option<&KeyName>,
    ) -> Vec<Event> {
        let entries = entries.into_iter().flat_map(|entries| entries.values());
        let mut told = BTreeSet::new();
        let lost = entries.filter_map(|entry| match entry.target {
            Target::Key(key) if self.orphaned.contains(&key) && in_view != Some(key) => {
                told.insert(key).then(|| Event::key_deleted(key, spelling.unwrap_or(&entry.name)))
            }
            _ => None,
        });
        lost.collect()
    }

    /// Whether all children of a key can be read, in both views.
    pub(super) fn lists_children(&self, parent: Guid) -> bool {
        let can_read =
            |resolver: Resolver<'_>| resolver.subkeys(parent, &mut Covered::new()).is_ok();
        self.same_layers || can_read(self.before) && can_read(self.after)
    }

    /// The keys that are named where a name cannot be resolved.
    fn unreadable_children(&self, parent: Guid) -> Vec<Difference> {
        let mut found = BTreeSet::new();
        for resolver in [self.before, self.after] {
            for (name, entries) in resolver.database.children(parent) {
                let child = resolver.child(parent, name.as_str(), &mut Covered::new());
                let targets = entries.values().filter(|_| child.is_err());
                found.extend(targets.filter_map(|entry| match entry.target {
                    Target::Key(key) => Some(key),
                    Target::Hidden => None,
                }));
            }
        }
        found.into_iter().map(|key| Difference::Unknown(Unread::NameOf(key))).collect()
    }

    /// The differences in the children of a key, one a name.
    fn children(&self, parent: Guid) -> Vec<Difference> {
        let names =
            |resolver: &Resolver<'a>| resolver.database.children(parent).map(|(name, _)| name);
        let names: BTreeSet<&FoldedName> = names(&self.before).chain(names(&self.after)).collect();
        names.into_iter().flat_map(|name| self.child(parent, name, None)).collect()
    }

    /// What a change of one name below a key shows, whose entries are read for it.
    pub(super) fn one_child(
        &self,
        parent: Guid,
        name: &FoldedName,
        spelling: &KeyName,
    ) -> Vec<Difference> {
        let mut differences = self.child(parent, name, Some(spelling));
        let is_read = |resolver: Resolver<'_>| {
            resolver.child(parent, name.as_str(), &mut Covered::new()).is_ok()
        };
        if differences.is_empty() && !(is_read(self.before) && is_read(self.after)) {
            differences.push(Difference::Unknown(Unread::Name(self.may_be_lost(parent, name))));
        }
        differences
    }

    /// The differences in one child of a key. The events have the name as `spelling` says, or as the winning
    /// entries spell it (P-141).
    fn child(
        &self,
        parent: Guid,
        name: &FoldedName,
        spelling: Option<&KeyName>,
    ) -> Vec<Difference> {
        let entries = |resolver: &Resolver<'a>| resolver.database.lookup(parent, name.as_str());
        let (old, new) = (entries(&self.before), entries(&self.after));
        if self.same_layers && old == new {
            return Vec::new();
        }
        let child = |resolver: &Resolver<'a>| {
            resolver.child(parent, name.as_str(), &mut Covered::new()).map(|(child, _)| child)
        };
        let (is_unknown, before, mut events) = match (child(&self.before), child(&self.after)) {
            (Ok(before), Ok(after)) => {
                let events = child_events(before.as_ref(), after.as_ref(), spelling);
                (false, before, events)
            }
            // Whatever else happened to the name, a key that nothing names any more is lost (P-135).
            _ => (true, None, Vec::new()),
        };
        for event in events.iter_mut().filter(|event| event.kind == Kind::KeyDeleted) {
            event.shows_on_its_own = self
                .layers
                .map_or_else(|| shown_by_own_loss(old, new), |layers| layers.shown_by_own_loss());
        }
        for event in self.lost(old, before.as_ref().map(|before| before.key), spelling) {
            // No effective entry leads from its parent to it, on which a layer operation would go up
            // (D-78, P-147).
            let by_layers = self.layers.is_some();
            let (is_for_child_alone, is_known_by_answer) = (by_layers, by_layers);
            events.push(Event { is_for_child_alone, is_known_by_answer, ..event });
        }
        for event in &mut events {
            event.shows = self.layers.map_or_else(
                || shown_by_place(event.kind, old, new),
                |layers| layers.shows(event.kind),
            );
            if event.child.as_ref().is_some_and(|(key, _)| self.orphaned.contains(key)) {
                covers!(event.shows_on_its_own, "DEL-41");
            }
        }
        let unknown =
            is_unknown.then(|| Difference::Unknown(Unread::Name(self.may_be_lost(parent, name))));
        let events = (!events.is_empty()).then_some(Difference::Events(events));
        events.into_iter().chain(unknown).collect()
    }

    /// The keys that a name may have led to before and no longer does: the one that was in view, or any, if that
    /// cannot be told either.
    fn may_be_lost(&self, parent: Guid, name: &FoldedName) -> BTreeSet<Guid> {
        match self.before.child(parent, name.as_str(), &mut Covered::new()) {
            Ok((child, _)) => self.not_orphaned(child.into_iter().map(|child| child.key)),
            Err(_) => self.named(parent, name),
        }
    }

    /// The keys that entries of a name led to before.
    fn named(&self, parent: Guid, name: &FoldedName) -> BTreeSet<Guid> {
        let entries = self.before.database.lookup(parent, name.as_str()).into_iter();
        let targets = entries.flat_map(|entries| entries.values());
        self.not_orphaned(targets.filter_map(|entry| match entry.target {
            Target::Key(key) => Some(key),
            Target::Hidden => None,
        }))
    }

    /// Those that are not known for orphans now, of which it can be told what became of them.
    fn not_orphaned(&self, keys: impl Iterator<Item = Guid>) -> BTreeSet<Guid> {
        keys.filter(|key| !self.orphaned.contains(key)).collect()
    }

    /// What can be told of one child of a key if nobody knows what it was (P-135): any key that the name had may
    /// have gone out of view (P-242, P-315).
    pub(super) fn unknown_child(
        &self,
        parent: Guid,
        name: &FoldedName,
        spelling: &KeyName,
    ) -> Vec<Difference> {
        let old = self.before.database.lookup(parent, name.as_str());
        let events = self.lost(old, None, Some(spelling));
        let events = (!events.is_empty()).then_some(Difference::Events(events));
        let unknown = Difference::Unknown(Unread::Name(self.named(parent, name)));
        events.into_iter().chain([unknown]).collect()
    }

    /// The parent of a key and its name there, if an effective path entry leads from one to the other in the later
    /// view or else in the earlier one (D-78). It is spelled as the entry that wins there now, whatever that leads
    /// to, like all that the operation has to tell of the name (P-141).
    pub(super) fn effective_place(&self, key: Guid) -> Option<(Guid, KeyName)> {
        let place = |resolver: &Resolver<'a>| {
            let record = resolver.database.keys.get(&key)?;
            let (parent, name) = (record.parent?, record.name.folded().as_str());
            let (child, _) = resolver.child(parent, name, &mut Covered::new()).ok()?;
            let spelling = &child.as_ref().filter(|child| child.key == key)?.entry.name;
            let now = self.after.child(parent, name, &mut Covered::new()).ok();
            let winner = now.and_then(|(child, _)| child).map(|child| &child.entry.name);
            Some((parent, winner.unwrap_or(spelling).clone()))
        };
        place(&self.after).or_else(|| place(&self.before))
    }

    /// Whether nothing named the key already before (§2.8), or it was gone.
    pub(super) fn was_orphan(&self, key: Guid) -> bool {
        let database = self.before.database;
        database.is_orphan(key)
            || !database.keys.contains_key(&key) && !self.after.database.keys.contains_key(&key)
    }

    /// The name that a key was created with.
    pub(super) fn name_of(&self, key: Guid) -> Option<KeyName> {
        let record = self.after.database.keys.get(&key);
        record.or_else(|| self.before.database.keys.get(&key)).map(|record| record.name.clone())
    }
}

/// Whether every entry resolves the same under both layer tables.
pub(crate) fn resolve_alike(before: &State, after: &State) -> bool {
    let ranks = |state: &'_ State| -> Vec<_> {
        let layers = state.layers.iter();
        layers.map(|(name, layer)| (name.clone(), layer.precedence, layer.enabled)).collect()
    };
    before.layers == after.layers || ranks(before) == ranks(after)
}

/// What became of an effective value, which is its type and its data (D-70).
fn value_event(
    before: Option<EffectiveValue<'_>>,
    after: Option<EffectiveValue<'_>>,
) -> Option<Event> {
    let content = |value: &EffectiveValue<'_>| (value.entry.value_type, value.entry.data.clone());
    match (before, after) {
        (before, Some(after)) if before.as_ref().map(content) != Some(content(&after)) => {
            Some(Event::of(Kind::ValueSet, after.entry.name.spelling()))
        }
        (Some(before), None) => Some(Event::of(Kind::ValueDeleted, before.entry.name.spelling())),
        _ => None,
    }
}

/// What became of a child, in the order of D-74.
fn child_events(
    before: Option<&EffectiveChild<'_>>,
    after: Option<&EffectiveChild<'_>>,
    spelling: Option<&KeyName>,
) -> Vec<Event> {
    if before.map(|before| before.key) == after.map(|after| after.key) {
        return Vec::new();
    }
    // The later view's winner before the earlier one's (P-141).
    let winner = after.or(before).map(|child| &child.entry.name);
    let Some(name) = spelling.or(winner) else { return Vec::new() };
    let gone = before.map(|_| Event::of(Kind::SubkeyDeleted, name.spelling()));
    let come = after.map(|_| Event::of(Kind::SubkeyCreated, name.spelling()));
    let lost = before.map(|before| Event::key_deleted(before.key, name));
    gone.into_iter().chain(come).chain(lost).collect()
}
