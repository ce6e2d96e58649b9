//! One key's section of a stream: its KEY record, then path entries, values and blanket tombstones, in
//! this order (PSD-005 §9.1; `RST-32`..`RST-45`, `RST-51`, `RST-52`, `RST-88`, D-102, P-202..P-205).

use std::collections::BTreeSet;

use abi::Errno;
use rsi::{BlanketEntry, Guid, KeyMetadata, Request, ValueEntry};

use super::judge;
use super::rebuild::Rebuild;
use crate::backup::format::PathRecord;
use crate::env::Env;
use crate::limits::SECTION_ENTRIES_MAX;
use crate::name::FoldedName;

/// What may still come in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    PathEntries,
    Values,
    Blankets,
}

/// See the module.
pub struct Section {
    /// The key, as it is at the source.
    guid: Guid,
    /// A key that has not been made yet.
    unmade: Option<Unmade>,
    stage: Stage,
    /// Hidden names or values that have come, with their layers.
    places: BTreeSet<(FoldedName, FoldedName)>,
}

/// A key that waits for its path entries (step 6a of §9.1).
struct Unmade {
    key: KeyMetadata,
    entries: Vec<PathRecord>,
    /// Places of all of them.
    places: BTreeSet<(Guid, FoldedName, FoldedName)>,
    /// The one place of the key.
    place: Option<(Guid, FoldedName)>,
}

