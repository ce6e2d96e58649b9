//! Deleting and hiding keys, and what becomes of keys that no layer names.
//!
//! States PSD-005 §2.8 and the ioctls DELETE_KEY and HIDE_KEY of §6.3, in the order of D-13, with
//! D-60 to D-64.

use crate::abi;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, PathEntry, Target};
use crate::errno::Errno;
use crate::front_door::UserBytes;
use crate::input::Fd;
use crate::layer_commit::committed;
use crate::layers::{self, Touched};
use crate::names::LayerName;
use crate::outcome::Outcome;
use crate::resolution::Viewer;
use crate::security::rights;
use crate::state::{OpenKey, State};
use crate::step::Work;
use crate::transactions::Mutation;
use crate::transactions::enlistment::{self, Access};
use crate::values::key_request;

/// `REG_IOC_DELETE_KEY`.
pub(crate) fn delete_key(
    work: &mut Work<'_>,
    fd: Fd,
    layer: UserBytes<'_>,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let is_layer_omitted = layer.length() == 0;
    let Checked { open, parent, layer } = check(work, fd, layer, transaction, Removal::Delete)?;
    let (hive, name) = (open.hive(), open.place.name().folded());
    let everybody = Viewer::global();
    let resolver = work.state.resolver_in(work.transaction, hive, &everybody);
    if resolver.database.keys.get(&open.key()).is_some_and(|key| key.symlink) {
        covers!(work.if_done, "LINK-35");
    }
    let (children, _) = resolver
        .subkeys(open.key(), &mut work.covered)
        .map_err(|malformed| work.rejected.by(hive, malformed))?;
    let own = work.state.resolver_in(work.transaction, hive, &work.viewer);
    let own = own.subkeys(open.key(), &mut Covered::new()).map(|(children, _)| children.len());
    if !children.is_empty() {
        covers!(work.covered, "DEL-62", "DEL-65", "IOC-100", "IOC-101", "ERR-25");
        if own == Ok(0) {
            covers!(work.covered, "DEL-63");
        }
        return Err(Errno::ENOTEMPTY);
    }
    if own.is_ok_and(|count| count > 0) {
        covers!(work.if_done, "DEL-64");
    }
    let (time, key_name) = (work.time, open.place.name().clone());
    let mutation = Mutation::DeleteEntry { parent, name: key_name, layer: layer.clone(), time };
    enlistment::lock_for(work, &open.place, || mutation.clone())?;
    covers!(work.if_done, "SYS-37");
    if enlistment::enlist(work, &open.place, mutation) {
        return Ok(Outcome::Done);
    }
    let before = work.state.clone();
    let database = work.state.database_mut(hive);
    let removed = database.delete_entry(parent, name, layer.folded());
    work.requested(hive);
    if let Some(removed) = removed.as_ref().filter(|_| work.is_interrupted()) {
        // The answer is what tells that nothing names the key any more (DEL-10, P-08).
        let mut known = work.state.clone();
        name_lost(&mut known, hive, removed.target, &mut Covered::new());
        work.may_have_ended_in(known, hive);
    }
    work.state.database_mut(hive).write_time(parent, time);
    work.requested(hive);
    covers!(work.if_done, "IOC-099");
    if let Some(removed) = removed {
        covers!(work.if_done, "DEL-01");
        if is_layer_omitted {
            covers!(work.if_done, "IOC-096");
        }
        let resolver = work.state.resolver(hive, &everybody);
        let remaining = resolver.child(parent, name.as_str(), &mut Covered::new());
        if remaining.is_ok_and(|(child, _)| child.is_some()) {
            covers!(work.if_done, "DEL-09");
        }
        if let Target::Key(key) = removed.target
            && work.state.database(hive).is_orphan(key)
        {
            covers!(work.if_done, "IOC-098");
        }
        name_lost_in_call(work, hive, removed.target);
        mark_deleted(&work.state, hive, removed.target, &mut work.if_done);
        work.requested(hive);
    }
    committed(work, &before, Touched::Child(hive, parent, name), &open.place)?;
    Ok(Outcome::Done)
}

