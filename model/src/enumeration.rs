//! Reading a key as a whole: enumeration, batch reads, and key info.
//!
//! States the ioctls QUERY_VALUES_BATCH, ENUM_VALUES, ENUM_SUBKEYS and QUERY_KEY_INFO of PSD-005
//! §6.3, with P-04. The order of an enumeration is undefined, so an index may stand for any entry
//! that no other index has been seen to stand for since the last change.

use crate::abi;
use crate::audit_events::looked_at;
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::front_door::OutputBuffer;
use crate::input::Fd;
use crate::names::FoldedName;
use crate::observation::{NamedValue, Sizes};
use crate::outcome::{Choice, KeyInfoPattern, OneOf, Outcome, Selected};
use crate::resolution::{EffectiveValue, Resolver};
use crate::responses::{Malformed, descriptor_of};
use crate::security::{Verdict, check, rights};
use crate::state::{Enumeration, EnumerationKind, Generation, OpenKey};
use crate::step::Work;
use crate::transactions::enlistment::{self, Access};
use crate::values::{key_request, length};

/// `REG_IOC_QUERY_VALUES_BATCH`.
pub(crate) fn batch(
    work: &mut Work<'_>,
    fd: Fd,
    buffer: OutputBuffer,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let open =
        start(work, fd, transaction, rights::KEY_QUERY_VALUE, &[buffer]).inspect_err(|errno| {
            if *errno == Errno::EACCES {
                covers!(work.covered, "IOC-062", "KEY-13");
            }
        })?;
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let mut found = Covered::new();
    let (values, contest) = resolver
        .values(open.key(), &mut found)
        .inspect_err(|_| work.covered.add(&found))
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    let mut values: Vec<NamedValue> = values.iter().map(named).collect();
    work.contested(contest);
    // A packed value has three length and type fields of four bytes (ABI-23).
    let required =
        values.iter().map(|value| 12 + value.name.len() + value.data.len()).sum::<usize>();
    if length(required) > buffer.capacity {
        covers!(work.covered, "BUF-01", "BUF-06", "BUF-07", "BUF-09", "BUF-10", "BUF-17");
        covers!(work.covered, "ERR-32");
        return Ok(Outcome::TooSmall(Sizes { buffer: Some(length(required)), ..Sizes::default() }));
    }
    covers!(work.covered, "ABI-23", "BUF-18", "IOC-063");
    if values.len() > 1 {
        covers!(work.covered, "VAL-13", "IOC-065", "INH-06");
    }
    if leaves_out(&found) {
        covers!(work.covered, "IOC-064");
    }
    mark_values(found, values.iter().map(|value| &value.name[..]), &mut work.covered);
    values.sort();
    Ok(Outcome::Values(values))
}

/// `REG_IOC_ENUM_VALUES`.
pub(crate) fn values(
    work: &mut Work<'_>,
    fd: Fd,
    index: u32,
    name_buffer: OutputBuffer,
    data_buffer: OutputBuffer,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let buffers = [name_buffer, data_buffer];
    let open =
        start(work, fd, transaction, rights::KEY_QUERY_VALUE, &buffers).inspect_err(|errno| {
            if *errno == Errno::EACCES {
                covers!(work.covered, "IOC-066", "KEY-13");
            }
        })?;
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let mut found = Covered::new();
    let (values, contest) = resolver
        .values(open.key(), &mut found)
        .inspect_err(|_| work.covered.add(&found))
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    if leaves_out(&found) {
        covers!(work.covered, "IOC-068");
    }
    let names = values.iter().map(|value| value.entry.name.spelling().as_bytes());
    mark_values(found, names, &mut work.covered);
    let choices: Vec<Choice> = values
        .iter()
        .map(|value| {
            let id = value.entry.name.folded().clone();
            let value = named(value);
            let (name, data) = (length(value.name.len()), length(value.data.len()));
            let selected = if name > name_buffer.capacity || data > data_buffer.capacity {
                let (name, data) = (Some(name), Some(data));
                Selected::TooSmall(Sizes { name, data, ..Sizes::default() })
            } else {
                Selected::Value(value)
            };
            Choice { id, selected }
        })
        .collect();
    work.contested(contest);
    one_of(work, &open, (EnumerationKind::Values, &buffers), index, choices)
}

