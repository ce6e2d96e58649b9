//! What a backup holds: a subtree with all layers' entries, as it was at one moment.
//!
//! States PSD-005 §9.1 ("Design constraints", "Record types", "Stream ordering"), with D-102, D-103, P-208
//! and P-211. In which of the orders that the text allows a stream has it, is found in `comparison`.

use std::collections::{BTreeMap, BTreeSet};

use super::stream::{
    BlanketLine, FORMAT_VERSION, HIDDEN, Header, KEY_SYMLINK, KEY_VOLATILE, KeyObject, LayerLine,
    MAGIC, PathLine, Record, ValueLine, Writer,
};
use crate::coverage::{Covered, covers};
use crate::database::{
    BlanketTombstone, Database, Guid, HiveId, KeyRecord, Map, PathEntry, Target, ValueEntry,
};
use crate::input::{UnixTime, WireGuid};
use crate::layer_metadata::Reading;
use crate::layers::Layer;
use crate::names::{FoldedName, LayerName};
use crate::resolution::Viewer;
use crate::responses::{Malformed, descriptor_of};
use crate::security::well_known;
use crate::state::{OpenKey, State};
use crate::step::Work;
use crate::values::REG_TOMBSTONE;

/// A subtree at the moment of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(super) hive: HiveId,
    /// The name of the hive as it was registered.
    pub(super) hive_name: String,
    /// The key that the backup is of.
    pub(super) root: Guid,
    pub(super) database: Database,
    layers: Map<FoldedName, Layer>,
    layers_seen: Option<Map<FoldedName, Reading>>,
    /// From when to when the backup took.
    pub(super) span: (UnixTime, UnixTime),
}

/// What a line of the LAYER manifest has to say.
pub(super) struct Line {
    /// The spellings that it may have.
    pub(super) spellings: BTreeSet<String>,
    pub(super) precedence: u32,
    pub(super) is_enabled: bool,
    /// The owner; any SID if none is determined (P-211).
    pub(super) owner: Option<Vec<u8>>,
}

/// A key and all that is below it in the merged tree, parents before their children. Keys without a record
/// are among them.
pub(super) fn subtree(database: &Database, root: Guid) -> Vec<Guid> {
    let mut known = BTreeSet::from([root]);
    let mut found = Vec::new();
    let mut pending = vec![root];
    while let Some(key) = pending.pop() {
        found.push(key);
        for entry in database.children(key).flat_map(|(_, entries)| entries.values()) {
            if let Target::Key(child) = entry.target
                && known.insert(child)
            {
                pending.push(child);
            }
        }
    }
    found
}

impl Snapshot {
    /// The subtree of an open key as it is now.
    pub(super) fn of(work: &Work<'_>, open: &OpenKey) -> Snapshot {
        let (state, hive) = (&work.state, open.hive());
        let name = state.hives.get(&hive).map(|hive| hive.name.spelling().to_owned());
        Snapshot {
            hive,
            hive_name: name.unwrap_or_default(),
            root: open.key(),
            database: state.database(hive).clone(),
            layers: state.layers.clone(),
            layers_seen: state.layers_seen.as_ref().map(|(_, seen)| seen.clone()),
            span: work.span(),
        }
    }

    /// The keys, parents first.
    pub(super) fn keys(&self) -> Vec<Guid> {
        subtree(&self.database, self.root)
    }

    /// The entries that lead to a key, which stand in its section; none of the root (D-102).
    pub(super) fn entries_to(&self, key: Guid) -> Vec<(Guid, &PathEntry)> {
        let place = self
            .database
            .keys
            .get(&key)
            .filter(|_| key != self.root)
            .and_then(|record| Some((record.parent?, record.name.folded().as_str())));
        let entries =
            place.and_then(|(parent, name)| Some((parent, self.database.lookup(parent, name)?)));
        let all = entries
            .into_iter()
            .flat_map(|(parent, entries)| entries.values().map(move |entry| (parent, entry)));
        all.filter(|(_, entry)| entry.target == Target::Key(key)).collect()
    }

    /// The HIDDEN entries below a key, which stand in its section (D-102).
    pub(super) fn hidden_below(&self, key: Guid) -> Vec<&PathEntry> {
        let entries = self.database.children(key).flat_map(|(_, entries)| entries.values());
        entries.filter(|entry| entry.target == Target::Hidden).collect()
    }

    /// All layers' values of a key, tombstones among them.
    pub(super) fn values(&self, key: Guid) -> Vec<&ValueEntry> {
        self.database.value_names(key).flat_map(|(_, entries)| entries.values()).collect()
    }

    /// All layers' blanket tombstones on a key.
    pub(super) fn blankets(&self, key: Guid) -> Vec<&BlanketTombstone> {
        self.database.blankets.get(&key).into_iter().flat_map(|layers| layers.values()).collect()
    }

