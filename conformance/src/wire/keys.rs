//! GUIDs over the whole run: freshness, pairs of entry and record, drops (PSD-005 §2.3, §2.4, §2.8).
//!
//! What the monitor knows of path entries is what it saw created; it forgets rather than accuse,
//! since it cannot fold names nor see what a source purges.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::frame::Guid;
use super::rules::{Failure, Held, Rule};

/// Half of a pair: an entry without its key record, or the other way round.
#[derive(Clone, Debug)]
struct Half {
    source: SourceId,
    /// The transaction that it was created in; 0 for none.
    transaction: u64,
    parent: Guid,
    name: Vec<u8>,
    is_entry: bool,
}

/// Where an entry stands: source, parent and the name in lower case. Only ASCII names are kept.
type Place = (SourceId, Guid, String);

/// What is known of keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    roots: BTreeSet<Guid>,
    seen: BTreeSet<Guid>,
    halves: BTreeMap<Guid, Half>,
    /// A restore may bring a GUID to several sources, with other flags.
    volatile_keys: BTreeSet<(SourceId, Guid)>,
    /// The keys that entries name, with the layer of each entry in lower case.
    places: BTreeMap<Place, Vec<(String, Guid)>>,
    place_of: BTreeMap<(SourceId, Guid), Place>,
    /// A restore may bring a GUID to several sources.
    dropped: BTreeSet<(SourceId, Guid)>,
    /// What deletions of layers left without a name.
    orphaned: BTreeSet<Guid>,
    /// What entries outside of transactions name before the source has its record.
    unrecorded: BTreeSet<(SourceId, Guid)>,
}

impl Keys {
    pub(super) fn add_root(&mut self, guid: Guid) {
        self.roots.insert(guid);
        self.seen.insert(guid);
    }

    /// A client that is no kernel drops a key. A root may be among them: its GUID may come again (P-68).
    pub(super) fn dropped_by_client(&mut self, guid: Guid) {
        self.roots.remove(&guid);
    }

    pub(super) fn is_root(&self, guid: Guid) -> bool {
        self.roots.contains(&guid)
    }

    /// A source returned metadata of a key.
    pub(super) fn returned(&mut self, source: SourceId, guid: Guid, volatile_key: bool) {
        self.seen.insert(guid);
        if volatile_key {
            self.volatile_keys.insert((source, guid));
        }
    }

    /// RSI_CREATE_ENTRY is sent.
    pub(super) fn entry_created(
        &mut self,
        held: &mut Held,
        (source, transaction): (SourceId, u64),
        guid: Guid,
        parent: Guid,
        name: &[u8],
    ) -> Result<(), Failure> {
        match self.halves.remove(&guid) {
            Some(half) if !half.is_entry => return self.pair(held, &half, source, parent, name),
            Some(half) => {
                self.halves.insert(guid, half);
            }
            None => {}
        }
        self.require_fresh(held, guid)?;
        let name = name.to_vec();
        self.halves.insert(guid, Half { source, transaction, parent, name, is_entry: true });
        Ok(())
    }

    /// RSI_CREATE_KEY is sent, by no restore.
    pub(super) fn key_created(
        &mut self,
        held: &mut Held,
        (source, transaction): (SourceId, u64),
        guid: Guid,
        (parent, name): (Guid, &[u8]),
        volatile_key: bool,
    ) -> Result<(), Failure> {
        let allowed = volatile_key || !self.volatile_keys.contains(&(source, parent));
        held.require(Rule::VolatileChild, allowed, || {
            format!("{} is volatile and its child is not", shown(parent))
        })?;
        if volatile_key {
            self.volatile_keys.insert((source, guid));
        }
        match self.halves.remove(&guid) {
            Some(half) if half.is_entry => {
                held.mark(Rule::EntryBeforeKey);
                return self.pair(held, &half, source, parent, name);
            }
            Some(half) => {
                self.halves.insert(guid, half);
            }
            None => {}
        }
        if transaction == 0 {
            let message = || format!("{} has a record and no entry yet", shown(guid));
            return Err(Failure::new(Rule::EntryBeforeKey, message()));
        }
        self.require_fresh(held, guid)?;
        let name = name.to_vec();
        self.halves.insert(guid, Half { source, transaction, parent, name, is_entry: false });
        Ok(())
    }

