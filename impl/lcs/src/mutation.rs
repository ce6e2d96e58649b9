//! What surrounds every mutation: who has to wait for it, and what follows once the source has
//! done it (PSD-005 §6.3, §7.1, §10.1; D-31, D-93, P-02, P-08).

use std::sync::{Arc, Mutex, PoisonError};

use abi::Errno;
use rsi::{Guid, PathEntry, Request, Status, TransactionId};

use crate::arrival::Handover;
use crate::change::AcceptedChange;
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::key_file::Position;
use crate::late::Told;
use crate::layers::View;
use crate::metadata::RefreshExtent;
use crate::name::FoldedName;
use crate::open::LayerName;
use crate::security::{Sid, Token};
use crate::source::RequestError;
use crate::state::{HiveId, KeyId, State};
use crate::turns::{Place, Share, Turn};
use crate::watches::{Knowledge, Known, Publication};

/// What a mutation touches.
#[derive(Clone, Debug)]
pub enum Scope {
    /// The path entries of one name below a key.
    Name {
        /// The key above.
        parent: Guid,
        /// The name.
        name: FoldedName,
    },
    /// The values or the descriptor of a key.
    Key {
        /// The key.
        guid: Guid,
        /// The key above, on the way by which it was reached.
        parent: Option<Guid>,
    },
}

impl Scope {
    /// That of the key at a position.
    pub fn of_key(position: &Position) -> Self {
        let parent = position.parent().map(|parent| parent.guid);
        Self::Key { guid: position.key().guid, parent }
    }
}

/// A mutation under way. While the layer table depends on it, no other such mutation runs.
pub struct Change {
    /// The hive that changes.
    pub hive: HiveId,
    /// What it touches.
    pub scope: Scope,
    /// The transaction that it is part of.
    pub transaction: Option<TransactionId>,
    /// What is read of what it changes, from before it is read.
    pub known: Arc<Knowledge>,
    metadata: Option<MetadataTurn>,
    /// Keeps what is effective in the hive from changing by way of the layers, or at all.
    _effective: Option<Turn>,
    /// Keeps out who reads the values and properties of the key.
    readers: Mutex<Option<Turn>>,
}

impl Change {
    fn new(
        hive: HiveId,
        scope: Scope,
        transaction: Option<TransactionId>,
        known: Arc<Knowledge>,
    ) -> Self {
        let readers = Mutex::default();
        Self { hive, scope, transaction, known, metadata: None, _effective: None, readers }
    }

    /// Keeps a key's readers out until the mutation is done, so that they see all of it or nothing,
    /// or until it may have to wait.
    pub fn keep_out(&self, readers: Option<Turn>) {
        *self.readers.lock().unwrap_or_else(PoisonError::into_inner) = readers;
    }
}

/// The right to refresh the layer table and the parameters.
struct MetadataTurn {
    _turn: Turn,
    bearing: Bearing,
}

/// What of the kernel's own a mutation bears on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bearing {
    /// Whether the layers are to be read after it, and if so whether the mutation fails when the
    /// refresh does. Otherwise it only is an occasion to read what could not be read before, or what
    /// nobody has read yet.
    pub layers: Option<bool>,
    /// Whether the parameters may be to be read after it.
    pub configuration: bool,
}

impl Bearing {
    /// Whether it bears on nothing.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// What follows a mutation that the source has done, in this order.
#[derive(Clone, Debug, Default)]
pub struct FollowUp {
    /// The key record of a new path entry.
    pub create_key: Option<NewKey>,
    /// A key that has lost its last path entry.
    pub orphan: Option<Guid>,
    /// The key whose last write time is set.
    pub write_time: Option<Guid>,
    /// Whether the mutation is about a name that is in view outside its transaction.
    pub was_visible: bool,
}

/// A key record to be stored, and how to take back its path entry if that fails.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// `RSI_CREATE_KEY`.
    pub create: Request,
    /// `RSI_DELETE_ENTRY`.
    pub take_back: Request,
}