    /// The manifest: the layers of all that the stream holds.
    pub(super) fn manifest(&self) -> BTreeMap<FoldedName, Line> {
        let mut manifest: BTreeMap<FoldedName, Line> = BTreeMap::new();
        for key in self.keys() {
            let to = self.entries_to(key).into_iter().map(|(_, entry)| &entry.layer);
            let hidden = self.hidden_below(key).into_iter().map(|entry| &entry.layer);
            let values = self.values(key).into_iter().map(|entry| &entry.layer);
            let blankets = self.blankets(key).into_iter().map(|entry| &entry.layer);
            for layer in to.chain(hidden).chain(values).chain(blankets) {
                let line =
                    manifest.entry(layer.folded().clone()).or_insert_with(|| self.line(layer));
                if !self.layers.contains_key(layer.folded()) {
                    line.spellings.insert(layer.spelling().to_owned());
                }
            }
        }
        manifest
    }

    fn line(&self, name: &LayerName) -> Line {
        match self.layers.get(name.folded()) {
            Some(layer) => Line {
                spellings: BTreeSet::from([layer.name.spelling().to_owned()]),
                precedence: layer.precedence,
                is_enabled: layer.enabled,
                owner: self.owner_of_layer(name.folded()),
            },
            // D-103.
            None => Line {
                spellings: BTreeSet::new(),
                precedence: 0,
                is_enabled: false,
                owner: self.owner_of_root(),
            },
        }
    }

    fn owner_of_layer(&self, name: &FoldedName) -> Option<Vec<u8>> {
        let reading = self.layers_seen.as_ref()?.get(name)?;
        reading.as_ref().ok()?.owner()
    }

    fn owner_of_root(&self) -> Option<Vec<u8>> {
        let record = self.database.keys.get(&self.root)?;
        record.descriptor.as_ref().ok()?.owner.as_ref().map(|owner| owner.0.clone())
    }

    /// Everything that the source answers while the subtree is read.
    ///
    /// # Errors
    ///
    /// If any of it is malformed (P-208).
    pub(super) fn check(&self, state: &State, covered: &mut Covered) -> Result<(), Malformed> {
        if !state.may_be_malformed(self.hive) {
            return Ok(());
        }
        let viewer = Viewer::global();
        let resolver = state.resolver(self.hive, &viewer);
        let mut found: Option<Malformed> = None;
        let mut add = |result: Result<(), Malformed>| {
            if let Err(malformed) = result {
                found = Some(found.map_or(malformed, |former| former.and(malformed)));
            }
        };
        if let Some(record) = self.database.keys.get(&self.root) {
            add(descriptor_of(self.root, record, covered).map(|_| ()));
        }
        for key in self.keys() {
            add(resolver.check_children(key, covered));
            add(resolver.check_all_values(key, covered));
        }
        found.map_or(Ok(()), Err)
    }

    /// What a stream of this shows.
    pub(super) fn mark(&self, covered: &mut Covered) {
        let manifest = self.manifest();
        if manifest.keys().any(|layer| !self.layers.contains_key(layer)) {
            covers!(covered, "RES-29");
        }
        if !manifest.is_empty() {
            covers!(covered, "BAK-25", "BAK-26", "BAK-27", "BAK-28", "BAK-29");
        }
        covers!(covered, "BAK-04", "BAK-11", "BAK-14", "BAK-18", "BAK-20", "BAK-21", "BAK-22");
        covers!(covered, "BAK-23", "BAK-24", "BAK-31", "BAK-33", "BAK-41", "BAK-42", "BAK-43");
        covers!(covered, "BAK-44", "BAK-56", "CONST-50", "CONST-51", "ABI-04");
        for key in self.keys() {
            let entries = self.entries_to(key);
            if !entries.is_empty() {
                covers!(covered, "BAK-05", "BAK-10", "BAK-32", "BAK-34", "BAK-35", "BAK-45");
            }
            for (parent, entry) in entries {
                let above = self.entries_to(parent);
                let is_of_layer =
                    |(_, other): &(Guid, &PathEntry)| other.layer.folded() == entry.layer.folded();
                if !above.is_empty() && !above.iter().any(is_of_layer) {
                    covers!(covered, "BAK-55");
                }
            }
            self.mark_contents(key, covered);
        }
        self.mark_merged(covered);
    }

