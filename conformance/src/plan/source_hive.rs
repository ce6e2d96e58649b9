//! The hives that the sources of a plan are started with, global and private (PSD-005 §2.2, §7.1).

use std::collections::BTreeSet;

use registry_model::names::fold;

/// A hive of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceHive {
    /// The name.
    pub name: String,
    /// The scope GUID of a private hive; `None` for a global one.
    pub scope: Option<[u8; 16]>,
}

impl SourceHive {
    /// A global hive.
    pub fn global(name: &str) -> SourceHive {
        SourceHive { name: name.to_owned(), scope: None }
    }

    /// Whether the kernel keeps its settings in it (D-100).
    pub(crate) fn is_settings(&self) -> bool {
        self.scope.is_none() && fold(&self.name) == "machine"
    }
}

/// Hives that one source may register, and sources that there may be (PSD-005 §8.2).
const HIVES_PER_SOURCE_MAX: usize = 64;
const SOURCES_MAX: usize = 32;

/// Whether sources with these hives can register at all; if not, which cannot and why, in words.
pub(super) fn check(sources: &[Vec<SourceHive>]) -> Result<(), String> {
    if sources.len() > SOURCES_MAX {
        return Err(format!("there are more than {SOURCES_MAX} sources; take some away"));
    }
    let mut taken = BTreeSet::new();
    for (number, hives) in sources.iter().enumerate() {
        check_one(hives, &mut taken).map_err(|problem| format!("source {number}: {problem}"))?;
    }
    Ok(())
}

fn check_one(
    hives: &[SourceHive],
    taken: &mut BTreeSet<(String, Option<[u8; 16]>)>,
) -> Result<(), String> {
    if hives.is_empty() || hives.len() > HIVES_PER_SOURCE_MAX {
        return Err("a source has 1 to 64 hives; name them after `source`".to_owned());
    }
    let mut own = BTreeSet::new();
    for SourceHive { name, scope } in hives {
        let folded = fold(name);
        if name.is_empty() || name.contains(['\\', '/', '\0']) || name.len() > 255 {
            return Err(format!("{name:?} is no hive name; name it like a key"));
        }
        if folded == "currentuser" {
            return Err("CurrentUser is an alias and no hive; choose another name".to_owned());
        }
        // A source keeps what it stores by name, and hives of one namespace exclude each other.
        if !own.insert(folded.clone()) || !taken.insert((folded, *scope)) {
            return Err(format!("the hive {name:?} is named twice; leave one out"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(sources: &[&[&str]]) -> String {
        let hives = |hives: &&[&str]| hives.iter().map(|hive| SourceHive::global(hive)).collect();
        check(&sources.iter().map(hives).collect::<Vec<_>>()).err().unwrap_or_default()
    }

    #[test]
    fn sources_that_cannot_register_are_named() {
        assert_eq!(problem(&[&["Machine", "Users"], &["Other"]]), "");
        assert!(problem(&[&["Machine"], &[]]).starts_with("source 1:"));
        assert!(problem(&[&["Machine"], &["MACHINE"]]).contains("named twice"));
        assert!(problem(&[&["currentUSER"]]).contains("alias"));
        assert!(problem(&[&["a\\b"]]).contains("no hive name"));
        assert!(problem(&[&[""]]).contains("no hive name"));
        assert!(problem(&[&["h"; 65]]).contains("1 to 64"));
        assert!(problem(&[&["h"] as &[&str]; 33]).contains("more than 32"));
    }

    #[test]
    fn hives_of_different_scopes_may_have_one_name_at_different_sources() {
        let mine = |scope| SourceHive { name: "Mine".to_owned(), scope };
        let [first, second] = [1, 2].map(|byte| Some([byte; 16]));
        assert_eq!(check(&[vec![mine(first)], vec![mine(second)], vec![mine(None)]]), Ok(()));
        assert!(check(&[vec![mine(first)], vec![mine(first)]]).is_err());
        assert!(check(&[vec![mine(first), mine(None)]]).is_err());
    }
}
