//! What every operation begins with: fds, the granted mask, pointers, layers, transactions.
//!
//! States PSD-005 §6.2 and §6.3 as far as they say what comes first (with D-10 and D-11), and
//! the constants of §11.1 that calls carry. Access rights are in `security::rights`, numbers and
//! structures in `front_door`.

use std::sync::Arc;

use crate::access;
use crate::coverage::covers;
use crate::errno::Errno;
use crate::front_door::{OutputBuffer, Results, UserBytes, UserString};
use crate::input::Fd;
use crate::name_marks;
use crate::names::LayerName;
use crate::security::rights;
use crate::state::{OpenKey, Origin};
use crate::step::Work;
use crate::transactions::TransactionId;

/// `REG_OPEN_LINK`.
pub const REG_OPEN_LINK: u32 = 0x01;
/// `REG_OPTION_VOLATILE`.
pub const REG_OPTION_VOLATILE: u32 = 0x01;
/// `REG_OPTION_CREATE_LINK`.
pub const REG_OPTION_CREATE_LINK: u32 = 0x02;
/// `REG_CREATED_NEW`.
pub const REG_CREATED_NEW: u32 = 1;
/// `REG_OPENED_EXISTING`.
pub const REG_OPENED_EXISTING: u32 = 2;

/// The fd argument that stands for none.
pub const NO_FD: Fd = -1;

/// The key fd of an ioctl.
///
/// # Errors
///
/// EBADF if the process has no such fd open, ENOTTY if it is a transaction fd (D-11).
pub(crate) fn key_fd(work: &mut Work<'_>, fd: Fd) -> Result<OpenKey, Errno> {
    let open = work.state.open_keys.get(&(work.caller.process, fd)).cloned();
    open.ok_or_else(|| not_of_this_type(work, fd))
}

/// The transaction fd of an ioctl.
///
/// # Errors
///
/// EBADF if the process has no such fd open, ENOTTY if it is a key fd (D-11).
pub(crate) fn transaction_fd(work: &mut Work<'_>, fd: Fd) -> Result<TransactionId, Errno> {
    let transaction = work.state.transaction_of(work.caller.process, fd);
    transaction.ok_or_else(|| not_of_this_type(work, fd))
}

/// The key fd that a relative path starts from.
///
/// # Errors
///
/// EBADF if the process has no such key fd open (D-10).
pub(crate) fn parent_fd(work: &mut Work<'_>, fd: Fd) -> Result<OpenKey, Errno> {
    let open = work.state.open_keys.get(&(work.caller.process, fd)).cloned();
    open.ok_or_else(|| {
        covers!(work.covered, "ERR-36");
        Errno::EBADF
    })
}

fn not_of_this_type(work: &mut Work<'_>, fd: Fd) -> Errno {
    if work.state.is_fd(work.caller.process, fd) {
        covers!(work.covered, "CONST-03");
        return Errno::ENOTTY;
    }
    covers!(work.covered, "ERR-36");
    Errno::EBADF
}

