//! `lockstep run`: a campaign over seeds, its progress, its findings and its summary.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance::campaign::{Campaign, Event, Runner, Summary};
use conformance::divergence::{Finding, Kind};
use conformance::generate::plan_of_seed;
use conformance::{script, shrink};
use reports::{json, terminal};

use super::{CommandResult, Exit, profile, runner, seeds, store_option};
use crate::{Format, RunArguments};

/// Findings that are shrunk and printed; the others are only counted.
const PRINTED_MAX: usize = 3;
/// Where reproductions go without `--report`.
const DEFAULT_REPORT: &str = "out";
/// From this many seeds on, a campaign that exercises too little is vacuous.
const VACUITY_SEEDS_MIN: u64 = 100;

static CANCELLED: AtomicBool = AtomicBool::new(false);

/// Runs the campaign.
pub fn run(arguments: &RunArguments) -> CommandResult {
    let seeds = seeds(&arguments.seeds)?;
    let profile = profile(&arguments.profile)?;
    let runner = runner(arguments.store);
    let jobs = match arguments.jobs {
        Some(jobs) => usize::from(jobs),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    if let Some(report) = &arguments.report {
        make_folder(report)?;
    }
    ctrlc::set_handler(|| CANCELLED.store(true, Ordering::Relaxed))
        .map_err(|error| format!("failed to listen for Ctrl-C: {error}"))?;
    let calls = arguments.calls as usize;
    let campaign = Campaign {
        seeds: seeds.clone(),
        jobs,
        twice_one_in: arguments.twice_one_in,
        plan: &|seed| plan_of_seed(seed, profile, calls),
        runner: &runner,
        cancelled: &CANCELLED,
    };
    let began = Instant::now();
    let progress = Progress::new(seeds.end - seeds.start);
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
        summary.statistics.vacuous(&profile.reachable_errnos(), profile.sights())
    };
    let folder = arguments.report.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_REPORT));
    for finding in summary.findings.iter().take(PRINTED_MAX) {
        let shrunk = shrink_finding(finding, &runner);
        let file = save(&folder, &shrunk)?;
        if arguments.format == Format::Human {
            let store = store_option(arguments.store);
            let command = format!("lockstep replay {}{store}", file.display());
            println!("{}", terminal::finding(&shrunk, &command));
        }
    }
    finish(arguments, &summary, elapsed, &vacuous)
}

fn shrink_finding(finding: &Finding, runner: &dyn Runner) -> Finding {
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
    vacuous: &[String],
) -> CommandResult {
    let document = json::document(summary, elapsed, vacuous);
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
            if summary.cancelled && (!arguments.stop_at_first || summary.findings.is_empty()) {
                println!("interrupted: {} seeds ran", summary.seeds);
            }
            print!("{}", terminal::statistics(summary));
            println!("{}", terminal::summary_line(summary, elapsed));
        }
    }
    Ok(exit_of(summary, vacuous))
}

/// What a campaign comes to. `--stop-at-first` ends it early too, but not without a finding.
fn exit_of(summary: &Summary, vacuous: &[String]) -> Exit {
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

/// Writes the reproduction of a finding and returns its file.
fn save(folder: &Path, finding: &Finding) -> Result<PathBuf, String> {
    make_folder(folder)?;
    let name = finding.seed.map_or_else(|| "finding".to_owned(), |seed| format!("seed-{seed}"));
    let path = folder.join(format!("{name}.lcs"));
    let what = &finding.divergence.what;
    let kind = finding.divergence.kind.name();
    let seed = finding.seed.map_or_else(String::new, |seed| format!("# seed: {seed}\n"));
    let what = what.replace('\n', " ");
    let text = format!("# {kind}: {what}\n{seed}{}", script::print(&finding.plan));
    fs::write(&path, text)
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
struct Progress {
    seeds: u64,
    began: Instant,
    done: AtomicU64,
    calls: AtomicU64,
    found: AtomicU64,
    next_line_ms: AtomicU64,
    terminal: bool,
}

impl Progress {
    fn new(seeds: u64) -> Progress {
        Progress {
            seeds,
            began: Instant::now(),
            done: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            found: AtomicU64::new(0),
            next_line_ms: AtomicU64::new(0),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn tell(&self, event: &Event) {
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
        let left_s = elapsed_ms * (self.seeds - done.min(self.seeds)) / done / 1000;
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let seeds = self.seeds;
        eprint!(
            "{start}{done}/{seeds} seeds, {calls} calls, {rate} calls/s, {found} divergences, about {left_s} s left{end}"
        );
        // Progress that cannot be shown is no reason to stop.
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use conformance::campaign::SeedFault;

    use super::*;

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
    fn a_campaign_that_is_too_thin_is_vacuous() {
        assert_eq!(exit_of(&Summary::default(), &["thin".to_owned()]), Exit::Vacuous);
        assert_eq!(exit_of(&Summary::default(), &[]), Exit::Conforms);
    }
}
