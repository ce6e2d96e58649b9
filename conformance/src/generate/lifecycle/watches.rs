//! Watches: armed in every way, read, polled, passed on, overflowed (PSD-005 §4.1, §4.2).

use proptest::prelude::*;

use super::super::{Generator, KEY_NAMES};
use super::ALL_ACCESS;
use crate::plan::{Action, Handle, KeyReference, Text};

/// The handles of watches.
const WATCHES: &[&str] = &["w1", "w2", "w3", "w4", "w5"];
/// The handles of keys that are written through.
const WRITERS: &[&str] = &["k1", "k2"];
/// What watches ask for, mostly everything.
const FILTERS: &[u32] = &[7, 7, 7, 7, 7, 7, 1, 1, 2, 2, 4, 3, 5, 6];
/// Filters with undefined bits.
const BAD_FILTERS: &[u32] = &[8, 0x8000_0000, 0xFF];
/// The shortest queue that there can be, and writes that it does not hold.
const QUEUE_MIN: u32 = 16;
const OVERFLOWING: std::ops::RangeInclusive<u32> = 15..=21;
/// Watches that are read after a change.
const LOOKS_MAX: usize = 2;

/// A handle that is probably armed.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) actor: usize,
    pub(super) handle: Handle,
    pub(super) path: String,
    filter: u32,
    is_subtree: bool,
    /// Whether something has probably happened since it was last read.
    has_news: bool,
}

impl Watched {
    fn sees(&self, path: &str) -> bool {
        let is_below = || path.starts_with(&format!("{}\\", self.path));
        self.filter != 0 && (path == self.path || (self.is_subtree && is_below()))
    }
}

impl Generator {
    /// Opens a key, or one above it, and arms it.
    pub(in super::super) fn arm(&mut self) {
        let mut path = self.some_path();
        for _ in 0..self.rng.random_range(0..3) {
            if let Some((parent, _)) = path.rsplit_once('\\') {
                path = parent.to_owned();
            }
        }
        let handle = self.handle(WATCHES);
        self.forget_watch(self.actor, &handle);
        let access = if self.chance(16) { 0x0002_0006 } else { ALL_ACCESS };
        let (parent, flags) = (None, 0);
        let text = Text::from(path.as_str());
        self.act(1, Action::Open { handle: handle.clone(), parent, path: text, access, flags });
        let (filter, is_subtree) = self.notify(handle.clone());
        if access != ALL_ACCESS {
            return;
        }
        let actor = self.actor;
        let watched = Watched { actor, handle, path, filter, is_subtree, has_news: false };
        self.life.watched.push(watched);
    }

    fn notify(&mut self, handle: Handle) -> (u32, bool) {
        let subtree = self.rng.random_range(0..=1);
        let (filter, sent) = match self.rng.random_range(0..60) {
            0 => (0, self.rng.random_range(2..=255)),
            1 | 2 => {
                let bad = BAD_FILTERS[self.rng.random_range(0..BAD_FILTERS.len())];
                self.act(1, Action::Watch { handle, filter: bad, subtree });
                return (0, false);
            }
            _ => (FILTERS[self.rng.random_range(0..FILTERS.len())], subtree),
        };
        self.act(1, Action::Watch { handle, filter, subtree: sent });
        (filter, subtree == 1)
    }

    /// Another filter or another reach for a watch; sometimes none.
    pub(in super::super) fn rearm(&mut self) {
        let Some(index) = self.some_watch() else { return self.arm() };
        let Watched { actor, handle, .. } = self.life.watched[index].clone();
        self.actor = actor;
        if self.chance(4) {
            self.act(1, Action::Watch { handle, filter: 0, subtree: 0 });
            self.life.watched[index].filter = 0;
            self.life.watched[index].has_news = false;
            return;
        }
        let (filter, is_subtree) = self.notify(handle);
        let watched = &mut self.life.watched[index];
        (watched.filter, watched.is_subtree) = (filter, is_subtree);
    }

    /// A watch is disarmed with something in its queue, and armed again.
    pub(in super::super) fn disarm_unread(&mut self) {
        let Some(index) = self.some_watch() else { return self.arm() };
        let Watched { actor, handle, path, .. } = self.life.watched[index].clone();
        self.set_hot_value(&path);
        self.actor = actor;
        self.act(1, Action::Watch { handle: handle.clone(), filter: 0, subtree: 0 });
        let (filter, is_subtree) = self.notify(handle);
        let watched = &mut self.life.watched[index];
        (watched.filter, watched.is_subtree) = (filter, is_subtree);
        if self.chance(2) {
            self.set_hot_value(&path);
        }
        self.read_watch(index);
    }

    /// Reads the events of watches that have probably seen something.
    pub(super) fn look(&mut self) {
        for _ in 0..self.rng.random_range(1..=LOOKS_MAX) {
            let news = |watched: &Watched| watched.has_news;
            match self.life.watched.iter().position(news) {
                Some(index) => self.read_watch(index),
                None if self.chance(12) => {
                    if let Some(index) = self.some_watch() {
                        self.read_watch(index);
                    }
                }
                None => return,
            }
        }
    }

