//! Why a name or a value is what it is: every entry that competed for it.
//!
//! Shows the candidates of PSD-005 §2.7 with everything that decides between them, entries that
//! do not compete included.

use std::fmt;

use crate::database::{Database, Guid, Target};
use crate::names::{FoldedName, LayerName};
use crate::resolution::Viewer;
use crate::security::Token;
use crate::state::State;
use crate::text::Typed;

/// Why a path, or a value of it, is what it is for one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is explained.
    pub subject: String,
    /// All entries, the strongest first, those that do not compete last.
    pub candidates: Vec<ExplainedCandidate>,
    /// The first component of the path that does not lead on, if the subject was not reached.
    pub unreached: Option<String>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedCandidate {
    /// The layer, as the entry spells it.
    pub layer: String,
    /// The layer's precedence and whether it is enabled; `None` if the table has no such layer.
    pub standing: Option<(u32, bool)>,
    /// Whether it competes for this caller.
    pub active: bool,
    /// Its sequence number.
    pub sequence: u64,
    /// What it says: a key, HIDDEN, a value, a tombstone or a blanket tombstone.
    pub says: String,
    /// Whether it won.
    pub won: bool,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        if let Some(component) = &self.unreached {
            write!(f, "\n  not reached: no {component:?} is visible")?;
        } else if self.candidates.is_empty() {
            write!(f, "\n  no layer says anything")?;
        }
        for candidate in &self.candidates {
            let mark = if candidate.won { '*' } else { ' ' };
            write!(f, "\n{mark} {}: ", candidate.layer)?;
            match candidate.standing {
                None => write!(f, "unknown layer")?,
                Some((precedence, true)) => write!(f, "precedence {precedence}")?,
                Some((precedence, false)) => write!(f, "precedence {precedence}, disabled")?,
            }
            if candidate.active && matches!(candidate.standing, Some((_, false))) {
                write!(f, ", private")?;
            }
            write!(f, ", sequence {}: {}", candidate.sequence, candidate.says)?;
        }
        Ok(())
    }
}

impl State {
    /// Every entry that says something of the last component of `path`, or of the value `value`
    /// of the key there, as a caller with this token sees it.
    pub fn explain(&self, path: &[String], value: Option<&str>, token: &Token) -> Explanation {
        let viewer = Viewer::of(token);
        let mut explanation =
            Explanation { subject: path.join("\\"), candidates: Vec::new(), unreached: None };
        let end = if value.is_some() { path.len() } else { path.len().saturating_sub(1) };
        for reach in 1..=end {
            if self.place(&path[..reach], token).is_none() {
                explanation.unreached = path.get(reach - 1).cloned();
                return explanation;
            }
        }
        let Some(place) = self.place(&path[..end], token) else { return explanation };
        let database = self.database(place.hive);
        explanation.candidates = match (value, path.last()) {
            (Some(value), _) => {
                explanation.subject.push_str(&format!(" value {value:?}"));
                value_entries(database, place.key(), value)
            }
            (None, Some(name)) => path_entries(database, place.key(), name),
            (None, None) => Vec::new(),
        }
        .into_iter()
        .map(|(layer, sequence, says)| self.candidate(&layer, sequence, says, &viewer))
        .collect();
        let strength = |c: &ExplainedCandidate| (c.active, c.standing.map(|s| s.0), c.sequence);
        explanation.candidates.sort_by_key(|candidate| std::cmp::Reverse(strength(candidate)));
        if let Some(first) = explanation.candidates.first_mut() {
            first.won = first.active;
        }
        explanation
    }

    fn candidate(
        &self,
        layer: &LayerName,
        sequence: u64,
        says: String,
        viewer: &Viewer,
    ) -> ExplainedCandidate {
        let known = self.layers.get(layer.folded());
        ExplainedCandidate {
            layer: layer.spelling().to_owned(),
            standing: known.map(|layer| (layer.precedence, layer.enabled)),
            active: known.is_some_and(|layer| viewer.is_active(layer)),
            sequence,
            says,
            won: false,
        }
    }
}

type Entry = (LayerName, u64, String);

fn value_entries(database: &Database, key: Guid, value: &str) -> Vec<Entry> {
    let entries = database.value(key, FoldedName::of(value).as_str());
    let entries = entries.into_iter().flat_map(|entries| entries.values()).map(|entry| {
        let says = Typed(entry.value_type, &entry.data).to_string();
        (entry.layer.clone(), entry.sequence, says)
    });
    let blankets = database.blankets.get(&key);
    let blankets = blankets
        .into_iter()
        .flat_map(|blankets| blankets.values())
        .map(|blanket| (blanket.layer.clone(), blanket.sequence, "blanket tombstone".to_owned()));
    entries.chain(blankets).collect()
}

fn path_entries(database: &Database, parent: Guid, name: &str) -> Vec<Entry> {
    let entries = database.lookup(parent, FoldedName::of(name).as_str());
    let says = |target| match target {
        Target::Hidden => "HIDDEN".to_owned(),
        Target::Key(Guid(number)) => format!("key #{number}"),
    };
    entries
        .into_iter()
        .flat_map(|entries| entries.values())
        .map(|entry| (entry.layer.clone(), entry.sequence, says(entry.target)))
        .collect()
}
