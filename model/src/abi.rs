//! The front door: constants of the interface, fds, and the checks that open every operation.
//!
//! States PSD-005 §6.2 and §6.3 as far as they say what comes first (with D-10 and D-11), and
//! the constants of §11.1 that calls carry. Access rights are in `security::rights`.

use crate::coverage::covers;
use crate::errno::Errno;
use crate::input::Fd;
use crate::name_marks;
use crate::names::LayerName;
use crate::security::rights;
use crate::state::OpenKey;
use crate::step::Work;

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
/// EBADF if the process has no such fd open.
pub(crate) fn key_fd(work: &mut Work<'_>, fd: Fd) -> Result<OpenKey, Errno> {
    let open = work.state.open_keys.get(&(work.caller.process, fd)).cloned();
    open.ok_or_else(|| {
        covers!(work.covered, "ERR-36");
        Errno::EBADF
    })
}

/// The check of a transaction argument that needs nothing but the number.
///
/// # Errors
///
/// EINVAL for a number below -1 (D-11).
pub(crate) fn transaction_field(transaction: Fd) -> Result<(), Errno> {
    if transaction < NO_FD { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The check of a transaction argument where its transaction is looked up.
///
/// # Errors
///
/// EBADF for everything but -1: `reg_begin_transaction` is not part of the model yet, so no
/// transaction fd exists.
pub(crate) fn transaction(work: &mut Work<'_>, transaction: Fd) -> Result<(), Errno> {
    if transaction == NO_FD {
        return Ok(());
    }
    covers!(work.covered, "IOC-206");
    Err(Errno::EBADF)
}

/// The check of the fd's granted mask (SYS-03, §3.1 step 5).
///
/// # Errors
///
/// EACCES if the mask lacks the right.
pub(crate) fn granted(work: &mut Work<'_>, open: &OpenKey, right: u32) -> Result<(), Errno> {
    if rights::holds(open.granted, right) {
        return Ok(());
    }
    covers!(work.covered, "ERR-01", "ERR-13", "KEY-04", "KEY-05", "KEY-13", "CONV-05", "CONV-33");
    match right {
        rights::KEY_QUERY_VALUE => covers!(work.covered, "IOC-021"),
        rights::KEY_SET_VALUE => covers!(work.covered, "IOC-030", "LAUTH-23"),
        rights::KEY_ENUMERATE_SUB_KEYS => covers!(work.covered, "IOC-072"),
        rights::READ_CONTROL => covers!(work.covered, "IOC-078"),
        rights::DELETE => covers!(work.covered, "IOC-095", "IOC-103", "LAUTH-24"),
        _ => {}
    }
    Err(Errno::EACCES)
}

/// The layer argument of an ioctl, which is base if it is empty (§6.3).
///
/// # Errors
///
/// Those of [`LayerName::parse`].
pub(crate) fn layer_argument(work: &mut Work<'_>, bytes: &[u8]) -> Result<LayerName, Errno> {
    if bytes.is_empty() {
        covers!(work.covered, "LAYER-19");
        return Ok(LayerName::base());
    }
    LayerName::parse(bytes, &work.state.limits).inspect_err(|errno| {
        name_marks::layer_name_refused(bytes, *errno, &mut work.covered);
    })
}