/// `REG_IOC_ENUM_SUBKEYS`.
pub(crate) fn subkeys(
    work: &mut Work<'_>,
    fd: Fd,
    index: u32,
    name_buffer: OutputBuffer,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let right = rights::KEY_ENUMERATE_SUB_KEYS;
    let open = start(work, fd, transaction, right, &[name_buffer]).inspect_err(|errno| {
        if *errno == Errno::EACCES {
            covers!(work.covered, "IOC-072");
        }
    })?;
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let (children, contest) = resolver
        .subkeys(open.key(), &mut work.covered)
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    let ignored = &mut Covered::new();
    let choices: Vec<Choice> = children
        .iter()
        .filter_map(|child| {
            let record = resolver.database.keys.get(&child.key)?;
            let name = child.entry.name.spelling();
            let size = length(name.len());
            let selected = if size > name_buffer.capacity {
                Selected::TooSmall(Sizes { name: Some(size), ..Sizes::default() })
            } else {
                let counts = counts(&resolver, child.key, ignored);
                counts.map_or(Selected::Failed(Errno::EIO), |(subkey_count, value_count)| {
                    Selected::Subkey {
                        key: child.key,
                        name: name.as_bytes().to_vec(),
                        last_write_time: record.last_write_time,
                        subkey_count,
                        value_count,
                    }
                })
            };
            Some(Choice { id: child.entry.name.folded().clone(), selected })
        })
        .collect();
    if choices.iter().any(|choice| matches!(choice.selected, Selected::Failed(_))) {
        // Where the index stands for such a subkey the rejection is reported, elsewhere not.
        work.audit.extend(looked_at(&work.state));
    }
    covers!(work.covered, "RES-33", "IOC-074");
    let mut names = children.iter().map(|child| child.entry.name.spelling().as_bytes());
    if (index as usize) < choices.len() && names.any(is_spelled) {
        covers!(work.covered, "CONV-30");
    }
    let keys: Vec<Guid> = children.iter().map(|child| child.key).collect();
    work.contested(contest);
    if let Some(key) = keys.get(index as usize) {
        // What is asked of it is open by its number: one is as good as another.
        work.may_look_for(open.hive(), *key);
    }
    if index as usize + 1 == keys.len() {
        mark_closed(work, open.hive(), &keys);
    }
    one_of(work, &open, (EnumerationKind::Subkeys, &[name_buffer]), index, choices)
}

/// How many subkeys and values a key has, which are requests of their own for the child that an
/// index stands for.
pub(crate) fn counts(
    resolver: &Resolver<'_>,
    key: Guid,
    covered: &mut Covered,
) -> Result<(u32, u32), Malformed> {
    let (subkeys, _) = resolver.subkeys(key, covered)?;
    let (values, _) = resolver.values(key, covered)?;
    Ok((length(subkeys.len()), length(values.len())))
}

/// `REG_IOC_QUERY_KEY_INFO`.
pub(crate) fn key_info(
    work: &mut Work<'_>,
    fd: Fd,
    name_buffer: OutputBuffer,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::granted(work, &open, rights::READ_CONTROL)
        .inspect_err(|_| covers!(work.covered, "IOC-078"))?;
    abi::outputs(work, &[name_buffer])?;
    let name = name_of(work, &open);
    let size = length(name.len());
    let too_small = Outcome::TooSmall(Sizes { name: Some(size), ..Sizes::default() });
    if let Err(errno) = key_request(work, &open) {
        // The kernel knows the name by itself (IOC-081) and may look at its buffer first.
        if size > name_buffer.capacity {
            work.alternatives.push(too_small);
        }
        return Err(errno);
    }
    let info = match describe(work, open.hive(), open.key(), name) {
        Ok(info) => info,
        Err(errno) => {
            // Either may be found first (P-18, P-56).
            if size > name_buffer.capacity {
                work.alternatives.push(too_small);
            }
            return Err(errno);
        }
    };
    if size > name_buffer.capacity {
        covers!(work.covered, "BUF-01", "BUF-06", "BUF-07", "BUF-09", "BUF-10", "BUF-21");
        covers!(work.covered, "ERR-32");
        return Ok(too_small);
    }
    if work.state.is_orphaned(&open) {
        covers!(work.covered, "DEL-31");
    }
    mark_info(work, &info);
    Ok(Outcome::KeyInfo(info))
}

