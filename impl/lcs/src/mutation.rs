//! What surrounds every mutation: who has to wait for it, and what follows once the source has
//! done it (PSD-005 §6.3, §7.1, §10.1; D-31, D-93, P-02, P-08).

use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, PathEntry, Request, Response, Status};

use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::key_file::Position;
use crate::layers::View;
use crate::metadata::RefreshExtent;
use crate::name::FoldedName;
use crate::open::LayerName;
use crate::security::{Sid, Token};
use crate::source::{LateEffect, RequestError};
use crate::state::{HiveId, KeyId};
use crate::turns::{Place, Share, Turn};

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
    hive: HiveId,
    scope: Scope,
    layers: Option<LayersTurn>,
}

/// The right to refresh the layer table.
struct LayersTurn {
    _turn: Turn,
    /// Whether the mutation fails when the refresh does. Otherwise it only is an occasion to read
    /// what could not be read before, or what nobody has read yet.
    required: bool,
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
}

/// A key record to be stored, and how to take back its path entry if that fails.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// `RSI_CREATE_KEY`.
    pub create: Request,
    /// `RSI_DELETE_ENTRY`.
    pub take_back: Request,
}

impl<E: Env> Kernel<E> {
    /// Begins a mutation; waits where another one decides about the layer table. Comes before
    /// every other turn of the operation.
    pub async fn begin_change(&self, hive: HiveId, scope: Scope) -> Change {
        let mut layers = None;
        if self.bears_on_layers(hive, &scope).is_some() {
            let _turn = self.turns.take(Place::Layers, Share::Alone).await;
            // What came before may have moved the Layers key.
            let bears = self.bears_on_layers(hive, &scope);
            layers = bears.map(|required| LayersTurn { _turn, required });
        }
        Change { hive, scope, layers }
    }

    /// Whether the layers are to be read after a mutation, and if so whether they have to be.
    fn bears_on_layers(&self, hive: HiveId, scope: &Scope) -> Option<bool> {
        let state = self.state();
        if state.machine != Some(hive) {
            return None;
        }
        let concerns = state.metadata.concerns(scope);
        let is_occasion = state.metadata.stale || state.metadata.may_concern(scope);
        (concerns || is_occasion).then_some(concerns)
    }

