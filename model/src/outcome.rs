//! Which answers conform to the specification, and what is learnt from one that does.
//!
//! An outcome is a pattern: what the text leaves to the target (an fd number, a time, the order
//! of an enumeration) is a symbol, and accepting an answer binds the symbols in the state that
//! follows. There is no tolerance beside that.

use std::sync::Arc;

use crate::backup::streams::{StreamId, WrittenBytes};
use crate::database::{Database, Guid, HiveId, KeyRecord, Map, Time};
use crate::errno::Errno;
use crate::input::{Fd, ProcessId, UnixTime};
use crate::names::FoldedName;
use crate::observation::{KeyInfo, NamedValue, Observation, PollEvents, Readiness, Sizes};
use crate::state::{Enumeration, Generation, OpenKey, State, Witness};
use crate::step::Step;
use crate::transactions::TransactionId;
use crate::watches::QueuedEvents;

/// Which answers to a call conform.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The call fails, and the errno is not ERANGE.
    Failed(Errno),
    /// The call fails with ERANGE and reports these sizes.
    TooSmall(Sizes),
    /// Success without output.
    Done,
    /// A new key fd: any number from 0 that is not open in the process.
    Opened(Opened),
    /// The effective value.
    Value {
        /// The type code.
        value_type: u32,
        /// The data.
        data: Arc<[u8]>,
        /// Sequence number of the effective entry.
        sequence: u64,
        /// Its layer.
        layer: String,
    },
    /// All effective values, sorted here, in any order there.
    Values(Vec<NamedValue>),
    /// One entry of an enumeration by index.
    OneOf(OneOf),
    /// Key info.
    KeyInfo(KeyInfoPattern),
    /// A self-relative SD.
    Security(Vec<u8>),
    /// A passed fd: any number from 0 that is not open in the process that gets it.
    Passed(Opened),
    /// A new transaction fd: any number from 0 that is not open in the process.
    Begun(Begun),
    /// A passed transaction fd: any number from 0 that is not open in the process that gets it.
    TransactionPassed(Begun),
    /// Watch events, byte for byte, in one of the orders that they may have.
    Events(QueuedEvents),
    /// What poll says of a key fd or a transaction fd.
    Polled(PollEvents),
    /// The state of a transaction.
    TransactionStatus {
        /// A `REG_TXN_*` code.
        state: u32,
        /// The errno of later uses, or 0.
        terminal_errno: u32,
    },
    /// An fd of a new stream: any number from 0 that is not open in the process.
    StreamOpened(StreamFd),
    /// A passed stream: any number from 0 that is not open in the process that gets it.
    StreamPassed(StreamFd),
    /// The bytes that were written to a stream.
    Stream(WrittenBytes),
    /// What poll says of a source device.
    Ready(Readiness),
    /// The decision depends on something that this edition parses and does not judge, in words: a
    /// condition, a confined token and the like. No answer is compared, and nothing after it can be.
    Outside(&'static str),
    /// No answer conforms so early: the call waits for a write lock that a transaction holds.
    Waits,
    /// There is no answer: something happened that nobody called.
    Nothing,
}

/// A new key fd.
#[derive(Clone, Debug)]
pub struct Opened {
    pub(crate) process: ProcessId,
    pub(crate) key: OpenKey,
    /// What `reg_create_key` says it did.
    pub disposition: Option<u32>,
}

/// A new transaction fd.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub(crate) process: ProcessId,
    pub(crate) transaction: TransactionId,
}

/// An fd of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamFd {
    pub(crate) process: ProcessId,
    pub(crate) stream: StreamId,
}

/// An entry of an enumeration by index, of which the order is undefined.
#[derive(Clone, Debug)]
pub struct OneOf {
    pub(crate) enumeration: Enumeration,
    pub(crate) index: u32,
    /// The entries that the index may stand for.
    pub choices: Vec<Choice>,
}

/// One entry that an index may stand for.
#[derive(Clone, Debug)]
pub struct Choice {
    pub(crate) id: FoldedName,
    /// The answer if the index stands for this entry.
    pub selected: Selected,
}

