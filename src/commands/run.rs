//! `lockstep run`: a campaign over seeds, its progress, its findings and its summary.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance::campaign::{Campaign, Event, Runner, Summary};
use conformance::divergence::{Finding, Kind};
use conformance::generate::on_threads::LeftOut;
use conformance::lockstep::Options;
use conformance::seeds::Seeds;
use conformance::situations::blind_spots;
use conformance::{reproduction, shrink};
use reports::confidence::seeds_for_confidence;
use reports::{json, terminal};

use super::worlds::World;
use super::{CommandResult, Exit, profile, seeds, shard};
use crate::{Format, RunArguments};

/// Findings that are shrunk and printed; the others are only counted.
pub(super) const PRINTED_MAX: usize = 3;
/// Where reproductions go without `--report`.
pub(super) const DEFAULT_REPORT: &str = "out";
/// From this many seeds on, a campaign that exercises too little is vacuous.
const VACUITY_SEEDS_MIN: u64 = 100;
/// One seed in this many is run twice unless the command line says otherwise.
const TWICE_ONE_IN: u64 = 50;
/// The seeds of a campaign that is told neither seeds nor a time.
const DEFAULT_SEEDS: &str = "0..200";
/// Those of one that is told a time alone.
const UNTIL_TIME_IS_OVER: &str = "0..";

static CANCELLED: AtomicBool = AtomicBool::new(false);

/// Runs the campaign.
pub fn run(arguments: &RunArguments) -> CommandResult {
    let seeds = seeds_of(arguments)?;
    let profile = profile(&arguments.profile)?;
    let world = World::new(arguments.world, arguments.store, profile, arguments.calls)?;
    let jobs = jobs_of(arguments.jobs);
    if let Some(report) = &arguments.report {
        make_folder(report)?;
    }
    ctrlc::set_handler(|| CANCELLED.store(true, Ordering::Relaxed))
        .map_err(|error| format!("failed to listen for Ctrl-C: {error}"))?;
    let began = Instant::now();
    let campaign = Campaign {
        seeds: seeds.clone(),
        jobs,
        options: Options { record_situations: arguments.blind_spots, ..Options::default() },
        twice_one_in: twice_one_in(arguments, &world)?,
        plan: &|seed| world.plan(seed),
        runner: world.runner(),
        cancelled: &CANCELLED,
        is_time_over: &|| arguments.time.is_some_and(|time| began.elapsed() >= time),
    };
    let progress = Progress::new(seeds.count(), arguments.time);
    let summary = campaign.run(&|event| {
        progress.tell(&event);
        if arguments.stop_at_first && matches!(event, Event::Found(_)) {
            CANCELLED.store(true, Ordering::Relaxed);
        }
    });
    let elapsed = began.elapsed();
    progress.clear();
    let stopped = arguments.stop_at_first && !summary.findings.is_empty();
    let vacuous = if summary.seeds < VACUITY_SEEDS_MIN || stopped {
        Vec::new()
    } else {
        summary.statistics.vacuous(&world.reachable_errnos(), &world.sights())
    };
    let folder = arguments.report.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_REPORT));
    for finding in summary.findings.iter().take(PRINTED_MAX) {
        let is_shrunk = world.is_deterministic() && !arguments.no_shrink;
        let shrunk =
            if is_shrunk { shrink_finding(finding, world.runner()) } else { finding.clone() };
        let file = save(&folder, "seed", &shrunk)?;
        let command = world.how_to_see_again(finding, &file)?;
        if arguments.format == Format::Human {
            println!("{}", terminal::finding(&shrunk, &command));
        }
    }
    let left_out = world.left_out((0..summary.seeds).filter_map(|position| seeds.at(position)));
    finish(arguments, &summary, elapsed, (&vacuous, &left_out))
}

/// How many seeds are run for each that is run twice; `None` where no two runs are alike.
fn twice_one_in(arguments: &RunArguments, world: &World) -> Result<Option<u64>, String> {
    match (world.is_deterministic(), arguments.determinism, arguments.twice_one_in) {
        (true, true, _) => Ok(Some(1)),
        (true, false, one_in) => Ok(Some(one_in.unwrap_or(TWICE_ONE_IN))),
        (false, false, None) => Ok(None),
        (false, ..) => Err("no two runs on real threads are alike; leave --determinism and \
                            --twice-one-in out"
            .to_owned()),
    }
}

