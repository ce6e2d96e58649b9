//! `lockstep planted`: each planted defect applied to a copy of the source tree, compiled, and
//! run until it is found.
//!
//! A defect is a patch in `conformance/planted/`, with its requirement ids and the options of the
//! campaign that must find it in the lines before the diff. The copy is built without `--release`:
//! a build is repeated for each defect, and what a campaign loses in speed it does not need.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use super::{CommandResult, Exit};
use crate::{Format, PlantedArguments};

/// A defect must be found within this time.
const DETECTION_MAX_S: u64 = 60;
/// The name of the binary that is built of a tree with a defect.
const BINARY: &str = "lockstep-planted";
/// A divergence must be shrunk within this time.
const SHRINKING_MAX_S: u64 = 120;
/// Where campaigns save what they find, below the tree with the defect.
const FOUND: &str = "found";
/// Seeds offered to each defect, from 0 on.
const SEEDS_MAX: u64 = 100_000;

struct Defect {
    name: String,
    patch: PathBuf,
    requirements: String,
    options: Vec<String>,
}

struct Outcome {
    name: String,
    requirements: String,
    state: State,
    elapsed_ms: u64,
    seeds: u64,
    shrunk: Option<Shrunk>,
}

/// What the divergence was shrunk to.
#[derive(Clone, Copy)]
struct Shrunk {
    steps: u64,
    calls: u64,
    elapsed_ms: u64,
    replays: u64,
    replays_alike: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Applies,
    Compiles,
    Found,
    Missed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Applies => "applies",
            State::Compiles => "compiles",
            State::Found => "found",
            State::Missed => "MISSED",
        }
    }
}

/// Applies, compiles and hunts.
pub fn planted(arguments: &PlantedArguments) -> CommandResult {
    let root = source_tree()?;
    let mut defects = defects(&root.join("conformance/planted"))?;
    if let Some(only) = &arguments.only {
        defects.retain(|defect| defect.name.contains(only.as_str()));
    }
    if defects.is_empty() {
        return Err("no planted defect has such a name; see conformance/planted".to_owned());
    }
    let work = root.join("target/planted/tree");
    let mut outcomes = Vec::new();
    for (position, defect) in defects.iter().enumerate() {
        let sampled = arguments.sample.is_none_or(|sample| {
            let count = defects.len();
            (position + count - arguments.rotation % count) % count < sample
        });
        let until = match (sampled, arguments.compile_only) {
            (false, _) => State::Applies,
            (true, true) => State::Compiles,
            (true, false) => State::Found,
        };
        let is_few = arguments.sample.is_some();
        let outcome = try_defect(&root, &work, defect, until, is_few)?;
        if arguments.format == Format::Human {
            println!("{}", table::row(&outcome));
        }
        outcomes.push(outcome);
    }
    if arguments.format == Format::Json {
        println!("{}", table::json(&outcomes));
    }
    let missed = outcomes.iter().filter(|outcome| outcome.state == State::Missed).count();
    if arguments.format == Format::Human {
        let hunted = |outcome: &&Outcome| matches!(outcome.state, State::Found | State::Missed);
        let hunted = outcomes.iter().filter(hunted).count();
        println!("{} defects, {hunted} hunted, {missed} missed", outcomes.len());
        print!("{}", table::figures(&outcomes));
    }
    Ok(if missed == 0 { Exit::Conforms } else { Exit::Divergence })
}

/// The tree that this binary was built from.
fn source_tree() -> Result<PathBuf, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if root.join("conformance/planted").is_dir() {
        return Ok(root);
    }
    Err(format!("the source tree {} is gone; build lockstep from a checkout again", root.display()))
}

fn defects(folder: &Path) -> Result<Vec<Defect>, String> {
    let failed = |error| format!("failed to read {}: {error}", folder.display());
    let mut defects = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let patch = entry.map_err(failed)?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch)
            .map_err(|error| format!("failed to read {}: {error}", patch.display()))?;
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let header = |key: &str| {
            text.lines()
                .take_while(|line| !line.starts_with("diff "))
                .find_map(|line| line.strip_prefix(key))
                .map(|value| value.trim().to_owned())
        };
        let requirements = header("requirements:").ok_or_else(|| {
            format!("{} has no line `requirements:` before its diff", patch.display())
        })?;
        let options = header("options:").unwrap_or_default();
        let options = options.split_whitespace().map(str::to_owned).collect();
        defects.push(Defect { name, patch, requirements, options });
    }
    defects.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(defects)
}

/// Takes a defect as far as `until`: applied, compiled, or hunted. Where there are few, compiling the model takes
/// longer than an optimised one saves.
fn try_defect(
    root: &Path,
    work: &Path,
    defect: &Defect,
    until: State,
    is_few: bool,
) -> Result<Outcome, String> {
    copy_tree(root, work)?;
    let apply = Command::new("git")
        .args(["apply", "--whitespace=nowarn"])
        // The copy lies inside the checkout and must not be taken for a part of it.
        .env("GIT_CEILING_DIRECTORIES", work.parent().unwrap_or(work))
        .arg(&defect.patch)
        .current_dir(work)
        .output();
    expect_success(apply, &format!("apply {}; update the patch", defect.patch.display()))?;
    let mut outcome = Outcome {
        name: defect.name.clone(),
        requirements: defect.requirements.clone(),
        state: until,
        elapsed_ms: 0,
        seeds: 0,
        shrunk: None,
    };
    if until == State::Applies {
        return Ok(outcome);
    }
    // The checkout's own target folder, since the dependencies there are the same. Another profile
    // for the copy's own crates: what cargo builds of them under the same one would have the names of
    // the checkout's, and a later build of the checkout would take a defect for itself.
    let mut build = Command::new("cargo");
    build.args(["build", "--bin", BINARY, "--quiet"]).env("CARGO_PROFILE_DEV_DEBUG", "none");
    if is_few {
        build.args(["--config", "profile.dev.package.registry-model.opt-level=0"]);
    }
    let built = build.env("CARGO_TARGET_DIR", root.join("target")).current_dir(work).output();
    expect_success(built, &format!("compile the tree with {}", defect.name))?;
    if until == State::Found {
        hunt(root, work, defect, &mut outcome)?;
    }
    Ok(outcome)
}

