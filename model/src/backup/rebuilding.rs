//! The rest of a stream that is restored, record by record: keys, entries, values, blanket tombstones.
//!
//! States PSD-005 §9.1 ("Restore root mapping", steps 4 to 8, "ParentGUID validation", "GUID preservation",
//! "Sequence remapping", "Unknown records"), with D-102, D-104, P-203 to P-206, P-212, P-342 and P-343. Works on a state of its
//! own, which is what the source has in the restore's transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::prologue::{Marks, Object, Prologue, next};
use super::stream::{
    BlanketLine, HIDDEN, KEY_SYMLINK, KEY_VOLATILE, PathLine, Reader, Record, ValueLine,
};
use crate::coverage::covers;
use crate::database::{Database, Guid, HiveId, KeyRecord, PathEntry, Target, Time, ValueEntry};
use crate::errno::Errno;
use crate::input::WireGuid;
use crate::layers;
use crate::names::{FoldedName, KeyName, LayerName, ValueName};
use crate::state::{OpenKey, State};
use crate::values::{REG_DWORD, REG_QWORD, REG_TOMBSTONE};

/// The ceiling of MaxValueSize in bytes (§11.4), which no value has ever been above (P-225).
const DATA_LENGTH_MAX: usize = 64 << 20;

/// A restore whose teardown has been carried out.
pub(super) struct Rebuilding {
    /// The registry with what the transaction has done.
    pub(super) state: State,
    hive: HiveId,
    target: Guid,
    has_tcb_privilege: bool,
    /// HEADER.RootGUID.
    root: WireGuid,
    manifest: BTreeSet<FoldedName>,
    /// Whether records of no known type stand in the manifest.
    has_unknown: bool,
    /// The descendants that the teardown has removed, and records that had been dropped by then.
    pub(super) removed: BTreeSet<Guid>,
    /// The keys that the stream has made.
    pub(super) created: BTreeSet<Guid>,
    /// These by their GUIDs.
    keys: BTreeMap<WireGuid, Guid>,
    section: Section,
    /// `restore_sequence_offset`.
    offset: u64,
    /// The highest number sent, each time that it rose.
    pub(super) highest: Vec<u64>,
    /// How many of these had been sent where it may have met a GUID that is in use (P-342).
    pub(super) collisions: Vec<usize>,
    /// The records that had been dropped then.
    pub(super) dropped: Vec<(HiveId, Guid)>,
    pub(super) marks: Marks,
}

/// A KEY record and what has come of its section.
struct Section {
    object: Object,
    /// The key; `None` until it has been created.
    key: Option<Guid>,
    /// PATH_ENTRY records that have not been sent.
    entries: Vec<PathLine>,
    stage: Stage,
}

/// Which records may still come in a section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    PathEntries,
    Values,
    Blankets,
}

/// Where the records of a name lead: (parent, folded name).
type Place = (Guid, FoldedName);

impl Rebuilding {
    /// Begins with a state in which the descendants of a key are removed. Step 4: the root's mutable fields.
    pub(super) fn begin<'a>(
        state: State,
        open: &OpenKey,
        has_tcb_privilege: bool,
        removed: BTreeSet<Guid>,
        (prologue, mut marks): (Prologue<'a>, Marks),
    ) -> (Rebuilding, Reader<'a>) {
        let Prologue { reader, root, manifest, has_unknown, object } = prologue;
        let offset = state.next_sequence;
        let (hive, target) = (open.hive(), open.key());
        covers!(marks.done, "RST-02", "RST-03", "RST-11", "RST-12", "RST-15", "RST-31", "RST-68");
        if state.real_guid(target) != Some(root) {
            covers!(marks.done, "RST-07", "RST-08", "RST-53");
        }
        let mut state = state;
        let database = state.database_mut(hive);
        database.write_descriptor(target, object.descriptor.clone(), object.sd_size);
        database.write_time(target, Time::At(object.last_write_time));
        let section = Section::new(object, Some(target));
        let rebuilding = Rebuilding {
            state,
            hive,
            target,
            has_tcb_privilege,
            root,
            manifest,
            has_unknown,
            removed,
            created: BTreeSet::new(),
            keys: BTreeMap::new(),
            section,
            offset,
            highest: Vec::new(),
            collisions: Vec::new(),
            dropped: Vec::new(),
            marks,
        };
        (rebuilding, reader)
    }

