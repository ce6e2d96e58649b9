//! `/dev/pkm_registry` as a source process holds it: the privilege, the registration ioctl, and
//! the connection (PSD-005 §7.1, §11.2; `REG-01`..`REG-11`, `ABI-42`..`ABI-45`).

use std::sync::Arc;

use abi::ioctl::REG_SRC_REGISTER;
use abi::layout::{SourceHiveEntry, SourceRegisterArgs};
use abi::{Errno, Structure};
use rsi::Guid;

use crate::env::{Env, UserMemory};
use crate::kernel::Kernel;
use crate::limits::HIVE_ENTRIES_READ_MAX;
use crate::registration::{HiveRegistration, Registration};
use crate::security::{Privileges, Token};
use crate::source::{self, Readiness};
use crate::user;

/// An open source device. Dropping it is the source's disconnection.
pub struct Device<E: Env> {
    kernel: Arc<Kernel<E>>,
    token: Arc<Token>,
    wire: source::Device<E>,
}

impl<E: Env> Device<E> {
    pub(crate) fn open(kernel: Arc<Kernel<E>>, token: &Arc<Token>) -> Result<Self, Errno> {
        check_privilege(token)?;
        Ok(Self { kernel, token: Arc::clone(token), wire: source::Device::new() })
    }

    /// Registers hives, as the process that opened the device.
    ///
    /// # Errors
    /// EPERM, EINVAL, ENOSPC, EOVERFLOW, EEXIST, ESTALE (D-91).
    pub fn register(&self, registration: &Registration) -> Result<(), Errno> {
        check_privilege(&self.token)?;
        self.kernel.begin_operation().register(&self.wire, registration)
    }

    /// An ioctl on the device by a thread with `token`; 0, or minus an error number.
    pub fn ioctl(
        &self,
        token: &Token,
        request: u32,
        argument: u64,
        memory: &dyn UserMemory,
    ) -> i64 {
        match self.register_from(token, request, argument, memory) {
            Ok(()) => 0,
            Err(errno) => errno.returned(),
        }
    }

    fn register_from(
        &self,
        token: &Token,
        request: u32,
        argument: u64,
        memory: &dyn UserMemory,
    ) -> Result<(), Errno> {
        if request != REG_SRC_REGISTER {
            return Err(Errno::ENOTTY);
        }
        check_privilege(token)?;
        let kernel = self.kernel.begin_operation();
        let length_max = kernel.parameters.component_length_max();
        let args: SourceRegisterArgs = user::read(memory, argument)?;
        if args.pad != 0 || args.hive_count == 0 {
            return Err(Errno::EINVAL);
        }
        let count = usize::try_from(args.hive_count).map_err(|_| Errno::ENOSPC)?;
        if count > HIVE_ENTRIES_READ_MAX {
            return Err(Errno::ENOSPC);
        }
        let length = count * SourceHiveEntry::SIZE;
        let entries = user::read_bytes(memory, args.hives_ptr, length)?;
        let hives: Result<Vec<HiveRegistration>, Errno> = entries
            .chunks(SourceHiveEntry::SIZE)
            .map(|bytes| read_hive(memory, SourceHiveEntry::from_bytes(bytes), length_max))
            .collect();
        let registration = Registration { hives: hives?, max_sequence: args.max_sequence };
        kernel.register(&self.wire, &registration)
    }

    /// Waits for the next request and returns all of it.
    ///
    /// # Errors
    /// EINVAL before registration, EIO once the connection has ended.
    pub async fn read(&self) -> Result<Vec<u8>, Errno> {
        self.wire.read().await
    }

    /// As [`Device::read`] into a buffer of `capacity` bytes.
    ///
    /// # Errors
    /// Also EMSGSIZE when the next request is longer; it stays the next.
    pub async fn read_with_capacity(&self, capacity: usize) -> Result<Vec<u8>, Errno> {
        self.wire.read_with_capacity(capacity).await
    }

    /// Returns the next request if there is one and it fits `capacity` bytes.
    ///
    /// # Errors
    /// EAGAIN when there is none, else as [`Device::read_with_capacity`].
    pub fn try_read_with_capacity(&self, capacity: usize) -> Result<Vec<u8>, Errno> {
        self.wire.try_read_with_capacity(capacity)
    }

    /// Takes one whole response, and returns its length.
    ///
    /// # Errors
    /// EINVAL for what is no response to an unanswered request; the connection ends then (D-90).
    pub fn write(&self, frame: &[u8]) -> Result<usize, Errno> {
        self.wire.write(frame).map(|()| frame.len())
    }

    /// What poll() reports.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.wire.readiness()
    }

    /// Disconnects, as dropping the device does.
    pub fn close(&self) {
        self.wire.close();
    }
}

fn check_privilege(token: &Token) -> Result<(), Errno> {
    if token.has_privilege(Privileges::TCB) { Ok(()) } else { Err(Errno::EPERM) }
}

fn read_hive(
    memory: &dyn UserMemory,
    entry: Option<SourceHiveEntry>,
    length_max: usize,
) -> Result<HiveRegistration, Errno> {
    let entry = entry.ok_or(Errno::EFAULT)?;
    let length = usize::try_from(entry.name_len).map_err(|_| Errno::EINVAL)?;
    if entry.pad0 | entry.pad1 != 0 || length > length_max {
        return Err(Errno::EINVAL);
    }
    Ok(HiveRegistration {
        name: user::read_bytes(memory, entry.name_ptr, length)?,
        root: Guid(entry.root_guid),
        flags: entry.flags,
        scope: Guid(entry.scope_guid),
    })
}
