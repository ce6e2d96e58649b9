//! What reading and changing an SD sends (PSD-005 §3.1, §6.3).

use registry_model::errno::Errno;

use super::keys::same_key;
use super::log::Logged;
use super::{Ended, OpenKey};
use crate::wire::frame::Operation;
use crate::wire::rules::{Failure, Held, Rule};

/// The components of an SD.
const COMPONENTS: u32 = 0xF;
const SACL: u32 = 0x8;

/// `REG_IOC_GET_SECURITY`.
pub(super) fn read(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    security_info: u32,
) -> Result<(), Failure> {
    if is_invalid(security_info) {
        return ended.silent(held, Rule::ReadInfoBeforeSource);
    }
    if ended.failed() == Some(Errno::EACCES) {
        let is_mixed = security_info & SACL != 0 && security_info != SACL;
        let rule = if is_mixed { Rule::ReadRightsBeforeSource } else { Rule::RightBeforeSource };
        return ended.silent(held, rule);
    }
    for request in ended.requests {
        let is_read = request.operation == Operation::ReadKey;
        held.require(Rule::SecurityOfKey, is_read, || {
            format!("reading an SD sent {}", request.operation.name())
        })?;
        same_key(held, open, request)?;
    }
    Ok(())
}

/// `REG_IOC_SET_SECURITY`.
pub(super) fn changed(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    security_info: u32,
) -> Result<(), Failure> {
    if is_invalid(security_info) {
        return ended.silent(held, Rule::ChangeInfoBeforeSource);
    }
    if ended.failed() == Some(Errno::EACCES) {
        let is_mixed = security_info.count_ones() > 1;
        let rule = if is_mixed { Rule::ChangeRightsBeforeSource } else { Rule::RightBeforeSource };
        return ended.silent(held, rule);
    }
    if !ended.is_done() {
        return Ok(());
    }
    // The SD of a metadata key has the layers refreshed, and names that waited for that may go (P-184).
    let is_own = |one: &&Logged| one.is_mutation() && one.operation != Operation::DeleteLayer;
    let changes: Vec<&Logged> = ended.requests.iter().filter(is_own).collect();
    let [change] = changes[..] else {
        let message = format!("{} changes were sent", changes.len());
        return Err(Failure::new(Rule::SecuritySent, message));
    };
    held.require(Rule::SecuritySent, change.has_security_descriptor(), || {
        format!("{} was sent", change.operation.name())
    })?;
    same_key(held, open, change)
}

fn is_invalid(security_info: u32) -> bool {
    security_info == 0 || security_info & !COMPONENTS != 0
}
