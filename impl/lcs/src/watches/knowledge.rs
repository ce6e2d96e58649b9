//! Knowledge that waits to be used: what is learned of it from answers, and what is published
//! meanwhile (PSD-005 §4.1, §5.1; `WATCH-04`).
//!
//! An answer is learned as it arrives, and every change published from then on is carried out on
//! it. So what is known is at any time what the source held when it last answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rsi::{Response, Status, TransactionId};

use crate::change::AcceptedChange;
use crate::name::FoldedName;
use crate::resolve::folded;
use crate::source::{AnyEffect, OnArrival};
use crate::state::{HiveId, KeyId};
use crate::watches::known::{Heard, Known};

/// Knowledge that is kept up to date while it waits to be used; none once it has been.
#[derive(Debug, Default)]
pub struct Knowledge(Mutex<Option<Known>>);

/// The knowledge of everything that waits.
#[derive(Default)]
pub struct UnderWay(Vec<Weak<Knowledge>>);

/// A request whose answer tells something that a difference depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// One value of a key, of all layers.
    Value(KeyId, FoldedName, String),
    /// All values of a key.
    Values(KeyId),
    /// The path entries of one name.
    Name(KeyId, FoldedName, String),
    /// The path entries of all names.
    Children(KeyId),
    /// A key's descriptor.
    Descriptor(KeyId),
}

impl Question {
    /// Of a value by name.
    pub fn value(key: KeyId, name: &str) -> Self {
        Self::Value(key, folded(name.as_bytes()), name.to_owned())
    }

    /// Of the path entries of a name.
    pub fn name(parent: KeyId, name: &str) -> Self {
        Self::Name(parent, FoldedName::new(name), name.to_owned())
    }

    /// As it is asked in a transaction.
    pub fn within(self, transaction: TransactionId) -> Self {
        let within = |key: KeyId| KeyId { transaction: Some(transaction), ..key };
        match self {
            Self::Value(key, folded, name) => Self::Value(within(key), folded, name),
            Self::Values(key) => Self::Values(within(key)),
            Self::Name(key, folded, name) => Self::Name(within(key), folded, name),
            Self::Children(key) => Self::Children(within(key)),
            Self::Descriptor(key) => Self::Descriptor(within(key)),
        }
    }

    /// Has the answer learned in the moment in which it arrives.
    pub fn learned_by(self, knowledge: &Arc<Knowledge>) -> AnyEffect {
        let knowledge = Arc::clone(knowledge);
        OnArrival::effect(move |response| {
            if let Some(known) = knowledge.lock().as_mut() {
                self.learn(known, response);
            }
        })
    }

    /// A key that is not there holds nothing.
    fn learn(&self, known: &mut Known, response: &Response) {
        let is_absent = *response == Response::Failed(Status::NotFound);
        match (self, response) {
            (Self::Value(key, name, _), Response::QueryValues { entries, blankets }) => {
                known.learn_value(*key, name, entries, blankets);
            }
            (Self::Value(key, name, _), _) if is_absent => known.learn_value(*key, name, &[], &[]),
            (Self::Values(key), Response::QueryValues { entries, blankets }) => {
                known.learn_values(*key, entries, blankets);
            }
            (Self::Values(key), _) if is_absent => known.learn_values(*key, &[], &[]),
            (Self::Name(parent, _, name), Response::Lookup { entries, .. }) => {
                known.learn_name(*parent, name, entries);
            }
            (Self::Name(parent, _, name), _) if is_absent => known.learn_name(*parent, name, &[]),
            (Self::Children(key), Response::EnumChildren { children, .. }) => {
                known.learn_children(*key, children);
            }
            (Self::Children(key), _) if is_absent => known.learn_children(*key, &[]),
            (Self::Descriptor(key), Response::ReadKey { sd, .. }) => {
                known.learn_descriptor(*key, sd);
            }
            _ => {}
        }
    }
}

impl Knowledge {
    /// A place for what will be known, told from now on of whatever is published.
    pub fn under_way(known: Known, all: &mut UnderWay) -> Arc<Self> {
        let knowledge = Arc::new(Self(Mutex::new(Some(known))));
        all.0.retain(|other| other.strong_count() > 0);
        all.0.push(Arc::downgrade(&knowledge));
        knowledge
    }

    /// Takes it out of use.
    pub fn take(&self) -> Option<Known> {
        self.lock().take()
    }

    /// What is known, to look at or to add to.
    pub fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Nothing is known any more of the keys of a hive, which a restore has changed.
    pub fn forget(&self, hive: HiveId) {
        for knowledge in self.0.iter().filter_map(Weak::upgrade) {
            if let Some(known) = knowledge.lock().as_mut() {
                known.forget(hive);
            }
        }
    }

    /// Carries out a change that is published.
    pub fn apply(&self, change: &AcceptedChange, heard: Heard) {
        for knowledge in self.0.iter().filter_map(Weak::upgrade) {
            if let Some(known) = knowledge.lock().as_mut() {
                known.overtake(change, heard);
            }
        }
    }
}
