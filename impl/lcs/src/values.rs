//! Reading and changing the values of an open key (PSD-005 §2.5, §6.3; `VAL-*`, D-12, D-30..D-36,
//! D-50).

use std::sync::Arc;

use abi::Errno;
use abi::value_type::REG_DWORD;
use rsi::{BlanketEntry, Operation, Request, TransactionId, ValueEntry};

use crate::change::{AcceptedChange, Effect};
use crate::env::Env;
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::layers::View;
use crate::limits::TABLE_RETRIES_MAX;
use crate::metadata::{LAYERS_PATH, PRECEDENCE, double_word};
use crate::mutation::{Change, FollowUp, Scope};
use crate::name::FoldedName;
use crate::open::LayerName;
use crate::resolve::{Values, folded, text};
use crate::security::{Privileges, Token};
use crate::state::KeyId;
use crate::turns::{Place, Share, Turn};

/// A value as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundValue {
    /// Name as stored.
    pub name: String,
    /// Type code.
    pub value_type: u32,
    /// Data.
    pub data: Vec<u8>,
    /// Sequence number of the effective entry.
    pub sequence: u64,
    /// Its layer, as the layer table spells it.
    pub layer: String,
}

/// A value write that lacks its number.
struct BegunWrite {
    change: Change,
    key: KeyId,
    hold: Turn,
    _turn: Option<Turn>,
}

/// A value write.
pub struct ValueWrite<'a> {
    /// Name.
    pub name: &'a str,
    /// Layer.
    pub layer: &'a LayerName,
    /// Type, or REG_TOMBSTONE.
    pub value_type: u32,
    /// Data.
    pub data: Vec<u8>,
    /// The layer's entry must have this sequence number; 0 for any.
    pub expected_sequence: u64,
}

impl<E: Env> Kernel<E> {
    /// The effective value of one name.
    ///
    /// # Errors
    /// ENOENT when there is none, EIO for a tie, and those of a request.
    pub async fn effective_value(
        &self,
        key: KeyId,
        token: &Token,
        name: &str,
    ) -> Result<FoundValue, Errno> {
        let (view, values) = self.read_values(key, token, Some(name)).await?;
        let value = view.resolve_value(&values.entries, &values.blankets);
        let value = self.unless_tied(key, Operation::QueryValues, value)?.ok_or(Errno::ENOENT)?;
        let layer = view.table().get(&folded(&value.entry.layer)).ok_or(Errno::EIO)?;
        Ok(FoundValue {
            name: text(value.name()),
            value_type: value.entry.value_type,
            data: value.entry.data.clone(),
            sequence: value.entry.sequence,
            layer: layer.name.clone(),
        })
    }

    /// Reads the values of one name, or of all, and a view that held while they were read.
    ///
    /// # Errors
    /// Those of a request.
    pub async fn read_values(
        &self,
        key: KeyId,
        token: &Token,
        name: Option<&str>,
    ) -> Result<(View, Values), Errno> {
        for attempt in 1.. {
            let view = View::of(self.layers(), token);
            let values = {
                let _turn = self.turn_to_read(key, Place::Reading(key)).await;
                match name {
                    Some(name) => self.query_value(key, name, None).await?,
                    None => self.query_values(key, None).await?,
                }
            };
            if attempt >= TABLE_RETRIES_MAX || !self.is_stale(view.table()) {
                return Ok((view, values));
            }
            self.env.yield_point("read again under the new layers").await;
        }
        Err(Errno::EIO)
    }

    /// Whether a write of this value needs SeTcbPrivilege (D-50): a precedence above zero on a
    /// direct child of the Layers key, or of what the key's own way has in its place (P-280).
    pub fn raises_precedence(&self, file: &KeyFile<E>, write: &ValueWrite<'_>) -> bool {
        let state = self.state();
        let parent = file.position.parent().map(|key| key.guid);
        let below_layers = state.machine == Some(file.position.hive())
            && (parent.is_some() && parent == state.metadata.layers_key
                || file.position.is_child_of(&LAYERS_PATH));
        below_layers
            && FoldedName::new(write.name) == FoldedName::new(PRECEDENCE)
            && write.value_type == REG_DWORD
            && double_word(&(write.value_type, write.data.clone())).is_ok_and(|value| value > 0)
    }

