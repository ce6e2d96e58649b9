//! The calls of a block as they are made: each strand's next call when the one before has returned, with
//! the handles that have come of earlier ones.

use std::collections::BTreeMap;

use registry_model::input::{Call, Fd, ProcessId, SourceId};
use registry_model::observation::Observation;
use registry_model::security::Token;

use crate::address_space::AddressSpace;
use crate::expand::{NO_FD, overlapping_call, second_call};
use crate::plan::{Action, ActorIndex, Handle, Parallel};
use crate::target::{Overlapping, RawCall};
use crate::typed::{self, Encoded, Malformed};

/// A call that was made, and when. Positions count the beginnings and ends of calls.
pub(super) struct Made {
    pub(super) strand: usize,
    pub(super) actor: ActorIndex,
    pub(super) call: Call,
    pub(super) answer: Result<Observation, Malformed>,
    pub(super) invoked: u64,
    pub(super) returned: u64,
    /// Unix nanoseconds.
    pub(super) began: u64,
    pub(super) ended: u64,
}

/// Positions at which sources have died.
pub(super) type Deaths = BTreeMap<SourceId, u64>;

/// A block under execution.
pub(super) struct Block<'a> {
    strands: Vec<Running<'a>>,
    /// The process and the token of each actor.
    callers: Vec<(ProcessId, Token)>,
    /// The handles of each actor.
    handles: Vec<BTreeMap<Handle, Fd>>,
    /// What was made, in the order of the returns.
    made: Vec<Made>,
    /// The sources that have died in the course of it, and when.
    deaths: Deaths,
    position: u64,
}

struct Running<'a> {
    actor: ActorIndex,
    left: std::slice::Iter<'a, Action>,
    /// The second call of an action, whose first one has returned.
    second: Option<(&'a Action, Call)>,
    under_way: Option<UnderWay<'a>>,
}

struct UnderWay<'a> {
    action: &'a Action,
    call: Call,
    encoded: Encoded,
    invoked: u64,
    began: u64,
}

impl<'a> Block<'a> {
    pub(super) fn new(
        parallel: &'a Parallel,
        callers: Vec<(ProcessId, Token)>,
        handles: Vec<BTreeMap<Handle, Fd>>,
    ) -> Block<'a> {
        let strands = parallel.strands.iter();
        let strands = strands.map(|strand| Running {
            actor: strand.actor,
            left: strand.actions.iter(),
            second: None,
            under_way: None,
        });
        let (strands, made, deaths) = (strands.collect(), Vec::new(), BTreeMap::new());
        Block { strands, callers, handles, made, deaths, position: 0 }
    }

    /// The calls that have begun and not returned, with their strands and actors.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (usize, ActorIndex, &Call)> {
        self.strands.iter().enumerate().filter_map(|(strand, running)| {
            let under_way = running.under_way.as_ref()?;
            Some((strand, running.actor, &under_way.call))
        })
    }

    /// What was made, in the order of the returns, the handles of each actor, and when which source has died, as far
    /// as that is known.
    pub(super) fn into_parts(self) -> (Vec<Made>, Vec<BTreeMap<Handle, Fd>>, Deaths) {
        (self.made, self.handles, self.deaths)
    }

    fn tick(&mut self) -> u64 {
        self.position += 1;
        self.position
    }

    /// Keeps the fd that a call has opened, and forgets the one that it has closed.
    fn note(&mut self, actor: ActorIndex, action: &Action, answer: &Observation) {
        let handles = &mut self.handles[actor];
        let action = if let Action::Within { action, .. } = action { action } else { action };
        match (action, answer) {
            (
                Action::Open { handle, .. }
                | Action::Create { handle: Some(handle), .. }
                | Action::Begin { handle },
                Observation::Opened { fd, .. } | Observation::Begun { fd },
            ) => {
                handles.insert(handle.clone(), *fd);
            }
            (Action::Close { handle }, _) => {
                handles.remove(handle);
            }
            _ => {}
        }
    }
}

impl Overlapping for Block<'_> {
    fn callers(&self) -> Vec<(ProcessId, Token)> {
        self.strands.iter().map(|strand| self.callers[strand.actor].clone()).collect()
    }

    fn begin(&mut self, strand: usize, now: u64) -> Option<(RawCall, AddressSpace)> {
        let running = self.strands.get_mut(strand)?;
        let handles = &self.handles[running.actor];
        let fd_of = |handle: &Handle| handles.get(handle).copied().unwrap_or(NO_FD);
        let (action, call) = match running.second.take() {
            Some(second) => second,
            None => {
                let action = running.left.next()?;
                (action, overlapping_call(action, &fd_of)?)
            }
        };
        let mut encoded = typed::encode(&call);
        let (raw, memory) = (encoded.call.clone(), std::mem::take(&mut encoded.memory));
        let invoked = self.tick();
        let under_way = UnderWay { action, call, encoded, invoked, began: now };
        self.strands[strand].under_way = Some(under_way);
        Some((raw, memory))
    }

    fn died(&mut self, source: SourceId) {
        let position = self.tick();
        self.deaths.entry(source).or_insert(position);
    }

    fn end(&mut self, strand: usize, now: u64, result: i64, memory: AddressSpace) {
        let returned = self.tick();
        let Some(running) = self.strands.get_mut(strand) else { return };
        let actor = running.actor;
        let Some(UnderWay { action, call, encoded, invoked, began }) = running.under_way.take()
        else {
            return;
        };
        let answer = encoded.decode(result, &memory);
        if let Ok(answer) = &answer {
            running.second = second_call(action, &call, answer).map(|second| (action, second));
            self.note(actor, action, answer);
        }
        let made = Made { strand, actor, call, answer, invoked, returned, began, ended: now };
        self.made.push(made);
    }
}
