//! Every crash point of every short sequence from a small alphabet of actions.
//!
//! A case is a sequence and the request at which the source dies during it, carried out or not, or no
//! death. The source starts again behind the sequence, one more write is made, and the views of all are
//! compared (PSD-005 §10; D-110, D-111). Knows nothing of the target but how many requests it made.

use rayon::prelude::*;

use crate::campaign::{Runner, in_fresh_thread};
use crate::lockstep::Options;
use crate::panics;
use crate::plan::{Fault, Plan, Step};
use crate::script;

/// What there is before each sequence: two layers above base, a key with a value in two of them, a
/// key below it, a backup and a watch.
const BEFORE: &str = r#"
layer create role precedence=5
layer create site precedence=9
set Machine\App x dword 1
set Machine\App y dword 1 in role
create Machine\App\Old
set Machine\App\Old x dword 1 in role
backup Machine\App\Old to saved
set Machine\App\Old x dword 2 in site
open w = Machine\App
watch w subtree
"#;

/// The alphabet. Each letter is a call, or a few that belong together.
const ALPHABET: [&str; 13] = [
    r"set Machine\App x dword 2",
    r"set Machine\App x dword 3 in role",
    r"set Machine\App x tombstone in role",
    r"blanket Machine\App in role",
    r"unset Machine\App x",
    r"create Machine\App\New in role",
    r"delete Machine\App\Old",
    r"hide Machine\App\Old in site",
    r"layer set role precedence=20",
    r"layer delete role",
    r#"set-security Machine\App "D:(A;CI;KA;;;SY)""#,
    "begin t\nset Machine\\App x dword 4 in role within t\ncreate Machine\\App\\New within t\ncommit t",
    r"restore Machine\App\Old from saved",
];

/// What is done behind each sequence, when the source is there again.
const AFTER: &str = "events w\nset Machine\\App z dword 9\n";

/// The longest sequences that can be asked for; the next would be more than a million cases.
pub const LENGTH_MAX: usize = 4;

/// All cases up to one length of the sequences.
pub struct Exhaustive {
    before: Vec<Step>,
    letters: Vec<Vec<Step>>,
    after: Vec<Step>,
    sequences: Vec<Sequence>,
}

/// One sequence, and its cases.
struct Sequence {
    letters: Vec<usize>,
    /// The number of its first case among all, which has no death.
    first_case: u64,
    /// Requests that it sends to the source when nothing happens.
    requests: u32,
}

