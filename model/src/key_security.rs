//! The SD of a key: reading it, and changing parts of it.
//!
//! States the ioctls GET_SECURITY and SET_SECURITY of PSD-005 §6.3 with the flags of §11.2 and the
//! rights of §3.1, in the order of D-11, with P-91 and P-104 to P-109. How components are picked and merged is
//! in `security`; what a change of a layer metadata key's SD brings is in `layer_commit`.

use std::sync::Arc;

use crate::abi;
use crate::coverage::covers;
use crate::errno::Errno;
use crate::front_door::{OutputBuffer, UserBytes};
use crate::input::Fd;
use crate::layer_commit::committed;
use crate::layers::Touched;
use crate::observation::Sizes;
use crate::outcome::Outcome;
use crate::responses::{Fault, Malformed, descriptor_of};
use crate::security::{
    DACL_SECURITY_INFORMATION as DACL, GROUP_SECURITY_INFORMATION as GROUP, MalformedDescriptor,
    OWNER_SECURITY_INFORMATION as OWNER, SACL_SECURITY_INFORMATION as SACL, SecurityDescriptor,
    rights,
};
use crate::state::OpenKey;
use crate::step::Work;
use crate::transactions::Mutation;
use crate::transactions::enlistment::{self, Access};
use crate::values::{key_request, length};

/// The longest SD in bytes (PSD-004 §3.1).
const DESCRIPTOR_LENGTH_MAX: usize = 65_535;

/// `REG_IOC_GET_SECURITY`.
pub(crate) fn get(
    work: &mut Work<'_>,
    fd: Fd,
    security_info: u32,
    buffer: OutputBuffer,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    check_information(work, security_info).inspect_err(|_| match security_info {
        0 => covers!(work.covered, "IOC-114", "IOC-116"),
        _ => covers!(work.covered, "IOC-115", "IOC-116"),
    })?;
    let right = right_to_read(security_info);
    abi::granted(work, &open, right).inspect_err(|_| mark_read_refused(work, &open, right))?;
    abi::outputs(work, &[buffer])?;
    key_request(work, &open)?;
    let descriptor = stored(work, &open)?;
    if work.state.is_orphaned(&open) {
        covers!(work.if_done, "DEL-29");
    }
    let bytes = descriptor.select(security_info).map_err(|_| {
        // Outside the classes (P-294).
        let malformed = Malformed::of(Fault::Other, Some(open.key()), &mut work.covered);
        work.rejected.by(open.hive(), malformed)
    })?;
    let size = length(bytes.len());
    if size > buffer.capacity {
        covers!(work.covered, "BUF-01", "BUF-06", "BUF-07", "BUF-09", "BUF-22", "ERR-32");
        return Ok(Outcome::TooSmall(Sizes { security: Some(size), ..Sizes::default() }));
    }
    covers!(work.if_done, "IOC-113", "SEC-56");
    descriptor.mark_preserved(security_info, &mut work.if_done);
    if security_info & SACL != 0 {
        covers!(work.if_done, "SEC-18", "SEC-53");
    } else {
        covers!(work.if_done, "SEC-17");
    }
    Ok(Outcome::Security(bytes))
}

/// `REG_IOC_SET_SECURITY`.
pub(crate) fn set(
    work: &mut Work<'_>,
    fd: Fd,
    security_info: u32,
    descriptor: UserBytes<'_>,
    transaction: Fd,
) -> Result<Outcome, Errno> {
    let open = abi::key_fd(work, fd)?;
    abi::transaction_field(transaction)?;
    check_information(work, security_info).inspect_err(|_| match security_info {
        0 => covers!(work.covered, "IOC-122", "IOC-124"),
        _ => covers!(work.covered, "IOC-123", "IOC-124"),
    })?;
    let right = right_to_write(security_info);
    abi::granted(work, &open, right)
        .inspect_err(|_| mark_write_refused(work, &open, security_info, right))?;
    let (given, more) = given(work, descriptor, security_info)?;
    given.mark_revisions(&mut work.covered);
    enlistment::name(work, transaction, open.hive(), Access::Mutation)?;
    enlistment::bind(work, open.hive())?;
    key_request(work, &open)?;
    let merged = stored(work, &open)?.merge(&given, security_info).map_err(|malformed| {
        match malformed {
            MalformedDescriptor::NoOwner => covers!(work.covered, "IOC-128"),
            MalformedDescriptor::TooLong => covers!(work.covered, "SD-14"),
            _ => {}
        }
        Errno::EINVAL
    })?;
    mark_change(work, &open, more, security_info);
    write(work, &open, merged)
}

