//! Keeping the layer table true: reading metadata, publishing, and what a deletion sets off.
//!
//! Whoever changes what the table is made from holds [`Place::Layers`] from before the change to
//! after the publication, so that one refresh runs at a time; readers of the table never wait.
//! States PSD-005 §2.6, §2.8 (layer deletion) and §6.3 (generation); D-54, D-55, P-02, P-03, P-07,
//! P-20.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, Operation, Request, Response};

use crate::arrival::Handover;
use crate::audit::{Rejection, ValidationClass};
use crate::configuration::Load;
use crate::env::Env;
use crate::hive_content::absent_is_empty;
use crate::kernel::{Failure, Kernel};
use crate::metadata::{
    Image, LAYERS_PATH, Refresh, RefreshExtent, Rejected, read_again, read_from_scratch, refresh,
};
use crate::missed_deletions::DeletionId;
use crate::name::FoldedName;
use crate::security::Sid;
use crate::source::ResponseEffect;
use crate::state::{HiveId, KeyId, SlotId};
use crate::turns::{Place, Share};
use crate::watches::{Arming, layer_events};

impl<E: Env> Kernel<E> {
    /// Reads the layer metadata after a change, publishes what follows from it, and steps the
    /// generation of `hive`, the changed hive, and of every other hive whose view is affected
    /// (P-02), all in one moment, watchers told of what the table
    /// changes among it. The caller holds [`Place::Layers`], and [`Place::Effective`] of the
    /// Machine hive alone.
    ///
    /// # Errors
    /// EIO where metadata is malformed, EIO or ETIMEDOUT where a source gave no answer. The
    /// change itself stands.
    pub async fn refresh_layers(
        self: &Arc<Self>,
        hive: Option<HiveId>,
        creator: Option<Sid>,
        extent: RefreshExtent<'_>,
    ) -> Result<(), Errno> {
        let Some(machine) = self.state().machine else { return Ok(()) };
        let image = self.read_image(machine).await;
        let made = image.and_then(|image| {
            let state = self.state();
            let layers_max = self.parameters.layers_max();
            let (table, metadata) = (&state.layers, &state.metadata);
            let made = match extent {
                RefreshExtent::Everything if !metadata.loaded => {
                    read_from_scratch(&image, layers_max)
                }
                RefreshExtent::Everything => read_again(&image, table, metadata, layers_max),
                RefreshExtent::Changes(scopes) => {
                    refresh(&image, table, metadata, creator, scopes, layers_max)
                }
            };
            drop(state);
            made.map_err(|tie| {
                self.audit_metadata(machine, [tie]);
                Errno::EIO
            })
        });
        let made = match made {
            Ok(made) => made,
            Err(errno) => {
                let mut state = self.state();
                state.metadata.stale = true;
                if let Some(hive) = hive {
                    state.step_generation(hive);
                }
                return Err(errno);
            }
        };
        let affected = self.affected_hives(machine, &made).await;
        let resumed = matches!(extent, RefreshExtent::Everything).then_some(machine.slot);
        let shift = self.foresee_layers(&made.table, machine, resumed).await;
        let Refresh { table, cache, deleted, fault, rejected } = made;
        self.audit_metadata(machine, rejected);
        // Writes into the layers that go have to be done first, but one may be waiting for the end
        // of a transaction that has written into them. No others begin.
        self.abort_writers_of(deleted.iter().map(|(name, _)| name)).await;
        let mut ends = Vec::new();
        let told_of_ends;
        for (name, _) in &deleted {
            ends.push(self.turns.take(Place::Layer(name.clone()), Share::Alone).await);
        }
        self.abort_writers_of(deleted.iter().map(|(name, _)| name)).await;
        {
            let mut state = self.state();
            told_of_ends = shift.map(|shift| shift.publish(&mut state)).unwrap_or_default();
            let new_layers = table.missing_from(&state.layers);
            state.forget_refused_deletions(&new_layers);
            state.layers = table;
            state.metadata = cache;
            for hive in hive.into_iter().chain(affected) {
                state.step_generation(hive);
            }
        }
        let told = self.tell_deletions(&deleted, told_of_ends).await;
        drop(ends);
        fault.map_or(told, Err)
    }

    fn audit_metadata(&self, machine: HiveId, rejected: impl IntoIterator<Item = Rejected>) {
        for Rejected { guid, operation, class } in rejected {
            self.audit_rejection(Rejection {
                slot: machine.slot,
                hive_index: Some(machine.index),
                request: None,
                operation: Some(operation),
                key: Some(guid),
                class,
            });
        }
    }

    /// Records that the descriptor of a layer's metadata key cannot say who may write.
    pub fn audit_ownerless_layer(&self, metadata_key: Option<Guid>) {
        let machine = self.state().machine;
        if let (Some(machine), Some(guid)) = (machine, metadata_key) {
            let class = ValidationClass::LayerSecurityDescriptor;
            let rejected = Rejected { guid, operation: Operation::EnumChildren, class };
            self.audit_metadata(machine, [rejected]);
        }
    }

