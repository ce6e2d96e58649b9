//! The security profile: who acts, on which tree, and what a seed weighs.
//!
//! Several principals with different rights meet on a small tree whose SDs change all the time.
//! SYSTEM acts often and mends what was locked, so that most calls succeed. A rough belief of which
//! keys and layers anybody may write decides where the others mostly go.

mod access;
mod authority;
mod corners;
mod descriptors;
mod links;
mod principals;
#[cfg(test)]
mod tests;

use proptest::prelude::*;

use super::{Feature, Generator, LAYER_NAMES, Profile};
use crate::plan::{Action, Actor, Handle, KeyReference, SourceHive, Text};
use descriptors::bytes_of;
use principals::{ALICE, BOB, Principal, scopes};

/// An SD that lets everybody do everything, below the key too.
const OPEN: &str = "O:SYG:SYD:(A;CI;KA;;;SY)(A;CI;KA;;;BA)(A;CI;KA;;;WD)";
/// Principals of one plan beside SYSTEM, alice and bob.
const FURTHER_MAX: usize = 2;
/// The private hives beside a private `Machine`.
const PRIVATE_HIVES: &[&str] = &["Mine", "Users"];

/// What the security profile knows of a run; empty in the others.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// Whose token each actor has.
    primary: Vec<Principal>,
    /// Whose token each actor's calls are made with.
    acting: Vec<Principal>,
    /// Paths that anybody may probably write.
    open_paths: Vec<String>,
    /// Layers that anybody may probably write.
    open_layers: Vec<String>,
    /// Paths of links.
    links: Vec<String>,
    /// Paths whose SDs were changed, and layers' metadata among them.
    changed: Vec<String>,
    /// Whether a private hive has the name of a global one.
    is_shadowed: bool,
}

impl Scene {
    /// Nobody impersonates any more.
    pub(super) fn rebooted(&mut self) {
        self.acting.clone_from(&self.primary);
    }
}

impl Generator {
    /// Actors, sources, a small tree with SDs, and a few layers.
    pub(super) fn set_the_secured_stage(&mut self) {
        self.name_the_actors();
        self.start_the_sources();
        self.down = vec![false; self.plan.sources.len()];
        self.hot_name = self.rng.random_range(0..super::VALUE_NAMES.len());
        self.actor = 0;
        self.plant_the_tree();
        for _ in 0..self.rng.random_range(2..=4) {
            self.create_layer();
        }
        self.open_some_layers();
    }

    fn name_the_actors(&mut self) {
        let mut cast = vec![("system", Principal::System), ("alice", Principal::Alice)];
        if !self.chance(4) {
            cast.push(("bob", Principal::Bob));
        }
        for _ in 0..self.rng.random_range(0..=FURTHER_MAX) {
            let further = Principal::FURTHER[self.rng.random_range(0..Principal::FURTHER.len())];
            if !cast.contains(&further) {
                cast.push(further);
            }
        }
        for (name, principal) in cast {
            let token = self.primary_token(principal);
            self.plan.actors.push(Actor { name: name.to_owned(), token });
            self.scene.primary.push(principal);
        }
        self.scene.rebooted();
    }

    fn start_the_sources(&mut self) {
        let hives = |names: &[&str]| names.iter().map(|name| SourceHive::global(name)).collect();
        self.plan.sources = match self.rng.random_range(0..8) {
            0 => vec![hives(&["Machine"])],
            1 | 2 => vec![hives(&["Machine"]), hives(&["Users"])],
            _ => vec![hives(&["Machine", "Users"])],
        };
        if self.chance(2) {
            return;
        }
        let [one, other] = scopes();
        let private = |name: &str, scope| SourceHive { name: name.to_owned(), scope: Some(scope) };
        let name = if self.chance(2) { "Machine" } else { self.pick(PRIVATE_HIVES) };
        self.scene.is_shadowed = name != "Mine";
        self.plan.sources.push(vec![private(name, one)]);
        if self.chance(3) {
            self.plan.sources.push(vec![private(name, other)]);
        }
    }

    /// The first path is the one that everybody meets.
    fn plant_the_tree(&mut self) {
        self.plant("Machine\\Alpha", OPEN);
        self.plant("Machine\\Alpha\\beta", OPEN);
        if self.has_users() {
            for user in [ALICE, BOB] {
                let path = format!("Users\\{user}");
                self.plant(
                    &path,
                    &format!("O:SYG:SYD:(A;CI;KA;;;{user})(A;CI;KA;;;SY)(A;CI;KA;;;BA)"),
                );
            }
        }
        for _ in 0..self.rng.random_range(0..=2) {
            self.create_key();
        }
    }