    /// Steps 5 to 8: everything up to the end of the stream.
    ///
    /// # Errors
    ///
    /// EINVAL for what is malformed, EEXIST for a GUID that is in use, EOVERFLOW for a number that is too
    /// high, EPERM for layer metadata of a precedence above 0.
    pub(super) fn read(&mut self, mut reader: Reader<'_>) -> Result<(), Errno> {
        loop {
            match next(&mut reader, &mut self.marks)? {
                Some(Record::Key(object)) => self.key(Object::of(&object)?)?,
                Some(Record::PathEntry(line)) => self.path_entry(line)?,
                Some(Record::Value(line)) => self.value(&line)?,
                Some(Record::Blanket(line)) => self.blanket(&line)?,
                Some(Record::Unknown { .. }) => {}
                Some(Record::Trailer) => {
                    self.send_entries()?;
                    return self.end(&mut reader);
                }
                Some(Record::Header(_) | Record::Layer(_)) => {
                    covers!(self.marks.refused, "RST-89");
                    return Err(Errno::EINVAL);
                }
                None => {
                    covers!(self.marks.refused, "BAK-12");
                    return Err(Errno::EINVAL);
                }
            }
        }
    }

    /// Behind TRAILER there is nothing.
    fn end(&mut self, reader: &mut Reader<'_>) -> Result<(), Errno> {
        if reader.read_record() != Ok(None) {
            covers!(self.marks.refused, "BAK-50", "IOC-175");
            return Err(Errno::EINVAL);
        }
        covers!(self.marks.done, "RST-50");
        if self.highest.is_empty() {
            covers!(self.marks.done, "RST-74");
        }
        let are_in_order = |numbers: &Vec<u64>| numbers.iter().any(|number| *number != numbers[0]);
        if self.numbers().any(|numbers| are_in_order(&numbers)) {
            covers!(self.marks.done, "RST-67", "SEQ-29");
        }
        Ok(())
    }

    /// A KEY record: the section before it has ended.
    fn key(&mut self, object: Object) -> Result<(), Errno> {
        self.send_entries()?;
        if object.guid == self.root {
            covers!(self.marks.refused, "RST-10", "IOC-177");
            return Err(Errno::EINVAL);
        }
        if self.keys.contains_key(&object.guid) {
            covers!(self.marks.refused, "RST-17");
            return Err(Errno::EINVAL);
        }
        self.section = Section::new(object, None);
        Ok(())
    }

    fn path_entry(&mut self, line: PathLine) -> Result<(), Errno> {
        self.declared(&line.layer).inspect_err(|_| {
            covers!(self.marks.refused, "RST-59");
            self.mark_undeclared();
        })?;
        self.key_name(&line.name)?;
        self.section.come_to(Stage::PathEntries)?;
        if self.section.key == Some(self.target) {
            return self.entry_of_root(&line);
        }
        self.section.entries.push(line);
        Ok(())
    }

    /// An entry of the root's section, where HIDDEN entries below it may stand.
    fn entry_of_root(&mut self, line: &PathLine) -> Result<(), Errno> {
        if line.child != HIDDEN {
            // The target stays where it is.
            covers!(self.marks.done, "RST-34");
            return Ok(());
        }
        if self.remapped(line.parent) != Some(self.target) {
            covers!(self.marks.refused, "RST-38");
            return Err(Errno::EINVAL);
        }
        if self.is_taken(self.target, line)? {
            return Err(Errno::EINVAL);
        }
        covers!(self.marks.done, "RST-88");
        self.send_entry(self.target, Target::Hidden, line)
    }