/// What the record of a mutation's request retains: all that follows from its success, whenever
/// that comes (PSD-005 §7.1).
#[derive(Clone)]
pub struct Retained {
    /// The hive that changes.
    pub hive: HiveId,
    /// The source's connection, counted as in its slot.
    pub incarnation: u64,
    /// What it touches.
    pub scope: Scope,
    /// What follows.
    pub follow_up: FollowUp,
    /// Who creates a key.
    pub creator: Option<Sid>,
    /// What watchers are told of it.
    pub told: Arc<Publication>,
    /// Whether its caller follows it with a refresh, with which the generation steps.
    pub refreshes: bool,
    /// What its success has left to be done.
    pub entered: Handover<Told>,
}

impl<E: Env> Kernel<E> {
    /// Begins a mutation; waits where another one decides about the layer table. Comes before
    /// every other turn of the operation but that of its transaction, whose commit is what decides
    /// about the layers.
    pub async fn begin_change(
        &self,
        hive: HiveId,
        scope: Scope,
        transaction: Option<TransactionId>,
    ) -> Change {
        let known = self.begin_knowledge(Known::nothing());
        if transaction.is_some() || self.state().machine != Some(hive) {
            return Change::new(hive, scope, transaction, known);
        }
        let effective = Place::Effective(hive);
        if self.bearing(hive, &scope).is_none() {
            let turn = self.turns.take(effective.clone(), Share::Change).await;
            // What came before may have moved the keys.
            if self.bearing(hive, &scope).is_none() {
                let _effective = Some(turn);
                return Change { _effective, ..Change::new(hive, scope, transaction, known) };
            }
        }
        let _turn = self.turns.take(Place::Layers, Share::Alone).await;
        let turn = self.turns.take(effective, Share::Alone).await;
        let bearing = self.bearing(hive, &scope);
        let metadata = (!bearing.is_none()).then_some(MetadataTurn { _turn, bearing });
        let change = Change::new(hive, scope, transaction, known);
        Change { metadata, _effective: Some(turn), ..change }
    }

    /// What a mutation bears on.
    pub fn bearing(&self, hive: HiveId, scope: &Scope) -> Bearing {
        self.state().bearing(hive, scope)
    }

    /// Whether a name is in view by these entries before a mutation of them. A layer's name is noted
    /// as such: at once, or at the commit if the mutation is part of a transaction, which does not
    /// bring into view what it created itself.
    pub fn note_visible(&self, change: &Change, entries: &[PathEntry]) -> bool {
        let mut state = self.state();
        // A tie shows nobody anything.
        let view = View::global(Arc::clone(&state.layers));
        let Ok(Some(guid)) = view.resolve_path(entries) else { return false };
        match change.transaction {
            Some(id) => !state.transactions.created(id, guid),
            None => {
                if state.machine == Some(change.hive) {
                    state.metadata.note_visible(&change.scope);
                }
                true
            }
        }
    }

    /// Keeps a layer from being deleted until a write into it is done, so that no entry of it comes
    /// to a source after the deletion (`RES-31`). The layer may have gone while its turn came.
    ///
    /// # Errors
    /// ENOENT for an unknown layer, EACCES for one that the caller may not write into.
    pub async fn hold_layer(&self, layer: &LayerName, token: &Token) -> Result<Turn, Errno> {
        let turn = self.turns.take(Place::Layer(layer.folded.clone()), Share::Change).await;
        self.authorize_layer(layer, token)?;
        Ok(turn)
    }

    /// Keeps snapshots from being taken between the requests of a mutation (P-234). What a
    /// transaction changes is in none of them before the commit.
    pub async fn hold_whole(&self, change: &Change) -> Option<Turn> {
        match change.transaction {
            Some(_) => None,
            None => Some(self.turns.take(Place::Whole(change.hive), Share::Change).await),
        }
    }

