//! Which requirements the scripts show: asserted by a script, and marked while that very script
//! ran.
//!
//! Joins the catalogue, `requirements/scope.toml` (what is not to be shown yet, or cannot be) and
//! what running the scripts has marked. Knows neither how scripts are run nor how they are judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::requirements::{self, Requirement};

const SCOPE: &str = include_str!("../requirements/scope.toml");

static OF_THIS_EDITION: LazyLock<Scope> = LazyLock::new(|| match Scope::parse(SCOPE) {
    Ok(scope) => scope,
    Err(problem) => unreachable!("the tests read requirements/scope.toml: {problem}"),
});

/// What a script says that it is about, and what was marked while it ran.
#[derive(Clone, Debug, Default)]
pub struct ScriptMarks {
    /// What it is called in reports.
    pub name: String,
    /// The ids of its header.
    pub asserted: BTreeSet<String>,
    /// The ids that the model or the wire monitor marked.
    pub marked: BTreeSet<&'static str>,
}

/// Which requirements count.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The prefixes of ids that are accounted for.
    prefixes: Vec<String>,
    /// Requirements of these prefixes that do not count, with the reason.
    #[serde(default)]
    excluded: Vec<Excluded>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Excluded {
    reason: String,
    ids: Vec<String>,
}

/// The account of one prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The prefix.
    pub prefix: String,
    /// Requirements that a system call or a client of a source can see and that count.
    pub visible: usize,
    /// Those that some script asserts and that were marked while it ran.
    pub shown: usize,
    /// Those that some script asserts, but without the mark.
    pub asserted_only: Vec<String>,
    /// Those that were marked somewhere, but in no script that asserts them.
    pub marked_only: Vec<String>,
    /// The others.
    pub missing: Vec<String>,
    /// Visible ones that `scope.toml` leaves out.
    pub excluded: usize,
}

/// The account of all prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// One row a prefix, in the order of the scope.
    pub rows: Vec<Row>,
    /// Ids that are excluded although some script shows them: the exclusion is out of date.
    pub excluded_but_shown: Vec<String>,
    /// Scripts that say that they are about what was not marked while they ran, each with these ids.
    pub claimed_in_vain: Vec<(String, Vec<String>)>,
}

impl Coverage {
    /// Adds up what the scripts showed, against the scope of this edition.
    pub fn of(scripts: &[ScriptMarks]) -> Coverage {
        Coverage::within(&OF_THIS_EDITION, scripts)
    }

    /// Requirements that count.
    pub fn visible(&self) -> usize {
        self.rows.iter().map(|row| row.visible).sum()
    }

    /// Requirements that are shown.
    pub fn shown(&self) -> usize {
        self.rows.iter().map(|row| row.shown).sum()
    }

    /// Shown of those that count, in tenths of a percent; 1000 if nothing counts.
    pub fn per_mille(&self) -> usize {
        (self.shown() * 1000).checked_div(self.visible()).unwrap_or(1000)
    }

    fn within(scope: &Scope, scripts: &[ScriptMarks]) -> Coverage {
        let shown = |id: &str| {
            let shows = |script: &ScriptMarks| script.asserted.contains(id) && script.marks(id);
            scripts.iter().any(shows)
        };
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        let mut excluded_but_shown = Vec::new();
        for requirement in requirements::all().filter(|one| is_visible(one)) {
            let Some(prefix) = scope.prefix_of(&requirement.id) else { continue };
            let row = rows.entry(prefix).or_default();
            let id = requirement.id.as_str();
            if scope.reason(id).is_some() {
                row.excluded += 1;
                if shown(id) {
                    excluded_but_shown.push(id.to_owned());
                }
                continue;
            }
            row.visible += 1;
            let list = if shown(id) {
                row.shown += 1;
                continue;
            } else if scripts.iter().any(|script| script.asserted.contains(id)) {
                &mut row.asserted_only
            } else if scripts.iter().any(|script| script.marks(id)) {
                &mut row.marked_only
            } else {
                &mut row.missing
            };
            list.push(id.to_owned());
        }
        let rows = scope.prefixes.iter().filter_map(|prefix| {
            rows.remove(prefix.as_str()).map(|row| Row { prefix: prefix.clone(), ..row })
        });
        let vain = scripts.iter().map(|script| (script.name.clone(), script.claims_in_vain()));
        let claimed_in_vain = vain.filter(|(_, ids)| !ids.is_empty()).collect();
        Coverage { rows: rows.collect(), excluded_but_shown, claimed_in_vain }
    }
}

impl ScriptMarks {
    fn marks(&self, id: &str) -> bool {
        self.marked.contains(id)
    }