impl Unmade {
    /// Takes in an entry of a layer at its place. All that lead to the key are at one (P-204).
    fn add(
        &mut self,
        record: PathRecord,
        (target, parent, name, layer): (Option<Guid>, Guid, FoldedName, FoldedName),
    ) -> Result<(), Errno> {
        if self.entries.len() >= SECTION_ENTRIES_MAX {
            return Err(Errno::ENOMEM);
        }
        self.entries.push(record);
        let place = (parent, name.clone());
        let is_elsewhere =
            target.is_some() && *self.place.get_or_insert_with(|| place.clone()) != place;
        let is_new = self.places.insert((parent, name, layer));
        if is_new && !is_elsewhere { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

impl Section {
    /// The root's, which is there.
    pub const fn of_root(guid: Guid) -> Self {
        Self { guid, unmade: None, stage: Stage::PathEntries, places: BTreeSet::new() }
    }

    /// That of a key to be made.
    pub fn of_key(key: KeyMetadata) -> Self {
        let guid = key.guid;
        let (entries, places) = (Vec::new(), BTreeSet::new());
        let unmade = Unmade { key, entries, places, place: None };
        let (stage, places) = (Stage::PathEntries, BTreeSet::new());
        Self { guid, unmade: Some(unmade), stage, places }
    }

    /// A PATH_ENTRY.
    ///
    /// # Errors
    /// EINVAL, and those of a request.
    pub async fn path_entry<E: Env>(
        &mut self,
        rebuild: &mut Rebuild<'_, E>,
        record: PathRecord,
    ) -> Result<(), Errno> {
        if self.stage != Stage::PathEntries {
            return Err(Errno::EINVAL);
        }
        let length_max = rebuild.name_length_max();
        let name = judge::component(&record.name, length_max)?;
        let layer = rebuild.manifest.layer(&record.entry.layer, length_max)?;
        let parent = rebuild.mapped(record.parent);
        let target = record.entry.target.map(|target| rebuild.mapped(target));
        match (target, &mut self.unmade) {
            // The way to the target is the target's own (`RST-34`).
            (Some(_), None) => Ok(()),
            (None, _) if parent != self.guid => Err(Errno::EINVAL),
            (Some(target), Some(_)) if target != self.guid => Err(Errno::EINVAL),
            (Some(_), Some(_)) if !rebuild.keys.contains_key(&parent) => Err(Errno::EINVAL),
            (None, None) => {
                if !self.places.insert((name, layer)) {
                    return Err(Errno::EINVAL);
                }
                send_entry(rebuild, parent, None, record).await
            }
            (target, Some(unmade)) => unmade.add(record, (target, parent, name, layer)),
        }
    }

    /// A VALUE.
    ///
    /// # Errors
    /// EINVAL, EPERM, EOVERFLOW, and those of a request.
    pub async fn value<E: Env>(
        &mut self,
        rebuild: &mut Rebuild<'_, E>,
        key: Guid,
        entry: ValueEntry,
    ) -> Result<(), Errno> {
        let length_max = rebuild.name_length_max();
        let name = judge::value(&entry, length_max)?;
        let layer = rebuild.manifest.layer(&entry.layer, length_max)?;
        if rebuild.mapped(key) != self.guid {
            return Err(Errno::EINVAL);
        }
        self.advance(rebuild, Stage::Values).await?;
        if !self.places.insert((name, layer)) {
            return Err(Errno::EINVAL);
        }
        rebuild.authorize_precedence(rebuild.way.raises_precedence(self.guid, &entry))?;
        let ValueEntry { name, layer, value_type, data, sequence } = entry;
        let sequence = rebuild.number(sequence).await?;
        let guid = self.guid;
        let (value_name, expected_sequence) = (name, 0);
        rebuild
            .send(Request::SetValue {
                guid,
                value_name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            })
            .await
    }

    /// A BLANKET_TOMBSTONE.
    ///
    /// # Errors
    /// As [`Section::value`].
    pub async fn blanket<E: Env>(
        &mut self,
        rebuild: &mut Rebuild<'_, E>,
        key: Guid,
        entry: BlanketEntry,
    ) -> Result<(), Errno> {
        let length_max = rebuild.name_length_max();
        let layer = rebuild.manifest.layer(&entry.layer, length_max)?;
        if rebuild.mapped(key) != self.guid {
            return Err(Errno::EINVAL);
        }
        self.advance(rebuild, Stage::Blankets).await?;
        // A key has one for each layer.
        if !self.places.insert((FoldedName::new(""), layer)) {
            return Err(Errno::EINVAL);
        }
        let sequence = rebuild.number(entry.sequence).await?;
        let (guid, layer, set) = (self.guid, entry.layer, true);
        rebuild.send(Request::SetBlanketTombstone { guid, layer, set, sequence }).await
    }

    /// Its end: a key that has nothing but path entries is made now.
    ///
    /// # Errors
    /// EINVAL, EEXIST, EOVERFLOW, and those of a request.
    pub async fn close<E: Env>(&mut self, rebuild: &mut Rebuild<'_, E>) -> Result<(), Errno> {
        self.make_key(rebuild).await
    }

    /// Goes on to a kind of record, from which there is no way back.
    async fn advance<E: Env>(
        &mut self,
        rebuild: &mut Rebuild<'_, E>,
        stage: Stage,
    ) -> Result<(), Errno> {
        if self.stage > stage {
            return Err(Errno::EINVAL);
        }
        if self.stage < stage {
            self.make_key(rebuild).await?;
            self.places.clear();
            self.stage = stage;
        }
        Ok(())
    }

    /// Makes the key, and then its path entries, as one after the other is asked for in §9.1.
    async fn make_key<E: Env>(&mut self, rebuild: &mut Rebuild<'_, E>) -> Result<(), Errno> {
        let Some(Unmade { key, entries, .. }) = self.unmade.take() else { return Ok(()) };
        let anchor = entries.iter().find(|record| record.entry.target.is_some());
        let anchor = anchor.ok_or(Errno::EINVAL)?;
        let named = || entries.iter().filter(|record| record.entry.target.is_some());
        let is_lasting_below_volatile = named().any(|record| {
            rebuild.keys.get(&rebuild.mapped(record.parent)) == Some(&true) && !key.volatile_key
        });
        if is_lasting_below_volatile {
            return Err(Errno::EINVAL);
        }
        if rebuild.keys.contains_key(&key.guid) {
            // Only the target's is there: sections of other keys that are there do not begin.
            return Err(Errno::EEXIST);
        }
        let create = Request::CreateKey {
            guid: key.guid,
            name: anchor.name.clone(),
            parent: rebuild.mapped(anchor.parent),
            sd: key.sd,
            volatile_key: key.volatile_key,
            symlink: key.symlink,
        };
        rebuild.send_and_wait(create).await?;
        rebuild.keys.insert(key.guid, key.volatile_key);
        let last_write_time = Some(key.last_write_time);
        let (guid, sd) = (key.guid, None);
        let write = Request::WriteKey { guid, sd, last_write_time, undefined_fields: 0 };
        rebuild.send(write).await?;
        for record in entries {
            let parent = rebuild.mapped(record.parent);
            let target = record.entry.target.map(|_| self.guid);
            send_entry(rebuild, parent, target, record).await?;
        }
        // That one of them is there already decides before anything behind them is sent (P-224).
        rebuild.answered().await
    }
}

async fn send_entry<E: Env>(
    rebuild: &mut Rebuild<'_, E>,
    parent: Guid,
    target: Option<Guid>,
    record: PathRecord,
) -> Result<(), Errno> {
    let PathRecord { name: child_name, entry, .. } = record;
    let (layer, sequence) = (entry.layer, rebuild.number(entry.sequence).await?);
    let request = match target {
        Some(child) => {
            let name = judge::component(&child_name, rebuild.name_length_max())?;
            rebuild.way.name(parent, &name, child);
            Request::CreateEntry { parent, child_name, layer, child, sequence }
        }
        None => Request::HideEntry { parent, child_name, layer, sequence },
    };
    rebuild.send(request).await
}