/// The answer to an enumeration that has hit upon an entry.
#[derive(Clone, Debug)]
pub enum Selected {
    /// ERANGE.
    TooSmall(Sizes),
    /// Another failure, which concerns this entry alone.
    Failed(Errno),
    /// A value.
    Value(NamedValue),
    /// A subkey.
    Subkey {
        /// The child's key.
        key: Guid,
        /// Its name.
        name: Vec<u8>,
        /// When it was last written.
        last_write_time: Time,
        /// How many subkeys it has.
        subkey_count: u32,
        /// How many values it has.
        value_count: u32,
    },
}

/// Key info in which the time and the generation may not be known yet.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of the observed KeyInfo")]
pub struct KeyInfoPattern {
    pub(crate) hive: HiveId,
    pub(crate) key: Guid,
    pub name: Vec<u8>,
    pub last_write_time: Time,
    pub subkey_count: u32,
    pub value_count: u32,
    pub max_subkey_name_len: u32,
    pub max_value_name_len: u32,
    pub max_value_data_size: u32,
    pub sd_size: u32,
    pub volatile_key: bool,
    pub symlink: bool,
    pub generation: Generation,
}

/// An answer that does not conform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What would have conformed.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl Step {
    /// The state after this step was answered with `observation`.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`] if the answer does not conform to the outcome.
    pub fn accept(&self, observation: &Observation) -> Result<State, Mismatch> {
        self.bind(observation).ok_or_else(|| Mismatch {
            expected: self.outcome.to_string(),
            got: observation.to_string(),
        })
    }

    fn bind(&self, observation: &Observation) -> Option<State> {
        let unchanged = |conforms: bool| conforms.then(|| self.next.clone());
        match (&self.outcome, observation) {
            (Outcome::Failed(expected), Observation::Failed(got)) => unchanged(expected == got),
            (Outcome::TooSmall(expected), Observation::TooSmall(got)) => unchanged(expected == got),
            (Outcome::Done, Observation::Done) => unchanged(true),
            (Outcome::Ready(expected), Observation::Ready(got)) => unchanged(expected == got),
            (Outcome::Events(expected), Observation::Events(got)) => {
                let rest = expected.read(got)?;
                let mut next = unchanged(true)?;
                next.was_read(expected.description(), rest);
                Some(next)
            }
            (Outcome::Polled(expected), Observation::Polled(got)) => unchanged(expected == got),
            (
                Outcome::TransactionStatus { state, terminal_errno },
                Observation::TransactionStatus { state: got, terminal_errno: got_errno },
            ) => unchanged(state == got && terminal_errno == got_errno),
            (Outcome::Opened(opened), Observation::Opened { fd, disposition }) => {
                let fresh = *fd >= 0 && !self.next.is_fd(opened.process, *fd);
                let mut next = unchanged(fresh && opened.disposition == *disposition)?;
                let key = OpenKey { description: next.fresh_description(), ..opened.key.clone() };
                next.open_keys.insert_mut((opened.process, *fd), key);
                Some(next)
            }
            (
                Outcome::Value { value_type, data, sequence, layer },
                Observation::Value {
                    value_type: got_type,
                    data: got_data,
                    sequence: got_sequence,
                    layer: got_layer,
                },
            ) => unchanged(
                value_type == got_type
                    && data[..] == got_data[..]
                    && sequence == got_sequence
                    && layer.as_bytes() == &got_layer[..],
            ),
            (Outcome::Values(expected), Observation::Values(got)) => {
                let mut got = got.clone();
                got.sort();
                unchanged(*expected == got)
            }
            (Outcome::Security(expected), Observation::Security(got)) => unchanged(expected == got),
            (Outcome::Passed(opened), Observation::Passed { fd }) => {
                let fresh = *fd >= 0 && !self.next.is_fd(opened.process, *fd);
                let mut next = unchanged(fresh)?;
                next.open_keys.insert_mut((opened.process, *fd), opened.key.clone());
                Some(next)
            }
            (Outcome::Begun(begun), Observation::Begun { fd })
            | (Outcome::TransactionPassed(begun), Observation::Passed { fd }) => {
                let fresh = *fd >= 0 && !self.next.is_fd(begun.process, *fd);
                let mut next = unchanged(fresh)?;
                next.transaction_fds.insert_mut((begun.process, *fd), begun.transaction);
                Some(next)
            }
            (Outcome::StreamOpened(new), Observation::StreamOpened { fd })
            | (Outcome::StreamPassed(new), Observation::Passed { fd }) => {
                let fresh = *fd >= 0 && !self.next.is_fd(new.process, *fd);
                let mut next = unchanged(fresh)?;
                next.stream_fds.insert_mut((new.process, *fd), new.stream);
                Some(next)
            }
            (Outcome::Stream(expected), Observation::Stream(got)) => expected.bind(&self.next, got),
            (Outcome::OneOf(one), _) => self.bind_choice(one, observation),
            (Outcome::KeyInfo(pattern), Observation::KeyInfo(got)) => {
                let mut next = unchanged(pattern.admits(got))?;
                next.bind_time(pattern.hive, pattern.key, got.last_write_time);
                next.change_generation(pattern.hive, |_| Generation::Exactly(got.hive_generation));
                if let Some(hive) = next.hives.get_mut(&pattern.hive) {
                    hive.told = Witness(Some((pattern.key, got.hive_generation)));
                }
                Some(next)
            }
            _ => None,
        }
    }

    fn bind_choice(&self, one: &OneOf, observation: &Observation) -> Option<State> {
        let mut matching = one.choices.iter().filter(|choice| choice.selected.admits(observation));
        let choice = matching.next()?;
        let mut next = self.next.clone();
        if let (
            Selected::Subkey { key, .. },
            Observation::EnumeratedSubkey { last_write_time, .. },
        ) = (&choice.selected, observation)
        {
            let Enumeration { hive, transaction, .. } = &one.enumeration;
            next.bind_time_in(*transaction, *hive, *key, *last_write_time);
        }
        // Sizes alone may fit several entries; then nothing is learnt about the index.
        if matching.next().is_none() {
            let seen = next.enumerations.get(&one.enumeration).cloned();
            let seen = seen.unwrap_or_else(Map::new_sync).insert(one.index, choice.id.clone());
            next.enumerations.insert_mut(one.enumeration.clone(), seen);
        }
        Some(next)
    }
}

