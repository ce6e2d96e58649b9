//! What an open key fd is: a key, the way it was reached, and the rights granted then.
//!
//! States PSD-005 §6.1 (key fds), §2.8 (last close) and §2.1 rule 5. It does not know numbers or
//! tables of fds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use abi::Errno;
use rsi::Guid;

use crate::env::Env;
use crate::kernel::Kernel;
use crate::name::FoldedName;
use crate::state::{HiveId, KeyId};
use crate::watches::WatchId;

/// A key and the way to it from its hive's root, links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    hive: HiveId,
    root: Step,
    below: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    guid: Guid,
    name: String,
}

impl Position {
    /// A hive root, under the hive's registered name.
    pub fn root(hive: HiveId, guid: Guid, name: String) -> Self {
        Self { hive, root: Step { guid, name }, below: Vec::new() }
    }

    /// The child `guid`, met under `name`.
    #[must_use]
    pub fn child(mut self, guid: Guid, name: String) -> Self {
        self.below.push(Step { guid, name });
        self
    }

    /// The hive it is in.
    pub fn hive(&self) -> HiveId {
        self.hive
    }

    /// The key.
    pub fn key(&self) -> KeyId {
        let last = self.below.last().unwrap_or(&self.root);
        KeyId::in_hive(self.hive, last.guid)
    }

    /// The key above, none of a hive root.
    pub fn parent(&self) -> Option<KeyId> {
        let above = self.below.split_last()?.1;
        let guid = above.last().unwrap_or(&self.root).guid;
        Some(KeyId::in_hive(self.hive, guid))
    }

    /// The way as far as the key above, none of a hive root.
    pub fn above(&self) -> Option<Self> {
        let below = self.below.split_last()?.1.to_vec();
        Some(Self { hive: self.hive, root: self.root.clone(), below })
    }

    /// The keys above, nearest first, each with the number of components from it down to the key.
    pub fn ancestors(&self) -> impl Iterator<Item = (KeyId, usize)> {
        (0..self.below.len()).rev().map(|index| {
            let above = index.checked_sub(1).map_or(&self.root, |above| &self.below[above]);
            (KeyId::in_hive(self.hive, above.guid), self.below.len() - index)
        })
    }

    /// Whether the key is directly below the key of this path, by the names of the way.
    pub fn is_child_of(&self, path: &[&str]) -> bool {
        self.below.split_last().is_some_and(|(_, above)| {
            above.len() == path.len()
                && above
                    .iter()
                    .zip(path)
                    .all(|(step, name)| FoldedName::new(&step.name) == FoldedName::new(name))
        })
    }

    /// The last components of the path, so many of them as the hive's own is not among.
    pub fn last_names(&self, count: usize) -> impl Iterator<Item = &str> {
        let start = self.below.len().saturating_sub(count);
        self.below[start..].iter().map(|step| step.name.as_str())
    }

    /// The key's name, as the walk that reached it spelled it (D-06).
    pub fn name(&self) -> &str {
        &self.below.last().unwrap_or(&self.root).name
    }

    /// Components of the path, the hive's included (D-02).
    pub fn depth(&self) -> usize {
        self.below.len() + 1
    }
}

/// An open file description of a key. Its last reference closes it.
pub struct KeyFile<E: Env> {
    kernel: Arc<Kernel<E>>,
    /// The key and the way to it.
    pub position: Position,
    /// Rights granted at open.
    pub granted: u32,
    /// The key's volatile flag.
    pub volatile_key: bool,
    /// The key's symlink flag.
    pub symlink: bool,
    closed: AtomicBool,
    watch: OnceLock<WatchId>,
}

impl<E: Env> KeyFile<E> {
    /// A description of a key that the state has been told of by `State::open_key`.
    pub fn new(
        kernel: Arc<Kernel<E>>,
        position: Position,
        granted: u32,
        volatile_key: bool,
        symlink: bool,
    ) -> Self {
        let closed = AtomicBool::new(false);
        let watch = OnceLock::new();
        Self { kernel, position, granted, volatile_key, symlink, closed, watch }
    }

    /// The key.
    pub fn key(&self) -> KeyId {
        self.position.key()
    }

    /// What its watch is known by, once it has been armed.
    pub fn watch(&self) -> Option<WatchId> {
        self.watch.get().copied()
    }

    /// As [`KeyFile::watch`], from now on.
    pub fn watch_or_insert_with(&self, new: impl FnOnce() -> WatchId) -> WatchId {
        *self.watch.get_or_init(new)
    }

    /// Checks the granted mask (PSD-005 §3.1).
    ///
    /// # Errors
    /// EACCES when a needed right is not there.
    pub fn require(&self, right: u32) -> Result<(), Errno> {
        if self.granted & right == right { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Closes the description and waits until an orphan has been dropped.
    pub async fn close(self) {
        if let Some(drop_key) = self.release() {
            drop_key.await;
        }
    }

    fn release(&self) -> Option<impl Future<Output = ()> + Send + 'static + use<E>> {
        if self.closed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let key = self.key();
        let kernel = self.kernel.begin_operation();
        let is_orphan = {
            let mut state = self.kernel.state();
            if let Some(watch) = self.watch() {
                state.watches.disarm(watch);
            }
            state.close_key(key)
        };
        is_orphan.then_some(async move {
            kernel.drop_key(key).await;
            kernel.state().forget_key(key);
        })
    }
}

impl<E: Env> Drop for KeyFile<E> {
    fn drop(&mut self) {
        if let Some(drop_key) = self.release() {
            self.kernel.spawn(drop_key);
        }
    }
}
