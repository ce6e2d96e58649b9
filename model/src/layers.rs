//! Layers: the layer table, who may write into a layer, and which changes concern it.
//!
//! States PSD-005 §2.6 ("Fields", "The base layer", "Writing into a layer", "Layer count cap"), with D-50,
//! D-53, P-03, P-27 and P-28. What follows such a change is in `layer_commit`, how the table is read
//! from the registry in `layer_refresh`.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::access;
use crate::audit_events::rejection;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, Map};
use crate::errno::Errno;
use crate::front_door::UserBytes;
use crate::layer_refresh::{resolve, resolve_layers_key};
use crate::name_marks;
use crate::names::{FoldedName, KeyName, LayerName};
use crate::outcome::Outcome;
use crate::responses::{Fault, Malformed};
use crate::security::{
    Ace, AceBody, AceKind, Acl, Effect, Privilege, SecurityDescriptor, Verdict, ace_flags,
    base_layer_default_sd, rights, verdict, well_known,
};
use crate::state::{OpenKey, Place, State};
use crate::step::Work;

/// The folded name of the base layer.
pub(crate) const BASE: &str = "base";

/// An entry of the layer table (LAYER-01). It has no owner: that field decides nothing and no
/// call shows it (LAYER-09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The name as the metadata key spells it.
    pub(crate) name: LayerName,
    pub(crate) precedence: u32,
    pub(crate) enabled: bool,
    /// The SD of the metadata key (LAYER-35).
    pub(crate) descriptor: Arc<SecurityDescriptor>,
}

/// The table before any metadata has been read: base alone (BOOT-04, SYS-71).
pub(crate) fn initial_table() -> Map<FoldedName, Layer> {
    let name = LayerName::base();
    let descriptor = Arc::new(base_layer_default_sd());
    Map::new_sync()
        .insert(name.folded().clone(), Layer { name, precedence: 0, enabled: true, descriptor })
}

/// Layer write authorization (§2.6, "Writing into a layer"), with the calling thread's token
/// (D-27).
///
/// # Errors
///
/// ENOENT if the table has no such layer, EACCES if its metadata key's SD denies KEY_SET_VALUE. `open` is
/// the fd that the write goes through, where its mask has been checked; it decides nothing.
pub(crate) fn check_write(
    work: &mut Work<'_>,
    name: &LayerName,
    open: Option<&OpenKey>,
) -> Result<(), Errno> {
    let Some(layer) = work.state.layers.get(name.folded()) else {
        covers!(work.covered, "RES-30", "RES-31", "IOC-017", "ERR-10");
        if open.is_some_and(|open| work.state.is_stalled(open.hive())) {
            covers!(work.covered, "RSI-35");
        }
        return Err(Errno::ENOENT);
    };
    if layer.name.spelling() != name.spelling() {
        covers!(work.covered, "LAYER-02", "LAYER-03", "LAYER-26");
        name_marks::spellings_matched(layer.name.spelling(), name.spelling(), &mut work.covered);
    }
    if name.folded().as_str() == BASE && work.state.base_may_be_default {
        settle_base(work);
    }
    let Some(layer) = work.state.layers.get(name.folded()) else { return Err(Errno::ENOENT) };
    let descriptor = layer.descriptor.clone();
    access::to_layer(work, &descriptor)
        .inspect_err(|errno| mark_denied(work, name, &descriptor, open, *errno))?;
    if name.folded().as_str() == BASE && is_admitted_by_inheritance(work, &descriptor) {
        covers!(work.covered, "IOC-019", "CONV-02");
    }
    if name.folded().as_str() == BASE && work.state.layers_key.is_none() {
        covers!(work.covered, "LAYER-10", "BOOT-05", "BOOT-27");
        if machine(&work.state).is_none() {
            // No source that could have said anything of layers has registered yet.
            covers!(work.covered, "BOOT-04");
        }
    }
    let is_stored = machine(&work.state).is_some_and(|hive| work.state.may_be_malformed(hive));
    let right = rights::KEY_SET_VALUE;
    if is_stored && access::would_deny(&work.caller.token, &base_layer_default_sd(), right) {
        // Whatever the kernel would have made of it: the SD is what the source says.
        covers!(work.covered, "SRC-57");
    }
    if !work.caller.token.has_privilege(Privilege::Tcb) {
        covers!(work.covered, "LAUTH-16");
    }
    let is_others = |open: &OpenKey| {
        let opener = &open.origin.0.token;
        *opener != work.caller.token
            && access::would_deny(opener, &descriptor, rights::KEY_SET_VALUE)
    };
    if open.is_some_and(is_others) {
        covers!(work.covered, "LAUTH-25", "IOC-015");
    }
    Ok(())
}

