//! Everything the kernel half knows that is not in a descriptor: slots, hives, the sequence
//! counter, the layer table, and the keys that are open.
//!
//! Plain data under one lock that nobody holds while waiting. It cannot send a request.
//! States PSD-005 §2.2, §2.7 (sequence counter), §2.8 (orphans) and §7.1 (slots).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, TransactionId};

use crate::configuration::{ConfigurationCache, Parameters};
use crate::env::Env;
use crate::layers::LayerTable;
use crate::metadata::MetadataCache;
use crate::missed_deletions::MissedDeletions;
use crate::name::FoldedName;
use crate::security::Token;
use crate::sequence_gate::SequenceGate;
use crate::source::Connection;
use crate::transactions::Transactions;
use crate::watches::{UnderWay, WatchMap};

/// The hive that holds the kernel half's own metadata.
const MACHINE: &str = "Machine";

/// A source slot, by its number. Slots are never freed (D-91).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub usize);

/// A hive: a slot, and which of its hives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HiveId {
    /// Its source.
    pub slot: SlotId,
    /// Its place among the source's hives.
    pub index: usize,
}

/// A key, whichever fd or path leads to it. GUIDs of different sources are different keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyId {
    /// Its source.
    pub slot: SlotId,
    /// Its identity there.
    pub guid: Guid,
    /// Which of the source's hives it was met in, where that is known. No part of its identity.
    pub hive_index: Option<usize>,
    /// The transaction that questions about it are asked in; none for what is committed. No part of
    /// its identity.
    pub transaction: Option<TransactionId>,
}

impl KeyId {
    /// A key met in a hive.
    pub fn in_hive(hive: HiveId, guid: Guid) -> Self {
        Self { slot: hive.slot, guid, hive_index: Some(hive.index), transaction: None }
    }

    /// A key of some hive of a source.
    pub fn in_slot(slot: SlotId, guid: Guid) -> Self {
        Self { slot, guid, hive_index: None, transaction: None }
    }

    /// Another key of the same hive.
    pub fn beside(self, guid: Guid) -> Self {
        Self { guid, ..self }
    }

    fn identity(&self) -> (SlotId, Guid) {
        (self.slot, self.guid)
    }
}

