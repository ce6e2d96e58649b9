//! Sources that die while calls overlap: where in the history that is, and which calls it may have cut off.
//!
//! A death is an operation beside the calls (P-442). A call that was under way then may have come as far as it
//! would, or to an end before (P-08); one that had returned is what it was, and one that began later finds its
//! source Down. Where nobody can tell when a source has died, as on real threads, any call of the block may have been
//! under way.

use registry_model::input::{Call, Environment, Fd, Input, SourceId};

use super::Operation;
use super::block::{Deaths, Made};
use crate::linearizability::registry::{Number, RegistryInput};
use crate::plan::STRANDS_MAX;
use crate::target::WorldEvent;

/// Where a death is that nobody could tell the moment of.
const ANY_TIME: u64 = 0;

/// When the sources have died of whose deaths these events tell.
pub(super) fn of_block(events: &[WorldEvent], known: &Deaths) -> Deaths {
    let dead = events.iter().filter_map(|event| match event {
        WorldEvent::SourceDown(source) => Some(*source),
        _ => None,
    });
    dead.map(|source| (source, known.get(&source).copied().unwrap_or(ANY_TIME))).collect()
}

/// Whether a death may have cut a call off. `source_of` says who serves the key of an fd, if that is known.
pub(super) fn may_interrupt(
    deaths: &Deaths,
    made: &Made,
    source_of: impl Fn(Fd) -> Option<SourceId>,
) -> bool {
    let own = key_fd(&made.call).and_then(source_of);
    deaths.iter().any(|(source, at)| {
        let is_under_way = *at == ANY_TIME || made.invoked < *at && *at < made.returned;
        is_under_way && own.is_none_or(|own| own == *source)
    })
}

/// The deaths as operations of a history that ends at `last`. One of which the moment is known takes no time.
pub(super) fn operations(deaths: &Deaths, last: u64) -> impl Iterator<Item = Operation> {
    deaths.iter().enumerate().map(move |(index, (source, at))| {
        let input = Input::Environment(Environment::SourceDown { source: *source });
        let operation =
            RegistryInput { input, observation: None, number: Number::any(), meets_death: false };
        let process = (STRANDS_MAX + index) as u32;
        let returned = Some(if *at == ANY_TIME { last + 1 } else { *at });
        Operation { process, invoked: *at, returned, operation }
    })
}

/// The fd of the key that a call asks about or begins at, if it asks about nothing of another hive.
fn key_fd(call: &Call) -> Option<Fd> {
    match call {
        Call::OpenKey { parent: fd, .. }
        | Call::CreateKey { parent: fd, .. }
        | Call::QueryValue { fd, .. }
        | Call::QueryValuesBatch { fd, .. }
        | Call::SetValue { fd, .. }
        | Call::DeleteValue { fd, .. }
        | Call::BlanketTombstone { fd, .. }
        | Call::DeleteKey { fd, .. }
        | Call::HideKey { fd, .. }
        | Call::GetSecurity { fd, .. }
        | Call::SetSecurity { fd, .. } => Some(*fd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use registry_model::observation::Observation;

    use super::*;

    fn made(call: Call, invoked: u64, returned: u64) -> Made {
        let answer = Ok(Observation::Done);
        Made { strand: 0, actor: 0, call, answer, invoked, returned, began: 0, ended: 0 }
    }

    fn poll(invoked: u64, returned: u64) -> Made {
        made(Call::Poll { fd: 3 }, invoked, returned)
    }

    const SOURCE: SourceId = SourceId(1);

    #[test]
    fn what_was_under_way_may_be_cut_off() {
        let deaths = Deaths::from([(SOURCE, 5)]);
        let may = |invoked, returned| may_interrupt(&deaths, &poll(invoked, returned), |_| None);
        assert_eq!([may(1, 4), may(4, 6), may(6, 7)], [false, true, false]);
    }

    #[test]
    fn anything_may_be_cut_off_where_nobody_knows_when() {
        let deaths = of_block(&[WorldEvent::SourceDown(SOURCE)], &Deaths::new());
        assert!(may_interrupt(&deaths, &poll(1, 2), |_| None));
    }

    #[test]
    fn a_call_about_a_key_of_another_source_goes_on() {
        let deaths = Deaths::from([(SOURCE, 5)]);
        let call = Call::GetSecurity { fd: 3, security_info: 4, capacity: 0 };
        let may = |source| may_interrupt(&deaths, &made(call.clone(), 4, 6), |_| source);
        assert_eq!([may(Some(SOURCE)), may(Some(SourceId(0))), may(None)], [true, false, true]);
    }
}