/// Whether the caller may write into base by nothing but what its metadata key has inherited for Administrators
/// from the hive root that the source made, for marks.
fn is_admitted_by_inheritance(work: &Work<'_>, descriptor: &SecurityDescriptor) -> bool {
    let Some(dacl) = &descriptor.dacl else { return false };
    let is_theirs = |ace: &Ace| match &ace.body {
        AceBody::Recognised { kind: AceKind::Rule { effect: Effect::Allow, .. }, sid, .. } => {
            ace.has_flags(ace_flags::INHERITED) && *sid == *well_known::ADMINISTRATORS
        }
        _ => false,
    };
    let others = dacl.aces.iter().filter(|ace| !is_theirs(ace)).cloned().collect();
    let without = SecurityDescriptor { dacl: Some(Acl::of_rules(others)), ..descriptor.clone() };
    access::would_deny(&work.caller.token, &without, rights::KEY_SET_VALUE)
        && base_descends_from_root(&work.state)
}

/// Whether nobody has given an SD to base's metadata key, nor to one above it.
fn base_descends_from_root(state: &State) -> bool {
    let Some(hive) = machine(state).filter(|hive| !state.may_be_malformed(*hive)) else {
        return false;
    };
    let way = ["system", "registry", "layers", BASE];
    (0..=way.len()).all(|length| match resolve(state, &way[..length]) {
        Ok(Some(key)) => !state.secured.0.contains(&(hive, key)),
        _ => false,
    })
}

/// What is shown by a layer's SD that denies a write.
fn mark_denied(
    work: &mut Work<'_>,
    name: &LayerName,
    descriptor: &SecurityDescriptor,
    open: Option<&OpenKey>,
    errno: Errno,
) {
    if errno != Errno::EACCES {
        return;
    }
    covers!(work.covered, "LAUTH-04", "IOC-014", "LAUTH-08");
    if access::may_write_another_layer(work, name.folded()) {
        covers!(work.covered, "LAUTH-28");
    }
    let Some(open) = open else { return };
    covers!(work.covered, "LAUTH-23");
    if access::would_allow(&open.origin.0.token, descriptor, rights::KEY_SET_VALUE) {
        covers!(work.covered, "LAUTH-25", "IOC-015");
    }
}

/// Whether layer write authorization would admit the caller to the layer of an ioctl's argument, for marks.
pub(crate) fn would_admit(work: &Work<'_>, argument: UserBytes<'_>) -> bool {
    let name = match argument.length() {
        0 => Ok(LayerName::base()),
        _ => LayerName::parse(argument.readable(), &work.state.limits),
    };
    let layer = name.ok().and_then(|name| work.state.layers.get(name.folded()));
    layer.is_some_and(|layer| {
        access::would_allow(&work.caller.token, &layer.descriptor, rights::KEY_SET_VALUE)
    })
}

