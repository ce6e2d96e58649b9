//! Effective views: what one caller sees of everything, and every path there could be.
//!
//! A view is what syscalls would show (PSD-005 §6.2, §6.3), made by walking and resolving as they
//! do. It leaves access checks out: it says what is there for the token's layers and scopes, not what
//! the token may read, which [`State::opening`] says of each path. The alias `CurrentUser` has no part in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::abi::{NO_FD, REG_OPEN_LINK};
use crate::coverage::Covered;
use crate::database::{Guid, HiveId, Layered, PathEntry, Target};
use crate::enumeration::counts;
use crate::errno::Errno;
use crate::hives::{LastLink, Walk, walk};
use crate::input::{Caller, ProcessId};
use crate::keys;
use crate::names::{FoldedName, KeyName};
use crate::resolution::{EffectiveValue, Viewer};
use crate::security::Token;
use crate::state::{Hive, Place, State};
use crate::step::Work;
use crate::view::{KeyView, Part, Path, ValueView, View};

/// How many paths [`State::known_paths`] gives at most.
pub const KNOWN_PATHS_MAX: usize = 65_536;

/// The keys that some layer or other names at one path.
type Keys = BTreeSet<Guid>;

/// How an open ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// With an fd.
    Opens,
    /// Without one.
    Fails(Errno),
    /// In a way that this edition does not judge, in words.
    Outside(&'static str),
}

impl State {
    /// Every path that the entries of any layers give in the global hives, active or not, also below
    /// keys that are masked; at most [`KNOWN_PATHS_MAX`]. Hives that are registered, Active or Down,
    /// only.
    ///
    /// A name is spelled as the enabled layers show it, or else as its latest entry has it.
    pub fn known_paths(&self) -> BTreeSet<Path> {
        self.paths_in(self.global_hives().collect())
    }

    /// The same in the hives that a thread with this token can name, and the names of hives that it
    /// cannot.
    pub fn known_paths_for(&self, token: &Token) -> BTreeSet<Path> {
        let mut paths = self.paths_in(self.hives_for(token));
        let out_of_reach =
            self.hives.values().filter(|hive| self.route(hive.name.folded(), token).is_none());
        paths.extend(out_of_reach.map(|hive| vec![hive.name.spelling().to_owned()]));
        paths
    }

    fn paths_in(&self, hives: Vec<(HiveId, &Hive)>) -> BTreeSet<Path> {
        let mut paths = BTreeSet::new();
        for (id, hive) in hives {
            let root = Keys::from([self.database(id).root]);
            let mut pending = vec![(vec![hive.name.spelling().to_owned()], root)];
            while let Some((path, keys)) = pending.pop() {
                if paths.len() >= KNOWN_PATHS_MAX {
                    return paths;
                }
                if !self.can_be_said(&path) {
                    continue;
                }
                for (name, children) in self.known_children(id, &keys) {
                    let mut child = path.clone();
                    child.push(name);
                    pending.push((child, children));
                }
                paths.insert(path);
            }
        }
        paths
    }

    /// Whether a call can name this path, as far as its length goes. Its names are those of stored
    /// entries; the hive's alone is looked at here.
    fn can_be_said(&self, path: &[String]) -> bool {
        let length: usize = path.iter().map(|name| name.len() + 1).sum();
        path.len() <= self.limits.max_key_depth as usize
            && length <= self.limits.max_total_path_length as usize + 1
            && path
                .first()
                .is_none_or(|hive| hive.len() <= self.limits.max_path_component_length as usize)
    }

    /// What a caller with this token sees.
    pub fn view(&self, token: &Token) -> View {
        let paths = self.known_paths_for(token);
        paths.into_iter().map(|path| (path.clone(), self.key_view(&path, token))).collect()
    }

    /// How the open of a path ends for a caller with this token, a symlink at its end not followed.
    pub fn opening(&self, path: &[String], token: &Token, desired_access: u32) -> Opening {
        let caller = Caller { process: ProcessId(0), token: token.clone() };
        let mut work = Work::looking(self, &caller);
        let text = path.join("\\");
        let opened =
            keys::open(&mut work, NO_FD, Ok(text.as_bytes()), desired_access, REG_OPEN_LINK);
        match (opened, work.outside) {
            (_, Some(words)) => Opening::Outside(words),
            (Ok(_), None) => Opening::Opens,
            (Err(errno), None) => Opening::Fails(errno),
        }
    }

    /// Whether a caller with this token who asks for `desired_access` to the key at a path gets it.
    pub fn grants(&self, path: &[String], token: &Token, desired_access: u32) -> bool {
        self.opening(path, token, desired_access) == Opening::Opens
    }