/// Runs the tree with the defect until a seed diverges at which this binary, which has not the defect,
/// conforms: what diverges anyway shows nothing of it. Then what was found is shrunk.
fn hunt(root: &Path, work: &Path, defect: &Defect, outcome: &mut Outcome) -> Result<(), String> {
    let binary = root.join("target/debug").join(BINARY);
    let sound =
        std::env::current_exe().map_err(|error| format!("failed to find lockstep: {error}"))?;
    let began = Instant::now();
    outcome.state = State::Missed;
    let mut next = 0;
    while next < SEEDS_MAX {
        let left_s = DETECTION_MAX_S.saturating_sub(began.elapsed().as_secs());
        if left_s == 0 {
            break;
        }
        let run = campaign(&binary, work, defect, (next, SEEDS_MAX), left_s)?;
        outcome.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        outcome.seeds += number_of(&run, "seeds").unwrap_or(0);
        let Some(seed) = number_of(&run, "seed").filter(|_| run.status.code() == Some(1)) else {
            break;
        };
        let without = campaign(&sound, work, defect, (seed, seed + 1), DETECTION_MAX_S)?;
        if without.status.code() == Some(0) {
            outcome.state = State::Found;
            outcome.shrunk = shrink(&binary, work, defect, seed)?;
            break;
        }
        next = seed + 1;
    }
    Ok(())
}

/// Shrinks what a campaign has saved of a seed. Nothing comes of it if that takes too long.
fn shrink(
    binary: &Path,
    work: &Path,
    defect: &Defect,
    seed: u64,
) -> Result<Option<Shrunk>, String> {
    let store = defect.options.iter().skip_while(|option| *option != "--store").take(2);
    let run = limited(binary, work, SHRINKING_MAX_S)
        .args(["shrink", &format!("{FOUND}/seed-{seed}.lcs"), "--report", FOUND])
        .args(["--format", "json"])
        .args(store)
        .output()
        .map_err(|error| format!("failed to shrink: {error}"))?;
    let number = |name| number_of(&run, name);
    let shrunk = || {
        Some(Shrunk {
            steps: number("steps")?,
            calls: number("calls")?,
            elapsed_ms: number("elapsed_ms")?,
            replays: number("replays")?,
            replays_alike: number("replays_alike")?,
        })
    };
    Ok(shrunk())
}

/// A campaign over these seeds, to its first divergence and for no longer than so many seconds.
fn campaign(
    binary: &Path,
    work: &Path,
    defect: &Defect,
    (first, end): (u64, u64),
    time_max_s: u64,
) -> Result<Output, String> {
    limited(binary, work, time_max_s)
        .args(["run", "--seeds", &format!("{first}..{end}"), "--stop-at-first"])
        .args(["--no-shrink", "--report", FOUND, "--format", "json"])
        .args(&defect.options)
        .output()
        .map_err(|error| format!("failed to run the campaign: {error}"))
}

/// A binary that runs in the tree, for no longer than so many seconds.
fn limited(binary: &Path, work: &Path, time_max_s: u64) -> Command {
    let mut command = Command::new("timeout");
    command.arg(time_max_s.to_string()).arg(binary).current_dir(work);
    command
}

/// The first number of this name in the report that a campaign printed.
fn number_of(run: &Output, name: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(&run.stdout);
    let key = format!("\"{name}\": ");
    text.lines().find_map(|line| line.trim().strip_prefix(&key)?.trim_end_matches(',').parse().ok())
}

/// Copies the files that git knows or would add. Unchanged files keep their times, so that only
/// what a patch touched is compiled again.
fn copy_tree(root: &Path, work: &Path) -> Result<(), String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output();
    let listed = expect_success(listed, "list the files of the source tree")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    // The copy lies below the checkout, whose configuration of cargo holds for it. Flags that are
    // given in both would be given twice, and all dependencies be built again for it.
    let is_copied = |name: &&str| !name.is_empty() && !name.starts_with(".cargo/");
    for name in listed.split('\0').filter(is_copied) {
        let (from, to) = (root.join(name), work.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        let folder = to.parent().unwrap_or(work);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&to, bytes))
            .map_err(|error| format!("failed to write {}: {error}", to.display()))?;
    }
    name_binary(work)
}

/// Gives the copy's binary a name of its own, so that it never stands in for the real one.
fn name_binary(work: &Path) -> Result<(), String> {
    let manifest = work.join("Cargo.toml");
    let section = format!("\n[[bin]]\nname = \"{BINARY}\"\npath = \"src/main.rs\"\n");
    let default = format!("default-run = \"{BINARY}\"");
    fs::read_to_string(&manifest)
        .map(|text| text.replace("default-run = \"lockstep\"", &default))
        .and_then(|text| fs::write(&manifest, text + &section))
        .map_err(|error| format!("failed to write {}: {error}", manifest.display()))
}

fn expect_success(output: std::io::Result<Output>, what: &str) -> Result<Output, String> {
    match output {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => {
            Err(format!("failed to {what}:\n{}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => Err(format!("failed to {what}: {error}")),
    }
}
