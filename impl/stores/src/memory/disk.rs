//! What outlives a memory store: its hives, and which incarnation may touch them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rsi::Guid;

use super::content::Content;
use crate::fold::fold;
use crate::{HiveInfo, root};

/// A handle to the hives that memory stores keep; its clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    incarnation: u64,
    /// The root key of each hive, by folded name.
    roots: BTreeMap<String, Guid>,
    hives: BTreeMap<Guid, Content>,
}

impl MemoryDisk {
    /// A disk without hives.
    #[must_use]
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Ends every earlier incarnation, drops what is volatile or orphaned, and makes the roots
    /// that are missing.
    pub(super) fn start(
        &self,
        names: Vec<String>,
        random: &mut dyn FnMut(&mut [u8]),
        now: u64,
    ) -> (u64, Vec<HiveInfo>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.incarnation += 1;
        let mut infos: Vec<HiveInfo> = Vec::new();
        for name in names {
            let folded = fold(&name).into_owned();
            if infos.iter().any(|info| fold(&info.name) == folded) {
                continue;
            }
            let former = shared.roots.get(&folded).copied();
            let kept = former.and_then(|root| shared.hives.remove(&root));
            let content = match kept {
                Some(content) if content.has_root() => content,
                // A root that was dropped is made anew; what else there is stays (P-68).
                kept => {
                    let new = Content::new(root::random_guid(random), &name, now);
                    kept.map_or_else(|| new.clone(), |kept| kept.with_root_of(&new))
                }
            };
            let root = content.root;
            shared.roots.insert(folded, root);
            shared.hives.entry(root).or_insert(content).recover();
            infos.push(HiveInfo { name, root });
        }
        (shared.incarnation, infos)
    }

    /// Lends a hive to the store of an incarnation; `None` if that incarnation is over.
    pub(super) fn with<T>(
        &self,
        incarnation: u64,
        root: Guid,
        work: impl FnOnce(&mut Content) -> T,
    ) -> Option<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.incarnation != incarnation {
            return None;
        }
        shared.hives.get_mut(&root).map(work)
    }
}