    /// The names below any of `keys`, with the keys that each leads to.
    fn known_children(&self, hive: HiveId, keys: &Keys) -> Vec<(String, Keys)> {
        let mut children: BTreeMap<&FoldedName, Vec<&Layered<PathEntry>>> = BTreeMap::new();
        for key in keys {
            for (name, entries) in self.database(hive).children(*key) {
                // A name that no call can say leads nowhere.
                if !self.may_be_malformed(hive)
                    || KeyName::parse(name.as_str().as_bytes(), &self.limits).is_ok()
                {
                    children.entry(name).or_default().push(entries);
                }
            }
        }
        let everybody = Viewer::global();
        let resolver = self.resolver(hive, &everybody);
        children
            .into_iter()
            .map(|(folded, entries)| {
                let ignored = &mut Covered::new();
                let all = || entries.iter().flat_map(|entries| entries.values());
                let visible = keys
                    .iter()
                    .find_map(|key| resolver.child(*key, folded.as_str(), ignored).ok()?.0);
                let spelling = match visible {
                    Some(child) => child.entry.name.spelling(),
                    None => all()
                        .max_by_key(|entry| entry.sequence)
                        .map_or(folded.as_str(), |entry| entry.name.spelling()),
                };
                let targets = all().filter_map(|entry| match entry.target {
                    Target::Key(key) => Some(key),
                    Target::Hidden => None,
                });
                (spelling.to_owned(), targets.collect())
            })
            .collect()
    }

    fn key_view(&self, path: &[String], token: &Token) -> Option<KeyView> {
        let viewer = Viewer::of(token);
        let place = match self.lead(path, token) {
            Ok(place) => place?,
            Err(_) => {
                return Some(KeyView { unreadable: [Part::Key].into(), ..KeyView::default() });
            }
        };
        let resolver = self.resolver(place.hive, &viewer);
        let record = resolver.database.keys.get(&place.key())?;
        let ignored = &mut Covered::new();
        let mut view = KeyView {
            volatile_key: record.volatile_key,
            symlink: record.symlink,
            sd_size: record.sd_size,
            ..KeyView::default()
        };
        if place.parent().is_none() && record.descriptor.is_err() {
            return Some(KeyView { unreadable: [Part::Key].into(), ..KeyView::default() });
        }
        match resolver.values(place.key(), ignored) {
            Ok((values, _)) => view.values = values.iter().map(value_view).collect(),
            Err(_) => view.cannot_read(Part::Values),
        }
        match resolver.subkeys(place.key(), ignored) {
            Ok((subkeys, _)) => {
                for child in subkeys {
                    if counts(&resolver, child.key, ignored).is_ok() {
                        view.subkeys.insert(child.entry.name.spelling().to_owned());
                    } else {
                        view.unreadable.insert(Part::SomeSubkeys);
                    }
                }
            }
            Err(_) => view.cannot_read(Part::Subkeys),
        }
        Some(view)
    }

    /// Where a path leads for a token, a symlink at its end not followed.
    pub(crate) fn place(&self, path: &[String], token: &Token) -> Option<Place> {
        self.lead(path, token).ok().flatten()
    }

    /// The same; `Err` if the source answers with malformed data on the way.
    fn lead(&self, path: &[String], token: &Token) -> Result<Option<Place>, Errno> {
        let components: Result<Vec<KeyName>, _> =
            path.iter().map(|name| KeyName::parse(name.as_bytes(), &self.limits)).collect();
        let Some(components) = components.ok().filter(|components| !components.is_empty()) else {
            return Ok(None);
        };
        let routed = self.route(components[0].folded(), token);
        if !routed.is_some_and(|hive| self.is_active(hive)) {
            return Ok(None);
        }
        let caller = Caller { process: ProcessId(0), token: token.clone() };
        let mut work = Work::looking(self, &caller);
        match walk(&mut work, None, &components, LastLink::Open) {
            Ok(Walk::Found(place)) => Ok(Some(place)),
            Err(Errno::EIO) => Err(Errno::EIO),
            _ => Ok(None),
        }
    }
}

impl KeyView {
    /// Key info reads values and subkeys too, and is not to be had where one of them is not.
    fn cannot_read(&mut self, part: Part) {
        self.unreadable.extend([part, Part::Information]);
        (self.volatile_key, self.symlink, self.sd_size) = (false, false, 0);
    }
}

fn value_view(value: &EffectiveValue<'_>) -> (String, ValueView) {
    let view = ValueView {
        value_type: value.entry.value_type,
        data: value.entry.data.to_vec(),
        layer: value.layer.name.spelling().to_owned(),
        sequence: value.entry.sequence,
    };
    (value.entry.name.spelling().to_owned(), view)
}