    fn plant(&mut self, path: &str, descriptor: &str) {
        let key = Text::from(path);
        self.sequence += 1;
        self.paths.push(path.to_owned());
        if descriptor == OPEN {
            self.scene.open_paths.push(path.to_owned());
        }
        let handle = self.chance(2).then(|| Handle(self.pick(super::HANDLES).to_owned()));
        if let Some(handle) = &handle {
            self.remember(handle.clone());
        }
        let create = Action::Create {
            handle,
            parent: None,
            path: key,
            access: 0x000F_003F,
            flags: 0,
            layer: None,
        };
        self.act(2, create);
        self.set_whole_descriptor(path, descriptor);
    }

    /// Gives a key an SD without a SACL.
    fn set_whole_descriptor(&mut self, path: &str, descriptor: &str) {
        let (key, descriptor) = (KeyReference::Path(Text::from(path)), bytes_of(descriptor));
        let security_info = crate::sddl::components(&descriptor);
        self.act(3, Action::SetSecurity { key, security_info, descriptor });
    }

    fn has_users(&self) -> bool {
        self.plan.sources.iter().flatten().any(|hive| hive.name == "Users" && hive.scope.is_none())
    }

    /// The features with the lowest and the highest weight that a seed may give.
    pub(super) fn secured_features(&self) -> Vec<(u32, u32, Feature)> {
        let stored_max =
            if self.scene.is_shadowed { 0 } else { Profile::Security.stored_weight_max() };
        let mut features: Vec<(u32, u32, Feature)> = vec![
            (30, 60, Generator::get),
            (30, 60, Generator::set),
            (0, 6, Generator::tombstone),
            (0, 6, Generator::unset),
            (0, 6, Generator::blanket),
            (0, 5, Generator::batch),
            (0, 4, Generator::enumerate),
            (0, 4, Generator::list),
            (0, 4, Generator::info),
            (2, 8, Generator::create_key),
            (0, 3, Generator::delete_key),
            (0, 3, Generator::hide_key),
            (1, 4, Generator::open_handle),
            (0, 3, Generator::close_handle),
            (0, 5, Generator::change_layer),
            (0, 3, Generator::delete_layer),
            (0, 3, Generator::set_if),
            (0, 2, Generator::bad_call),
            (0, 1, Generator::compare_or_flush),
            (0, 1, Generator::fault),
            (0, 5, Generator::raw_call),
            (0, stored_max, Generator::store_entry),
            (0, stored_max, Generator::store_any_descriptor),
            (0, 1, Generator::register),
            (0, 1, Generator::register_wrongly),
            (0, 1, Generator::lose_device),
        ];
        let of_security: [(u32, u32, Feature); 19] = [
            (4, 12, Generator::set_security),
            (2, 8, Generator::get_security),
            (4, 12, Generator::open_and_use),
            (2, 8, Generator::create_and_look),
            (2, 6, Generator::pass),
            (2, 6, Generator::impersonate),
            (2, 6, Generator::mend),
            (1, 5, Generator::guard_layer),
            (1, 4, Generator::create_layer_with_rights),
            (1, 4, Generator::use_private_layer),
            (1, 4, Generator::use_current_user),
            (1, 5, Generator::make_link),
            (1, 5, Generator::follow_link),
            (1, 5, Generator::change_link),
            (0, 1, Generator::chain_links),
            (0, 2, Generator::link_among_keys),
            (0, 1, Generator::ask_for_the_sacl),
            (0, 2, Generator::inherit_a_label),
            (0, 1, Generator::link_behind_a_link),
        ];
        features.extend(of_security);
        features
    }

    /// Who does the next action: SYSTEM often.
    pub(super) fn next_actor(&mut self) -> usize {
        let actors = self.plan.actors.len();
        let is_secured = self.profile == Profile::Security;
        if is_secured && self.chance(3) { 0 } else { self.rng.random_range(0..actors) }
    }

    fn is_weak(&self) -> bool {
        self.scene.acting.get(self.actor).is_some_and(|principal| !principal.is_strong())
    }

