//! Opening and creating keys.
//!
//! States PSD-005 §6.2 (`reg_open_key`, `reg_create_key`) with §2.4 ("Key creation"), in the
//! order of D-10 and D-20 to D-29.

use std::sync::Arc;

use crate::abi::{
    self, NO_FD, REG_CREATED_NEW, REG_OPEN_LINK, REG_OPENED_EXISTING, REG_OPTION_CREATE_LINK,
    REG_OPTION_VOLATILE,
};
use crate::access;
use crate::coverage::covers;
use crate::database::{Guid, HiveId, KeyRecord, PathEntry, Target};
use crate::errno::Errno;
use crate::front_door::UserString;
use crate::hives::{LastLink, Walk, walk, without_alias};
use crate::input::Fd;
use crate::layer_commit::committed_as;
use crate::layers;
use crate::name_marks;
use crate::names::{KeyName, LayerName, parse_path};
use crate::open_marks;
use crate::outcome::{Opened, Outcome};
use crate::responses::descriptor_of;
use crate::security::{
    Privilege, SecurityDescriptor, check_desired_access, inherit, rights, well_known,
};
use crate::state::{DescriptionId, OpenKey, Origin, Place, Witness};
use crate::step::{Asked, Work};
use crate::transactions::Mutation;
use crate::transactions::enlistment::{self, Access};
use crate::values::{REG_LINK, length};

/// The arguments of `reg_create_key` beside its path.
pub(crate) struct Create<'a> {
    pub(crate) desired_access: u32,
    pub(crate) flags: u32,
    pub(crate) layer: Option<UserString<'a>>,
    pub(crate) transaction: Fd,
}

/// `reg_open_key`.
pub(crate) fn open(
    work: &mut Work<'_>,
    parent: Fd,
    path: UserString<'_>,
    desired_access: u32,
    flags: u32,
) -> Result<Outcome, Errno> {
    check_access_argument(work, desired_access)?;
    if flags & !REG_OPEN_LINK != 0 {
        covers!(work.covered, "SYS-25", "ABI-15");
        return Err(Errno::EINVAL);
    }
    if flags == REG_OPEN_LINK {
        covers!(work.covered, "CONST-24");
    }
    let last_link = if flags & REG_OPEN_LINK != 0 { LastLink::Open } else { LastLink::Follow };
    let walked = walk_argument(work, parent, path, last_link, None).inspect_err(|errno| {
        if *errno == Errno::ETIMEDOUT {
            covers!(work.covered, "SYS-46");
        }
    })?;
    match walked {
        Walk::Found(place) => {
            covers!(work.covered, "SYS-14");
            finish_open(work, place, desired_access, None)
        }
        Walk::LastMissing { .. } => {
            covers!(work.covered, "SYS-15", "ERR-12");
            Err(Errno::ENOENT)
        }
    }
}

/// `reg_create_key`.
pub(crate) fn create(
    work: &mut Work<'_>,
    parent: Fd,
    path: UserString<'_>,
    create: &Create<'_>,
) -> Result<Outcome, Errno> {
    check_access_argument(work, create.desired_access)?;
    if create.flags & !(REG_OPTION_VOLATILE | REG_OPTION_CREATE_LINK) != 0 {
        covers!(work.covered, "SYS-59", "ABI-15");
        return Err(Errno::EINVAL);
    }
    // An open first, with the open's errors (D-21).
    let walked = walk_argument(work, parent, path, LastLink::Follow, Some(create.transaction))
        .inspect_err(|errno| match errno {
            // A component before the last is missing.
            Errno::ENOENT if work.covered.contains("KEY-38") => {
                covers!(work.covered, "SYS-65", "SYS-66");
            }
            Errno::EIO => covers!(work.covered, "SYS-88"),
            Errno::ETIMEDOUT => covers!(work.covered, "SYS-87"),
            Errno::ENAMETOOLONG => covers!(work.covered, "SYS-52", "SYS-86"),
            Errno::EINVAL if work.covered.contains("SYS-44") => {
                covers!(work.covered, "SYS-52", "SYS-67");
            }
            _ => covers!(work.covered, "SYS-52"),
        })?;
    match walked {
        Walk::Found(place) => {
            covers!(work.if_done, "SYS-53", "SYS-54");
            mark_ignored_arguments(work, &place, create);
            finish_open(work, place, create.desired_access, Some(REG_OPENED_EXISTING))
        }
        Walk::LastMissing { parent, name } => create_child(work, parent, name, create),
    }
}

