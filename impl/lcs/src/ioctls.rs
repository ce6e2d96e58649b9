//! Ioctls on key fds and on transaction fds: structures in, structures and buffers out (PSD-005
//! §6.3, §11.2; `IOC-*`, D-11..D-14).
//!
//! What belongs to another kind of fd is ENOTTY.

use std::sync::Arc;

use abi::ioctl::{
    REG_IOC_BACKUP, REG_IOC_BLANKET_TOMBSTONE, REG_IOC_COMMIT, REG_IOC_DELETE_KEY,
    REG_IOC_DELETE_VALUE, REG_IOC_ENUM_SUBKEYS, REG_IOC_ENUM_VALUES, REG_IOC_FLUSH,
    REG_IOC_GET_SECURITY, REG_IOC_HIDE_KEY, REG_IOC_NOTIFY, REG_IOC_QUERY_KEY_INFO,
    REG_IOC_QUERY_VALUE, REG_IOC_QUERY_VALUES_BATCH, REG_IOC_RESTORE, REG_IOC_SET_SECURITY,
    REG_IOC_SET_VALUE, REG_IOC_TXN_STATUS,
};
use abi::layout::{BlanketTombstoneArgs, DeleteKeyArgs, DeleteValueArgs, SetValueArgs};
use abi::value_type::{REG_TOMBSTONE, is_user_visible};
use abi::{DELETE, Errno, KEY_SET_VALUE};
use rsi::Request;

use crate::env::{Env, UserMemory};
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::process::{Caller, File, Process};
use crate::security::Token;
use crate::transactions::Enlisted;
use crate::turns::Share;
use crate::user;
use crate::values::ValueWrite;

/// An ioctl being served: by whom it was called, on what, and with which memory.
#[derive(Clone, Copy)]
pub struct Call<'a, E: Env> {
    /// The open file description.
    pub file: &'a KeyFile<E>,
    /// Whose fds the structure's numbers mean.
    pub process: &'a Process<E>,
    /// The calling thread's token.
    pub token: &'a Token,
    /// Address of the argument structure.
    pub argument: u64,
    /// The caller's memory.
    pub memory: &'a dyn UserMemory,
}

/// Refuses a structure that sets what it must not; `txn_fd` below -1 is as good as reserved.
///
/// # Errors
/// EINVAL.
pub fn validate_reserved(reserved_is_zero: bool, txn_fd: i32) -> Result<(), Errno> {
    if reserved_is_zero && txn_fd >= -1 { Ok(()) } else { Err(Errno::EINVAL) }
}

impl<E: Env> Kernel<E> {
    /// Any ioctl on an fd.
    ///
    /// # Errors
    /// EBADF, ENOTTY, and those of the ioctl.
    pub async fn ioctl(
        self: &Arc<Self>,
        caller: Caller<'_, E>,
        fd: i32,
        request: u32,
        argument: u64,
        memory: &dyn UserMemory,
    ) -> Result<i64, Errno> {
        let Caller { process, token } = caller;
        let result = match process.get(fd)? {
            File::Key(file) => {
                let call = Call { file: &file, process, token, argument, memory };
                self.ioctl_on_key(call, request).await
            }
            File::Transaction(file) => match request {
                REG_IOC_COMMIT => self.commit(&file).await,
                REG_IOC_TXN_STATUS => self.transaction_status(&file, argument, memory),
                _ => Err(Errno::ENOTTY),
            },
            File::Stream(_) => Err(Errno::ENOTTY),
        };
        result.map(|()| 0)
    }

    /// Mutations are several times as large as reads, which would have to have that much memory moved for them too if
    /// they were not kept apart.
    async fn ioctl_on_key(self: &Arc<Self>, call: Call<'_, E>, request: u32) -> Result<(), Errno> {
        match request {
            REG_IOC_QUERY_VALUE => self.ioctl_query_value(call).await,
            REG_IOC_SET_VALUE => Box::pin(self.ioctl_set_value(call)).await,
            REG_IOC_DELETE_VALUE => Box::pin(self.ioctl_delete_value(call)).await,
            REG_IOC_BLANKET_TOMBSTONE => Box::pin(self.ioctl_blanket_tombstone(call)).await,
            REG_IOC_QUERY_VALUES_BATCH => self.ioctl_query_values_batch(call).await,
            REG_IOC_ENUM_VALUES => self.ioctl_enum_values(call).await,
            REG_IOC_ENUM_SUBKEYS => self.ioctl_enum_subkeys(call).await,
            REG_IOC_QUERY_KEY_INFO => self.ioctl_query_key_info(call).await,
            REG_IOC_DELETE_KEY => Box::pin(self.ioctl_remove_key(call, true)).await,
            REG_IOC_HIDE_KEY => Box::pin(self.ioctl_remove_key(call, false)).await,
            REG_IOC_GET_SECURITY => self.ioctl_get_security(call).await,
            REG_IOC_SET_SECURITY => Box::pin(self.ioctl_set_security(call)).await,
            REG_IOC_NOTIFY => self.ioctl_notify(call),
            REG_IOC_FLUSH => self.ioctl_flush(call).await,
            REG_IOC_BACKUP => self.ioctl_backup(call).await,
            REG_IOC_RESTORE => Box::pin(self.ioctl_restore(call)).await,
            _ => Err(Errno::ENOTTY),
        }
    }

