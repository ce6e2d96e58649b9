//! What happened in a run, as text: for whoever looks into a divergence that may never come again.
//!
//! Knows nothing of how the run was made.

use std::fmt::Write;

use registry_model::input::Input;

use crate::describe;
use crate::lockstep::Happening;

/// One line for each thing that happened: calls from when to when, in milliseconds since the first of them.
pub fn text(history: &[Happening]) -> String {
    let first = history.iter().find_map(|happening| Some(interval(&happening.input)?.0));
    let first = first.unwrap_or_default();
    let mut text = String::new();
    for Happening { input, observation, .. } in history {
        let since = |time: u64| time.saturating_sub(first) as f64 / 1e6;
        let when = interval(input).map_or_else(String::new, |(began, ended)| {
            format!("{:.3}..{:.3} ", since(began), since(ended))
        });
        let who = match input {
            Input::Call { caller, .. } | Input::RawCall { caller, .. } => {
                format!("process {}: ", caller.process.0)
            }
            Input::Device { .. } | Input::Environment(_) => String::new(),
        };
        let answer = observation.as_ref().map_or_else(String::new, |observation| {
            format!(" -> {}", describe::observation(observation))
        });
        let _ = writeln!(text, "{when}{who}{}{answer}", describe::input(input));
    }
    text
}

/// From when to when a call was under way.
fn interval(input: &Input) -> Option<(u64, u64)> {
    match input {
        Input::Call { began, ended, .. } | Input::RawCall { began, ended, .. } => {
            Some((*began, *ended))
        }
        Input::Device { .. } | Input::Environment(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use registry_model::input::{Call, Caller, Environment, ProcessId, SourceId};
    use registry_model::observation::Observation;
    use registry_model::security::Token;

    use super::*;

    #[test]
    fn each_line_says_when_who_what_and_what_came_of_it() {
        let caller = Caller { process: ProcessId(1), token: Token::system() };
        let (began, ended) = (5_000_000, 7_250_000);
        let call = Call::Close { fd: 3 };
        let input = Input::Call { caller, call, began, ended, interrupted: false };
        let closed = Happening { input, observation: Some(Observation::Done), raw: None };
        let down = Environment::SourceDown { source: SourceId(0) };
        let down = Happening { input: Input::Environment(down), observation: None, raw: None };
        assert_eq!(
            text(&[down, closed]),
            "SourceDown { source: SourceId(0) }\n0.000..2.250 process 1: close(fd 3) -> ok\n"
        );
    }
}