impl PartialEq for KeyId {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for KeyId {}

impl PartialOrd for KeyId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// A hive of a slot.
#[derive(Clone, Debug)]
pub struct Hive {
    /// As the source last registered it.
    pub name: String,
    /// Its identity, with scope and root.
    pub folded: FoldedName,
    /// The root key.
    pub root: Guid,
    /// The scope of a private hive; none for a global one.
    pub scope: Option<Guid>,
    /// Steps once for each committed mutation (PSD-005 §6.3).
    pub generation: u64,
}

/// One registered source, Active or Down.
pub struct Slot<E: Env> {
    /// The newest connection.
    pub connection: Connection<E>,
    /// Counts connections; an fd's key is known to be there only in the one that showed it.
    pub incarnation: u64,
    /// Whether missed layer deletions are being replayed on the newest connection.
    pub resuming: bool,
    /// The hives, in the order of the first registration.
    pub hives: Vec<Hive>,
    /// Layers whose deletion the source has not confirmed (D-55).
    pub missed_deletions: MissedDeletions,
}

/// What holds for a key while any fd of it is open.
#[derive(Clone, Copy, Debug)]
pub struct OpenKey {
    /// Open file descriptions.
    pub opens: usize,
    /// No layer names it any more.
    pub orphaned: bool,
    /// The slot's incarnation that last showed the key.
    pub seen: u64,
    /// The transaction that created it, as long as that has not committed; nobody else sees it
    /// then (D-20).
    pub created_in: Option<TransactionId>,
}

/// See the module.
pub struct State<E: Env> {
    /// In order of registration.
    pub slots: Vec<Slot<E>>,
    /// The global hive that layer metadata lives in, once registered (D-100).
    pub machine: Option<HiveId>,
    /// The next sequence number to give out.
    pub next_sequence: u64,
    /// Closed while a restore numbers its entries.
    pub sequence_gate: SequenceGate,
    /// The published layer table.
    pub layers: Arc<LayerTable>,
    /// What the table was last made from.
    pub metadata: MetadataCache,
    /// The parameters in force.
    pub parameters: Arc<Parameters>,
    /// What they were last made from.
    pub configuration: ConfigurationCache,
    /// Keys with open fds.
    pub open_keys: BTreeMap<KeyId, OpenKey>,
    /// Transactions with open fds.
    pub transactions: Transactions,
    /// Armed watches.
    pub watches: WatchMap,
    /// What is known of entries that are about to change.
    pub under_way: UnderWay,
}

impl<E: Env> State<E> {
    /// A kernel that has just started.
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            machine: None,
            next_sequence: 1,
            sequence_gate: SequenceGate::default(),
            layers: Arc::new(LayerTable::new()),
            metadata: MetadataCache::default(),
            parameters: Arc::default(),
            configuration: ConfigurationCache::default(),
            open_keys: BTreeMap::new(),
            transactions: Transactions::default(),
            watches: WatchMap::default(),
            under_way: UnderWay::default(),
        }
    }

    /// A slot that a `SlotId` names.
    pub fn slot(&self, slot: SlotId) -> &Slot<E> {
        &self.slots[slot.0]
    }

    /// As [`State::slot`], to change it.
    pub fn slot_mut(&mut self, slot: SlotId) -> &mut Slot<E> {
        &mut self.slots[slot.0]
    }

    /// A hive that a `HiveId` names.
    pub fn hive(&self, hive: HiveId) -> &Hive {
        &self.slots[hive.slot.0].hives[hive.index]
    }

    /// Whether the source answers, as far as is known.
    pub fn is_active(&self, slot: SlotId) -> bool {
        self.slot(slot).connection.down_reason().is_none()
    }

    /// Every hive, in order of registration.
    pub fn hives(&self) -> impl Iterator<Item = (HiveId, &Hive)> {
        self.slots.iter().enumerate().flat_map(|(slot, content)| {
            content
                .hives
                .iter()
                .enumerate()
                .map(move |(index, hive)| (HiveId { slot: SlotId(slot), index }, hive))
        })
    }

    /// Adds a slot.
    pub fn add_slot(&mut self, slot: Slot<E>) -> SlotId {
        let id = SlotId(self.slots.len());
        let machine = FoldedName::new(MACHINE);
        let is_machine = |hive: &Hive| hive.scope.is_none() && hive.folded == machine;
        if let Some(index) = slot.hives.iter().position(is_machine) {
            self.machine = Some(HiveId { slot: id, index });
        }
        self.slots.push(slot);
        id
    }

    /// Where a hive name leads for a caller: private hives of its scopes in their order, then
    /// global ones (PSD-005 §2.2).
    pub fn route(&self, name: &FoldedName, token: &Token) -> Option<HiveId> {
        let find = |scope: Option<Guid>| {
            self.hives().find(|(_, hive)| hive.folded == *name && hive.scope == scope)
        };
        let private = token.scopes.iter().find_map(|scope| find(Some(*scope)));
        private.or_else(|| find(None)).map(|(id, _)| id)
    }

    /// Takes the next sequence number, for an entry at a source (D-31); none while the gate is closed.
    ///
    /// # Errors
    /// EIO for a source that is Down (P-05), EOVERFLOW when the last number has been given out.
    pub fn allocate_sequence(&mut self, slot: SlotId) -> Result<Option<u64>, Errno> {
        if !self.is_active(slot) {
            return Err(Errno::EIO);
        }
        if self.sequence_gate.is_closed() {
            return Ok(None);
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        Ok(Some(sequence))
    }

    /// One committed mutation of a hive.
    pub fn step_generation(&mut self, hive: HiveId) {
        let generation = &mut self.slots[hive.slot.0].hives[hive.index].generation;
        *generation = generation.wrapping_add(1);
    }

    /// Forgets that the deletion of these layers, which are published again, is owed to sources that
    /// are there and have refused it: a replay would hit what is written from now on. One that is Down
    /// or has just come back is told in any case (P-187), and so is one that goes Down without having
    /// answered (P-264).
    pub fn forget_refused_deletions(&mut self, layers: &[FoldedName]) {
        for slot in &mut self.slots {
            if slot.connection.down_reason().is_none() && !slot.resuming {
                slot.missed_deletions.forget_refused(layers);
            }
        }
    }

    /// Whether the key is open and no layer names it.
    pub fn is_orphaned(&self, key: KeyId) -> bool {
        self.open_keys.get(&key).is_some_and(|open| open.orphaned)
    }

    /// Notes one more open file description of a key that its source has just shown.
    pub fn open_key(&mut self, key: KeyId) {
        let seen = self.slot(key.slot).incarnation;
        let new = OpenKey { opens: 0, orphaned: false, seen, created_in: None };
        let open = self.open_keys.entry(key).or_insert(new);
        open.opens += 1;
        open.seen = seen;
    }

    /// As [`State::open_key`], of a key that is about to be created, in a transaction or in none.
    pub fn open_new_key(&mut self, key: KeyId, transaction: Option<TransactionId>) {
        self.open_key(key);
        if let Some(open) = self.open_keys.get_mut(&key) {
            open.created_in = transaction;
        }
    }

    /// Notes that the creation of a key has been committed.
    pub fn commit_key(&mut self, key: KeyId) {
        if let Some(open) = self.open_keys.get_mut(&key) {
            open.created_in = None;
        }
    }

    /// The transaction that a key was created in and exists in alone.
    pub fn created_in(&self, key: KeyId) -> Option<TransactionId> {
        self.open_keys.get(&key).and_then(|open| open.created_in)
    }

    /// Notes that the source has just shown the key.
    pub fn see_key(&mut self, key: KeyId) {
        let seen = self.slot(key.slot).incarnation;
        if let Some(open) = self.open_keys.get_mut(&key) {
            open.seen = seen;
        }
    }

    /// Notes that the key lost its last path entry. Returns whether it is to be dropped now, since
    /// nobody has it open (D-61, D-63).
    pub fn orphan_key(&mut self, key: KeyId) -> bool {
        if self.slot(key.slot).hives.iter().any(|hive| hive.root == key.guid) {
            return false;
        }
        match self.open_keys.get_mut(&key) {
            Some(open) => {
                open.orphaned = true;
                false
            }
            None => true,
        }
    }

    /// One open file description fewer. Returns whether the key is to be dropped at its source,
    /// after which [`State::forget_key`] follows.
    pub fn close_key(&mut self, key: KeyId) -> bool {
        let Some(open) = self.open_keys.get_mut(&key) else { return false };
        open.opens = open.opens.saturating_sub(1);
        if open.opens > 0 {
            return false;
        }
        if open.orphaned && self.is_active(key.slot) {
            return true;
        }
        self.open_keys.remove(&key);
        false
    }

    /// Releases what is known of a key that nobody has open.
    pub fn forget_key(&mut self, key: KeyId) {
        if self.open_keys.get(&key).is_some_and(|open| open.opens == 0) {
            self.open_keys.remove(&key);
        }
    }
}
