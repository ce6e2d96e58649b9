//! Paths: from the hive's name to the key, one component at a time.
//!
//! States PSD-005 §2.2 (routing, private hives before global ones, CurrentUser), §2.4 (path
//! resolution) and steps 2 to 4 of `reg_open_key` in §6.2, with D-04 and D-40. Where a link leads is in
//! `links`. Checks no access.

use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::links::{check_expanded, link_target};
use crate::name_marks;
use crate::names::{FoldedName, KeyName, parse_path};
use crate::security::Token;
use crate::state::{Gone, Hive, Place, State};
use crate::step::Work;

/// The folded name of the alias that is no hive (§2.2).
pub(crate) const CURRENT_USER: &str = "currentuser";

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

/// An absolute path of a caller with `CurrentUser` replaced by the hive and key that it stands for
/// (§2.2). Depth and lengths are checked again (D-02, P-101).
///
/// # Errors
///
/// Those of [`parse_path`] for what comes out.
pub(crate) fn without_alias(
    work: &mut Work<'_>,
    components: Vec<KeyName>,
) -> Result<Vec<KeyName>, Errno> {
    let is_alias = |name: &KeyName| name.folded().as_str() == CURRENT_USER;
    if !components.first().is_some_and(is_alias) {
        return Ok(components);
    }
    covers!(work.covered, "HIVE-07", "HIVE-08", "HIVE-09", "SYS-20", "SD-06");
    let mut path = format!("Users\\{}", work.caller.token.0.user);
    for component in &components[1..] {
        path.push('\\');
        path.push_str(component.spelling());
    }
    parse_path(path.as_bytes(), &work.state.limits, None)
}

impl State {
    /// The hive that a name leads a thread with this token to: a private hive of the first of its
    /// scopes that has one, else the global hive (§2.2, "Routing with private hives", P-100).
    pub(crate) fn route(&self, name: &FoldedName, token: &Token) -> Option<HiveId> {
        let private = token.0.scopes.iter().find_map(|scope| {
            let is_it = |hive: &Hive| hive.namespace == Some(*scope) && hive.name.folded() == name;
            self.hives.iter().find(|(_, hive)| is_it(hive)).map(|(id, _)| *id)
        });
        private.or_else(|| self.routes.get(name).copied())
    }
}

