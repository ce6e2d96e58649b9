//! The state of the registry: what sources store and what the kernel holds beside it.
//!
//! States the entities of PSD-005 §2.1, the key fd of §6.1, the source slot of §7.1 and the hive
//! generation of §6.3. Every part is persistent, so a copy costs nothing that grows with the
//! registry. Does not know how a call changes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::backup::streams::{Stream, StreamId};
use crate::database::{Database, Guid, HiveId, Kept, Map, Set};
use crate::input::{CommitRefusal, Fd, ProcessId, SourceId, WireGuid};
use crate::layer_metadata::Reading;
use crate::layers::Layer;
use crate::limits::Limits;
use crate::names::{FoldedName, KeyName};
use crate::numbering::Beforehand;
use crate::on_the_way::OnTheWay;
use crate::power::Past;
use crate::registration::Namespace;
use crate::security::{SecurityDescriptor, Token};
use crate::stalls::Stall;
use crate::step::FormerLock;
use crate::transactions::{Transaction, TransactionId};
use crate::watches::Watch;

/// What the registry is at one moment, as far as a caller can come to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What is behind each registered hive: what the process that last registered it holds.
    pub(crate) databases: Map<HiveId, Database>,
    /// What processes have stored that serve it to nobody.
    pub(crate) shelf: Map<Kept, Database>,
    /// The model's numbers for the root GUIDs that sources have registered.
    pub(crate) roots: Map<WireGuid, Guid>,
    /// The real GUIDs of other keys, as far as they have been seen.
    pub(crate) guids: Map<Guid, WireGuid>,
    /// The open source devices (§7.1).
    pub(crate) devices: Map<SourceId, Device>,
    /// The source slots of this boot (§7.1).
    pub(crate) slots: Map<SlotId, Slot>,
    /// The routing table (§2.2).
    pub(crate) routes: Map<FoldedName, HiveId>,
    /// The registered hives.
    pub(crate) hives: Map<HiveId, Hive>,
    /// The layer table (§2.6), by folded name; base is always in it.
    pub(crate) layers: Map<FoldedName, Layer>,
    /// The key whose children are the layers, as the kernel last resolved it (P-03).
    pub(crate) layers_key: Option<Guid>,
    /// The Layers key when the path to it last resolved, and what was last read of each name below
    /// it (P-03, P-07, P-15).
    pub(crate) layers_seen: Option<(Guid, Map<FoldedName, Reading>)>,
    /// The names that a refresh has changed once more after their turn in it, so that they are dirty in
    /// the next one (P-184).
    pub(crate) layers_waiting: Set<FoldedName>,
    /// Whether the enumeration of the Layers key was malformed when the table was last to be read from
    /// it, so that it is to be asked again (P-26).
    pub(crate) layers_unread: bool,
    /// Whether a refresh of the layers was not answered in time, so that it is made up for at the next change
    /// of the Machine hive (P-241).
    pub(crate) layers_unanswered: bool,
    /// Whether the parameters were to be read and could not be, so that they are to be asked for again at the
    /// next change of the Machine hive (P-241).
    pub(crate) configuration_unread: bool,
    /// Sources that do not answer (§10.1, "Request timeout").
    pub(crate) stalls: Map<SourceId, Stall>,
    /// The sources that die in the course of what the kernel does of its own (P-615).
    pub(crate) dying: BTreeSet<SourceId>,
    /// Commits that the end of a lifetime has cut off and whose answers may still come (P-540).
    pub(crate) on_the_way: rpds::VectorSync<OnTheWay>,
    /// Whether base may have its compiled-in SD again instead of the one in the table: its metadata
    /// key has left the view (P-28).
    pub(crate) base_may_be_default: bool,
    /// The key whose values are the parameters, as the path to it last resolved (P-160).
    pub(crate) configuration_key: Option<Guid>,
    /// What sources will report as their highest sequence number although it is not.
    pub(crate) false_maxima: Map<SourceId, u64>,
    /// The next sequence number to be allocated (§2.7).
    pub(crate) next_sequence: u64,
    /// What the next call brings from an earlier moment, if others overlapped with it (P-440, P-530).
    pub(crate) beforehand: Beforehand,
    /// Open key fds.
    pub(crate) open_keys: Map<(ProcessId, Fd), OpenKey>,
    /// Open transaction fds. Their numbers are those of no open key fd of the process.
    pub(crate) transaction_fds: Map<(ProcessId, Fd), TransactionId>,
    /// The transactions that these refer to (§5.1).
    pub(crate) transactions: Map<TransactionId, Transaction>,
    pub(crate) next_transaction: u64,
    /// Open fds of streams. Their numbers are those of no other fd of the process.
    pub(crate) stream_fds: Map<(ProcessId, Fd), StreamId>,
    /// The streams that these refer to.
    pub(crate) streams: Map<StreamId, Stream>,
    pub(crate) next_stream: u64,
    /// Sources that have no transactions for reading and writing (§7.3).
    pub(crate) without_transactions: Set<SourceId>,
    /// Sources that have no transactions that only read (§7.3).
    pub(crate) without_snapshots: Set<SourceId>,
    /// What sources answer to their next commit instead of carrying it out.
    pub(crate) commit_refusals: Map<SourceId, CommitRefusal>,
    /// The armed watches, by the open file description that each belongs to (§4.2).
    pub(crate) watches: Map<DescriptionId, Watch>,
    /// Those that were armed once and are not any more.
    pub(crate) disarmed: Witness<Set<DescriptionId>>,
    /// The next open file description.
    pub(crate) next_description: u64,
    /// Keys known to be orphaned that are still open (§2.8).
    pub(crate) orphans: Set<(HiveId, Guid)>,
    /// Orphans whose last close asked for the drop, and may not have waited for it (P-342).
    pub(crate) undropped: Set<(HiveId, Guid)>,
    /// Orphans that the deletion of a layer has made.
    pub(crate) layer_orphans: Witness<Set<(HiveId, Guid)>>,
    /// What precedence layers had before the last commit that moved some, and after it.
    pub(crate) committed_precedence: Witness<Map<FoldedName, (u32, u32)>>,
    /// Keys whose SD was set by a call, a restore among them.
    pub(crate) secured: Witness<Set<(HiveId, Guid)>>,
    /// Those whose SD was last set by a commit.
    pub(crate) secured_within: Witness<Set<(HiveId, Guid)>>,
    /// The write locks that are free by now and for which readers of a hive may have been refused, the first that was
    /// freed first (P-614).
    pub(crate) former_locks: Map<HiveId, Vec<FormerLock>>,
    /// The watches that would know of transactions which have outlived their time, had these been committed.
    pub(crate) untold: Witness<Set<DescriptionId>>,
    /// Which entry an index has been seen to stand for since the last change (IOC-070).
    pub(crate) enumerations: Map<Enumeration, Map<u32, FoldedName>>,
    pub(crate) next_guid: u64,
    /// The parameters in force (§8.1).
    pub(crate) limits: Limits,
    /// What the hives were before the changes that are not durable yet (P-450); `None` where the power cannot
    /// fail.
    pub(crate) past: Option<Map<Kept, Past>>,
    /// The highest that MaxPathComponentLength has been while anything of what is stored was made: no
    /// name that the kernel stored is longer.
    pub(crate) name_length_max: u32,
}

