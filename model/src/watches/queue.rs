//! The queue of a watch: what is in it, what overflow makes of it, and what one read takes out.
//!
//! States PSD-005 §4.2 ("Queue management") and §4.1 on read(), with D-71, D-73 and P-143 to P-145. The
//! events of one change may be queued in several orders: the queue holds how many there are, and from
//! which they are taken; whoever reads them learns the order. Knows nothing of what events mean.

use std::collections::BTreeMap;

use super::pool::{Pool, Strand};
use super::records::{Record, split};
use crate::coverage::{Covered, covers};
use crate::state::{DescriptionId, Witness};

/// The events of a watch that have not been read, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    items: Vec<Item>,
    pools: BTreeMap<u32, Pool>,
    /// How many changes have arrived.
    changes: Witness<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Overflow,
    /// An event, and of which change.
    Event(Record, Witness<u64>),
    /// So many events of a pool.
    AnyOf {
        pool: u32,
        count: usize,
    },
}

impl Item {
    /// How many events it stands for.
    fn count(&self) -> usize {
        match self {
            Item::Overflow | Item::Event(..) => 1,
            Item::AnyOf { count, .. } => *count,
        }
    }
}

/// Whether the event that is read next fits into a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Fits,
    TooLong,
    /// It depends on which it is.
    Either,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many events there are, OVERFLOW included (D-71).
    pub(crate) fn length(&self) -> usize {
        self.items.iter().map(Item::count).sum()
    }

    pub(crate) fn has_overflow(&self) -> bool {
        self.items.contains(&Item::Overflow)
    }

    /// The events of one change arrive.
    pub(crate) fn arrive(&mut self, strands: Vec<Strand>, limit: usize, covered: &mut Covered) {
        self.arrive_one_of(vec![strands], limit, covered);
    }

    /// The events of one change arrive, and which of these they are is open. They are as many each.
    pub(crate) fn arrive_one_of(
        &mut self,
        mut alternatives: Vec<Vec<Strand>>,
        limit: usize,
        covered: &mut Covered,
    ) {
        self.changes.0 += 1;
        if let [strands] = &mut alternatives[..]
            && let [strand] = &mut strands[..]
        {
            for record in std::mem::take(strand) {
                if self.make_room(limit, covered) {
                    self.items.push(Item::Event(record, self.changes));
                }
            }
            self.forget_empty_pools();
            return;
        }
        let pool = self.pools.keys().next_back().map_or(0, |last| last.saturating_add(1));
        let count: usize = alternatives.first().into_iter().flatten().map(Vec::len).sum();
        self.pools.insert(pool, Pool::of(alternatives));
        for _ in 0..count {
            if self.make_room(limit, covered) {
                self.push_any_of(pool);
            } else {
                self.displaced_of(pool);
            }
        }
        self.forget_empty_pools();
    }

    /// OVERFLOW arrives, unless there is one (WATCH-61, D-73).
    pub(crate) fn overflow(&mut self, limit: usize, covered: &mut Covered) {
        if self.has_overflow() {
            covers!(covered, "DISP-55");
            return;
        }
        self.drop_until(limit.saturating_sub(1));
        self.items.push(Item::Overflow);
        self.forget_empty_pools();
    }

    /// Makes room for one more event. False if it is lost to OVERFLOW itself (D-71).
    fn make_room(&mut self, limit: usize, covered: &mut Covered) -> bool {
        let had_overflow = self.has_overflow();
        if self.length() < limit {
            if had_overflow {
                covers!(covered, "DISP-56", "WATCH-08");
            }
            return true;
        }
        covers!(covered, "WATCH-06", "DISP-52", "DISP-53", "DISP-54");
        self.drop_until(limit.saturating_sub(1));
        if had_overflow {
            covers!(covered, "DISP-55", "DISP-56", "WATCH-08");
        } else {
            self.items.push(Item::Overflow);
        }
        had_overflow
    }

    /// Drops the oldest events, OVERFLOW excepted, until there are no more than this (P-144).
    fn drop_until(&mut self, length: usize) {
        while self.length() > length {
            let Some(oldest) = self.items.iter().position(|item| *item != Item::Overflow) else {
                return;
            };
            if let Item::AnyOf { pool, .. } = self.items[oldest]
                && let Some(pool) = self.pools.get_mut(&pool)
            {
                pool.lose_oldest();
            }
            self.take_from(oldest);
        }
    }

    fn push_any_of(&mut self, of: u32) {
        match self.items.last_mut() {
            Some(Item::AnyOf { pool, count }) if *pool == of => *count += 1,
            _ => self.items.push(Item::AnyOf { pool: of, count: 1 }),
        }
    }

    /// An event of this pool is lost to OVERFLOW, behind all of the pool that are queued.
    fn displaced_of(&mut self, of: u32) {
        let counts = self.items.iter().map(|item| match item {
            Item::AnyOf { pool, count } if *pool == of => *count,
            _ => 0,
        });
        let queued = counts.sum();
        if let Some(pool) = self.pools.get_mut(&of) {
            pool.lose_after(queued);
        }
    }

    /// One event less at this place.
    fn take_from(&mut self, index: usize) {
        match &mut self.items[index] {
            Item::AnyOf { count, .. } if *count > 1 => *count -= 1,
            _ => {
                self.items.remove(index);
            }
        }
    }

    /// Of whose events none is left. That may be so for a while in the middle of an arrival.
    fn forget_empty_pools(&mut self) {
        let items = &self.items;
        self.pools.retain(|id, _| {
            items.iter().any(|item| matches!(item, Item::AnyOf { pool, .. } if pool == id))
        });
    }

    /// Whether the next event fits into so many bytes.
    pub(crate) fn next_fits(&self, capacity: usize) -> Next {
        let lengths = self.next_lengths();
        match (lengths.iter().any(|l| *l <= capacity), lengths.iter().any(|l| *l > capacity)) {
            (true, false) => Next::Fits,
            (false, _) => Next::TooLong,
            (true, true) => Next::Either,
        }
    }

    /// The lengths that the next event may have.
    fn next_lengths(&self) -> Vec<usize> {
        match self.items.first() {
            None => Vec::new(),
            Some(Item::Overflow) => vec![Record::overflow().length()],
            Some(Item::Event(record, _)) => vec![record.length()],
            Some(Item::AnyOf { pool, .. }) => {
                let pool = self.pools.get(pool);
                pool.into_iter().flat_map(Pool::next).map(Record::length).collect()
            }
        }
    }

    /// Takes the next event out, if it may be this one.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let is_next = match self.items.first() {
            None => false,
            Some(Item::Overflow) => Record::overflow().bytes() == bytes,
            Some(Item::Event(record, _)) => record.bytes() == bytes,
            Some(Item::AnyOf { pool, .. }) => {
                self.pools.get_mut(pool).is_some_and(|pool| pool.take(bytes))
            }
        };
        if is_next {
            self.take_from(0);
            self.forget_empty_pools();
        }
        is_next
    }

    /// One event that may be next.
    fn example(&self) -> Option<Record> {
        match self.items.first()? {
            Item::Overflow => Some(Record::overflow()),
            Item::Event(record, _) => Some(record.clone()),
            Item::AnyOf { pool, .. } => self.pools.get(pool)?.next().next().cloned(),
        }
    }

    /// Whether it shows in which order the changes took place if so many events are read: one of them, and the
    /// next that is queued, are of two changes and not the same, whichever they are (WATCH-04).
    pub(crate) fn shows_order(&self, read: usize) -> bool {
        let mut before = 0;
        let items = self.items.iter().map(|item| {
            let is_read = before < read;
            before += item.count();
            (item, is_read)
        });
        let items: Vec<(&Item, bool)> =
            items.filter(|(item, _)| !matches!(item, Item::Overflow)).collect();
        items.windows(2).any(|pair| pair[0].1 && self.is_of_another_change(pair[0].0, pair[1].0))
    }

    /// Whether two items are of two changes and have no event in common.
    fn is_of_another_change(&self, one: &Item, other: &Item) -> bool {
        if let (Item::Event(_, one), Item::Event(_, other)) = (one, other)
            && one.0 == other.0
        {
            return false;
        }
        let others = self.records(other);
        self.records(one).iter().all(|record| !others.contains(record))
    }

    /// The events that an item may stand for.
    fn records<'a>(&'a self, item: &'a Item) -> Vec<&'a Record> {
        match item {
            Item::Overflow => Vec::new(),
            Item::Event(record, _) => vec![record],
            Item::AnyOf { pool, .. } => {
                self.pools.get(pool).into_iter().flat_map(Pool::records).collect()
            }
        }
    }

    /// The length of all events together, of the shortest where it is open which they are.
    pub(crate) fn length_in_bytes(&self) -> usize {
        let mut rest = self.clone();
        let mut length = 0;
        while let Some(record) = rest.example() {
            length += record.length();
            rest.take(record.bytes());
        }
        length
    }

    /// Whether the order of the events is open.
    fn is_open(&self) -> bool {
        !self.pools.is_empty()
    }
}

