//! The command line of Lockstep: options in, exit status out. What the commands do is in
//! `commands`; what they are made of is in the crates.

mod commands;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use conformance::panics;

/// A run makes and frees many small states; measured with `lockstep bench`, this allocator takes
/// a good part of that off (ARCHITECTURE.md, "Speed").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Deterministic simulation and conformance testing of a layered, kernel-mediated registry.
///
/// Exit status: 0 conforms; 1 divergence; 2 usage or environment; 3 fault or nondeterminism of
/// the harness itself; 4 vacuous; 5 indeterminate.
#[derive(Parser)]
#[command(name = "lockstep", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a plan from each seed, run it against the implementation with the model beside it,
    /// and report every divergence.
    Run(RunArguments),
    /// Run one seed or one script again and show its divergence, or where a script expects
    /// something else, as check does.
    Replay(ReplayArguments),
    /// Look for the simplest script that shows the divergence of another, save it, and replay it 100 times.
    Shrink(ShrinkArguments),
    /// Run scripts and compare with what they expect.
    Check(CheckArguments),
    /// Show the state of a script after a step, or the contest for a path or value in it.
    Explain(ExplainArguments),
    /// Run every crash point of every short sequence of actions: what a source has carried out when it
    /// dies, and what is there when it has started again.
    Exhaust(ExhaustArguments),
    /// Certify a backing store: scripts and random plans of requests, without a kernel.
    Certify(CertifyArguments),
    /// Measure speed, beside the floors and goals of the design; exit status 1 below a floor.
    Bench(BenchArguments),
    /// Say whether this machine and this build can do their work.
    Doctor,
    /// Apply each planted defect to a copy of the source tree and see that it is found; exit status 1 if one is
    /// not, within 60 seconds, and 2 if one does not apply or compile.
    Planted(PlantedArguments),
    /// Be the source process `lockstep-store-sqlite`, which a world on real threads starts.
    #[command(hide = true)]
    Source {
        /// What it would have on its command line.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// What plans are run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum World {
    /// The simulator: virtual time, every fault, and every run can be replayed.
    Sim,
    /// Real threads, source processes on real files, and `kill -9`. No run can be replayed, and what only the
    /// simulator can do is left out of the plans and counted: waits and changes of time-outs, writes that would wait for an open transaction, stalls and slow
    /// sources, breaches of the protocol (deaths instead), power losses (reboots instead of those between calls), failing disks,
    /// records put into stores.
    Threads,
}

/// Which store the sources of the world use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// SQLite on an in-memory file system.
    Sqlite,
    /// Ordered maps.
    Memory,
}

/// What kind of report goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}

