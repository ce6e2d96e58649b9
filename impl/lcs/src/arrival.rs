//! What the success of a mutation does in the moment in which it arrives: its events, its orphans,
//! the step of the generation (PSD-005 §4.1, §4.2, §6.3; `WATCH-04`, D-70).
//!
//! A caller comes to run some time after its answer has arrived. If it told of its mutation only
//! then, the answer to a later one might be told of first. So what has to be in order is done at
//! the source's connection, and the caller goes on from what that has left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsi::{Request, Response};

use crate::env::Env;
use crate::kernel::Kernel;
use crate::late::Told;
use crate::mutation::Retained;
use crate::source::{AnyEffect, ResponseEffect};
use crate::state::KeyId;
use crate::watches::Scale;

/// What an arrival leaves for one who goes on from there: the caller, or whoever does so in its place.
#[derive(Debug)]
pub struct Handover<T>(Arc<Mutex<Option<T>>>);

impl<T> Handover<T> {
    /// Leaves it.
    pub fn leave(&self, left: T) {
        *self.lock() = Some(left);
    }

    /// Takes it, unless somebody else has or nothing has arrived.
    pub fn take(&self) -> Option<T> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Handover<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The answer to a mutation's request.
struct Done<E: Env> {
    kernel: Arc<Kernel<E>>,
    retained: Retained,
    /// Whether the mutation takes effect with it, and not with a later one if its caller goes on.
    is_told: bool,
}

/// The answer to the record of a new key. A refused one leaves a path entry that leads nowhere, which
/// `take_back` removes.
struct Stored<E: Env> {
    kernel: Arc<Kernel<E>>,
    retained: Retained,
    take_back: Request,
    /// Whether the key is told of as soon as it is there.
    is_told: bool,
}

impl<E: Env> ResponseEffect for Done<E> {
    fn arrive(&mut self, response: &Response, awaited: bool) {
        if awaited && self.is_told && *response == Response::Done {
            self.kernel.enter(&self.retained);
        }
    }

    fn untaken(self: Box<Self>, response: Response) {
        if response == Response::Done {
            self.kernel.begin_operation().take_effect(self.retained);
        }
    }
}

impl<E: Env> ResponseEffect for Stored<E> {
    fn arrive(&mut self, response: &Response, awaited: bool) {
        if awaited && self.is_told && *response == Response::Done {
            self.kernel.enter(&self.retained);
        }
    }

    fn untaken(self: Box<Self>, response: Response) {
        let Self { retained, take_back, .. } = *self;
        let kernel = self.kernel.begin_operation();
        match response {
            Response::Done => kernel.take_effect(retained),
            _ => kernel.clone().spawn(async move {
                kernel.have_done(None, retained.hive.slot, take_back).await;
            }),
        }
    }
}

impl<E: Env> Kernel<E> {
    /// What the answer to a mutation does, whenever it comes. A new key waits for its record.
    pub fn mutation_effect(self: &Arc<Self>, retained: Retained) -> AnyEffect {
        let is_told = retained.follow_up.create_key.is_none();
        Box::new(Done { kernel: Arc::clone(self), retained, is_told })
    }

    /// As [`Kernel::mutation_effect`] where the mutation is part of another one, unless that is given up.
    pub fn partial_effect(self: &Arc<Self>, retained: Retained) -> AnyEffect {
        Box::new(Done { kernel: Arc::clone(self), retained, is_told: false })
    }

    /// As [`Kernel::mutation_effect`] of the record of a new key.
    pub fn record_effect(
        self: &Arc<Self>,
        retained: Retained,
        take_back: Request,
        is_told: bool,
    ) -> AnyEffect {
        Box::new(Stored { kernel: Arc::clone(self), retained, take_back, is_told })
    }

    /// A mutation has taken place, and its caller waits for the answer: all that is in the order of
    /// the mutations, and the generation unless it steps with a refresh.
    fn enter(&self, retained: &Retained) {
        let Retained { hive, told, follow_up, refreshes, .. } = retained;
        let mut state = self.state();
        let orphans = told.orphans().unwrap_or_else(|| follow_up.orphan.into_iter().collect());
        self.publish_in(&mut state, told, Scale::One);
        let orphans = orphans.into_iter().map(|guid| KeyId::in_hive(*hive, guid));
        let unopened = orphans.filter(|key| state.orphan_key(*key)).collect();
        if !refreshes {
            state.step_generation(*hive);
        }
        retained.entered.leave(Told { unopened, bears: *refreshes, ..Told::default() });
    }
}