/// What an existing key makes of the arguments that only a creation looks at.
fn mark_ignored_arguments(work: &mut Work<'_>, place: &Place, create: &Create<'_>) {
    if create.layer.is_some() {
        covers!(work.if_done, "SYS-57");
    }
    let contents = work.state.contents(work.transaction, place.hive);
    let Some(record) = contents.keys.get(&place.key()) else { return };
    if record.volatile_key != (create.flags & REG_OPTION_VOLATILE != 0) {
        covers!(work.if_done, "KEY-33");
    }
    if record.symlink != (create.flags & REG_OPTION_CREATE_LINK != 0) {
        covers!(work.if_done, "KEY-34");
    }
    let layers_key = work.state.layers_key;
    let is_respelled = record.name.spelling() != place.name().spelling();
    if record.parent.is_some() && record.parent == layers_key && is_respelled {
        covers!(work.if_done, "LAYER-28");
    }
}

fn check_access_argument(work: &mut Work<'_>, desired_access: u32) -> Result<(), Errno> {
    if desired_access & rights::MAXIMUM_ALLOWED != 0 {
        covers!(work.if_done, "CONST-29");
    }
    for (bit, mask) in [
        (rights::GENERIC_READ, rights::KEY_READ),
        (rights::GENERIC_WRITE, rights::KEY_WRITE),
        (rights::GENERIC_ALL, rights::KEY_ALL_ACCESS),
    ] {
        if desired_access & bit != 0 {
            covers!(work.if_done, "CONST-30");
        }
        if desired_access == bit || desired_access == mask {
            match mask {
                rights::KEY_READ => covers!(work.if_done, "CONST-31"),
                rights::KEY_WRITE => covers!(work.if_done, "CONST-32"),
                _ => covers!(work.if_done, "CONST-33"),
            }
        }
    }
    let asked = check_desired_access(desired_access);
    match (asked, desired_access) {
        (Ok(()), _) => mark_access_asked(work, desired_access),
        (Err(_), 0) => covers!(work.covered, "SEC-29", "SEC-32", "SEC-33"),
        (Err(_), _) => covers!(work.covered, "SEC-30", "SEC-32", "SEC-33", "SD-43"),
    }
    if desired_access & SYNCHRONIZE != 0 {
        covers!(work.covered, "SEC-31", "CONST-37");
    }
    asked.inspect_err(|_| covers!(work.covered, "CONST-34", "ERR-16"))
}

/// `SYNCHRONIZE`, which keys do not have.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// Which kinds of bits a good mask has.
fn mark_access_asked(work: &mut Work<'_>, desired_access: u32) {
    let has = |bit| desired_access & bit != 0;
    covers!(work.if_done, "SEC-28");
    if has(rights::GENERIC_READ) {
        covers!(work.if_done, "SEC-20", "SEC-25", "SEC-27");
    }
    if has(rights::GENERIC_WRITE) {
        covers!(work.if_done, "SEC-21", "SEC-25", "SEC-27");
    }
    if has(rights::GENERIC_ALL) {
        covers!(work.if_done, "SEC-22", "SEC-25", "SEC-27");
    }
    if has(rights::GENERIC_EXECUTE) {
        covers!(work.if_done, "SEC-23", "SEC-25", "SEC-27");
    }
    if [rights::KEY_READ, rights::KEY_WRITE, rights::KEY_ALL_ACCESS].contains(&desired_access) {
        covers!(work.if_done, "SEC-24");
    }
}

