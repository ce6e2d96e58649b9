//! `lockstep bench`: how fast it is, as a table or JSON, beside the floors and goals of the design.
//!
//! Ratios are taken within one run, since machines differ from hour to hour.

mod machine;
mod overlapping;
mod transfers;
mod tree;
mod worlds;

use std::cell::LazyCell;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use conformance::campaign::{Campaign, Runner};
use conformance::generate::{Profile, plan_of_seed};
use conformance::lockstep::{self, Happening, Options, Verdict};
use conformance::plan::{Action, KeyReference, Plan, Step, Text};
use conformance::seeds::Seeds;
use sim::{SimRunner, StoreKind};

use super::{CommandResult, Exit};
use crate::{BenchArguments, Format};

/// Calls of one plan in the rows that count calls.
const PLAN_CALLS: usize = 1_000;
/// Keys of the two trees whose calls are compared.
const TREE_KEYS: [usize; 2] = [1_000, 100_000];
/// Reads timed in each tree.
const TREE_READS: usize = 2_000;
/// Keys below one parent in those trees.
const TREE_FANOUT: usize = 100;

/// One measured figure.
struct Row {
    name: &'static str,
    unit: &'static str,
    figure: f64,
    floor: f64,
    goal: f64,
}

impl Row {
    /// Whether the figure is on the goal's side of the floor.
    fn holds(&self) -> bool {
        if self.goal > self.floor { self.figure >= self.floor } else { self.figure <= self.floor }
    }
}

/// The rows that are asked for, as they are measured.
struct Table<'a> {
    arguments: &'a BenchArguments,
    rows: Vec<Row>,
}

/// What a row is called, in which unit it is, its floor and its goal.
type Named = (&'static str, &'static str, f64, f64);

impl Table<'_> {
    /// Measures a row.
    fn row(
        &mut self,
        (name, unit, floor, goal): Named,
        measure: impl FnOnce() -> Result<f64, String>,
    ) -> Result<(), String> {
        if self.arguments.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return Ok(());
        }
        let row = Row { name, unit, figure: measure()?, floor, goal };
        if self.arguments.format == Format::Human {
            println!("{}", line(&row));
        }
        self.rows.push(row);
        Ok(())
    }
}

/// Measures every row that is asked for.
pub fn bench(arguments: &BenchArguments) -> CommandResult {
    if let Some(keys) = arguments.high_water_of_backup {
        println!("{}", transfers::high_water_of_backup(keys)?);
        return Ok(Exit::Conforms);
    }
    let time = Duration::from_secs(u64::from(arguments.seconds));
    let mut table = Table { arguments, rows: Vec::new() };
    if arguments.format == Format::Human {
        println!("{:<44} {:>12} {:>10} {:>10}", "", "measured", "floor", "goal");
    }
    rows_of_calls(&mut table, time)?;
    rows_of_size(&mut table, time)?;
    for (named, operations, overlap) in overlapping::ROWS {
        table.row(named, || overlapping::speed(operations, overlap, time))?;
    }
    let rows = table.rows;
    if rows.is_empty() {
        return Err("no row has that in its name; `lockstep bench` shows all of them".into());
    }
    let missed = rows.iter().filter(|row| !row.holds()).count();
    match arguments.format {
        Format::Human => println!("{} rows, {missed} below their floor", rows.len()),
        Format::Json => println!("{}", json(&rows)),
    }
    Ok(if missed == 0 { Exit::Conforms } else { Exit::Divergence })
}

/// How fast calls and whole plans are checked, and what checking costs.
fn rows_of_calls(table: &mut Table<'_>, time: Duration) -> Result<(), String> {
    let memory = SimRunner { store: StoreKind::Memory };
    let sqlite = SimRunner { store: StoreKind::Sqlite };
    // Not wanted for every row, and too slow to be thrown away.
    let recorded = LazyCell::new(|| record(memory));
    let named = ("model alone", "calls/s", 200e3, 1e6);
    table.row(named, || model_alone(recorded.as_ref()?, time))?;
    let named = ("checked, memory store", "calls/s", 50e3, 100e3);
    table.row(named, || Ok(checked(memory, time)))?;
    let named = ("checked, SQLite on the simulated disk", "calls/s", 8e3, 20e3);
    table.row(named, || Ok(checked(sqlite, time)))?;
    for (named, kind) in worlds::ROWS {
        table.row(named, || worlds::speed(kind, sqlite, time))?;
    }
    let named = ("plans of 100 calls, memory", "seeds/s", 300.0, 1000.0);
    table.row(named, || Ok(seeds(memory, time)))?;
    let named = ("plans of 100 calls, SQLite", "seeds/s", 60.0, 150.0);
    table.row(named, || Ok(seeds(sqlite, time)))?;
    let named = ("checked run over implementation alone", "times", 2.5, 1.5);
    table.row(named, || cost_of_checking(memory, recorded.as_ref()?, time))?;
    let named = ("two threads over one", "times", 1.6, 1.9);
    table.row(named, || Ok(two_threads(sqlite, time)))
}

