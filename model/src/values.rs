//! Values: reading one, and writing, deleting, masking them in a layer.
//!
//! States PSD-005 §2.5 and the ioctls QUERY_VALUE, SET_VALUE, DELETE_VALUE, BLANKET_TOMBSTONE and
//! FLUSH of §6.3, in the order of D-11 and D-12.

use crate::abi;
use crate::configuration::is_configuration_key;
use crate::configuration_reading::is_refused;
use crate::coverage::{Covered, covers};
use crate::database::ValueEntry;
use crate::errno::Errno;
use crate::front_door::{OutputBuffer, UserBytes};
use crate::in_flight::{Kind, Sent};
use crate::input::Fd;
use crate::layer_commit::committed_as;
use crate::layers::{self, Touched};
use crate::name_marks;
use crate::names::{LayerName, ValueName, parse_path};
use crate::observation::Sizes;
use crate::outcome::Outcome;
use crate::removal_marks;
use crate::resolution::Effective;
use crate::security::{Privilege, rights};
use crate::state::{Generation, OpenKey, State};
use crate::step::{Asked, Work};
use crate::transactions::enlistment::{self, Access};
use crate::transactions::{Mutation, TransactionId};
use crate::{value_marks, watches};

/// `REG_BINARY`.
pub const REG_BINARY: u32 = 3;
/// `REG_DWORD`.
pub const REG_DWORD: u32 = 4;
/// `REG_LINK`.
pub const REG_LINK: u32 = 6;
/// `REG_QWORD`, the highest type that a caller may see.
pub const REG_QWORD: u32 = 11;
/// `REG_TOMBSTONE`.
pub const REG_TOMBSTONE: u32 = 0xFFFF;

/// The arguments of `REG_IOC_SET_VALUE`.
pub(crate) struct Write<'a> {
    pub(crate) name: UserBytes<'a>,
    pub(crate) value_type: u32,
    pub(crate) data: UserBytes<'a>,
    pub(crate) layer: UserBytes<'a>,
    pub(crate) transaction: Fd,
    pub(crate) expected_sequence: u64,
}

/// `REG_IOC_QUERY_VALUE`.
pub(crate) fn query(
    work: &mut Work<'_>,
    fd: Fd,
    name: UserBytes<'_>,
    transaction: Fd,
    data_buffer: OutputBuffer,
    layer_buffer: OutputBuffer,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    abi::granted(work, &open, rights::KEY_QUERY_VALUE)
        .inspect_err(|_| covers!(work.covered, "IOC-021", "KEY-13"))?;
    let name = value_name(work, name)?;
    abi::outputs(work, &[data_buffer, layer_buffer])?;
    enlistment::name(work, transaction, open.hive(), Access::Read)?;
    key_request(work, &open).inspect_err(|errno| {
        if *errno == Errno::ETIMEDOUT && work.sent == Some(Sent::Surely) {
            work.state.note_value_read(open.hive(), open.key(), name.folded());
        }
    })?;
    enlistment::mark_read(work);
    if work.state.is_orphaned(&open) {
        covers!(work.if_done, "DEL-25");
    }
    mark_isolation(work, &open, &name);
    value_marks::by_precedence(work, &open, &name);
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let (effective, contest) = resolver
        .effective(open.key(), name.folded().as_str(), &mut work.covered)
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    match effective {
        Effective::Value(_) => {}
        Effective::Tombstone => covers!(work.covered, "IOC-027", "IOC-035", "VAL-24"),
        Effective::Blanket { masks: true } => covers!(work.covered, "IOC-028"),
        Effective::Blanket { masks: false } => {}
        Effective::Nothing => covers!(work.covered, "IOC-029"),
    }
    let Some(value) = effective.value() else {
        work.contested(contest);
        covers!(work.covered, "ERR-12");
        return Err(Errno::ENOENT);
    };
    let (entry, layer) = (value.entry.clone(), value.layer.name.clone());
    work.contested(contest);
    let (data_size, layer_size) = (length(entry.data.len()), length(layer.spelling().len()));
    let (data_fits, layer_fits) =
        (data_size <= data_buffer.capacity, layer_size <= layer_buffer.capacity);
    if !data_fits || !layer_fits {
        covers!(work.covered, "BUF-01", "BUF-06", "BUF-07", "BUF-09", "BUF-10", "ERR-32");
        match (!data_fits, !layer_fits) {
            (true, true) => covers!(work.covered, "BUF-08", "BUF-16"),
            (true, false) => covers!(work.covered, "BUF-14"),
            _ => covers!(work.covered, "BUF-15"),
        }
        let (data, layer) = (Some(data_size), Some(layer_size));
        return Ok(Outcome::TooSmall(Sizes { data, layer, ..Sizes::default() }));
    }
    value_marks::read(&entry, &layer, &name, &mut work.if_done);
    mark_refused(work, &open, &entry);
    Ok(Outcome::Value {
        value_type: entry.value_type,
        data: entry.data,
        sequence: entry.sequence,
        layer: layer.spelling().to_owned(),
    })
}

