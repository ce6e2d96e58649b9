//! Which requirements the opening or the creation of a key has shown.
//!
//! Marks the rules of PSD-005 §2.3, §2.4, §3.1 and §6.2 where an access decision, or what stands at the place
//! of a new key, depends on them. Decides nothing.

use crate::abi::{REG_OPTION_CREATE_LINK, REG_OPTION_VOLATILE};
use crate::access;
use crate::configuration::is_configuration_key;
use crate::coverage::covers;
use crate::database::{Guid, HiveId, Target};
use crate::errno::Errno;
use crate::layer_metadata::metadata;
use crate::name_marks;
use crate::names::{KeyName, LayerName};
use crate::security::{SecurityDescriptor, ace_flags, rights};
use crate::state::{OpenKey, Place};
use crate::step::Work;

/// How many keys above the one that is opened are asked for what they would have said.
const ANCESTORS_COMPARED_MAX: usize = 2;

/// The open of an existing key was decided by this SD.
pub(crate) fn decided(
    work: &mut Work<'_>,
    place: &Place,
    descriptor: &SecurityDescriptor,
    desired: u32,
    decision: Result<u32, Errno>,
) {
    if work.outside.is_some() {
        return;
    }
    match decision {
        Ok(_) => mark_allowed(work, place, descriptor, desired),
        Err(Errno::EACCES) => mark_denied(work, place, desired),
        Err(_) => return,
    }
    mark_link(work, decision.is_ok(), desired);
    // Another SD stood here when another fd was opened.
    let token = &work.caller.token;
    let differs = |open: &OpenKey| {
        let then = &*open.origin.0.descriptor;
        open.hive() == place.hive
            && open.key() == place.key()
            && then != descriptor
            && access::would_allow(token, then, desired) != decision.is_ok()
    };
    if work.state.open_keys.values().any(differs) {
        covers!(work.covered, "SEC-54");
    }
}

fn mark_allowed(work: &mut Work<'_>, place: &Place, descriptor: &SecurityDescriptor, desired: u32) {
    if descriptor.dacl.is_none() && work.state.may_be_malformed(place.hive) {
        // A source that was given something behind the kernel's back says that everybody may everything.
        covers!(work.if_done, "SRC-53");
    }
    let between = place.chain.iter().skip(1).rev().skip(1);
    let is_closed = |key: &Guid| would_say(work, (place.hive, *key), desired) == Some(false);
    if between.take(ANCESTORS_COMPARED_MAX).any(is_closed) {
        covers!(work.if_done, "SEC-04", "SEC-06");
    }
}

fn mark_denied(work: &mut Work<'_>, place: &Place, desired: u32) {
    covers!(work.covered, "SYS-38", "SYS-41", "ERR-13");
    let asks_to_write = desired & (rights::KEY_SET_VALUE | rights::GENERIC_WRITE) != 0;
    if is_configuration_key(&work.state, place.key()) && asks_to_write {
        mark_configuration_denied(work, place);
    }
    let Some(parent) = place.parent() else { return };
    let above = work.state.database(place.hive).keys.get(&parent);
    let above = above.and_then(|record| record.descriptor.as_ref().ok());
    let is_inheritable = above.and_then(|above| above.dacl.as_ref()).is_some_and(|dacl| {
        dacl.aces.iter().any(|ace| ace.has_flags(ace_flags::CONTAINER_INHERIT))
    });
    if is_inheritable && would_say(work, (place.hive, parent), desired) == Some(true) {
        covers!(work.covered, "INH-35");
    }
    let of_process = work.state.open_keys.iter();
    let mut of_process = of_process.filter(|((process, _), _)| *process == work.caller.process);
    let (mut lists_it, mut watches_it) = (false, false);
    for (_, open) in of_process.by_ref().filter(|(_, open)| open.hive() == place.hive) {
        lists_it |= open.key() == parent && open.granted & rights::KEY_ENUMERATE_SUB_KEYS != 0;
        let watch = work.state.watches.get(&open.description);
        watches_it |= place.chain.iter().rev().skip(1).any(|key| *key == open.key())
            && watch.is_some_and(|watch| watch.is_of_subtree());
    }
    if lists_it {
        covers!(work.covered, "IOC-077");
    }
    if watches_it {
        covers!(work.covered, "SEC-52");
    }
}

/// The SD of a link that was followed says otherwise than that of its target.
fn mark_link(work: &mut Work<'_>, is_allowed: bool, desired: u32) {
    let Some(link) = work.followed_link else { return };
    if would_say(work, link, desired).is_some_and(|by_link| by_link != is_allowed) {
        covers!(work.covered, "SEC-47");
    }
}

/// The key of the parameters was denied to somebody who wants to write it: for the writing, if that alone is
/// denied as well; and as the SD of the root has it, if reading is not.
fn mark_configuration_denied(work: &mut Work<'_>, place: &Place) {
    let key = (place.hive, place.key());
    if would_say(work, key, rights::KEY_SET_VALUE) == Some(false) {
        covers!(work.covered, "CONF-36");
        if would_say(work, key, rights::KEY_READ) == Some(true) {
            covers!(work.covered, "CONF-35");
        }
    }
}

/// What the SD of a key would say to the caller.
fn would_say(work: &Work<'_>, (hive, key): (HiveId, Guid), desired: u32) -> Option<bool> {
    let contents = work.state.contents(work.transaction, hive);
    let descriptor = contents.keys.get(&key)?.descriptor.as_ref().ok()?;
    let token = &work.caller.token;
    if access::would_allow(token, descriptor, desired) {
        return Some(true);
    }
    access::would_deny(token, descriptor, desired).then_some(false)
}

/// A creation was denied by the SD of its layer.
pub(crate) fn layer_denied(work: &mut Work<'_>, is_layer_omitted: bool) {
    covers!(work.covered, "SYS-69");
    if is_layer_omitted {
        covers!(work.covered, "SYS-70");
        if metadata(&work.state, LayerName::base().folded()).is_none() {
            covers!(work.covered, "SYS-71");
        }
    }
}

/// What a creation in a layer shows about the place at which it takes place.
pub(crate) fn created(
    work: &mut Work<'_>,
    parent: &Place,
    (name, layer): (&KeyName, &LayerName),
    flags: u32,
) {
    let database = work.state.contents(work.transaction, parent.hive);
    let entries = database.lookup(parent.key(), name.folded().as_str());
    let others = entries.into_iter().flat_map(|entries| entries.iter());
    let masked = others.filter(|(other, _)| *other != layer.folded()).filter_map(|(_, entry)| {
        match entry.target {
            Target::Key(key) => database.keys.get(&key),
            Target::Hidden => None,
        }
    });
    let kind = (flags & REG_OPTION_VOLATILE != 0, flags & REG_OPTION_CREATE_LINK != 0);
    let kinds: Vec<(bool, bool)> = masked.map(|key| (key.volatile_key, key.symlink)).collect();
    if !kinds.is_empty() {
        covers!(work.if_done, "PATH-12");
    }
    if kinds.iter().any(|other| *other != kind) {
        covers!(work.if_done, "KEY-35");
    }
    if work.state.orphan_at(parent, name) {
        covers!(work.if_done, "DEL-61");
    }
    if work.state.layers_key == Some(parent.key()) {
        covers!(work.if_done, "LAYER-37", "LAYER-52");
    }
    name_marks::key_named(name.spelling(), &mut work.if_done);
}
