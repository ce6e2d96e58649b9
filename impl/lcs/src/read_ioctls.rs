//! The ioctls that fill buffers: a probe or a short buffer learns the size it needs, a good one
//! gets everything, and nothing in between is ever seen (PSD-005 §6.3; `BUF-*`, D-14).

use abi::layout::{
    EnumSubkeyArgs, EnumValueArgs, QueryKeyInfoArgs, QueryValueArgs, QueryValuesBatchArgs,
};
use abi::{Errno, KEY_ENUMERATE_SUB_KEYS, KEY_QUERY_VALUE, READ_CONTROL, Structure};

use crate::env::{Env, UserMemory};
use crate::ioctls::{Call, validate_reserved};
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::process::Process;
use crate::state::KeyId;
use crate::transactions::Enlisted;
use crate::turns::Share;
use crate::user::{self, Output};

/// Checks before any request that the results can be handed over.
///
/// # Errors
/// EFAULT.
pub fn validate_writable<T: Structure>(
    memory: &dyn UserMemory,
    argument: u64,
) -> Result<(), Errno> {
    if memory.is_writable(argument, T::SIZE as u64) { Ok(()) } else { Err(Errno::EFAULT) }
}

impl<E: Env> Kernel<E> {
    /// The key as it is to be read: in the transaction, if that is bound (`TXN-18`, `TXN-19`).
    async fn key_to_read(
        &self,
        process: &Process<E>,
        txn_fd: i32,
        file: &KeyFile<E>,
    ) -> Result<(KeyId, Enlisted<E>), Errno> {
        let enlisted = self.enlist(process, txn_fd, Share::Read, file.position.hive()).await?;
        Ok((self.key_within(enlisted.transaction(), file.key()), enlisted))
    }

    pub(crate) async fn ioctl_query_value(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let mut args: QueryValueArgs = user::read(memory, argument)?;
        validate_reserved(args.pad0 | args.pad1 == 0, args.txn_fd)?;
        file.require(KEY_QUERY_VALUE)?;
        let name = user::read_value_name(memory, args.name_ptr, args.name_len, &self.parameters)?;
        validate_writable::<QueryValueArgs>(memory, argument)?;
        let data = Output::new(memory, args.data_ptr, args.data_len)?;
        let layer = Output::new(memory, args.layer_ptr, args.layer_buf_len)?;
        let (key, _enlisted) = self.key_to_read(process, args.txn_fd, file).await?;
        let found = self.effective_value(key, token, &name).await?;
        args.data_len = user::size(&found.data);
        args.layer_len = user::size(found.layer.as_bytes());
        if !data.holds(&found.data) || !layer.holds(found.layer.as_bytes()) {
            user::write(memory, argument, &args)?;
            return Err(Errno::ERANGE);
        }
        args.value_type = found.value_type;
        args.sequence = found.sequence;
        data.fill(memory, &found.data)?;
        layer.fill(memory, found.layer.as_bytes())?;
        user::write(memory, argument, &args)
    }

    pub(crate) async fn ioctl_query_values_batch(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let mut args: QueryValuesBatchArgs = user::read(memory, argument)?;
        validate_reserved(args.pad == 0, args.txn_fd)?;
        file.require(KEY_QUERY_VALUE)?;
        validate_writable::<QueryValuesBatchArgs>(memory, argument)?;
        let buffer = Output::new(memory, args.buf_ptr, args.buf_len)?;
        let (key, _enlisted) = self.key_to_read(process, args.txn_fd, file).await?;
        let values = self.all_values(key, token).await?;
        let mut packed = Vec::new();
        for value in &values {
            packed.extend_from_slice(&user::size(value.name.as_bytes()).to_le_bytes());
            packed.extend_from_slice(value.name.as_bytes());
            packed.extend_from_slice(&value.value_type.to_le_bytes());
            packed.extend_from_slice(&user::size(&value.data).to_le_bytes());
            packed.extend_from_slice(&value.data);
        }
        args.buf_len = user::size(&packed);
        if !buffer.holds(&packed) {
            user::write(memory, argument, &args)?;
            return Err(Errno::ERANGE);
        }
        args.count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        buffer.fill(memory, &packed)?;
        user::write(memory, argument, &args)
    }

