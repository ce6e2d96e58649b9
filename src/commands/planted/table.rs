//! The planted defects as a table or JSON, with the figures that the design has floors for.

use super::{Outcome, Shrunk, State};

/// A figure over all defects that were found.
struct Figure {
    name: &'static str,
    numbers: Vec<f64>,
    /// The highest that the median may be, and the 95th percentile.
    floors: (f64, f64),
}

/// One defect, in one line.
pub(super) fn row(outcome: &Outcome) -> String {
    let shrunk = outcome.shrunk.as_ref().map_or_else(String::new, |shrunk| {
        let alike = if shrunk.replays_alike == shrunk.replays { "" } else { " NOT REPLAYED" };
        format!(
            "{:>3} steps {:>3} calls {:>5.1} s{alike}",
            shrunk.steps,
            shrunk.calls,
            seconds(shrunk.elapsed_ms)
        )
    });
    format!(
        "{:<9} {:<44} {:>6.1} s {:>7} seeds {shrunk:<27} {}",
        outcome.state.name(),
        outcome.name,
        seconds(outcome.elapsed_ms),
        outcome.seeds,
        outcome.requirements
    )
}

/// The figures, one a line, for those that there are.
pub(super) fn figures(outcomes: &[Outcome]) -> String {
    let figures = figures_of(outcomes).into_iter().filter(|figure| !figure.numbers.is_empty());
    figures
        .map(|figure| {
            let (median, p95) = (figure.percentile(50), figure.percentile(95));
            let (median_max, p95_max) = figure.floors;
            let mark = if figure.holds() { "" } else { "  BELOW" };
            format!(
                "{:<24} median {median:>6.1}, p95 {p95:>6.1}; floor {median_max:.0}, {p95_max:.0}{mark}\n",
                figure.name
            )
        })
        .collect()
}

/// The whole as one document.
pub(super) fn json(outcomes: &[Outcome]) -> String {
    let rows: Vec<String> = outcomes.iter().map(json_row).collect();
    let figures: Vec<String> = figures_of(outcomes)
        .iter()
        .filter(|figure| !figure.numbers.is_empty())
        .map(|figure| {
            format!(
                "    {{\"name\": {:?}, \"median\": {}, \"p95\": {}, \"holds\": {}}}",
                figure.name,
                figure.percentile(50),
                figure.percentile(95),
                figure.holds()
            )
        })
        .collect();
    format!(
        "{{\n  \"schema\": 2,\n  \"defects\": [\n{}\n  ],\n  \"figures\": [\n{}\n  ]\n}}",
        rows.join(",\n"),
        figures.join(",\n")
    )
}

fn json_row(outcome: &Outcome) -> String {
    let shrunk = outcome.shrunk.as_ref().map_or_else(String::new, |shrunk| {
        let Shrunk { steps, calls, elapsed_ms, replays, replays_alike } = shrunk;
        format!(
            ", \"steps\": {steps}, \"calls\": {calls}, \"shrinking_ms\": {elapsed_ms}, \
             \"replays\": {replays}, \"replays_alike\": {replays_alike}"
        )
    });
    format!(
        "    {{\"name\": {:?}, \"requirements\": {:?}, \"state\": {:?}, \"elapsed_ms\": {}, \
         \"seeds\": {}{shrunk}}}",
        outcome.name,
        outcome.requirements,
        outcome.state.name(),
        outcome.elapsed_ms,
        outcome.seeds
    )
}

fn figures_of(outcomes: &[Outcome]) -> [Figure; 3] {
    let found = || outcomes.iter().filter(|outcome| outcome.state == State::Found);
    let shrunk = || found().filter_map(|outcome| outcome.shrunk);
    [
        Figure {
            name: "detection, seconds",
            numbers: found().map(|outcome| seconds(outcome.elapsed_ms)).collect(),
            floors: (30.0, 30.0),
        },
        Figure {
            name: "after shrinking, steps",
            numbers: shrunk().map(|shrunk| shrunk.steps as f64).collect(),
            floors: (8.0, 16.0),
        },
        Figure {
            name: "shrinking, seconds",
            numbers: shrunk().map(|shrunk| seconds(shrunk.elapsed_ms)).collect(),
            floors: (30.0, 30.0),
        },
    ]
}

impl Figure {
    /// The lowest number that so many per cent of all do not exceed.
    fn percentile(&self, per_cent: usize) -> f64 {
        let mut numbers = self.numbers.clone();
        numbers.sort_by(f64::total_cmp);
        let rank = (numbers.len() * per_cent).div_ceil(100).max(1);
        numbers.get(rank - 1).copied().unwrap_or_default()
    }

    fn holds(&self) -> bool {
        self.percentile(50) <= self.floors.0 && self.percentile(95) <= self.floors.1
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn found(name: &str, steps: u64) -> Outcome {
        Outcome {
            name: name.to_owned(),
            requirements: "RES-03".to_owned(),
            state: State::Found,
            elapsed_ms: 2_500,
            seeds: 12,
            shrunk: Some(Shrunk {
                steps,
                calls: 3 * steps,
                elapsed_ms: 800,
                replays: 100,
                replays_alike: 100,
            }),
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let figure = Figure {
            name: "",
            numbers: (1..=20).rev().map(f64::from).collect(),
            floors: (10.0, 18.0),
        };
        assert_eq!((figure.percentile(50), figure.percentile(95)), (10.0, 19.0));
        assert!(!figure.holds());
    }

    #[test]
    fn figures_are_over_what_was_found() {
        let missed = Outcome { state: State::Missed, ..found("c", 99) };
        let outcomes = [found("a", 4), found("b", 40), missed];
        expect![[r#"
            detection, seconds       median    2.5, p95    2.5; floor 30, 30
            after shrinking, steps   median    4.0, p95   40.0; floor 8, 16  BELOW
            shrinking, seconds       median    0.8, p95    0.8; floor 30, 30
        "#]]
        .assert_eq(&figures(&outcomes));
        expect![[r#"
            found     a                                               2.5 s      12 seeds   4 steps  12 calls   0.8 s RES-03
        "#]].assert_eq(&(row(&outcomes[0]) + "\n"));
        expect![[r#"
            {
              "schema": 2,
              "defects": [
                {"name": "a", "requirements": "RES-03", "state": "found", "elapsed_ms": 2500, "seeds": 12, "steps": 4, "calls": 12, "shrinking_ms": 800, "replays": 100, "replays_alike": 100}
              ],
              "figures": [
                {"name": "detection, seconds", "median": 2.5, "p95": 2.5, "holds": true},
                {"name": "after shrinking, steps", "median": 4, "p95": 4, "holds": true},
                {"name": "shrinking, seconds", "median": 0.8, "p95": 0.8, "holds": true}
              ]
            }
        "#]].assert_eq(&(json(&outcomes[..1]) + "\n"));
    }

    #[test]
    fn without_a_hunt_there_are_no_figures() {
        let applied = Outcome { state: State::Applies, shrunk: None, ..found("a", 1) };
        assert_eq!(figures(&[applied]), "");
    }
}