/// Steps 1 to 4 of an open, in the order of D-10 and P-31: the path and its form, the disposition's
/// address, the parent fd, the walk. A creation names a transaction.
fn walk_argument(
    work: &mut Work<'_>,
    parent: Fd,
    path: UserString<'_>,
    last_link: LastLink,
    creation: Option<Fd>,
) -> Result<Walk, Errno> {
    covers!(work.covered, "SEC-03");
    let path = abi::copied_string(work, path)?;
    let start = if parent == NO_FD { None } else { Some(abi::parent_fd(work, parent)) };
    // The depth of a parent that is no key fd is nobody's; the path is still looked at first.
    let depth = start.as_ref().map(|fd| {
        fd.as_ref().map_or(0, |fd| u32::try_from(fd.place.path.len()).unwrap_or(u32::MAX))
    });
    let limits = &work.state.limits;
    let components = parse_path(path, limits, depth).inspect_err(|errno| {
        name_marks::path_refused(path, *errno, limits, depth, &mut work.covered);
    })?;
    name_marks::path_accepted(path, limits, &mut work.covered);
    let components = if start.is_none() { without_alias(work, components)? } else { components };
    abi::outputs(work, &[])?;
    let Some(start) = start else {
        covers!(work.covered, "SYS-16", "HIVE-19");
        return walk(work, None, &components, last_link);
    };
    let OpenKey { place: start, granted, .. } = start?;
    work.walk_start = Some(start.key());
    if granted & !rights::KEY_SET_VALUE == 0 || granted & !rights::KEY_QUERY_VALUE == 0 {
        covers!(work.covered, "SYS-18");
    }
    if work.state.orphans.contains(&(start.hive, start.key())) {
        match creation {
            None => covers!(work.covered, "DEL-35"),
            Some(_) => covers!(work.covered, "DEL-36"),
        }
        if creation.is_some() && components.len() == 1 {
            covers!(work.covered, "DEL-34");
        }
        return Err(Errno::ENOENT);
    }
    covers!(work.covered, "SYS-17", "SYS-33");
    if components[0].folded().as_str() == "currentuser" {
        covers!(work.covered, "HIVE-11", "SYS-21");
    }
    if let Some(transaction) = creation {
        enlistment::walk_within(work, &start, transaction);
    }
    walk(work, Some(&start), &components, last_link)
}

/// Steps 5 and 6 of an open: the access check on the key found, and its fd.
fn finish_open(
    work: &mut Work<'_>,
    place: Place,
    desired_access: u32,
    disposition: Option<u32>,
) -> Result<Outcome, Errno> {
    let contents = work.state.contents(work.transaction, place.hive);
    let Some(record) = contents.keys.get(&place.key()) else {
        // A key that went away under the fd that the walk began from (P-06).
        return Err(Errno::ENOENT);
    };
    let symlink = record.symlink;
    let descriptor = descriptor_of(place.key(), record, &mut work.covered)
        .map_err(|malformed| work.rejected.by(place.hive, malformed))?;
    mark_default_link(work, &place, symlink);
    let key = (place.hive, place.key());
    let opened_as = access::open(work, key, &descriptor, desired_access);
    open_marks::decided(work, &place, &descriptor, desired_access, opened_as);
    let granted = opened_as?;
    if granted & !desired_access != 0 {
        // Generic bits were mapped, or whatever can be granted was asked for.
        covers!(work.if_done, "KEY-04");
    }
    if disposition.is_some() {
        covers!(work.if_done, "CONST-26");
    }
    Ok(opened(work, place, &descriptor, granted, disposition))
}

/// A REG_LINK default value makes no link of a key without the symlink flag.
fn mark_default_link(work: &mut Work<'_>, place: &Place, symlink: bool) {
    let default = work.state.contents(work.transaction, place.hive).value(place.key(), "");
    let mut entries = default.into_iter().flat_map(|entries| entries.values());
    if !symlink && entries.any(|entry| entry.value_type == REG_LINK) {
        covers!(work.if_done, "LINK-16");
    }
}

fn opened(
    work: &Work<'_>,
    place: Place,
    descriptor: &Arc<SecurityDescriptor>,
    granted: u32,
    disposition: Option<u32>,
) -> Outcome {
    let origin = Origin {
        process: work.caller.process,
        token: work.caller.token.clone(),
        descriptor: descriptor.clone(),
        link: work.followed_link,
        start: work.walk_start,
        resumptions: work.state.resumptions(place.hive),
    };
    Outcome::Opened(Opened {
        process: work.caller.process,
        key: OpenKey {
            // Its own from the answer on.
            description: DescriptionId(work.state.next_description),
            place: Arc::new(place),
            granted,
            origin: Witness(Arc::new(origin)),
        },
        disposition,
    })
}

