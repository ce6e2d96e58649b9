//! What an execution notes of its calls beside their judgement: what they came to, what they read, in which
//! situations they were made, and whether they may have changed who may do what.

use registry_model::Contest;
use registry_model::errno::Errno;
use registry_model::input::{Call, Input};
use registry_model::observation::Observation;

use super::Execution;
use crate::plan::ActorIndex;
use crate::statistics::Statistics;
use crate::target::RawCall;
use crate::typed;

/// The number of `REG_IOC_SET_SECURITY` (PSD-005 §11.1).
const SET_SECURITY_NUMBER: u32 = 11;
/// The number of `REG_IOC_RESTORE`.
const RESTORE_NUMBER: u32 = 15;
/// The state of a transaction whose lifetime ran out (PSD-005 §11.1).
const REG_TXN_TIMED_OUT: u32 = 4;

impl Execution<'_> {
    /// Takes note of a call that was answered, before it is judged.
    pub(crate) fn note_call(
        &mut self,
        actor: ActorIndex,
        input: &Input,
        observation: &Observation,
        interrupted: bool,
    ) {
        let is_commit = matches!(input, Input::Call { call: Call::Commit { .. }, .. });
        self.statistics.commits += u64::from(is_commit && *observation == Observation::Done);
        self.is_secured |= may_secure(input, self.tokens.is_system(actor));
        self.count(observation, interrupted);
        self.count_situation(input, observation, interrupted);
    }

    pub(crate) fn count(&mut self, observation: &Observation, interrupted: bool) {
        self.statistics.calls += 1;
        self.statistics.interrupted += u64::from(interrupted);
        match observation {
            Observation::Failed(errno) => {
                *self.statistics.errnos.entry(*errno).or_default() += 1;
            }
            Observation::TooSmall(_) => {
                *self.statistics.errnos.entry(Errno::ERANGE).or_default() += 1;
            }
            _ => self.statistics.succeeded += 1,
        }
        if let Observation::Events(bytes) = observation {
            let events = typed::events(bytes).unwrap_or_default();
            let is_overflow = |event: &&typed::WatchEvent| event.kind == typed::EventKind::Overflow;
            self.statistics.events += events.len() as u64;
            self.statistics.overflows += events.iter().filter(is_overflow).count() as u64;
        }
        self.statistics.transactions += u64::from(matches!(observation, Observation::Begun { .. }));
        let is_expired =
            matches!(observation, Observation::TransactionStatus { state: REG_TXN_TIMED_OUT, .. });
        self.statistics.expiries += u64::from(is_expired);
    }

    fn count_situation(&mut self, input: &Input, observation: &Observation, interrupted: bool) {
        let (Some(surroundings), Some(belief)) = (&self.surroundings, self.beliefs.first()) else {
            return;
        };
        let situation = surroundings.situation(input, &belief.state, observation, interrupted);
        if let Some(situation) = situation {
            *self.statistics.situations.entry(situation).or_default() += 1;
        }
    }
}

/// Whether an input may change an SD, or make one of the defaults of another caller than SYSTEM.
fn may_secure(input: &Input, is_system: bool) -> bool {
    match input {
        Input::Call { call, .. } => match call {
            Call::SetSecurity { .. } | Call::Restore { .. } => true,
            Call::CreateKey { .. } => !is_system,
            _ => false,
        },
        Input::RawCall { call: RawCall::Ioctl { request, .. }, .. } => {
            matches!(request & 0xFF, SET_SECURITY_NUMBER | RESTORE_NUMBER)
        }
        Input::RawCall { .. } => !is_system,
        Input::Device { .. } | Input::Environment(_) => false,
    }
}

/// Whether an input reads values or subkeys; opening a key resolves names too, but is no read.
fn is_read(input: &Input) -> bool {
    matches!(
        input,
        Input::Call {
            call: Call::QueryValue { .. }
                | Call::QueryValuesBatch { .. }
                | Call::EnumValues { .. }
                | Call::EnumSubkeys { .. },
            ..
        }
    )
}

/// Counts how contested the resolution of a read was.
pub(crate) fn count_contest(statistics: &mut Statistics, input: &Input, contest: Option<Contest>) {
    let (Some(contest), true) = (contest, is_read(input)) else { return };
    statistics.reads += 1;
    if contest.active >= 2 {
        statistics.contested += 1;
        if contest.top >= 2 {
            statistics.contested_at_equal_precedence += 1;
        }
    }
}
