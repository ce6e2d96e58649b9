//! Opening keys, and creating the ones that are not there (PSD-005 §3.1, §6.2; D-10, D-20..D-29).

use std::sync::Arc;

use abi::{Errno, KEY_CREATE_LINK, KEY_CREATE_SUB_KEY, REG_CREATED_NEW, REG_OPENED_EXISTING};
use rsi::{KeyMetadata, PathEntry, Request, Status, TransactionId};

use crate::change::{AcceptedChange, Effect};
use crate::env::Env;
use crate::kernel::{Failure, Kernel};
use crate::key_file::{KeyFile, Position};
use crate::layers::View;
use crate::limits::TABLE_RETRIES_MAX;
use crate::mutation::{Change, FollowUp, NewKey};
use crate::name::FoldedName;
use crate::resolve::is_of;
use crate::security::{Privileges, SecurityDescriptor, Sid, Token, inherit};
use crate::source::AnyEffect;
use crate::state::KeyId;
use crate::transactions::Logged;
use crate::turns::Turn;
use crate::walk::{Missing, Purpose, Reached, Start, Walked};
use crate::watches::{Publication, Scale};

/// A layer as a caller names it.
#[derive(Clone, Debug)]
pub struct LayerName {
    /// In the caller's spelling, which travels to the source (D-06).
    pub spelling: String,
    /// Its identity.
    pub folded: FoldedName,
}

impl LayerName {
    /// A layer of a checked name.
    pub fn new(spelling: &str) -> Self {
        Self { spelling: spelling.to_owned(), folded: FoldedName::new(spelling) }
    }
}

/// The key and path of an open or a creation.
pub struct Target {
    /// The key that a relative path starts from.
    pub from: Option<Position>,
    /// The validated path.
    pub components: Vec<String>,
    /// Rights asked for, validated.
    pub desired_access: u32,
}

impl Target {
    fn start(&self) -> Start {
        self.from.clone().map_or(Start::Hives, Start::Key)
    }
}

/// How a missing key is to be made.
pub struct Creation<'a> {
    /// Whether it is to be volatile.
    pub volatile_key: bool,
    /// Whether it is to be a symlink.
    pub symlink: bool,
    /// The transaction to make it in, if any, or why the fd is none; looked at only when a key is
    /// made (P-76).
    pub transaction: Result<Option<TransactionId>, Errno>,
    /// Reads the layer to make it in; asked for only when a key is made (D-21).
    pub layer: &'a (dyn Fn() -> Result<LayerName, Errno> + Send + Sync),
}

/// A HIDDEN entry that has made room for a new key.
enum Uncovered {
    /// Outside transactions, with what is known of it.
    Outside(Arc<Publication>),
    /// Within one.
    Within(AcceptedChange),
}