/// A parameter that is not used reads as it was written.
fn mark_refused(work: &mut Work<'_>, open: &OpenKey, entry: &ValueEntry) {
    let is_global = work.transaction.is_none() && work.caller.token.0.private_layers.is_empty();
    if is_global
        && is_configuration_key(&work.state, open.key())
        && is_refused(&entry.name, entry.value_type, &entry.data)
    {
        covers!(work.if_done, "CONF-33");
    }
}

/// `REG_IOC_SET_VALUE`.
pub(crate) fn set(work: &mut Work<'_>, fd: Fd, write: &Write<'_>) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(write.transaction)?;
    abi::granted(work, &open, rights::KEY_SET_VALUE).inspect_err(|_| {
        covers!(work.covered, "IOC-030", "KEY-13");
        mark_right_missing(work, &open, write.layer);
    })?;
    let name = value_name(work, write.name)?;
    let layer = abi::layer_argument(work, write.layer)?;
    check_type(work, write)?;
    if write.data.length() > work.state.limits.max_value_size as usize {
        covers!(work.covered, "VAL-57", "IOC-046", "ERR-24", "CONF-06");
        work.state.limits.mark_changed(|limits| limits.max_value_size, &mut work.covered);
        if work.state.limits.differ(|limits| limits.max_value_size) {
            covers!(work.covered, "VAL-56");
        } else if work.state.configuration_key.is_none() {
            covers!(work.covered, "BOOT-25");
        }
        return Err(Errno::ENOSPC);
    }
    layers::check_write(work, &layer, Some(&open)).inspect_err(|errno| {
        match (errno, write.value_type) {
            (Errno::EACCES, REG_TOMBSTONE) => covers!(work.covered, "LAUTH-20"),
            (Errno::EACCES, _) => covers!(work.covered, "LAUTH-17"),
            _ => {}
        }
    })?;
    let data = abi::copied(work, write.data)?;
    value_marks::write_accepted(
        write.value_type,
        data,
        &name,
        &work.state.limits,
        &mut work.if_done,
    );
    check_precedence(work, &open, &name, write.value_type, data)?;
    enlistment::name(work, write.transaction, open.hive(), Access::Mutation)?;
    key_request(work, &open)?;
    if work.state.is_orphaned(&open) {
        covers!(work.if_done, "DEL-26");
    }
    if !work.state.beforehand.is_admitted {
        admit(work, &open, &name, &layer)?;
    }
    let database = work.state.contents(work.transaction, open.hive());
    let entries = database.value(open.key(), name.folded().as_str());
    let own = entries.and_then(|entries| entries.get(layer.folded())).map(|entry| entry.sequence);
    let is_another = own.is_some_and(|own| is_another_effective(work, &open, &name, own));
    let before = work.state.clone();
    let sequence = work.allocate_sequence()?;
    work.allocated(open.hive());
    enlistment::bind(work, open.hive())?;
    let value_type = write.value_type;
    let entry = ValueEntry { name, layer, value_type, data: data.into(), sequence };
    let (key, time) = (open.key(), work.time);
    let mutation = Mutation::SetValue { key, entry: entry.clone(), time };
    let is_refused = write.expected_sequence != 0 && own != Some(write.expected_sequence);
    if is_refused {
        enlistment::lock_for_refusal(work, open.hive())?;
    } else {
        enlistment::lock_for(work, &open.place, || mutation.clone())?;
    }
    if is_refused {
        covers!(work.covered, "IOC-039", "IOC-041", "ERR-28");
        if own.is_none() {
            covers!(work.covered, "IOC-040");
        }
        return Err(Errno::EAGAIN);
    }
    if write.expected_sequence != 0 {
        covers!(work.if_done, "IOC-038", "SEQ-07", "ABI-17");
        if is_another {
            covers!(work.if_done, "IOC-042");
        }
    } else if own.is_some() {
        covers!(work.if_done, "ABI-19");
    }
    covers!(work.if_done, "IOC-036", "KEY-27");
    if write.layer.length() == 0 {
        covers!(work.if_done, "IOC-031");
    }
    mark_link_write(work, &open, &entry.name, write.value_type, data);
    let done = written(work, &open, &before, mutation)?;
    removal_marks::link_overridden(&before, &work.state, &open, &mut work.if_done);
    Ok(done)
}

