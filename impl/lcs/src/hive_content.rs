//! The whole content of a hive, and what of it is seen under a layer table.
//!
//! A layer that comes, goes or changes rank bears on keys and values anywhere. Reading a hive once
//! and resolving it under the old and the new table gives every difference (PSD-005 §6.3, P-02,
//! D-70); that of a deleted layer too, since entries of a layer that is not in the table do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use abi::Errno;
use rsi::Guid;

use crate::env::Env;
use crate::kernel::Kernel;
use crate::layers::{LayerTable, View};
use crate::name::FoldedName;
use crate::resolve::{ChildGroup, Tie, Values};
use crate::state::{HiveId, KeyId};
use crate::turns::{Place, Share};

/// Everything that a source holds of one hive, of all layers.
pub struct HiveContent {
    root: Guid,
    keys: BTreeMap<Guid, KeyContent>,
}

struct KeyContent {
    children: Vec<ChildGroup>,
    values: Values,
}

/// A key as it is seen: its subkeys and its values, by name.
#[derive(Debug, PartialEq, Eq)]
pub struct EffectiveKey<'a> {
    /// Visible subkeys.
    pub children: BTreeMap<FoldedName, Guid>,
    /// Effective values, as type and data.
    pub values: BTreeMap<FoldedName, (u32, &'a [u8])>,
}

impl HiveContent {
    /// Whether both tables show the same keys with the same values.
    pub fn looks_alike(&self, before: &Arc<LayerTable>, after: &Arc<LayerTable>) -> bool {
        let before = self.effective(&View::global(Arc::clone(before)));
        let after = self.effective(&View::global(Arc::clone(after)));
        before == after
    }

    /// Every key that can be reached, with what is effective in it.
    ///
    /// # Errors
    /// A tie of two entries for a winner.
    pub fn effective(&self, view: &View) -> Result<BTreeMap<Guid, EffectiveKey<'_>>, Tie> {
        let mut seen = BTreeMap::new();
        let mut ahead = vec![self.root];
        // Each key is taken up once, so the loop ends even where a source's tree has a cycle.
        while let Some(guid) = ahead.pop() {
            let Some(content) = self.keys.get(&guid).filter(|_| !seen.contains_key(&guid)) else {
                continue;
            };
            let children: BTreeMap<FoldedName, Guid> = view
                .visible_children(&content.children)?
                .into_iter()
                .map(|(name, child)| (name, child.guid))
                .collect();
            let values = view
                .effective_values(&content.values)?
                .into_iter()
                .map(|(name, value)| (name, value.content()))
                .collect();
            ahead.extend(children.values());
            seen.insert(guid, EffectiveKey { children, values });
        }
        Ok(seen)
    }
}

impl<E: Env> Kernel<E> {
    /// Reads all of a hive, key by key.
    ///
    /// # Errors
    /// Those of a request.
    pub async fn read_hive(&self, hive: HiveId) -> Result<HiveContent, Errno> {
        let root = self.state().hive(hive).root;
        let mut keys = BTreeMap::new();
        let mut ahead = BTreeSet::from([root]);
        while let Some(guid) = ahead.pop_first() {
            let key = KeyId::in_hive(hive, guid);
            let content = self.read_key_content(key).await?;
            let below = content.children.iter().flat_map(|(_, entries)| entries);
            ahead.extend(below.filter_map(|entry| entry.target));
            keys.insert(guid, content);
            ahead.retain(|guid| !keys.contains_key(guid));
        }
        Ok(HiveContent { root, keys })
    }

    async fn read_key_content(&self, key: KeyId) -> Result<KeyContent, Errno> {
        self.env.yield_point("read a hive").await;
        let children = {
            let _turn = self.turns.take(Place::Children(key), Share::Read).await;
            absent_is_empty(self.enum_children_unjudged(key, None).await)?.groups
        };
        self.env.yield_point("read a hive").await;
        let values = absent_is_empty(self.query_values(key, None).await)?;
        Ok(KeyContent { children, values })
    }
}

/// A key that went away while its hive was being read holds nothing.
pub fn absent_is_empty<T: Default>(answer: Result<T, Errno>) -> Result<T, Errno> {
    match answer {
        Err(Errno::ENOENT) => Ok(T::default()),
        answer => answer,
    }
}