/// A creation that has to start again as an open.
enum Refusal {
    /// Another creation came first at the source (`SYS-63`).
    ExistsNow,
    /// A restore has all sequence numbers.
    GateClosed,
    Errno(Errno),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl<E: Env> Kernel<E> {
    /// `reg_open_key`, once its arguments are read.
    ///
    /// # Errors
    /// As PSD-005 §6.2.
    pub async fn open(
        self: &Arc<Self>,
        token: &Token,
        target: &Target,
        link_itself: bool,
    ) -> Result<Arc<KeyFile<E>>, Errno> {
        let purpose = Purpose::Open { link_itself };
        for attempt in 1.. {
            let view = View::of(self.layers(), token);
            let is_final = attempt >= TABLE_RETRIES_MAX;
            let walked = self.walk_target(&view, token, target, purpose).await;
            if !is_final && self.is_stale(view.table()) {
                continue;
            }
            let Walked::Reached(reached) = walked? else { return Err(Errno::ENOENT) };
            match self.grant(&view, token, target, reached, is_final) {
                Ok(None) => {}
                Ok(Some(file)) => return Ok(file),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EIO)
    }

    /// `reg_create_key`, once its arguments are read; with the disposition.
    ///
    /// # Errors
    /// As PSD-005 §6.2.
    pub async fn open_or_create(
        self: &Arc<Self>,
        token: &Token,
        target: &Target,
        creation: &Creation<'_>,
    ) -> Result<(Arc<KeyFile<E>>, u32), Errno> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let view = View::of(self.layers(), token);
            let is_final = attempt >= TABLE_RETRIES_MAX;
            let transaction = creation.transaction.ok().flatten();
            let walked =
                self.walk_target(&view, token, target, Purpose::Create { transaction }).await;
            if !is_final && self.is_stale(view.table()) {
                continue;
            }
            match walked? {
                Walked::Reached(reached) => {
                    if let Some(file) = self.grant(&view, token, target, reached, is_final)? {
                        return Ok((file, REG_OPENED_EXISTING));
                    }
                }
                Walked::Missing(missing) => {
                    match self.create(token, target, creation, *missing).await {
                        Ok(file) => return Ok((file, REG_CREATED_NEW)),
                        Err(Refusal::Errno(errno)) => return Err(errno),
                        Err(Refusal::ExistsNow) => {
                            let file = self.open(token, target, false).await?;
                            return Ok((file, REG_OPENED_EXISTING));
                        }
                        Err(Refusal::GateClosed) => {
                            self.sequence_gate_opened().await;
                            attempt = 0;
                        }
                    }
                }
            }
        }
    }