/// What a write asks of the entries that its value has, before it takes a number (§2.6, "Per-value layer cap").
/// The count for the cap is the source's answer to a query (LAYER-64, P-44). Writers that overlap may all find
/// room before there is an entry of any (P-530).
///
/// # Errors
///
/// EIO if the answer is malformed, ENOSPC if as many layers as may be have written to the value, and this is
/// none of them.
fn admit(
    work: &mut Work<'_>,
    open: &OpenKey,
    name: &ValueName,
    layer: &LayerName,
) -> Result<(), Errno> {
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let entries = resolver.database.value(open.key(), name.folded().as_str());
    let blankets = resolver.database.blankets.get(&open.key());
    resolver
        .check_values(entries, blankets, &mut work.covered)
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))?;
    let is_another = entries.is_none_or(|entries| !entries.contains_key(layer.folded()));
    let count = entries.map_or(0, |entries| entries.size());
    let limit = work.state.limits.max_layers_per_value as usize;
    if count >= limit {
        if is_another {
            covers!(work.covered, "LAYER-62", "LAYER-67", "IOC-045", "ERR-24", "CONF-10");
            work.state.limits.mark_changed(|limits| limits.max_layers_per_value, &mut work.covered);
            if work.state.limits.differ(|limits| limits.max_layers_per_value) {
                covers!(work.covered, "LAYER-69");
            }
            return Err(Errno::ENOSPC);
        }
        covers!(work.if_done, "LAYER-65");
    } else if is_another
        && count + 1 == limit
        && !work.state.limits.differ(|limits| limits.max_layers_per_value)
    {
        covers!(work.if_done, "LAYER-61");
    }
    Ok(())
}

/// `REG_IOC_DELETE_VALUE`.
pub(crate) fn delete(
    work: &mut Work<'_>,
    fd: Fd,
    name: UserBytes<'_>,
    layer: UserBytes<'_>,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    abi::granted(work, &open, rights::KEY_SET_VALUE).inspect_err(|_| {
        covers!(work.covered, "IOC-049", "KEY-13");
        mark_right_missing(work, &open, layer);
    })?;
    let is_layer_omitted = layer.length() == 0;
    let name = value_name(work, name)?;
    let layer = abi::layer_argument(work, layer)?;
    layers::check_write(work, &layer, Some(&open)).inspect_err(|errno| {
        if *errno == Errno::EACCES {
            covers!(work.covered, "LAUTH-18");
        }
    })?;
    enlistment::name(work, transaction, open.hive(), Access::Mutation)?;
    let present = key_request(work, &open);
    if present == Err(Errno::ETIMEDOUT) {
        let (name, layer) = (name.clone(), layer.clone());
        let mutation = Mutation::DeleteValue { key: open.key(), name, layer, time: work.time };
        work.may_arrive(&open.place, mutation);
    }
    let is_seeded = work.state.database(open.hive()).seeded;
    if present == Err(Errno::ENOENT) && is_seeded && work.transaction.is_none() {
        // A living source whose record has gone has nothing against the removal (P-46).
        let mut other = work.state.clone();
        other.change_generation(open.hive(), Generation::step);
        work.otherwise.push((Outcome::Failed(Errno::ENOENT), other));
    }
    present?;
    if work.state.is_orphaned(&open) {
        covers!(work.if_done, "DEL-27");
    }
    enlistment::bind(work, open.hive())?;
    let (key, time) = (open.key(), work.time);
    let mutation = Mutation::DeleteValue { key, name: name.clone(), layer: layer.clone(), time };
    enlistment::lock_for(work, &open.place, || mutation.clone())?;
    let before = work.state.clone();
    let database = work.state.contents(work.transaction, open.hive());
    let held = database.value(open.key(), name.folded().as_str());
    if held.is_some_and(|entries| entries.contains_key(layer.folded())) {
        covers!(work.if_done, "IOC-051", "KEY-28");
        if is_layer_omitted {
            covers!(work.if_done, "IOC-050");
        }
    } else {
        covers!(work.if_done, "IOC-052");
    }
    covers!(work.if_done, "IOC-053");
    let effective = |work: &Work<'_>| {
        let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
        let value = resolver.value(open.key(), name.folded().as_str(), &mut Covered::new());
        value.ok().and_then(|(value, _)| Some(value?.entry.sequence))
    };
    let former = effective(work);
    let done = written(work, &open, &before, mutation)?;
    let next = effective(work);
    if next.is_some() && next != former {
        covers!(work.if_done, "IOC-054");
    }
    Ok(done)
}

