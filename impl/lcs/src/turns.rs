//! Locks that futures wait for, in the order of their asking.
//!
//! A multi-request operation must not be seen half done (PSD-005 §6.2, D-29), yet no thread may
//! hold a lock across a wait. So an operation holds a *turn* at what it touches, and whoever
//! cannot share that turn waits as a future. Turns are taken from parent to child, and at one key
//! in the order of [`Place`], so that no two operations wait for each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::oneshot;
use rsi::TransactionId;

use crate::name::FoldedName;
use crate::state::{HiveId, KeyId, SlotId};

/// What a turn is held at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The operations of a transaction. Taken before every other turn.
    Transaction(TransactionId),
    /// The layer table, the parameters, and what both are made from.
    Layers,
    /// What is effective in a hive: shared by mutations, alone for a change of the layers.
    Effective(HiveId),
    /// The path entries below a key, all names.
    Children(KeyId),
    /// The path entries of one name below a key.
    Name(KeyId, FoldedName),
    /// The values and properties of a key.
    Values(KeyId),
    /// What calls read of the values and properties of a key. A mutation has this beside
    /// [`Place::Values`], and gives it up where it may have to wait at its source.
    Reading(KeyId),
    /// The entries of a layer in every hive: shared by writers, alone for its deletion. Taken last
    /// but for the next one, which no deletion has.
    Layer(FoldedName),
    /// What a source holds of a hive between two calls: shared by mutations of several requests, and by
    /// those who take snapshots. Taken last, so that who has it waits for no other turn.
    Whole(HiveId),
    /// A slot that has resumed and must first hear what it missed (D-55).
    Resumption(SlotId),
}

/// How a turn is shared: holders of one kind share it, unless it is `Alone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// With others that read.
    Read,
    /// With others that change different names of the same place.
    Change,
    /// With nobody.
    Alone,
}

/// All turns that are held or waited for.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<BTreeMap<Place, Queue>>>);

struct Queue {
    share: Share,
    holders: usize,
    waiting: VecDeque<(Share, oneshot::Sender<Turn>)>,
}

/// A turn being held; dropping it hands the place on.
#[must_use]
pub struct Turn {
    turns: Turns,
    place: Place,
}

impl Turns {
    /// Asks for a turn, at once, and returns the wait for it. A wait that is dropped leaves the
    /// queue.
    pub fn take(&self, place: Place, share: Share) -> impl Future<Output = Turn> + Send + use<> {
        let asked = self.try_take(&place, share);
        let turns = self.clone();
        async move {
            match asked {
                Ok(turn) => turn,
                // A queue goes away only when nobody waits in it, so the sender always answers.
                Err(receiver) => match receiver.await {
                    Ok(turn) => turn,
                    Err(oneshot::Canceled) => turns.turn(&place),
                },
            }
        }
    }

    fn try_take(&self, place: &Place, share: Share) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = places.get_mut(place) else {
            places.insert(place.clone(), Queue { share, holders: 1, waiting: VecDeque::new() });
            return Ok(self.turn(place));
        };
        if queue.waiting.is_empty() && queue.admits(share) {
            queue.holders += 1;
            return Ok(self.turn(place));
        }
        let (sender, receiver) = oneshot::channel();
        queue.waiting.push_back((share, sender));
        Err(receiver)
    }

    fn turn(&self, place: &Place) -> Turn {
        Turn { turns: self.clone(), place: place.clone() }
    }

    /// One holder fewer; returns the next ones, for sending outside the lock.
    fn leave(&self, place: &Place) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = places.get_mut(place) else { return Vec::new() };
        queue.holders = queue.holders.saturating_sub(1);
        let mut next = Vec::new();
        while let Some((share, sender)) = queue.waiting.pop_front() {
            if sender.is_canceled() {
                continue;
            }
            if queue.holders == 0 {
                queue.share = share;
            } else if !queue.admits(share) {
                queue.waiting.push_front((share, sender));
                break;
            }
            queue.holders += 1;
            next.push((sender, self.turn(place)));
        }
        if queue.holders == 0 {
            places.remove(place);
        }
        next
    }
}

impl Queue {
    fn admits(&self, share: Share) -> bool {
        self.share == share && share != Share::Alone
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        for (sender, turn) in self.turns.leave(&self.place) {
            // A receiver that went away gives the turn back, which drops it, here.
            drop(sender.send(turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn poll(future: &mut (impl Future<Output = Turn> + Unpin)) -> Option<Turn> {
        future.now_or_never()
    }

    #[test]
    fn readers_share_and_a_writer_waits_for_them() {
        let turns = Turns::default();
        let first = turns.take(Place::Layers, Share::Read).now_or_never().expect("free");
        let second = turns.take(Place::Layers, Share::Read).now_or_never().expect("shared");
        let mut writer = Box::pin(turns.take(Place::Layers, Share::Alone));
        assert!(poll(&mut writer).is_none());
        drop(first);
        assert!(poll(&mut writer).is_none());
        drop(second);
        assert!(poll(&mut writer).is_some());
    }

    #[test]
    fn later_readers_wait_behind_a_writer() {
        let turns = Turns::default();
        let reader = turns.take(Place::Layers, Share::Read).now_or_never().expect("free");
        let mut writer = Box::pin(turns.take(Place::Layers, Share::Alone));
        assert!(poll(&mut writer).is_none());
        let mut late = Box::pin(turns.take(Place::Layers, Share::Read));
        assert!(poll(&mut late).is_none());
        drop(reader);
        let held = poll(&mut writer).expect("its turn");
        assert!(poll(&mut late).is_none());
        drop(held);
        assert!(poll(&mut late).is_some());
    }

    #[test]
    fn a_waiter_that_gives_up_blocks_nobody() {
        let turns = Turns::default();
        let held = turns.take(Place::Layers, Share::Alone).now_or_never().expect("free");
        let mut gone = Box::pin(turns.take(Place::Layers, Share::Alone));
        assert!(poll(&mut gone).is_none());
        let mut next = Box::pin(turns.take(Place::Layers, Share::Alone));
        assert!(poll(&mut next).is_none());
        drop(gone);
        drop(held);
        assert!(poll(&mut next).is_some());
        assert!(turns.0.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn readers_and_changers_exclude_each_other() {
        let turns = Turns::default();
        let change = turns.take(Place::Layers, Share::Change).now_or_never().expect("free");
        let also = turns.take(Place::Layers, Share::Change).now_or_never().expect("shared");
        let mut reader = Box::pin(turns.take(Place::Layers, Share::Read));
        assert!(poll(&mut reader).is_none());
        drop((change, also));
        assert!(poll(&mut reader).is_some());
    }
}