    /// Keys that no layer names together with all that is above them: a walk of one layer finds none of these.
    fn mark_merged(&self, covered: &mut Covered) {
        let mut naming: BTreeMap<Guid, BTreeSet<&FoldedName>> = BTreeMap::new();
        for key in self.keys() {
            let entries = self.entries_to(key);
            let Some((parent, _)) = entries.first() else { continue };
            let above = naming.get(parent);
            let layers = entries.iter().map(|(_, entry)| entry.layer.folded());
            let layers: BTreeSet<&FoldedName> =
                layers.filter(|layer| above.is_none_or(|above| above.contains(layer))).collect();
            if layers.is_empty() {
                covers!(covered, "BAK-51");
            }
            naming.insert(key, layers);
        }
    }

    fn mark_contents(&self, key: Guid, covered: &mut Covered) {
        let hidden = self.hidden_below(key);
        if !hidden.is_empty() {
            covers!(covered, "BAK-52", "BAK-53");
        }
        let is_key = |entry: &PathEntry| entry.target != Target::Hidden;
        for entry in hidden {
            let entries = self.database.lookup(key, entry.name.folded().as_str());
            if !entries.is_some_and(|entries| entries.values().any(is_key)) {
                covers!(covered, "BAK-54");
            }
        }
        for entry in self.values(key) {
            covers!(covered, "BAK-06", "BAK-36", "BAK-37");
            if entry.value_type == REG_TOMBSTONE {
                covers!(covered, "BAK-07", "BAK-38");
            }
        }
        if !self.blankets(key).is_empty() {
            covers!(covered, "BAK-08", "BAK-39", "BAK-40");
        }
    }

    /// One stream that conforms. Keys of which no GUID is known get one by their number.
    pub(super) fn example(&self, state: &State) -> Vec<u8> {
        let guid = |key: Guid| state.real_guid(key).unwrap_or_else(|| made_up(key));
        let mut writer = Writer::default();
        writer.write(&Record::Header(Header {
            magic: MAGIC,
            format_version: FORMAT_VERSION,
            min_reader_version: FORMAT_VERSION,
            timestamp: i64::try_from(self.span.1).unwrap_or(i64::MAX),
            root: guid(self.root),
            hive_name: self.hive_name.clone(),
        }));
        for (folded, line) in self.manifest() {
            let name = line.spellings.first().map_or(folded.as_str(), String::as_str).to_owned();
            let (precedence, enabled) = (line.precedence, u8::from(line.is_enabled));
            let owner = line.owner.unwrap_or_else(|| well_known::SYSTEM.0.clone());
            writer.write(&Record::Layer(LayerLine { name, precedence, enabled, owner }));
        }
        for key in self.keys() {
            self.write_section(&mut writer, key, &guid);
        }
        writer.write(&Record::Trailer);
        writer.into_bytes()
    }

    fn write_section(&self, writer: &mut Writer, key: Guid, guid: &impl Fn(Guid) -> WireGuid) {
        let Some(record) = self.database.keys.get(&key) else { return };
        writer.write(&Record::Key(key_object(record, guid(key))));
        let to = self.entries_to(key).into_iter().map(|(parent, entry)| (parent, guid(key), entry));
        let hidden = self.hidden_below(key).into_iter().map(|entry| (key, HIDDEN, entry));
        for (parent, child, entry) in to.chain(hidden) {
            writer.write(&Record::PathEntry(PathLine {
                parent: guid(parent),
                name: entry.name.spelling().to_owned(),
                child,
                layer: entry.layer.spelling().to_owned(),
                sequence: entry.sequence,
            }));
        }
        for entry in self.values(key) {
            writer.write(&Record::Value(ValueLine {
                key: guid(key),
                name: entry.name.spelling().to_owned(),
                value_type: entry.value_type,
                data: entry.data.to_vec(),
                layer: entry.layer.spelling().to_owned(),
                sequence: entry.sequence,
            }));
        }
        for blanket in self.blankets(key) {
            let (layer, sequence) = (blanket.layer.spelling().to_owned(), blanket.sequence);
            writer.write(&Record::Blanket(BlanketLine { key: guid(key), layer, sequence }));
        }
    }
}

fn key_object(record: &KeyRecord, guid: WireGuid) -> KeyObject {
    let descriptor = record.descriptor.as_ref().ok().and_then(|sd| sd.to_bytes().ok());
    KeyObject {
        guid,
        flags: flags(record),
        descriptor: descriptor.unwrap_or_default(),
        last_write_time: i64::try_from(record.last_write_time.latest()).unwrap_or(i64::MAX),
    }
}

/// The flags of a KEY record.
pub(super) fn flags(record: &KeyRecord) -> u32 {
    let flag = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
    flag(record.volatile_key, KEY_VOLATILE) | flag(record.symlink, KEY_SYMLINK)
}

fn made_up(key: Guid) -> WireGuid {
    let mut guid = [0xEE; 16];
    guid[..8].copy_from_slice(&key.0.to_le_bytes());
    guid
}
