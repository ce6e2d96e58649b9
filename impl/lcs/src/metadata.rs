//! From layer metadata to a layer table, without a request.
//!
//! [`Image`] is what the source holds of `Machine\System\Registry\Layers`, of all layers; a refresh
//! resolves it under the table of each round, publishes what changed into the next, and ends when
//! nothing is left to refresh (PSD-005 §2.6; `LAYER-22`..`LAYER-55`, D-51..D-57, P-03). Since an
//! image holds raw entries, later rounds need no further reading.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use abi::Errno;
use abi::value_type::{REG_BINARY, REG_DWORD};
use rsi::{Guid, Operation, PathEntry};

use crate::audit::ValidationClass;
use crate::layers::{Layer, LayerTable, View};
use crate::mutation::Scope;
use crate::name::FoldedName;
use crate::resolve::{ChildGroup, Tie, Values, is_of};
use crate::security::{SecurityDescriptor, Sid};

/// Passes over the metadata at boot and at a resumption (P-07, P-20).
const PASSES_MAX: usize = 8;

/// Where layer metadata is kept, below the root of the global Machine hive.
pub const LAYERS_PATH: [&str; 3] = ["System", "Registry", "Layers"];

/// Name of the value that SeTcbPrivilege guards (D-50).
pub const PRECEDENCE: &str = "Precedence";
const ENABLED: &str = "Enabled";
const OWNER: &str = "Owner";

/// The values that make a layer; others below a metadata key are nobody's business (P-15).
const METADATA_VALUES: [&str; 3] = [PRECEDENCE, ENABLED, OWNER];

/// The effective metadata of one layer name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The metadata key.
    pub guid: Guid,
    /// As its winning path entry spells it.
    pub name: String,
    /// The key's descriptor.
    pub sd: Vec<u8>,
    /// Effective metadata values, unless the source's answer could not be used.
    pub values: Result<BTreeMap<FoldedName, (u32, Vec<u8>)>, BadValues>,
}

/// Why there are no effective metadata values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadValues {
    /// They could not be read.
    Unread(Errno),
    /// Two entries tie.
    Tied,
}

/// Malformed data that a refresh rejects, for the audit record (PSD-005 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// The key whose data it is, or whose children's.
    pub guid: Guid,
    /// The operation whose answer held it.
    pub operation: Operation,
    /// What is wrong.
    pub class: ValidationClass,
}

impl Rejected {
    const fn tie(guid: Guid, operation: Operation) -> Self {
        Self { guid, operation, class: ValidationClass::SequenceTie }
    }
}

/// Why a name keeps its previous entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    errno: Errno,
    /// Set for what has an audit record of its own.
    rejected: Option<Rejected>,
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self { errno, rejected: None }
    }
}

impl From<Rejected> for Fault {
    fn from(rejected: Rejected) -> Self {
        Self { errno: Errno::EIO, rejected: Some(rejected) }
    }
}

impl Metadata {
    fn is_malformed(&self) -> bool {
        self.values.is_err() || SecurityDescriptor::parse(&self.sd).is_err()
    }
}

/// What the layer table was last made from.
#[derive(Clone, Debug, Default)]
pub struct MetadataCache {
    /// The metadata could not be read since it may have changed, or not yet: nothing here is known
    /// to be current, and every mutation of the hive is an occasion to read again.
    pub stale: bool,
    /// Keys of the path to the Layers key, from the hive root as far as it resolved.
    pub chain: Vec<Guid>,
    /// The key that the path resolved to when it last did (P-03).
    pub layers_key: Option<Guid>,
    /// What was visible below it then.
    pub names: BTreeMap<FoldedName, Metadata>,
    /// Keys among `names` that were read below a former Layers key, in the refresh that has turned the
    /// path elsewhere: what becomes of them bears on nothing (P-03).
    elsewhere: BTreeSet<Guid>,
    /// Names that calls have met there since.
    pub unread: BTreeSet<FoldedName>,
    /// Whether the metadata has been read since boot (P-20).
    pub loaded: bool,
}