/// Stores the merged SD, and what follows from it.
fn write(
    work: &mut Work<'_>,
    open: &OpenKey,
    descriptor: SecurityDescriptor,
) -> Result<Outcome, Errno> {
    let size = length(descriptor.to_bytes()?.len());
    covers!(work.if_done, "IOC-131");
    if descriptor.group.is_none() {
        covers!(work.if_done, "IOC-129");
    }
    let (hive, key, time) = (open.hive(), open.key(), work.time);
    let mutation = Mutation::WriteDescriptor { key, descriptor: Arc::new(descriptor), size, time };
    enlistment::lock_for(work, &open.place, || mutation.clone())?;
    if work.transaction.is_some() {
        enlistment::enlist(work, &open.place, mutation);
        return Ok(Outcome::Done);
    }
    work.state.secured.0.insert_mut((hive, key));
    work.state.secured_within.0.remove_mut(&(hive, key));
    let before = work.state.clone();
    mutation.change(work.state.database_mut(hive));
    work.requested(hive);
    mutation.write_time(work.state.database_mut(hive));
    work.requested(hive);
    covers!(work.if_done, "IOC-132", "SEC-57", "KEY-29", "KEY-26");
    committed(work, &before, Touched::Descriptor(hive, key), &open.place)?;
    Ok(Outcome::Done)
}

/// Whether the flags name some components, and nothing else (§11.2).
fn check_information(work: &mut Work<'_>, security_info: u32) -> Result<(), Errno> {
    covers!(work.covered, "ABI-35");
    if security_info != 0 && security_info & !(OWNER | GROUP | DACL | SACL) == 0 {
        return Ok(());
    }
    if security_info != 0 {
        covers!(work.covered, "ABI-36");
    }
    Err(Errno::EINVAL)
}

fn right_to_read(security_info: u32) -> u32 {
    let mut right = 0;
    if security_info & (OWNER | GROUP | DACL) != 0 {
        right |= rights::READ_CONTROL;
    }
    if security_info & SACL != 0 {
        right |= rights::ACCESS_SYSTEM_SECURITY;
    }
    right
}

fn right_to_write(security_info: u32) -> u32 {
    let mut right = 0;
    if security_info & (OWNER | GROUP) != 0 {
        right |= rights::WRITE_OWNER;
    }
    if security_info & DACL != 0 {
        right |= rights::WRITE_DAC;
    }
    if security_info & SACL != 0 {
        right |= rights::ACCESS_SYSTEM_SECURITY;
    }
    right
}

