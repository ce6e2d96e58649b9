//! Typed questions to a source, one request each (PSD-005 §7.2).
//!
//! What comes back has been validated by the connection; a response of the wrong shape cannot
//! come, and would be malformed data.

use std::sync::Arc;

use abi::Errno;
use rsi::{KeyMetadata, PathEntry, Request, Response};

use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::resolve::{ChildGroup, Values};
use crate::source::{AnyEffect, Descriptors};
use crate::state::{KeyId, OpenKey, SlotId};
use crate::watches::{Knowledge, Question};

/// The entries of one name, and the keys they name.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Of every layer.
    pub entries: Vec<PathEntry>,
    /// Of each key named.
    pub metadata: Vec<KeyMetadata>,
}

/// The entries of all names below a key, and the keys they name.
#[derive(Debug, Default)]
pub struct Children {
    /// By name as stored.
    pub groups: Vec<ChildGroup>,
    /// Of each key named.
    pub metadata: Vec<KeyMetadata>,
}

impl<E: Env> Kernel<E> {
    /// `RSI_LOOKUP`. ENOENT is for a parent that is gone, or a source's way of saying that no
    /// layer has the name (D-92, P-09). `learning` takes in the answer as it arrives, here and in
    /// the questions below.
    pub async fn lookup(
        &self,
        parent: KeyId,
        name: &str,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<Lookup, Errno> {
        let learn = learning.map(|knowledge| Question::name(parent, name).learned_by(knowledge));
        match self.inquire(parent, lookup_of(parent, name), Descriptors::Checked, learn).await? {
            Response::Lookup { entries, metadata } => Ok(Lookup { entries, metadata }),
            _ => Err(Errno::EIO),
        }
    }

    /// As [`Kernel::lookup`] of the entries alone, whatever the descriptors of the keys that they
    /// name (P-75).
    pub async fn lookup_entries(
        &self,
        parent: KeyId,
        name: &str,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<Vec<PathEntry>, Errno> {
        let learn = learning.map(|knowledge| Question::name(parent, name).learned_by(knowledge));
        let request = lookup_of(parent, name);
        match self.inquire(parent, request, Descriptors::LeftToReader, learn).await? {
            Response::Lookup { entries, .. } => Ok(entries),
            _ => Err(Errno::EIO),
        }
    }

    /// `RSI_ENUM_CHILDREN`.
    pub async fn enum_children(&self, key: KeyId) -> Result<Children, Errno> {
        let request = Request::EnumChildren { parent: key.guid };
        children(self.inquire(key, request, Descriptors::Checked, None).await?)
    }

    /// As [`Kernel::enum_children`], but the descriptors are as the source gave them (P-75).
    pub async fn enum_children_unjudged(
        &self,
        key: KeyId,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<Children, Errno> {
        let learn = learning.map(|knowledge| Question::Children(key).learned_by(knowledge));
        let request = Request::EnumChildren { parent: key.guid };
        children(self.inquire(key, request, Descriptors::LeftToReader, learn).await?)
    }

    /// `RSI_READ_KEY`.
    pub async fn read_key(
        &self,
        key: KeyId,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<KeyMetadata, Errno> {
        let learn = learning.map(|knowledge| Question::Descriptor(key).learned_by(knowledge));
        let request = Request::ReadKey { guid: key.guid };
        match self.inquire(key, request, Descriptors::Checked, learn).await? {
            Response::ReadKey { sd, volatile_key, symlink, last_write_time, .. } => {
                Ok(KeyMetadata { guid: key.guid, sd, volatile_key, symlink, last_write_time })
            }
            _ => Err(Errno::EIO),
        }
    }

    /// `RSI_QUERY_VALUES` for one name.
    pub async fn query_value(
        &self,
        key: KeyId,
        name: &str,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<Values, Errno> {
        let learn = learning.map(|knowledge| Question::value(key, name).learned_by(knowledge));
        self.query(key, name, false, learn).await
    }

    /// `RSI_QUERY_VALUES` for all names.
    pub async fn query_values(
        &self,
        key: KeyId,
        learning: Option<&Arc<Knowledge>>,
    ) -> Result<Values, Errno> {
        let learn = learning.map(|knowledge| Question::Values(key).learned_by(knowledge));
        self.query(key, "", true, learn).await
    }

    async fn query(
        &self,
        key: KeyId,
        name: &str,
        query_all: bool,
        learn: Option<AnyEffect>,
    ) -> Result<Values, Errno> {
        let value_name = name.as_bytes().to_vec();
        let request = Request::QueryValues { guid: key.guid, value_name, query_all };
        match self.inquire(key, request, Descriptors::Checked, learn).await? {
            Response::QueryValues { entries, blankets } => Ok(Values { entries, blankets }),
            _ => Err(Errno::EIO),
        }
    }

    /// A request that answers with its status only.
    pub async fn tell(
        &self,
        slot: SlotId,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Result<(), Failure> {
        self.ask(slot, request, effect).await.map(|_| ())
    }

    /// Sets a key's last write time to now (P-08), in the key's transaction.
    pub async fn write_time(&self, key: KeyId) -> Result<(), Failure> {
        let request = Request::WriteKey {
            guid: key.guid,
            sd: None,
            last_write_time: Some(self.env.now()),
            undefined_fields: 0,
        };
        self.ask_in(key.transaction, key.slot, request, None).await.map(|_| ())
    }

    /// `RSI_DROP_KEY`. That a source could not is nobody's error (PSD-005 §2.8).
    pub async fn drop_key(&self, key: KeyId) {
        self.env.yield_point("drop key").await;
        let _ = self.tell(key.slot, Request::DropKey { guid: key.guid }, None).await;
    }

    /// Makes sure that a key is still there where the source has been away since it was last seen
    /// (P-06), and that one created in a transaction is there for who asks (D-20). A Down source is
    /// left for the operation itself to notice (P-05).
    ///
    /// # Errors
    /// ENOENT when it is gone, and those of a request.
    pub async fn ensure_present(&self, key: KeyId) -> Result<(), Errno> {
        let unseen = {
            let state = self.state();
            let incarnation = state.slot(key.slot).incarnation;
            let is_known = |open: &OpenKey| match open.created_in {
                None => open.seen == incarnation,
                created_in => created_in == key.transaction,
            };
            state.is_active(key.slot) && !state.open_keys.get(&key).is_some_and(is_known)
        };
        if unseen {
            // Only whether there is a record matters here (P-75).
            let request = Request::ReadKey { guid: key.guid };
            self.inquire(key, request, Descriptors::LeftToReader, None).await?;
            self.state().see_key(key);
            self.env.yield_point("key is present").await;
        }
        Ok(())
    }
}

fn lookup_of(parent: KeyId, name: &str) -> Request {
    Request::Lookup { parent: parent.guid, child_name: name.as_bytes().to_vec() }
}

fn children(response: Response) -> Result<Children, Errno> {
    match response {
        Response::EnumChildren { children, metadata } => {
            Ok(Children { groups: children, metadata })
        }
        _ => Err(Errno::EIO),
    }
}