/// The threads that were asked for, or one for each core.
pub(super) fn jobs_of(jobs: Option<u16>) -> usize {
    match jobs {
        Some(jobs) => usize::from(jobs),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

pub(super) fn shrink_finding(finding: &Finding, runner: &dyn Runner) -> Finding {
    let mut shrunk = shrink::shrink(finding, runner);
    if shrunk.divergence.kind == Kind::View {
        let seed = shrunk.seed.unwrap_or(0);
        shrunk.divergence.split_at_step = shrink::first_split(&shrunk.plan, seed, runner);
    }
    shrunk
}

fn finish(
    arguments: &RunArguments,
    summary: &Summary,
    elapsed: Duration,
    (vacuous, left_out): (&[String], &LeftOut),
) -> CommandResult {
    let document = json::document(summary, elapsed, vacuous, left_out);
    if let Some(report) = &arguments.report {
        let path = report.join("summary.json");
        fs::write(&path, &document)
            .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
    }
    match arguments.format {
        Format::Json => println!("{document}"),
        Format::Human => {
            for fault in &summary.faults {
                println!("harness fault at seed {}: {}", fault.seed, fault.what);
            }
            for undecided in &summary.indeterminate {
                println!("undecided at seed {}: {}", undecided.seed, undecided.what);
            }
            for reason in vacuous {
                println!("vacuous: {reason}");
            }
            if let Some(ended) = early_end(arguments, summary) {
                println!("{ended}");
            }
            print!("{}", terminal::statistics(summary));
            print!("{}", terminal::left_out(left_out));
            if arguments.blind_spots {
                print!("{}", blind_spots(&summary.statistics.situations));
            }
            let failed = summary.findings.len() as u64;
            if let Some(seeds) = seeds_for_confidence(failed, summary.seeds) {
                println!(
                    "after a fix, {seeds} more seeds without a divergence make it 95 % likely that it is fixed"
                );
            }
            println!("{}", terminal::summary_line(summary, elapsed));
        }
    }
    Ok(exit_of(summary, vacuous))
}

/// The range of which the seeds are, as it is written.
fn range_of(arguments: &RunArguments) -> &str {
    let default = if arguments.time.is_some() { UNTIL_TIME_IS_OVER } else { DEFAULT_SEEDS };
    arguments.seeds.as_deref().unwrap_or(default)
}

/// The seeds that this campaign is to run.
fn seeds_of(arguments: &RunArguments) -> Result<Seeds, String> {
    let range = seeds(range_of(arguments))?;
    let chosen = Seeds::new(range, shard(arguments.shard.as_deref())?);
    if chosen.count() == 0 {
        return Err("no seed of the range is in this shard; take a longer range".to_owned());
    }
    Ok(chosen)
}

/// How a campaign ended that did not run all of its seeds, and how to go on. One that ended at its first
/// divergence, as it was told to, has nothing to say of it.
fn early_end(arguments: &RunArguments, summary: &Summary) -> Option<String> {
    let next = summary.next_seed?;
    let why = match (summary.cancelled, arguments.stop_at_first && !summary.findings.is_empty()) {
        (true, true) => return None,
        (true, false) => "interrupted",
        (false, _) => "time is over",
    };
    let end = range_of(arguments).split_once("..").map_or("", |(_, end)| end);
    Some(format!("{why}: {} seeds ran; --seeds {next}..{end} goes on", summary.seeds))
}

/// What a campaign comes to. `--stop-at-first` ends it early too, but not without a finding.
pub(super) fn exit_of(summary: &Summary, vacuous: &[String]) -> Exit {
    if !summary.findings.is_empty() {
        Exit::Divergence
    } else if !summary.faults.is_empty() {
        Exit::HarnessFault
    } else if !summary.indeterminate.is_empty() || summary.cancelled {
        Exit::Indeterminate
    } else if !vacuous.is_empty() {
        Exit::Vacuous
    } else {
        Exit::Conforms
    }
}

/// Writes the reproduction of a finding, which has the number of a `numbered`, and returns its file.
pub(super) fn save(folder: &Path, numbered: &str, finding: &Finding) -> Result<PathBuf, String> {
    let name =
        finding.seed.map_or_else(|| "finding".to_owned(), |seed| format!("{numbered}-{seed}"));
    save_as(folder, &format!("{name}.lcs"), finding)
}

/// Writes the reproduction of a finding into a file of this name, and returns its path.
pub(super) fn save_as(folder: &Path, name: &str, finding: &Finding) -> Result<PathBuf, String> {
    make_folder(folder)?;
    let path = folder.join(name);
    fs::write(&path, reproduction::text(finding))
        .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
    Ok(path)
}

fn make_folder(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| {
        format!(
            "failed to make the folder {}: {error}; name another with --report",
            folder.display()
        )
    })
}

/// Progress on standard error: one line that is rewritten on a terminal, plain lines elsewhere.
pub(super) struct Progress {
    seeds: u64,
    time_max: Option<Duration>,
    began: Instant,
    done: AtomicU64,
    calls: AtomicU64,
    found: AtomicU64,
    next_line_ms: AtomicU64,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(seeds: u64, time_max: Option<Duration>) -> Progress {
        Progress {
            seeds,
            time_max,
            began: Instant::now(),
            done: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            found: AtomicU64::new(0),
            next_line_ms: AtomicU64::new(0),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn tell(&self, event: &Event) {
        match event {
            Event::SeedDone { calls } => {
                self.done.fetch_add(1, Ordering::Relaxed);
                self.calls.fetch_add(*calls, Ordering::Relaxed);
            }
            Event::Found(_) => {
                self.found.fetch_add(1, Ordering::Relaxed);
            }
            Event::Faulty(fault) => eprintln!("seed {}: {}", fault.seed, fault.what),
        }
        let elapsed_ms = self.began.elapsed().as_millis() as u64;
        let step_ms = if self.terminal { 200 } else { 5_000 };
        let next = self.next_line_ms.load(Ordering::Relaxed);
        if elapsed_ms >= next.max(step_ms)
            && self
                .next_line_ms
                .compare_exchange(next, elapsed_ms + step_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.print(elapsed_ms);
        }
    }

    fn print(&self, elapsed_ms: u64) {
        let done = self.done.load(Ordering::Relaxed).max(1);
        let calls = self.calls.load(Ordering::Relaxed);
        let found = self.found.load(Ordering::Relaxed);
        let rate = calls * 1000 / elapsed_ms.max(1);
        let left = u128::from(self.seeds.saturating_sub(done)) * u128::from(elapsed_ms);
        let left_s = left / u128::from(done) / 1000;
        let left_s = self.time_max.map_or(left_s, |max| {
            left_s.min((max.as_millis().saturating_sub(elapsed_ms.into())) / 1000)
        });
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let of = if self.time_max.is_some() { String::new() } else { format!("/{}", self.seeds) };
        eprint!(
            "{start}{done}{of} seeds, {calls} calls, {rate} calls/s, {found} divergences, about {left_s} s left{end}"
        );
        // Progress that cannot be shown is no reason to stop.
        let _ = std::io::stderr().flush();
    }

    pub(super) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use conformance::campaign::SeedFault;

    use super::*;
    use crate::{Command, CommandLine};

    fn faults() -> Vec<SeedFault> {
        vec![SeedFault { seed: 3, what: "panicked".to_owned() }]
    }

    #[test]
    fn a_seed_that_panicked_is_a_fault_of_the_harness() {
        let summary = Summary { faults: faults(), cancelled: true, ..Summary::default() };
        assert_eq!(exit_of(&summary, &["thin".to_owned()]), Exit::HarnessFault);
    }

    #[test]
    fn an_undecided_or_interrupted_campaign_is_no_pass() {
        let undecided = Summary { indeterminate: faults(), ..Summary::default() };
        assert_eq!(exit_of(&undecided, &[]), Exit::Indeterminate);
        let interrupted = Summary { cancelled: true, ..Summary::default() };
        assert_eq!(exit_of(&interrupted, &[]), Exit::Indeterminate);
    }

    #[test]
    fn what_goes_on_ends_where_the_interrupted_campaign_would_have() {
        let command = CommandLine::parse_from(["lockstep", "run"]).command;
        let Command::Run(arguments) = command else { panic!("another command") };
        let summary =
            Summary { cancelled: true, seeds: 57, next_seed: Some(57), ..Summary::default() };
        let ended = early_end(&arguments, &summary);
        let expected = "interrupted: 57 seeds ran; --seeds 57..200 goes on";
        assert_eq!(ended.as_deref(), Some(expected));
    }

    #[test]
    fn a_campaign_that_is_too_thin_is_vacuous() {
        assert_eq!(exit_of(&Summary::default(), &["thin".to_owned()]), Exit::Vacuous);
        assert_eq!(exit_of(&Summary::default(), &[]), Exit::Conforms);
    }
}