    /// Reads all events of all watches that have probably seen something.
    pub(in super::super) fn read_news(&mut self) {
        let acting = self.actor;
        for index in 0..self.life.watched.len() {
            if !std::mem::take(&mut self.life.watched[index].has_news) {
                continue;
            }
            let Watched { actor, handle, .. } = self.life.watched[index].clone();
            self.actor = actor;
            self.act(1, Action::Events { handle, capacity: None });
        }
        self.actor = acting;
    }

    fn read_watch(&mut self, index: usize) {
        let acting = self.actor;
        let Watched { actor, handle, .. } = self.life.watched[index].clone();
        self.actor = actor;
        let capacity = match self.rng.random_range(0..24) {
            0 => Some(self.rng.random_range(0..8)),
            1 => Some(8),
            2 | 3 => Some(self.rng.random_range(9..64)),
            _ => None,
        };
        self.life.watched[index].has_news = capacity.is_some();
        self.act(1, Action::Events { handle: handle.clone(), capacity });
        if self.chance(8) {
            self.act(1, Action::Poll { handle });
        }
        self.actor = acting;
    }

    pub(super) fn is_anything_watched(&self) -> bool {
        self.life.watched.iter().any(|watched| watched.filter != 0)
    }

    fn some_watch(&mut self) -> Option<usize> {
        let count = self.life.watched.len();
        (count > 0).then(|| self.rng.random_range(0..count))
    }

    pub(in super::super) fn poll_watch(&mut self) {
        let Some(index) = self.some_watch() else { return self.arm() };
        let Watched { actor, handle, .. } = self.life.watched[index].clone();
        self.actor = actor;
        self.act(1, Action::Poll { handle });
    }

    /// The fd of a watch goes to somebody, who reads what comes; often the first one is closed.
    pub(in super::super) fn pass_watch(&mut self) {
        let Some(index) = self.some_watch() else { return self.arm() };
        let watched = self.life.watched[index].clone();
        self.actor = watched.actor;
        let recipient = self.rng.random_range(0..self.plan.actors.len());
        let received = self.handle(WATCHES);
        if (recipient, &received) == (watched.actor, &watched.handle) {
            return;
        }
        self.forget_watch(recipient, &received);
        let to = self.chance(2).then(|| self.plan.actors[recipient].name.clone());
        let recipient = if to.is_some() { recipient } else { watched.actor };
        self.forget_watch(recipient, &received);
        let handle = watched.handle.clone();
        self.act(1, Action::Pass { handle: handle.clone(), to, received: received.clone() });
        self.life.watched.push(Watched { actor: recipient, handle: received, ..watched.clone() });
        if self.chance(2) {
            self.forget_watch(watched.actor, &handle);
            self.act(1, Action::Close { handle });
        }
        self.change();
    }

    pub(in super::super) fn close_watch(&mut self) {
        let Some(index) = self.some_watch() else { return };
        let Watched { actor, handle, .. } = self.life.watched.remove(index);
        self.actor = actor;
        self.act(1, Action::Close { handle });
    }

    /// Calls for a transaction on the fd of a key.
    pub(in super::super) fn mistake_key(&mut self) {
        let Some(index) = self.some_watch() else { return self.arm() };
        let Watched { actor, handle: transaction, path, .. } = self.life.watched[index].clone();
        self.actor = actor;
        let action = match self.rng.random_range(0..3) {
            0 => Action::Commit { transaction },
            1 => Action::TransactionStatus { transaction },
            _ => {
                let (key, name) = (Generator::by_path(&path), self.value_name());
                let action = Action::Get { key, name, data_capacity: None, layer_capacity: None };
                Action::Within { transaction, action: Box::new(action) }
            }
        };
        self.act(1, action);
    }

    fn forget_watch(&mut self, actor: usize, handle: &Handle) {
        self.life.watched.retain(|known| (known.actor, &known.handle) != (actor, handle));
    }

    /// Something has probably changed at a path.
    pub(in super::super) fn noted(&mut self, path: &str) {
        for watched in self.life.watched.iter_mut().filter(|watched| watched.sees(path)) {
            watched.has_news = true;
        }
    }

    /// Something has probably changed at a key's parent and for the key itself.
    pub(super) fn noted_place(&mut self, path: &str) {
        self.noted(path);
        if let Some((parent, _)) = path.rsplit_once('\\') {
            self.noted(parent);
        }
    }

    /// Something has probably changed anywhere.
    pub(super) fn noted_all(&mut self) {
        for watched in self.life.watched.iter_mut().filter(|watched| watched.filter != 0) {
            watched.has_news = true;
        }
    }