/// The check of a transaction argument that needs nothing but the number. Which transaction it is comes
/// later (`transactions::enlistment`).
///
/// # Errors
///
/// EINVAL for a number below -1 (D-11).
pub(crate) fn transaction_field(transaction: Fd) -> Result<(), Errno> {
    if transaction < NO_FD { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The check of the fd's granted mask (SYS-03, §3.1 step 5).
///
/// # Errors
///
/// EACCES if the mask lacks the right.
pub(crate) fn granted(work: &mut Work<'_>, open: &OpenKey, right: u32) -> Result<(), Errno> {
    let (is_specific, is_standard) = (right & 0xFFFF != 0, right & 0x00FF_0000 != 0);
    if is_specific {
        covers!(work.if_done, "CONST-27");
    }
    if is_standard {
        covers!(work.if_done, "CONST-28");
    }
    if rights::holds(open.granted, right) {
        mark_mask_decides(work, open, right);
        return Ok(());
    }
    covers!(work.covered, "ERR-01", "ERR-13", "KEY-04", "KEY-05", "CONV-05", "CONV-33");
    covers!(work.covered, "SEC-14", "SEC-15");
    if work.state.is_stalled(open.hive()) {
        covers!(work.covered, "RSI-35");
    }
    if is_specific {
        covers!(work.covered, "SEC-16", "SEC-19", "CONST-27");
    }
    if is_standard {
        covers!(work.covered, "CONST-28");
    }
    if right & !open.granted & 0x00FF_0000 != 0 {
        covers!(work.covered, "SEC-17");
    }
    Err(Errno::EACCES)
}

/// The mask admits what the key's SD would refuse by now: to whoever has opened the fd, since the SD was
/// changed, or to another who has received it (§6.1, "Fd delegation").
fn mark_mask_decides(work: &mut Work<'_>, open: &OpenKey, right: u32) {
    let Origin { process, token, descriptor, .. } = &*open.origin.0;
    let contents = work.state.contents(work.transaction, open.hive());
    let Some(Ok(now)) = contents.keys.get(&open.key()).map(|record| record.descriptor.clone())
    else {
        return;
    };
    if !Arc::ptr_eq(&now, descriptor)
        && access::would_allow(token, descriptor, right)
        && access::would_deny(token, &now, right)
    {
        covers!(work.if_done, "SEC-12", "SEC-13", "SEC-55", "KEY-05", "KEY-06", "KEY-14");
    }
    if *process != work.caller.process && access::would_deny(&work.caller.token, &now, right) {
        covers!(work.if_done, "SYS-08", "KEY-05", "KEY-14");
    }
}

/// The bytes that an ioctl passes by length and address.
///
/// # Errors
///
/// EFAULT if one of them cannot be read.
pub(crate) fn copied<'a>(work: &mut Work<'_>, bytes: UserBytes<'a>) -> Result<&'a [u8], Errno> {
    match bytes {
        UserBytes::Readable(bytes) => {
            covers!(work.if_done, "ABI-05", "ABI-06", "CONV-23");
            Ok(bytes)
        }
        UserBytes::Faulting { .. } => {
            covers!(work.covered, "BUF-11", "BUF-12", "ERR-02");
            Err(fault(work))
        }
    }
}

/// The bytes of a value's or layer's name, of which the stated length is looked at first (P-32).
///
/// # Errors
///
/// ENAMETOOLONG above `MaxPathComponentLength`, EFAULT if one of them cannot be read.
pub(crate) fn copied_name<'a>(
    work: &mut Work<'_>,
    bytes: UserBytes<'a>,
) -> Result<&'a [u8], Errno> {
    if bytes.length() > work.state.limits.max_path_component_length as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    copied(work, bytes)
}

/// The string that a syscall passes by address.
///
/// # Errors
///
/// EFAULT if no null byte comes before the first byte that cannot be read.
pub(crate) fn copied_string<'a>(
    work: &mut Work<'_>,
    string: UserString<'a>,
) -> Result<&'a [u8], Errno> {
    string.map_err(|_| fault(work))
}

fn fault(work: &mut Work<'_>) -> Errno {
    covers!(work.covered, "ERR-17");
    Errno::EFAULT
}

/// Checks where a call writes to: these buffers, and its argument structure or its disposition. That
/// comes before any question to the source, and does not depend on what would be written (§6.3,
/// P-31).
///
/// # Errors
///
/// EFAULT if one of them cannot be written to its whole length.
pub(crate) fn outputs(work: &mut Work<'_>, buffers: &[OutputBuffer]) -> Result<(), Errno> {
    let results = work.results != Results::Faulting;
    if results && buffers.iter().all(|buffer| buffer.is_writable) {
        return Ok(());
    }
    if results {
        covers!(work.covered, "BUF-04", "BUF-05", "BUF-13", "ERR-02");
    }
    Err(fault(work))
}

/// The layer argument of an ioctl, which is base if it is empty (§6.3).
///
/// # Errors
///
/// Those of [`copied_name`] and of [`LayerName::parse`].
pub(crate) fn layer_argument(
    work: &mut Work<'_>,
    bytes: UserBytes<'_>,
) -> Result<LayerName, Errno> {
    if bytes.length() == 0 {
        covers!(work.if_done, "LAYER-19");
        return Ok(LayerName::base());
    }
    let limits = work.state.limits;
    let name = copied_name(work, bytes).and_then(|bytes| LayerName::parse(bytes, &limits));
    name.inspect_err(|errno| {
        if *errno != Errno::EFAULT {
            name_marks::layer_name_refused(bytes.readable(), *errno, &mut work.covered);
        }
    })
}