    /// Has the source do a mutation and does what follows from it: `follow_up`, events for whoever
    /// watches, one step of the hive's generation, and a refresh of the layers. `held` is what
    /// the refresh must not find held: the turn of the layer written into, if the mutation is of one,
    /// and what keeps a creation whole. If the source answers late, all that happens then. In a transaction, most of that waits for the commit.
    ///
    /// # Errors
    /// The mutation's own failure. Of what follows, the first failure as an error number; the
    /// mutation stands then.
    pub async fn mutate(
        self: &Arc<Self>,
        change: &Change,
        mut held: Vec<Turn>,
        request: Request,
        follow_up: FollowUp,
        creator: Option<Sid>,
        told: AcceptedChange,
    ) -> Result<Result<(), Errno>, Failure> {
        if let Some(id) = change.transaction {
            // What is committed stays as it is.
            change.keep_out(None);
            // Apart, as what follows few mutations is below: a mutation need not have room for either.
            let within = self.mutate_within(id, change, held, request, follow_up, creator, told);
            return Box::pin(within).await;
        }
        let told = self.foresee(vec![told], &change.known).await;
        // A creation has that from before it makes room.
        if follow_up.create_key.is_none() {
            held.extend(self.hold_whole(change).await);
        }
        let hive = change.hive;
        let retained = self.retain(hive, change.scope.clone(), follow_up, creator, told);
        let retained = Retained { refreshes: change.metadata.is_some(), ..retained };
        let effect = self.mutation_effect(retained.clone());
        if self.state().transactions.has_bound(hive) {
            // The source may answer only when that is over, for which no reader has to wait
            // (PSD-005 §5.1).
            change.keep_out(None);
        }
        self.tell(hive.slot, request, Some(effect)).await?;
        if let Some(new_key) = retained.follow_up.create_key.clone() {
            self.env.yield_point("create the key record").await;
            if let Err(errno) = self.create_key_record(&retained, new_key, true).await {
                return Ok(Err(errno));
            }
        }
        let told = retained.entered.take().unwrap_or_default();
        let followed = self.follow_up(&retained, told.unopened).await;
        // What comes now may be the deletion of that layer.
        drop(held);
        let finished = match told.bears {
            true => self.finish_change(change, creator).await,
            false => Ok(()),
        };
        Ok(followed.and(finished))
    }

    /// What a request that is about to be sent retains.
    pub fn retain(
        &self,
        hive: HiveId,
        scope: Scope,
        follow_up: FollowUp,
        creator: Option<Sid>,
        told: Arc<Publication>,
    ) -> Retained {
        let incarnation = self.state().slot(hive.slot).incarnation;
        let (refreshes, entered) = (false, Handover::default());
        Retained { hive, incarnation, scope, follow_up, creator, told, refreshes, entered }
    }

    /// Follows a mutation with one step of the generation, and with what it bears on.
    ///
    /// # Errors
    /// Those of a refresh that the mutation calls for.
    pub async fn finish_change(
        self: &Arc<Self>,
        change: &Change,
        creator: Option<Sid>,
    ) -> Result<(), Errno> {
        let Some(MetadataTurn { bearing, .. }) = change.metadata else {
            self.state().step_generation(change.hive);
            return Ok(());
        };
        let scopes = std::slice::from_ref(&change.scope);
        let refreshed =
            Box::pin(self.refresh_metadata(change.hive, creator, scopes, bearing)).await;
        let state = self.state();
        let concerns = !state.is_of_orphan(change.hive, &change.scope)
            && state.metadata.concerns(&change.scope);
        if bearing.layers == Some(true) || concerns { refreshed } else { Ok(()) }
    }