/// `REG_IOC_HIDE_KEY`.
pub(crate) fn hide_key(
    work: &mut Work<'_>,
    fd: Fd,
    layer: UserBytes<'_>,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let is_layer_omitted = layer.length() == 0;
    let Checked { open, parent, layer } = check(work, fd, layer, transaction, Removal::Hide)?;
    let (hive, name) = (open.hive(), open.place.name());
    let before = work.state.clone();
    let sequence = work.allocate_sequence()?;
    work.allocated(hive);
    let entry = PathEntry {
        name: name.clone(),
        layer,
        target: Target::Hidden,
        sequence,
        volatile_store: false,
    };
    let mutation = Mutation::HideEntry { parent, entry };
    enlistment::lock_for(work, &open.place, || mutation.clone())?;
    covers!(work.if_done, "IOC-105", "IOC-107", "SEQ-04", "PATH-18", "SYS-37");
    if work.transaction.is_some() {
        enlistment::enlist(work, &open.place, mutation);
        return Ok(Outcome::Done);
    }
    let replaced = mutation.apply(work.state.database_mut(hive));
    work.requested(hive);
    if is_layer_omitted {
        covers!(work.if_done, "IOC-104");
    }
    if let Some(target) = replaced {
        name_lost_in_call(work, hive, target);
        work.requested(hive);
    }
    committed(work, &before, Touched::Child(hive, parent, name.folded()), &open.place)?;
    Ok(Outcome::Done)
}

/// Which of the two it is.
#[derive(Clone, Copy)]
enum Removal {
    Delete,
    Hide,
}

struct Checked {
    open: OpenKey,
    parent: Guid,
    layer: LayerName,
}

/// What both ask before anything else (D-13).
fn check(
    work: &mut Work<'_>,
    fd: Fd,
    layer: UserBytes<'_>,
    transaction: Fd,
    removal: Removal,
) -> Result<Checked, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    abi::granted(work, &open, rights::DELETE)
        .inspect_err(|_| mark_right_missing(work, &open, layer, removal))?;
    let layer = abi::layer_argument(work, layer)?;
    if work.state.orphans.contains(&(open.hive(), open.key())) {
        match removal {
            Removal::Delete => covers!(work.covered, "DEL-37"),
            Removal::Hide => covers!(work.covered, "DEL-38"),
        }
        return Err(Errno::ENOENT);
    }
    let Some(parent) = open.place.parent() else {
        mark_hive_root(work, &open, transaction, removal);
        return Err(Errno::EINVAL);
    };
    layers::check_write(work, &layer, Some(&open)).inspect_err(|errno| match (errno, removal) {
        (Errno::EACCES, Removal::Delete) => covers!(work.covered, "LAUTH-19"),
        (Errno::EACCES, Removal::Hide) => covers!(work.covered, "LAUTH-21"),
        _ => {}
    })?;
    enlistment::name(work, transaction, open.hive(), Access::Mutation)?;
    enlistment::bind(work, open.hive())?;
    work.request(open.hive())?;
    work.may_look_for(open.hive(), parent);
    if work.state.undropped.contains(&(open.hive(), parent)) {
        // The parent may have been dropped, or not (P-342).
        let mut dropped = work.state.clone();
        dropped.turns_out_dropped(open.hive(), parent);
        work.otherwise.push((Outcome::Failed(Errno::ENOENT), dropped));
    }
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let has_parent = resolver.database.keys.contains_key(&parent);
    if has_parent {
        // Who else names the key is the first thing to be asked (P-45).
        let name = open.place.name().folded();
        let entries = resolver.database.lookup(parent, name.as_str());
        resolver
            .check_lookup(entries, &mut work.covered)
            .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    }
    key_request(work, &open)?;
    if !has_parent {
        // The parent was dropped from under this key (P-14).
        return Err(Errno::ENOENT);
    }
    Ok(Checked { open, parent, layer })
}

