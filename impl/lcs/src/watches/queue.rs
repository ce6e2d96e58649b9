//! The queue of one watch: bounded, with a mark where records were lost (PSD-005 §4.2; `DISP-52`..
//! `DISP-56`, D-71).

use std::collections::VecDeque;

use abi::Errno;

use crate::watches::record;

/// Records that wait to be read.
#[derive(Debug, Default)]
pub struct EventQueue {
    /// `None` stands for OVERFLOW, of which there is at most one.
    records: VecDeque<Option<Vec<u8>>>,
}

impl EventQueue {
    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Queues a record. In a full queue the oldest one makes room; the first time an OVERFLOW takes
    /// the place of what arrives.
    pub fn push(&mut self, record: Vec<u8>, limit: usize) {
        let full = self.records.len() >= limit;
        if full && !self.has_overflow() {
            self.overflow(limit);
        } else {
            self.make_room(limit);
            self.records.push_back(Some(record));
        }
    }

    /// Marks that something was lost, unless that is marked already.
    pub fn overflow(&mut self, limit: usize) {
        if !self.has_overflow() {
            self.make_room(limit);
            self.records.push_back(None);
        }
    }

    fn has_overflow(&self) -> bool {
        self.records.iter().any(Option::is_none)
    }

    /// Drops the oldest records, OVERFLOW apart, until one more fits.
    fn make_room(&mut self, limit: usize) {
        while self.records.len() >= limit.max(1) {
            let Some(oldest) = self.records.iter().position(Option::is_some) else { return };
            self.records.remove(oldest);
        }
    }

    /// The whole records that `capacity` bytes hold, and how many they are.
    ///
    /// # Errors
    /// EAGAIN when there is none, EINVAL when the first does not fit.
    pub fn peek(&self, capacity: usize) -> Result<(Vec<u8>, usize), Errno> {
        if self.records.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let (mut bytes, mut count) = (Vec::new(), 0);
        for record in &self.records {
            let record = record.clone().unwrap_or_else(record::overflow);
            if bytes.len() + record.len() > capacity {
                break;
            }
            bytes.extend(record);
            count += 1;
        }
        if count == 0 { Err(Errno::EINVAL) } else { Ok((bytes, count)) }
    }

    /// Takes the first `count` records away.
    pub fn remove(&mut self, count: usize) {
        self.records.drain(..count.min(self.records.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16;

    fn filled(count: u8) -> EventQueue {
        let mut queue = EventQueue::default();
        for index in 1..=count {
            queue.push(vec![index], LIMIT);
        }
        queue
    }

    fn content(queue: &EventQueue) -> Vec<u8> {
        queue.records.iter().map(|record| record.as_ref().map_or(0, |bytes| bytes[0])).collect()
    }

    #[test]
    fn a_full_queue_marks_the_loss_once_and_goes_on() {
        let expected = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 18, 19, 20];
        assert_eq!(content(&filled(20)), expected);
    }

    #[test]
    fn an_overflow_keeps_its_place_and_stays_alone() {
        let mut queue = filled(2);
        queue.overflow(LIMIT);
        queue.push(vec![3], LIMIT);
        queue.overflow(LIMIT);
        assert_eq!(content(&queue), [1, 2, 0, 3]);
    }

    #[test]
    fn an_overflow_that_has_been_read_may_come_again() {
        let mut queue = filled(17);
        queue.remove(16);
        assert!(queue.is_empty());
        queue.overflow(LIMIT);
        assert_eq!(content(&queue), [0]);
    }

    #[test]
    fn a_lower_limit_is_kept_from_the_next_record_on() {
        let mut queue = filled(16);
        queue.push(vec![17], 3);
        assert_eq!(content(&queue), [15, 16, 0]);
        queue.push(vec![18], 2);
        assert_eq!(content(&queue), [0, 18]);
    }

    #[test]
    fn as_many_whole_records_come_as_fit() {
        let mut queue = EventQueue::default();
        queue.push(vec![1; 10], LIMIT);
        queue.push(vec![2; 10], LIMIT);
        assert_eq!(queue.peek(9), Err(Errno::EINVAL));
        assert_eq!(queue.peek(19), Ok((vec![1; 10], 1)));
        assert_eq!(queue.peek(20).map(|(_, count)| count), Ok(2));
    }
}