    /// Notes a layer's name that is in view by these entries before a mutation of them.
    pub fn note_visible(&self, change: &Change, entries: &[PathEntry]) {
        let mut state = self.state();
        // A tie shows nobody anything.
        let view = View::global(Arc::clone(&state.layers));
        if state.machine == Some(change.hive) && matches!(view.resolve_path(entries), Ok(Some(_))) {
            state.metadata.note_visible(&change.scope);
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

    /// Has the source do a mutation and does what follows from it: `follow_up`, one step of the
    /// hive's generation, and a refresh of the layers. `layer` is the turn of the layer written
    /// into, if the mutation is of one. If the source answers late, all that happens then.
    ///
    /// # Errors
    /// The mutation's own failure. Of what follows, the first failure as an error number; the
    /// mutation stands then.
    pub async fn mutate(
        self: &Arc<Self>,
        change: &Change,
        layer: Option<Turn>,
        request: Request,
        follow_up: FollowUp,
        creator: Option<Sid>,
    ) -> Result<Result<(), Errno>, Failure> {
        let late = self.late_effect(change, follow_up.clone());
        self.tell(change.hive.slot, request, Some(late)).await?;
        let followed = self.follow_up(change, follow_up).await;
        // What comes now may be the deletion of that layer.
        drop(layer);
        if matches!(followed, Err(Undone::Entirely(_))) {
            return Ok(followed.map_err(Undone::errno));
        }
        let finished = self.finish_change(change, creator).await;
        Ok(followed.map_err(Undone::errno).and(finished))
    }

    async fn finish_change(
        self: &Arc<Self>,
        change: &Change,
        creator: Option<Sid>,
    ) -> Result<(), Errno> {
        if let Some(layers) = &change.layers {
            self.env.yield_point("refresh the layers").await;
            let extent = RefreshExtent::Changes(&change.scope);
            let refreshed = self.refresh_layers(Some(change.hive), creator, extent).await;
            let required = layers.required || self.state().metadata.concerns(&change.scope);
            return if required { refreshed } else { Ok(()) };
        }
        self.state().step_generation(change.hive);
        Ok(())
    }

    async fn follow_up(
        self: &Arc<Self>,
        change: &Change,
        follow_up: FollowUp,
    ) -> Result<(), Undone> {
        let hive = change.hive;
        if let Some(new_key) = follow_up.create_key {
            self.env.yield_point("create the key record").await;
            self.create_key_record(change, new_key).await?;
        }
        let unopened = follow_up
            .orphan
            .map(|guid| KeyId::in_hive(hive, guid))
            .filter(|key| self.state().orphan_key(*key));
        let mut result = Ok(());
        if let Some(guid) = follow_up.write_time {
            self.env.yield_point("write the last write time").await;
            let written = self.write_time(KeyId::in_hive(hive, guid)).await;
            // A parent may have gone before its child; then it has no time to set.
            let parent_is_gone = matches!(change.scope, Scope::Name { .. })
                && written == Err(Failure::Refused(Status::NotFound));
            if !parent_is_gone {
                result = written.map_err(|failure| Undone::Partly(failure.errno()));
            }
        }
        if let Some(key) = unopened {
            self.drop_key(key).await;
        }
        result
    }

    /// Stores the record of a new key. A path entry whose key was refused is taken back, so that
    /// nobody meets it.
    async fn create_key_record(
        self: &Arc<Self>,
        change: &Change,
        new_key: NewKey,
    ) -> Result<(), Undone> {
        let slot = change.hive.slot;
        let late = self.late_effect(change, FollowUp::default());
        match self.tell(slot, new_key.create.clone(), Some(late)).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(status)) => {
                self.env.yield_point("take the path entry back").await;
                let _ = self.tell(slot, new_key.take_back, None).await;
                // D-92: a key record that is there already is the source's fault.
                let errno = match Failure::Refused(status).errno() {
                    Errno::EEXIST => Errno::EIO,
                    errno => errno,
                };
                Err(Undone::Entirely(errno))
            }
            Err(Failure::Unanswered(error)) => {
                if error == (RequestError::TimedOut { dispatched: false }) {
                    // The entry stands, so its record has to follow whenever there is a slot.
                    let late = self.late_effect(change, FollowUp::default());
                    self.connection(slot).send(None, new_key.create, Some(late));
                }
                Err(Undone::Entirely(error.errno()))
            }
        }
    }

    /// What happens when a mutation's success comes after its caller has gone.
    fn late_effect(self: &Arc<Self>, change: &Change, follow_up: FollowUp) -> LateEffect {
        let kernel = Arc::clone(self);
        let (hive, scope) = (change.hive, change.scope.clone());
        Box::new(move |response| {
            if response != Response::Done {
                return;
            }
            let task_kernel = Arc::clone(&kernel);
            kernel.spawn(async move {
                let change = task_kernel.begin_change(hive, scope).await;
                // Nobody is left to be told of a failure.
                let followed = task_kernel.follow_up(&change, follow_up).await;
                if !matches!(followed, Err(Undone::Entirely(_))) {
                    let _ = task_kernel.finish_change(&change, None).await;
                }
            });
        })
    }
}

/// What is left of a mutation whose follow-up failed.
enum Undone {
    /// Nothing that anybody sees, or it is not known yet.
    Entirely(Errno),
    /// The mutation itself.
    Partly(Errno),
}

impl Undone {
    fn errno(self) -> Errno {
        match self {
            Self::Entirely(errno) | Self::Partly(errno) => errno,
        }
    }
}