impl MetadataCache {
    /// Whether a mutation of this can bear on the table.
    pub fn concerns(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Name { parent, name } => self.concerns_name(*parent, name),
            Scope::Key { guid, .. } => self.concerns_key(*guid),
        }
    }

    /// Whether path entries of `name` below `parent` can bear on the table.
    fn concerns_name(&self, parent: Guid, name: &FoldedName) -> bool {
        let on_the_way = |(key, component): (&Guid, &&str)| {
            *key == parent && *name == FoldedName::new(component)
        };
        self.layers_key == Some(parent) || self.chain.iter().zip(&LAYERS_PATH).any(on_the_way)
    }

    /// Whether the values and the descriptor of a key can bear on the table.
    fn concerns_key(&self, guid: Guid) -> bool {
        !self.elsewhere.contains(&guid) && self.names.values().any(|metadata| metadata.guid == guid)
    }

    /// Takes up what is visible below the Layers key, but of the names that have had their turn in
    /// this refresh keeps what was read then: what differs is dirty in the next one (P-184). Below
    /// another Layers key than before, only what is there can differ (P-03).
    fn take_up(
        &mut self,
        layers_key: Guid,
        mut names: BTreeMap<FoldedName, Metadata>,
        done: &BTreeSet<FoldedName>,
    ) {
        let is_same_key = self.layers_key.replace(layers_key) == Some(layers_key);
        let here: BTreeSet<Guid> = names.values().map(|metadata| metadata.guid).collect();
        let mut known = std::mem::take(&mut self.names);
        for name in done {
            match known.remove(name) {
                Some(metadata) if is_same_key || names.contains_key(name) => {
                    names.insert(name.clone(), metadata);
                }
                _ => drop(names.remove(name)),
            }
        }
        self.names = names;
        let is_elsewhere = |guid: &Guid| !here.contains(guid);
        let read = self.names.values().map(|metadata| metadata.guid);
        let away: BTreeSet<Guid> = read.filter(is_elsewhere).collect();
        self.elsewhere = match is_same_key {
            true => self.elsewhere.intersection(&away).copied().collect(),
            false => away,
        };
        self.unread.clear();
    }

    /// Whether the key lies below the Layers key, without being one that was visible there when
    /// that was last read: it may have come into the store since, or it is hidden (P-41).
    pub fn may_concern(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Key { parent, .. } => parent.is_some() && self.layers_key == *parent,
            Scope::Name { .. } => false,
        }
    }

    /// Notes that a name is in view which a mutation may take out of it, so that it is missed after
    /// that, whether a refresh has read it before or not (P-24, P-41).
    pub fn note_visible(&mut self, scope: &Scope) {
        if let Scope::Name { parent, name } = scope
            && self.layers_key == Some(*parent)
        {
            self.unread.insert(name.clone());
        }
    }
}

/// What the source holds of the Layers key and of the way to it, of all layers.
#[derive(Debug, Default)]
pub struct Image {
    /// The hive root.
    pub root: Guid,
    /// Entries of each component of the path, by its place and the key above it.
    pub way: BTreeMap<(usize, Guid), Vec<PathEntry>>,
    /// What is below each key that may be the Layers key.
    pub below: BTreeMap<Guid, Vec<ChildGroup>>,
    /// Descriptors of the keys there.
    pub descriptors: BTreeMap<Guid, Vec<u8>>,
    /// Values of the keys there, or why they cannot be used.
    pub values: BTreeMap<Guid, Result<Values, Errno>>,
}

/// An image under one table.
struct Resolved {
    chain: Vec<Guid>,
    /// The Layers key and the names below it; none when the path resolves to nothing.
    layers: Option<(Guid, BTreeMap<FoldedName, Metadata>)>,
}