/// An open source device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// Nothing was registered through it (Closed).
    Unregistered,
    /// It was made the connection of this slot, and may have lost it since.
    Registered(SlotId),
}

/// A source slot of this boot, in the order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) u32);

/// A source slot. It is never released (REG-29).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Whose device is the connection of an Active slot; `None` while the slot is Down.
    pub(crate) connection: Option<SourceId>,
    /// Layers deleted while the source was Down, or refused by it, in order (D-55, P-187).
    pub(crate) pending_layer_deletions: Vec<FoldedName>,
    /// How often the source has come back since boot.
    pub(crate) resumptions: Witness<u32>,
    /// How its last connection ended.
    pub(crate) gone: Witness<Option<Gone>>,
    /// Whether a call has timed out at this connection.
    pub(crate) has_timed_out: Witness<bool>,
}

/// How a slot went Down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The source fd was closed.
    Closed,
    /// The process died.
    Died,
    /// A frame broke the protocol.
    Refused,
}

/// A registered hive. Folded name, namespace and root GUID are its identity (§7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hive {
    /// The name in the spelling of its latest registration (HIVE-17, P-54).
    pub(crate) name: KeyName,
    pub(crate) namespace: Namespace,
    pub(crate) root: WireGuid,
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    /// The key of which key info was last asked, and the generation that it told.
    pub(crate) told: Witness<Option<(Guid, u64)>>,
}

/// What marks look at and nothing else. It decides nothing: states that differ in it are the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Witness<T>(pub(crate) T);

