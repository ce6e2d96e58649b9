//! What is queued where a source stops answering when it is asked what there is to tell.
//!
//! States PSD-005 §10.1 ("Request timeout") with P-183, P-242 and P-520: those get OVERFLOW who may be concerned.
//! How far the kernel had come with which watch by then is open, but for what is read at once.

use std::collections::BTreeMap;

use super::dispatch::{Reading, queue_limit, readings};
use super::pool::Strand;
use super::queue::Queue;
use super::records::Record;
use super::{REG_NOTIFY_SUBKEY, REG_NOTIFY_VALUE, Watch};
use crate::coverage::Covered;
use crate::database::{HiveId, Map};
use crate::state::{DescriptionId, State};

/// If the watches have more ways together, the kernel has come to the end with each, or has not begun; and if they
/// still have, with so many of them as do not, and with all others alike.
const WAYS_MAX: usize = 512;
/// Of more readings that bring a watch something, all were answered or none (P-520).
const READINGS_MAX: usize = 12;

/// The queues that a layer operation may leave, between those with nothing and with all of its events: each
/// watch in these hives has its events, OVERFLOW, or of its events what could be told, and OVERFLOW.
///
/// The operation leads from `before` to `exact`; `untold` has the queues without it.
pub(crate) fn possible_unanswered(
    before: &State,
    untold: &State,
    exact: &State,
    hives: &[HiveId],
) -> Vec<Map<DescriptionId, Watch>> {
    let limit = queue_limit(&exact.limits);
    let mut concerned: Vec<(DescriptionId, Vec<Watch>)> = Vec::new();
    for hive in hives {
        let watches = exact.watches.iter().filter(|(_, watch)| watch.hive == *hive);
        let mut watches = watches.peekable();
        if watches.peek().is_none() {
            continue;
        }
        let mut readings = readings(before, exact, *hive);
        for (id, told) in watches {
            let Some(untold) = untold.watches.get(id) else { continue };
            if !may_be_told_by_layers(before, told) {
                continue;
            }
            let of_watch = readings.remove(id).unwrap_or_default();
            concerned.push((*id, ways(untold, told, &of_watch, limit)));
        }
    }
    let mut possible = vec![exact.watches.clone()];
    for alike in within_bounds(concerned) {
        let ways = alike.iter().map(|(_, ways)| ways.len()).max().unwrap_or(0);
        let mut next: Vec<Map<DescriptionId, Watch>> = Vec::new();
        for watches in &possible {
            for way in 0..ways {
                let watches = with(watches, &alike, way);
                if !next.contains(&watches) {
                    next.push(watches);
                }
            }
        }
        possible = next;
    }
    possible
}

/// Whether a layer operation of which nothing can be read may have something to tell a watch: of the values and names
/// of its key, that this or a key below it is gone, which is for every filter (D-74, D-76), or of what lies below.
/// Nobody can take a hive root out of view, and of an orphan there is nothing but its own values and names (P-381,
/// P-541).
pub(super) fn may_be_told_by_layers(before: &State, watch: &Watch) -> bool {
    let is_orphan = before.orphans.contains(&(watch.hive, watch.key));
    let is_root = before.database(watch.hive).root == watch.key;
    let of_its_own = watch.filter & (REG_NOTIFY_VALUE | REG_NOTIFY_SUBKEY) != 0;
    of_its_own || !is_orphan && (watch.subtree || !is_root)
}

/// The queues that one watch may have: with everything, with nothing but what needs no reading, with everything and
/// OVERFLOW, and with OVERFLOW where only some readings were answered, each as a whole (P-183).
fn ways(untold: &Watch, told: &Watch, readings: &[Reading], limit: usize) -> Vec<Watch> {
    let with_overflow = |in_part: Told| -> Watch {
        let mut since_armed = told.since_armed;
        since_armed.0.times_lost =
            untold.since_armed.0.times_lost + u64::from(in_part.is_of_own_loss());
        Watch { since_armed, queue: in_part.queue(&untold.queue, limit), ..told.clone() }
    };
    let (none, all) = (Told::of(&[], readings), Told::of(readings, &[]));
    let mut ways = vec![told.clone()];
    ways.extend([none, all].map(with_overflow));
    ways.extend(told_in_part(readings).into_iter().map(with_overflow));
    ways
}

/// What a watch is told if only some readings were answered.
struct Told {
    /// Which of these shows as they are read: they are as many events each.
    before_overflow: Vec<Vec<Strand>>,
    /// What the source's answer to a deletion tells (P-183).
    after_overflow: Vec<Strand>,
}