    /// The action is one that mostly SYSTEM succeeds in.
    fn mostly_as_system(&mut self) {
        if !self.chance(4) {
            self.actor = 0;
        }
    }

    /// The key that this profile uses instead of any: often the one that everybody meets, since
    /// what happens elsewhere is refused more often than in other profiles. Never in another one.
    pub(super) fn secured_key(&mut self) -> Option<KeyReference> {
        if self.profile != Profile::Security {
            return None;
        }
        match self.rng.random_range(0..8) {
            0..4 => Some(KeyReference::Path(Text::from(self.paths[0].as_str()))),
            4..6 => Some(KeyReference::Path(self.path())),
            _ => None,
        }
    }

    /// Where this profile goes instead of anywhere that exists; never in another profile.
    pub(super) fn secured_path(&mut self) -> Option<String> {
        if self.profile != Profile::Security {
            return None;
        }
        match self.rng.random_range(0..24) {
            0 | 1 => self.link_path(),
            2 => Some(self.current_user_path()),
            3 if self.has_private_hives() => Some(self.private_path()),
            4..16 if self.is_weak() => self.open_path(),
            _ => None,
        }
    }

    /// A layer that this profile writes to instead of any; never in another profile.
    pub(super) fn secured_layer(&mut self) -> Option<String> {
        let is_restrained = self.profile == Profile::Security && self.is_weak();
        if !is_restrained || self.scene.open_layers.is_empty() || self.chance(5) {
            return None;
        }
        let index = self.rng.random_range(0..self.scene.open_layers.len());
        Some(self.scene.open_layers[index].clone())
    }

    fn open_path(&mut self) -> Option<String> {
        let count = self.scene.open_paths.len();
        (count > 0).then(|| self.scene.open_paths[self.rng.random_range(0..count)].clone())
    }

    fn current_user_path(&mut self) -> String {
        let alias = self.pick(&["CurrentUser", "CurrentUser", "CURRENTUSER", "currentuser"]);
        match self.rng.random_range(0..6) {
            0 => alias.to_owned(),
            1 => format!("Machine\\{alias}"),
            2 => format!("Users\\{}\\{}", self.pick(&[ALICE, BOB]), self.pick(super::KEY_NAMES)),
            _ => format!("{alias}\\{}", self.pick(super::KEY_NAMES)),
        }
    }

    fn has_private_hives(&self) -> bool {
        self.plan.sources.iter().flatten().any(|hive| hive.scope.is_some())
    }

    fn private_path(&mut self) -> String {
        let name = self.pick(super::KEY_NAMES);
        match self.plan.sources.iter().flatten().find(|hive| hive.scope.is_some()) {
            Some(hive) => format!("{}\\{name}", hive.name),
            None => format!("Mine\\{name}"),
        }
    }

    /// A key that was created below one that is open is open as well.
    pub(super) fn believe_created(&mut self, path: &str) {
        let parent = path.rsplit_once('\\').map(|(parent, _)| parent);
        let open = &mut self.scene.open_paths;
        if open.iter().any(|open| Some(open.as_str()) == parent)
            && !open.iter().any(|open| open == path)
        {
            open.push(path.to_owned());
        }
    }

    /// Calls on keys in the home of whoever calls.
    fn use_current_user(&mut self) {
        if self.actor == 0 && self.scene.acting[0] == Principal::System && !self.chance(6) {
            // SYSTEM has no home.
            self.actor = 1;
        }
        let key = KeyReference::Path(Text::from(self.current_user_path().as_str()));
        let (name, layer) = (self.value_name(), self.layer());
        let (value_type, data) = self.data();
        match self.rng.random_range(0..5) {
            0 | 1 => {
                self.sequence += 1;
                self.act(
                    3,
                    Action::Set { key, name, value_type, data, layer, expected_sequence: 0 },
                );
            }
            2 => self.act(3, Action::Info { key, name_capacity: None }),
            3 => self.act(4, Action::List { key }),
            _ => self.act(3, Action::Get { key, name, data_capacity: None, layer_capacity: None }),
        }
    }

    /// A name of a layer that exists, in any spelling; never base.
    fn named_layer(&mut self) -> String {
        let index = self.rng.random_range(0..self.layers.len());
        let layer = self.layers[index].clone();
        if layer.is_empty() || self.chance(12) { self.pick(LAYER_NAMES).to_owned() } else { layer }
    }
}