/// What the caller wants to be set, and whether its SD has more than that (P-107).
///
/// # Errors
///
/// EINVAL above the greatest length of an SD, EFAULT if it cannot be read, EINVAL if it is malformed,
/// or if the owner is to be set and it has none; EPERM for an owner that the caller may not make
/// one (P-109).
fn given(
    work: &mut Work<'_>,
    descriptor: UserBytes<'_>,
    security_info: u32,
) -> Result<(SecurityDescriptor, bool), Errno> {
    if descriptor.length() > DESCRIPTOR_LENGTH_MAX {
        covers!(work.covered, "IOC-130", "SD-14");
        return Err(Errno::EINVAL);
    }
    let bytes = abi::copied(work, descriptor)?;
    let given = SecurityDescriptor::from_caller(bytes, security_info, &mut work.covered)
        .inspect_err(|_| covers!(work.covered, "IOC-130", "IOC-125"))?;
    if security_info & OWNER != 0 {
        let Some(owner) = &given.owner else {
            covers!(work.covered, "IOC-128");
            return Err(Errno::EINVAL);
        };
        covers!(work.covered, "ACC-48");
        if !work.caller.token.may_assign_owner(owner) {
            return Err(Errno::EPERM);
        }
    }
    let fields = [(OWNER, 4), (GROUP, 8), (SACL, 12), (DACL, 16)];
    let has_more = fields.iter().any(|(component, field)| {
        security_info & component == 0 && bytes[*field..field + 4] != [0; 4]
    });
    Ok((given, has_more))
}

/// The SD that the source has of the key.
///
/// # Errors
///
/// EIO if it is malformed: then nothing can be read of it, and nothing merged into it (P-104).
fn stored(work: &mut Work<'_>, open: &OpenKey) -> Result<Arc<SecurityDescriptor>, Errno> {
    let contents = work.state.contents(work.transaction, open.hive());
    let record = contents.keys.get(&open.key()).ok_or(Errno::ENOENT)?;
    descriptor_of(open.key(), record, &mut work.covered)
        .map_err(|malformed| work.rejected.by(open.hive(), malformed))
}

fn mark_read_refused(work: &mut Work<'_>, open: &OpenKey, right: u32) {
    covers!(work.covered, "SEC-14", "SEC-15", "SEC-56");
    if rights::holds(right, rights::READ_CONTROL | rights::ACCESS_SYSTEM_SECURITY) {
        covers!(work.covered, "IOC-112");
    }
    if right & !open.granted & rights::READ_CONTROL != 0 {
        covers!(work.covered, "IOC-110");
    }
    if right & !open.granted & rights::ACCESS_SYSTEM_SECURITY != 0 {
        covers!(work.covered, "IOC-111", "SEC-18", "SEC-53");
    }
}

fn mark_write_refused(work: &mut Work<'_>, open: &OpenKey, security_info: u32, right: u32) {
    covers!(work.covered, "SEC-14", "SEC-15", "SEC-56");
    let missing = right & !open.granted;
    if right.count_ones() > 1 {
        covers!(work.covered, "IOC-121");
    }
    if missing & rights::WRITE_OWNER != 0 && security_info & OWNER != 0 {
        covers!(work.covered, "IOC-117");
    }
    if missing & rights::WRITE_OWNER != 0 && security_info & GROUP != 0 {
        covers!(work.covered, "IOC-118");
    }
    if missing & rights::WRITE_DAC != 0 {
        covers!(work.covered, "IOC-119");
    }
    if missing & rights::ACCESS_SYSTEM_SECURITY != 0 {
        covers!(work.covered, "IOC-120", "SEC-18", "SEC-53");
    }
}

/// What a change shows if it is carried out.
fn mark_change(work: &mut Work<'_>, open: &OpenKey, has_more: bool, security_info: u32) {
    covers!(work.if_done, "SEC-17", "SEC-56", "IOC-125", "IOC-127");
    if has_more {
        covers!(work.if_done, "IOC-126");
    }
    if !work.state.is_orphaned(open) {
        covers!(work.if_done, "SD-11");
    }
    let database = work.state.database(open.hive());
    if security_info & (DACL | SACL) != 0 && database.children(open.key()).next().is_some() {
        covers!(work.if_done, "INH-03");
    }
    if security_info & DACL != 0 && open.place.parent().is_some() {
        covers!(work.if_done, "SEC-46");
    }
    if security_info & SACL != 0 {
        covers!(work.if_done, "SEC-18", "SEC-53");
    }
    if work.state.is_orphaned(open) {
        covers!(work.if_done, "DEL-30");
    }
}
