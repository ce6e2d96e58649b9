//! The first half of a restore: everything below the target goes, and everything in it (PSD-005 §9.1;
//! `RST-26`..`RST-30`, P-228).
//!
//! It remembers the GUID of every key that goes. Keys above the target are not taken for keys below it,
//! whatever a source says.

use std::collections::{BTreeSet, VecDeque};

use abi::Errno;
use rsi::{Guid, Request};

use super::pipeline::Pipeline;
use crate::backup::awaited::Awaited;
use crate::backup::channel::{Asked, Channel, Content};
use crate::env::Env;
use crate::key_file::Position;
use crate::layers::BASE;
use crate::limits::KEYS_AT_ONCE;
use crate::source::Descriptors;
use crate::turns::{Place, Share};

/// See the module.
pub struct Teardown<'a, E: Env> {
    channel: &'a Channel<E>,
    pipeline: &'a mut Pipeline,
    target: Guid,
    /// Keys that have been met, those that stay included.
    met: BTreeSet<Guid>,
    /// In the order in which they were met.
    removed: Vec<Guid>,
    ahead: VecDeque<(Guid, Option<Asked>)>,
}

impl<'a, E: Env> Teardown<'a, E> {
    /// Removes everything. Returns the keys that are gone.
    ///
    /// # Errors
    /// Those of a request.
    pub async fn run(
        channel: &'a Channel<E>,
        pipeline: &'a mut Pipeline,
        target: &Position,
    ) -> Result<Vec<Guid>, Errno> {
        lock_hive(channel, target.key().guid).await?;
        let guid = target.key().guid;
        let above = target.ancestors().map(|(key, _)| key.guid);
        let met = above.chain([guid]).collect();
        let (removed, ahead) = (Vec::new(), VecDeque::from([(guid, None)]));
        let mut teardown = Self { channel, pipeline, target: guid, met, removed, ahead };
        while let Some((guid, content)) = teardown.next().await {
            teardown.empty(guid, content?).await?;
        }
        // No key is left in another when they are dropped.
        teardown.pipeline.drain().await?;
        let removed = std::mem::take(&mut teardown.removed);
        for guid in removed.iter().rev() {
            teardown.send(Request::DropKey { guid: *guid }).await?;
        }
        teardown.pipeline.drain().await?;
        Ok(removed)
    }

    /// The next key that is to be emptied; those behind it are asked for as well, several at a time.
    async fn next(&mut self) -> Option<(Guid, Result<Content, Errno>)> {
        let ahead_max = self.channel.keys_ahead_max();
        let asked = self.ahead.iter().take_while(|(_, asked)| asked.is_some());
        if asked.take(ahead_max).count() <= ahead_max / 2 {
            let near = self.ahead.iter_mut().take(ahead_max);
            let wanted: Vec<_> = near.filter(|(_, asked)| asked.is_none()).collect();
            let guids: Vec<Guid> = wanted.iter().map(|(guid, _)| *guid).collect();
            let asked = self.channel.read_all(&guids, Descriptors::LeftToReader);
            for (place, asked) in wanted.into_iter().zip(asked) {
                place.1 = Some(asked);
            }
        }
        let (guid, asked) = self.ahead.pop_front()?;
        let mut asked = asked?;
        let behind = self.ahead.iter_mut().take(KEYS_AT_ONCE - 1);
        if !asked.has_come()
            && let Some(last) = behind.rev().find_map(|(_, asked)| asked.as_mut())
        {
            last.come().await;
        }
        Some((guid, asked.take().await))
    }

    async fn empty(&mut self, guid: Guid, content: Content) -> Result<(), Errno> {
        self.channel.kernel.env.yield_point("empty a key").await;
        for (name, entries) in content.children {
            for entry in entries {
                if let Some(child) = entry.target
                    && self.met.insert(child)
                {
                    self.removed.push(child);
                    self.ahead.push_back((child, None));
                }
                let (child_name, layer) = (name.clone(), entry.layer);
                self.send(Request::DeleteEntry { parent: guid, child_name, layer }).await?;
            }
        }
        for entry in content.values.entries {
            let (value_name, layer) = (entry.name, entry.layer);
            self.send(Request::DeleteValueEntry { guid, value_name, layer }).await?;
        }
        for blanket in content.values.blankets {
            let is_done = guid == self.target && blanket.layer == BASE.as_bytes();
            if !is_done {
                self.send(without_blanket(guid, blanket.layer)).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, request: Request) -> Result<(), Errno> {
        let answer = self.channel.tell(request);
        self.pipeline.push(Awaited::new(async move { Ok(answer.await?) })).await
    }
}

/// Takes the write lock of the hive, by a removal that is due in any case, so that what is read from
/// then on is what there is to remove. No call outside transactions is half done at that moment.
async fn lock_hive<E: Env>(channel: &Channel<E>, target: Guid) -> Result<(), Errno> {
    let place = Place::Whole(channel.hive);
    let _whole = channel.kernel.turns.take(place, Share::Alone).await;
    Ok(channel.tell(without_blanket(target, BASE.as_bytes().to_vec())).await?)
}

fn without_blanket(guid: Guid, layer: Vec<u8>) -> Request {
    Request::SetBlanketTombstone { guid, layer, set: false, sequence: 0 }
}