    /// Writes a layer's entry of a value, once the caller may: the part of D-12 from the layer cap
    /// on.
    ///
    /// # Errors
    /// ENOSPC for one layer too many, EAGAIN for another sequence than expected, EOVERFLOW, and
    /// those of a request.
    pub async fn set_value(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        token: &Token,
        write: ValueWrite<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<(), Errno> {
        // Each further turn of the loop follows a restore.
        loop {
            let (numbered, begun) =
                self.begin_value_write(file, token, &write, transaction).await?;
            let Some(sequence) = numbered else {
                drop(begun);
                self.sequence_gate_opened().await;
                continue;
            };
            return self.send_value(file, write, sequence, begun).await;
        }
    }

    /// Everything of a write up to its number; none while there are none to have.
    async fn begin_value_write(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        token: &Token,
        write: &ValueWrite<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<(Option<u64>, BegunWrite), Errno> {
        let (change, key, turn) = self.begin_value_change(file, transaction).await;
        let present = self.query_value(key, write.name, Some(&change.known)).await?;
        self.env.yield_point("count the layers of a value").await;
        let mut layers: Vec<FoldedName> =
            present.entries.iter().map(|entry| folded(&entry.layer)).collect();
        layers.sort();
        layers.dedup();
        let layers_max = self.parameters.layers_per_value_max();
        if !layers.contains(&write.layer.folded) && layers.len() >= layers_max {
            return Err(Errno::ENOSPC);
        }
        let hold = self.hold_layer(write.layer, token).await?;
        let sequence = self.allocate_sequence(key.slot)?;
        Ok((sequence, BegunWrite { change, key, hold, _turn: turn }))
    }

    async fn send_value(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        write: ValueWrite<'_>,
        sequence: u64,
        begun: BegunWrite,
    ) -> Result<(), Errno> {
        let BegunWrite { change, key, hold, _turn } = begun;
        let entry = ValueEntry {
            name: write.name.as_bytes().to_vec(),
            layer: write.layer.spelling.clone().into_bytes(),
            value_type: write.value_type,
            data: write.data,
            sequence,
        };
        let request = Request::SetValue {
            guid: key.guid,
            value_name: entry.name.clone(),
            layer: entry.layer.clone(),
            value_type: entry.value_type,
            data: entry.data.clone(),
            sequence: entry.sequence,
            expected_sequence: write.expected_sequence,
        };
        self.join(change.transaction, change.hive).await?;
        let told = AcceptedChange::of(&file.position, Effect::ValueSet(entry));
        self.mutate(&change, vec![hold], request, Self::values_changed(key), None, told).await?
    }

    /// Removes a layer's entry of a value; there need be none (D-32).
    ///
    /// # Errors
    /// Those of a request.
    pub async fn delete_value(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        token: &Token,
        name: &str,
        layer: &LayerName,
        transaction: Option<TransactionId>,
    ) -> Result<(), Errno> {
        let (change, key, _turn) = self.begin_value_change(file, transaction).await;
        self.ensure_present(key).await?;
        let hold = self.hold_layer(layer, token).await?;
        self.join(transaction, change.hive).await?;
        let request = Request::DeleteValueEntry {
            guid: key.guid,
            value_name: name.as_bytes().to_vec(),
            layer: layer.spelling.clone().into_bytes(),
        };
        let removed =
            Effect::ValueRemoved { name: name.as_bytes().to_vec(), layer: layer.folded.clone() };
        let told = AcceptedChange::of(&file.position, removed);
        self.mutate(&change, vec![hold], request, Self::values_changed(key), None, told).await?
    }

    /// Sets or removes a layer's blanket tombstone (D-30).
    ///
    /// # Errors
    /// EOVERFLOW, and those of a request.
    pub async fn set_blanket(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        token: &Token,
        layer: &LayerName,
        set: bool,
        transaction: Option<TransactionId>,
    ) -> Result<(), Errno> {
        // Each further turn of the loop follows a restore.
        let (change, key, _turn, hold, sequence) = loop {
            let (change, key, turn) = self.begin_value_change(file, transaction).await;
            self.ensure_present(key).await?;
            let hold = self.hold_layer(layer, token).await?;
            let sequence = if set { self.allocate_sequence(key.slot)? } else { Some(0) };
            if let Some(sequence) = sequence {
                break (change, key, turn, hold, sequence);
            }
            drop((change, turn, hold));
            self.sequence_gate_opened().await;
        };
        self.join(transaction, change.hive).await?;
        let request = Request::SetBlanketTombstone {
            guid: key.guid,
            layer: layer.spelling.clone().into_bytes(),
            set,
            sequence,
        };
        let effect = if set {
            let layer = layer.spelling.clone().into_bytes();
            Effect::BlanketSet(BlanketEntry { layer, sequence })
        } else {
            Effect::BlanketRemoved { layer: layer.folded.clone() }
        };
        let told = AcceptedChange::of(&file.position, effect);
        self.mutate(&change, vec![hold], request, Self::values_changed(key), None, told).await?
    }

    /// Begins a mutation of a key's values or descriptor: the key as the transaction sees it, and
    /// the key's turn.
    pub async fn begin_value_change(
        &self,
        file: &KeyFile<E>,
        transaction: Option<TransactionId>,
    ) -> (Change, KeyId, Option<Turn>) {
        let scope = Scope::of_key(&file.position);
        let change = self.begin_change(file.position.hive(), scope, transaction).await;
        let key = self.key_within(transaction, file.key());
        let turn = self.turn_outside(key, Place::Values(key), Share::Alone).await;
        change.keep_out(self.turn_outside(key, Place::Reading(key), Share::Alone).await);
        (change, key, turn)
    }

    fn values_changed(key: KeyId) -> FollowUp {
        FollowUp { write_time: Some(key.guid), ..FollowUp::default() }
    }
}

/// Layer write authorisation and the precedence gate, which need no request.
impl<E: Env> Kernel<E> {
    /// Whether the caller may write into a layer now (D-27).
    ///
    /// # Errors
    /// ENOENT for an unknown layer, EACCES for one the caller may not write into, EIO for one whose
    /// descriptor has no owner (`SD-15`).
    pub fn authorize_layer(&self, layer: &LayerName, token: &Token) -> Result<(), Errno> {
        let table = self.layers();
        let authorized = table.authorize_write(&layer.folded, token);
        if authorized == Err(Errno::EIO) {
            self.audit_ownerless_layer(
                table.get(&layer.folded).and_then(|layer| layer.metadata_key),
            );
        }
        authorized
    }

    /// The privilege that [`Kernel::raises_precedence`] calls for.
    ///
    /// # Errors
    /// EPERM without SeTcbPrivilege.
    pub fn authorize_precedence(
        &self,
        file: &KeyFile<E>,
        token: &Token,
        write: &ValueWrite<'_>,
    ) -> Result<(), Errno> {
        if self.raises_precedence(file, write) && !token.has_privilege(Privileges::TCB) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}