    /// Reads parameters and layers at the registration or resumption of the Machine hive's source,
    /// where nobody waits for the outcome (D-106, P-07).
    pub async fn load_metadata(self: &Arc<Self>) {
        let turn = self.turns.take(Place::Layers, Share::Alone).await;
        let machine = self.state().machine;
        let effective = match machine {
            Some(machine) => Some(self.turns.take(Place::Effective(machine), Share::Alone).await),
            None => None,
        };
        self.load_configuration(Load::BeforeLayers).await;
        // What could not be read now is read at the next change.
        let kernel = self.begin_operation();
        let _ = kernel.refresh_layers(None, None, RefreshExtent::Everything).await;
        kernel.begin_operation().load_configuration(Load::AfterLayers).await;
        drop((effective, turn));
    }

    /// Every other Active hive whose global effective view the new table changes.
    async fn affected_hives(&self, machine: HiveId, made: &Refresh) -> Vec<HiveId> {
        let before = self.layers();
        if before.resolves_like(&made.table) {
            return Vec::new();
        }
        let others: Vec<HiveId> = {
            let state = self.state();
            let ids = state.hives().map(|(id, _)| id);
            ids.filter(|id| *id != machine && state.is_active(id.slot)).collect()
        };
        let mut affected = Vec::new();
        for hive in others {
            // A hive that cannot be read counts as affected: readers look again for nothing,
            // rather than miss something.
            let same = match self.read_hive(hive).await {
                Ok(content) => content.looks_alike(&before, &made.table),
                Err(_) => !self.state().is_active(hive.slot),
            };
            if !same {
                affected.push(hive);
            }
        }
        affected
    }

    async fn read_image(&self, machine: HiveId) -> Result<Image, Errno> {
        let root = self.state().hive(machine).root;
        let mut image = Image { root, ..Image::default() };
        let mut level = BTreeSet::from([root]);
        for (place, name) in LAYERS_PATH.iter().enumerate() {
            let mut below = BTreeSet::new();
            for parent in level {
                self.env.yield_point("read the way to the layers").await;
                let parent_key = KeyId::in_hive(machine, parent);
                let found = self.lookup_entries(parent_key, name, None).await;
                let entries = absent_is_empty(found)?;
                below.extend(entries.iter().filter_map(|entry| entry.target));
                image.way.insert((place, parent), entries);
            }
            level = below;
        }
        for layers_key in level {
            let layers_key = KeyId::in_hive(machine, layers_key);
            self.read_layers_key(&mut image, layers_key).await?;
        }
        Ok(image)
    }

    async fn read_layers_key(&self, image: &mut Image, layers_key: KeyId) -> Result<(), Errno> {
        self.env.yield_point("read the layers").await;
        // A malformed descriptor keeps its own layer as it was, and no other (LAYER-50).
        let children = self.enum_children_unjudged(layers_key, None).await?;
        for metadata in children.metadata {
            self.env.yield_point("read a layer").await;
            let key = layers_key.beside(metadata.guid);
            let values = self.query_values(key, None).await;
            match values {
                Err(Errno::ETIMEDOUT) => return Err(Errno::ETIMEDOUT),
                Err(errno) if !self.state().is_active(key.slot) => return Err(errno),
                // Malformed values of one layer are no reason to forget the others (LAYER-50).
                values => image.values.insert(metadata.guid, values),
            };
            image.descriptors.insert(metadata.guid, metadata.sd);
        }
        image.below.insert(layers_key.guid, children.groups);
        Ok(())
    }

    /// Has every source purge the deleted layers; one that cannot now does when it resumes (D-55).
    async fn tell_deletions(
        self: &Arc<Self>,
        deleted: &[(FoldedName, String)],
        told: BTreeSet<Arming>,
    ) -> Result<(), Errno> {
        let told = Arc::new(told);
        let mut result = Ok(());
        for (name, spelling) in deleted {
            let slots = self.state().slots.len();
            for slot in (0..slots).map(SlotId) {
                if !self.state().is_active(slot) {
                    self.state().slot_mut(slot).missed_deletions.owe(name, spelling);
                    continue;
                }
                self.env.yield_point("delete a layer").await;
                if let Err(failure) = self.delete_layer(slot, spelling, Some(&told)).await {
                    result = result.and(Err(match failure {
                        Failure::Refused(_) => Errno::EIO,
                        failure => failure.errno(),
                    }));
                }
            }
        }
        result
    }

    /// `RSI_DELETE_LAYER`, and what becomes of the keys that it orphans. It is owed until it is carried out.
    async fn delete_layer(
        self: &Arc<Self>,
        slot: SlotId,
        name: &str,
        told: Option<&Arc<BTreeSet<Arming>>>,
    ) -> Result<(), Failure> {
        let resuming = told.is_none();
        let request = Request::DeleteLayer { layer: name.as_bytes().to_vec() };
        let unopened = Handover::default();
        let folded = FoldedName::new(name);
        let id = self.state().slot_mut(slot).missed_deletions.ask(&folded, name);
        let effect = Box::new(LayerDeleted {
            kernel: Arc::clone(self),
            slot,
            name: folded.clone(),
            id,
            told: told.cloned(),
            unopened: unopened.clone(),
        });
        let answer = if resuming {
            self.ask_at_once(slot, request, Some(effect)).await
        } else {
            self.ask(slot, request, Some(effect)).await
        };
        if let Err(failure) = answer {
            if !failure.is_in_flight() {
                self.note_refused_deletion(slot, &folded, id, resuming);
            }
            return Err(failure);
        }
        let unopened = unopened.take().unwrap_or_default();
        if resuming {
            // The drops are ordinary requests, which wait until the replay is over.
            let kernel = Arc::clone(self);
            self.spawn(async move { kernel.drop_keys(unopened).await });
        } else {
            self.drop_keys(unopened).await;
        }
        Ok(())
    }

