//! The public face of the kernel half.

use std::sync::Arc;

use abi::Errno;

use crate::configuration::AttachmentLimits;
use crate::device::Device;
use crate::env::{Env, UserMemory};
use crate::kernel::Kernel;
use crate::process::{Caller, File, Process};
use crate::security::Token;
use crate::stream::Stream;

/// A running kernel half. Clones are the same one; a new one is a reboot.
pub struct Lcs<E: Env> {
    kernel: Arc<Kernel<E>>,
}

impl<E: Env> Clone for Lcs<E> {
    fn clone(&self) -> Self {
        Self { kernel: Arc::clone(&self.kernel) }
    }
}

impl<E: Env> Lcs<E> {
    /// A kernel half that has just started: no source, the base layer alone.
    pub fn new(env: E) -> Self {
        Self { kernel: Kernel::new(env) }
    }

    /// A process with no fd open.
    pub fn new_process(&self) -> Process<E> {
        Process::new()
    }

    /// A system call by number; a value, or minus an error number. Numbers that are not served
    /// are ENOSYS (PSD-005 §6.2).
    pub async fn syscall(
        &self,
        caller: Caller<'_, E>,
        number: u64,
        arguments: [u64; 6],
        memory: &dyn UserMemory,
    ) -> i64 {
        let kernel = self.kernel.begin_operation();
        returned(kernel.syscall(caller, number, arguments, memory).await)
    }

    /// An ioctl on an fd; 0, or minus an error number (PSD-005 §6.3).
    pub async fn ioctl(
        &self,
        caller: Caller<'_, E>,
        fd: i32,
        request: u32,
        argument: u64,
        memory: &dyn UserMemory,
    ) -> i64 {
        let kernel = self.kernel.begin_operation();
        returned(kernel.ioctl(caller, fd, request, argument, memory).await)
    }

    /// `read(2)` of watch events without waiting: the number of bytes, or minus an error number.
    pub async fn read(
        &self,
        caller: Caller<'_, E>,
        fd: i32,
        buffer: u64,
        length: u64,
        memory: &dyn UserMemory,
    ) -> i64 {
        let read = match caller.process.get(fd) {
            Ok(File::Key(file)) => self.kernel.read_events(&file, buffer, length, memory),
            Ok(File::Transaction(_)) => Err(Errno::EINVAL),
            Ok(File::Stream(_)) => Err(Errno::EBADF),
            Err(errno) => Err(errno),
        };
        returned(read)
    }

    /// `poll(2)` without waiting: the bits of the events, or minus an error number.
    pub fn poll(&self, caller: Caller<'_, E>, fd: i32) -> i64 {
        match caller.process.get(fd) {
            Err(errno) => errno.returned(),
            Ok(File::Key(file)) => self.kernel.poll_events(&file),
            Ok(File::Transaction(file)) => self.kernel.poll_transaction(&file),
            Ok(File::Stream(_)) => Errno::EBADF.returned(),
        }
    }

    /// Closes an fd: 0, or -EBADF. Behind its last fd a key is dropped if no layer names it, and a
    /// transaction is aborted, whether the source can do that or not (PSD-005 §2.8, §5.1).
    pub async fn close(&self, caller: Caller<'_, E>, fd: i32) -> i64 {
        // Another fd, or a call under way, may still hold the description.
        match caller.process.take(fd) {
            Err(errno) => return errno.returned(),
            Ok(File::Key(file)) => {
                if let Some(file) = Arc::into_inner(file) {
                    file.close().await;
                }
            }
            Ok(File::Transaction(file)) => {
                if let Some(file) = Arc::into_inner(file) {
                    file.close().await;
                }
            }
            // Whoever installed it keeps what becomes of it.
            Ok(File::Stream(_)) => {}
        }
        0
    }

    /// Gives a process an fd of a file, pipe or socket, for backups and restores (PSD-005 §6.3).
    ///
    /// # Errors
    /// EMFILE when the process can have no more.
    pub fn install_stream(
        &self,
        process: &Process<E>,
        stream: Arc<dyn Stream>,
    ) -> Result<i32, Errno> {
        process.install(File::Stream(stream))
    }

    /// The stream that an fd stands for, passed or duplicated ones included.
    ///
    /// # Errors
    /// EBADF for an fd that is not a stream's.
    pub fn stream(&self, process: &Process<E>, fd: i32) -> Result<Arc<dyn Stream>, Errno> {
        process.stream(fd)
    }

    /// Gives a process an fd of the same open key or transaction, as SCM_RIGHTS does, or dup()
    /// where it is the caller's own. What was granted at the open goes with it (PSD-005 §2.1, §6.1).
    ///
    /// # Errors
    /// EBADF for an fd that is not open, EMFILE when the process can have no more.
    pub fn pass(&self, caller: Caller<'_, E>, fd: i32, to: &Process<E>) -> Result<i32, Errno> {
        to.install(caller.process.get(fd)?)
    }

    /// Opens `/dev/pkm_registry`.
    ///
    /// # Errors
    /// EPERM without SeTcbPrivilege (`REG-01`).
    pub fn open_device(&self, token: &Arc<Token>) -> Result<Device<E>, Errno> {
        Device::open(Arc::clone(&self.kernel), token)
    }

    /// How much may be attached to a token now; whoever attaches it asks (PSD-005 §11.4, P-133).
    #[must_use]
    pub fn attachment_limits(&self) -> AttachmentLimits {
        self.kernel.begin_operation().parameters.attachment_limits()
    }

    /// Completes when the kernel half has no task of its own running: no layers being loaded, no
    /// layer deletion being replayed, no key being dropped, no transaction being ended.
    pub async fn settled(&self) {
        self.kernel.settled().await;
    }
}

fn returned(result: Result<i64, Errno>) -> i64 {
    result.unwrap_or_else(Errno::returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls run on any thread of a host, so their futures have to be able to move.
    #[expect(dead_code, reason = "compiling it is the test")]
    fn calls_can_move_between_threads<E: Env>(
        lcs: &Lcs<E>,
        caller: Caller<'_, E>,
        memory: &dyn UserMemory,
    ) {
        fn moves<T: Send>(_: T) {}
        moves(lcs.syscall(caller, 0, [0; 6], memory));
        moves(lcs.ioctl(caller, 0, 0, 0, memory));
        moves(lcs.close(caller, 0));
        moves(lcs.settled());
    }
}