    async fn walk_target(
        &self,
        view: &View,
        token: &Token,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Walked, Errno> {
        if let Some(from) = &target.from
            && self.state().is_orphaned(from.key())
        {
            return Err(Errno::ENOENT);
        }
        self.walk(view, token, target.start(), target.components.clone(), purpose).await
    }

    /// Evaluates access and opens; none when the layer table has changed meanwhile, since the key
    /// may be another then, or gone.
    fn grant(
        self: &Arc<Self>,
        view: &View,
        token: &Token,
        target: &Target,
        reached: Reached,
        is_final: bool,
    ) -> Result<Option<Arc<KeyFile<E>>>, Errno> {
        let Reached { position, metadata, within, hold } = reached;
        let descriptor = parse(&metadata.sd)?;
        {
            let mut state = self.state();
            if !is_final && !Arc::ptr_eq(&state.layers, view.table()) {
                return Ok(None);
            }
            match within {
                Some(_) => state.open_new_key(position.key(), within),
                None => state.open_key(position.key()),
            }
        }
        // Open already, with no right and nobody who knows of it, until the decision is recorded.
        let key = position.key();
        let mut file = self.file(position, 0, &metadata);
        file.granted = self.decide_open(token, &descriptor, target.desired_access, key)?;
        drop(hold);
        Ok(Some(Arc::new(file)))
    }

    fn file(
        self: &Arc<Self>,
        position: Position,
        granted: u32,
        metadata: &KeyMetadata,
    ) -> KeyFile<E> {
        let KeyMetadata { volatile_key, symlink, .. } = *metadata;
        KeyFile::new(Arc::clone(self), position, granted, volatile_key, symlink)
    }

    /// Makes a key at a place that a walk found free, in the order of D-23.
    async fn create(
        self: &Arc<Self>,
        token: &Token,
        target: &Target,
        creation: &Creation<'_>,
        missing: Missing,
    ) -> Result<Arc<KeyFile<E>>, Refusal> {
        let parent = missing.parent.key();
        let parent_metadata = match &missing.parent_metadata {
            Some(metadata) => metadata.clone(),
            None => {
                self.env.yield_point("read the parent").await;
                // A parent that the transaction created is there for it alone (D-20).
                let within = self.state().created_in(parent);
                let within = within.filter(|id| creation.transaction == Ok(Some(*id)));
                self.read_key(KeyId { transaction: within, ..parent }, None).await?
            }
        };
        if self.state().is_orphaned(parent) {
            return Err(Errno::ENOENT.into());
        }
        let parent_descriptor = parse(&parent_metadata.sd)?;
        let authorize = |right| self.authorize(token, &parent_descriptor, right, parent);
        authorize_creation(authorize, token, &parent_metadata, creation)?;
        let layer = (creation.layer)()?;
        let layer_turn = self.hold_layer(&layer, token).await?;
        let transaction = creation.transaction?;
        self.join(transaction, missing.parent.hive()).await?;
        let descriptor = inherit(&parent_descriptor, token).map_err(|_| Errno::EINVAL)?;
        let metadata = KeyMetadata {
            guid: self.new_guid(),
            sd: descriptor.to_bytes(),
            volatile_key: creation.volatile_key,
            symlink: creation.symlink,
            last_write_time: 0,
        };
        let sequence = {
            let mut state = self.state();
            let name = FoldedName::new(&missing.name);
            if state.metadata.layers_key == Some(parent.guid)
                && state.machine == Some(missing.parent.hive())
                && state.layers.is_full(self.parameters.layers_max())
                && state.layers.get(&name).is_none()
            {
                return Err(Errno::ENOSPC.into());
            }
            state.allocate_sequence(parent.slot)?.ok_or(Refusal::GateClosed)?
        };
        // Open from before there is anything to see, so that an end of its layer orphans the key
        // and does not drop it.
        let position = missing.parent.clone().child(metadata.guid, missing.name.clone());
        self.state().open_new_key(position.key(), transaction);
        let mut file = self.file(position, 0, &metadata);
        let stored =
            self.store_key(&missing, (&layer, layer_turn), &metadata, sequence, token.user);
        stored.await??;
        let key = file.key();
        file.granted = self.decide_open(token, &descriptor, target.desired_access, key)?;
        let Missing { hold, change, .. } = missing;
        drop((hold, change));
        Ok(Arc::new(file))
    }

    /// `RSI_CREATE_ENTRY` and `RSI_CREATE_KEY`, after the layer's HIDDEN entry is gone (D-24).
    async fn store_key(
        self: &Arc<Self>,
        missing: &Missing,
        (layer, layer_turn): (&LayerName, Turn),
        metadata: &KeyMetadata,
        sequence: u64,
        creator: Sid,
    ) -> Result<Result<(), Errno>, Refusal> {
        let KeyId { slot, guid: parent, .. } = missing.parent.key();
        let name = missing.name.clone().into_bytes();
        let whole = self.hold_whole(&missing.change).await;
        let take_back = Request::DeleteEntry {
            parent,
            child_name: name.clone(),
            layer: layer.spelling.clone().into_bytes(),
        };
        let transaction = missing.change.transaction;
        let entries = self.entries_to_replace(missing).await?;
        let own = entries.iter().find(|entry| is_of(&entry.layer, &layer.folded));
        let mut uncovered = None;
        if own.is_some_and(|entry| entry.target.is_none()) {
            let removed =
                Effect::PathRemoved { name: missing.name.clone(), layer: layer.folded.clone() };
            let removal = AcceptedChange { position: missing.parent.clone(), effect: removed };
            let uncovering = match transaction {
                Some(_) => Uncovered::Within(removal),
                None => {
                    let known = self.copy_knowledge(&missing.change.known);
                    Uncovered::Outside(self.foresee(vec![removal], &known).await)
                }
            };
            self.env.yield_point("replace a hidden entry").await;
            let late = self.late_uncovering(&missing.change, &uncovering, creator)?;
            let replaced = self.ask_in(transaction, slot, take_back.clone(), Some(late)).await;
            replaced.map_err(Failure::creation_errno)?;
            uncovered = Some(uncovering);
        }
        let entry = PathEntry {
            layer: layer.spelling.clone().into_bytes(),
            target: Some(metadata.guid),
            sequence,
        };
        let created =
            Effect::KeyCreated { name: missing.name.clone(), entry, sd: metadata.sd.clone() };
        let told = AcceptedChange::of(&missing.parent, created);
        let create_entry = Request::CreateEntry {
            parent,
            child_name: name.clone(),
            layer: layer.spelling.clone().into_bytes(),
            child: metadata.guid,
            sequence,
        };
        let create = Request::CreateKey {
            guid: metadata.guid,
            name,
            parent,
            sd: metadata.sd.clone(),
            volatile_key: metadata.volatile_key,
            symlink: metadata.symlink,
        };
        let new_key = NewKey { create, take_back };
        let follow_up = FollowUp { create_key: Some(new_key), ..FollowUp::default() };
        self.env.yield_point("create the path entry").await;
        let held = whole.into_iter().chain([layer_turn]).collect();
        let stored =
            self.mutate(&missing.change, held, create_entry, follow_up, Some(creator), told);
        let stored = stored.await;
        if !matches!(stored, Ok(Ok(())))
            && let Some(uncovered) = uncovered
        {
            // The HIDDEN entry has gone and nothing has come in its place.
            self.tell_uncovered(&missing.change, uncovered);
        }
        match stored {
            Err(Failure::Refused(Status::AlreadyExists)) => Err(Refusal::ExistsNow),
            Err(failure) => Err(Refusal::Errno(failure.errno())),
            Ok(created) => Ok(created),
        }
    }

    /// What happens when a HIDDEN entry has gone for a creation that was given up: that is a change of
    /// its own (P-267).
    fn late_uncovering(
        self: &Arc<Self>,
        change: &Change,
        uncovered: &Uncovered,
        creator: Sid,
    ) -> Result<AnyEffect, Errno> {
        let follow_up = FollowUp::default();
        Ok(match uncovered {
            Uncovered::Outside(told) => {
                let (scope, creator) = (change.scope.clone(), Some(creator));
                self.partial_effect(self.retain(
                    change.hive,
                    scope,
                    follow_up,
                    creator,
                    Arc::clone(told),
                ))
            }
            Uncovered::Within(removal) => {
                let logged = Logged::of(removal.clone(), &change.scope, &follow_up, None);
                self.late_acceptance(self.acceptance(change, logged)?)
            }
        })
    }

    /// Makes the loss of a HIDDEN entry known, at once or at the commit.
    fn tell_uncovered(&self, change: &Change, uncovered: Uncovered) {
        match uncovered {
            Uncovered::Outside(told) => self.publish(&told, Scale::One),
            Uncovered::Within(removal) => {
                if let Some(id) = change.transaction {
                    let logged = Logged::of(removal, &change.scope, &FollowUp::default(), None);
                    self.state().transactions.log(id, logged);
                }
            }
        }
    }

    /// What layers say of a new key's name where it is created: a transaction may have changed that since
    /// the walk, if the walk was outside.
    async fn entries_to_replace(&self, missing: &Missing) -> Result<Vec<PathEntry>, Errno> {
        let parent = self.key_within(missing.change.transaction, missing.parent.key());
        if parent.transaction.is_none() || parent.transaction == missing.within {
            return Ok(missing.entries.clone());
        }
        self.lookup_entries(parent, &missing.name, Some(&missing.change.known)).await
    }
}

fn parse(sd: &[u8]) -> Result<SecurityDescriptor, Errno> {
    SecurityDescriptor::parse(sd).map_err(|_| Errno::EIO)
}

/// Whether the caller may create below this parent (D-23).
fn authorize_creation(
    authorize: impl Fn(u32) -> Result<(), Errno>,
    token: &Token,
    parent: &KeyMetadata,
    creation: &Creation<'_>,
) -> Result<(), Errno> {
    authorize(KEY_CREATE_SUB_KEY)?;
    if parent.volatile_key && !creation.volatile_key {
        return Err(Errno::EINVAL);
    }
    if creation.symlink {
        authorize(KEY_CREATE_LINK)?;
        if !token.has_privilege(Privileges::TCB) && !token.is_member(&Sid::ADMINISTRATORS) {
            return Err(Errno::EPERM);
        }
    }
    Ok(())
}
