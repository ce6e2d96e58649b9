//! What a source says of a key that never changes: its flags, its name and its parent (PSD-005 §2.3,
//! §7.2, §7.3).
//!
//! Learns from what was created and returned outside of transactions alone, since an abort takes the
//! rest away. Responses may come in any order (RSI-07).

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::frame::{Guid, Request};
use super::keys::shown;
use super::rules::{Failure, Held, Rule};

/// The volatile and the symlink flag.
pub(super) type Flags = (u8, u8);

/// Where a key record is: at which source, and its GUID.
type Place = (SourceId, Guid);

/// When a request was sent, counted in requests and in what was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What each source has said of its keys.
///
/// A GUID may come again after its key was dropped, with other fields. So nothing is learnt of a key
/// while a request to drop it is in flight, nor between the requests and the end of a transaction that
/// drops or makes it, nor from what was asked before that was over: it may have been answered before.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    flags: BTreeMap<Place, Flags>,
    names: BTreeMap<Place, (Guid, Vec<u8>)>,
    /// The keys that a source has returned on its connection and that were not dropped since.
    present: BTreeSet<Place>,
    now: Moment,
    /// When what was known of a key was last forgotten.
    forgotten: BTreeMap<Place, Moment>,
    /// How many requests to drop each key are in flight; never 0.
    dropping: BTreeMap<Place, usize>,
    /// The keys that each open transaction drops or makes.
    enlisted: BTreeMap<(SourceId, u64), BTreeSet<Guid>>,
}

impl Records {
    /// A request is sent.
    pub(super) fn sent(
        &mut self,
        source: SourceId,
        transaction: u64,
        request: &Request<'_>,
    ) -> Moment {
        match (request, transaction) {
            (Request::DropKey { guid }, 0) => {
                self.forget((source, *guid));
                *self.dropping.entry((source, *guid)).or_default() += 1;
            }
            (Request::DropKey { guid } | Request::CreateKey { guid, .. }, 1..) => {
                self.forget((source, *guid));
                self.enlisted.entry((source, transaction)).or_default().insert(*guid);
            }
            _ => {}
        }
        self.now.0 += 1;
        self.now
    }

    /// A request to drop a key outside of transactions was answered.
    pub(super) fn drop_answered(&mut self, place: Place) {
        if let Some(left) = self.dropping.remove(&place)
            && left > 1
        {
            self.dropping.insert(place, left - 1);
        }
        self.forget(place);
    }

    /// A transaction is over.
    pub(super) fn transaction_ended(&mut self, source: SourceId, transaction: u64) {
        for guid in self.enlisted.remove(&(source, transaction)).unwrap_or_default() {
            self.forget((source, guid));
        }
    }

    /// A key was created outside of transactions, by a request of that moment.
    pub(super) fn created(
        &mut self,
        (place, asked): (Place, Moment),
        flags: Flags,
        (parent, name): (Guid, &[u8]),
    ) {
        if self.may_learn(place, asked) {
            self.flags.insert(place, flags);
            self.names.insert(place, (parent, name.to_vec()));
            self.present.insert(place);
        }
    }

    /// What a source has lost is not known, nor whether a transaction was committed.
    pub(super) fn disconnected(&mut self, source: SourceId) {
        self.present.retain(|(of, _)| *of != source);
        let changing: Vec<Place> = self.dropping.keys().copied().collect();
        let enlisted = self.enlisted.iter();
        let enlisted = enlisted.flat_map(|((of, _), guids)| guids.iter().map(|guid| (*of, *guid)));
        let unknown: Vec<Place> = changing.into_iter().chain(enlisted).collect();
        for place in unknown.into_iter().filter(|(of, _)| *of == source) {
            self.forget(place);
        }
        self.dropping.retain(|(of, _), _| *of != source);
        self.enlisted.retain(|(of, _), _| *of != source);
    }

    /// Whether a key is there.
    pub(super) fn is_present(&self, place: Place) -> bool {
        self.present.contains(&place)
    }

    /// Whether a key is there, and was not dropped since this moment.
    pub(super) fn is_present_since(&self, place: Place, asked: Moment) -> bool {
        self.is_present(place) && self.may_learn(place, asked)
    }

    /// A source returned the flags of a key outside of transactions, for a request of that moment.
    pub(super) fn returned(
        &mut self,
        held: &mut Held,
        (place, asked): (Place, Moment),
        flags: Flags,
    ) -> Result<(), Failure> {
        if !self.may_learn(place, asked) {
            return Ok(());
        }
        self.present.insert(place);
        let Some(known) = self.flags.insert(place, flags) else { return Ok(()) };
        held.require(Rule::ImmutableFields, known == flags, || {
            format!("the volatile and symlink flags of {} were {known:?}", shown(place.1))
        })
    }

    /// A source returned the record of a key, hive roots apart, for a request of that moment.
    pub(super) fn read(
        &mut self,
        held: &mut Held,
        (place, asked): (Place, Moment),
        (parent, name): (Guid, &[u8]),
    ) -> Result<(), Failure> {
        if !self.may_learn(place, asked) {
            return Ok(());
        }
        let Some(known) = self.names.insert(place, (parent, name.to_vec())) else { return Ok(()) };
        held.require(Rule::ImmutableFields, known == (parent, name.to_vec()), || {
            let (parent, name) = (shown(known.0), known.1.escape_ascii());
            format!("{} was {name} below {parent}", shown(place.1))
        })
    }

    /// Whether the answer to a request of that moment is of the key as it is now.
    fn may_learn(&self, place: Place, asked: Moment) -> bool {
        let (source, guid) = place;
        let mut of_source = self.enlisted.range((source, 0)..=(source, u64::MAX));
        !self.dropping.contains_key(&place)
            && self.forgotten.get(&place).is_none_or(|at| *at < asked)
            && !of_source.any(|(_, guids)| guids.contains(&guid))
    }

    fn forget(&mut self, place: Place) {
        self.flags.remove(&place);
        self.names.remove(&place);
        self.present.remove(&place);
        self.now.0 += 1;
        self.forgotten.insert(place, self.now);
    }
}