impl Image {
    fn resolve(&self, view: &View) -> Result<Resolved, Rejected> {
        let mut chain = vec![self.root];
        let mut key = self.root;
        for place in 0..LAYERS_PATH.len() {
            let entries = self.way.get(&(place, key)).map(Vec::as_slice).unwrap_or_default();
            let next =
                view.resolve_path(entries).map_err(|Tie| Rejected::tie(key, Operation::Lookup))?;
            match next {
                None => return Ok(Resolved { chain, layers: None }),
                Some(next) => key = next,
            }
            chain.push(key);
        }
        chain.truncate(LAYERS_PATH.len());
        let groups = self.below.get(&key).map(Vec::as_slice).unwrap_or_default();
        let names = view
            .visible_children(groups)
            .map_err(|Tie| Rejected::tie(key, Operation::EnumChildren))?
            .into_iter()
            .map(|(folded, child)| {
                let sd = self.descriptors.get(&child.guid).cloned().unwrap_or_default();
                let values = self.effective_values(child.guid, view);
                (folded, Metadata { guid: child.guid, name: child.name, sd, values })
            })
            .collect();
        Ok(Resolved { chain, layers: Some((key, names)) })
    }

    fn effective_values(
        &self,
        guid: Guid,
        view: &View,
    ) -> Result<BTreeMap<FoldedName, (u32, Vec<u8>)>, BadValues> {
        match self.values.get(&guid) {
            None => Ok(BTreeMap::new()),
            Some(Err(errno)) => Err(BadValues::Unread(*errno)),
            Some(Ok(values)) => {
                let mut effective = BTreeMap::new();
                for name in METADATA_VALUES.map(FoldedName::new) {
                    let entries = values.entries.iter().filter(|entry| is_of(&entry.name, &name));
                    let value = view.resolve_value(entries, &values.blankets);
                    if let Some(value) = value.map_err(|Tie| BadValues::Tied)? {
                        let (value_type, data) = value.content();
                        effective.insert(name, (value_type, data.to_vec()));
                    }
                }
                Ok(effective)
            }
        }
    }
}

/// Makes the first table since boot: from base alone, pass by pass over all that is visible, until
/// a pass changes nothing (P-20). Nothing is deleted.
///
/// # Errors
/// A tie that keeps the image from being resolved under the table of some pass.
pub fn read_from_scratch(image: &Image, layers_max: usize) -> Result<Refresh, Rejected> {
    let mut table = Arc::new(LayerTable::new());
    let mut cache = MetadataCache { loaded: true, ..MetadataCache::default() };
    let mut fault = None;
    let mut rejected = BTreeSet::new();
    for pass in 0..=PASSES_MAX {
        // What is known in the end is how the last table shows it.
        let resolved = image.resolve(&View::global(Arc::clone(&table)))?;
        cache.chain = resolved.chain;
        let Some((layers_key, names)) = resolved.layers else { break };
        if pass == PASSES_MAX {
            cache.layers_key = Some(layers_key);
            cache.names = names;
            break;
        }
        let mut next = LayerTable::new();
        fault = None;
        for (name, metadata) in &names {
            let former = table.get(name);
            let read = layer_of(metadata, name == next.base(), former, None);
            if let Err(bad) = &read {
                fault.get_or_insert(bad.errno);
                rejected.extend(bad.rejected);
            }
            let layer = read.ok().or_else(|| former.map(|layer| Layer::clone(layer)));
            if let Some(layer) = layer {
                // A full table takes no layer, and nobody is told (P-16).
                let _ = next.publish(name.clone(), layer, layers_max);
            }
        }
        cache.layers_key = Some(layers_key);
        cache.names = names;
        if next == *table {
            break;
        }
        table = Arc::new(next);
    }
    Ok(Refresh { table, cache, deleted: Vec::new(), fault, rejected })
}

/// Which names a refresh takes up.
#[derive(Clone, Copy, Debug)]
pub enum RefreshExtent<'a> {
    /// Those whose effective metadata has changed by mutations of these, and the ones that they were
    /// about if nobody can tell, their metadata being malformed (P-75).
    Changes(&'a [Scope]),
    /// All that are visible, as often as they change (P-07, P-20).
    Everything,
}

/// What a refresh comes to.
pub struct Refresh {
    /// The table to publish.
    pub table: Arc<LayerTable>,
    /// What it was made from.
    pub cache: MetadataCache,
    /// Layers whose metadata keys left the view, by identity, with a spelling.
    pub deleted: Vec<(FoldedName, String)>,
    /// Why some name kept its previous entry (D-52).
    pub fault: Option<Errno>,
    /// What of it has an audit record, each once.
    pub rejected: BTreeSet<Rejected>,
}

