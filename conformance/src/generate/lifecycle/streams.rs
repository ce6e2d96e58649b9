//! Backups and restores: into the key that a backup is of and into others, at once and when much has changed
//! since, from streams that are sound, stale or damaged (PSD-005 §9.1).
//!
//! A restore undoes most of what a plan has built, so there are few of them.

use proptest::prelude::*;
use registry_model::input::StreamAccess;

use super::super::{Generator, HANDLES};
use super::ALL_ACCESS;
use crate::plan::{Action, Handle, KeyReference, Text};
use crate::streams::Damage;

/// The streams of a plan.
const STREAMS: &[&str] = &["s1", "s2", "s3"];
/// Keys that layers and parameters live in, which a restore changes as well.
const SETTINGS: &[&str] = &["Machine\\System\\Registry", "Machine\\System\\Registry\\Layers"];
/// Records and bytes that a damage is about; a stream has fewer or more, round and round.
const RECORDS_MAX: u32 = 40;
const BYTES_MAX: u32 = 4_000;
/// How often one stream is damaged.
const DAMAGES_MAX: usize = 2;
/// How far into a transfer its source may stall, in requests; a long one is over at times by then.
const TRANSFER_REQUEST_MAX: u32 = 40;

impl Generator {
    /// A backup, changes, and the restore of it.
    pub(in super::super) fn back_up_and_restore(&mut self) {
        let path = self.path_of_backup();
        let stream = self.pick(STREAMS).to_owned();
        self.back_up(&path, &stream);
        if self.chance(3) {
            self.plan_records(&stream);
        }
        for _ in 0..self.rng.random_range(0..3) {
            if self.chance(3) {
                self.change_place();
            } else {
                self.change_at(&path);
            }
        }
        self.look();
        for _ in 0..DAMAGES_MAX {
            if self.chance(4) {
                self.damage(&stream);
            }
        }
        self.restore(&path, &stream);
        let read = self.read_of(&path);
        self.act(3, read);
    }

    /// A transfer through an fd that was opened before, whose source stalls before it or in its course.
    pub(in super::super) fn transfer_at_a_stalling_source(&mut self) {
        let path = self.watched_path();
        let (stream, source) = (self.pick(STREAMS).to_owned(), self.source_of(&path));
        if self.down[source] {
            return;
        }
        self.back_up(&path, &stream);
        let handle = Handle(self.pick(HANDLES).to_owned());
        let (name, text) = (handle.clone(), Text::from(path.as_str()));
        let (access, flags) = (ALL_ACCESS, 0);
        self.act(1, Action::Open { handle: name, parent: None, path: text, access, flags });
        self.remember(handle.clone());
        let key = KeyReference::Handle(handle);
        let change = self.change_of(key.clone());
        self.act(1, change);
        if self.chance(6) {
            self.damage(&stream);
        }
        self.begin_stall(source, TRANSFER_REQUEST_MAX);
        let access = StreamAccess::ReadWrite;
        if self.chance(4) {
            self.life.streams.retain(|(name, _)| *name != stream);
            self.act(6, Action::Backup { key: key.clone(), stream: stream.clone(), access });
        } else {
            self.act(6, Action::Restore { key: key.clone(), stream: stream.clone(), access });
        }
        if self.chance(3) {
            let change = self.change_of(key);
            self.act(1, change);
        }
        if self.chance(4) {
            // What the restore has written may be of a layer that goes meanwhile.
            self.switch_some_layer();
        }
        self.end_stall(source);
        self.noted_all();
        self.look();
        let read = self.read_of(&path);
        self.act(3, read);
        if self.chance(2) {
            self.restore(&path, &stream);
        }
    }

    /// A restore of what some backup has left, into a key that need not be that of the backup.
    pub(in super::super) fn restore_something(&mut self) {
        let stream = self.pick(STREAMS).to_owned();
        let known = self.life.streams.iter().find(|(name, _)| *name == stream).cloned();
        let path = match known {
            Some((_, path)) if !self.chance(3) => path,
            _ => self.some_path(),
        };
        self.restore(&path, &stream);
    }

    /// A backup that is read later, if at all.
    pub(in super::super) fn back_up_something(&mut self) {
        let path = self.path_of_backup();
        let stream = self.pick(STREAMS).to_owned();
        self.back_up(&path, &stream);
    }

    fn path_of_backup(&mut self) -> String {
        match self.rng.random_range(0..8) {
            0 => self.pick(SETTINGS).to_owned(),
            1 => self.some_path(),
            _ => self.watched_path(),
        }
    }

    fn back_up(&mut self, path: &str, stream: &str) {
        let access = self.mode(StreamAccess::Write, StreamAccess::Read);
        let (key, stream) = (Generator::by_path(path), stream.to_owned());
        if access != StreamAccess::Read {
            self.life.streams.retain(|(name, _)| *name != stream);
            self.life.streams.push((stream.clone(), path.to_owned()));
        }
        self.act(6, Action::Backup { key, stream, access });
    }

    fn restore(&mut self, path: &str, stream: &str) {
        let access = self.mode(StreamAccess::Read, StreamAccess::Write);
        let (key, stream) = (Generator::by_path(path), stream.to_owned());
        self.act(6, Action::Restore { key, stream, access });
        self.noted_all();
        self.look();
    }

    /// The mode that serves, both, or now and then the one that does not.
    fn mode(&mut self, usual: StreamAccess, wrong: StreamAccess) -> StreamAccess {
        match self.rng.random_range(0..16) {
            0 => wrong,
            1 => StreamAccess::ReadWrite,
            _ => usual,
        }
    }

    fn plan_records(&mut self, stream: &str) {
        let stream = stream.to_owned();
        self.act(0, Action::Records { stream });
    }

    fn damage(&mut self, stream: &str) {
        let mut record = || self.rng.random_range(0..RECORDS_MAX);
        let (one, other) = (record(), record());
        let damage = match self.rng.random_range(0..8) {
            0 => Damage::Drop(self.rng.random_range(1..BYTES_MAX)),
            1 => Damage::Flip(self.rng.random_range(0..BYTES_MAX)),
            2 => Damage::Add(vec![0x77, 0, 7, 0, 0, 0, 1]),
            3 => Damage::Repeat(one),
            4 | 5 => Damage::Swap(one, other),
            _ => Damage::Remove(one),
        };
        let (stream, is_sealed) = (stream.to_owned(), !self.chance(4));
        self.act(0, Action::Damage { stream, damage, is_sealed });
    }
}