/// Options of `run`.
#[derive(Args)]
pub struct RunArguments {
    /// The seeds, as FIRST..END, or FIRST.. for all from there; END is not run. 0..200 if neither
    /// this nor --time is given.
    #[arg(long)]
    seeds: Option<String>,
    /// Begin no seed after this time, as in 90s, 10m or 2h. Without --seeds from 0 on, without another end.
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Run share I of N equal shares of the seeds, as I/N, counted from 1.
    #[arg(long)]
    shard: Option<String>,
    /// What the plans exercise: default, calm, crash, security, lifecycle or chaos.
    #[arg(long, default_value = "default")]
    profile: String,
    /// About how many calls each plan makes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: u32,
    /// The store behind each source.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// What the plans are run in.
    #[arg(long, value_enum, default_value = "sim")]
    world: World,
    /// Threads; one for each core if not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Where reproductions and, if it is given, summary.json are written.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Stop at the first divergence.
    #[arg(long)]
    stop_at_first: bool,
    /// Save and print plans as they are instead of looking for shorter ones.
    #[arg(long)]
    no_shrink: bool,
    /// Run one seed in this many twice and compare the traces; 1 runs all twice, and 50 is the default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    twice_one_in: Option<u64>,
    /// Run every seed twice, on another thread, and compare the traces.
    #[arg(long, conflicts_with = "twice_one_in")]
    determinism: bool,
    /// List the situations in which no call was made: call, layers, sources and how far the call came. Some of
    /// them cannot occur.
    #[arg(long)]
    blind_spots: bool,
    /// The report on standard output.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// Options of `replay`.
#[derive(Args)]
pub struct ReplayArguments {
    /// A seed, or the file of a script.
    what: String,
    /// For a seed: what its plan exercises.
    #[arg(long, default_value = "default")]
    profile: String,
    /// For a seed: about how many calls its plan makes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: u32,
    /// The store behind each source.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// Leave the plan as it is instead of looking for a shorter one.
    #[arg(long)]
    no_shrink: bool,
}

/// Options of `shrink`.
#[derive(Args)]
pub struct ShrinkArguments {
    /// The file of a script.
    file: PathBuf,
    /// The store behind each source.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// Where the shrunk script is written, under the name of the file with `-shrunk`.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The report on standard output.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// Options of `exhaust`.
#[derive(Args)]
pub struct ExhaustArguments {
    /// The longest sequences, 4 at most; each action more takes about twenty times as long.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    length: u8,
    /// The store behind the source.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// Threads; one for each core if not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Where reproductions are written.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Run one case in this many twice and compare the traces; 1 runs all twice.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    twice_one_in: u64,
}

/// Options of `check`.
#[derive(Args)]
pub struct CheckArguments {
    /// Script files, or folders that are searched for *.lcs and *.rsi.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Write the model's answers into the scripts. Scripts marked `by hand` are only compared.
    #[arg(long)]
    bless: bool,
    /// Account for the requirements that the scripts show; exit status 4 below 95 %, if a script names one in its
    /// header that it does not show, or if one is shown that is said not to count.
    #[arg(long)]
    coverage: bool,
    /// The store behind each source.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
}

/// Options of `explain`.
#[derive(Args)]
pub struct ExplainArguments {
    /// The file of a script.
    file: PathBuf,
    /// The step to stop after, counted from 1; the last one if not given.
    #[arg(long)]
    at: Option<usize>,
    /// A key; without one the whole effective view is shown.
    path: Option<String>,
    /// A value of that key; without one the contest for the key's name is shown.
    value: Option<String>,
    /// The actor whose view it is; the first one if not given.
    #[arg(long = "as")]
    viewer: Option<String>,
    /// The store behind each source.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
}

/// How much a certification does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    /// Seconds.
    Smoke,
    /// Minutes.
    Full,
}

/// Options of `certify`.
#[derive(Args)]
pub struct CertifyArguments {
    /// The store.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// How much is done.
    #[arg(long, value_enum, default_value = "smoke")]
    level: LevelName,
    /// The folder of the scripts, *.rsi.
    #[arg(long, default_value = "conformance/scripts/store")]
    scripts: PathBuf,
    /// The seed of the first random plan.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Random plans keep to one hive.
    #[arg(long)]
    one_hive: bool,
    /// Random plans make no volatile keys.
    #[arg(long)]
    no_volatile_keys: bool,
    /// Where reproductions and, if it is given, certification.json are written.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The report on standard output.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// Options of `bench`.
#[derive(Args)]
pub struct BenchArguments {
    /// Only the rows whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// About how long each row is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// The table on standard output.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Only back up so many keys and say how many kilobytes the process has had at once.
    #[arg(long, hide = true)]
    high_water_of_backup: Option<u32>,
}

/// Options of `planted`.
#[derive(Args)]
pub struct PlantedArguments {
    /// Only the defects whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Apply and compile, and do not hunt.
    #[arg(long)]
    compile_only: bool,
    /// Take this many of them, chosen by the rotation number, and only apply the rest.
    #[arg(long)]
    sample: Option<usize>,
    /// Where the sample begins.
    #[arg(long, default_value_t = 0)]
    rotation: usize,
    /// The table on standard output.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// How the standard library says that `println!` could not print.
const OUTPUT_FAILED: &str = "failed printing to stdout";

fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    if let Command::Source { arguments } = command {
        return store_process::main(arguments.into_iter());
    }
    panics::remember();
    match panics::caught(|| execute(&command)) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(message)) => {
            eprintln!("lockstep: {message}");
            commands::Exit::Usage.into()
        }
        Err(panic) if panic.contains(OUTPUT_FAILED) => {
            eprintln!("lockstep: failed to write the output: nobody reads it, or the disk is full");
            commands::Exit::Usage.into()
        }
        Err(panic) => {
            eprintln!("lockstep: fault of the harness: {panic}");
            commands::Exit::HarnessFault.into()
        }
    }
}

fn execute(command: &Command) -> commands::CommandResult {
    match command {
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Replay(arguments) => commands::replay::replay(arguments),
        Command::Shrink(arguments) => commands::shrink::shrink(arguments),
        Command::Check(arguments) => commands::check::check(arguments),
        Command::Explain(arguments) => commands::explain::explain(arguments),
        Command::Exhaust(arguments) => commands::exhaust::exhaust(arguments),
        Command::Certify(arguments) => commands::certify::certify(arguments),
        Command::Bench(arguments) => commands::bench::bench(arguments),
        Command::Doctor => commands::doctor::doctor(),
        Command::Planted(arguments) => commands::planted::planted(arguments),
        Command::Source { .. } => unreachable!("a source process has nothing to report"),
    }
}