/// What becomes of speed and memory with the size of a tree, and how fast one is streamed.
fn rows_of_size(table: &mut Table<'_>, time: Duration) -> Result<(), String> {
    for (name, store) in [
        ("a call at 100,000 keys over 1,000, memory", StoreKind::Memory),
        ("a call at 100,000 keys over 1,000, SQLite", StoreKind::Sqlite),
    ] {
        table.row((name, "times", 3.0, 1.5), || growth(SimRunner { store }))?;
    }
    let named = ("backup of 20,000 keys into a pipe", "MB/s", 50.0, 100.0);
    table.row(named, || transfers::backup_speed(time))?;
    // A backup reads a key by two requests, twice. A restore asks for each record by one of its own, and for
    // the removal of what was there by as many: 15 MB/s are 200,000 requests a second.
    let named = ("restore of them, over as many", "MB/s", 15.0, 30.0);
    table.row(named, || transfers::restore_speed(time))?;
    let named = ("memory of a backup, 80,000 keys over 20,000", "times", 1.2, 1.1);
    table.row(named, transfers::growth_of_memory)
}

/// Plans without faults, each with what happened when it ran.
type Recorded = Vec<(Plan, Vec<Happening>)>;

fn record(runner: SimRunner) -> Result<Recorded, String> {
    (0..8)
        .map(|seed| {
            let plan = plan_of_seed(seed, Profile::Calm, PLAN_CALLS);
            let options = Options { record: true, ..Options::default() };
            let run = runner.run(&plan, seed, options);
            match run.verdict {
                Verdict::Conforms => Ok((plan, run.history)),
                other => {
                    Err(format!("seed {seed} does not conform, so it says nothing: {other:?}"))
                }
            }
        })
        .collect()
}

/// Repeats `work` until `time` is over; what it counts, a second.
fn rate(time: Duration, mut work: impl FnMut(u64) -> u64) -> f64 {
    let began = Instant::now();
    let mut counted = 0;
    let mut round = 0;
    while began.elapsed() < time {
        counted += work(round);
        round += 1;
    }
    counted as f64 / began.elapsed().as_secs_f64()
}

fn model_alone(recorded: &Recorded, time: Duration) -> Result<f64, String> {
    let mut allowed = true;
    let figure = rate(time, |round| {
        let (_, history) = &recorded[round as usize % recorded.len()];
        allowed &= lockstep::repeat_in_model(history);
        history.len() as u64
    });
    if allowed { Ok(figure) } else { Err("the model refuses its own history".to_owned()) }
}

fn checked(runner: SimRunner, time: Duration) -> f64 {
    rate(time, |round| {
        let plan = plan_of_seed(round, Profile::Calm, PLAN_CALLS);
        runner.run(&plan, round, Options::default()).statistics.calls
    })
}

fn seeds(runner: SimRunner, time: Duration) -> f64 {
    rate(time, |round| {
        let plan = plan_of_seed(round, Profile::Default, 100);
        runner.run(&plan, round, Options::default());
        1
    })
}

/// The time of recorded plans with the model, the monitor and the trace, over that of their calls
/// alone. Both make the same calls in worlds of their own; neither compares views. They take turns, plan by plan, so
/// that what else the machine has to do slows both alike.
fn cost_of_checking(runner: SimRunner, recorded: &Recorded, time: Duration) -> Result<f64, String> {
    let (mut with, mut alone) = (Duration::ZERO, Duration::ZERO);
    let mut failed = None;
    rate(time * 2, |round| {
        let (plan, history) = &recorded[round as usize % recorded.len()];
        let options = Options { steps_max: Some(plan.steps.len()), ..Options::default() };
        let began = Instant::now();
        runner.run(&without_views(plan), 0, options);
        with += began.elapsed();
        let began = Instant::now();
        failed = failed.take().or(runner.repeat_unchecked(plan, 0, history).err());
        alone += began.elapsed();
        1
    });
    match failed {
        None => Ok(with.as_secs_f64() / alone.as_secs_f64()),
        Some(failure) => Err(failure),
    }
}

