//! The architecture as a test: which crate may know which, and what no source file may contain.
//!
//! Reads the manifests and sources of this workspace from disk. The rules are those of
//! ARCHITECTURE.md; each failure says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// Crates of the implementation, which the model's side must not know.
const IMPLEMENTATION: [&str; 6] = ["abi", "rsi", "lcs", "stores", "host", "store-process"];
/// Directories of code that has to behave the same on every run. Their tests do too.
const DETERMINISTIC: [&str; 4] = ["model", "conformance", "sim/src", "impl/lcs"];
/// What deterministic code does without, and what it takes instead.
const NONDETERMINISTIC: [(&str, &str); 5] = [
    ("HashMap", "use BTreeMap: its order is the same on every run"),
    ("HashSet", "use BTreeSet: its order is the same on every run"),
    ("SystemTime", "take the time from the environment"),
    ("Instant", "take the time from the environment, in sim from madsim"),
    ("thread_rng", "take random numbers from the seed"),
];
/// The simulator makes the environment that others take their time from: its own `Instant` is
/// madsim's, and only that of the standard library is forbidden there.
const SIMULATOR: &str = "sim/src";
/// What no source file contains, and what to do instead. The needles are in two parts, so that
/// this file is none of its own findings.
const FORBIDDEN: [([&str; 2], &str); 3] = [
    (["tod", "o!"], "finish it, or answer plainly what is out of scope"),
    (["unimple", "mented!"], "finish it, or answer plainly what is out of scope"),
    (["cfg(an", "y())"], "delete what is never compiled"),
];
/// What no attribute says, however it is spread over lines and conditions, and what to do instead.
const FORBIDDEN_IN_ATTRIBUTES: [(&str, &str); 2] = [
    ("allow", "use #[expect(..., reason = \"...\")] where it is needed"),
    ("ignore", "fix the test or delete it: an ignored test proves nothing"),
];
/// Forms of unsafe code, in two parts for the same reason.
const UNSAFE_FORMS: [[&str; 2]; 6] = [
    ["unsa", "fe {"],
    ["unsa", "fe fn"],
    ["unsa", "fe impl"],
    ["unsa", "fe extern"],
    ["unsa", "fe trait"],
    ["unsa", "fe("],
];
/// The one place where unsafe code may be.
const UNSAFE_ALLOWED_IN: &str = "sim/disk";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(directory: &str) -> Table {
    let path = root().join(directory).join("Cargo.toml");
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The strings of an array, such as `workspace.members`.
fn strings(table: &Table, section: &str, name: &str) -> BTreeSet<String> {
    let array = table[section][name].as_array().expect("an array of strings");
    array.iter().map(|item| item.as_str().expect("a string").to_owned()).collect()
}

/// The packages that a table of dependencies names, whatever they are called locally, or in the workspace.
fn packages_of(dependencies: &Table, of_workspace: &Table) -> Vec<String> {
    let package = |value: &toml::Value| value.get("package")?.as_str().map(str::to_owned);
    let names = dependencies.iter().map(|(name, value)| {
        let shared = || of_workspace.get(name).and_then(package);
        package(value).or_else(shared).unwrap_or_else(|| name.clone())
    });
    names.collect()
}

/// What the members share.
fn workspace_dependencies() -> Table {
    let shared = manifest(".")["workspace"]["dependencies"].as_table().cloned();
    shared.expect("the dependencies of the workspace")
}

const BUILD_KINDS: [&str; 2] = ["dependencies", "build-dependencies"];
const TEST_KINDS: [&str; 1] = ["dev-dependencies"];

/// What a manifest depends on in these kinds of sections, on any platform.
fn dependencies(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    dependencies_by(manifest, kinds, &workspace_dependencies())
}

fn dependencies_by(manifest: &Table, kinds: &[&str], of_workspace: &Table) -> BTreeSet<String> {
    let mut tables: Vec<&Table> = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(|targets| targets.as_table()) {
        tables.extend(targets.values().filter_map(|target| target.as_table()));
    }
    let sections = tables.into_iter().flat_map(|table| kinds.iter().map(|kind| table.get(*kind)));
    let sections = sections.flatten().filter_map(|section| section.as_table());
    sections.flat_map(|section| packages_of(section, of_workspace)).collect()
}

/// Each crate of the workspace by its package name, with its directory and its manifest.
fn crates() -> BTreeMap<String, (String, Table)> {
    let mut directories = strings(&manifest("."), "workspace", "members");
    directories.insert(".".to_owned());
    let crates = directories.into_iter().map(|directory| {
        let manifest = manifest(&directory);
        let name = manifest["package"]["name"].as_str().expect("a package name").to_owned();
        (name, (directory, manifest))
    });
    crates.collect()
}

/// Fails if a crate depends on another one of this workspace than these, or in tests than these
/// and those.
#[track_caller]
fn depends_only_on(name: &str, allowed: &[&str], allowed_in_tests: &[&str], advice: &str) {
    let crates = crates();
    let (directory, manifest) =
        crates.get(name).unwrap_or_else(|| panic!("crate {name} is gone: mend this test"));
    let in_tests = [allowed, allowed_in_tests].concat();
    for (kinds, allowed) in [(&BUILD_KINDS[..], allowed), (&TEST_KINDS[..], &in_tests)] {
        for dependency in dependencies(manifest, kinds) {
            assert!(
                !crates.contains_key(&dependency) || allowed.contains(&dependency.as_str()),
                "{directory}/Cargo.toml has {dependency} in {kinds:?}: {advice}"
            );
        }
    }
}

#[test]
fn the_model_knows_nobody() {
    depends_only_on(
        "registry-model",
        &[],
        &[],
        "the model is a reading of the specification of its own; take the dependency away",
    );
}

#[test]
fn the_implementation_knows_neither_model_nor_harness() {
    let arrows: [(&str, &[&str], &[&str]); 6] = [
        ("abi", &[], &[]),
        ("rsi", &[], &[]),
        ("lcs", &["abi", "rsi"], &[]),
        ("stores", &["rsi"], &["simulated-disk"]),
        ("host", &["abi", "rsi", "lcs", "stores"], &[]),
        ("store-process", &["abi", "rsi", "stores"], &["host", "lcs"]),
    ];
    assert_eq!(arrows.map(|(name, ..)| name), IMPLEMENTATION);
    for (name, allowed, allowed_in_tests) in arrows {
        depends_only_on(
            name,
            allowed,
            allowed_in_tests,
            "the implementation is an independent reading, the harness looks at it from outside, \
             and a store knows the kernel half by the wire alone; move what is shared into \
             impl/abi or impl/rsi",
        );
    }
}

#[test]
fn the_harness_knows_the_model_and_no_implementation() {
    depends_only_on(
        "conformance",
        &["registry-model"],
        &[],
        "conformance encodes the interface by itself and drives targets through its Target trait; \
         put what needs an implementation into sim or the command line",
    );
}

#[test]
fn what_both_worlds_share_knows_neither() {
    depends_only_on(
        "seam",
        &["conformance", "registry-model", "abi", "rsi", "lcs", "stores"],
        &[],
        "the seam is where calls of the harness meet the kernel half, whatever runs that; put what \
         knows a simulator into sim, and what knows threads into threads",
    );
}

#[test]
fn the_world_on_real_threads_knows_no_simulator() {
    depends_only_on(
        "threads",
        &["conformance", "registry-model", "seam", "host", "abi", "rsi", "lcs", "stores"],
        &[],
        "what runs here is what runs without the harness; put what both worlds need into seam",
    );
}

#[test]
fn the_reports_know_only_the_harness() {
    depends_only_on(
        "reports",
        &["conformance", "registry-model"],
        &[],
        "reports turn results of conformance into text; hand them what they need with these",
    );
}

#[test]
fn the_simulated_disk_knows_nobody() {
    depends_only_on("simulated-disk", &[], &[], "the disk is a file system and knows no registry");
}

#[test]
fn only_the_simulator_needs_madsim() {
    for (name, (directory, manifest)) in crates() {
        let kinds = [&BUILD_KINDS[..], &TEST_KINDS[..]].concat();
        let dependencies = dependencies(&manifest, &kinds);
        let madsim = dependencies.iter().find(|dependency| dependency.starts_with("madsim"));
        assert!(
            name == "sim" || madsim.is_none(),
            "{directory}/Cargo.toml depends on {madsim:?}: code outside of sim takes time, tasks \
             and randomness from its environment, so that it runs on real threads too"
        );
    }
}

#[test]
fn cargo_test_at_the_root_runs_every_crate() {
    let manifest = manifest(".");
    let members = strings(&manifest, "workspace", "members");
    let default_members = strings(&manifest, "workspace", "default-members");
    let missing: Vec<_> = members.difference(&default_members).collect();
    assert!(missing.is_empty(), "add {missing:?} to default-members in Cargo.toml");
    assert!(default_members.contains("."), "add \".\" to default-members in Cargo.toml");
}

#[test]
fn every_crate_of_the_implementation_is_among_those_that_the_tests_name() {
    for (name, (directory, _)) in crates() {
        let is_implementation = directory.starts_with("impl/");
        assert_eq!(
            is_implementation,
            IMPLEMENTATION.contains(&name.as_str()),
            "crate {name} in {directory}: bring IMPLEMENTATION in this file up to date"
        );
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (directory, manifest) in crates().into_values() {
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(
            inherits.and_then(|inherits| inherits.as_bool()),
            Some(true),
            "{directory}/Cargo.toml: add `[lints]` with `workspace = true`"
        );
    }
}

#[test]
fn the_lints_of_the_workspace_allow_nothing() {
    let manifest = manifest(".");
    let lints = manifest["workspace"]["lints"].as_table().expect("the lints of the workspace");
    for (tool, lints) in lints {
        for (name, level) in lints.as_table().expect("lints of a tool") {
            let level = level.get("level").unwrap_or(level).as_str();
            assert_ne!(level, Some("allow"), "{tool}.{name}: a lint is off for everybody");
        }
    }
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("deny"));
}

/// A source file: its path from the root and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines with their numbers, without comments. A `//` inside a string ends a line too
    /// early here, which hides nothing that these tests look for.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    /// The attributes with the lines that they begin on, without comments and strings.
    fn attributes(&self) -> Vec<(usize, String)> {
        let code: Vec<(usize, &str)> = self.code().collect();
        let mut attributes = Vec::new();
        for (index, (number, line)) in code.iter().enumerate() {
            for (start, _) in line.match_indices("#[").chain(line.match_indices("#![")) {
                let rest = code[index + 1..].iter().map(|(_, line)| *line);
                let lines: String = std::iter::once(&line[start..]).chain(rest.take(20)).collect();
                let without_strings: String = lines.split('"').step_by(2).collect();
                attributes.push((*number, balanced(&without_strings).to_owned()));
            }
        }
        attributes
    }

    /// The files that it takes in by their paths.
    fn taken_in(&self) -> Vec<(usize, PathBuf)> {
        let is_taking = |line: &str| {
            let forms = [["#[pa", "th ="], ["inclu", "de!("], ["include_", "str!("]];
            let bytes = ["include_by", "tes!("];
            forms.iter().chain([&bytes]).any(|form| line.contains(&form.concat()))
        };
        let lines = self.text.lines().enumerate().filter(|(_, line)| is_taking(line));
        let path = |(index, line): (usize, &str)| {
            let name = line.split('"').find(|part| part.contains('.') && !part.contains('('))?;
            Some((index + 1, Path::new(&self.path).parent()?.join(name)))
        };
        lines.filter_map(path).collect()
    }
}