impl<T> PartialEq for Witness<T> {
    fn eq(&self, _: &Witness<T>) -> bool {
        true
    }
}

impl<T> Eq for Witness<T> {}

/// The change epoch of a hive (§6.3), which starts at a number of the kernel's choice (P-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Not observed since boot.
    AtLeast(u64),
    /// Observed, and counted from there.
    Exactly(u64),
    /// Observed, and counted from there with steps that may have been taken or not: from the first
    /// to the second, both included.
    Between(u64, u64),
}

impl Generation {
    /// One step on.
    pub(crate) fn step(self) -> Generation {
        let next = |number: u64| number.saturating_add(1);
        match self {
            Generation::AtLeast(number) => Generation::AtLeast(next(number)),
            Generation::Exactly(number) => Generation::Exactly(next(number)),
            Generation::Between(lowest, highest) => {
                Generation::Between(next(lowest), next(highest))
            }
        }
    }

    /// One step on or none: whether it took place is not known.
    pub(crate) fn uncertain(self) -> Generation {
        match self {
            Generation::AtLeast(number) => Generation::AtLeast(number),
            Generation::Exactly(number) => Generation::Between(number, number.saturating_add(1)),
            Generation::Between(lowest, highest) => {
                Generation::Between(lowest, highest.saturating_add(1))
            }
        }
    }

    /// Whether `number` may be observed.
    pub fn admits(self, number: u64) -> bool {
        match self {
            Generation::AtLeast(lowest) => number >= lowest,
            Generation::Exactly(exact) => number == exact,
            Generation::Between(lowest, highest) => (lowest..=highest).contains(&number),
        }
    }

    /// The lowest number that may be observed.
    pub(crate) fn lowest(self) -> u64 {
        match self {
            Generation::AtLeast(number)
            | Generation::Exactly(number)
            | Generation::Between(number, _) => number,
        }
    }
}

/// Where a walk ended: a key with the path and ancestors by which it was reached (SYS-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) hive: HiveId,
    /// From the hive's root to the key, both included.
    pub(crate) chain: Vec<Guid>,
    /// The name of each of these, as the walk spelled them (D-06, P-13).
    pub(crate) path: Vec<KeyName>,
}

impl Place {
    pub(crate) fn key(&self) -> Guid {
        *self.chain.last().expect("a place has at least the hive's root")
    }

    pub(crate) fn name(&self) -> &KeyName {
        self.path.last().expect("a place has at least the hive's name")
    }

    /// The parent, or `None` for a hive root.
    pub(crate) fn parent(&self) -> Option<Guid> {
        self.chain.len().checked_sub(2).map(|index| self.chain[index])
    }
}

/// An open file description: what an fd shares with those that were passed or duplicated from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DescriptionId(pub(crate) u64);

/// An open key fd (§6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenKey {
    pub(crate) description: DescriptionId,
    pub(crate) place: Arc<Place>,
    /// The granted access mask.
    pub(crate) granted: u32,
    /// How it came to that mask.
    pub(crate) origin: Witness<Arc<Origin>>,
}

/// Who has opened a key fd, and by which SD.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) process: ProcessId,
    pub(crate) token: Token,
    pub(crate) descriptor: Arc<SecurityDescriptor>,
    /// The last symbolic link that has led to the key.
    pub(crate) link: Option<(HiveId, Guid)>,
    /// The key of the parent fd that the path began at.
    pub(crate) start: Option<Guid>,
    /// How often the source had come back by then.
    pub(crate) resumptions: u32,
}

impl OpenKey {
    pub(crate) fn hive(&self) -> HiveId {
        self.place.hive
    }

    pub(crate) fn key(&self) -> Guid {
        self.place.key()
    }
}

/// What an enumeration by index is about: a key, what of it, in which transaction, and for which
/// private layers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Enumeration {
    pub(crate) hive: HiveId,
    pub(crate) key: Guid,
    pub(crate) kind: EnumerationKind,
    /// The transaction whose own contents it is of.
    pub(crate) transaction: Option<TransactionId>,
    pub(crate) private_layers: Vec<FoldedName>,
}