impl Refresh {
    /// One that has changed nothing yet.
    fn beginning_with(table: &Arc<LayerTable>, cache: &MetadataCache) -> Self {
        Self {
            table: Arc::clone(table),
            cache: MetadataCache { stale: false, ..cache.clone() },
            deleted: Vec::new(),
            fault: None,
            rejected: BTreeSet::new(),
        }
    }

    fn has_deleted(&self, name: &FoldedName) -> bool {
        self.deleted.iter().any(|(deleted, _)| deleted == name)
    }
}

/// Reads all that is visible as at boot, but beginning with the table at hand, and deletes what is
/// in view no more (P-07). A name that was deleted has had its turn (P-21).
///
/// # Errors
/// A tie that keeps the image from being resolved under the table of some pass; what is at hand
/// stays then (P-26).
pub fn read_again(
    image: &Image,
    table: &Arc<LayerTable>,
    cache: &MetadataCache,
    layers_max: usize,
) -> Result<Refresh, Rejected> {
    let mut next = Refresh::beginning_with(table, cache);
    for pass in 0..=PASSES_MAX {
        let resolved = image.resolve(&View::global(Arc::clone(&next.table)))?;
        next.cache.chain = resolved.chain;
        let Some((layers_key, names)) = resolved.layers else { break };
        let gone = dirty_names(&next.cache, layers_key, &names);
        let all: BTreeSet<FoldedName> = gone.into_iter().chain(names.keys().cloned()).collect();
        next.cache.layers_key = Some(layers_key);
        next.cache.names = names;
        next.cache.unread.clear();
        if pass == PASSES_MAX {
            // What is known in the end is how the last table shows it.
            break;
        }
        let before = Arc::clone(&next.table);
        let round = all.into_iter().filter(|name| !next.has_deleted(name)).collect();
        publish_round(&mut next, round, None, layers_max);
        if next.table == before {
            break;
        }
    }
    Ok(next)
}

/// Refreshes, in rounds, every name whose effective metadata is not what `cache` says (D-57), and
/// those that the mutations of `scopes` were about if nobody can tell. `creator` becomes the owner
/// of layers that have none (`LAYER-46`).
///
/// # Errors
/// A tie that keeps the image from being resolved under the present table.
pub fn refresh(
    image: &Image,
    table: &Arc<LayerTable>,
    cache: &MetadataCache,
    creator: Option<Sid>,
    scopes: &[Scope],
    layers_max: usize,
) -> Result<Refresh, Rejected> {
    let mut next = Refresh::beginning_with(table, cache);
    let mut done = BTreeSet::new();
    let mut resolved = image.resolve(&View::global(Arc::clone(table)))?;
    // Each round but the last refreshes a name for the first time, so the loop ends.
    loop {
        next.cache.chain = resolved.chain;
        let Some((layers_key, names)) = resolved.layers else { break };
        let mut dirty = dirty_names(&next.cache, layers_key, &names);
        dirty.extend(scopes.iter().filter_map(|scope| unreadable(scope, layers_key, &names)));
        next.cache.take_up(layers_key, names, &done);
        let round: Vec<FoldedName> =
            dirty.into_iter().filter(|name| done.insert(name.clone())).collect();
        if round.is_empty() {
            break;
        }
        publish_round(&mut next, round, creator.as_ref(), layers_max);
        match image.resolve(&View::global(Arc::clone(&next.table))) {
            Ok(again) => resolved = again,
            Err(tie) => {
                next.fault = Some(Errno::EIO);
                next.rejected.insert(tie);
                break;
            }
        }
    }
    Ok(next)
}

/// Names that differ from what is known; below another Layers key than before, all that are there.
fn dirty_names(
    cache: &MetadataCache,
    layers_key: Guid,
    names: &BTreeMap<FoldedName, Metadata>,
) -> Vec<FoldedName> {
    if cache.layers_key != Some(layers_key) {
        return names.keys().cloned().collect();
    }
    let all: BTreeSet<&FoldedName> =
        cache.names.keys().chain(names.keys()).chain(&cache.unread).collect();
    let differs = |name: &&FoldedName| {
        cache.names.get(*name) != names.get(*name)
            || cache.unread.contains(*name) && !names.contains_key(*name)
    };
    all.into_iter().filter(differs).cloned().collect()
}