/// The text up to the bracket that closes the first one.
fn balanced(text: &str) -> &str {
    let mut depth = 0_usize;
    for (index, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' if depth == 1 => return &text[..=index],
            ']' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// A relative path without `..`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part.as_os_str().to_string_lossy().as_ref() {
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts.join("/")
}

/// Every Rust file of the workspace.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut directories: Vec<PathBuf> = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the workspace") {
            let path = entry.expect("an entry of a directory").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "out" && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a source file is UTF-8");
                let path = path.strip_prefix(root()).expect("a path below the root");
                sources.push(Source { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(sources.len() > 10, "the sources were not found below {}", root().display());
    sources
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a line of code has the word as an identifier of its own.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part)
    })
}

/// Fails with every finding at once.
#[track_caller]
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn no_source_has_what_the_rules_forbid() {
    let mut findings = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            for (needle, advice) in FORBIDDEN {
                let needle = needle.concat();
                if line.contains(&needle) {
                    findings.push(format!("{}:{number}: {needle}: {advice}", source.path));
                }
            }
        }
    }
    none(findings);
}

#[test]
fn no_attribute_silences_a_lint_or_a_test() {
    let mut findings = Vec::new();
    for source in sources() {
        for (number, attribute) in source.attributes() {
            for (word, advice) in FORBIDDEN_IN_ATTRIBUTES {
                if has_word(&attribute, word) {
                    findings.push(format!("{}:{number}: {attribute}: {advice}", source.path));
                }
            }
        }
    }
    none(findings);
}

