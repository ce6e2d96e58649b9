//! Registration: what a registration asks for, and whether it gets it.
//!
//! States PSD-005 §7.1 ("Registration", "Source slots and re-registration", the registration
//! errors) and §11.2 ("RSI registration struct"), with the name rules of §2.2, in the order of
//! D-91, with P-50 to P-52. Changes nothing; what an accepted registration brings is in `slots`.

use std::collections::BTreeSet;

use crate::coverage::{Covered, covers};
use crate::errno::Errno;
use crate::hives::CURRENT_USER;
use crate::input::{HiveEntry, HiveName, RSI_HIVE_PRIVATE, Registration, WireGuid};
use crate::names::{FoldedName, KeyName};
use crate::state::{Hive, SlotId, State};

/// Beyond this many entries none is read: MaxHivesPerSource can never be more (§11.4, P-51).
const HIVE_ENTRIES_MAX: u32 = 1024;

/// What a hive name is unique in: its own namespace (HIVE-03). `None` is the global one, the rest
/// are those of the scopes (REG-10).
pub(crate) type Namespace = Option<WireGuid>;

/// One hive of a registration whose form is good.
pub(crate) struct AskedHive {
    pub(crate) name: KeyName,
    pub(crate) namespace: Namespace,
    pub(crate) root: WireGuid,
}

impl AskedHive {
    /// Whether it is the global hive that holds the parameters and the layers (D-100).
    pub(crate) fn is_machine(&self) -> bool {
        self.namespace.is_none() && self.name.folded().as_str() == "machine"
    }

    fn claim(&self) -> Claim {
        (self.name.folded().clone(), self.namespace)
    }
}

/// What a registration claims with a hive, and a slot reserves: the identity of the hive but for
/// its root GUID (§7.1).
type Claim = (FoldedName, Namespace);

/// What a registration gets.
#[derive(Clone, Copy)]
pub(crate) enum Granted {
    NewSlot,
    Resumed(SlotId),
}

/// The hives that a registration names, if its form is good.
///
/// # Errors
///
/// EFAULT for what cannot be read; EINVAL for padding, a zero count, undefined flags, a scope GUID
/// that is there without the flag or missing with it, a null root GUID, a bad name, and a hive or a
/// root GUID that is named twice (P-50); ENOSPC for a count that no limit allows (P-51).
pub(crate) fn form(
    state: &State,
    registration: Option<&Registration>,
    covered: &mut Covered,
) -> Result<Vec<AskedHive>, Errno> {
    let registration = registration.ok_or_else(|| unreadable(covered))?;
    if registration.padding != 0 {
        covers!(covered, "ABI-42", "ABI-08", "ERR-14");
        return Err(Errno::EINVAL);
    }
    if registration.hive_count == 0 {
        covers!(covered, "REG-32");
        return Err(Errno::EINVAL);
    }
    if registration.hive_count > HIVE_ENTRIES_MAX {
        covers!(covered, "REG-30");
        return Err(Errno::ENOSPC);
    }
    let mut asked: Vec<AskedHive> = Vec::new();
    for index in 0..registration.hive_count as usize {
        let entry = registration.hives.get(index).ok_or_else(|| unreadable(covered))?;
        asked.push(entry_form(state, entry, covered)?);
    }
    // Of hives that are all of good form (D-91).
    let claims: BTreeSet<Claim> = asked.iter().map(AskedHive::claim).collect();
    let roots: BTreeSet<WireGuid> = asked.iter().map(|hive| hive.root).collect();
    if claims.len() < asked.len() || roots.len() < asked.len() {
        if has_down(state, &overlapped_slots(state, &asked)) {
            covers!(covered, "REG-26");
        }
        return Err(Errno::EINVAL);
    }
    Ok(asked)
}

