//! The first pass of a backup: which layers have entries in the subtree, which the manifest has to say
//! before any of them comes, and which keys have names below several others (PSD-005 §9.1; `BAK-26`,
//! `BAK-27`, P-220, P-221).
//!
//! It remembers 16 bytes of each key that it has met, and gives back a limited part of what it has
//! read, for the second pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, KeyMetadata};

use super::channel::{Channel, Content};
use super::walk::{Kept, Met, Walk};
use crate::env::Env;
use crate::limits::SURVEY_BYTES_KEPT_MAX;
use crate::name::FoldedName;
use crate::resolve::{folded, text};

/// What the first pass has found.
#[derive(Default)]
pub struct Survey {
    /// Layers with entries, by identity, with a spelling.
    pub layers: BTreeMap<FoldedName, String>,
    /// How many keys there are.
    pub keys: usize,
    /// Below how many keys a key has names, where they are several.
    pub repeated: BTreeMap<Guid, usize>,
    /// Names that lead back to a key above, as the key below and the key above.
    pub back: BTreeSet<(Guid, Guid)>,
    /// What has been read and kept.
    pub kept: Kept,
    bytes_kept: usize,
    /// Spellings of layers that have been looked at.
    spellings: BTreeSet<Vec<u8>>,
}

impl Survey {
    /// Walks through everything.
    ///
    /// # Errors
    /// Those of a request.
    pub async fn make<E: Env>(channel: &Channel<E>, root: &KeyMetadata) -> Result<Self, Errno> {
        let mut survey = Self::default();
        let mut walk = Walk::new(channel, Kept::new());
        let mut visited = BTreeSet::from([root.guid]);
        let mut next = Some(Met::first(root.clone()));
        while let Some(mut met) = next {
            let guid = met.metadata.guid;
            let content = walk.enter(&mut met).await?;
            survey.note(&content);
            survey.keep(guid, content);
            channel.kernel.env.yield_point("look for layers").await;
            next = survey.next_unvisited(&mut walk, &mut visited);
        }
        survey.keys = visited.len();
        Ok(survey)
    }

    fn next_unvisited<E: Env>(
        &mut self,
        walk: &mut Walk<'_, E>,
        visited: &mut BTreeSet<Guid>,
    ) -> Option<Met> {
        while let Some(met) = walk.next(|guid| !visited.contains(&guid)) {
            let guid = met.metadata.guid;
            if visited.insert(guid) {
                return Some(met);
            }
            match met.names.first() {
                Some(name) if walk.is_on_path(guid) => {
                    self.back.insert((name.parent, guid));
                }
                _ => *self.repeated.entry(guid).or_insert(1) += 1,
            }
        }
        None
    }

    fn note(&mut self, content: &Content) {
        let paths = content.children.iter().flat_map(|(_, entries)| entries);
        let values = content.values.entries.iter().map(|entry| &entry.layer);
        let blankets = content.values.blankets.iter().map(|blanket| &blanket.layer);
        for layer in paths.map(|entry| &entry.layer).chain(values).chain(blankets) {
            if !self.spellings.contains(layer) {
                self.spellings.insert(layer.clone());
                self.layers.entry(folded(layer)).or_insert_with(|| text(layer));
            }
        }
    }

    fn keep(&mut self, guid: Guid, content: Arc<Content>) {
        let size = size_of_content(&content);
        if self.bytes_kept + size <= SURVEY_BYTES_KEPT_MAX {
            self.bytes_kept += size;
            self.kept.insert(guid, content);
        }
    }
}

/// About so many bytes of memory.
fn size_of_content(content: &Content) -> usize {
    /// What each of the records below takes beside its strings.
    const RECORD_BYTES: usize = 96;
    let entries = content.children.iter().map(|(name, entries)| {
        let layers: usize = entries.iter().map(|entry| RECORD_BYTES + entry.layer.len()).sum();
        RECORD_BYTES + name.len() + layers
    });
    let metadata = content.metadata.iter().map(|metadata| RECORD_BYTES + metadata.sd.len());
    let values = content.values.entries.iter();
    let values =
        values.map(|entry| RECORD_BYTES + entry.name.len() + entry.layer.len() + entry.data.len());
    let blankets = content.values.blankets.iter().map(|blanket| RECORD_BYTES + blanket.layer.len());
    RECORD_BYTES + entries.chain(metadata).chain(values).chain(blankets).sum::<usize>()
}
