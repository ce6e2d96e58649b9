//! Which hive a key is of, as far as frames have shown it (PSD-005 §2.2, §5.1).

use std::collections::BTreeMap;

use registry_model::input::SourceId;

use super::frame::Guid;

/// The hive root that each key is below, at its source.
#[derive(Clone, Debug, Default)]
pub(super) struct Hives(BTreeMap<(SourceId, Guid), Guid>);

impl Hives {
    /// A source has registered a root.
    pub(super) fn add_root(&mut self, source: SourceId, root: Guid) {
        self.0.insert((source, root), root);
    }

    /// Keys are named below another one. A key stays where it was first seen.
    pub(super) fn below(
        &mut self,
        source: SourceId,
        parent: Guid,
        keys: impl IntoIterator<Item = Guid>,
    ) {
        let Some(root) = self.root_of(source, parent) else { return };
        for key in keys {
            self.0.entry((source, key)).or_insert(root);
        }
    }

    /// A key is dropped: another one may get its GUID, in any hive of the source (PSD-005 §9.1).
    pub(super) fn forget(&mut self, source: SourceId, key: Guid) {
        self.0.remove(&(source, key));
    }

    /// The hive root of a key that the source has not been seen to have and others have, all below
    /// that root.
    pub(super) fn only_root_of(&self, source: SourceId, key: Guid) -> Option<Guid> {
        if self.root_of(source, key).is_some() {
            return None;
        }
        let mut roots = self.0.iter().filter(|((_, of), _)| *of == key).map(|(_, root)| *root);
        let first = roots.next()?;
        roots.all(|root| root == first).then_some(first)
    }

    pub(super) fn root_of(&self, source: SourceId, key: Guid) -> Option<Guid> {
        self.0.get(&(source, key)).copied()
    }
}