    /// RSI_CREATE_KEY is sent by a restore, which brings the GUIDs of its backup with it (RST-16).
    pub(super) fn key_restored(
        &mut self,
        held: &mut Held,
        (source, guid): (SourceId, Guid),
        parent: Guid,
        volatile_key: bool,
    ) -> Result<(), Failure> {
        let allowed = volatile_key || !self.volatile_keys.contains(&(source, parent));
        held.require(Rule::VolatileChild, allowed, || {
            format!("{} is volatile and its child is not", shown(parent))
        })?;
        if volatile_key {
            self.volatile_keys.insert((source, guid));
        } else {
            self.volatile_keys.remove(&(source, guid));
        }
        self.seen.insert(guid);
        self.dropped.remove(&(source, guid));
        Ok(())
    }

    /// RSI_DROP_KEY is sent by a restore, which may be aborted or create the key again.
    pub(super) fn key_torn_down(&self, held: &mut Held, guid: Guid) -> Result<(), Failure> {
        held.require(Rule::DropRoot, !self.is_root(guid), || {
            format!("{} is a hive root", shown(guid))
        })
    }

    fn require_fresh(&mut self, held: &mut Held, guid: Guid) -> Result<(), Failure> {
        let is_fresh = guid != [0; 16] && self.seen.insert(guid);
        held.require(Rule::FreshGuid, is_fresh, || format!("{} is not fresh", shown(guid)))
    }

    fn pair(
        &mut self,
        held: &mut Held,
        half: &Half,
        source: SourceId,
        parent: Guid,
        name: &[u8],
    ) -> Result<(), Failure> {
        held.mark(Rule::EntryWithKey);
        let agrees = half.source == source && half.parent == parent && half.name == name;
        held.require(Rule::KeyRecord, agrees, || {
            let (one, other) = (half.name.escape_ascii(), name.escape_ascii());
            format!("{}\\{one} against {}\\{other}", shown(half.parent), shown(parent))
        })
    }

    /// A path entry exists from now on.
    pub(super) fn entry_stored(
        &mut self,
        source: SourceId,
        guid: Guid,
        parent: Guid,
        name: &[u8],
        layer: &[u8],
    ) {
        self.entry_removed(source, parent, name, layer);
        self.unrecorded.insert((source, guid));
        if let (Some(name), Some(layer)) = (lower_case(name), lower_case(layer)) {
            let place = (source, parent, name);
            self.places.entry(place.clone()).or_default().push((layer, guid));
            self.place_of.insert((source, guid), place);
        }
    }

    /// The record of a key was stored.
    pub(super) fn record_stored(&mut self, source: SourceId, guid: Guid) {
        self.unrecorded.remove(&(source, guid));
    }

    /// Whether an entry names a key whose record may not be there yet. Nobody is shown that but where the
    /// entry came late (P-261).
    pub(super) fn is_unrecorded(&self, source: SourceId, guid: Guid) -> bool {
        self.unrecorded.contains(&(source, guid))
    }

    /// The entry was refused, so that no key record will follow.
    pub(super) fn entry_refused(&mut self, guid: Guid) {
        self.halves.remove(&guid);
    }

    /// A transaction is aborted: a half that was created in it is gone, and nothing follows it.
    pub(super) fn aborted(&mut self, transaction: u64) {
        self.halves.retain(|_, half| half.transaction != transaction);
    }