/// `REG_IOC_BLANKET_TOMBSTONE`.
pub(crate) fn blanket(
    work: &mut Work<'_>,
    fd: Fd,
    layer: UserBytes<'_>,
    set: u8,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    if set > 1 {
        return Err(Errno::EINVAL);
    }
    abi::granted(work, &open, rights::KEY_SET_VALUE).inspect_err(|_| {
        covers!(work.covered, "IOC-055");
        mark_right_missing(work, &open, layer);
    })?;
    let is_layer_omitted = layer.length() == 0;
    let layer = abi::layer_argument(work, layer)?;
    layers::check_write(work, &layer, Some(&open)).inspect_err(|errno| {
        if *errno == Errno::EACCES {
            covers!(work.covered, "LAUTH-22");
        }
    })?;
    enlistment::name(work, transaction, open.hive(), Access::Mutation)?;
    let present = key_request(work, &open);
    if present == Err(Errno::ETIMEDOUT) {
        blanket_unanswered(work, &open, &layer, set);
    }
    if present == Err(Errno::ENOENT) && set == 1 && work.state.database(open.hive()).seeded {
        // The record may have gone under a living source, which answers a request that has its
        // number already (P-46).
        let mut other = work.state.clone();
        if other.allocate_sequence().is_ok() {
            work.otherwise.push((Outcome::Failed(Errno::ENOENT), other));
        }
    }
    present?;
    if work.state.is_orphaned(&open) {
        covers!(work.if_done, "DEL-28");
    }
    let unnumbered = work.state.clone();
    // Removing takes no number (D-30).
    let sequence = if set == 1 {
        covers!(work.if_done, "IOC-057", "SEQ-05", "VAL-25");
        let sequence = work.allocate_sequence()?;
        work.allocated(open.hive());
        Some(sequence)
    } else {
        covers!(work.if_done, "IOC-059");
        None
    };
    let before = work.state.clone();
    enlistment::bind(work, open.hive())?;
    let mutation = Mutation::SetBlanket { key: open.key(), layer, sequence, time: work.time };
    enlistment::lock_for(work, &open.place, || mutation.clone())?;
    covers!(work.if_done, "IOC-060");
    if is_layer_omitted {
        covers!(work.if_done, "IOC-056");
    }
    let done = written(work, &open, &before, mutation)?;
    if work.transaction.is_none() {
        asked_before_numbered(work, &unnumbered, &before, &open);
    }
    Ok(done)
}

/// What there is to tell of may have been asked for before there was a number, by which one that is stored is
/// none of the future any more (P-354).
fn asked_before_numbered(work: &mut Work<'_>, unnumbered: &State, before: &State, open: &OpenKey) {
    let is_counted = unnumbered.numbering() != before.numbering();
    if !is_counted || work.state.watches.is_empty() || work.state.layers != before.layers {
        return;
    }
    let mut other = State { watches: before.watches.clone(), ..work.state.clone() };
    let touched = Touched::Values(open.hive(), open.key());
    watches::changed(unnumbered, &mut other, touched, &open.place, &mut Covered::new());
    if other.watches != work.state.watches {
        work.otherwise.push((Outcome::Done, other));
    }
}

/// A blanket tombstone may have its number, and be the first request of its call, or not (P-245).
fn blanket_unanswered(work: &mut Work<'_>, open: &OpenKey, layer: &LayerName, set: u8) {
    let (key, layer, time) = (open.key(), layer.clone(), work.time);
    let unnumbered = work.state.clone();
    let mut sequence = None;
    if set == 1 {
        let Ok(number) = work.state.allocate_sequence() else { return };
        sequence = Some(number);
        work.unanswered_in(work.state.clone());
    }
    work.may_arrive(&open.place, Mutation::SetBlanket { key, layer, sequence, time });
    work.state = unnumbered;
}