/// What is shown by an fd without DELETE.
fn mark_right_missing(work: &mut Work<'_>, open: &OpenKey, layer: UserBytes<'_>, removal: Removal) {
    match removal {
        Removal::Delete => covers!(work.covered, "IOC-095"),
        Removal::Hide => covers!(work.covered, "IOC-103"),
    }
    let is_delete = matches!(removal, Removal::Delete);
    if is_delete && layers::is_metadata_key(&work.state, open.hive(), open.key()) {
        covers!(work.covered, "LAUTH-07");
    }
    if layers::would_admit(work, layer) {
        covers!(work.covered, "LAUTH-24");
    }
}

/// What is shown by the refusal to remove a hive root. Of the two only hiding would take a number.
fn mark_hive_root(work: &mut Work<'_>, open: &OpenKey, transaction: Fd, removal: Removal) {
    match removal {
        Removal::Delete => covers!(work.covered, "DEL-03", "IOC-102"),
        Removal::Hide => covers!(work.covered, "DEL-04", "DEL-07", "IOC-109"),
    }
    if enlistment::is_unbound(work, transaction) {
        covers!(work.covered, "DEL-06");
    }
    if work.state.watches.values().any(|watch| watch.is_on(open.hive(), open.key())) {
        covers!(work.covered, "DEL-08");
    }
}

/// What follows when a path entry is gone: a key that it was the last to name is orphaned, and
/// dropped at once if nobody has it open (D-61, D-63).
pub(crate) fn name_lost(state: &mut State, hive: HiveId, target: Target, covered: &mut Covered) {
    if let Some(key) = orphaned(state, hive, target, covered) {
        dropped(state, hive, key, covered);
    }
}

/// The same in the course of a call.
fn name_lost_in_call(work: &mut Work<'_>, hive: HiveId, target: Target) {
    if let Some(key) = orphaned(&mut work.state, hive, target, &mut work.if_done) {
        dropped_in_call(work, hive, key);
    }
}

/// The first half of it: a key that is open somewhere is known for an orphan. Returns one that nobody
/// has open, which is to be dropped.
pub(crate) fn orphaned(
    state: &mut State,
    hive: HiveId,
    target: Target,
    covered: &mut Covered,
) -> Option<Guid> {
    let Target::Key(key) = target else { return None };
    if !state.database(hive).is_orphan(key) {
        return None;
    }
    if !state.is_open(hive, key) {
        return Some(key);
    }
    covers!(covered, "DEL-10", "DEL-20", "DEL-24");
    state.orphans.insert_mut((hive, key));
    None
}

/// A key that was deleted is there as it was, for those who have it open.
pub(crate) fn mark_deleted(state: &State, hive: HiveId, target: Target, covered: &mut Covered) {
    if let Target::Key(key) = target
        && state.orphans.contains(&(hive, key))
    {
        covers!(covered, "DEL-02");
    }
}

/// The second: RSI_DROP_KEY.
pub(crate) fn dropped(state: &mut State, hive: HiveId, key: Guid, covered: &mut Covered) {
    let has_values = state.database(hive).value_names(key).next().is_some();
    if has_values && !state.may_not_drop(hive) {
        covers!(covered, "DEL-46");
    }
    state.database_mut(hive).drop_key(key);
}

/// The same in the course of a call, which shows nothing of a drop that a disk may have refused (P-453, P-551).
pub(crate) fn dropped_in_call(work: &mut Work<'_>, hive: HiveId, key: Guid) {
    let mut ignored = Covered::new();
    let covered = if work.is_interrupted() { &mut ignored } else { &mut work.if_done };
    dropped(&mut work.state, hive, key, covered);
}
