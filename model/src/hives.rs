//! Paths: from the hive's name to the key, one component at a time.
//!
//! States PSD-005 §2.2 (routing, global hives), §2.3 (symlinks, with D-40 and D-41), §2.4 (path
//! resolution) and steps 3 and 4 of `reg_open_key` in §6.2. Checks no access.

use crate::coverage::covers;
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::name_marks;
use crate::names::{KeyName, parse_path};
use crate::state::Place;
use crate::step::Work;
use crate::values::REG_LINK;

/// Where a path leads.
pub(crate) enum Walk {
    Found(Place),
    /// Everything but the last component of the path as the caller gave it exists.
    LastMissing {
        parent: Place,
        name: KeyName,
    },
}

/// What becomes of a symlink that is the last component.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLink {
    Follow,
    Open,
}

/// The hive of an absolute path (§2.2, "Routing").
///
/// # Errors
///
/// ENOENT if no such hive is registered, EIO if its source is Down.
fn route(work: &mut Work<'_>, hive: &KeyName) -> Result<Place, Errno> {
    let Some(id) = work.state.routes.get(hive.folded()).copied() else {
        covers!(work.covered, "HIVE-21", "HIVE-25", "BOOT-24");
        return Err(Errno::ENOENT);
    };
    if !work.state.is_active(id) {
        covers!(work.covered, "HIVE-22", "SYS-48", "REG-16", "FAIL-01");
        return Err(Errno::EIO);
    }
    if work.state.slots.values().any(|slot| slot.connection.is_none()) {
        covers!(work.covered, "HIVE-04");
    }
    work.request(id)?;
    if work.state.routes.size() > 1 {
        covers!(work.covered, "HIVE-19", "HIVE-20", "REG-38");
    }
    let registered = work.state.hives.get(&id).map_or_else(|| hive.clone(), |h| h.name.clone());
    if registered.spelling() != hive.spelling() {
        covers!(work.covered, "HIVE-16");
        name_marks::spellings_matched(registered.spelling(), hive.spelling(), &mut work.covered);
    }
    if !matches!(hive.folded().as_str(), "machine" | "users") {
        covers!(work.covered, "HIVE-25", "HIVE-26");
    }
    Ok(Place { hive: id, chain: vec![work.state.database(id).root], path: vec![registered] })
}

/// Walks from `start`, or from the hive that the first component names.
///
/// # Errors
///
/// ENOENT, EIO, and for symlinks EINVAL and ELOOP.
pub(crate) fn walk(
    work: &mut Work<'_>,
    start: Option<&Place>,
    components: &[KeyName],
    last_link: LastLink,
) -> Result<Walk, Errno> {
    let (mut place, mut rest) = match start {
        Some(start) => {
            work.request(start.hive)?;
            // The source knows nothing below a key that it has no record of (P-06, P-09).
            if !work.state.database(start.hive).keys.contains_key(&start.key()) {
                covers!(work.covered, "FAIL-15", "CONV-35");
                return Err(Errno::ENOENT);
            }
            (start.clone(), components.to_vec())
        }
        None => (route(work, &components[0])?, components[1..].to_vec()),
    };
    let mut hops = 0;
    // How many components at the end of `rest` stand in the caller's own path.
    let mut own = rest.len();
    let mut next = 0;
    while let Some(name) = rest.get(next).cloned() {
        next += 1;
        let is_last = next == rest.len();
        let Some(child) = child(work, &place, &name)? else {
            mark_missing(work, &place, &name);
            if is_last && own > 0 {
                return Ok(Walk::LastMissing { parent: place, name });
            }
            covers!(work.covered, "KEY-38");
            return Err(Errno::ENOENT);
        };
        if child.symlink && !(is_last && last_link == LastLink::Open) {
            hops += 1;
            if hops > work.state.limits.symlink_depth_limit {
                covers!(work.covered, "LINK-31", "SYS-45");
                return Err(Errno::ELOOP);
            }
            covers!(work.covered, "LINK-11", "SYS-39");
            let target = link_target(work, place.hive, child.key)?;
            own = own.min(rest.len() - next);
            check_expanded(work, &target, &rest[next..])?;
            place = route(work, &target[0])?;
            rest = target[1..].iter().chain(&rest[next..]).cloned().collect();
            next = 0;
            continue;
        }
        if name.folded().as_str() == "currentuser" {
            covers!(work.covered, "HIVE-11", "SYS-22");
        }
        place.chain.push(child.key);
        // A lookup returns no spelling, so the walk's own stays (D-06, P-13).
        place.path.push(name);
    }
    Ok(Walk::Found(place))
}

/// What a miss shows: an orphan that has no name any more, or a likeness that does not count.
fn mark_missing(work: &mut Work<'_>, place: &Place, name: &KeyName) {
    if work.state.orphan_at(place, name) {
        covers!(work.covered, "DEL-22");
    }
    let siblings = work.state.database(place.hive).children(place.key());
    let siblings = siblings.map(|(folded, _)| folded.as_str());
    name_marks::missed(name.folded().as_str(), siblings, &mut work.covered);
}

struct Child {
    key: Guid,
    symlink: bool,
}

/// One component of a walk (SYS-34).
///
/// # Errors
///
/// EIO if the source returns malformed data for it.
fn child(work: &mut Work<'_>, place: &Place, name: &KeyName) -> Result<Option<Child>, Errno> {
    let resolver = work.state.resolver(place.hive, &work.viewer);
    let (effective, contest) =
        resolver.child(place.key(), name.folded().as_str(), &mut work.covered)?;
    if let Some(stored) = effective.as_ref().map(|child| child.entry.name.spelling())
        && stored != name.spelling()
    {
        covers!(work.covered, "CONV-29", "KEY-22");
        name_marks::spellings_matched(stored, name.spelling(), &mut work.covered);
    }
    let child = effective.map(|child| Child {
        key: child.key,
        symlink: resolver.database.keys.get(&child.key).is_some_and(|key| key.symlink),
    });
    work.contested(contest);
    Ok(child)
}

/// The path to which a symlink key leads (§2.3, "Target resolution").
fn link_target(work: &mut Work<'_>, hive: HiveId, key: Guid) -> Result<Vec<KeyName>, Errno> {
    let resolver = work.state.resolver(hive, &work.viewer);
    let (value, _) = resolver.value(key, "", &mut work.covered)?;
    let Some(data) =
        value.filter(|value| value.entry.value_type == REG_LINK).map(|v| v.entry.data.clone())
    else {
        covers!(work.covered, "LINK-13", "SYS-43");
        return Err(Errno::EINVAL);
    };
    covers!(work.covered, "LINK-09");
    parse_path(&data, &work.state.limits, None).map_err(|_| {
        covers!(work.covered, "LINK-18", "LINK-20", "LINK-22", "LINK-23");
        Errno::EINVAL
    })
}

/// Depth and length of a path in which a link has been replaced by its target (D-02).
fn check_expanded(work: &Work<'_>, target: &[KeyName], rest: &[KeyName]) -> Result<(), Errno> {
    let limits = &work.state.limits;
    let whole = || target.iter().chain(rest);
    if whole().count() > limits.max_key_depth as usize {
        return Err(Errno::EINVAL);
    }
    let length: usize = whole().map(|name| name.spelling().len() + 1).sum::<usize>() - 1;
    if length > limits.max_total_path_length as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}