/// What one read may take out of a queue.
#[derive(Clone, Debug)]
pub struct QueuedEvents {
    description: DescriptionId,
    queue: Queue,
    /// Length of the buffer in bytes.
    capacity: usize,
}

impl QueuedEvents {
    pub(crate) fn new(description: DescriptionId, queue: Queue, capacity: usize) -> QueuedEvents {
        QueuedEvents { description, queue, capacity }
    }

    pub(crate) fn description(&self) -> DescriptionId {
        self.description
    }

    /// The queue after these events were read; `None` if they may not be what is read.
    pub(crate) fn read(&self, events: &[u8]) -> Option<Queue> {
        let mut rest = self.queue.clone();
        for record in split(events).filter(|records| !records.is_empty())? {
            if !rest.take(record) {
                return None;
            }
        }
        let room = self.capacity.checked_sub(events.len())?;
        // One that would still fit would have come as well (WATCH-49).
        let is_all = rest.is_empty() || rest.next_fits(room) != Next::Fits;
        is_all.then_some(rest)
    }

    /// Events that conform.
    pub fn example(&self) -> Vec<u8> {
        let mut rest = self.queue.clone();
        let mut events = Vec::new();
        while let Some(record) = rest.fitting_example(self.capacity - events.len()) {
            rest.take(record.bytes());
            events.extend(record.bytes());
        }
        events
    }