/// Creates the last component of a path below a parent that exists (D-23).
fn create_child(
    work: &mut Work<'_>,
    parent: Place,
    name: KeyName,
    create: &Create<'_>,
) -> Result<Outcome, Errno> {
    let (layer, descriptor) = authorize_creation(work, &parent, &name, create)?;
    let guid = work.state.fresh_guid();
    let sequence = work.allocate_sequence()?;
    covers!(work.if_done, "SYS-75");
    let before = work.state.clone();
    work.allocated(parent.hive);
    let mut place = parent.clone();
    place.chain.push(guid);
    place.path.push(name.clone());
    if let Err(errno) = enlistment::lock(work, parent.hive) {
        let covered = work.covered;
        let kept = requests(work, &parent, &name, layer, guid, sequence, &descriptor, create);
        work.covered = covered;
        if let Ok(mutation) = kept {
            work.may_be_kept(&Arc::new(place), mutation);
        }
        return Err(errno);
    }
    let mutation = requests(work, &parent, &name, layer, guid, sequence, &descriptor, create)
        .inspect_err(|_| enlistment::refused(work, parent.hive))?;
    let touched = layers::Touched::Child(parent.hive, parent.key(), name.folded());
    let outcome = match access::foreseen(work, &descriptor, create.desired_access) {
        Ok(granted) => opened(work, place.clone(), &descriptor, granted, Some(REG_CREATED_NEW)),
        Err(denied) => Outcome::Failed(denied),
    };
    if work.transaction.is_some() {
        enlistment::enlist(work, &Arc::new(place.clone()), mutation);
    } else {
        store(work, &parent, &mutation);
        // A refresh that fails comes before the decision (P-86).
        let telling = work.telling(place.hive, Asked::Again);
        committed_as(work, &before, touched, &place, &outcome, telling)?;
    }
    // A denial now leaves the key in place (D-23).
    access::open(work, (parent.hive, guid), &descriptor, create.desired_access).inspect_err(
        |errno| {
            if *errno == Errno::EACCES {
                covers!(work.covered, "SYS-78");
            }
        },
    )?;
    covers!(work.if_done, "SYS-51", "SYS-55", "SYS-79", "CONST-26");
    Ok(outcome)
}

/// Every check of a creation, and the new key's SD.
fn authorize_creation(
    work: &mut Work<'_>,
    parent: &Place,
    name: &KeyName,
    create: &Create<'_>,
) -> Result<(LayerName, Arc<SecurityDescriptor>), Errno> {
    let key = (parent.hive, parent.key());
    let contents = work.state.contents(work.transaction, parent.hive);
    let Some(record) = contents.keys.get(&parent.key()).cloned() else {
        return Err(Errno::ENOENT);
    };
    let above = descriptor_of(parent.key(), &record, &mut work.covered)
        .map_err(|malformed| work.rejected.by(parent.hive, malformed))?;
    let is_layer = layers::is_layers_key(&work.state, parent.hive, parent.key());
    access::to_key(work, key, &above, rights::KEY_CREATE_SUB_KEY).inspect_err(|errno| {
        match (errno, is_layer) {
            (Errno::EACCES, true) => covers!(work.covered, "SYS-68", "LAUTH-01"),
            (Errno::EACCES, false) => covers!(work.covered, "SYS-68"),
            _ => {}
        }
    })?;
    if is_layer && !work.caller.token.has_privilege(Privilege::Tcb) {
        covers!(work.if_done, "LAUTH-02", "LAUTH-16");
    }
    if record.volatile_key && create.flags & REG_OPTION_VOLATILE == 0 {
        covers!(work.covered, "KEY-15", "SYS-81");
        return Err(Errno::EINVAL);
    }
    if record.volatile_key {
        covers!(work.if_done, "KEY-16");
    }
    if create.flags & REG_OPTION_CREATE_LINK != 0 {
        authorize_link(work, key, &above)?;
    }
    let layer = match create.layer {
        None => {
            covers!(work.if_done, "SYS-58");
            LayerName::base()
        }
        Some(layer) => {
            let bytes = abi::copied_string(work, layer)?;
            LayerName::parse(bytes, &work.state.limits).inspect_err(|errno| {
                name_marks::layer_name_refused(bytes, *errno, &mut work.covered);
            })?
        }
    };
    layers::check_write(work, &layer, None).inspect_err(|errno| match errno {
        Errno::ENOENT => covers!(work.covered, "SYS-72"),
        Errno::EACCES => open_marks::layer_denied(work, create.layer.is_none()),
        _ => {}
    })?;
    layers::check_total(work, parent, name)?;
    enlistment::name(work, create.transaction, parent.hive, Access::Mutation)?;
    enlistment::bind(work, parent.hive)?;
    let descriptor = inherit(&above, &work.caller.token, &mut work.covered)?;
    covers!(work.if_done, "KEY-25", "INH-02");
    Ok((layer, Arc::new(descriptor)))
}