/// What key info shows, together with what it has told of the hive before.
fn mark_info(work: &mut Work<'_>, info: &KeyInfoPattern) {
    covers!(work.covered, "IOC-079", "SEQ-23");
    let told = work.state.hives.get(&info.hive).and_then(|hive| hive.told.0);
    match (info.generation, told) {
        (Generation::AtLeast(_), _) => covers!(work.covered, "IOC-093"),
        (Generation::Exactly(now), Some((key, told))) => {
            if now > told {
                covers!(work.covered, "IOC-083", "IOC-085", "IOC-094");
            }
            if key != info.key && now == told {
                covers!(work.covered, "IOC-082");
            }
        }
        _ => {}
    }
}

/// The name of a key: the walk's (P-13), or for a hive root the hive's (P-04, P-54).
fn name_of(work: &mut Work<'_>, open: &OpenKey) -> Vec<u8> {
    let hive = work.state.hives.get(&open.hive()).filter(|_| open.place.parent().is_none());
    if hive.is_some() {
        covers!(work.if_done, "HIVE-17");
    }
    hive.map_or(open.place.name(), |hive| &hive.name).spelling().as_bytes().to_vec()
}

/// The answer of key info, as the calling thread sees the key (P-04).
fn describe(
    work: &mut Work<'_>,
    hive: HiveId,
    key: Guid,
    name: Vec<u8>,
) -> Result<KeyInfoPattern, Errno> {
    let resolver = work.state.resolver(hive, &work.viewer);
    let record = resolver.database.keys.get(&key).ok_or(Errno::ENOENT)?;
    // Three requests, in any order.
    let descriptor = descriptor_of(key, record, &mut work.covered);
    let children = resolver.subkeys(key, &mut work.covered);
    let values = resolver.values(key, &mut work.covered);
    let malformed = [descriptor.err(), children.as_ref().err().copied()];
    let malformed = malformed.into_iter().chain([values.as_ref().err().copied()]).flatten();
    if let Some(malformed) = malformed.reduce(Malformed::and) {
        return Err(work.rejected.by(hive, malformed));
    }
    let (Ok((children, contest)), Ok((values, other))) = (children, values) else {
        return Err(Errno::EIO);
    };
    // What is only written has been zeroed.
    covers!(work.covered, "ABI-13");
    let longest = |lengths: &mut dyn Iterator<Item = usize>| length(lengths.max().unwrap_or(0));
    let info = KeyInfoPattern {
        hive,
        key,
        name,
        last_write_time: record.last_write_time,
        subkey_count: length(children.len()),
        value_count: length(values.len()),
        max_subkey_name_len: longest(
            &mut children.iter().map(|child| child.entry.name.spelling().len()),
        ),
        max_value_name_len: longest(
            &mut values.iter().map(|value| value.entry.name.spelling().len()),
        ),
        max_value_data_size: longest(&mut values.iter().map(|value| value.entry.data.len())),
        sd_size: record.sd_size,
        volatile_key: record.volatile_key,
        symlink: record.symlink,
        generation: work
            .state
            .hives
            .get(&hive)
            .map_or(Generation::AtLeast(0), |hive| hive.generation),
    };
    work.contested(contest.max(other));
    Ok(info)
}

/// The checks before any of these reads.
fn start(
    work: &mut Work<'_>,
    fd: Fd,
    transaction: Fd,
    right: u32,
    buffers: &[OutputBuffer],
) -> Result<OpenKey, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    abi::granted(work, &open, right)?;
    abi::outputs(work, buffers)?;
    enlistment::name(work, transaction, open.hive(), Access::Read)?;
    key_request(work, &open)?;
    enlistment::mark_read(work);
    Ok(open)
}

fn named(value: &EffectiveValue<'_>) -> NamedValue {
    NamedValue {
        name: value.entry.name.spelling().as_bytes().to_vec(),
        value_type: value.entry.value_type,
        data: value.entry.data.to_vec(),
    }
}

/// Whether a name is not what it is compared by.
fn is_spelled(name: &[u8]) -> bool {
    name.iter().any(u8::is_ascii_uppercase)
}

