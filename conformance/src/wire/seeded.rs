//! Rules that a source breaks because something was put into its store behind its back.
//!
//! Only the rules that such a record can break are lifted, and only for that source. The kernel's
//! rules all stay.

use std::collections::BTreeMap;

use registry_model::input::SourceId;
use registry_model::store_entry::{StoredRecord, StoredTarget};

use super::rules::Rule;

/// What was done behind the back of a source, and the rules that this lifts.
#[derive(Clone, Debug)]
struct Excuse {
    rules: &'static [Rule],
    /// What an answer has in it that the record may have spoilt.
    marks: Vec<String>,
}

/// The excuses of each source.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeded(BTreeMap<SourceId, Vec<Excuse>>);

impl Seeded {
    /// A record was put into the store of a source.
    pub(super) fn stored(&mut self, source: SourceId, record: &StoredRecord) {
        let excuse = Excuse { rules: breakable(record), marks: marks(record) };
        self.0.entry(source).or_default().push(excuse);
    }

    /// A source reports a maximum that its entries exceed.
    pub(super) fn falsified(&mut self, source: SourceId) {
        let excuse = Excuse { rules: &[Rule::StoredSequence], marks: Vec::new() };
        self.0.entry(source).or_default().push(excuse);
    }

    /// Whether anything of a source may not be its own doing.
    pub(super) fn has(&self, source: SourceId) -> bool {
        self.0.contains_key(&source)
    }

    /// Whether an answer with this payload may break the rule.
    pub(super) fn excuses(&self, source: SourceId, rule: Rule, payload: &[u8]) -> bool {
        let excuses = self.0.get(&source);
        excuses.into_iter().flatten().any(|excuse| {
            let is_marked = |mark: &String| contains(payload, mark);
            excuse.rules.contains(&rule) && excuse.marks.iter().all(is_marked)
        })
    }
}

/// Names that an answer repeats which returns the record. The name of a child is in the request.
fn marks(record: &StoredRecord) -> Vec<String> {
    match record {
        StoredRecord::Value { name, layer, .. } => vec![name.clone(), layer.clone()],
        StoredRecord::Blanket { layer, .. } | StoredRecord::Child { layer, .. } => {
            vec![layer.clone()]
        }
        StoredRecord::Descriptor { .. } | StoredRecord::Lost => Vec::new(),
    }
}

/// Whether a name may be somewhere in a payload, in any spelling.
fn contains(payload: &[u8], name: &str) -> bool {
    if name.is_empty() || !name.is_ascii() {
        return true;
    }
    payload.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
}

fn breakable(record: &StoredRecord) -> &'static [Rule] {
    match record {
        StoredRecord::Value { .. } => &[
            Rule::ValueName,
            Rule::ValueOnce,
            Rule::LayerName,
            Rule::ValueType,
            Rule::Tombstone,
            Rule::StoredSequence,
        ],
        StoredRecord::Blanket { .. } => &[Rule::LayerName, Rule::ValueOnce, Rule::StoredSequence],
        StoredRecord::Child { target: StoredTarget::Missing, .. } => &[
            Rule::KeyName,
            Rule::ChildOnce,
            Rule::LayerName,
            Rule::LayerOnce,
            Rule::StoredSequence,
            Rule::LookupMetadata,
            Rule::ChildrenMetadata,
        ],
        StoredRecord::Child { .. } => &[
            Rule::KeyName,
            Rule::ChildOnce,
            Rule::LayerName,
            Rule::LayerOnce,
            Rule::StoredSequence,
        ],
        StoredRecord::Descriptor { .. } => &[Rule::SecurityDescriptor],
        StoredRecord::Lost => &[Rule::LookupMetadata, Rule::ChildrenMetadata],
    }
}

#[cfg(test)]
mod tests {
    use registry_model::store_entry::StoredSequence;

    use super::*;

    #[test]
    fn a_record_excuses_its_own_source_and_only_what_it_can_break() {
        let mut seeded = Seeded::default();
        seeded.stored(SourceId(0), &StoredRecord::Lost);
        assert!(seeded.excuses(SourceId(0), Rule::LookupMetadata, &[]));
        assert!(!seeded.excuses(SourceId(1), Rule::LookupMetadata, &[]));
        assert!(!seeded.excuses(SourceId(0), Rule::StoredSequence, &[]));
    }

    #[test]
    fn an_answer_that_has_nothing_of_the_record_is_not_excused() {
        let mut seeded = Seeded::default();
        let (layer, sequence) = ("gpo".to_owned(), StoredSequence::Number(9));
        seeded.stored(SourceId(0), &StoredRecord::Blanket { layer, sequence });
        assert!(seeded.excuses(SourceId(0), Rule::StoredSequence, b"..GPO.."));
        assert!(!seeded.excuses(SourceId(0), Rule::StoredSequence, b"..base.."));
    }
}
