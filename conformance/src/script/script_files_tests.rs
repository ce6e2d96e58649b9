//! The scripts that come with the project are well-formed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Script, parse};
use crate::plan::{Action, Step};

fn script_files(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .expect("a directory of scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            script_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "lcs") {
            files.push(path);
        }
    }
}

fn scripts() -> Vec<(String, Script)> {
    let mut files = Vec::new();
    script_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts"), &mut files);
    let read = |path: PathBuf| {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).expect("a readable script");
        let script = parse(&text, &name).unwrap_or_else(|error| panic!("{error}"));
        (name, script)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_script_parses_and_names_its_requirements() {
    let scripts = scripts();
    assert!(!scripts.is_empty());
    for (name, script) in scripts {
        assert!(!script.requirements.is_empty(), "{name} names no requirements");
    }
}

#[test]
fn every_script_by_hand_says_what_each_read_answers() {
    for (name, script) in scripts().into_iter().filter(|(_, script)| script.by_hand) {
        for (index, step) in script.plan.steps.iter().enumerate() {
            let Step::Act { action, .. } = step else { continue };
            let action = match action {
                Action::Within { action, .. } => action,
                action => action,
            };
            let reads = matches!(
                action,
                Action::Get { .. }
                    | Action::GetSecurity { .. }
                    | Action::Batch { .. }
                    | Action::EnumerateValue { .. }
                    | Action::EnumerateSubkey { .. }
                    | Action::List { .. }
                    | Action::Info { .. }
                    | Action::Changes { .. }
                    | Action::View { .. }
                    | Action::TransactionStatus { .. }
                    | Action::Events { .. }
                    | Action::Poll { .. }
                    | Action::Backup { .. }
                    | Action::Restore { .. }
                    | Action::Records { .. }
                    | Action::Raw { .. }
                    | Action::Ioctl { .. }
                    | Action::Syscall { .. }
            );
            let line = script.lines[index].step;
            assert!(!reads || !script.expectations[index].is_empty(), "{name}:{line}");
        }
    }
}