/// The hive of an absolute path (§2.2, "Routing").
///
/// # Errors
///
/// ENOENT if no such hive is registered, EIO if its source is Down.
fn route(work: &mut Work<'_>, hive: &KeyName) -> Result<Place, Errno> {
    let routed = work.state.route(hive.folded(), &work.caller.token);
    mark_private(work, hive, routed);
    let Some(id) = routed else {
        covers!(work.covered, "HIVE-21", "HIVE-25");
        if work.state.slots.is_empty() {
            covers!(work.covered, "BOOT-24");
        }
        return Err(Errno::ENOENT);
    };
    if !work.state.is_active(id) {
        covers!(work.covered, "HIVE-22", "SYS-48", "FAIL-01");
        match work.state.slot_of(id).and_then(|slot| slot.gone.0) {
            Some(Gone::Closed) => covers!(work.covered, "REG-16"),
            Some(Gone::Died) => covers!(work.covered, "REG-17"),
            Some(Gone::Refused) | None => {}
        }
        return Err(Errno::EIO);
    }
    if work.state.slots.values().any(|slot| slot.connection.is_none()) {
        covers!(work.covered, "HIVE-04");
    }
    work.request(id)?;
    if work.state.hives.size() > 1 {
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

/// What the route of a name shows about private hives.
fn mark_private(work: &mut Work<'_>, name: &KeyName, routed: Option<HiveId>) {
    let state = &work.state;
    let namespace = routed.and_then(|id| state.hives.get(&id)).map(|hive| hive.namespace);
    let is_namesake = |hive: &&Hive| hive.name.folded() == name.folded();
    let namesakes = || state.hives.values().filter(is_namesake);
    let is_global = |hive: &Hive| hive.namespace.is_none();
    let covered: &mut Covered = &mut work.covered;
    match namespace {
        Some(Some(scope)) => {
            covers!(covered, "PRIV-01", "PRIV-02", "PRIV-04", "PRIV-12", "REG-05", "SYS-31");
            if namesakes().any(is_global) {
                covers!(covered, "PRIV-07");
            }
            let carried = |hive: &Hive| {
                hive.namespace.is_some_and(|other| {
                    other != scope && work.caller.token.0.scopes.contains(&other)
                })
            };
            if namesakes().any(carried) {
                covers!(covered, "PRIV-05", "PRIV-09");
            }
        }
        Some(None) if !work.caller.token.0.scopes.is_empty() => covers!(covered, "PRIV-06"),
        None if namesakes().next().is_some() => covers!(covered, "PRIV-02", "PRIV-03", "REG-05"),
        _ => {}
    }
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
            work.may_look_for(start.hive, start.key());
            // The source knows nothing below a key that it has no record of (P-06, P-09).
            let contents = work.state.contents(work.transaction, start.hive);
            if !contents.keys.contains_key(&start.key()) {
                covers!(work.covered, "CONV-35");
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
        work.may_look_for(place.hive, place.key());
        let Some(child) = child(work, &place, &name)? else {
            mark_missing(work, &place, &name);
            if is_last && own > 0 {
                return Ok(Walk::LastMissing { parent: place, name });
            }
            if !is_last {
                covers!(work.covered, "KEY-38");
            }
            return Err(Errno::ENOENT);
        };
        if child.symlink && !(is_last && last_link == LastLink::Open) {
            hops += 1;
            if hops > work.state.limits.symlink_depth_limit {
                covers!(work.covered, "LINK-31", "SYS-45", "ERR-20", "CONF-05");
                work.state
                    .limits
                    .mark_changed(|limits| limits.symlink_depth_limit, &mut work.covered);
                if work.state.limits.differ(|limits| limits.symlink_depth_limit) {
                    covers!(work.covered, "LINK-33");
                }
                return Err(Errno::ELOOP);
            }
            covers!(work.if_done, "LINK-11", "SYS-39");
            match (is_last, last_link) {
                (true, _) => covers!(work.if_done, "SYS-35"),
                (false, LastLink::Open) => covers!(work.if_done, "SYS-36"),
                (false, LastLink::Follow) => {}
            }
            work.may_look_for(place.hive, child.key);
            let target = link_target(work, place.hive, child.key)?;
            work.followed_link = Some((place.hive, child.key));
            own = own.min(rest.len() - next);
            check_expanded(work, &target, &rest[next..])?;
            mark_target(work, &target[0], is_last);
            // What it leads to is looked up in what is committed (P-177).
            work.transaction = None;
            place = route(work, &target[0])?;
            rest = target[1..].iter().chain(&rest[next..]).cloned().collect();
            next = 0;
            continue;
        }
        if child.symlink {
            covers!(work.if_done, "LINK-34", "SEC-48", "SYS-24");
        }
        if name.folded().as_str() == CURRENT_USER {
            covers!(work.if_done, "HIVE-11", "SYS-22");
        }
        place.chain.push(child.key);
        // A lookup returns no spelling, so the walk's own stays (D-06, P-13).
        place.path.push(name);
    }
    if hops > 0 {
        covers!(work.if_done, "LINK-12", "LINK-27", "SEC-05");
    }
    if hops == work.state.limits.symlink_depth_limit {
        covers!(work.if_done, "LINK-30", "LINK-32");
    }
    Ok(Walk::Found(place))
}

/// What the first name of a link's target shows. It is routed like any other, and `CurrentUser` is
/// no alias there: a link cannot lead whoever follows it into a hive of their own.
fn mark_target(work: &mut Work<'_>, hive: &KeyName, is_last: bool) {
    covers!(work.covered, "LINK-06");
    if hive.folded().as_str() == CURRENT_USER {
        covers!(work.covered, "LINK-05", "HIVE-10", "SYS-23");
    }
    let routed = work.state.route(hive.folded(), &work.caller.token);
    if routed.and_then(|id| work.state.hives.get(&id)).is_some_and(|hive| hive.namespace.is_some())
    {
        covers!(work.covered, "LINK-07");
    }
    if is_last {
        covers!(work.covered, "LINK-11");
    }
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
    let resolver = work.state.resolver_in(work.transaction, place.hive, &work.viewer);
    let (effective, contest) = resolver
        .child(place.key(), name.folded().as_str(), &mut work.covered)
        .map_err(|malformed| work.rejected.by(place.hive, malformed))?;
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