    /// Whether other events than those of the example conform, or the same in another order.
    pub fn is_open(&self) -> bool {
        self.queue.is_open()
    }
}

impl Queue {
    /// One event that may be next and fits.
    fn fitting_example(&self, room: usize) -> Option<Record> {
        let Some(Item::AnyOf { pool, .. }) = self.items.first() else {
            return self.example().filter(|record| record.length() <= room);
        };
        self.pools.get(pool)?.next().find(|record| record.length() <= room).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Kind;
    use super::*;

    fn record(name: &str) -> Record {
        Record::of(Kind::ValueSet, name, None).unwrap()
    }

    fn numbered(range: std::ops::RangeInclusive<u32>) -> Vec<Record> {
        range.map(|number| record(&number.to_string())).collect()
    }

    fn read(queue: &Queue, capacity: usize) -> Vec<u8> {
        QueuedEvents::new(DescriptionId(0), queue.clone(), capacity).example()
    }

    fn joined(records: &[Record]) -> Vec<u8> {
        records.iter().flat_map(|record| record.bytes().to_vec()).collect()
    }

    fn queue_of(records: Vec<Record>, limit: usize) -> Queue {
        let mut queue = Queue::default();
        for record in records {
            queue.arrive(vec![vec![record]], limit, &mut Covered::new());
        }
        queue
    }

    fn unordered(names: &[&str], limit: usize) -> Queue {
        let mut queue = Queue::default();
        let strands = names.iter().map(|name| vec![record(name)]).collect();
        queue.arrive(strands, limit, &mut Covered::new());
        queue
    }

    #[test]
    fn twenty_events_in_a_queue_of_sixteen() {
        let mut expected = numbered(5..=16);
        expected.push(Record::overflow());
        expected.extend(numbered(18..=20));
        assert_eq!(read(&queue_of(numbered(1..=20), 16), 10_000), joined(&expected));
    }

    #[test]
    fn overflow_keeps_its_place_and_is_the_only_one() {
        let queue = queue_of(numbered(1..=40), 16);
        let mut expected = vec![Record::overflow()];
        expected.extend(numbered(26..=40));
        assert_eq!(read(&queue, 10_000), joined(&expected));
        assert_eq!(queue.length(), 16);
    }

    #[test]
    fn overflow_on_a_full_queue_drops_the_oldest() {
        let mut queue = queue_of(numbered(1..=16), 16);
        queue.overflow(16, &mut Covered::new());
        queue.overflow(16, &mut Covered::new());
        let mut expected = numbered(2..=16);
        expected.push(Record::overflow());
        assert_eq!(read(&queue, 10_000), joined(&expected));
    }

    #[test]
    fn a_lowered_limit_cuts_the_queue_when_the_next_event_arrives() {
        let mut queue = queue_of(numbered(1..=20), 32);
        queue.arrive(vec![numbered(21..=21)], 16, &mut Covered::new());
        let mut expected = numbered(6..=20);
        expected.push(Record::overflow());
        assert_eq!(read(&queue, 10_000), joined(&expected));
    }

    #[test]
    fn a_read_takes_as_many_whole_events_as_fit() {
        let queue = queue_of(numbered(1..=3), 16);
        let events = |capacity| QueuedEvents::new(DescriptionId(0), queue.clone(), capacity);
        assert_eq!(read(&queue, 26), joined(&numbered(1..=2)));
        assert!(events(26).read(&joined(&numbered(1..=1))).is_none());
        assert!(events(26).read(&joined(&numbered(1..=3))).is_none());
        assert_eq!(events(26).read(&joined(&numbered(1..=2))), Some(queue_of(numbered(3..=3), 16)));
    }

    #[test]
    fn a_buffer_shorter_than_the_next_event_is_too_small() {
        let queue = queue_of(vec![record("long"), record("s")], 16);
        assert_eq!(queue.next_fits(11), Next::TooLong);
        assert_eq!(queue.next_fits(12), Next::Fits);
    }

    #[test]
    fn the_events_of_one_change_come_in_any_order() {
        let queue = unordered(&["a", "b", "c"], 16);
        let events = QueuedEvents::new(DescriptionId(0), queue, 18);
        let rest = events.read(&joined(&[record("c"), record("a")])).unwrap();
        let events = QueuedEvents::new(DescriptionId(0), rest, 18);
        assert!(events.read(&joined(&[record("c")])).is_none());
        assert_eq!(events.read(&joined(&[record("b")])), Some(Queue::default()));
    }

    #[test]
    fn a_strand_keeps_its_order() {
        let mut queue = Queue::default();
        let strands = vec![vec![record("a"), record("b")], vec![record("c")]];
        queue.arrive(strands, 16, &mut Covered::new());
        let events = QueuedEvents::new(DescriptionId(0), queue, 100);
        assert!(events.read(&joined(&[record("a"), record("c"), record("b")])).is_some());
        assert!(events.read(&joined(&[record("b"), record("c"), record("a")])).is_none());
    }

    #[test]
    fn of_which_strand_an_equal_event_was_shows_later() {
        let [gone, come, lost] = ["gone", "come", "lost"].map(record);
        let strands =
            vec![vec![gone.clone(), lost.clone()], vec![gone.clone(), come.clone(), lost.clone()]];
        for strands in [strands.clone(), strands.into_iter().rev().collect()] {
            let mut queue = Queue::default();
            queue.arrive(strands, 16, &mut Covered::new());
            let events = QueuedEvents::new(DescriptionId(0), queue, 10_000);
            let rest = |order: [&Record; 5]| events.read(&joined(&order.map(Clone::clone)));
            assert_eq!(rest([&gone, &lost, &gone, &come, &lost]), Some(Queue::default()));
            assert_eq!(rest([&gone, &come, &lost, &gone, &lost]), Some(Queue::default()));
            assert_eq!(rest([&gone, &come, &gone, &lost, &lost]), Some(Queue::default()));
            assert_eq!(rest([&gone, &gone, &come, &lost, &lost]), Some(Queue::default()));
            assert_eq!(rest([&gone, &lost, &lost, &gone, &come]), None);
            assert_eq!(rest([&come, &gone, &lost, &gone, &lost]), None);
        }
    }

    #[test]
    fn of_which_strand_an_event_was_lost_shows_later() {
        let [a, b, c] = ["a", "b", "c"].map(record);
        let mut queue = Queue::default();
        let strands = vec![vec![a.clone(), b.clone()], vec![a.clone(), c.clone()]];
        queue.arrive(strands, 4, &mut Covered::new());
        queue.arrive(vec![numbered(1..=1)], 4, &mut Covered::new());
        let events = QueuedEvents::new(DescriptionId(0), queue, 10_000);
        let may_read = |order: [&Record; 3]| {
            let records = joined(&order.map(Clone::clone));
            events.read(&[&records, Record::overflow().bytes()].concat()).is_some()
        };
        // One of the two that are alike is lost, and whichever it was stood before the other of its strand.
        assert!(may_read([&b, &a, &c]) && may_read([&c, &a, &b]));
        assert!(may_read([&a, &b, &c]) && may_read([&a, &c, &b]));
        assert!(!may_read([&b, &c, &a]) && !may_read([&a, &a, &c]));
    }

    #[test]
    fn which_of_unordered_events_are_lost_is_open_and_how_many_is_not() {
        let names: Vec<String> = (1..=20).map(|number| format!("{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let queue = unordered(&names, 16);
        assert_eq!(queue.length(), 16);
        let events = QueuedEvents::new(DescriptionId(0), queue, 10_000);
        let order = |overflow_at: usize, count: usize| {
            let mut records: Vec<Record> =
                names.iter().rev().take(count).map(|n| record(n)).collect();
            records.insert(overflow_at, Record::overflow());
            joined(&records)
        };
        assert_eq!(events.read(&order(12, 15)), Some(Queue::default()));
        assert!(events.read(&order(11, 15)).is_none());
        assert!(events.read(&order(12, 14)).is_none());
        assert!(events.read(&events.example()).is_some());
    }

    #[test]
    fn the_oldest_events_are_lost_and_the_one_that_overflow_takes_the_place_of() {
        let lost = || vec![record("gone"), record("come"), record("lost")];
        let mut strands = vec![lost()];
        strands.extend((1..=14).map(|number| vec![record(&number.to_string())]));
        let mut queue = Queue::default();
        queue.arrive(strands, 16, &mut Covered::new());
        let events = QueuedEvents::new(DescriptionId(0), queue, 10_000);
        let may_read = |records: Vec<Record>| events.read(&joined(&records)).is_some();
        let behind = |first: &[Record], last: u32| {
            let mut records = first.to_vec();
            records.extend(numbered(1..=last));
            records.push(Record::overflow());
            records
        };
        // The first is lost, and whichever came last.
        assert!(may_read(behind(&lost()[1..], 13)));
        assert!(!may_read(behind(&lost()[2..], 14)));
        assert!(!may_read(behind(&[record("gone"), record("lost")], 13)));
        // With the last of the strand behind all others.
        assert!(may_read(behind(&lost()[1..2], 14)));
    }

    #[test]
    fn what_is_lost_later_may_follow_what_was_read() {
        let mut queue = Queue::default();
        let strands = vec![vec![record("a"), record("b"), record("c")], vec![record("d")]];
        queue.arrive(strands, 4, &mut Covered::new());
        assert!(queue.take(record("a").bytes()));
        queue.arrive(vec![numbered(1..=2)], 4, &mut Covered::new());
        let events = QueuedEvents::new(DescriptionId(0), queue, 10_000);
        let behind = |names: &[&str]| {
            let mut records: Vec<Record> = names.iter().map(|name| record(name)).collect();
            records.push(record("1"));
            records.push(Record::overflow());
            joined(&records)
        };
        assert!(events.read(&behind(&["c", "d"])).is_some());
        assert!(events.read(&behind(&["b", "c"])).is_some());
        assert!(events.read(&behind(&["b", "d"])).is_none());
    }

    #[test]
    fn what_stands_behind_lost_events_may_be_next() {
        let mut queue = Queue::default();
        let strands = vec![vec![record("a"), record("longer")], vec![record("b")]];
        queue.arrive(strands, 2, &mut Covered::new());
        assert_eq!((queue.length(), queue.next_fits(9)), (2, Next::Either));
    }

    #[test]
    fn the_last_of_all_is_the_end_of_a_strand() {
        let mut queue = Queue::default();
        let strand = |short: &str| vec![record(short), record("longer")];
        queue.arrive(vec![strand("a"), strand("b")], 2, &mut Covered::new());
        queue.take(Record::overflow().bytes());
        assert_eq!((queue.length(), queue.next_fits(9)), (1, Next::TooLong));
    }

    #[test]
    fn whether_a_buffer_is_too_small_may_depend_on_the_order() {
        let queue = unordered(&["a", "long"], 16);
        assert_eq!(queue.next_fits(8), Next::TooLong);
        assert_eq!(queue.next_fits(9), Next::Either);
        assert_eq!(queue.next_fits(12), Next::Fits);
        let events = QueuedEvents::new(DescriptionId(0), queue, 9);
        assert!(events.read(&joined(&[record("a")])).is_some());
        assert_eq!(events.example(), joined(&[record("a")]));
    }
}
