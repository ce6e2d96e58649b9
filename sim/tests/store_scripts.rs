//! The scripts of requests, and random plans, against both stores.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::script::store::{EXTENSION, StoreScript, parse, print};
use conformance::store_client::certify::{Level, ScriptOutcome, certify, script_outcome, unmarked};
use conformance::store_client::generate::Features;
use conformance::store_client::lockstep::run;
use sim::{SimStoreMachine, StoreKind};

const STORES: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Memory];

fn script_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of scripts") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            script_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
}

fn scripts() -> Vec<(String, StoreScript)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/scripts/store");
    let mut files = Vec::new();
    script_files(&directory, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).expect("a readable script");
        let script = parse(&text, &name).unwrap_or_else(|error| panic!("{error}"));
        (name, script)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_script_passes_and_marks_what_it_names() {
    let mut problems = Vec::new();
    for store in STORES {
        for (name, script) in scripts() {
            let run = run(&script.plan, &SimStoreMachine { store }, 0);
            let outcome = script_outcome(&script, &run);
            if outcome != ScriptOutcome::Passes {
                problems.push(format!("{name} over {store:?}: {outcome:?}"));
            }
            for id in unmarked(&script, &run.statistics.covered) {
                problems.push(format!("{name} over {store:?} names {id}, and nothing marks it"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Random plans conform at a store.
#[track_caller]
fn conforms(store: StoreKind) {
    let level = Level { plans: 200, requests: 60, features: Features::ALL };
    let result = certify(&SimStoreMachine { store }, &[], level, 10_000);
    let findings: Vec<_> = result.findings.iter().map(|found| print(&found.plan)).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
    assert!(result.faults.is_empty(), "{:?}", result.faults);
    assert!(result.indeterminate.is_empty(), "{:?}", result.indeterminate);
    assert!(result.vacuous().is_empty(), "{:?}", result.vacuous());
}

#[test]
fn random_plans_over_the_memory_store_conform() {
    conforms(StoreKind::Memory);
}

#[test]
fn random_plans_over_sqlite_conform() {
    conforms(StoreKind::Sqlite);
}