impl Told {
    fn of<'a>(
        answered: impl IntoIterator<Item = &'a Reading>,
        unanswered: impl IntoIterator<Item = &'a Reading>,
    ) -> Told {
        let (mut told, mut orphans) = (Vec::new(), Vec::new());
        for reading in answered {
            told.extend(reading.strands.iter().cloned());
            orphans.extend(reading.of_orphans.iter().cloned());
        }
        for reading in unanswered {
            orphans.extend(reading.of_own_loss.iter().chain(&reading.of_orphans).cloned());
        }
        orphans.sort_unstable();
        Told { before_overflow: vec![told], after_overflow: orphans }
    }

    /// Whether the watch is told that its own key is out of view.
    fn is_of_own_loss(&self) -> bool {
        let before = self.before_overflow.iter().flatten();
        before.chain(&self.after_overflow).flatten().any(Record::is_of_own_loss)
    }

    fn queue(self, untold: &Queue, limit: usize) -> Queue {
        let (mut queue, ignored) = (untold.clone(), &mut Covered::new());
        queue.arrive_one_of(self.before_overflow, limit, ignored);
        queue.overflow(limit, ignored);
        queue.arrive(self.after_overflow, limit, ignored);
        queue
    }
}

/// What is told if some readings were answered and others were not: one for each number of events that come before
/// OVERFLOW, for what comes behind it, and for whether that the watched key is out of view is among it.
fn told_in_part(readings: &[Reading]) -> Vec<Told> {
    if readings.len() > READINGS_MAX {
        return Vec::new();
    }
    let mut in_part: BTreeMap<(usize, Vec<Strand>, bool), Vec<Vec<Strand>>> = BTreeMap::new();
    for set in 1..(1_usize << readings.len()) - 1 {
        let is_answered = |index: &usize| set & (1 << index) != 0;
        let (answered, unanswered): (Vec<usize>, Vec<usize>) =
            (0..readings.len()).partition(is_answered);
        let chosen = |set: &[usize]| set.iter().map(|index| &readings[*index]).collect::<Vec<_>>();
        let (answered, unanswered) = (chosen(&answered), chosen(&unanswered));
        // What lies below a key is told of only if its children could be read.
        if answered.iter().any(|one| unanswered.iter().any(|unread| unread.leads_to(one))) {
            continue;
        }
        let told = Told::of(answered, unanswered);
        let is_of_own_loss = told.is_of_own_loss();
        let Told { before_overflow, after_overflow } = told;
        let count = before_overflow.iter().flatten().map(Vec::len).sum();
        let alike = in_part.entry((count, after_overflow, is_of_own_loss)).or_default();
        alike.extend(before_overflow);
    }
    let told = in_part
        .into_iter()
        .map(|((_, after_overflow, _), before_overflow)| Told { before_overflow, after_overflow });
    told.collect()
}

impl Reading {
    /// Whether the kernel comes from what is read here down to the other reading.
    fn leads_to(&self, other: &Reading) -> bool {
        let is_above = self.way.len() < other.way.len() && other.way.starts_with(&self.way);
        self.of_children && !self.way.is_empty() && is_above
    }
}

/// Watches with the ways that each has, of which those in one group go the same way.
type Ways = Vec<(DescriptionId, Vec<Watch>)>;

/// Each watch has a group of its own: with all its ways, or with three if all together would have too many. Those that
/// are still too many are one group.
fn within_bounds(concerned: Ways) -> Vec<Ways> {
    let product = |each: &[(DescriptionId, Vec<Watch>)]| {
        each.iter().fold(1_usize, |product, (_, ways)| product.saturating_mul(ways.len()))
    };
    let with_all: Ways = concerned.iter().map(|(id, ways)| (*id, distinct(ways))).collect();
    if product(&with_all) <= WAYS_MAX {
        return with_all.into_iter().map(|one| vec![one]).collect();
    }
    let three = |(id, ways): &(DescriptionId, Vec<Watch>)| (*id, distinct(&ways[..3]));
    let with_three: Ways = concerned.iter().map(three).collect();
    let is_bounded = |count: &usize| {
        let others = if *count < with_three.len() { 3 } else { 1 };
        product(&with_three[..*count]) <= WAYS_MAX / others
    };
    let count = (0..=with_three.len()).rev().find(is_bounded).unwrap_or(0);
    let alike: Ways =
        concerned[count..].iter().map(|(id, ways)| (*id, ways[..3].to_vec())).collect();
    let own = with_three.into_iter().take(count).map(|one| vec![one]);
    own.chain((!alike.is_empty()).then_some(alike)).collect()
}

fn distinct(ways: &[Watch]) -> Vec<Watch> {
    let mut distinct: Vec<Watch> = Vec::new();
    for way in ways {
        if !distinct.contains(way) {
            distinct.push(way.clone());
        }
    }
    distinct
}

fn with(
    watches: &Map<DescriptionId, Watch>,
    told: &[(DescriptionId, Vec<Watch>)],
    way: usize,
) -> Map<DescriptionId, Watch> {
    let mut watches = watches.clone();
    for (id, ways) in told {
        watches.insert_mut(*id, ways[way].clone());
    }
    watches
}