/// Which of two SDs base has since its metadata key left the view shows when they come to different
/// verdicts on a write (P-28). The call goes on with the one that lets it come further.
fn settle_base(work: &mut Work<'_>) {
    let Some(kept) = work.state.layers.get(BASE).cloned() else { return };
    let default = Layer { descriptor: Arc::new(base_layer_default_sd()), ..kept.clone() };
    let decision = |layer: &Layer| {
        let ignored = &mut Covered::new();
        verdict(&work.caller.token, &layer.descriptor, rights::KEY_SET_VALUE, ignored)
    };
    let (of_kept, of_default) = (decision(&kept), decision(&default));
    let (further, other, decision) = match reach(of_kept).cmp(&reach(of_default)) {
        Ordering::Equal => return,
        Ordering::Greater => (kept, default, of_default),
        Ordering::Less => (default, kept, of_kept),
    };
    let base = LayerName::base().folded().clone();
    work.state.base_may_be_default = false;
    let mut ended = work.state.clone();
    ended.layers.insert_mut(base.clone(), other);
    work.state.layers.insert_mut(base, further);
    let errno = if decision == Verdict::Malformed { Errno::EIO } else { Errno::EACCES };
    if let (Errno::EIO, Some(hive)) = (errno, machine(&work.state)) {
        // The other ending may be reported (P-112).
        let malformed = Malformed::of(Fault::Other, None, &mut Covered::new());
        work.audit.push(rejection(&work.state, hive, malformed, &mut Covered::new()));
    }
    work.otherwise.push((Outcome::Failed(errno), ended));
}

/// How far a verdict lets a call come. What this edition does not judge is said before all else.
fn reach(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Outside(_) => 3,
        Verdict::Allowed => 2,
        Verdict::Malformed => 1,
        Verdict::Denied => 0,
    }
}

/// Whether there is room for one more layer, if the creation of `name` would make one.
///
/// # Errors
///
/// ENOSPC if the table is full (LAYER-59).
pub(crate) fn check_total(
    work: &mut Work<'_>,
    parent: &Place,
    name: &KeyName,
) -> Result<(), Errno> {
    let full = work.state.layers.size() >= work.state.limits.max_total_layers as usize;
    let below_layers = is_layers_key(&work.state, parent.hive, parent.key());
    if full && below_layers && !work.state.layers.contains_key(name.folded()) {
        covers!(work.covered, "LAYER-59", "CONF-13");
        work.state.limits.mark_changed(|limits| limits.max_total_layers, &mut work.covered);
        if !work.state.limits.differ(|limits| limits.max_total_layers) {
            covers!(work.covered, "LAYER-60");
        }
        return Err(Errno::ENOSPC);
    }
    Ok(())
}

/// Whether a key is a direct child of the Layers key (D-50), the one that the path to it last
/// resolved to. An orphan is nobody's child.
pub(crate) fn is_metadata_key(state: &State, hive: HiveId, key: Guid) -> bool {
    let layers_key = state.layers_seen.as_ref().map(|(key, _)| *key);
    layers_key.is_some()
        && machine(state) == Some(hive)
        && !state.orphans.contains(&(hive, key))
        && state.record_anywhere(hive, key).is_some_and(|key| key.parent == layers_key)
}

/// Whether raising a Precedence through this fd needs the privilege: its key is a metadata key, or the
/// way that the fd has captured is that of one, wherever the path leads by now (P-280, P-295).
pub(crate) fn is_gated(state: &State, place: &Place) -> bool {
    let names = place.path.iter().skip(1).map(|name| name.folded().as_str());
    let way = ["system", "registry", "layers"];
    let has_way = machine(state) == Some(place.hive)
        && place.path.len() == way.len() + 2
        && names.zip(way).all(|(name, step)| name == step);
    has_way || is_metadata_key(state, place.hive, place.key())
}

/// Whether a key is the Layers key.
pub(crate) fn is_layers_key(state: &State, hive: HiveId, key: Guid) -> bool {
    machine(state) == Some(hive) && state.layers_key == Some(key)
}

/// The global hive that holds the layers (D-100).
pub(crate) fn machine(state: &State) -> Option<HiveId> {
    state.routes.get("machine").copied()
}