/// `REG_IOC_FLUSH`.
pub(crate) fn flush(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::granted(work, &open, rights::KEY_SET_VALUE)
        .inspect_err(|_| covers!(work.covered, "IOC-144"))?;
    // A flush concerns the hive; it succeeds on a key that is gone as well (P-06, DEL-32).
    work.request(open.hive()).inspect_err(|errno| {
        if *errno == Errno::ETIMEDOUT {
            work.flush_unanswered(open.hive());
        }
    })?;
    work.flush_may_stall(open.hive());
    work.may_be_busy(open.hive());
    covers!(work.if_done, "IOC-145", "IOC-146");
    if work.state.is_orphaned(&open) {
        covers!(work.if_done, "DEL-32");
    }
    work.state.is_durable(open.hive());
    Ok(Outcome::Done)
}

/// The first request of an operation on the key of an fd.
///
/// # Errors
///
/// EIO if the source is Down, ENOENT if the key is gone from it (P-06).
pub(crate) fn key_request(work: &mut Work<'_>, open: &OpenKey) -> Result<(), Errno> {
    work.request(open.hive()).inspect_err(|errno| {
        if *errno == Errno::ETIMEDOUT {
            covers!(work.covered, "ERR-06");
            return;
        }
        if work.state.watches.values().any(|watch| watch.is_on(open.hive(), open.key())) {
            covers!(work.covered, "DISP-50");
        }
    })?;
    work.may_look_for(open.hive(), open.key());
    let has_returned = open.origin.0.resumptions < work.state.resumptions(open.hive());
    if work.state.contents(work.transaction, open.hive()).keys.contains_key(&open.key()) {
        if work.state.is_orphaned(open) {
            covers!(work.if_done, "DEL-21", "KEY-07");
            if work.state.layer_orphans.0.contains(&(open.hive(), open.key())) {
                covers!(work.if_done, "FAIL-44");
            }
        }
        if open.origin.0.link.is_some() {
            covers!(work.if_done, "SYS-40");
        }
        if has_returned {
            covers!(work.if_done, "FAIL-03", "FAIL-14");
        }
        return Ok(());
    }
    if work.kind == Kind::Changes {
        work.may_wait_to_change_nothing(open.hive());
    }
    covers!(work.covered, "CONV-35");
    if has_returned {
        covers!(work.covered, "FAIL-15");
    }
    Err(Errno::ENOENT)
}

/// Carries out a change of a key's values: in the transaction of the call, or at once with what follows
/// from it, the last write time (P-08), the generation, and a refresh of the layers it concerns.
fn written(
    work: &mut Work<'_>,
    open: &OpenKey,
    before: &State,
    mutation: Mutation,
) -> Result<Outcome, Errno> {
    if work.transaction.is_some() {
        enlistment::enlist(work, &open.place, mutation);
        return Ok(Outcome::Done);
    }
    mutation.change(work.state.database_mut(open.hive()));
    work.requested(open.hive());
    mutation.write_time(work.state.database_mut(open.hive()));
    work.requested(open.hive());
    covers!(work.if_done, "SEQ-22");
    let touched = mutation.touched(open.hive());
    let telling = work.telling(open.hive(), Asked::of(&mutation));
    committed_as(work, before, touched, &open.place, &Outcome::Done, telling)?;
    Ok(Outcome::Done)
}

/// What is shown by the refusal of a write into a layer through an fd without KEY_SET_VALUE.
fn mark_right_missing(work: &mut Work<'_>, open: &OpenKey, layer: UserBytes<'_>) {
    if layers::is_metadata_key(&work.state, open.hive(), open.key()) {
        covers!(work.covered, "LAUTH-05");
    }
    if layers::would_admit(work, layer) {
        covers!(work.covered, "LAUTH-24");
    }
}

/// What a read of a value shows about a transaction that has written it, where its answer is another within the
/// transaction than outside.
fn mark_isolation(work: &mut Work<'_>, open: &OpenKey, name: &ValueName) {
    let (state, hive) = (&work.state, open.hive());
    let Some(holder) = state.lock_holder(hive) else { return };
    let answer = |transaction: Option<TransactionId>| {
        let resolver = state.resolver_in(transaction, hive, &work.viewer);
        let value = resolver.value(open.key(), name.folded().as_str(), &mut Covered::new());
        value.ok().map(|(value, _)| value.map(|value| value.entry.clone()))
    };
    let Some((outside, within)) = answer(None).zip(answer(Some(holder))) else { return };
    if outside == within {
        return;
    }
    if work.own_contents(hive).is_none() {
        covers!(work.covered, "TXN-70");
        return;
    }
    covers!(work.covered, "IOC-007", "IOC-026", "TXN-19", "TXN-20", "TXN-49", "TXN-88");
    if name.folded().as_str() == "precedence" && layers::is_metadata_key(state, hive, open.key()) {
        covers!(work.covered, "TXN-72");
    }
}

