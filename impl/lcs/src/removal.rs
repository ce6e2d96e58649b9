//! Deleting and hiding keys: a layer's path entry goes or turns HIDDEN, and a key that no layer
//! names any more is an orphan (PSD-005 §2.4, §2.8, §6.3; `DEL-*`, D-13, D-25, D-60..D-63).

use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, Operation, PathEntry, Request, TransactionId};

use crate::change::{AcceptedChange, Effect};
use crate::env::Env;
use crate::kernel::Kernel;
use crate::key_file::{KeyFile, Position};
use crate::layers::View;
use crate::mutation::{Change, FollowUp, Scope};
use crate::name::FoldedName;
use crate::open::LayerName;
use crate::resolve::is_of;
use crate::security::Token;
use crate::state::KeyId;
use crate::turns::{Place, Share, Turn};

impl<E: Env> Kernel<E> {
    /// The checks of a removal that need no request; the key above, if all pass.
    ///
    /// # Errors
    /// ENOENT on an orphan or for an unknown layer, EINVAL on a hive root, EACCES.
    pub fn authorize_removal(
        &self,
        file: &KeyFile<E>,
        token: &Token,
        layer: &LayerName,
    ) -> Result<Position, Errno> {
        self.check_not_orphaned(file)?;
        let parent = file.position.above().ok_or(Errno::EINVAL)?;
        self.authorize_layer(layer, token)?;
        Ok(parent)
    }

    /// Removes a layer's path entry of a key.
    ///
    /// # Errors
    /// ENOENT when the key has become an orphan meanwhile or its parent is gone (P-14), ENOTEMPTY
    /// when it has visible children, and those of a request.
    pub async fn delete_key(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        token: &Token,
        above: Position,
        layer: &LayerName,
        transaction: Option<TransactionId>,
    ) -> Result<(), Errno> {
        let name = file.position.name();
        let (change, parent, mut hold) = self.hold_name(file, above.key(), transaction).await?;
        let key = KeyId { transaction: parent.transaction, ..file.key() };
        hold.push(self.turn_outside(parent, Place::Values(parent), Share::Alone).await);
        change.keep_out(self.turn_outside(parent, Place::Reading(parent), Share::Alone).await);
        hold.push(self.turn_outside(key, Place::Children(key), Share::Read).await);
        self.check_not_orphaned(file)?;
        let entries = self.lookup(parent, name, Some(&change.known)).await?.entries;
        let was_visible = self.note_visible(&change, &entries);
        self.env.yield_point("look for children").await;
        let children = self.enum_children(key).await?;
        let visible = View::global(self.layers()).visible_children(&children.groups);
        if !self.unless_tied(file.key(), Operation::EnumChildren, visible)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.env.yield_point("delete the path entry").await;
        let layer_turn = self.hold_layer(layer, token).await?;
        let request = Request::DeleteEntry {
            parent: parent.guid,
            child_name: name.as_bytes().to_vec(),
            layer: layer.spelling.clone().into_bytes(),
        };
        let follow_up = FollowUp {
            orphan: orphaned_without(&entries, layer),
            write_time: Some(parent.guid),
            was_visible,
            ..FollowUp::default()
        };
        let removed = Effect::PathRemoved { name: name.to_owned(), layer: layer.folded.clone() };
        let told = AcceptedChange::of(&above, removed);
        self.mutate(&change, vec![layer_turn], request, follow_up, None, told).await?
    }

    /// Makes a layer's path entry of a key HIDDEN.
    ///
    /// # Errors
    /// ENOENT when the key has become an orphan meanwhile or its parent is gone (P-14), EOVERFLOW,
    /// and those of a request.
    pub async fn hide_key(
        self: &Arc<Self>,
        file: &KeyFile<E>,
        token: &Token,
        above: Position,
        layer: &LayerName,
        transaction: Option<TransactionId>,
    ) -> Result<(), Errno> {
        let name = file.position.name();
        // Each further turn of the loop follows a restore.
        let (change, parent, hold, entries, was_visible, layer_turn, sequence) = loop {
            let (change, parent, hold) = self.hold_name(file, above.key(), transaction).await?;
            let key = KeyId { transaction: parent.transaction, ..file.key() };
            self.check_not_orphaned(file)?;
            // Without its parent there is no place for an entry (P-14). What is malformed there is
            // met before anything else (P-45).
            let entries = self.lookup(parent, name, Some(&change.known)).await?.entries;
            let was_visible = self.note_visible(&change, &entries);
            self.ensure_present(key).await?;
            self.env.yield_point("hide the path entry").await;
            let layer_turn = self.hold_layer(layer, token).await?;
            if let Some(sequence) = self.allocate_sequence(parent.slot)? {
                break (change, parent, hold, entries, was_visible, layer_turn, sequence);
            }
            drop((change, hold, layer_turn));
            self.sequence_gate_opened().await;
        };
        let request = Request::HideEntry {
            parent: parent.guid,
            child_name: name.as_bytes().to_vec(),
            layer: layer.spelling.clone().into_bytes(),
            sequence,
        };
        let orphan = orphaned_without(&entries, layer);
        let follow_up = FollowUp { orphan, was_visible, ..FollowUp::default() };
        let entry =
            PathEntry { layer: layer.spelling.clone().into_bytes(), target: None, sequence };
        let hidden = Effect::PathHidden { name: name.to_owned(), entry };
        let told = AcceptedChange::of(&above, hidden);
        let hidden = self.mutate(&change, vec![layer_turn], request, follow_up, None, told).await?;
        drop(hold);
        hidden
    }

    fn check_not_orphaned(&self, file: &KeyFile<E>) -> Result<(), Errno> {
        if self.state().is_orphaned(file.key()) { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Begins a mutation of a key's name: its parent as the transaction sees it, and the turns at the
    /// name. Binding comes before what has to be asked of the source (D-13).
    async fn hold_name(
        &self,
        file: &KeyFile<E>,
        parent: KeyId,
        transaction: Option<TransactionId>,
    ) -> Result<(Change, KeyId, Vec<Option<Turn>>), Errno> {
        self.join(transaction, file.position.hive()).await?;
        let name = FoldedName::new(file.position.name());
        let scope = Scope::Name { parent: parent.guid, name: name.clone() };
        let change = self.begin_change(file.position.hive(), scope, transaction).await;
        let parent = self.key_within(transaction, parent);
        let children = self.turn_outside(parent, Place::Children(parent), Share::Change).await;
        let name = self.turn_outside(parent, Place::Name(parent, name), Share::Alone).await;
        Ok((change, parent, vec![children, name]))
    }
}

/// The key that no layer names once this layer's entry is gone or HIDDEN (D-61).
fn orphaned_without(entries: &[PathEntry], layer: &LayerName) -> Option<Guid> {
    let (own, others): (Vec<&PathEntry>, Vec<&PathEntry>) =
        entries.iter().partition(|entry| is_of(&entry.layer, &layer.folded));
    let target = own.first()?.target?;
    others.iter().all(|entry| entry.target != Some(target)).then_some(target)
}