    /// Whatever a layer holds at a name may be gone from now on.
    pub(super) fn entry_removed(
        &mut self,
        source: SourceId,
        parent: Guid,
        name: &[u8],
        layer: &[u8],
    ) {
        let places: Vec<Place> = match lower_case(name) {
            Some(name) => vec![(source, parent, name)],
            None => {
                let siblings = self.places.range((source, parent, String::new())..);
                let siblings = siblings.map(|(place, _)| place.clone());
                siblings.take_while(|place| (place.0, place.1) == (source, parent)).collect()
            }
        };
        let layer = lower_case(layer);
        for place in places {
            self.forget(&place, layer.as_deref());
        }
    }

    /// Every entry of a layer may be gone from now on.
    pub(super) fn layer_removed(&mut self, source: SourceId, layer: &[u8]) {
        let places = self.places.keys().filter(|place| place.0 == source);
        let places: Vec<Place> = places.cloned().collect();
        let layer = lower_case(layer);
        for place in places {
            self.forget(&place, layer.as_deref());
        }
    }

    /// The key that loses its last name with the entry of a layer at a place, if that is certain.
    pub(super) fn named_only(
        &self,
        source: SourceId,
        parent: Guid,
        name: &[u8],
        layer: &[u8],
    ) -> Option<Guid> {
        let place = (source, parent, lower_case(name)?);
        let layer = lower_case(layer)?;
        let entries = self.places.get(&place)?;
        let (_, guid) = entries.iter().find(|(of, _)| *of == layer)?;
        let count = self.places.values().flatten().filter(|(_, key)| key == guid).count();
        (count == 1).then_some(*guid)
    }

    /// Forgets the entries of a layer at a place; of all layers if the layer cannot be told.
    fn forget(&mut self, place: &Place, layer: Option<&str>) {
        let Some(entries) = self.places.get_mut(place) else { return };
        entries.retain(|(of, guid)| {
            let stays = layer.is_some_and(|layer| layer != of);
            if !stays {
                self.place_of.remove(&(place.0, *guid));
            }
            stays
        });
        if entries.is_empty() {
            self.places.remove(place);
        }
    }

    /// RSI_DROP_KEY is sent.
    pub(super) fn key_dropped(
        &mut self,
        held: &mut Held,
        (source, guid): (SourceId, Guid),
    ) -> Result<(), Failure> {
        held.require(Rule::DropRoot, !self.is_root(guid), || {
            format!("{} is a hive root", shown(guid))
        })?;
        if let Some((_, parent, name)) = self.place_of.get(&(source, guid)) {
            let message = format!("{} is still named {name} in {}", shown(guid), shown(*parent));
            return Err(Failure::new(Rule::DropNamed, message));
        }
        held.mark(Rule::DropNamed);
        if self.orphaned.remove(&guid) {
            held.mark(Rule::LayerOrphanDropped);
        }
        self.dropped.insert((source, guid));
        Ok(())
    }

    /// RSI_DELETE_LAYER was answered with these keys.
    pub(super) fn orphaned(&mut self, guids: &[Guid]) {
        self.orphaned.extend(guids);
    }

    pub(super) fn is_dropped(&self, place: (SourceId, Guid)) -> bool {
        self.dropped.contains(&place)
    }

    /// The source is gone: what it held in volatile storage or as orphans is lost.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        self.halves.retain(|_, half| half.source != source);
        self.unrecorded.retain(|(of, _)| *of != source);
        self.places.retain(|place, _| place.0 != source);
        self.place_of.retain(|_, place| place.0 != source);
    }

    /// The first half without its other half.
    pub(super) fn unpaired(&self) -> Option<(SourceId, String)> {
        self.halves.iter().next().map(|(guid, half)| {
            let has =
                if half.is_entry { "an entry and no record" } else { "a record and no entry" };
            (half.source, format!("the new key {} has {has}", shown(*guid)))
        })
    }
}

/// A name in lower case if it is ASCII. Another name may fold to anything, ASCII included.
fn lower_case(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii())?;
    Some(name.to_ascii_lowercase())
}

/// A GUID as a report shows it: its bytes in wire order.
pub(super) fn shown(guid: Guid) -> String {
    guid.iter().map(|byte| format!("{byte:02x}")).collect()
}