/// Whether a value is not that of the entry of this number, but another layer's.
fn is_another_effective(work: &Work<'_>, open: &OpenKey, name: &ValueName, own: u64) -> bool {
    let resolver = work.state.resolver_in(work.transaction, open.hive(), &work.viewer);
    let effective = resolver.effective(open.key(), name.folded().as_str(), &mut Covered::new());
    match effective {
        Ok((Effective::Value(value), _)) => value.entry.sequence != own,
        _ => false,
    }
}

/// A default value of a symlink key is written as any other (D-36).
fn mark_link_write(
    work: &mut Work<'_>,
    open: &OpenKey,
    name: &ValueName,
    value_type: u32,
    data: &[u8],
) {
    let record = work.state.database(open.hive()).keys.get(&open.key());
    if !name.is_default() || !record.is_some_and(|record| record.symlink) {
        return;
    }
    covers!(work.if_done, "LINK-36");
    if value_type != REG_LINK {
        covers!(work.if_done, "LINK-14");
    } else if parse_path(data, &work.state.limits, None).is_err() {
        covers!(work.if_done, "LINK-28");
    }
}

fn value_name(work: &mut Work<'_>, bytes: UserBytes<'_>) -> Result<ValueName, Errno> {
    let limits = work.state.limits;
    let name = abi::copied_name(work, bytes).and_then(|bytes| ValueName::parse(bytes, &limits));
    name.inspect_err(|errno| {
        if *errno != Errno::EFAULT {
            let bytes = bytes.readable();
            name_marks::value_name_refused(bytes, *errno, &limits, &mut work.covered);
        }
    })
}

/// The type tag of a write (§2.5).
fn check_type(work: &mut Work<'_>, write: &Write<'_>) -> Result<(), Errno> {
    match write.value_type {
        0..=REG_QWORD => Ok(()),
        REG_TOMBSTONE if write.data.length() == 0 => {
            covers!(work.if_done, "VAL-04", "VAL-23", "VAL-45", "IOC-033", "CONST-38");
            Ok(())
        }
        REG_TOMBSTONE => {
            covers!(work.covered, "VAL-46", "IOC-034", "VAL-48");
            if enlistment::is_unbound(work, write.transaction) {
                covers!(work.covered, "VAL-49");
            }
            Err(Errno::EINVAL)
        }
        _ => {
            covers!(work.covered, "VAL-40", "IOC-044", "VAL-42", "CONST-38");
            if enlistment::is_unbound(work, write.transaction) {
                covers!(work.covered, "VAL-43");
            }
            Err(Errno::EINVAL)
        }
    }
}

/// Raising a layer's precedence above 0 needs SeTcbPrivilege (§2.6, D-50, P-280).
fn check_precedence(
    work: &mut Work<'_>,
    open: &OpenKey,
    name: &ValueName,
    value_type: u32,
    data: &[u8],
) -> Result<(), Errno> {
    if name.folded().as_str() != "precedence" {
        return Ok(());
    }
    let raises = value_type == REG_DWORD
        && <[u8; 4]>::try_from(data).is_ok_and(|bytes| u32::from_le_bytes(bytes) > 0);
    let is_privileged = work.caller.token.has_privilege(Privilege::Tcb);
    let is_metadata = layers::is_gated(&work.state, &open.place);
    if !raises || !is_metadata || is_privileged {
        match (is_metadata, is_privileged, raises) {
            (true, false, false) => covers!(work.if_done, "LAUTH-14", "LAUTH-16"),
            (true, true, true) => covers!(work.if_done, "LAUTH-03", "LAUTH-06", "LAUTH-13"),
            (false, false, true) => covers!(work.if_done, "LAUTH-15"),
            _ => {}
        }
        return Ok(());
    }
    covers!(work.covered, "LAUTH-10", "IOC-048", "ERR-27", "LAUTH-03", "LAUTH-06", "LAUTH-08");
    covers!(work.covered, "LAUTH-09", "LAUTH-12", "LAUTH-13");
    if name.spelling() != "Precedence" {
        covers!(work.covered, "LAUTH-11");
    }
    Err(Errno::EPERM)
}

/// A length as the interface counts it.
pub(crate) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