#[test]
fn every_example_in_the_documentation_is_compiled_or_plain_text() {
    let mut findings = Vec::new();
    for source in sources() {
        let fences = source.text.lines().enumerate().filter_map(|(index, line)| {
            let (comment, fence) = line.trim_start().split_once("```")?;
            comment.starts_with("//").then_some((index + 1, fence))
        });
        for (number, fence) in fences.filter(|(_, fence)| has_word(fence, "ignore")) {
            findings
                .push(format!("{}:{number}: {fence}: an example that nobody runs", source.path));
        }
    }
    none(findings);
}

#[test]
fn no_source_takes_in_files_of_a_crate_that_it_may_not_know() {
    let crates = crates();
    let owner = |path: &str| {
        let owners = crates.iter().filter(|(_, (directory, _))| is_below(path, directory));
        owners.max_by_key(|(_, (directory, _))| directory.len())
    };
    let mut findings = Vec::new();
    for source in sources() {
        for (number, path) in source.taken_in() {
            let path = normal(&path);
            let Some((name, (_, manifest))) = owner(&source.path) else { continue };
            let of = owner(&path).map(|(of, _)| of);
            let known = dependencies(manifest, &[&BUILD_KINDS[..], &TEST_KINDS[..]].concat());
            if !of.is_some_and(|of| of == name || known.contains(of)) {
                findings.push(format!("{}:{number}: {path} is of {of:?}", source.path));
            }
        }
    }
    none(findings);
}