/// What a committed call has changed.
#[derive(Clone, Copy)]
pub(crate) enum Touched<'a> {
    /// One value of a key.
    Value(HiveId, Guid, &'a FoldedName),
    /// Blanket tombstones of a key, and so all its values.
    Values(HiveId, Guid),
    /// The SD of a key.
    Descriptor(HiveId, Guid),
    /// Path entries of a child of a key.
    Child(HiveId, Guid, &'a FoldedName),
}

impl Touched<'_> {
    pub(crate) fn hive(self) -> HiveId {
        match self {
            Touched::Value(hive, ..)
            | Touched::Values(hive, _)
            | Touched::Descriptor(hive, _)
            | Touched::Child(hive, ..) => hive,
        }
    }

    /// The key that has changed itself.
    fn key(self) -> Option<Guid> {
        match self {
            Touched::Value(_, key, _) | Touched::Values(_, key) | Touched::Descriptor(_, key) => {
                Some(key)
            }
            Touched::Child(..) => None,
        }
    }

    /// The layer that this is about, by the Layers key that is known.
    pub(crate) fn layer(self, state: &State) -> Option<FoldedName> {
        let known = state.layers_key?;
        if self.parent(state) != Some(known) {
            return None;
        }
        match (self, self.key()) {
            (Touched::Child(_, _, name), _) => Some(name.clone()),
            (_, key) => {
                let record = state.database(self.hive()).keys.get(&key?)?;
                Some(record.name.folded().clone())
            }
        }
    }

    /// The key below which this is. An orphan is nobody's child: a change of one is the affair of
    /// whoever has it open (DEL-26), also when another key has its place.
    fn parent(self, state: &State) -> Option<Guid> {
        if let Touched::Child(_, parent, _) = self {
            return Some(parent);
        }
        let key = self.key().filter(|key| !state.orphans.contains(&(self.hive(), *key)))?;
        state.database(self.hive()).keys.get(&key)?.parent
    }

    /// Whether this can have changed layer metadata or where it is found.
    pub(crate) fn concerns_layers(self, state: &State) -> bool {
        if machine(state) != Some(self.hive()) {
            return false;
        }
        let parent = self.parent(state);
        let is_below_layers = match self.key() {
            Some(key) => is_metadata_key(state, self.hive(), key),
            None => state.layers_key == parent,
        };
        is_below_layers || self.is_on_the_way(state) || is_layers_key_by_now(state, parent)
    }

    /// Whether this may concern a part of the path to the Layers key.
    pub(crate) fn is_on_the_way(self, state: &State) -> bool {
        match self {
            Touched::Value(..) | Touched::Values(..) | Touched::Descriptor(..) => false,
            Touched::Child(hive, parent, name) => is_on_the_way(state, hive, parent, name),
        }
    }
}

/// Whether the path leads to this key without the kernel's having looked: in a store that was given
/// something, or whose records of the future are none any more (P-26, P-41).
fn is_layers_key_by_now(state: &State, key: Option<Guid>) -> bool {
    machine(state).is_some_and(|hive| state.may_be_malformed(hive))
        && key.is_some()
        && resolve_layers_key(state) == Ok(key)
}

/// Whether a child of this name below this key may be a part of the path to the Layers key.
fn is_on_the_way(state: &State, hive: HiveId, parent: Guid, name: &FoldedName) -> bool {
    let database = state.database(hive);
    let is_called = |key: Guid, name: &str| {
        database.keys.get(&key).filter(|record| record.name.folded().as_str() == name)
    };
    let is_system = |key: Guid| {
        is_called(key, "system").is_some_and(|record| record.parent == Some(database.root))
    };
    match name.as_str() {
        "system" => parent == database.root,
        "registry" => is_system(parent),
        "layers" => {
            is_called(parent, "registry").is_some_and(|record| record.parent.is_some_and(is_system))
        }
        _ => false,
    }
}
