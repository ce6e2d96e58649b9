//! The events of one change, which may be queued in several orders, and what a queue has lost of them.
//!
//! States P-143 and P-350 on PSD-005 §4.1 and §4.2, with D-71 and D-74: the order is open but for that within
//! each strand, and lost are the first of it and the one in whose place OVERFLOW stands. Knows nothing of what
//! events mean, nor of the queue.

use std::collections::BTreeMap;

use super::records::Record;

/// Events whose order among themselves is fixed.
pub(crate) type Strand = Vec<Record>;

/// How many ways of a pool are followed at most: as many as what was read of it so far may have been taken.
/// Beyond them what conforms may be refused, and nothing else is let through (P-490).
const WAYS_MAX: usize = 1024;

/// Events that one change caused, of which the order is open but for that within each strand.
///
/// Where two strands have an equal event, it is open of which of them it was read: every way is followed that
/// is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    ways: Vec<Way>,
}

/// One way in which what has been read and lost may have come from the strands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    lanes: Vec<Lane>,
    /// How many have been read.
    read: usize,
    /// How many have been lost, nobody knows which, by how many are read before them.
    lost: BTreeMap<usize, usize>,
}

/// Events of a pool that were lost in between two reads.
struct Loss {
    /// How many are read before.
    reads: usize,
    /// How many are lost, those before included.
    sum: usize,
    /// How many more the strands have that may hold them.
    room: usize,
}

/// A strand of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    /// What has not been read of it, lost events included.
    rest: Strand,
    /// How many of the pool were read when one of this strand was: what was lost before that was not of it.
    read_at: usize,
}

impl Pool {
    /// Which of these came is open, beyond [`WAYS_MAX`] but for the first of them.
    pub(super) fn of(alternatives: Vec<Vec<Strand>>) -> Pool {
        let way = |strands: Vec<Strand>| {
            let lanes = strands.into_iter().map(|rest| Lane { rest, read_at: 0 }).collect();
            Way { lanes, read: 0, lost: BTreeMap::new() }
        };
        Pool { ways: alternatives.into_iter().take(WAYS_MAX).map(way).collect() }
    }

    /// The next event is lost.
    pub(super) fn lose_oldest(&mut self) {
        self.ways.iter_mut().for_each(Way::lose_oldest);
    }

    /// The event behind so many is lost.
    pub(super) fn lose_after(&mut self, count: usize) {
        self.ways.iter_mut().for_each(|way| way.lose_after(count));
    }

    /// The events that may be next, some of them several times.
    pub(super) fn next(&self) -> impl Iterator<Item = &Record> {
        self.ways.iter().flat_map(Way::next)
    }

    /// All events that may be among it, some of them several times.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.ways.iter().flat_map(|way| &way.lanes).flat_map(|lane| &lane.rest)
    }

    /// Takes an event out, if it may be next.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        if let [way] = &mut self.ways[..]
            && let [place] = way.places(bytes)[..]
        {
            way.take(place);
            return true;
        }
        let mut ways: Vec<Way> = Vec::new();
        for way in &self.ways {
            for place in way.places(bytes) {
                let mut way = way.clone();
                way.take(place);
                way.lanes.sort_unstable();
                if ways.len() < WAYS_MAX && !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        let is_next = !ways.is_empty();
        if is_next {
            self.ways = ways;
        }
        is_next
    }
}

/// Where an event stands: which lane, and how many of it are lost before it is read.
type PlaceOfEvent = (usize, usize);

impl Way {
    fn lose_oldest(&mut self) {
        let later = self.lost.split_off(&(self.read + 1));
        self.lose_after(0);
        for (reads, count) in later {
            *self.lost.entry(reads - 1).or_default() += count;
        }
    }

    fn lose_after(&mut self, count: usize) {
        *self.lost.entry(self.read + count).or_default() += 1;
    }

    /// The events at the head of a strand, and those behind lost ones.
    fn next(&self) -> impl Iterator<Item = &Record> {
        let losses = self.losses();
        self.lanes.iter().flat_map(move |lane| {
            let records = lane.rest.iter().enumerate();
            let next = records.filter(|(skipped, _)| lane.may_skip(*skipped, &losses));
            next.map(|(_, record)| record).collect::<Vec<_>>()
        })
    }

    /// What is lost before the next event is read.
    fn losses(&self) -> Vec<Loss> {
        let mut sum = 0;
        let losses = self.lost.range(..=self.read);
        let losses = losses.map(|(reads, count)| {
            sum += count;
            let may_hold = self.lanes.iter().filter(|lane| lane.read_at <= *reads);
            let held: usize = may_hold.map(|lane| lane.rest.len()).sum();
            Loss { reads: *reads, sum, room: held.saturating_sub(sum) }
        });
        losses.collect()
    }

    /// Where an event may stand that is read next. Of lanes that are alike one stands for all.
    fn places(&self, bytes: &[u8]) -> Vec<PlaceOfEvent> {
        let losses = self.losses();
        let mut lanes: Vec<&Lane> = Vec::new();
        let mut places = Vec::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            let records = lane.rest.iter().enumerate();
            let is_next = |skipped| lane.may_skip(skipped, &losses);
            let found = records.filter(|(skipped, r)| r.bytes() == bytes && is_next(*skipped));
            let found: Vec<PlaceOfEvent> = found.map(|(skipped, _)| (index, skipped)).collect();
            if !found.is_empty() && !lanes.contains(&lane) {
                lanes.push(lane);
                places.extend(found);
            }
        }
        places
    }

    fn take(&mut self, (index, skipped): PlaceOfEvent) {
        self.read += 1;
        let lane = &mut self.lanes[index];
        let mut skipped_still = skipped;
        for (_, count) in self.lost.range_mut(lane.read_at..self.read) {
            let used = skipped_still.min(*count);
            *count -= used;
            skipped_still -= used;
        }
        lane.rest.drain(..=skipped);
        lane.read_at = self.read;
        self.forget();
    }

    /// What decides nothing any more.
    fn forget(&mut self) {
        self.lost.retain(|_, count| *count > 0);
        self.lanes.retain(|lane| !lane.rest.is_empty());
        if self.lost.is_empty() {
            self.read = 0;
            self.lanes.iter_mut().for_each(|lane| lane.read_at = 0);
        }
    }
}

impl Lane {
    /// Whether so many events may have been lost before one of this strand is read. The other strands have to
    /// have room for all other losses.
    fn may_skip(&self, skipped: usize, losses: &[Loss]) -> bool {
        let may_be_here = |loss: &&Loss| loss.reads >= self.read_at;
        let elsewhere = losses.iter().rev().find(|loss| !may_be_here(loss));
        let sum_elsewhere = elsewhere.map_or(0, |loss| loss.sum);
        let most = losses.last().map_or(0, |loss| loss.sum - sum_elsewhere);
        skipped <= most
            && losses.iter().filter(may_be_here).all(|loss| {
                let here = skipped.min(loss.sum - sum_elsewhere);
                loss.room + here >= self.rest.len()
            })
    }
}
