//! The second pass of a backup: records, into a stream (PSD-005 §9.1; `BAK-21`..`BAK-55`, D-101..D-103,
//! P-220, P-221).

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, KeyMetadata, Request, Response};

use super::channel::{Channel, Content};
use super::format::{Encoder, LayerRecord};
use super::snapshot::Snapshot;
use super::survey::Survey;
use super::walk::{Kept, Met, Name, Walk};
use crate::env::Env;
use crate::kernel::Kernel;
use crate::key_file::KeyFile;
use crate::layers::LayerTable;
use crate::limits::STREAM_CHUNK_BYTES;
use crate::name::FoldedName;
use crate::security::{SecurityDescriptor, Sid};
use crate::source::Descriptors;
use crate::stream::Stream;

/// Records on their way into a stream, a chunk at a time.
struct Output<'a> {
    stream: &'a dyn Stream,
    encoder: Encoder,
}

/// A key that comes behind the last of the keys that it has names below.
#[derive(Default)]
struct Postponed {
    parents_ahead: usize,
    names: Vec<Name>,
}

impl<E: Env> Kernel<E> {
    /// Writes a key and everything below it, as a snapshot has them.
    pub(super) async fn write_backup(
        &self,
        snapshot: &Snapshot<E>,
        file: &KeyFile<E>,
        stream: &dyn Stream,
    ) -> Result<(), Errno> {
        let channel = &snapshot.channel;
        let (timestamp, table) = (self.env.now(), self.layers());
        let root = read_root(channel, file.key().guid).await?;
        let mut survey = Survey::make(channel, &root).await?;
        let mut output = Output { stream, encoder: Encoder::default() };
        let hive_name = self.state().hive(channel.hive).name.clone();
        output.encoder.header(timestamp, root.guid, &hive_name);
        for (layer, spelling) in &survey.layers {
            output.encoder.layer(&manifest_line(&table, layer, spelling, &root));
        }
        let kept = std::mem::take(&mut survey.kept);
        output.write_tree(channel, root, &survey, kept).await?;
        output.encoder.trailer();
        output.flush().await
    }
}

async fn read_root<E: Env>(channel: &Channel<E>, guid: Guid) -> Result<KeyMetadata, Errno> {
    match channel.ask(Request::ReadKey { guid }, Descriptors::Checked).await? {
        Response::ReadKey { sd, volatile_key, symlink, last_write_time, .. } => {
            Ok(KeyMetadata { guid, sd, volatile_key, symlink, last_write_time })
        }
        _ => Err(Errno::EIO),
    }
}

fn manifest_line(
    table: &LayerTable,
    layer: &FoldedName,
    spelling: &str,
    root: &KeyMetadata,
) -> LayerRecord {
    let known = table.get(layer);
    let owner = match known {
        Some(layer) => layer.owner.or(layer.descriptor.owner),
        None => None,
    };
    let root_owner = || SecurityDescriptor::parse(&root.sd).ok().and_then(|sd| sd.owner);
    let owner = owner.or_else(root_owner).unwrap_or(Sid::SYSTEM);
    LayerRecord {
        name: known.map_or(spelling, |layer| &layer.name).as_bytes().to_vec(),
        precedence: known.map_or(0, |layer| layer.precedence),
        enabled: known.is_some_and(|layer| layer.enabled).into(),
        owner: owner.as_bytes().to_vec(),
    }
}

impl Output<'_> {
    async fn write_tree<E: Env>(
        &mut self,
        channel: &Channel<E>,
        root: KeyMetadata,
        survey: &Survey,
        kept: Kept,
    ) -> Result<(), Errno> {
        let mut postponed: BTreeMap<Guid, Postponed> = survey
            .repeated
            .iter()
            .map(|(guid, count)| (*guid, Postponed { parents_ahead: *count, names: Vec::new() }))
            .collect();
        let mut walk = Walk::new(channel, kept);
        let mut next = Some(Met::first(root));
        for _ in 0..survey.keys {
            let Some(mut met) = next else { return Ok(()) };
            let content = walk.enter(&mut met).await?;
            self.write_section(&met, &content);
            if self.encoder.pending().len() >= STREAM_CHUNK_BYTES {
                self.flush().await?;
            }
            channel.kernel.env.yield_point("back up a key").await;
            next = next_section(&mut walk, survey, &mut postponed);
        }
        // Both passes were over one snapshot, so nothing else is there.
        if next.is_none() { Ok(()) } else { Err(Errno::EIO) }
    }

    /// One section. A HIDDEN entry belongs to the key above it (D-102).
    fn write_section(&mut self, met: &Met, content: &Arc<Content>) {
        let guid = met.metadata.guid;
        self.encoder.key(&met.metadata);
        for Name { parent, name, entry } in &met.names {
            self.encoder.path_entry(*parent, name, entry);
        }
        for (name, entries) in &content.children {
            for entry in entries.iter().filter(|entry| entry.target.is_none()) {
                self.encoder.path_entry(guid, name, entry);
            }
        }
        for entry in &content.values.entries {
            self.encoder.value(guid, entry);
        }
        for entry in &content.values.blankets {
            self.encoder.blanket(guid, entry);
        }
    }

    async fn flush(&mut self) -> Result<(), Errno> {
        let mut bytes = self.encoder.pending();
        while !bytes.is_empty() {
            let written = self.stream.write(bytes).await?;
            // A stream that takes nothing would be asked for ever.
            bytes = match bytes.split_at_checked(written) {
                Some((_, rest)) if written > 0 => rest,
                _ => return Err(Errno::EIO),
            };
        }
        self.encoder.clear();
        Ok(())
    }
}

/// The next key whose section can come.
fn next_section<E: Env>(
    walk: &mut Walk<'_, E>,
    survey: &Survey,
    postponed: &mut BTreeMap<Guid, Postponed>,
) -> Option<Met> {
    while let Some(mut met) = walk.next(|guid| !survey.repeated.contains_key(&guid)) {
        let guid = met.metadata.guid;
        let is_back = |name: &Name| survey.back.contains(&(name.parent, guid));
        if met.names.first().is_some_and(is_back) {
            continue;
        }
        let Some(waiting) = postponed.get_mut(&guid) else { return Some(met) };
        waiting.names.append(&mut met.names);
        waiting.parents_ahead = waiting.parents_ahead.saturating_sub(1);
        if waiting.parents_ahead == 0 {
            met.names = std::mem::take(&mut waiting.names);
            return Some(met);
        }
    }
    None
}
