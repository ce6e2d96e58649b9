//! What a call asks for, as far as its requests must agree with it (PSD-005 §6.2, §6.3).
//!
//! The one place that knows the model's call type, beside `transactions`.

use registry_model::input::{Call, Fd, ProcessId};

/// The part of a call that its requests are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// `reg_open_key`, and `reg_create_key` with what it creates.
    Path { parent: Fd, path: &'a [u8], access: u32, creation: Option<Creation<'a>> },
    /// An operation on a key fd.
    Key { fd: Fd, operation: KeyOperation<'a> },
}

/// What `reg_create_key` says of a new key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Creation<'a> {
    pub(super) flags: u32,
    /// Empty for a null pointer.
    pub(super) layer: &'a [u8],
}

/// An ioctl, `close(2)`, or the passing of the fd.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyOperation<'a> {
    Query { name: &'a [u8] },
    Batch,
    EnumerateValue,
    EnumerateSubkey,
    Info,
    Notify,
    Set(Write<'a>),
    Unset { name: &'a [u8], layer: &'a [u8] },
    Blanket { layer: &'a [u8], set: u8 },
    Delete { layer: &'a [u8] },
    Hide { layer: &'a [u8] },
    GetSecurity { security_info: u32 },
    SetSecurity { security_info: u32 },
    Pass { to: ProcessId },
    Flush,
    Close,
}

/// What `REG_IOC_SET_VALUE` writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    pub(super) name: &'a [u8],
    pub(super) value_type: u32,
    pub(super) data: &'a [u8],
    pub(super) layer: &'a [u8],
    pub(super) expected_sequence: u64,
}

/// What a string of a syscall holds, up to its first null byte (CONV-22).
fn before_null(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// What an operation that names a transaction does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enlisted {
    /// It reads.
    Read,
    /// It changes something through an fd, and binds.
    Change,
    /// `reg_create_key`, whose walk is an open and takes no part (P-76).
    Creation,
}

/// The transaction fd that a call names, and what it does in it.
pub(super) fn enlisted(call: &Call) -> Option<(Fd, Enlisted)> {
    let (fd, kind) = match call {
        Call::QueryValue { transaction, .. }
        | Call::QueryValuesBatch { transaction, .. }
        | Call::EnumValues { transaction, .. }
        | Call::EnumSubkeys { transaction, .. } => (*transaction, Enlisted::Read),
        Call::SetValue { transaction, .. }
        | Call::DeleteValue { transaction, .. }
        | Call::BlanketTombstone { transaction, .. }
        | Call::DeleteKey { transaction, .. }
        | Call::HideKey { transaction, .. }
        | Call::SetSecurity { transaction, .. } => (*transaction, Enlisted::Change),
        Call::CreateKey { transaction, .. } => (*transaction, Enlisted::Creation),
        _ => return None,
    };
    (fd >= 0).then_some((fd, kind))
}

/// Whether a call may change anything at a source, which a kernel may do in a transaction of its own.
pub(super) fn may_change(call: &Call) -> bool {
    matches!(
        call,
        Call::CreateKey { .. }
            | Call::SetValue { .. }
            | Call::DeleteValue { .. }
            | Call::BlanketTombstone { .. }
            | Call::DeleteKey { .. }
            | Call::HideKey { .. }
            | Call::SetSecurity { .. }
    )
}

/// The part of a call that is judged.
pub(super) fn asked(call: &Call) -> Option<Asked<'_>> {
    Some(match call {
        Call::OpenKey { parent, path, desired_access, .. } => {
            let path = before_null(path);
            Asked::Path { parent: *parent, path, access: *desired_access, creation: None }
        }
        Call::CreateKey { parent, path, desired_access, flags, layer, .. } => {
            let (path, layer) =
                (before_null(path), before_null(layer.as_deref().unwrap_or_default()));
            let creation = Some(Creation { flags: *flags, layer });
            Asked::Path { parent: *parent, path, access: *desired_access, creation }
        }
        Call::QueryValue { fd, name, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::Query { name } }
        }
        Call::SetValue { fd, name, value_type, data, layer, expected_sequence, .. } => {
            let write = Write {
                name,
                value_type: *value_type,
                data,
                layer,
                expected_sequence: *expected_sequence,
            };
            Asked::Key { fd: *fd, operation: KeyOperation::Set(write) }
        }
        Call::DeleteValue { fd, name, layer, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::Unset { name, layer } }
        }
        Call::BlanketTombstone { fd, layer, set, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::Blanket { layer, set: *set } }
        }
        Call::QueryValuesBatch { fd, .. } => Asked::Key { fd: *fd, operation: KeyOperation::Batch },
        Call::EnumValues { fd, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::EnumerateValue }
        }
        Call::EnumSubkeys { fd, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::EnumerateSubkey }
        }
        Call::QueryKeyInfo { fd, .. } => Asked::Key { fd: *fd, operation: KeyOperation::Info },
        Call::DeleteKey { fd, layer, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::Delete { layer } }
        }
        Call::HideKey { fd, layer, .. } => {
            Asked::Key { fd: *fd, operation: KeyOperation::Hide { layer } }
        }
        Call::GetSecurity { fd, security_info, .. } => {
            let operation = KeyOperation::GetSecurity { security_info: *security_info };
            Asked::Key { fd: *fd, operation }
        }
        Call::SetSecurity { fd, security_info, .. } => {
            let operation = KeyOperation::SetSecurity { security_info: *security_info };
            Asked::Key { fd: *fd, operation }
        }
        Call::Notify { fd, .. } => Asked::Key { fd: *fd, operation: KeyOperation::Notify },
        Call::Pass { fd, to } => Asked::Key { fd: *fd, operation: KeyOperation::Pass { to: *to } },
        Call::Flush { fd } => Asked::Key { fd: *fd, operation: KeyOperation::Flush },
        Call::Close { fd } => Asked::Key { fd: *fd, operation: KeyOperation::Close },
        _ => return None,
    })
}