fn entry_form(state: &State, entry: &HiveEntry, covered: &mut Covered) -> Result<AskedHive, Errno> {
    if entry.padding != [0; 2] {
        covers!(covered, "ABI-43", "ABI-08", "ERR-14");
        return Err(Errno::EINVAL);
    }
    if entry.flags & !RSI_HIVE_PRIVATE != 0 {
        covers!(covered, "ABI-44", "ABI-15", "CONST-49");
        return Err(Errno::EINVAL);
    }
    let private = entry.flags & RSI_HIVE_PRIVATE != 0;
    let has_scope = entry.scope != [0; 16];
    if has_scope && !private {
        covers!(covered, "ABI-45", "REG-05");
        return Err(Errno::EINVAL);
    }
    if private && !has_scope {
        covers!(covered, "CONST-49", "REG-04");
        return Err(Errno::EINVAL);
    }
    if entry.root == [0; 16] {
        return Err(Errno::EINVAL);
    }
    let name = name_form(state, &entry.name, covered)?;
    Ok(AskedHive { name, namespace: private.then_some(entry.scope), root: entry.root })
}

/// A hive name under the rules of a key name; whatever is wrong with it is EINVAL (D-05).
fn name_form(state: &State, name: &HiveName, covered: &mut Covered) -> Result<KeyName, Errno> {
    let bytes = match name {
        HiveName::Bytes(bytes) => bytes,
        HiveName::Unreadable(length) if *length > state.limits.max_path_component_length => {
            // The stated length comes before the bytes (P-32, P-199).
            covers!(covered, "REG-33");
            return Err(Errno::EINVAL);
        }
        HiveName::Unreadable(_) => return Err(unreadable(covered)),
    };
    let Ok(name) = KeyName::parse(bytes, &state.limits) else {
        covers!(covered, "REG-33");
        mark_bad_name(bytes, covered);
        return Err(Errno::EINVAL);
    };
    if name.folded().as_str() == CURRENT_USER {
        covers!(covered, "HIVE-18", "REG-33");
        return Err(Errno::EINVAL);
    }
    Ok(name)
}

fn unreadable(covered: &mut Covered) -> Errno {
    covers!(covered, "ERR-17");
    Errno::EFAULT
}

/// Which rule a bad name breaks.
fn mark_bad_name(bytes: &[u8], covered: &mut Covered) {
    if std::str::from_utf8(bytes).is_err() {
        covers!(covered, "CONV-15");
    }
    if bytes.contains(&b'\\') {
        covers!(covered, "HIVE-12");
    }
    if bytes.contains(&b'/') {
        covers!(covered, "HIVE-13");
    }
    if bytes.contains(&0) {
        covers!(covered, "HIVE-14", "CONV-19");
    }
    if bytes.ends_with(&[0]) {
        covers!(covered, "CONV-25");
    }
    if bytes.is_empty() {
        covers!(covered, "HIVE-15");
    }
}

/// What hives of good form get, by the slots that there are.
///
/// # Errors
///
/// In the order of D-91: ENOSPC above MaxHivesPerSource; EOVERFLOW if no sequence number is left
/// above `max_sequence`; EEXIST for a hive of an Active slot; ESTALE or EINVAL for hives of a Down
/// slot that is not resumed; ENOSPC for one slot more than MaxRegisteredSources.
pub(crate) fn grant(
    state: &State,
    asked: &[AskedHive],
    max_sequence: u64,
    covered: &mut Covered,
) -> Result<Granted, Errno> {
    if asked.len() > state.limits.max_hives_per_source as usize {
        covers!(covered, "REG-30", "CONF-15");
        state.limits.mark_changed(|limits| limits.max_hives_per_source, covered);
        return Err(Errno::ENOSPC);
    }
    if max_sequence == u64::MAX {
        covers!(covered, "REG-34", "SEQ-16", "SEQ-17", "ERR-37");
        return Err(Errno::EOVERFLOW);
    }
    let overlapped = overlapped_slots(state, asked);
    if let Some(slot) = overlapped.iter().copied().find(|slot| resumes(state, *slot, asked)) {
        return Ok(Granted::Resumed(slot));
    }
    if overlapped.iter().any(|slot| state.is_slot_active(*slot)) {
        mark_collision(state, asked, covered);
        if has_down(state, &overlapped) {
            covers!(covered, "REG-26");
        }
        return Err(Errno::EEXIST);
    }
    if let Some(slot) = overlapped.first() {
        return Err(failed_resume(state, *slot, asked, covered));
    }
    if state.slots.size() >= state.limits.max_registered_sources as usize {
        covers!(covered, "REG-31", "CONF-14");
        if has_down(state, &state.slots.keys().copied().collect()) {
            covers!(covered, "REG-29");
        }
        state.limits.mark_changed(|limits| limits.max_registered_sources, covered);
        return Err(Errno::ENOSPC);
    }
    Ok(Granted::NewSlot)
}