/// The name that a mutation was about, if its metadata is malformed.
fn unreadable(
    scope: &Scope,
    layers_key: Guid,
    names: &BTreeMap<FoldedName, Metadata>,
) -> Option<FoldedName> {
    let (name, _) = names.iter().find(|(name, metadata)| {
        let concerned = match scope {
            Scope::Name { parent, name: changed } => *parent == layers_key && changed == *name,
            Scope::Key { guid, .. } => *guid == metadata.guid,
        };
        concerned && metadata.is_malformed()
    })?;
    Some(name.clone())
}

fn publish_round(
    next: &mut Refresh,
    round: Vec<FoldedName>,
    creator: Option<&Sid>,
    layers_max: usize,
) {
    let mut table = LayerTable::clone(&next.table);
    for name in round {
        let published = match next.cache.names.get(&name) {
            Some(metadata) => {
                let is_base = name == *table.base();
                layer_of(metadata, is_base, table.get(&name), creator).map(|layer| {
                    // A full table takes no layer, and nobody is told (P-16).
                    let _ = table.publish(name, layer, layers_max);
                })
            }
            None => {
                let removed = table.remove(&name);
                if name != *table.base() {
                    // A key without a layer, as with bad metadata, goes with its entries too (P-24).
                    let folded: &str = name.borrow();
                    let spelling =
                        removed.map_or_else(|| folded.to_owned(), |layer| layer.name.clone());
                    next.deleted.push((name, spelling));
                }
                Ok(())
            }
        };
        if let Err(bad) = published {
            next.fault.get_or_insert(bad.errno);
            next.rejected.extend(bad.rejected);
        }
    }
    next.table = Arc::new(table);
}

/// The table entry that metadata describes. Of base only the key and its descriptor count (D-52).
fn layer_of(
    metadata: &Metadata,
    is_base: bool,
    previous: Option<&Arc<Layer>>,
    creator: Option<&Sid>,
) -> Result<Layer, Fault> {
    let guid = metadata.guid;
    let descriptor = SecurityDescriptor::parse(&metadata.sd).map_err(|_| {
        let class = ValidationClass::LayerSecurityDescriptor;
        Rejected { guid, operation: Operation::EnumChildren, class }
    })?;
    let mut layer = Layer {
        name: metadata.name.clone(),
        precedence: 0,
        enabled: true,
        owner: None,
        metadata_key: Some(guid),
        descriptor,
    };
    if is_base {
        return Ok(layer);
    }
    let values = metadata.values.as_ref().map_err(|bad| match bad {
        BadValues::Unread(errno) => Fault::from(*errno),
        BadValues::Tied => Rejected::tie(guid, Operation::QueryValues).into(),
    })?;
    if let Some(precedence) = values.get(&FoldedName::new(PRECEDENCE)) {
        layer.precedence = double_word(precedence)?;
    }
    if let Some(enabled) = values.get(&FoldedName::new(ENABLED)) {
        layer.enabled = match double_word(enabled)? {
            0 => false,
            1 => true,
            _ => return Err(Errno::EIO.into()),
        };
    }
    layer.owner = match values.get(&FoldedName::new(OWNER)) {
        Some((REG_BINARY, data)) => Some(Sid::parse(data).map_err(|_| Errno::EIO)?),
        Some(_) => return Err(Errno::EIO.into()),
        None => previous
            .map_or_else(|| creator.copied(), |layer| layer.owner)
            .or(layer.descriptor.owner),
    };
    Ok(layer)
}

/// The number in a value, if it is a REG_DWORD of four bytes.
pub fn double_word(value: &(u32, Vec<u8>)) -> Result<u32, Errno> {
    match (value.0, <[u8; 4]>::try_from(value.1.as_slice())) {
        (REG_DWORD, Ok(bytes)) => Ok(u32::from_le_bytes(bytes)),
        _ => Err(Errno::EIO),
    }
}
