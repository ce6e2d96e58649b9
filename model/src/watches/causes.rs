//! What the events of a change show by what has caused them: the requirements of §4.1 that each cause has.
//!
//! States PSD-005 §4.1 ("Event types", "Blanket tombstone events", "Layer operation events") as far as a cause is
//! named there. Decides nothing.

use std::cmp::Ordering;

use super::records::Kind;
use crate::coverage::{Covered, covers};
use crate::database::{BlanketTombstone, Layered, PathEntry, Target, ValueEntry};
use crate::state::State;
use crate::values::REG_TOMBSTONE;

/// How the entries of a name differ where the layers do not.
pub(super) struct Cause<'a> {
    old: Option<&'a Layered<ValueEntry>>,
    new: Option<&'a Layered<ValueEntry>>,
    /// How many blanket tombstones the key had and has.
    blankets: (usize, usize),
}

impl<'a> Cause<'a> {
    /// The entries of the name and the blanket tombstones of its key, before and after.
    pub(super) fn of(
        (old, new): (Option<&'a Layered<ValueEntry>>, Option<&'a Layered<ValueEntry>>),
        blankets: (Option<&Layered<BlanketTombstone>>, Option<&Layered<BlanketTombstone>>),
    ) -> Cause<'a> {
        Cause { old, new, blankets: (size(blankets.0), size(blankets.1)) }
    }

    /// What a change shows that nobody is told of, of a value that was effective before or not.
    pub(super) fn unseen(&self, was_effective: bool) -> Covered {
        let mut shows = Covered::new();
        let (had, has) = self.blankets;
        if has > had {
            covers!(shows, "IOC-061");
            if !was_effective {
                covers!(shows, "WATCH-39");
            }
        }
        if has == had {
            covers!(shows, "WATCH-12");
            if tombstones(self.new) < tombstones(self.old) && size(self.new) < size(self.old) {
                covers!(shows, "VAL-08");
            }
        }
        shows
    }

    /// What an event of the value shows.
    pub(super) fn shows(&self, kind: Kind) -> Covered {
        let (old, new) = (tombstones(self.old), tombstones(self.new));
        let is_removal = size(self.new) < size(self.old);
        let mut shows = Covered::new();
        covers!(shows, "WATCH-48", "VAL-05");
        if self.blankets.0 != self.blankets.1 {
            covers!(shows, "IOC-061");
        }
        match (kind, self.blankets.1.cmp(&self.blankets.0)) {
            (Kind::ValueSet, Ordering::Less) => {
                covers!(shows, "WATCH-18", "WATCH-20", "WATCH-40", "WATCH-41", "VAL-10");
            }
            (Kind::ValueSet, _) if is_removal && new < old => {
                covers!(shows, "WATCH-17", "WATCH-20", "VAL-07");
            }
            (Kind::ValueSet, _) if is_removal => covers!(shows, "WATCH-20"),
            (Kind::ValueSet, _) => covers!(shows, "WATCH-16", "WATCH-20"),
            (_, Ordering::Greater) => {
                covers!(shows, "WATCH-23", "WATCH-24", "WATCH-38", "WATCH-41", "VAL-09");
            }
            (_, _) if new > old => covers!(shows, "WATCH-22", "WATCH-24", "VAL-06"),
            (_, _) if is_removal => covers!(shows, "WATCH-21", "WATCH-24"),
            (_, _) => covers!(shows, "WATCH-24"),
        }
        shows
    }
}

/// What an event shows of a change of path entries where the layers did not change.
pub(super) fn shown_by_place(
    kind: Kind,
    old: Option<&Layered<PathEntry>>,
    new: Option<&Layered<PathEntry>>,
) -> Covered {
    let is_hiding = hidden(new) > hidden(old);
    let mut shows = Covered::new();
    match kind {
        Kind::SubkeyCreated if size(new) < size(old) && hidden(new) < hidden(old) => {
            covers!(shows, "WATCH-26", "WATCH-27", "PATH-05");
        }
        Kind::SubkeyCreated if size(new) < size(old) => covers!(shows, "WATCH-27"),
        Kind::SubkeyCreated => covers!(shows, "WATCH-25", "WATCH-27"),
        Kind::SubkeyDeleted if is_hiding => covers!(shows, "WATCH-29", "WATCH-30", "PATH-04"),
        Kind::SubkeyDeleted if size(new) < size(old) => covers!(shows, "WATCH-28", "WATCH-30"),
        Kind::SubkeyDeleted => covers!(shows, "WATCH-30"),
        _ => {}
    }
    if matches!(kind, Kind::SubkeyCreated | Kind::SubkeyDeleted) {
        covers!(shows, "PATH-03");
    }
    shows
}

/// What it shows on the watch of the key itself that it is gone, by such a change of path entries.
pub(super) fn shown_by_own_loss(
    old: Option<&Layered<PathEntry>>,
    new: Option<&Layered<PathEntry>>,
) -> Covered {
    let mut shows = Covered::new();
    if hidden(new) > hidden(old) {
        covers!(shows, "WATCH-34");
    } else if size(new) < size(old) {
        covers!(shows, "WATCH-33");
    }
    shows
}

fn hidden(entries: Option<&Layered<PathEntry>>) -> usize {
    let entries = entries.into_iter().flat_map(|entries| entries.values());
    entries.filter(|entry| entry.target == Target::Hidden).count()
}

/// What has become of the layers (§4.1, "Layer operation events").
#[derive(Clone, Copy)]
pub(super) struct LayerChanges {
    deleted: bool,
    moved: bool,
    enabled: bool,
    disabled: bool,
}

impl LayerChanges {
    /// What is different between two layer tables.
    pub(super) fn of(before: &State, after: &State) -> LayerChanges {
        let pairs = || before.layers.iter().map(|(name, old)| (old, after.layers.get(name)));
        let kept = || pairs().filter_map(|(old, new)| Some((old, new?)));
        LayerChanges {
            deleted: pairs().any(|(_, new)| new.is_none()),
            moved: kept().any(|(old, new)| old.precedence != new.precedence),
            enabled: kept().any(|(old, new)| !old.enabled && new.enabled),
            disabled: kept().any(|(old, new)| old.enabled && !new.enabled),
        }
    }

    /// What it shows on the watch of a key itself that they have taken it out of view.
    pub(super) fn shown_by_own_loss(self) -> Covered {
        let mut shows = Covered::new();
        if self.deleted || self.disabled || self.moved {
            covers!(shows, "WATCH-66");
        }
        shows
    }

    /// What an event shows of them.
    pub(super) fn shows(self, kind: Kind) -> Covered {
        let mut shows = Covered::new();
        covers!(shows, "WATCH-47", "WATCH-48");
        if self.deleted {
            covers!(shows, "WATCH-42", "FAIL-49", "LAYER-58");
        }
        if self.moved {
            covers!(shows, "WATCH-43");
        }
        if self.enabled {
            covers!(shows, "WATCH-44");
        }
        if self.disabled {
            covers!(shows, "WATCH-45");
        }
        match kind {
            Kind::ValueSet if self.deleted => covers!(shows, "WATCH-13", "WATCH-19"),
            Kind::SubkeyCreated if self.deleted => covers!(shows, "WATCH-14"),
            _ => {}
        }
        shows
    }
}

fn tombstones(entries: Option<&Layered<ValueEntry>>) -> usize {
    let entries = entries.into_iter().flat_map(|entries| entries.values());
    entries.filter(|entry| entry.value_type == REG_TOMBSTONE).count()
}

fn size<T: Clone>(entries: Option<&Layered<T>>) -> usize {
    entries.map_or(0, |entries| entries.size())
}