    /// A path that a watch sees, mostly.
    pub(in super::super) fn watched_path(&mut self) -> String {
        let (path, is_any) = (self.some_path(), self.chance(4));
        let is_seen = |path: &String| self.life.watched.iter().any(|of| of.sees(path));
        if is_any || is_seen(&path) {
            return path;
        }
        let seen = self.paths.iter().find(|path| is_seen(path)).cloned();
        seen.unwrap_or(path)
    }

    /// More changes than a short queue holds, of one key, through an fd.
    pub(in super::super) fn overflow(&mut self) {
        if self.life.settings.queue_size != QUEUE_MIN {
            self.set_parameter_to("NotificationQueueSize", QUEUE_MIN);
            self.life.settings.queue_size = QUEUE_MIN;
        }
        let path = self.watched_path();
        if self.life.watched.iter().all(|watched| !watched.sees(&path)) {
            self.arm();
        }
        self.flood(&path);
        self.look();
    }

    fn flood(&mut self, path: &str) {
        let handle = self.handle(WRITERS);
        let text = Text::from(path);
        let open = Action::Open {
            handle: handle.clone(),
            parent: None,
            path: text,
            access: ALL_ACCESS,
            flags: 0,
        };
        self.act(1, open);
        let name = self.value_name();
        for _ in 0..self.rng.random_range(OVERFLOWING) {
            self.write_fresh(&handle, name.clone());
        }
        self.noted(path);
        self.act(1, Action::Close { handle });
    }

    /// A key far below a subtree watch changes while the depth is limited.
    pub(in super::super) fn watch_deeply(&mut self) {
        let depth = self.rng.random_range(0..=3);
        self.set_parameter_to("MaxSubtreeWatchDepth", depth);
        let handle = self.handle(WATCHES);
        self.forget_watch(self.actor, &handle);
        let path = Text::from("Machine");
        let open = Action::Open {
            handle: handle.clone(),
            parent: None,
            path,
            access: ALL_ACCESS,
            flags: 0,
        };
        self.act(1, open);
        self.act(1, Action::Watch { handle: handle.clone(), filter: 7, subtree: 1 });
        let actor = self.actor;
        let path = "Machine".to_owned();
        let watched = Watched { actor, handle, path, filter: 7, is_subtree: true, has_news: false };
        self.life.watched.push(watched);
        for path in ["Machine\\Alpha", "Machine\\Alpha\\beta", "Machine\\Alpha\\beta\\Ärger"] {
            self.change_at(path);
        }
        let name = self.pick(KEY_NAMES);
        let path = format!("Machine\\Alpha\\beta\\{name}");
        self.create_at(&path, None);
        self.look();
    }

    /// A key is watched, loses its last name, and is used on.
    pub(in super::super) fn orphan(&mut self) {
        let parent = self.watched_path();
        let path = format!("{parent}\\{}", self.pick(KEY_NAMES));
        let handle = self.handle(WATCHES);
        self.forget_watch(self.actor, &handle);
        self.open_or_create(&handle, &path);
        let is_armed = !self.chance(4);
        if is_armed {
            self.act(1, Action::Watch { handle: handle.clone(), filter: 7, subtree: 1 });
        }
        let layer = Text::default();
        let key = Generator::by_path(&path);
        let delete = if self.chance(4) {
            self.sequence += 1;
            Action::Hide { key, layer }
        } else {
            Action::Delete { key, layer }
        };
        self.act(3, delete);
        self.noted_place(&path);
        let name = self.value_name();
        self.write_fresh(&handle, name);
        if is_armed {
            self.act(1, Action::Events { handle: handle.clone(), capacity: None });
        }
        if self.chance(2) {
            let filter = if self.chance(4) { 0 } else { 3 };
            self.act(1, Action::Watch { handle: handle.clone(), filter, subtree: 0 });
        }
        if self.chance(2) {
            self.create_at(&path, None);
        }
        self.act(1, Action::Close { handle });
        self.look();
    }

    /// A watched key is hidden by a layer and comes back.
    pub(in super::super) fn reappear(&mut self) {
        let path = self.watched_path();
        let handle = self.handle(WATCHES);
        self.forget_watch(self.actor, &handle);
        self.open_or_create(&handle, &path);
        self.act(1, Action::Watch { handle: handle.clone(), filter: 7, subtree: 0 });
        let layer = self.some_layer();
        let text = Text::from(layer.as_str());
        self.sequence += 1;
        let key = Generator::by_path(&path);
        self.act(3, Action::Hide { key, layer: text.clone() });
        self.noted_place(&path);
        let name = self.value_name();
        self.write_fresh(&handle, name.clone());
        if self.chance(2) {
            self.create_at(&path, None);
        }
        if self.chance(2) {
            let key = KeyReference::Handle(handle.clone());
            self.act(1, Action::Delete { key, layer: text });
        } else {
            self.switch_layer(&layer);
        }
        self.write_fresh(&handle, name);
        self.act(1, Action::Events { handle: handle.clone(), capacity: None });
        self.look();
        self.act(1, Action::Close { handle });
    }
}
