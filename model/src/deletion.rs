//! Deleting and hiding keys, closing fds, and what becomes of keys that no layer names.
//!
//! States PSD-005 §2.8 and the ioctls DELETE_KEY and HIDE_KEY of §6.3, in the order of D-13, with
//! D-60 to D-64.

use crate::abi;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId, PathEntry, Target};
use crate::errno::Errno;
use crate::front_door::UserBytes;
use crate::input::Fd;
use crate::layers::{self, Touched};
use crate::names::LayerName;
use crate::outcome::Outcome;
use crate::resolution::Viewer;
use crate::security::rights;
use crate::state::{OpenKey, State};
use crate::step::Work;
use crate::values::key_request;

/// `REG_IOC_DELETE_KEY`.
pub(crate) fn delete_key(
    work: &mut Work<'_>,
    fd: Fd,
    layer: UserBytes<'_>,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let Checked { open, parent, layer } = check(work, fd, layer, transaction)?;
    let (hive, name) = (open.hive(), open.place.name().folded());
    let everybody = Viewer::global();
    let children = work.state.resolver(hive, &everybody).subkeys(open.key(), &mut work.covered)?.0;
    if !children.is_empty() {
        covers!(work.covered, "DEL-62", "DEL-65", "IOC-100", "IOC-101", "ERR-25");
        return Err(Errno::ENOTEMPTY);
    }
    let before = work.state.clone();
    let database = work.state.database_mut(hive);
    let removed = database.delete_entry(parent, name, layer.folded());
    covers!(work.covered, "IOC-099", "SYS-37");
    work.requested(hive);
    let time = work.time;
    work.state.database_mut(hive).write_time(parent, time);
    work.requested(hive);
    if let Some(removed) = removed {
        covers!(work.covered, "DEL-01");
        if work.state.database(hive).lookup(parent, name.as_str()).is_some() {
            covers!(work.covered, "DEL-09");
        }
        name_lost(&mut work.state, hive, removed.target, &mut work.covered);
    }
    layers::committed(work, &before, Touched::Child(hive, parent, name))?;
    Ok(Outcome::Done)
}

/// `REG_IOC_HIDE_KEY`.
pub(crate) fn hide_key(
    work: &mut Work<'_>,
    fd: Fd,
    layer: UserBytes<'_>,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let Checked { open, parent, layer } = check(work, fd, layer, transaction)?;
    let (hive, name) = (open.hive(), open.place.name());
    let before = work.state.clone();
    let sequence = work.allocate_sequence()?;
    work.requested(hive);
    covers!(work.covered, "IOC-105", "IOC-107", "SEQ-04", "PATH-18", "SYS-37");
    let database = work.state.database_mut(hive);
    let replaced = database.delete_entry(parent, name.folded(), layer.folded());
    let entry = PathEntry {
        name: name.clone(),
        layer,
        target: Target::Hidden,
        sequence,
        volatile_store: false,
    };
    database.put_entry(parent, entry);
    work.requested(hive);
    if let Some(replaced) = replaced {
        name_lost(&mut work.state, hive, replaced.target, &mut work.covered);
    }
    layers::committed(work, &before, Touched::Child(hive, parent, name.folded()))?;
    Ok(Outcome::Done)
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
) -> Result<Checked, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    abi::granted(work, &open, rights::DELETE)?;
    if layer.length() == 0 {
        covers!(work.covered, "IOC-096", "IOC-104");
    }
    let layer = abi::layer_argument(work, layer)?;
    if work.state.orphans.contains(&(open.hive(), open.key())) {
        covers!(work.covered, "DEL-37", "DEL-38");
        return Err(Errno::ENOENT);
    }
    let Some(parent) = open.place.parent() else {
        covers!(work.covered, "DEL-03", "DEL-04", "DEL-07", "IOC-102", "IOC-109");
        return Err(Errno::EINVAL);
    };
    layers::check_write(work, &layer)
        .inspect_err(|_| covers!(work.covered, "LAUTH-19", "LAUTH-21"))?;
    abi::transaction(work, transaction)?;
    key_request(work, &open)?;
    if !work.state.database(open.hive()).keys.contains_key(&parent) {
        // The parent was dropped from under this key (P-14).
        covers!(work.covered, "FAIL-15");
        return Err(Errno::ENOENT);
    }
    Ok(Checked { open, parent, layer })
}

/// `close` on a key fd.
pub(crate) fn close(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    covers!(work.covered, "SYS-04");
    work.state.open_keys.remove_mut(&(work.caller.process, fd));
    covers!(work.covered, "SYS-04");
    let (hive, key) = (open.hive(), open.key());
    if work.state.orphans.contains(&(hive, key)) && !work.state.is_open(hive, key) {
        work.state.orphans.remove_mut(&(hive, key));
        if work.state.is_active(hive) {
            covers!(work.covered, "DEL-23", "DEL-33", "DEL-45", "DEL-66");
            work.state.database_mut(hive).drop_key(key);
        } else {
            covers!(work.covered, "DEL-49", "DEL-51");
        }
    }
    Ok(Outcome::Done)
}

/// What follows when a path entry is gone: a key that it was the last to name is orphaned, and
/// dropped at once if nobody has it open (D-61, D-63).
pub(crate) fn name_lost(state: &mut State, hive: HiveId, target: Target, covered: &mut Covered) {
    let Target::Key(key) = target else { return };
    if !state.database(hive).is_orphan(key) {
        return;
    }
    if state.is_open(hive, key) {
        covers!(covered, "DEL-02", "DEL-10", "DEL-20", "DEL-24", "IOC-098");
        state.orphans.insert_mut((hive, key));
    } else {
        covers!(covered, "DEL-46");
        state.database_mut(hive).drop_key(key);
    }
}