fn without_views(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.steps.retain(|step| *step != Step::CompareViews);
    // One more step than are taken, so that the comparison at the end is left out.
    plan.steps.push(Step::CompareViews);
    plan
}

fn two_threads(runner: SimRunner, time: Duration) -> f64 {
    let cancelled = AtomicBool::new(false);
    let per_thread = (seeds(runner, time / 4) * time.as_secs_f64()).max(20.0) as u64;
    let campaign = |jobs, seeds| Campaign {
        seeds: Seeds::from(0..seeds),
        jobs,
        twice_one_in: None,
        options: Options::default(),
        plan: &|seed| plan_of_seed(seed, Profile::Default, 100),
        runner: &runner,
        cancelled: &cancelled,
        is_time_over: &|| false,
    };
    let timed = |jobs, seeds: u64| {
        let began = Instant::now();
        campaign(jobs, seeds).run(&|_| ());
        seeds as f64 / began.elapsed().as_secs_f64()
    };
    timed(2, per_thread * 2) / timed(1, per_thread)
}

/// The time of a read by path in a large tree over that in a small one.
fn growth(runner: SimRunner) -> Result<f64, String> {
    let [small, large] = TREE_KEYS.map(|keys| time_of_reads(runner, keys));
    Ok(large? / small?)
}

fn time_of_reads(runner: SimRunner, keys: usize) -> Result<f64, String> {
    let path = |key: usize| format!("Machine\\k{}\\k{}", key / TREE_FANOUT, key % TREE_FANOUT);
    let mut plan = Plan::default();
    let act = |action| Step::Act { actor: 0, action };
    let create = |path: &str| Action::Create {
        handle: None,
        parent: None,
        path: Text::from(path),
        access: 1,
        flags: 0,
        layer: None,
    };
    for key in 0..keys {
        if key.is_multiple_of(TREE_FANOUT) {
            plan.steps.push(act(create(&format!("Machine\\k{}", key / TREE_FANOUT))));
        }
        plan.steps.push(act(create(&path(key))));
    }
    let first_read = plan.steps.len();
    for read in 0..TREE_READS {
        // A stride that is prime to the number of keys visits keys all over the tree.
        let key = KeyReference::Path(Text::from(path(read * 7_919 % keys).as_str()));
        let name = Text::from("v");
        plan.steps.push(act(Action::Get { key, name, data_capacity: None, layer_capacity: None }));
    }
    let last = plan.steps.len();
    plan.steps.push(Step::CompareViews);
    let clock = RealClock::start();
    let options = Options { steps_max: Some(last), ..Options::default() };
    let (mut began, mut ended) = (None, None);
    let run = runner.run_watched(&plan, 0, options, &mut |step| {
        if step == first_read {
            began = clock.now();
        }
        if step + 1 == last {
            ended = clock.now();
        }
    });
    let elapsed = began.zip(ended).map(|(began, ended)| ended.duration_since(began));
    match run.verdict {
        Verdict::Conforms => elapsed
            .map(|elapsed| elapsed.as_secs_f64())
            .ok_or_else(|| "the clock of the bench stopped".to_owned()),
        other => Err(format!("the tree of {keys} keys does not conform: {other:?}")),
    }
}

/// Real time inside a world, where the simulator answers every question for the time with its own:
/// a thread outside of it is asked.
struct RealClock {
    ask: Sender<Sender<Instant>>,
}

impl RealClock {
    fn start() -> RealClock {
        let (ask, asked) = channel::<Sender<Instant>>();
        std::thread::spawn(move || {
            while let Ok(answer) = asked.recv() {
                // Whoever asked may be gone.
                let _ = answer.send(Instant::now());
            }
        });
        RealClock { ask }
    }

    fn now(&self) -> Option<Instant> {
        let (answer, answered) = channel();
        self.ask.send(answer).ok()?;
        answered.recv().ok()
    }
}

fn line(row: &Row) -> String {
    let mark = if row.holds() { "" } else { "  BELOW" };
    format!(
        "{:<44} {:>12} {:>10} {:>10} {}{mark}",
        row.name,
        number(row.figure),
        number(row.floor),
        number(row.goal),
        row.unit
    )
}

fn number(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

fn json(rows: &[Row]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "  {{\"name\": {:?}, \"unit\": {:?}, \"measured\": {}, \"floor\": {}, \"goal\": {}, \"holds\": {}}}",
                row.name, row.unit, row.figure, row.floor, row.goal, row.holds()
            )
        })
        .collect();
    format!("[\n{}\n]", rows.join(",\n"))
}
