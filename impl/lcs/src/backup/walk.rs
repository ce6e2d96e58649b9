//! A walk through everything below a key, parents before children, over the names of all layers
//! (PSD-005 §9.1; `BAK-10`, `BAK-51`).
//!
//! What it holds is one path with the children beside it that are still ahead; some of these are asked
//! for before their turn comes. Which of the keys it meets it enters is for whoever walks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, KeyMetadata, PathEntry};

use super::channel::{Asked, Channel, Content};
use crate::env::Env;
use crate::limits::KEYS_AT_ONCE;
use crate::source::Descriptors;

/// A name of a key: one path entry.
pub struct Name {
    /// The key above.
    pub parent: Guid,
    /// As stored.
    pub name: Vec<u8>,
    /// Of one layer.
    pub entry: PathEntry,
}

/// A key that a walk has met, with its names below one key.
pub struct Met {
    /// The key.
    pub metadata: KeyMetadata,
    /// Its names there; the first key of a walk has none.
    pub names: Vec<Name>,
    content: Option<Asked>,
}

/// What has been read of some keys already.
pub type Kept = BTreeMap<Guid, Arc<Content>>;

/// See the module.
pub struct Walk<'a, E: Env> {
    channel: &'a Channel<E>,
    kept: Kept,
    path: Vec<Frame>,
    ahead_max: usize,
}

struct Frame {
    guid: Guid,
    ahead: VecDeque<Met>,
    /// How many of these have been asked for.
    asked: usize,
}

impl Met {
    /// The key that a walk begins with.
    pub const fn first(metadata: KeyMetadata) -> Self {
        Self { metadata, names: Vec::new(), content: None }
    }
}

impl<'a, E: Env> Walk<'a, E> {
    /// A walk that has entered nothing.
    pub fn new(channel: &'a Channel<E>, kept: Kept) -> Self {
        Self { channel, kept, path: Vec::new(), ahead_max: channel.keys_ahead_max() }
    }

    /// The next key that is named below one that was entered; none at the end. `may_enter` says for
    /// which ones it is worth asking ahead.
    pub fn next(&mut self, may_enter: impl Fn(Guid) -> bool) -> Option<Met> {
        while let Some(frame) = self.path.last_mut() {
            let Some(mut met) = frame.ahead.pop_front() else {
                self.path.pop();
                continue;
            };
            frame.asked = frame.asked.saturating_sub(1);
            // Many at a time, so that neither side wakes the other for every key.
            let more = if frame.asked <= self.ahead_max / 2 { self.ahead_max } else { 0 };
            frame.asked = frame.asked.max(more);
            let near = std::iter::once(&mut met).chain(frame.ahead.iter_mut().take(more));
            let wanted: Vec<&mut Met> = near
                .filter(|met| {
                    let guid = met.metadata.guid;
                    met.content.is_none() && !self.kept.contains_key(&guid) && may_enter(guid)
                })
                .collect();
            let guids: Vec<Guid> = wanted.iter().map(|met| met.metadata.guid).collect();
            let asked = self.channel.read_all(&guids, Descriptors::Checked);
            for (met, asked) in wanted.into_iter().zip(asked) {
                met.content = Some(asked);
            }
            return Some(met);
        }
        None
    }

    /// Whether a key lies on the way to where the walk is.
    pub fn is_on_path(&self, guid: Guid) -> bool {
        self.path.iter().any(|frame| frame.guid == guid)
    }

    /// Reads a key and goes below it next.
    ///
    /// # Errors
    /// Those of a request.
    pub async fn enter(&mut self, met: &mut Met) -> Result<Arc<Content>, Errno> {
        let guid = met.metadata.guid;
        let content = match (self.kept.remove(&guid), met.content.take()) {
            (Some(kept), _) => kept,
            (None, asked) => Arc::new(self.content(guid, asked).await?),
        };
        self.path.push(Frame { guid, ahead: named_below(guid, &content)?, asked: 0 });
        Ok(content)
    }

    async fn content(&mut self, guid: Guid, asked: Option<Asked>) -> Result<Content, Errno> {
        let asked = asked.or_else(|| self.channel.read_all(&[guid], Descriptors::Checked).pop());
        let mut asked = asked.ok_or(Errno::EIO)?;
        if !asked.has_come()
            && let Some(frame) = self.path.last_mut()
        {
            let behind = frame.ahead.iter_mut().take(KEYS_AT_ONCE - 1);
            if let Some(last) = behind.rev().find_map(|met| met.content.as_mut()) {
                last.come().await;
            }
        }
        asked.take().await
    }
}

/// The keys that are named below a key, each once, in the order of their first names.
fn named_below(parent: Guid, content: &Content) -> Result<VecDeque<Met>, Errno> {
    let described: BTreeMap<Guid, &KeyMetadata> =
        content.metadata.iter().map(|metadata| (metadata.guid, metadata)).collect();
    let mut places: BTreeMap<Guid, usize> = BTreeMap::new();
    let mut all = VecDeque::new();
    for (name, entries) in &content.children {
        for entry in entries {
            let Some(target) = entry.target else { continue };
            let place = *places.entry(target).or_insert(all.len());
            if place == all.len() {
                // The codec has seen to it that every key that is named is described.
                let metadata = described.get(&target).copied().ok_or(Errno::EIO)?.clone();
                all.push_back(Met::first(metadata));
            }
            all[place].names.push(Name { parent, name: name.clone(), entry: entry.clone() });
        }
    }
    Ok(all)
}
