//! Reading and changing the descriptor of an open key (PSD-005 §6.3, §3.1, §2.6; D-11, D-31,
//! `SEC-53`..`SEC-57`).
//!
//! A descriptor belongs to the key and to no layer. Who has the key open keeps what was granted.

use std::sync::Arc;

use abi::Errno;
use abi::layout::{GetSecurityArgs, SetSecurityArgs};
use rsi::{Request, TransactionId};

use crate::change::{AcceptedChange, Effect};
use crate::env::Env;
use crate::ioctls::{Call, validate_reserved};
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::mutation::FollowUp;
use crate::read_ioctls::validate_writable;
use crate::security::{
    Components, DescriptorSubset, SECURITY_DESCRIPTOR_LENGTH_MAX, SecurityDescriptor, Token,
};
use crate::state::KeyId;
use crate::turns::Share;
use crate::user::{self, Output};
use crate::watches::Knowledge;

impl<E: Env> Kernel<E> {
    pub(crate) async fn ioctl_get_security(&self, call: Call<'_, E>) -> Result<(), Errno> {
        let Call { file, argument, memory, .. } = call;
        let mut args: GetSecurityArgs = user::read(memory, argument)?;
        let components = Components::from_bits(args.security_info)?;
        file.require(components.rights_to_read())?;
        validate_writable::<GetSecurityArgs>(memory, argument)?;
        let buffer = Output::new(memory, args.sd_ptr, args.sd_len)?;
        let bytes = self.key_descriptor(file.key(), None).await?.to_bytes_of(components);
        args.sd_len = user::size(&bytes);
        if !buffer.holds(&bytes) {
            user::write(memory, argument, &args)?;
            return Err(Errno::ERANGE);
        }
        buffer.fill(memory, &bytes)?;
        user::write(memory, argument, &args)
    }

    pub(crate) async fn ioctl_set_security(
        self: &Arc<Self>,
        call: Call<'_, E>,
    ) -> Result<(), Errno> {
        let Call { file, process, token, argument, memory } = call;
        let args: SetSecurityArgs = user::read(memory, argument)?;
        validate_reserved(args.pad == 0, args.txn_fd)?;
        let components = Components::from_bits(args.security_info)?;
        file.require(components.rights_to_write())?;
        let length = usize::try_from(args.sd_len).map_err(|_| Errno::EINVAL)?;
        if length > SECURITY_DESCRIPTOR_LENGTH_MAX {
            return Err(Errno::EINVAL);
        }
        let bytes = user::read_bytes(memory, args.sd_ptr, length)?;
        let given = DescriptorSubset::parse(&bytes, components).map_err(|_| Errno::EINVAL)?;
        authorize_owner(token, &given)?;
        let hive = file.position.hive();
        let enlisted = self.enlist(process, args.txn_fd, Share::Alone, hive).await?;
        self.set_security(file, given, enlisted.transaction()).await
    }

    /// The descriptor as the source has it now.
    async fn key_descriptor(
        &self,
        key: KeyId,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<SecurityDescriptor, Errno> {
        let metadata = self.read_key(key, learning).await?;
        SecurityDescriptor::parse(&metadata.sd).map_err(|_| Errno::EIO)
    }

    /// Replaces components of a key's descriptor, and the last write time with it.
    async fn set_security(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        given: DescriptorSubset,
        transaction: Option<TransactionId>,
    ) -> Result<(), Errno> {
        self.join(transaction, file.position.hive()).await?;
        let (change, key, _turn) = self.begin_value_change(file, transaction).await;
        let present = self.key_descriptor(key, Some(&change.known)).await?;
        let merged = given.merge_into(present).map_err(|_| Errno::EINVAL)?;
        let sd = merged.to_bytes();
        self.env.yield_point("write the descriptor").await;
        let request = Request::WriteKey {
            guid: key.guid,
            sd: Some(sd.clone()),
            last_write_time: Some(self.env.now()),
            undefined_fields: 0,
        };
        let told = AcceptedChange::of(&file.position, Effect::SecuritySet { sd });
        self.mutate(&change, Vec::new(), request, FollowUp::default(), None, told).await?
    }
}

/// Whether the caller may give the key to the owner that it names (`ACC-48`, P-109).
fn authorize_owner(token: &Token, given: &DescriptorSubset) -> Result<(), Errno> {
    match given.owner() {
        Some(owner) if !token.may_assign_owner(owner) => Err(Errno::EPERM),
        _ => Ok(()),
    }
}