impl Outcome {
    /// One answer that conforms, for whoever has no target at hand. `fresh_fd` is the number that
    /// a new fd gets.
    ///
    /// `None` if there is no answer at all, as after an environment input.
    pub fn example(&self, fresh_fd: Fd) -> Option<Observation> {
        Some(match self {
            Outcome::Failed(errno) => Observation::Failed(*errno),
            Outcome::TooSmall(sizes) => Observation::TooSmall(*sizes),
            Outcome::Done => Observation::Done,
            Outcome::Opened(opened) => {
                Observation::Opened { fd: fresh_fd, disposition: opened.disposition }
            }
            Outcome::Value { value_type, data, sequence, layer } => Observation::Value {
                value_type: *value_type,
                data: data.to_vec(),
                sequence: *sequence,
                layer: layer.as_bytes().to_vec(),
            },
            Outcome::Values(values) => Observation::Values(values.clone()),
            Outcome::OneOf(one) => one.choices.first()?.selected.example(),
            Outcome::KeyInfo(pattern) => Observation::KeyInfo(pattern.example()),
            Outcome::Security(descriptor) => Observation::Security(descriptor.clone()),
            Outcome::Passed(_) => Observation::Passed { fd: fresh_fd },
            Outcome::Begun(_) => Observation::Begun { fd: fresh_fd },
            Outcome::TransactionPassed(_) => Observation::Passed { fd: fresh_fd },
            Outcome::Events(events) => Observation::Events(events.example()),
            Outcome::Polled(events) => Observation::Polled(*events),
            Outcome::TransactionStatus { state, terminal_errno } => {
                Observation::TransactionStatus { state: *state, terminal_errno: *terminal_errno }
            }
            Outcome::StreamOpened(_) => Observation::StreamOpened { fd: fresh_fd },
            Outcome::StreamPassed(_) => Observation::Passed { fd: fresh_fd },
            Outcome::Stream(written) => Observation::Stream(written.example()),
            Outcome::Ready(readiness) => Observation::Ready(*readiness),
            Outcome::Outside(_) | Outcome::Waits | Outcome::Nothing => return None,
        })
    }
}

