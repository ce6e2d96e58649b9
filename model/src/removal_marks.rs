//! Which requirements a change has shown by what it brings back to light.
//!
//! Marks the rules of PSD-005 §2.3 to §2.8 on values, keys and symbolic links that become effective again
//! when a layer is deleted, or is overridden. Looks at the global view. Decides nothing.

use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Layered, Target};
use crate::layer_effects::same_view;
use crate::limits::Limits;
use crate::names::{FoldedName, parse_path};
use crate::resolution::{Resolver, Viewer};
use crate::state::{OpenKey, State};
use crate::values::{REG_LINK, REG_TOMBSTONE};

/// Layers have left the table between two states.
pub(crate) fn layers_deleted(before: &State, after: &State, covered: &mut Covered) {
    let gone = before.layers.keys().filter(|name| !after.layers.contains_key(*name));
    let deleted: Vec<&FoldedName> = gone.collect();
    let viewer = Viewer::global();
    for hive in after.hives.keys().copied().filter(|_| !deleted.is_empty()) {
        if !before.is_active(hive) || !after.is_active(hive) {
            continue;
        }
        let views = Views {
            before: before.kernel_resolver(hive, &viewer),
            after: after.kernel_resolver(hive, &viewer),
            deleted: &deleted,
        };
        for (key, record) in after.database(hive).keys.iter() {
            views.mark_values(*key, covered);
            views.mark_children(*key, covered);
            if record.symlink {
                views.mark_link(*key, covered);
            }
        }
    }
}

/// Layers have another precedence, and nothing else has become of any, between two states.
pub(crate) fn layers_moved(before: &State, after: &State, covered: &mut Covered) {
    if ranks(before) == ranks(after) || switches(before) != switches(after) {
        return;
    }
    if is_seen(before, after) {
        covers!(covered, "LAYER-07", "RES-04", "IOC-091");
    }
}

/// Layers have been enabled or disabled, and nothing else has become of any, between two states.
pub(crate) fn layers_switched(before: &State, after: &State, covered: &mut Covered) {
    let (ranks, switches) = (ranks(before) == ranks(after), switches(before) == switches(after));
    if ranks && !switches && is_seen(before, after) {
        covers!(covered, "LAYER-08", "RES-02");
    }
}

/// The precedence of each layer.
fn ranks(state: &State) -> Vec<(FoldedName, u32)> {
    state.layers.iter().map(|(name, layer)| (name.clone(), layer.precedence)).collect()
}

/// Whether each layer is enabled.
fn switches(state: &State) -> Vec<(FoldedName, bool)> {
    state.layers.iter().map(|(name, layer)| (name.clone(), layer.enabled)).collect()
}

/// Whether some hive shows other keys or effective values.
fn is_seen(before: &State, after: &State) -> bool {
    let mut hives = after.hives.keys().copied();
    let is_in_both = |hive: &HiveId| before.is_active(*hive) && after.is_active(*hive);
    hives.any(|hive| is_in_both(&hive) && same_view(before, after, hive) == Ok(false))
}

/// A value of a key was written.
pub(crate) fn link_overridden(
    before: &State,
    after: &State,
    open: &OpenKey,
    covered: &mut Covered,
) {
    let (hive, key, viewer) = (open.hive(), open.key(), Viewer::global());
    if !after.database(hive).keys.get(&key).is_some_and(|record| record.symlink) {
        return;
    }
    let leads = |state: &State| Leads::of(&state.kernel_resolver(hive, &viewer), key);
    if (leads(before), leads(after)) == (Leads::NoPath, Leads::Somewhere) {
        covers!(covered, "LINK-29");
    }
}

/// A hive before and after layers were deleted.
struct Views<'a> {
    before: Resolver<'a>,
    after: Resolver<'a>,
    deleted: &'a [&'a FoldedName],
}

impl Views<'_> {
    /// Whether one of the deleted layers has an entry of this kind.
    fn had<T: Clone>(&self, entries: Option<&Layered<T>>, is_of_kind: impl Fn(&T) -> bool) -> bool {
        let entries = entries.into_iter().flat_map(|entries| entries.iter());
        entries.into_iter().any(|(layer, entry)| self.deleted.contains(&layer) && is_of_kind(entry))
    }

    /// Values that are effective by now, and were masked by a deleted layer.
    fn mark_values(&self, key: Guid, covered: &mut Covered) {
        let values = |resolver: &Resolver<'_>| {
            let (values, _) = resolver.values(key, &mut Covered::new()).ok()?;
            let layers = values.iter().map(|value| {
                (value.entry.name.folded().clone(), value.layer.name.folded().clone())
            });
            Some(layers.collect::<Vec<(FoldedName, FoldedName)>>())
        };
        let Some((before, after)) = values(&self.before).zip(values(&self.after)) else { return };
        let blankets = self.before.database.blankets.get(&key);
        for (name, _) in after {
            let entries = self.before.database.value(key, name.as_str());
            match before.iter().find(|(other, _)| *other == name) {
                Some((_, layer)) if self.deleted.contains(&layer) => {
                    covers!(covered, "VAL-03", "DEL-14", "RES-37", "FAIL-46");
                }
                Some(_) => {}
                None if self.had(entries, |entry| entry.value_type == REG_TOMBSTONE) => {
                    covers!(covered, "VAL-11", "VAL-22", "RES-37");
                }
                None if self.had(blankets, |_| true) => {
                    covers!(covered, "VAL-11", "VAL-33", "DEL-15", "RES-37", "FAIL-47");
                }
                None => {}
            }
        }
    }

    /// Children that are visible by now, and were masked by a deleted layer.
    fn mark_children(&self, parent: Guid, covered: &mut Covered) {
        let ignored = &mut Covered::new();
        let Ok((children, _)) = self.after.subkeys(parent, ignored) else { return };
        for child in children {
            let name = child.entry.name.folded().as_str();
            let Ok((former, _)) = self.before.child(parent, name, ignored) else { continue };
            let entries = self.before.database.lookup(parent, name);
            match former {
                Some(former)
                    if former.key != child.key
                        && self.deleted.contains(&former.entry.layer.folded()) =>
                {
                    covers!(covered, "PATH-21", "RES-37");
                }
                Some(_) => {}
                None if self.had(entries, |entry| entry.target == Target::Hidden) => {
                    covers!(covered, "PATH-17", "IOC-108");
                }
                None => {}
            }
        }
    }

    /// A link that leads somewhere again.
    fn mark_link(&self, key: Guid, covered: &mut Covered) {
        match (Leads::of(&self.before, key), Leads::of(&self.after, key)) {
            (Leads::NoLink, Leads::Somewhere) => covers!(covered, "LINK-15"),
            (Leads::NoPath, Leads::Somewhere) => covers!(covered, "LINK-29"),
            _ => {}
        }
    }
}

/// Where the default value of a symlink key leads (§2.3, "Target resolution").
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To a path.
    Somewhere,
    /// Nowhere: it is a REG_LINK that holds no path.
    NoPath,
    /// Nowhere: it is of another type.
    NoLink,
    /// Nowhere: there is none.
    Nowhere,
}

impl Leads {
    fn of(resolver: &Resolver<'_>, key: Guid) -> Leads {
        let limits: &Limits = resolver.limits;
        let Ok((Some(value), _)) = resolver.value(key, "", &mut Covered::new()) else {
            return Leads::Nowhere;
        };
        if value.entry.value_type != REG_LINK {
            return Leads::NoLink;
        }
        match parse_path(&value.entry.data, limits, None) {
            Ok(_) => Leads::Somewhere,
            Err(_) => Leads::NoPath,
        }
    }
}