#[test]
fn unsafe_code_is_only_in_the_simulated_disk() {
    let mut findings = Vec::new();
    for source in sources() {
        if is_below(&source.path, UNSAFE_ALLOWED_IN) {
            continue;
        }
        for (number, line) in source.code() {
            if UNSAFE_FORMS.iter().any(|form| line.contains(&form.concat())) {
                findings.push(format!(
                    "{}:{number}: unsafe code belongs into {UNSAFE_ALLOWED_IN} alone; find a safe way",
                    source.path
                ));
            }
        }
    }
    none(findings);
}

#[test]
fn deterministic_code_has_neither_clock_nor_hash_order() {
    let mut findings = Vec::new();
    for source in sources() {
        if !DETERMINISTIC.iter().any(|directory| is_below(&source.path, directory)) {
            continue;
        }
        for (number, line) in source.code() {
            for (word, advice) in NONDETERMINISTIC {
                let is_virtual = word == "Instant"
                    && is_below(&source.path, SIMULATOR)
                    && !line.contains("std::");
                if has_word(line, word) && !is_virtual {
                    findings.push(format!("{}:{number}: {word}: {advice}", source.path));
                }
            }
        }
    }
    none(findings);
}

#[test]
fn every_source_begins_by_saying_what_it_is_for() {
    let without = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    none(without.map(|s| format!("{}: begin the file with a `//!` header", s.path)).collect());
}

#[test]
fn the_checks_find_what_they_look_for() {
    let text = "//! x\nuse std::collections::HashMap; // HashSet\nlet instants = 1;\n".to_owned();
    let source = Source { path: "model/src/x.rs".to_owned(), text };
    let found = |word| source.code().find(|(_, line)| has_word(line, word)).map(|(n, _)| n);
    assert_eq!(found("HashMap"), Some(2));
    assert_eq!(found("HashSet"), None);
    assert_eq!(found("instant"), None);
    assert!(is_below("sim/disk/src/lib.rs", "sim/disk") && !is_below("sim/disk2/x.rs", "sim/disk"));
    let manifest: Table = "[dependencies]\na.workspace = true\n[dev-dependencies]\nb = \"1\"\n\
        [target.'cfg(unix)'.dependencies]\nc = { package = \"d\", version = \"1\" }\n"
        .parse()
        .unwrap();
    let shared: Table = "a = { path = \"x\", package = \"z\" }\n".parse().unwrap();
    let found = |kinds| Vec::from_iter(dependencies_by(&manifest, kinds, &shared));
    assert_eq!(found(&BUILD_KINDS), ["d", "z"]);
    assert_eq!(found(&TEST_KINDS), ["b"]);
}

#[test]
fn attributes_are_found_over_lines_and_without_their_strings() {
    let text = "//! x\n#[cfg_attr(\n    miri, // ]\n    skip\n)]\nfn x() { let y = [1]; }\n\
        #![expect(a, reason = \"b] c\")]\n";
    let source = Source { path: "model/src/x.rs".to_owned(), text: text.to_owned() };
    let found: Vec<(usize, String)> = source.attributes();
    assert_eq!(found[0].0, 2);
    assert!(has_word(&found[0].1, "skip") && !has_word(&found[0].1, "fn"));
    assert_eq!(found[1], (7, "#![expect(a, reason = )]".to_owned()));
    assert_eq!(normal(Path::new("model/src/../../impl/lcs/src/x.rs")), "impl/lcs/src/x.rs");
}

#[test]
fn files_that_are_taken_in_are_found() {
    let text = "//! x\n#[pa".to_owned() + "th = \"../y.rs\"]\nmod y;\n";
    let source = Source { path: "model/src/x.rs".to_owned(), text };
    assert_eq!(source.taken_in(), [(2, PathBuf::from("model/src/../y.rs"))]);
}