    /// Follows mutations of `scopes` with one step of the hive's generation, the layers, and the
    /// parameters, which go by the new layers, and are followed whatever became of those (P-169).
    /// The caller holds the turns that [`Kernel::refresh_layers`] wants.
    ///
    /// # Errors
    /// As [`Kernel::refresh_layers`].
    pub async fn refresh_metadata(
        self: &Arc<Self>,
        hive: HiveId,
        creator: Option<Sid>,
        scopes: &[Scope],
        bearing: Bearing,
    ) -> Result<(), Errno> {
        let refreshed = if bearing.layers.is_some() {
            self.env.yield_point("refresh the layers").await;
            self.refresh_layers(Some(hive), creator, RefreshExtent::Changes(scopes)).await
        } else {
            self.state().step_generation(hive);
            Ok(())
        };
        self.follow_configuration(scopes).await;
        refreshed
    }

    async fn follow_up(&self, retained: &Retained, unopened: Vec<KeyId>) -> Result<(), Errno> {
        let Retained { hive, ref scope, ref follow_up, .. } = *retained;
        let mut result = Ok(());
        if let Some(guid) = follow_up.write_time {
            self.env.yield_point("write the last write time").await;
            let written = self.write_time(KeyId::in_hive(hive, guid)).await;
            // A parent may have gone before its child; then it has no time to set.
            let parent_is_gone = matches!(scope, Scope::Name { .. })
                && written == Err(Failure::Refused(Status::NotFound));
            if !parent_is_gone {
                result = written.map_err(Failure::errno);
            }
        }
        for key in unopened {
            self.drop_key(key).await;
        }
        result
    }

    /// Stores the record of a new key, which is told of at once if it `is_told`. A path entry whose key was
    /// refused is taken back, so that nobody meets it; one whose key is not answered for goes on when
    /// the answer comes (P-261).
    ///
    /// # Errors
    /// That of the creation.
    pub async fn create_key_record(
        self: &Arc<Self>,
        retained: &Retained,
        new_key: NewKey,
        is_told: bool,
    ) -> Result<(), Errno> {
        let NewKey { create, take_back } = new_key;
        let slot = retained.hive.slot;
        if self.state().slot(slot).incarnation != retained.incarnation {
            // A source that has been away has no path entry without its key any more.
            return Err(Errno::EIO);
        }
        let stored = Retained { follow_up: FollowUp::default(), ..retained.clone() };
        let effect = || self.record_effect(stored.clone(), take_back.clone(), is_told);
        match self.tell(slot, create.clone(), Some(effect())).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(status)) => {
                self.env.yield_point("take the path entry back").await;
                self.have_done(None, slot, take_back).await;
                Err(Failure::Refused(status).creation_errno())
            }
            Err(failure) => {
                let unsent = RequestError::TimedOut { dispatched: false };
                if failure == Failure::Unanswered(unsent) {
                    // The entry stands, so its record has to follow whenever there is a slot.
                    self.connection(slot).send(None, create, Some(effect()));
                }
                Err(failure.errno())
            }
        }
    }
}

impl<E: Env> State<E> {
    /// What a mutation bears on. Through an orphan nothing of the kernel's own is written (DEL-26, LAYER-38):
    /// whose metadata it was is gone, or has another key. It is a change of the hive all the same, and so an
    /// occasion for what could not be read (P-241).
    pub fn bearing(&self, hive: HiveId, scope: &Scope) -> Bearing {
        if self.machine != Some(hive) {
            return Bearing::default();
        }
        if self.is_of_orphan(hive, scope) {
            let layers = self.metadata.stale.then_some(false);
            return Bearing { layers, configuration: self.configuration.is_stale() };
        }
        let concerns = self.metadata.concerns(scope);
        let is_occasion = self.metadata.stale || self.metadata.may_concern(scope);
        Bearing {
            layers: (concerns || is_occasion).then_some(concerns),
            configuration: self.configuration.is_occasion(scope),
        }
    }

    fn is_of_orphan(&self, hive: HiveId, scope: &Scope) -> bool {
        match scope {
            Scope::Key { guid, .. } => self.is_orphaned(KeyId::in_hive(hive, *guid)),
            Scope::Name { .. } => false,
        }
    }
}