    /// The requirements of its header that were not marked. Decisions are cited beside them; nobody marks those.
    fn claims_in_vain(&self) -> Vec<String> {
        let is_requirement = |id: &str| requirements::describe(id).is_some();
        self.asserted.iter().filter(|id| is_requirement(id) && !self.marks(id)).cloned().collect()
    }
}

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// What is wrong with it, in words: its form, an id that is in no catalogue, that is of another
    /// prefix, that nobody can see anyway, or that is excluded twice.
    fn parse(text: &str) -> Result<Scope, String> {
        let scope: Scope = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut seen = BTreeSet::new();
        for id in scope.excluded.iter().flat_map(|excluded| &excluded.ids) {
            let requirement = requirements::describe(id)
                .ok_or_else(|| format!("{id} is not in requirements/*.toml"))?;
            if scope.prefix_of(id).is_none() {
                return Err(format!("{id} is of none of the prefixes; it needs no reason"));
            }
            if !is_visible(requirement) {
                let via = &requirement.via;
                return Err(format!("{id} is seen via {via} and so never counts; leave it out"));
            }
            if !seen.insert(id) {
                return Err(format!("{id} is excluded twice"));
            }
        }
        Ok(scope)
    }

    fn prefix_of(&self, id: &str) -> Option<&str> {
        let (prefix, _) = id.split_once('-')?;
        self.prefixes.iter().map(String::as_str).find(|known| *known == prefix)
    }

    fn reason(&self, id: &str) -> Option<&str> {
        let holds = |excluded: &&Excluded| excluded.ids.iter().any(|one| one == id);
        self.excluded.iter().find(holds).map(|excluded| excluded.reason.as_str())
    }
}

fn is_visible(requirement: &Requirement) -> bool {
    matches!(requirement.via.as_str(), "syscall" | "rsi" | "backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(asserted: &[&str], marked: &[&'static str]) -> ScriptMarks {
        ScriptMarks {
            name: "a.lcs".to_owned(),
            asserted: asserted.iter().map(|id| (*id).to_owned()).collect(),
            marked: marked.iter().copied().collect(),
        }
    }

    fn scope(excluded: &str) -> Result<Scope, String> {
        Scope::parse(&format!(
            "prefixes = [\"RES\"]\n[[excluded]]\nreason = \"later\"\nids = [{excluded}]\n"
        ))
    }

    #[test]
    fn the_scope_of_this_edition_is_well_formed() {
        Scope::parse(SCOPE).unwrap();
    }

    #[test]
    fn a_requirement_is_shown_where_one_script_both_asserts_and_marks_it() {
        let scope = scope("\"RES-11\"").unwrap();
        let scripts =
            [marks(&["RES-03", "RES-05"], &["RES-05", "RES-07"]), marks(&[], &["RES-03"])];
        let coverage = Coverage::within(&scope, &scripts);
        let [row] = coverage.rows.as_slice() else { panic!("{coverage:?}") };
        assert_eq!((row.shown, row.excluded), (1, 1));
        assert_eq!(row.asserted_only, ["RES-03"]);
        assert_eq!(row.marked_only, ["RES-07"]);
        assert_eq!(row.visible, 3 + row.missing.len());
        assert!(coverage.excluded_but_shown.is_empty());
        assert_eq!(coverage.per_mille(), 1000 / row.visible);
    }

    #[test]
    fn a_script_that_claims_what_it_does_not_mark_is_named() {
        let scope = scope("\"RES-11\"").unwrap();
        let scripts = [
            marks(&["RES-03", "RES-05", "SEQ-01", "D-52"], &["RES-05"]),
            marks(&["RES-03"], &["RES-03"]),
        ];
        let coverage = Coverage::within(&scope, &scripts);
        let vain = ["RES-03", "SEQ-01"].map(str::to_owned).to_vec();
        assert_eq!(coverage.claimed_in_vain, [("a.lcs".to_owned(), vain)]);
    }

    #[test]
    fn an_exclusion_that_a_script_refutes_is_named() {
        let scope = scope("\"RES-05\"").unwrap();
        let coverage = Coverage::within(&scope, &[marks(&["RES-05"], &["RES-05"])]);
        assert_eq!(coverage.excluded_but_shown, ["RES-05"]);
        assert_eq!(coverage.shown(), 0);
    }

    #[test]
    fn a_scope_with_a_mistake_is_refused() {
        let problem = |ids: &str| scope(ids).err().unwrap_or_default();
        assert_eq!(problem("\"RES-05\""), "");
        assert!(problem("\"RES-999\"").contains("is not in"));
        assert!(problem("\"SEQ-01\"").contains("none of the prefixes"));
        assert!(problem("\"RES-05\", \"RES-05\"").contains("twice"));
        assert!(Scope::parse("prefix = []").is_err());
    }
}
