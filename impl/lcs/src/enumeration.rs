//! What an open key shows of itself: its subkeys, its values, and numbers about both (PSD-005
//! §2.7, §6.3; `IOC-062`..`IOC-094`, P-04). The order is that of folded names.

use abi::Errno;
use rsi::{KeyMetadata, Operation};

use crate::env::Env;
use crate::gateway::Children;
use crate::kernel::Kernel;
use crate::layers::View;
use crate::limits::TABLE_RETRIES_MAX;
use crate::resolve::{Values, VisibleChild, text};
use crate::security::Token;
use crate::state::{HiveId, KeyId};
use crate::turns::{Place, Turn};
use crate::values::FoundValue;

/// A subkey with the numbers that an enumeration gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subkey {
    /// Name as the winning entry spells it.
    pub name: String,
    /// The key.
    pub guid: rsi::Guid,
    /// Unix nanoseconds.
    pub last_write_time: u64,
}

/// How many subkeys and values a key shows, and the greatest lengths among them, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Visible subkeys.
    pub subkey_count: u32,
    /// Effective values.
    pub value_count: u32,
    /// Longest subkey name.
    pub subkey_name_length_max: u32,
    /// Longest value name.
    pub value_name_length_max: u32,
    /// Largest value data.
    pub value_size_max: u32,
}

/// What a key tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The source's record.
    pub metadata: KeyMetadata,
    /// What it holds.
    pub extent: Extent,
    /// The hive's generation.
    pub generation: u64,
}

impl<E: Env> Kernel<E> {
    /// Every effective value of a key.
    ///
    /// # Errors
    /// EIO for a tie, and those of a request.
    pub async fn all_values(&self, key: KeyId, token: &Token) -> Result<Vec<FoundValue>, Errno> {
        let (view, values) = self.read_values(key, token, None).await?;
        let effective = view.effective_values(&values);
        let effective = self.unless_tied(key, Operation::QueryValues, effective)?;
        let found = effective.into_values().map(|value| FoundValue {
            name: text(value.name()),
            value_type: value.entry.value_type,
            data: value.entry.data.clone(),
            sequence: value.entry.sequence,
            layer: String::new(),
        });
        Ok(found.collect())
    }

    /// The visible subkey at an index, and a turn that keeps it there.
    ///
    /// # Errors
    /// ENOENT behind the last one, EIO for a tie, and those of a request.
    pub async fn subkey(
        &self,
        key: KeyId,
        token: &Token,
        index: u32,
    ) -> Result<(Subkey, Option<Turn>), Errno> {
        for attempt in 1.. {
            let view = View::of(self.layers(), token);
            let turn = self.turn_to_read(key, Place::Children(key)).await;
            let children = self.enum_children(key).await?;
            if attempt < TABLE_RETRIES_MAX && self.is_stale(view.table()) {
                continue;
            }
            let visible = view.visible_children(&children.groups);
            let visible = self.unless_tied(key, Operation::EnumChildren, visible)?;
            let index = usize::try_from(index).map_err(|_| Errno::ENOENT)?;
            let child = visible.into_values().nth(index).ok_or(Errno::ENOENT)?;
            let VisibleChild { name, guid } = child;
            let metadata = children.metadata.iter().find(|key| key.guid == guid);
            let last_write_time = metadata.ok_or(Errno::EIO)?.last_write_time;
            return Ok((Subkey { name, guid, last_write_time }, turn));
        }
        Err(Errno::EIO)
    }

    /// What a key holds.
    ///
    /// # Errors
    /// EIO for a tie, and those of a request.
    pub async fn extent(&self, key: KeyId, token: &Token) -> Result<Extent, Errno> {
        let (view, children, values, _) = self.read_extent(key, token, false).await?;
        self.extent_of(key, &view, &children, &values)
    }

    /// What a key tells of itself, all of one moment.
    ///
    /// # Errors
    /// ENOENT when the key is gone, EIO for a tie, and those of a request.
    pub async fn key_info(
        &self,
        key: KeyId,
        hive: HiveId,
        token: &Token,
    ) -> Result<KeyInfo, Errno> {
        let (view, children, values, metadata) = self.read_extent(key, token, true).await?;
        let extent = self.extent_of(key, &view, &children, &values)?;
        let generation = self.state().hive(hive).generation;
        Ok(KeyInfo { metadata: metadata.ok_or(Errno::EIO)?, extent, generation })
    }

    async fn read_extent(
        &self,
        key: KeyId,
        token: &Token,
        with_record: bool,
    ) -> Result<(View, Children, Values, Option<KeyMetadata>), Errno> {
        for attempt in 1.. {
            let view = View::of(self.layers(), token);
            let _children = self.turn_to_read(key, Place::Children(key)).await;
            let _values = self.turn_to_read(key, Place::Reading(key)).await;
            let mut metadata = None;
            if with_record {
                metadata = Some(self.read_key(key, None).await?);
                self.env.yield_point("count the subkeys").await;
            }
            let children = self.enum_children(key).await?;
            self.env.yield_point("count the values").await;
            let values = self.query_values(key, None).await?;
            if attempt >= TABLE_RETRIES_MAX || !self.is_stale(view.table()) {
                return Ok((view, children, values, metadata));
            }
        }
        Err(Errno::EIO)
    }

    fn extent_of(
        &self,
        key: KeyId,
        view: &View,
        children: &Children,
        values: &Values,
    ) -> Result<Extent, Errno> {
        let visible = view.visible_children(&children.groups);
        let visible = self.unless_tied(key, Operation::EnumChildren, visible)?;
        let effective = view.effective_values(values);
        let effective = self.unless_tied(key, Operation::QueryValues, effective)?;
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let longest = |lengths: &mut dyn Iterator<Item = usize>| length(lengths.max().unwrap_or(0));
        Ok(Extent {
            subkey_count: length(visible.len()),
            value_count: length(effective.len()),
            subkey_name_length_max: longest(&mut visible.values().map(|child| child.name.len())),
            value_name_length_max: longest(&mut effective.values().map(|value| value.name().len())),
            value_size_max: longest(&mut effective.values().map(|value| value.entry.data.len())),
        })
    }
}
