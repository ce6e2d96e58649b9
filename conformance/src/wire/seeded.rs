//! Rules that a source breaks because something was put into its store behind its back.
//!
//! Only the rules that such a record can break are lifted, and only for that source. The kernel's
//! rules all stay.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;
use registry_model::store_entry::{StoredRecord, StoredTarget};

use super::rules::Rule;

/// The rules that are lifted for each source.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeded(BTreeMap<SourceId, BTreeSet<Rule>>);

impl Seeded {
    /// A record was put into the store of a source.
    pub(super) fn stored(&mut self, source: SourceId, record: &StoredRecord) {
        self.0.entry(source).or_default().extend(breakable(record));
    }

    /// A source reports a maximum that its entries exceed.
    pub(super) fn falsified(&mut self, source: SourceId) {
        self.0.entry(source).or_default().insert(Rule::StoredSequence);
    }

    /// Whether anything of a source may not be its own doing.
    pub(super) fn has(&self, source: SourceId) -> bool {
        self.0.contains_key(&source)
    }

    /// Whether a response may break the rule.
    pub(super) fn excuses(&self, source: SourceId, rule: Rule) -> bool {
        self.0.get(&source).is_some_and(|rules| rules.contains(&rule))
    }
}

fn breakable(record: &StoredRecord) -> &'static [Rule] {
    match record {
        StoredRecord::Value { .. } => &[
            Rule::ValueName,
            Rule::LayerName,
            Rule::ValueType,
            Rule::Tombstone,
            Rule::StoredSequence,
        ],
        StoredRecord::Blanket { .. } => &[Rule::LayerName, Rule::StoredSequence],
        StoredRecord::Child { target: StoredTarget::Missing, .. } => &[
            Rule::KeyName,
            Rule::LayerName,
            Rule::StoredSequence,
            Rule::LookupMetadata,
            Rule::ChildrenMetadata,
        ],
        StoredRecord::Child { .. } => &[Rule::KeyName, Rule::LayerName, Rule::StoredSequence],
        StoredRecord::Descriptor { .. } => &[Rule::SecurityDescriptor],
        StoredRecord::Lost => &[Rule::LookupMetadata, Rule::ChildrenMetadata],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_excuses_its_own_source_and_only_what_it_can_break() {
        let mut seeded = Seeded::default();
        seeded.stored(SourceId(0), &StoredRecord::Lost);
        assert!(seeded.excuses(SourceId(0), Rule::LookupMetadata));
        assert!(!seeded.excuses(SourceId(1), Rule::LookupMetadata));
        assert!(!seeded.excuses(SourceId(0), Rule::StoredSequence));
    }
}