/// What is enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EnumerationKind {
    Values,
    Subkeys,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// The registry at the first boot of all: nothing stored, no source registered, and the base
    /// layer alone in the layer table (§8.1).
    pub fn new() -> State {
        State {
            databases: Map::new_sync(),
            shelf: Map::new_sync(),
            roots: Map::new_sync(),
            guids: Map::new_sync(),
            devices: Map::new_sync(),
            slots: Map::new_sync(),
            routes: Map::new_sync(),
            hives: Map::new_sync(),
            layers: crate::layers::initial_table(),
            layers_key: None,
            layers_seen: None,
            layers_waiting: Set::new_sync(),
            layers_unread: false,
            layers_unanswered: false,
            configuration_unread: false,
            stalls: Map::new_sync(),
            dying: BTreeSet::new(),
            on_the_way: rpds::VectorSync::new_sync(),
            base_may_be_default: false,
            configuration_key: None,
            false_maxima: Map::new_sync(),
            next_sequence: 1,
            beforehand: Beforehand::default(),
            open_keys: Map::new_sync(),
            transaction_fds: Map::new_sync(),
            transactions: Map::new_sync(),
            next_transaction: 1,
            stream_fds: Map::new_sync(),
            streams: Map::new_sync(),
            next_stream: 1,
            without_transactions: Set::new_sync(),
            without_snapshots: Set::new_sync(),
            commit_refusals: Map::new_sync(),
            watches: Map::new_sync(),
            disarmed: Witness(Set::new_sync()),
            next_description: 1,
            orphans: Set::new_sync(),
            undropped: Set::new_sync(),
            former_locks: Map::new_sync(),
            layer_orphans: Witness(Set::new_sync()),
            committed_precedence: Witness(Map::new_sync()),
            secured: Witness(Set::new_sync()),
            secured_within: Witness(Set::new_sync()),
            untold: Witness(Set::new_sync()),
            enumerations: Map::new_sync(),
            next_guid: 1,
            limits: Limits::default(),
            past: None,
            name_length_max: Limits::default().max_path_component_length,
        }
    }

    /// The same as it is looked at in a later state: under the counter and the parameters of then (P-139, P-531). What
    /// becomes readable by the mere passing of numbers has not changed.
    pub(crate) fn looked_at_as(&self, later: &State) -> State {
        State { next_sequence: later.next_sequence, limits: later.limits, ..self.clone() }
    }

    /// The parameters in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The contents of a hive. Hives are never taken away, so an id always has one.
    pub(crate) fn database(&self, hive: HiveId) -> &Database {
        self.databases.get(&hive).expect("every hive id has a database")
    }

    /// Whether anything in the hive may be malformed: it may hold what the kernel did not store, or
    /// names that are longer than what is allowed by now (P-167).
    pub(crate) fn may_be_malformed(&self, hive: HiveId) -> bool {
        self.database(hive).seeded || self.limits.max_path_component_length < self.name_length_max
    }

    /// The contents of a hive, to be changed.
    pub(crate) fn database_mut(&mut self, hive: HiveId) -> &mut Database {
        self.keep_past(hive);
        self.knowledge_mut(hive)
    }

    /// What is known of the contents of a hive, when no source changes them.
    pub(crate) fn knowledge_mut(&mut self, hive: HiveId) -> &mut Database {
        self.databases.get_mut(&hive).expect("every hive id has a database")
    }

    /// Whether the hive is registered and its source Active.
    pub(crate) fn is_active(&self, hive: HiveId) -> bool {
        self.hives.get(&hive).is_some_and(|hive| self.is_slot_active(hive.slot))
    }

    /// How often the source of a hive has come back since boot.
    pub(crate) fn resumptions(&self, hive: HiveId) -> u32 {
        self.slot_of(hive).map_or(0, |slot| slot.resumptions.0)
    }

    /// The slot of a hive.
    pub(crate) fn slot_of(&self, hive: HiveId) -> Option<&Slot> {
        self.slots.get(&self.hives.get(&hive)?.slot)
    }

    /// The same, to be changed.
    pub(crate) fn slot_of_mut(&mut self, hive: HiveId) -> Option<&mut Slot> {
        let slot = self.hives.get(&hive)?.slot;
        self.slots.get_mut(&slot)
    }

    /// Whether the slot is Active and not Down.
    pub(crate) fn is_slot_active(&self, slot: SlotId) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.connection.is_some())
    }

    /// The hives of a slot.
    pub(crate) fn hives_of(&self, slot: SlotId) -> impl Iterator<Item = (HiveId, &Hive)> {
        self.hives.iter().filter(move |(_, hive)| hive.slot == slot).map(|(id, hive)| (*id, hive))
    }

    /// The hives that everybody's paths lead to.
    pub(crate) fn global_hives(&self) -> impl Iterator<Item = (HiveId, &Hive)> {
        let hives = self.hives.iter().filter(|(_, hive)| hive.namespace.is_none());
        hives.map(|(id, hive)| (*id, hive))
    }

    /// The hives that a thread with this token can name, by folded name: private hives of its scopes,
    /// and the global ones that these do not shadow (§2.2).
    pub(crate) fn hives_for(&self, token: &Token) -> Vec<(HiveId, &Hive)> {
        let names: BTreeSet<&FoldedName> = self.hives.values().map(|h| h.name.folded()).collect();
        let routed = names.into_iter().filter_map(|name| self.route(name, token));
        routed.filter_map(|id| Some((id, self.hives.get(&id)?))).collect()
    }

    /// The names of the global hives whose source is Down, as they were registered.
    pub fn hives_down(&self) -> BTreeSet<String> {
        let down = self.global_hives().filter(|(id, _)| !self.is_active(*id));
        down.map(|(_, hive)| hive.name.spelling().to_owned()).collect()
    }

    /// The names that lead a thread with this token to a hive whose source is Down, as these were
    /// registered.
    pub fn hives_down_for(&self, token: &Token) -> BTreeSet<String> {
        let down = self.hives_for(token).into_iter().filter(|(id, _)| !self.is_active(*id));
        down.map(|(_, hive)| hive.name.spelling().to_owned()).collect()
    }

    /// The names that lead a thread with this token to a hive whose source is stalled, as these were
    /// registered.
    pub fn hives_stalled_for(&self, token: &Token) -> BTreeSet<String> {
        let stalled = self.hives_for(token).into_iter().filter(|(id, _)| self.is_stalled(*id));
        stalled.map(|(_, hive)| hive.name.spelling().to_owned()).collect()
    }

    /// Changes the generation of a hive.
    pub(crate) fn change_generation(
        &mut self,
        hive: HiveId,
        change: impl FnOnce(Generation) -> Generation,
    ) {
        if let Some(hive) = self.hives.get_mut(&hive) {
            hive.generation = change(hive.generation);
        }
    }

    /// Whether a process has an fd of this number.
    pub(crate) fn is_fd(&self, process: ProcessId, fd: Fd) -> bool {
        let place = (process, fd);
        self.open_keys.contains_key(&place)
            || self.transaction_fds.contains_key(&place)
            || self.stream_fds.contains_key(&place)
    }

    /// The key that an fd of a process stands for, if it is a key's.
    pub fn key_of_fd(&self, process: ProcessId, fd: Fd) -> Option<Guid> {
        self.open_keys.get(&(process, fd)).map(OpenKey::key)
    }

    /// The source that serves the key which an fd of a process stands for, if it is a key's and has one.
    pub fn source_of_fd(&self, process: ProcessId, fd: Fd) -> Option<SourceId> {
        let hive = self.open_keys.get(&(process, fd))?.hive();
        self.source_of(hive).map(|(_, source)| source)
    }

    /// Whether any fd refers to the key.
    pub(crate) fn is_open(&self, hive: HiveId, key: Guid) -> bool {
        self.open_keys.values().any(|open| open.hive() == hive && open.key() == key)
    }

    /// Whether any fd refers to the open file description.
    pub(crate) fn is_description_open(&self, description: DescriptionId) -> bool {
        self.open_keys.values().any(|open| open.description == description)
    }

    /// An open file description that nothing refers to yet. Its number follows from the answers so far.
    pub(crate) fn fresh_description(&mut self) -> DescriptionId {
        let description = DescriptionId(self.next_description);
        self.next_description += 1;
        description
    }

    /// Whether the key of an fd is known to be an orphan (§2.8).
    pub(crate) fn is_orphaned(&self, open: &OpenKey) -> bool {
        self.orphans.contains(&(open.hive(), open.key()))
    }

    /// Whether an orphan that is still open was created at this place.
    pub(crate) fn orphan_at(&self, parent: &Place, name: &KeyName) -> bool {
        self.orphans.iter().any(|(hive, key)| {
            let record = self.database(*hive).keys.get(key);
            *hive == parent.hive
                && record.is_some_and(|record| {
                    record.parent == Some(parent.key()) && record.name.folded() == name.folded()
                })
        })
    }

    /// A GUID that no key has or had (KEY-20).
    pub(crate) fn fresh_guid(&mut self) -> Guid {
        let guid = Guid(self.next_guid);
        self.next_guid += 1;
        guid
    }
}