/// Whether a tombstone of either kind hid a value of those that were listed.
fn leaves_out(found: &Covered) -> bool {
    found.contains("RES-25") || found.contains("RES-26")
}

/// What a list of values shows, beside what its resolution has found.
fn mark_values<'a>(
    found: Covered,
    mut names: impl Iterator<Item = &'a [u8]>,
    covered: &mut Covered,
) {
    covered.add(&found);
    if found.contains("RES-25") {
        covers!(covered, "IOC-035", "VAL-24");
    }
    if found.contains("RES-26") {
        covers!(covered, "VAL-32");
    }
    if names.any(is_spelled) {
        covers!(covered, "VAL-16");
    }
}

/// The entry at an index: one that the index has stood for already, or any that no other has.
fn one_of(
    work: &mut Work<'_>,
    open: &OpenKey,
    (kind, buffers): (EnumerationKind, &[OutputBuffer]),
    index: u32,
    mut choices: Vec<Choice>,
) -> Result<Outcome, Errno> {
    if index as usize >= choices.len() {
        match kind {
            EnumerationKind::Values => covers!(work.covered, "IOC-069", "ERR-12"),
            EnumerationKind::Subkeys => covers!(work.covered, "IOC-075", "ERR-12"),
        }
        return Err(Errno::ENOENT);
    }
    let enumeration = Enumeration {
        hive: open.hive(),
        key: open.key(),
        kind,
        transaction: work.own_contents(open.hive()),
        private_layers: work.viewer.private_layers().to_vec(),
    };
    if let Some(seen) = work.state.enumerations.get(&enumeration) {
        match seen.get(&index) {
            Some(id) => choices.retain(|choice| choice.id == *id),
            None => {
                let taken: Vec<&FoldedName> = seen.values().collect();
                choices.retain(|choice| !taken.contains(&&choice.id));
            }
        }
    }
    mark_choices(work, (kind, buffers), &choices);
    Ok(Outcome::OneOf(OneOf { enumeration, index, choices }))
}

/// What an index shows, whichever of these it stands for.
fn mark_choices(
    work: &mut Work<'_>,
    (kind, buffers): (EnumerationKind, &[OutputBuffer]),
    choices: &[Choice],
) {
    let is_too_small = |choice: &Choice| match (&choice.selected, buffers) {
        (Selected::TooSmall(Sizes { name: Some(name), data: Some(data), .. }), [first, second]) => {
            *name > first.capacity && *data > second.capacity
        }
        _ => false,
    };
    let are_both_too_small = choices.iter().all(is_too_small);
    if choices.len() > 1 {
        covers!(work.covered, "IOC-070");
    }
    if choices.iter().all(|choice| matches!(choice.selected, Selected::TooSmall(_))) {
        covers!(work.covered, "BUF-01", "BUF-06", "BUF-07", "BUF-09", "BUF-10", "ERR-32");
        match kind {
            EnumerationKind::Values => covers!(work.covered, "BUF-19"),
            EnumerationKind::Subkeys => covers!(work.covered, "BUF-20"),
        }
        if are_both_too_small {
            covers!(work.covered, "BUF-08");
        }
    }
    if choices.iter().all(|choice| matches!(choice.selected, Selected::Value(_))) {
        covers!(work.covered, "IOC-067");
    }
    if choices.iter().all(|choice| matches!(choice.selected, Selected::Subkey { .. })) {
        covers!(work.covered, "IOC-073");
    }
}

/// How many children [`mark_closed`] looks at.
const CHILDREN_COMPARED_MAX: usize = 4;

/// At the last index all children have been listed, also those to which the caller has no right.
fn mark_closed(work: &mut Work<'_>, hive: HiveId, children: &[Guid]) {
    let contents = work.state.contents(work.transaction, hive);
    let is_closed = |child: &Guid| {
        let descriptor =
            contents.keys.get(child).and_then(|record| record.descriptor.as_ref().ok());
        descriptor.is_some_and(|descriptor| {
            let ignored = &mut Covered::new();
            let most = check(&work.caller.token, descriptor, rights::MAXIMUM_ALLOWED, ignored);
            most.verdict == Verdict::Allowed && most.granted == 0
        })
    };
    if children.iter().take(CHILDREN_COMPARED_MAX).any(is_closed) {
        covers!(work.covered, "IOC-076");
    }
}
