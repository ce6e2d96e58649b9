//! Sequence numbers over all sources (PSD-005 §2.7, D-31).

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::rules::{Failure, Held, Rule};

/// Whether calls overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// One call ends before the next begins: numbers are sent in the order of allocation.
    OneAtATime,
    /// A number may be sent after a later one; it is still given out once.
    Concurrent,
}

/// What is known of the counter since the last reboot.
#[derive(Clone, Debug)]
pub(super) struct Sequences {
    calls: Calls,
    reboots: u32,
    /// What had been given out when calls began to overlap; all that they take is above that.
    before_overlap: u64,
    /// The highest maximum that each source reported when it first registered.
    floors: BTreeMap<SourceId, u64>,
    highest_reported: u64,
    highest: u64,
    /// What was sent, where the order does not tell.
    used: BTreeSet<u64>,
    last_source: Option<SourceId>,
    has_failed: bool,
    has_timed_out: bool,
    has_registered_late: bool,
}

impl Sequences {
    pub(super) fn new(calls: Calls) -> Sequences {
        Sequences {
            calls,
            reboots: 0,
            before_overlap: 0,
            floors: BTreeMap::new(),
            highest_reported: 0,
            highest: 0,
            used: BTreeSet::new(),
            last_source: None,
            has_failed: false,
            has_timed_out: false,
            has_registered_late: false,
        }
    }

    /// Calls begin to overlap.
    pub(super) fn overlap_began(&mut self) {
        self.calls = Calls::Concurrent;
        self.before_overlap = self.highest;
        self.used.clear();
    }

    /// Calls overlap no more.
    pub(super) fn overlap_ended(&mut self) {
        self.calls = Calls::OneAtATime;
        self.before_overlap = 0;
        self.used.clear();
    }

    /// Forgets what the counter gave out: numbers above the highest surviving one may come again.
    pub(super) fn rebooted(&mut self) {
        *self = Sequences { reboots: self.reboots + 1, ..Sequences::new(self.calls) };
    }

    pub(super) fn registered(&mut self, source: SourceId, max_sequence: u64) {
        self.floors.entry(source).or_insert(max_sequence);
        self.highest_reported = self.highest_reported.max(max_sequence);
        self.has_registered_late |= self.last_source.is_some();
    }

    /// A number that came from somewhere else than the counter.
    pub(super) fn foreign(&mut self, number: u64) {
        self.highest = self.highest.max(number);
    }

    /// A request that carried a number was refused or lost.
    pub(super) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// A request that carried a number was not answered in time.
    pub(super) fn timed_out(&mut self) {
        self.has_timed_out = true;
    }

    /// Checks a number that a request takes under `rule`.
    pub(super) fn take(
        &mut self,
        held: &mut Held,
        source: SourceId,
        rule: Rule,
        number: u64,
    ) -> Result<(), Failure> {
        let last = self.highest;
        held.require(rule, number != 0, || "the sequence number is 0".to_owned())?;
        let is_new = self.calls == Calls::OneAtATime || self.used.insert(number);
        held.require(Rule::SequenceUnique, is_new, || format!("{number} was sent before"))?;
        let floor = match self.calls {
            Calls::OneAtATime => self.highest_reported,
            Calls::Concurrent => self.floors.get(&source).copied().unwrap_or_default(),
        };
        if number <= floor {
            let message = format!("{number} is not above the reported maximum {floor}");
            return Err(Failure::new(Rule::SequenceAboveStored, message));
        }
        self.mark_origin(held, (last, floor));
        if self.last_source.is_some() {
            let last_for_certain = match self.calls {
                Calls::OneAtATime => last,
                Calls::Concurrent => self.before_overlap,
            };
            let in_order = number > last_for_certain;
            held.require(Rule::SequenceOrder, in_order, || {
                format!("{number} after {last_for_certain}")
            })?;
            if last.checked_add(1) == Some(number) {
                held.mark(Rule::SequenceStep);
            }
        }
        if self.last_source.is_some_and(|other| other != source) {
            held.mark(Rule::SequenceShared);
        }
        self.highest = last.max(number);
        self.last_source = Some(source);
        Ok(())
    }

    /// The highest number that was given out or reported.
    pub(super) fn highest(&self) -> u64 {
        self.highest.max(self.highest_reported)
    }

    /// Checks a number that a restore sends: above all that were given out before the restore, and in
    /// whatever order among its own.
    pub(super) fn restored(
        &mut self,
        held: &mut Held,
        source: SourceId,
        floor: u64,
        number: u64,
    ) -> Result<(), Failure> {
        self.used.insert(number);
        self.highest = self.highest.max(number);
        self.last_source = Some(source);
        held.require(Rule::RestoreSequence, number > floor, || {
            format!("{number} is not above {floor}")
        })
    }

    /// A number shows what was reported if it is the first since then that comes from above it.
    fn mark_origin(&self, held: &mut Held, (last, floor): (u64, u64)) {
        if floor > 0 && floor >= last {
            held.mark(Rule::SequenceAboveStored);
        }
        if floor > 0 && self.reboots > 0 {
            held.mark(Rule::SequenceAfterReboot);
        }
        if self.has_registered_late {
            held.mark(Rule::SequenceAfterRegistration);
        }
        if self.has_failed {
            held.mark(Rule::SequenceAfterFailure);
        }
        if self.has_timed_out {
            held.mark(Rule::SequenceAfterTimeout);
        }
    }

    /// Checks a number that a source returns: it was reported or sent before.
    pub(super) fn stored(&self, held: &mut Held, number: u64) -> Result<(), Failure> {
        let highest = self.highest();
        held.require(Rule::StoredSequence, number <= highest, || {
            format!("an entry has {number}, and the highest number given out is {highest}")
        })
    }
}
