//! The catalogue of requirements: what the specification asks for, in our own words.
//!
//! The text is in `requirements/*.toml`; this reads it once and finds entries by id.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

const FILES: [(&str, &str); 3] = [
    ("data-model.toml", include_str!("../requirements/data-model.toml")),
    ("protocol-and-lifecycle.toml", include_str!("../requirements/protocol-and-lifecycle.toml")),
    ("security-and-abi.toml", include_str!("../requirements/security-and-abi.toml")),
];

static CATALOGUE: LazyLock<BTreeMap<&'static str, Requirement>> = LazyLock::new(|| {
    let mut catalogue = BTreeMap::new();
    for (file, text) in FILES {
        let parsed: File = match toml::from_str(text) {
            Ok(parsed) => parsed,
            Err(error) => unreachable!("the tests read {file}: {error}"),
        };
        for requirement in parsed.requirement {
            let id: &'static str = requirement.id.clone().leak();
            catalogue.insert(id, requirement);
        }
    }
    catalogue
});

/// One testable requirement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The id, such as `RES-03`.
    pub id: String,
    /// The subject.
    pub area: String,
    /// How strongly the specification asks for it, such as `MUST`.
    pub level: String,
    /// Who has to meet it: `kernel`, `source`, `format` or `caller`.
    pub actor: String,
    /// How it can be seen: `syscall`, `rsi`, `backup`, `audit` or `none`.
    pub via: String,
    /// The sections that state it.
    pub spec: String,
    /// The errno or status that goes with it, if one does.
    pub errno: Option<String>,
    /// The requirement in words.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    requirement: Vec<Requirement>,
}

/// The requirement of this id.
pub fn describe(id: &str) -> Option<&'static Requirement> {
    CATALOGUE.get(id)
}

/// Every requirement, by id.
pub fn all() -> impl Iterator<Item = &'static Requirement> {
    CATALOGUE.values()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn parse(text: &str) -> Vec<Requirement> {
        toml::from_str::<File>(text).unwrap().requirement
    }

    #[test]
    fn every_id_occurs_once() {
        let count: usize = FILES.iter().map(|(_, text)| parse(text).len()).sum();
        assert_eq!(all().count(), count);
        assert!(count >= 2150);
    }

    #[test]
    fn an_id_leads_to_its_requirement() {
        let requirement = describe("RES-07").unwrap();
        assert_eq!(requirement.errno.as_deref(), Some("ENOENT"));
        assert_eq!(requirement.spec, "§2.4, §2.7, §6.2");
        assert_eq!(describe("RES-7"), None);
    }

    #[test]
    fn every_field_has_one_of_its_words() {
        for requirement in all() {
            let id = &requirement.id;
            assert!(!requirement.text.is_empty() && requirement.spec.contains('§'), "{id}");
            let actors = ["kernel", "source", "format", "caller"];
            assert!(actors.contains(&requirement.actor.as_str()), "{id}: {}", requirement.actor);
            let ways = ["syscall", "rsi", "backup", "audit", "none"];
            assert!(ways.contains(&requirement.via.as_str()), "{id}: {}", requirement.via);
        }
    }

    /// The files of an extension below a directory; none if there is no such directory.
    fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|of| of == extension) {
                    found.push(path);
                }
            }
        }
        found
    }

    /// The ids among the arguments of each `covers!(...);`, written `"RES-03"` or `RES_03`.
    fn covered_in_source(text: &str) -> Vec<String> {
        let arguments = text.split("covers!(").skip(1).filter_map(|rest| rest.split(';').next());
        let words = arguments
            .flat_map(|list| list.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c))));
        words.map(|word| word.replace('_', "-")).filter(|word| is_id(word)).collect()
    }

    /// The ids of the `# requirements:` lines of a script.
    fn cited_in_script(text: &str) -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("# requirements:"));
        let ids = lines.flat_map(|list| list.split([',', ' ']));
        ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
    }

    fn is_id(text: &str) -> bool {
        text.split_once('-').is_some_and(|(prefix, number)| {
            !prefix.is_empty()
                && prefix.bytes().all(|byte| byte.is_ascii_uppercase())
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    fn is_known(id: &str) -> bool {
        id.starts_with("D-") || id.starts_with("P-") || describe(id).is_some()
    }

    #[test]
    fn citations_are_found_in_source_and_scripts() {
        let source =
            "covers!(RES_03); covers!($id); covers!(work.covered(), \"SEQ-01\",\n IOC_032);";
        assert_eq!(covered_in_source(source), ["RES-03", "SEQ-01", "IOC-032"]);
        let script = "# requirements: RES-03, LAYER-12\n# Policy outranks.\n";
        assert_eq!(cited_in_script(script), ["RES-03", "LAYER-12"]);
        assert!(is_known("RES-03") && is_known("D-31") && !is_known("RES-99"));
    }

    #[test]
    fn every_id_that_the_model_marks_is_in_the_catalogue() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/src");
        let mut count = 0;
        for path in files_below(&model, "rs") {
            for id in covered_in_source(&fs::read_to_string(&path).unwrap()) {
                assert!(is_known(&id), "{}: {id} is not in requirements/*.toml", path.display());
                count += 1;
            }
        }
        assert!(count > 0, "no covers!(...) was found below {}", model.display());
    }

    #[test]
    fn every_id_that_a_script_cites_is_in_the_catalogue() {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        for path in ["lcs", "rsi"].iter().flat_map(|of| files_below(&scripts, of)) {
            for id in cited_in_script(&fs::read_to_string(&path).unwrap()) {
                assert!(is_known(&id), "{}: {id} is not in requirements/*.toml", path.display());
            }
        }
    }
}
