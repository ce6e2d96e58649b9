//! What a script claims in its header is decided by the model, or seen on the wire, while it runs.

use std::path::Path;

use conformance::campaign::Runner;
use conformance::lockstep::Options;
use conformance::script;
use sim::{SimRunner, StoreKind};

/// Decisions are cited beside requirements; nobody marks them.
fn is_requirement(id: &str) -> bool {
    !id.starts_with("D-") && !id.starts_with("P-")
}

/// The ids in the header of a script that nothing marked while it ran.
fn unmarked(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a script");
    let script = script::parse(&text, &file.display().to_string()).expect("a good script");
    let runner = SimRunner { store: StoreKind::Memory };
    let run = runner.run(&script.plan, script.seed.unwrap_or(0), Options::default());
    let claimed = script.requirements.into_iter().filter(|id| is_requirement(id));
    let covered = run.statistics.covered();
    claimed.filter(|id| !covered.contains(id.as_str())).collect()
}

#[test]
fn registration_scripts_mark_what_they_claim() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/scripts/registration");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the scripts") {
        let file = entry.expect("a file").path();
        let unmarked = unmarked(&file);
        if !unmarked.is_empty() {
            missing.push(format!("{}: {}", file.display(), unmarked.join(", ")));
        }
    }
    missing.sort();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