impl State {
    pub(crate) fn bind_time(&mut self, hive: HiveId, key: Guid, time: UnixTime) {
        bind_time(self.knowledge_mut(hive), key, time);
    }

    /// Inside a transaction nothing is learnt but of what it has itself.
    fn bind_time_in(
        &mut self,
        transaction: Option<TransactionId>,
        hive: HiveId,
        key: Guid,
        time: UnixTime,
    ) {
        match transaction {
            Some(_) => self.change_open_contents(hive, |contents| bind_time(contents, key, time)),
            None => self.bind_time(hive, key, time),
        }
    }
}

fn bind_time(database: &mut Database, key: Guid, time: UnixTime) {
    let record = database.keys.get(&key);
    if let Some(record) = record.filter(|record| record.last_write_time != Time::At(time)) {
        let record = KeyRecord { last_write_time: Time::At(time), ..record.clone() };
        database.keys.insert_mut(key, record);
    }
}

impl Selected {
    fn example(&self) -> Observation {
        match self {
            Selected::TooSmall(sizes) => Observation::TooSmall(*sizes),
            Selected::Failed(errno) => Observation::Failed(*errno),
            Selected::Value(value) => Observation::EnumeratedValue(value.clone()),
            Selected::Subkey { name, last_write_time, subkey_count, value_count, .. } => {
                Observation::EnumeratedSubkey {
                    name: name.clone(),
                    last_write_time: last_write_time.latest(),
                    subkey_count: *subkey_count,
                    value_count: *value_count,
                }
            }
        }
    }

    fn admits(&self, observation: &Observation) -> bool {
        match (self, observation) {
            (Selected::TooSmall(sizes), Observation::TooSmall(got)) => sizes == got,
            (Selected::Failed(errno), Observation::Failed(got)) => errno == got,
            (Selected::Value(value), Observation::EnumeratedValue(got)) => value == got,
            (
                Selected::Subkey { name, last_write_time, subkey_count, value_count, .. },
                Observation::EnumeratedSubkey {
                    name: got_name,
                    last_write_time: got_time,
                    subkey_count: got_subkeys,
                    value_count: got_values,
                },
            ) => {
                name == got_name
                    && last_write_time.admits(*got_time)
                    && subkey_count == got_subkeys
                    && value_count == got_values
            }
            _ => false,
        }
    }
}

impl KeyInfoPattern {
    fn example(&self) -> KeyInfo {
        self.with(self.last_write_time.latest(), self.generation.lowest())
    }

    fn with(&self, last_write_time: UnixTime, hive_generation: u64) -> KeyInfo {
        KeyInfo {
            name: self.name.clone(),
            last_write_time,
            subkey_count: self.subkey_count,
            value_count: self.value_count,
            max_subkey_name_len: self.max_subkey_name_len,
            max_value_name_len: self.max_value_name_len,
            max_value_data_size: self.max_value_data_size,
            sd_size: self.sd_size,
            volatile_key: u8::from(self.volatile_key),
            symlink: u8::from(self.symlink),
            hive_generation,
        }
    }

    fn admits(&self, got: &KeyInfo) -> bool {
        self.with(got.last_write_time, got.hive_generation) == *got
            && self.last_write_time.admits(got.last_write_time)
            && self.generation.admits(got.hive_generation)
    }
}