    /// Makes a mutation of a key part of the transaction that it names.
    async fn enlist_mutation(&self, call: Call<'_, E>, txn_fd: i32) -> Result<Enlisted<E>, Errno> {
        self.enlist(call.process, txn_fd, Share::Alone, call.file.position.hive()).await
    }

    /// The order is that of D-12.
    async fn ioctl_set_value(self: &Arc<Self>, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, token, argument, memory, .. } = call;
        let args: SetValueArgs = user::read(memory, argument)?;
        validate_reserved(args.pad0 | args.pad1 | args.pad2 == 0, args.txn_fd)?;
        file.require(KEY_SET_VALUE)?;
        let name = user::read_value_name(memory, args.name_ptr, args.name_len, &self.parameters)?;
        let layer =
            user::read_layer_name(memory, args.layer_ptr, args.layer_len, &self.parameters)?;
        let is_tombstone = args.value_type == REG_TOMBSTONE;
        if !is_tombstone && !is_user_visible(args.value_type) || is_tombstone && args.data_len != 0
        {
            return Err(Errno::EINVAL);
        }
        if args.data_len > self.parameters.value_size_max() {
            return Err(Errno::ENOSPC);
        }
        self.authorize_layer(&layer, token)?;
        let length = usize::try_from(args.data_len).map_err(|_| Errno::ENOSPC)?;
        let write = ValueWrite {
            name: &name,
            layer: &layer,
            value_type: args.value_type,
            data: user::read_bytes(memory, args.data_ptr, length)?,
            expected_sequence: args.expected_seq,
        };
        self.authorize_precedence(file, token, &write)?;
        let enlisted = self.enlist_mutation(call, args.txn_fd).await?;
        self.set_value(file, token, write, enlisted.transaction()).await
    }

    async fn ioctl_delete_value(self: &Arc<Self>, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, token, argument, memory, .. } = call;
        let args: DeleteValueArgs = user::read(memory, argument)?;
        validate_reserved(args.pad0 | args.pad1 | args.pad2 == 0, args.txn_fd)?;
        file.require(KEY_SET_VALUE)?;
        let name = user::read_value_name(memory, args.name_ptr, args.name_len, &self.parameters)?;
        let layer =
            user::read_layer_name(memory, args.layer_ptr, args.layer_len, &self.parameters)?;
        self.authorize_layer(&layer, token)?;
        let enlisted = self.enlist_mutation(call, args.txn_fd).await?;
        self.delete_value(file, token, &name, &layer, enlisted.transaction()).await
    }

    async fn ioctl_blanket_tombstone(self: &Arc<Self>, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, token, argument, memory, .. } = call;
        let args: BlanketTombstoneArgs = user::read(memory, argument)?;
        let reserved_is_zero = args.pad0 == 0 && args.pad1 == [0; 3] && args.set <= 1;
        validate_reserved(reserved_is_zero, args.txn_fd)?;
        file.require(KEY_SET_VALUE)?;
        let layer =
            user::read_layer_name(memory, args.layer_ptr, args.layer_len, &self.parameters)?;
        self.authorize_layer(&layer, token)?;
        let enlisted = self.enlist_mutation(call, args.txn_fd).await?;
        self.set_blanket(file, token, &layer, args.set == 1, enlisted.transaction()).await
    }

    /// Deletion and hiding take the same structure, in the order of D-13.
    async fn ioctl_remove_key(
        self: &Arc<Self>,
        call: Call<'_, E>,
        delete: bool,
    ) -> Result<(), Errno> {
        let Call { file, token, argument, memory, .. } = call;
        let args: DeleteKeyArgs = user::read(memory, argument)?;
        validate_reserved(args.pad0 | args.pad1 == 0, args.txn_fd)?;
        file.require(DELETE)?;
        let layer =
            user::read_layer_name(memory, args.layer_ptr, args.layer_len, &self.parameters)?;
        let removal = self.authorize_removal(file, token, &layer)?;
        let enlisted = self.enlist_mutation(call, args.txn_fd).await?;
        let transaction = enlisted.transaction();
        if delete {
            self.delete_key(file, token, removal, &layer, transaction).await
        } else {
            self.hide_key(file, token, removal, &layer, transaction).await
        }
    }

    async fn ioctl_flush(&self, call: Call<'_, E>) -> Result<(), Errno> {
        call.file.require(KEY_SET_VALUE)?;
        let hive = call.file.position.hive();
        let hive_name = self.state().hive(hive).name.clone().into_bytes();
        Ok(self.tell(hive.slot, Request::Flush { hive_name }, None).await?)
    }
}