    /// The PATH_ENTRY records of a key are complete: the key is created, and they are sent.
    fn send_entries(&mut self) -> Result<(), Errno> {
        if self.section.key.is_some() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.section.entries);
        let (hidden, leading): (Vec<&PathLine>, Vec<&PathLine>) =
            lines.iter().partition(|line| line.child == HIDDEN);
        let guid = self.section.object.guid;
        if hidden.iter().any(|line| self.real(line.parent) != guid) {
            covers!(self.marks.refused, "RST-38");
            return Err(Errno::EINVAL);
        }
        let place = self.place(&leading)?;
        self.unique(&lines)?;
        let key = self.create(&place, leading.first().map_or("", |line| &line.name))?;
        self.send_all(key, &lines)
    }

    /// Sends the entries of a key that has been created. That one is there already is the source's answer,
    /// which decides when all are sent (P-224).
    fn send_all(&mut self, key: Guid, lines: &[PathLine]) -> Result<(), Errno> {
        let mut is_any_taken = false;
        for line in lines {
            let (parent, target) = if line.child == HIDDEN {
                covers!(self.marks.done, "RST-88");
                (key, Target::Hidden)
            } else {
                (self.remapped(line.parent).ok_or(Errno::EINVAL)?, Target::Key(key))
            };
            // RSI_HIDE_ENTRY is not refused: it takes the place of what was below the GUID before (P-430).
            let is_taken = target != Target::Hidden && self.is_taken(parent, line)?;
            let sent = self.send_entry(parent, target, line);
            sent.map_err(|errno| if is_any_taken { Errno::EINVAL } else { errno })?;
            is_any_taken |= is_taken;
        }
        if is_any_taken { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn send_entry(&mut self, parent: Guid, target: Target, line: &PathLine) -> Result<(), Errno> {
        let sequence = self.remap_sequence(line.sequence)?;
        covers!(self.marks.done, "RST-43", "RST-52");
        let (name, layer) = (self.key_name(&line.name)?, self.declared(&line.layer)?);
        let entry = PathEntry { name, layer, target, sequence, volatile_store: false };
        self.database().put_entry(parent, entry);
        Ok(())
    }

    /// Whether the layer of an entry has one at its place, which the stream has brought, or which was below the GUID
    /// of its parent before (P-430).
    fn is_taken(&self, parent: Guid, line: &PathLine) -> Result<bool, Errno> {
        let (name, layer) = (self.key_name(&line.name)?, self.declared(&line.layer)?);
        let held = self.state.database(self.hive).lookup(parent, name.folded().as_str());
        Ok(held.is_some_and(|entries| entries.contains_key(layer.folded())))
    }

    /// The one place to which the entries of a key lead (P-204).
    fn place(&mut self, leading: &[&PathLine]) -> Result<Place, Errno> {
        let guid = self.section.object.guid;
        let mut place: Option<Place> = None;
        for line in leading {
            if self.real(line.child) != guid {
                covers!(self.marks.refused, "RST-39");
                return Err(Errno::EINVAL);
            }
            let Some(parent) = self.remapped(line.parent) else {
                covers!(self.marks.refused, "RST-40", "RST-51");
                return Err(Errno::EINVAL);
            };
            let this = (parent, self.key_name(&line.name)?.folded().clone());
            if place.as_ref().is_some_and(|place| *place != this) {
                return Err(Errno::EINVAL);
            }
            place = Some(this);
        }
        place.ok_or_else(|| {
            covers!(self.marks.refused, "RST-37");
            Errno::EINVAL
        })
    }

    /// No two entries of a section are one layer's at one place (P-204): those of the key at its place, and
    /// those below it. A key that has the target's GUID may have both at one.
    fn unique(&self, lines: &[PathLine]) -> Result<(), Errno> {
        let mut known = BTreeSet::new();
        for line in lines {
            let (name, layer) = (self.key_name(&line.name)?, self.declared(&line.layer)?);
            let parent = self.real(line.parent);
            if !known.insert((parent, name.folded().clone(), layer.folded().clone())) {
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// Creates the key of the section, unless its GUID is in use.
    fn create(&mut self, (parent, _): &Place, name: &str) -> Result<Guid, Errno> {
        let object = &self.section.object;
        let (volatile_key, symlink) =
            (object.flags & KEY_VOLATILE != 0, object.flags & KEY_SYMLINK != 0);
        let record = KeyRecord {
            name: self.key_name(name)?,
            parent: Some(*parent),
            descriptor: Ok(object.descriptor.clone()),
            sd_size: object.sd_size,
            last_write_time: Time::At(object.last_write_time),
            volatile_key,
            symlink,
        };
        let real = object.guid;
        let above = self.state.database(self.hive).keys.get(parent);
        if above.is_some_and(|above| above.volatile_key) && !volatile_key {
            return Err(Errno::EINVAL);
        }
        let users = self.users(real);
        if users.iter().any(|user| !self.state.undropped.contains(user)) {
            covers!(self.marks.refused, "RST-18", "RST-49", "IOC-179", "IOC-165", "ERR-34");
            return Err(Errno::EEXIST);
        }
        self.dropped(users);
        covers!(self.marks.done, "RST-16", "RST-35", "RST-36", "RST-41", "RST-42");
        let key = self.number_of(real);
        self.database().create_key(key, record);
        self.created.insert(key);
        self.keys.insert(real, key);
        self.section.key = Some(key);
        Ok(key)
    }

    /// The records of this GUID in the hives of the source (P-206).
    fn users(&self, real: WireGuid) -> Vec<(HiveId, Guid)> {
        let slot = self.state.hives.get(&self.hive).map(|hive| hive.slot);
        let hives = slot.into_iter().flat_map(|slot| self.state.hives_of(slot));
        let hives: Vec<HiveId> = hives.map(|(hive, _)| hive).collect();
        let is_there = |hive: HiveId, key: Guid| self.state.database(hive).keys.contains_key(&key);
        let keys = self.state.keys_with_guid(real);
        let pairs = keys.flat_map(|key| hives.iter().map(move |hive| (*hive, key)));
        pairs.filter(|(hive, key)| is_there(*hive, *key)).collect()
    }

    /// These records had been dropped; it would have failed otherwise (P-342).
    fn dropped(&mut self, users: Vec<(HiveId, Guid)>) {
        if !users.is_empty() {
            self.collisions.push(self.highest.len());
        }
        for (hive, key) in users {
            self.state.database_mut(hive).drop_key(key);
            if hive == self.hive {
                self.removed.insert(key);
            }
            self.dropped.push((hive, key));
        }
    }

    /// The model's number for a key that is made under this GUID: the one that it had in this hive, as long
    /// as anything may remember it. A source remembers what it still has below a key that was dropped (P-14,
    /// P-430).
    fn number_of(&mut self, real: WireGuid) -> Guid {
        let stored = &self.state.database(self.hive).path_entries;
        let is_remembered = |key: &Guid| {
            self.removed.contains(key)
                || self.state.is_open(self.hive, *key)
                || stored.contains_key(key)
        };
        let known = self.state.keys_with_guid(real).find(is_remembered);
        known.unwrap_or_else(|| {
            let key = self.state.fresh_guid();
            self.state.guids.insert_mut(key, real);
            key
        })
    }

    fn value(&mut self, line: &ValueLine) -> Result<(), Errno> {
        let layer = self.declared(&line.layer).inspect_err(|_| {
            covers!(self.marks.refused, "RST-60");
            self.mark_undeclared();
        })?;
        let name = ValueName::parse(line.name.as_bytes(), self.state.limits());
        let name = name.map_err(|_| Errno::EINVAL)?;
        let is_tombstone = line.value_type == REG_TOMBSTONE && line.data.is_empty();
        let is_too_long = line.data.len() > DATA_LENGTH_MAX;
        if line.value_type > REG_QWORD && !is_tombstone || is_too_long {
            return Err(Errno::EINVAL);
        }
        let key = self.of_section(line.key, Stage::Values)?;
        let held = self.state.database(self.hive).value(key, name.folded().as_str());
        if held.is_some_and(|entries| entries.contains_key(layer.folded())) {
            return Err(Errno::EINVAL);
        }
        if !self.has_tcb_privilege && raises(line, &name) && self.is_metadata_key(key) {
            covers!(self.marks.refused, "IOC-171", "LAUTH-10");
            return Err(Errno::EPERM);
        }
        let sequence = self.remap_sequence(line.sequence)?;
        if key == self.target {
            covers!(self.marks.done, "RST-32");
        } else {
            covers!(self.marks.done, "RST-44");
        }
        let (value_type, data) = (line.value_type, line.data.as_slice().into());
        let entry = ValueEntry { name, layer, value_type, data, sequence };
        self.database().put_value(key, entry);
        Ok(())
    }

    fn blanket(&mut self, line: &BlanketLine) -> Result<(), Errno> {
        let layer = self.declared(&line.layer).inspect_err(|_| {
            covers!(self.marks.refused, "RST-61");
            self.mark_undeclared();
        })?;
        let key = self.of_section(line.key, Stage::Blankets)?;
        let held = self.state.database(self.hive).blankets.get(&key);
        if held.is_some_and(|layers| layers.contains_key(layer.folded())) {
            return Err(Errno::EINVAL);
        }
        let sequence = self.remap_sequence(line.sequence)?;
        if key == self.target {
            covers!(self.marks.done, "RST-33");
        } else {
            covers!(self.marks.done, "RST-45");
        }
        self.database().set_blanket(key, &layer, Some(sequence));
        Ok(())
    }

    /// The key of the section, for a record that says it is of this key.
    fn of_section(&mut self, guid: WireGuid, stage: Stage) -> Result<Guid, Errno> {
        if self.real(guid) != self.real(self.section.object.guid) {
            return Err(Errno::EINVAL);
        }
        self.section.come_to(stage)?;
        self.send_entries()?;
        self.section.key.ok_or(Errno::EINVAL)
    }

    /// A GUID of the stream after the root's has become the target's (RST-07).
    fn real(&self, guid: WireGuid) -> WireGuid {
        let target = self.state.real_guid(self.target).filter(|_| guid == self.root);
        target.unwrap_or(guid)
    }

    /// The key that a GUID of the stream stands for: the target, or one that has been made.
    fn remapped(&self, guid: WireGuid) -> Option<Guid> {
        let is_target = guid == self.root || self.state.real_guid(self.target) == Some(guid);
        if is_target { Some(self.target) } else { self.keys.get(&guid).copied() }
    }

    /// `new_sequence`.
    fn remap_sequence(&mut self, sequence: u64) -> Result<u64, Errno> {
        let new = self.offset.checked_add(sequence).filter(|new| *new < u64::MAX);
        let new = new.ok_or_else(|| {
            covers!(self.marks.refused, "RST-76", "IOC-180");
            Errno::EOVERFLOW
        })?;
        covers!(self.marks.done, "RST-65", "RST-66", "RST-69", "RST-75", "RST-81");
        covers!(self.marks.done, "SEQ-26", "SEQ-27", "SEQ-28");
        match self.highest.last() {
            // By their numbers they would have come the other way about.
            Some(highest) if *highest > new => covers!(self.marks.done, "RST-80"),
            Some(highest) if *highest == new => {}
            _ => self.highest.push(new),
        }
        Ok(new)
    }

    /// The name of a layer that the manifest has.
    fn declared(&self, name: &str) -> Result<LayerName, Errno> {
        let name = LayerName::parse(name.as_bytes(), self.state.limits());
        let name = name.ok().filter(|name| self.manifest.contains(name.folded()));
        name.ok_or(Errno::EINVAL)
    }

    fn key_name(&self, name: &str) -> Result<KeyName, Errno> {
        KeyName::parse(name.as_bytes(), self.state.limits()).map_err(|_| Errno::EINVAL)
    }

    /// Whether a key is to be the metadata key of a layer (P-212).
    fn is_metadata_key(&self, key: Guid) -> bool {
        if layers::machine(&self.state) != Some(self.hive) {
            return false;
        }
        let database = self.state.database(self.hive);
        let above = |key: Guid| database.keys.get(&key).and_then(|record| record.parent);
        let name = |key: Guid| database.keys.get(&key).map(|record| record.name.folded().as_str());
        let layers_key = above(key);
        let registry = layers_key.and_then(above);
        let system = registry.and_then(above);
        let leads_there = layers_key.and_then(name) == Some("layers")
            && registry.and_then(name) == Some("registry")
            && system.and_then(name) == Some("system")
            && system.and_then(above) == Some(database.root);
        leads_there || layers::is_metadata_key(&self.state, self.hive, key)
    }

    /// Whether records for one thing have one number: they are malformed data where that has to decide (§2.7,
    /// P-343).
    pub(super) fn has_ties(&self) -> bool {
        self.numbers().any(|numbers| repeats(&numbers))
    }

    /// The numbers of the records for one thing, thing by thing: those of a name, and those of a value with the
    /// blanket tombstones over it.
    fn numbers(&self) -> impl Iterator<Item = Vec<u64>> + '_ {
        let database = self.state.database(self.hive);
        let keys = self.created.iter().chain([&self.target]);
        keys.flat_map(|key| {
            let blankets = database.blankets.get(key).into_iter().flat_map(|all| all.values());
            let over: Vec<u64> = blankets.map(|blanket| blanket.sequence).collect();
            let names = database.children(*key).map(|(_, entries)| {
                entries.values().map(|entry| entry.sequence).collect::<Vec<u64>>()
            });
            let values = database.value_names(*key).map(move |(_, entries)| {
                let numbers = entries.values().map(|entry| entry.sequence);
                numbers.chain(over.iter().copied()).collect()
            });
            names.chain(values)
        })
    }

    /// A record names a layer that the manifest has not declared, and no unknown record has.
    fn mark_undeclared(&mut self) {
        if self.has_unknown {
            covers!(self.marks.refused, "BAK-48");
        }
    }

    fn database(&mut self) -> &mut Database {
        self.state.database_mut(self.hive)
    }
}

/// Whether some number comes twice.
fn repeats(numbers: &[u64]) -> bool {
    let known: BTreeSet<u64> = numbers.iter().copied().collect();
    known.len() < numbers.len()
}

/// Whether this sets a precedence above 0.
fn raises(line: &ValueLine, name: &ValueName) -> bool {
    let number = <[u8; 4]>::try_from(&line.data[..]).map(u32::from_le_bytes);
    name.folded().as_str() == "precedence"
        && line.value_type == REG_DWORD
        && number.is_ok_and(|number| number > 0)
}

impl Section {
    fn new(object: Object, key: Option<Guid>) -> Section {
        Section { object, key, entries: Vec::new(), stage: Stage::PathEntries }
    }

    /// A record of this kind has come.
    fn come_to(&mut self, stage: Stage) -> Result<(), Errno> {
        if stage < self.stage {
            return Err(Errno::EINVAL);
        }
        self.stage = stage;
        Ok(())
    }
}