/// Whether any of these slots is Down.
fn has_down(state: &State, slots: &BTreeSet<SlotId>) -> bool {
    slots.iter().any(|slot| !state.is_slot_active(*slot))
}

/// The slots that reserve any of the claims.
fn overlapped_slots(state: &State, asked: &[AskedHive]) -> BTreeSet<SlotId> {
    let claims: BTreeSet<Claim> = asked.iter().map(AskedHive::claim).collect();
    state.hives.values().filter(|hive| claims.contains(&claim_of(hive))).map(|h| h.slot).collect()
}

fn claim_of(hive: &Hive) -> Claim {
    (hive.name.folded().clone(), hive.namespace)
}

/// Whether exactly the hive set of a Down slot is asked for (REG-18).
fn resumes(state: &State, slot: SlotId, asked: &[AskedHive]) -> bool {
    let identities: BTreeSet<(Claim, WireGuid)> =
        state.hives_of(slot).map(|(_, hive)| (claim_of(hive), hive.root)).collect();
    let asked: BTreeSet<(Claim, WireGuid)> =
        asked.iter().map(|hive| (hive.claim(), hive.root)).collect();
    !state.is_slot_active(slot) && identities == asked
}

/// Which rule a collision with an Active slot breaks.
fn mark_collision(state: &State, asked: &[AskedHive], covered: &mut Covered) {
    covers!(covered, "REG-14", "HIVE-04");
    for hive in state.hives.values().filter(|hive| state.is_slot_active(hive.slot)) {
        let Some(other) = asked.iter().find(|other| other.claim() == claim_of(hive)) else {
            continue;
        };
        match other.namespace {
            None => covers!(covered, "REG-07", "HIVE-02"),
            Some(_) => covers!(covered, "REG-09"),
        }
        if other.name.spelling() != hive.name.spelling() {
            covers!(covered, "REG-08", "HIVE-03");
        }
    }
}

/// What a registration that claims hives of a Down slot and does not resume it fails with.
fn failed_resume(state: &State, slot: SlotId, asked: &[AskedHive], covered: &mut Covered) -> Errno {
    let reserved: BTreeSet<Claim> = state.hives_of(slot).map(|(_, hive)| claim_of(hive)).collect();
    let claims: BTreeSet<Claim> = asked.iter().map(AskedHive::claim).collect();
    covers!(covered, "REG-15", "REG-29", "FAIL-12");
    if claims == reserved {
        covers!(covered, "REG-22", "REG-25", "ERR-38");
        return Errno::ESTALE;
    }
    let mut is_named = false;
    let name_of = |claim: &Claim| claim.0.clone();
    let (missing, added): (Vec<_>, Vec<_>) =
        (reserved.difference(&claims).collect(), claims.difference(&reserved).collect());
    if added.is_empty() {
        covers!(covered, "REG-23");
        is_named = true;
    }
    if missing.is_empty() {
        covers!(covered, "REG-24", "REG-28");
        is_named = true;
    }
    for (was, is) in missing.iter().flat_map(|was| added.iter().map(move |is| (was, is))) {
        if name_of(was) != name_of(is) {
            continue;
        }
        is_named = true;
        if was.1.is_some() && is.1.is_some() {
            covers!(covered, "REG-21");
        } else {
            covers!(covered, "REG-20");
        }
    }
    if !is_named {
        covers!(covered, "REG-26");
    }
    Errno::EINVAL
}
