//! A history as its invocations and returns in order, and what is under way at each return.

use std::collections::{BTreeMap, BTreeSet};

use super::Operation;

/// An invocation or a return, in the order in which they are looked at: what is invoked at the moment of a
/// return overlaps with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Invoked(usize),
    Returned(usize),
}

/// A place at which operations may have to take effect: a return, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// The operation that returns here; `None` at the end.
    pub(super) returns: Option<usize>,
    /// What is under way, what returns next first. The operation that returns here is in it.
    pub(super) pending: Vec<usize>,
}

/// A history, or the beginning of one, in which what returns later does not return.
#[derive(Clone, Debug)]
pub(super) struct History {
    events: Vec<Event>,
    /// The returns in order, and the end.
    stops: Vec<Stop>,
    /// A small number for each operation, which no other has that is under way at the same time.
    slots: Vec<usize>,
    /// Whether each operation returns.
    returns: Vec<bool>,
}

impl History {
    pub(super) fn new<O>(operations: &[Operation<O>]) -> History {
        let mut events = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            events.push((operation.invoked, Event::Invoked(index)));
            if let Some(returned) = operation.returned {
                events.push((returned.max(operation.invoked), Event::Returned(index)));
            }
        }
        events.sort_unstable();
        let events = events.into_iter().map(|(_, event)| event).collect();
        History::of_events(events, operations.len())
    }

    /// What happened up to the return of `operation`, that included.
    pub(super) fn until(&self, operation: usize) -> History {
        let is_last = |event: &Event| *event == Event::Returned(operation);
        let end = self.events.iter().position(is_last).map_or(self.events.len(), |last| last + 1);
        History::of_events(self.events[..end].to_vec(), self.slots.len())
    }

    fn of_events(events: Vec<Event>, operations: usize) -> History {
        let mut return_places = vec![usize::MAX; operations];
        for (place, event) in events.iter().enumerate() {
            if let Event::Returned(operation) = event {
                return_places[*operation] = place;
            }
        }
        let mut slots = vec![0; operations];
        let mut free: BTreeSet<usize> = (0..operations).collect();
        let mut pending = BTreeMap::new();
        let mut stops = Vec::new();
        for event in &events {
            match *event {
                Event::Invoked(operation) => {
                    slots[operation] = free.pop_first().unwrap_or_default();
                    pending.insert((return_places[operation], operation), ());
                }
                Event::Returned(operation) => {
                    stops.push(stop(Some(operation), &pending));
                    pending.remove(&(return_places[operation], operation));
                    free.insert(slots[operation]);
                }
            }
        }
        stops.push(stop(None, &pending));
        let returns = return_places.iter().map(|place| *place != usize::MAX).collect();
        History { events, stops, slots, returns }
    }

    /// The returns in order, and the end.
    pub(super) fn stops(&self) -> &[Stop] {
        &self.stops
    }

    /// The operations in the order of their returns, from that of `first` on.
    pub(super) fn returning_from(&self, first: usize) -> impl Iterator<Item = usize> {
        let returning = self.stops.iter().filter_map(|stop| stop.returns);
        returning.skip_while(move |operation| *operation != first)
    }

    pub(super) fn slot(&self, operation: usize) -> usize {
        self.slots[operation]
    }

    pub(super) fn has_returned(&self, operation: usize) -> bool {
        self.returns[operation]
    }
}

fn stop(returns: Option<usize>, pending: &BTreeMap<(usize, usize), ()>) -> Stop {
    Stop { returns, pending: pending.keys().map(|(_, operation)| *operation).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(invoked: u64, returned: Option<u64>) -> Operation<()> {
        Operation { process: 0, invoked, returned, operation: () }
    }

    #[test]
    fn what_returns_next_is_first_among_what_is_under_way() {
        let history = History::new(&[
            operation(0, Some(9)),
            operation(1, None),
            operation(2, Some(3)),
            operation(4, Some(5)),
        ]);
        let pending: Vec<_> = history.stops().iter().map(|stop| stop.pending.clone()).collect();
        assert_eq!(pending, [vec![2, 0, 1], vec![3, 0, 1], vec![0, 1], vec![1]]);
    }

    #[test]
    fn what_begins_at_the_moment_of_a_return_overlaps_with_it() {
        let history = History::new(&[operation(0, Some(5)), operation(5, Some(6))]);
        assert_eq!(history.stops()[0].pending, [0, 1]);
    }

    #[test]
    fn nothing_returns_before_its_invocation() {
        let history = History::new(&[operation(7, Some(2))]);
        assert_eq!(history.stops()[0], Stop { returns: Some(0), pending: vec![0] });
    }

    #[test]
    fn what_is_under_way_at_once_has_different_slots_and_others_share_them() {
        let history =
            History::new(&[operation(0, Some(3)), operation(1, Some(2)), operation(4, Some(5))]);
        assert_eq!((0..3).map(|index| history.slot(index)).collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn in_the_beginning_of_a_history_the_rest_does_not_return() {
        let history = History::new(&[operation(0, Some(9)), operation(1, Some(2))]).until(1);
        assert!(history.has_returned(1) && !history.has_returned(0));
        assert_eq!(history.stops().last().map(|stop| stop.pending.clone()), Some(vec![0]));
    }
}