impl Exhaustive {
    /// Counts the crash points of every sequence of up to `length_max` letters, on `jobs` threads.
    ///
    /// # Errors
    /// A length outside 1 to [`LENGTH_MAX`], or a sequence in which the harness itself fails.
    ///
    /// # Panics
    /// When the thread pool cannot be made.
    pub fn new(length_max: usize, runner: &dyn Runner, jobs: usize) -> Result<Exhaustive, String> {
        if !(1..=LENGTH_MAX).contains(&length_max) {
            return Err(format!("sequences have from 1 to {LENGTH_MAX} letters, not {length_max}"));
        }
        let letters = ALPHABET.iter().map(|letter| steps(letter)).collect::<Result<_, _>>()?;
        let (before, after) = (steps(BEFORE)?, steps(AFTER)?);
        let mut all = Exhaustive { before, letters, after, sequences: Vec::new() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
        let pool = pool.expect("threads for the sequences");
        let sequences = all_sequences(length_max, ALPHABET.len());
        let counted: Vec<u32> = pool.install(|| {
            sequences
                .par_iter()
                .map(|sequence| all.requests(sequence, runner))
                .collect::<Result<_, _>>()
        })?;
        let mut first_case = 0;
        for (letters, requests) in sequences.into_iter().zip(counted) {
            all.sequences.push(Sequence { letters, first_case, requests });
            first_case += 1 + 2 * u64::from(requests);
        }
        Ok(all)
    }

    /// How many sequences there are.
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// How many cases there are: for each sequence one without a death, and two for each request.
    pub fn cases(&self) -> u64 {
        self.sequences.last().map_or(0, |last| last.first_case + 1 + 2 * u64::from(last.requests))
    }

    /// The plan of a case, numbered from 0; the last one's for any above.
    pub fn plan(&self, case: u64) -> Plan {
        let position = self.sequences.partition_point(|sequence| sequence.first_case <= case);
        let Some(sequence) = self.sequences.get(position.saturating_sub(1)) else {
            return Plan::default();
        };
        let crash = (case - sequence.first_case).checked_sub(1).map(|crash| Fault::KillSourceAt {
            source: 0,
            request: u32::try_from(crash / 2 + 1).unwrap_or(u32::MAX),
            executed: crash % 2 == 1,
        });
        self.plan_of(&sequence.letters, crash)
    }

    fn plan_of(&self, sequence: &[usize], crash: Option<Fault>) -> Plan {
        let restart = crash.is_some().then_some(Fault::RestartSource { source: 0 });
        let mut steps = self.before.clone();
        steps.extend(crash.map(Step::Fault));
        steps.extend(sequence.iter().flat_map(|letter| self.letters[*letter].clone()));
        steps.extend(restart.map(Step::Fault));
        steps.extend(self.after.iter().cloned());
        Plan { steps, ..Plan::default() }
    }

    /// The requests that a sequence sends when nothing happens.
    fn requests(&self, sequence: &[usize], runner: &dyn Runner) -> Result<u32, String> {
        let plan = self.plan_of(sequence, None);
        let options = Options { record_requests: true, ..Options::default() };
        let run = in_fresh_thread(|| panics::caught(|| runner.run(&plan, 0, options)))?;
        let length: usize = sequence.iter().map(|letter| self.letters[*letter].len()).sum();
        let own = run.requests.iter().skip(self.before.len()).take(length);
        u32::try_from(own.map(Vec::len).sum::<usize>()).map_err(|error| error.to_string())
    }
}

/// All sequences of 1 to `length_max` of so many letters, shorter ones first.
fn all_sequences(length_max: usize, letters: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut longest = vec![Vec::new()];
    for _ in 0..length_max {
        longest = longest
            .iter()
            .flat_map(|shorter: &Vec<usize>| {
                (0..letters).map(move |letter| {
                    let mut longer = shorter.clone();
                    longer.push(letter);
                    longer
                })
            })
            .collect();
        all.extend(longest.iter().cloned());
    }
    all
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let script = script::parse(text, "the alphabet").map_err(|error| error.to_string())?;
    Ok(script.plan.steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockstep::{Run, Verdict};

    /// Answers that every step sent two requests.
    struct TwoEach;

    impl Runner for TwoEach {
        fn run(&self, plan: &Plan, _: u64, _: Options) -> Run {
            let requests = vec![vec![String::new(); 2]; plan.steps.len()];
            Run { requests, ..Run::stopped(Verdict::Conforms) }
        }
    }

    fn crash_of(plan: &Plan) -> Option<(u32, bool)> {
        plan.steps.iter().find_map(|step| match step {
            Step::Fault(Fault::KillSourceAt { request, executed, .. }) => {
                Some((*request, *executed))
            }
            _ => None,
        })
    }

    #[test]
    fn every_request_of_a_sequence_is_a_crash_point_twice() {
        let all = Exhaustive::new(1, &TwoEach, 1).expect("an alphabet");
        assert_eq!(all.sequences(), ALPHABET.len());
        let crashes: Vec<_> = (0..5).map(|case| crash_of(&all.plan(case))).collect();
        let expected = [None, Some((1, false)), Some((1, true)), Some((2, false)), Some((2, true))];
        assert_eq!(crashes, expected);
        assert_eq!(crash_of(&all.plan(5)), None, "the next sequence begins");
        let last = all.plan(all.cases() - 1);
        assert_eq!(crash_of(&last), Some((2, true)), "one step of two requests");
    }

    #[test]
    fn sequences_have_every_letter_at_every_place() {
        assert_eq!(
            all_sequences(2, 2),
            [vec![0], vec![1], vec![0, 0], vec![0, 1], vec![1, 0], vec![1, 1]]
        );
        assert_eq!(all_sequences(3, 13).len(), 13 + 13 * 13 + 13 * 13 * 13);
    }

    #[test]
    fn a_length_of_none_or_too_many_is_refused() {
        assert!(Exhaustive::new(0, &TwoEach, 1).is_err());
        assert!(Exhaustive::new(LENGTH_MAX + 1, &TwoEach, 1).is_err());
    }
}