/// Who may create a symlink (§2.3, "Creation restriction").
///
/// # Errors
///
/// EACCES without KEY_CREATE_LINK on the parent; then EPERM with neither SeTcbPrivilege nor
/// membership of Administrators (D-23).
fn authorize_link(
    work: &mut Work<'_>,
    parent: (HiveId, Guid),
    above: &SecurityDescriptor,
) -> Result<(), Errno> {
    access::to_key(work, parent, above, rights::KEY_CREATE_LINK).inspect_err(|errno| {
        if *errno == Errno::EACCES {
            covers!(work.covered, "LINK-01", "SYS-84");
        }
    })?;
    let token = &work.caller.token;
    let is_administrator = token.is_member_of(&well_known::ADMINISTRATORS);
    match (token.has_privilege(Privilege::Tcb), is_administrator) {
        (false, false) => {
            covers!(work.covered, "LINK-02", "SYS-83", "SEC-49");
            return Err(Errno::EPERM);
        }
        (false, true) => covers!(work.covered, "SYS-85", "LINK-04", "SEC-49"),
        (true, false) => covers!(work.covered, "LINK-03", "SEC-49"),
        (true, true) => covers!(work.covered, "SEC-49"),
    }
    Ok(())
}

/// What CREATE_ENTRY and CREATE_KEY bring (SYS-76).
///
/// # Errors
///
/// ENOENT if the layer already has a key at the place, which is masked.
#[expect(clippy::too_many_arguments, reason = "the fields of the two requests")]
fn requests(
    work: &mut Work<'_>,
    parent: &Place,
    name: &KeyName,
    layer: LayerName,
    guid: Guid,
    sequence: u64,
    descriptor: &Arc<SecurityDescriptor>,
    create: &Create<'_>,
) -> Result<Mutation, Errno> {
    let database = work.state.contents(work.transaction, parent.hive);
    let held = database
        .lookup(parent.key(), name.folded().as_str())
        .and_then(|entries| entries.get(layer.folded()))
        .map(|entry| entry.target);
    if let Some(Target::Key(_)) = held {
        // The source answers RSI_ALREADY_EXISTS, and the call goes on as an open, which finds
        // nothing: the walk has just shown that the entry is masked (SYS-63), or nobody but the
        // transaction sees it (D-20).
        covers!(work.covered, "SYS-63", "SYS-64", "ERR-34");
        return Err(Errno::ENOENT);
    }
    open_marks::created(work, parent, (name, &layer), create.flags);
    let volatile_key = create.flags & REG_OPTION_VOLATILE != 0;
    if volatile_key {
        covers!(work.if_done, "SYS-60", "SYS-82", "CONST-25");
    }
    let symlink = create.flags & REG_OPTION_CREATE_LINK != 0;
    if symlink {
        covers!(work.if_done, "LINK-08", "SYS-61", "CONST-25");
    }
    let entry = PathEntry {
        name: name.clone(),
        layer,
        target: Target::Key(guid),
        sequence,
        volatile_store: volatile_key,
    };
    let record = KeyRecord {
        name: name.clone(),
        parent: Some(parent.key()),
        descriptor: Ok(descriptor.clone()),
        sd_size: length(descriptor.to_bytes()?.len()),
        last_write_time: work.time,
        volatile_key,
        symlink,
    };
    Ok(Mutation::CreateKey { parent: parent.key(), entry, key: guid, record })
}

/// Sends the requests of a creation one by one (D-24, D-29).
fn store(work: &mut Work<'_>, parent: &Place, mutation: &Mutation) {
    let Mutation::CreateKey { entry, key, record, .. } = mutation else { return };
    let (hive, folded) = (parent.hive, entry.name.folded());
    let database = work.state.database_mut(hive);
    // A HIDDEN entry of the layer makes way for the new one.
    if database.delete_entry(parent.key(), folded, entry.layer.folded()).is_some() {
        work.requested(hive);
    }
    work.state.database_mut(hive).put_entry(parent.key(), entry.clone());
    work.requested(hive);
    work.state.database_mut(hive).create_key(*key, record.clone());
    work.requested(hive);
}
