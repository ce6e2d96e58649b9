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

/// The queues that a layer operation may leave, between those with nothing and with all of its events: each
/// watch in these hives has its events, OVERFLOW, or of its events what could be told, and OVERFLOW.
pub(crate) fn possible_unanswered(
    untold: &State,
    exact: &State,
    hives: &[HiveId],
) -> Vec<Map<DescriptionId, Watch>> {
    let limit = queue_limit(&exact.limits);
    let concerned: Vec<(DescriptionId, [Watch; 3])> = exact
        .watches
        .iter()
        .filter(|(_, watch)| hives.contains(&watch.hive))
        .filter_map(|(id, told)| {
            let lost = overflowed(untold.watches.get(id)?, limit);
            Some((*id, [told.clone(), lost, overflowed(told, limit)]))
        })
        .collect();
    if concerned.len() > WATCHES_MAX {
        return (0..3).map(|way| with(&exact.watches, &concerned, way)).collect();
    }
    let mut possible = vec![exact.watches.clone()];
    for one in &concerned {
        let mut next: Vec<Map<DescriptionId, Watch>> = Vec::new();
        for watches in &possible {
            for way in 0..3 {
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

fn with(
    watches: &Map<DescriptionId, Watch>,
    told: &[(DescriptionId, [Watch; 3])],
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
