//! What is queued where a source stops answering when it is asked what there is to tell.
//!
//! States PSD-005 §10.1 ("Request timeout") with P-183 and P-242: those get OVERFLOW who may be concerned. How
//! far the kernel had come with which watch by then is open.

use super::Watch;
use super::dispatch::queue_limit;
use crate::coverage::Covered;
use crate::database::{HiveId, Map};
use crate::state::{DescriptionId, State};

/// Of more watches, all have been told alike.
const WATCHES_MAX: usize = 4;
/// If the watches have more ways together, the kernel has come to the end with each, or has not begun.
const WAYS_MAX: usize = 512;

/// The queues that a layer operation may leave, between those with nothing and with all of its events: each
/// watch in these hives has its events, OVERFLOW, or of its events what could be told, and OVERFLOW.
pub(crate) fn possible_unanswered(
    untold: &State,
    exact: &State,
    hives: &[HiveId],
) -> Vec<Map<DescriptionId, Watch>> {
    let limit = queue_limit(&exact.limits);
    let concerned: Vec<(DescriptionId, Vec<Watch>)> = exact
        .watches
        .iter()
        .filter(|(_, watch)| hives.contains(&watch.hive))
        .filter_map(|(id, told)| {
            let untold = untold.watches.get(id)?;
            let mut ways = vec![told.clone(), overflowed(untold, limit), overflowed(told, limit)];
            ways.extend(partly_told(untold, told, limit));
            Some((*id, ways))
        })
        .collect();
    let concerned = within_bounds(concerned);
    if concerned.len() > WATCHES_MAX {
        return (0..3).map(|way| with(&exact.watches, &concerned, way)).collect();
    }
    let mut possible = vec![exact.watches.clone()];
    for one in &concerned {
        let mut next: Vec<Map<DescriptionId, Watch>> = Vec::new();
        for watches in &possible {
            for way in 0..one.1.len() {
                let watches = with(watches, std::slice::from_ref(one), way);
                if !next.contains(&watches) {
                    next.push(watches);
                }
            }
        }
        possible = next;
    }
    possible
}

/// What is left of the events if only some could be told: the source has answered for some keys and not for
/// others (P-183).
fn partly_told(untold: &Watch, told: &Watch, limit: usize) -> Vec<Watch> {
    let events = told.queue.length().saturating_sub(untold.queue.length());
    if told.queue.has_overflow() {
        return Vec::new();
    }
    let without = |lost: usize| {
        let watch = Watch { queue: told.queue.without_last(lost), ..told.clone() };
        overflowed(&watch, limit)
    };
    (1..events).map(without).collect()
}

/// Each watch has three ways if all together would have too many.
fn within_bounds(mut ways: Vec<(DescriptionId, Vec<Watch>)>) -> Vec<(DescriptionId, Vec<Watch>)> {
    let together = ways.iter().try_fold(1_usize, |product, (_, ways)| {
        product.checked_mul(ways.len()).filter(|product| *product <= WAYS_MAX)
    });
    if together.is_none() {
        ways.iter_mut().for_each(|(_, ways)| ways.truncate(3));
    }
    ways
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

fn overflowed(watch: &Watch, limit: usize) -> Watch {
    let mut watch = watch.clone();
    watch.queue.overflow(limit, &mut Covered::new());
    watch
}