    /// A source has refused a deletion, or was not asked. If that was late, or asked again, there may be a layer of
    /// that name by now, whose data it would be (P-187, P-306).
    fn note_refused_deletion(&self, slot: SlotId, name: &FoldedName, id: DeletionId, late: bool) {
        let mut state = self.state();
        let is_layer = late && state.is_active(slot) && state.layers.get(name).is_some();
        state.slot_mut(slot).missed_deletions.not_carried_out(name, id, is_layer);
    }

    /// A source has purged a layer, later than it should have. If there is a layer of that name again,
    /// nobody can tell what it has lost by that (P-264, P-541).
    fn note_late_deletion(&self, slot: SlotId, name: &FoldedName) {
        let mut state = self.state();
        if state.layers.get(name).is_some() {
            for index in 0..state.slot(slot).hives.len() {
                state.step_generation(HiveId { slot, index });
            }
            layer_events::overflow(&mut state, slot, self.parameters.watch_limits());
        }
    }

    /// Has a source purge a layer that it was told to delete, for an entry that came to it after that
    /// (`RES-31`, P-264).
    pub async fn purge_again(self: &Arc<Self>, slot: SlotId, layer: &FoldedName) {
        let spelling: &str = layer.borrow();
        self.env.yield_point("delete a layer again").await;
        // What fails is owed.
        let _ = self.delete_layer(slot, spelling, Some(&Arc::default())).await;
    }

    /// Notes orphans; those that nobody has open are left. Their watches are told, but for those
    /// that have been told that the key is out of view (P-140, P-570), and where OVERFLOW tells all.
    fn enter_orphans(
        &self,
        slot: SlotId,
        orphaned: &[Guid],
        told: Option<&BTreeSet<Arming>>,
    ) -> Vec<KeyId> {
        let keys: Vec<KeyId> = orphaned.iter().map(|guid| KeyId::in_slot(slot, *guid)).collect();
        let mut state = self.state();
        if let Some(told) = told {
            let limits = self.parameters.watch_limits();
            state.tell_orphans(keys.iter(), told, limits);
        }
        keys.into_iter().filter(|key| state.orphan_key(*key)).collect()
    }

    async fn drop_keys(&self, keys: Vec<KeyId>) {
        for key in keys {
            self.drop_key(key).await;
        }
    }

    /// Tells a resumed source of the layers that were deleted while it was away, ahead of every
    /// other request.
    pub async fn replay_deletions(self: &Arc<Self>, slot: SlotId) {
        let missed = self.state().slot(slot).missed_deletions.all();
        for (_, spelling) in missed {
            self.env.yield_point("replay a layer deletion").await;
            // What fails is owed, but to a layer that is back.
            let _ = self.delete_layer(slot, &spelling, None).await;
        }
        let mut state = self.state();
        state.slot_mut(slot).resuming = false;
        state.watches.overflow_slot(slot, self.parameters.watch_limits());
    }
}

/// The answer to the deletion of a layer.
struct LayerDeleted<E: Env> {
    kernel: Arc<Kernel<E>>,
    slot: SlotId,
    name: FoldedName,
    id: DeletionId,
    /// Watches that have been told; none where OVERFLOW tells all.
    told: Option<Arc<BTreeSet<Arming>>>,
    unopened: Handover<Vec<KeyId>>,
}

impl<E: Env> ResponseEffect for LayerDeleted<E> {
    fn arrive(&mut self, response: &Response, awaited: bool) {
        let Response::DeleteLayer { orphaned } = response else { return };
        let mut state = self.kernel.state();
        state.slot_mut(self.slot).missed_deletions.carried_out(&self.name, self.id);
        drop(state);
        let unopened = if awaited {
            self.kernel.enter_orphans(self.slot, orphaned, self.told.as_deref())
        } else {
            let kernel = self.kernel.begin_operation();
            kernel.note_late_deletion(self.slot, &self.name);
            let told = self.told.clone().unwrap_or_default();
            kernel.enter_orphans(self.slot, orphaned, Some(&told))
        };
        self.unopened.leave(unopened);
    }

    fn untaken(self: Box<Self>, response: Response) {
        let kernel = self.kernel.begin_operation();
        if !matches!(response, Response::DeleteLayer { .. }) {
            kernel.note_refused_deletion(self.slot, &self.name, self.id, true);
        }
        if let Some(unopened) = self.unopened.take() {
            kernel.clone().spawn(async move { kernel.drop_keys(unopened).await });
        }
    }
}