    pub(crate) async fn ioctl_enum_values(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let mut args: EnumValueArgs = user::read(memory, argument)?;
        validate_reserved(args.pad == 0, args.txn_fd)?;
        file.require(KEY_QUERY_VALUE)?;
        validate_writable::<EnumValueArgs>(memory, argument)?;
        let name = Output::new(memory, args.name_ptr, args.name_len)?;
        let data = Output::new(memory, args.data_ptr, args.data_len)?;
        let (key, _enlisted) = self.key_to_read(process, args.txn_fd, file).await?;
        let values = self.all_values(key, token).await?;
        let index = usize::try_from(args.index).map_err(|_| Errno::ENOENT)?;
        let value = values.get(index).ok_or(Errno::ENOENT)?;
        args.name_len = user::size(value.name.as_bytes());
        args.data_len = user::size(&value.data);
        if !name.holds(value.name.as_bytes()) || !data.holds(&value.data) {
            user::write(memory, argument, &args)?;
            return Err(Errno::ERANGE);
        }
        args.value_type = value.value_type;
        name.fill(memory, value.name.as_bytes())?;
        data.fill(memory, &value.data)?;
        user::write(memory, argument, &args)
    }

    pub(crate) async fn ioctl_enum_subkeys(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let mut args: EnumSubkeyArgs = user::read(memory, argument)?;
        validate_reserved(args.pad == 0, args.txn_fd)?;
        file.require(KEY_ENUMERATE_SUB_KEYS)?;
        validate_writable::<EnumSubkeyArgs>(memory, argument)?;
        let name = Output::new(memory, args.name_ptr, args.name_len)?;
        let (key, _enlisted) = self.key_to_read(process, args.txn_fd, file).await?;
        let (subkey, hold) = self.subkey(key, token, args.index).await?;
        args.name_len = user::size(subkey.name.as_bytes());
        if !name.holds(subkey.name.as_bytes()) {
            user::write(memory, argument, &args)?;
            return Err(Errno::ERANGE);
        }
        self.env.yield_point("count below a subkey").await;
        let extent = self.extent(key.beside(subkey.guid), token).await?;
        drop(hold);
        args.last_write_time = subkey.last_write_time;
        args.subkey_count = extent.subkey_count;
        args.value_count = extent.value_count;
        name.fill(memory, subkey.name.as_bytes())?;
        user::write(memory, argument, &args)
    }

    pub(crate) async fn ioctl_query_key_info(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, token, argument, memory, .. } = call;
        let mut args: QueryKeyInfoArgs = user::read(memory, argument)?;
        validate_reserved(args.pad0 == 0, -1)?;
        file.require(READ_CONTROL)?;
        validate_writable::<QueryKeyInfoArgs>(memory, argument)?;
        let buffer = Output::new(memory, args.name_ptr, args.name_len)?;
        let hive = file.position.hive();
        let info = self.key_info(file.key(), hive, token).await?;
        let name = if file.position.parent().is_none() {
            self.state().hive(hive).name.clone()
        } else {
            file.position.name().to_owned()
        };
        args.name_len = user::size(name.as_bytes());
        args.pad1 = [0; 6];
        if !buffer.holds(name.as_bytes()) {
            user::write(memory, argument, &args)?;
            return Err(Errno::ERANGE);
        }
        args.last_write_time = info.metadata.last_write_time;
        args.subkey_count = info.extent.subkey_count;
        args.value_count = info.extent.value_count;
        args.max_subkey_name_len = info.extent.subkey_name_length_max;
        args.max_value_name_len = info.extent.value_name_length_max;
        args.max_value_data_size = info.extent.value_size_max;
        args.sd_size = user::size(&info.metadata.sd);
        args.volatile_key = file.volatile_key.into();
        args.symlink = file.symlink.into();
        args.hive_generation = info.generation;
        buffer.fill(memory, name.as_bytes())?;
        user::write(memory, argument, &args)
    }
}
