//! Backup and restore of a key with everything below it, through a stream (PSD-005 §6.3, §9.1;
//! `BAK-*`, `RST-*`, D-15, D-100..D-105).
//!
//! The format is the kernel half's own ([`format`], [`reader`]); a source sees requests of one
//! transaction, which a [`channel`] sends: of a snapshot that a [`walk`] goes through twice, or of the
//! one that a [`restore`] writes in. A backup holds nobody up. A restore keeps others from changing
//! its hive as a transaction does, and from getting sequence numbers.

mod awaited;
mod channel;
mod format;
mod output;
mod reader;
mod restore;
mod snapshot;
mod survey;
mod walk;

use std::sync::Arc;

use abi::Errno;
use abi::layout::{BackupArgs, RestoreArgs};
use rsi::Guid;

pub use self::restore::Restored;
use crate::audit::Transfer;
use crate::env::Env;
use crate::ioctls::Call;
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::security::{Privileges, Token};
use crate::user;

impl<E: Env> Kernel<E> {
    /// `REG_IOC_BACKUP`.
    pub(crate) async fn ioctl_backup(self: &Arc<Self>, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let args: BackupArgs = user::read(memory, argument)?;
        if !token.has_privilege(Privileges::BACKUP) {
            return Err(Errno::EPERM);
        }
        let output = process.stream(args.output_fd)?;
        if !output.is_writable() {
            return Err(Errno::EBADF);
        }
        self.check_subtree_root(file)?;
        let snapshot = self.take_snapshot(file.position.hive()).await?;
        let started = self.start_transfer(Transfer::Backup, token, file, args.output_fd)?;
        let written = self.write_backup(&snapshot, file, &*output).await;
        snapshot.release().await;
        started.end(written)
    }

    /// `REG_IOC_RESTORE`.
    pub(crate) async fn ioctl_restore(self: &Arc<Self>, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let args: RestoreArgs = user::read(memory, argument)?;
        if !token.has_privilege(Privileges::RESTORE) {
            return Err(Errno::EPERM);
        }
        let input = process.stream(args.input_fd)?;
        if !input.is_readable() {
            return Err(Errno::EBADF);
        }
        self.check_subtree_root(file)?;
        let transaction = self.begin_restore(file.position.hive()).await?;
        let started = self.start_transfer(Transfer::Restore, token, file, args.input_fd)?;
        let restored = self.restore(transaction, file, token, &*input).await;
        started.end(restored)
    }

    /// An orphan is the root of no subtree (`DEL-41`, D-64). Whether a key is gone that is not known for
    /// one, its source is asked when the transaction has begun (`RST-19`, P-201).
    fn check_subtree_root(&self, file: &KeyFile<E>) -> Result<(), Errno> {
        if self.state().is_orphaned(file.key()) { Err(Errno::ENOENT) } else { Ok(()) }
    }

    fn start_transfer<'a>(
        self: &'a Arc<Self>,
        transfer: Transfer,
        token: &'a Token,
        file: &KeyFile<E>,
        fd: i32,
    ) -> Result<Started<'a, E>, Errno> {
        let key = file.key().guid;
        self.audit_transfer_start(transfer, token, key, fd)?;
        Ok(Started { kernel: self, transfer, token, key, is_over: false })
    }
}

/// A transfer whose start has been recorded, so that its end has to be (`AUD-12`, `AUD-14`).
struct Started<'a, E: Env> {
    kernel: &'a Arc<Kernel<E>>,
    transfer: Transfer,
    token: &'a Token,
    key: Guid,
    is_over: bool,
}

impl<E: Env> Started<'_, E> {
    fn end(mut self, result: Result<(), Errno>) -> Result<(), Errno> {
        self.is_over = true;
        self.kernel.audit_transfer_end(self.transfer, self.token, self.key, result);
        result
    }
}

impl<E: Env> Drop for Started<'_, E> {
    /// A caller that goes away in the middle (P-230).
    fn drop(&mut self) {
        if !self.is_over {
            let gone = Err(Errno::EIO);
            self.kernel.audit_transfer_end(self.transfer, self.token, self.key, gone);
        }
    }
}
