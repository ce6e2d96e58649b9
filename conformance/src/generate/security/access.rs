//! Opens with all kinds of rights, SDs read and changed, fds that change hands, and threads that
//! impersonate (PSD-005 §3.1, §6.3).

use proptest::prelude::*;

use super::super::{Feature, Generator, HANDLES, KEY_NAMES};
use super::OPEN;
use super::descriptors::bytes_of;
use super::principals::Principal;
use crate::plan::{Action, Fault, Handle, KeyReference, Step, Text};
use crate::sddl;
use registry_model::names::fold;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord};

/// What opens ask for: everything, usual sets, single rights, the greatest there is with and without
/// more, generic rights, and what no open may ask for.
const REQUESTS: &[u32] = &[
    0x000F_003F,
    0x000F_003F,
    0x0002_0019,
    0x0002_0019,
    0x0002_0006,
    0x0200_0000,
    0x0200_0000,
    0x0200_0000,
    0x0202_0001,
    0x0200_0002,
    0x0204_0000,
    0x0300_0000,
    0x1,
    0x2,
    0x4,
    0x8,
    0x10,
    0x20,
    0x0001_0000,
    0x0002_0000,
    0x0004_0000,
    0x0008_0000,
    0x000C_0000,
    0x0100_0000,
    0x0102_0000,
    0x1000_0000,
    0x2000_0000,
    0x2000_0001,
    0x4000_0000,
    0x8000_0000,
    0x8000_0000,
    0xC000_0000,
    0x8200_0000,
    0xF30F_003F,
    0x0010_0000,
    0x0400_0001,
    0,
];
/// What the others ask for mostly.
const MODEST_REQUESTS: &[u32] =
    &[0x0002_0019, 0x0200_0000, 0x0200_0000, 0x8000_0000, 0x0002_0000, 0x1, 0x3];
/// Longer than any SD but those that were made to be long.
const LONG: usize = 30_000;
/// SDs of parents: what everybody may, and what children inherit.
const SHAPES: &[&str] = &[
    "D:(A;;KA;;;WD)",
    "D:(A;;KA;;;WD)",
    "D:(A;OI;KA;;;WD)",
    "",
    "S:(AU;CISAFA;KA;;;WD)",
    "D:(A;CINP;KA;;;WD)",
    "D:(A;;KA;;;WD)(A;CIIO;GA;;;CO)(A;CIIO;GR;;;CG)",
    "D:(A;;KA;;;WD)(A;CI;GA;;;CO)(A;CINP;GR;;;CG)",
    "D:(A;CI;GA;;;WD)(D;CINPIO;SD;;;AU)S:(ML;CI;NW;;;ME)(AU;CINPFA;GA;;;WD)",
    "D:(A;CI;KA;;;OW)(A;;KA;;;WD)S:(AU;CIIOSAFA;GA;;;CO)",
];
/// Uses of a handle that was opened.
const USES_MAX: usize = 3;
/// Actions under one impersonation.
const IMPERSONATED_MAX: usize = 4;
/// What a thread does while it impersonates.
const IMPERSONATED: &[Feature] = &[
    Generator::get,
    Generator::get,
    Generator::set,
    Generator::set,
    Generator::set_by_handle,
    Generator::open_and_use,
    Generator::open_and_use,
    Generator::create_and_look,
    Generator::create_key,
    Generator::set_security,
    Generator::get_security,
    Generator::use_current_user,
    Generator::use_current_user,
    Generator::make_link,
    Generator::follow_link,
    Generator::change_layer,
    Generator::list,
];

impl Generator {
    /// An SD changes, in parts or as a whole, and a look at it often follows.
    pub(in super::super) fn set_security(&mut self) {
        self.mostly_as_system();
        let key = self.key();
        let (security_info, descriptor) = self.components();
        self.believe_changed(&key);
        let is_long = descriptor.len() > LONG;
        self.act(3, Action::SetSecurity { key: key.clone(), security_info, descriptor });
        if let (true, KeyReference::Path(path)) = (is_long, &key) {
            self.create_below(String::from_utf8_lossy(&path.0).into_owned());
        }
        if self.chance(2) {
            let security_info = self.security_info(sddl::OWNER | sddl::GROUP | sddl::DACL);
            self.act(3, Action::GetSecurity { key: key.clone(), security_info, capacity: None });
        }
        let is_first = key == KeyReference::Path(Text::from(self.paths[0].as_str()));
        if is_first && !self.chance(3) {
            for _ in 0..self.rng.random_range(0..4) {
                self.actor = self.next_actor();
                self.meet();
            }
            self.mend_path(self.paths[0].clone());
        }
    }

    /// Somebody reads or writes at the key that everybody meets.
    fn meet(&mut self) {
        let key = KeyReference::Path(Text::from(self.paths[0].as_str()));
        if self.chance(2) {
            let set = self.set_action(key);
            return self.act(3, set);
        }
        let name = self.value_name();
        self.act(3, Action::Get { key, name, data_capacity: None, layer_capacity: None });
    }

    fn believe_changed(&mut self, key: &KeyReference) {
        let KeyReference::Path(path) = key else { return };
        let path = String::from_utf8_lossy(&path.0).replace('/', "\\");
        let is_it = |known: &String| fold(known) == fold(&path);
        // The path that everybody meets is believed to be mended soon.
        let first = self.paths.first().cloned();
        self.scene.open_paths.retain(|known| !is_it(known) || Some(known) == first.as_ref());
        if !self.scene.changed.iter().any(is_it) {
            self.scene.changed.push(path);
        }
    }

    /// Reads an SD into buffers of any size.
    pub(in super::super) fn get_security(&mut self) {
        let key = self.key();
        let security_info = match self.rng.random_range(0..8) {
            0 => sddl::SACL,
            1 => sddl::OWNER | sddl::GROUP | sddl::DACL | sddl::SACL,
            2 => self.rng.random_range(1..8),
            _ => sddl::OWNER | sddl::GROUP | sddl::DACL,
        };
        let security_info = self.security_info(security_info);
        let capacity = match self.rng.random_range(0..10) {
            0 => Some(0),
            1 => Some(self.rng.random_range(1..40)),
            2 => Some(self.rng.random_range(40..200)),
            _ => None,
        };
        self.act(3, Action::GetSecurity { key, security_info, capacity });
    }

    fn request(&mut self) -> u32 {
        let requests = if self.is_weak() && !self.chance(3) { MODEST_REQUESTS } else { REQUESTS };
        requests[self.rng.random_range(0..requests.len())]
    }

    /// Opens a key for anything, then does with it what it was opened for or not.
    pub(in super::super) fn open_and_use(&mut self) {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let mine = self.handles_of(self.actor);
        let parent = mine.into_iter().find(|mine| *mine != handle).filter(|_| self.chance(5));
        let path = match parent {
            Some(_) => Text::from(self.pick(KEY_NAMES)),
            None => self.path(),
        };
        let (access, flags) = (self.request(), u32::from(self.chance(10)));
        self.act(1, Action::Open { handle: handle.clone(), parent, path, access, flags });
        // The weak often hold nothing afterwards.
        let uses_max = if self.is_weak() { 1 } else { USES_MAX };
        if !self.is_weak() || self.chance(2) {
            self.remember(handle.clone());
        }
        for _ in 0..self.rng.random_range(0..=uses_max) {
            self.use_handle(handle.clone());
        }
    }

    /// Creates a key below one whose SD has been changed, and looks at what it inherited.
    pub(in super::super) fn create_and_look(&mut self) {
        let parent = match self.open_path().filter(|_| self.is_weak()) {
            Some(open) if self.chance(2) => open,
            _ => self.changed_path(),
        };
        if self.chance(3) {
            self.shape_parent(&parent);
        }
        self.create_below(parent);
    }

    /// SYSTEM gives a key an SD of which the creator's children get all, some or nothing.
    fn shape_parent(&mut self, parent: &str) {
        let creator = std::mem::take(&mut self.actor);
        let key = KeyReference::Path(Text::from(parent));
        let shape = SHAPES[self.rng.random_range(0..SHAPES.len())];
        let descriptor = bytes_of(shape);
        // Without a DACL in it this takes the DACL away.
        let security_info = sddl::components(&descriptor) | sddl::DACL;
        self.believe_changed(&key);
        self.act(3, Action::SetSecurity { key, security_info, descriptor });
        self.actor = creator;
    }

    fn create_below(&mut self, parent: String) {
        let path = format!("{parent}\\{}", self.pick(KEY_NAMES));
        let handle = Handle(self.pick(HANDLES).to_owned());
        let layer = (!self.chance(3)).then(|| self.layer()).filter(|layer| !layer.0.is_empty());
        let flags = u32::from(self.chance(10));
        let access = self.request() | 0x0002_0000;
        self.sequence += 1;
        if path.split('\\').count() < 6 && !self.paths.contains(&path) {
            self.paths.push(path.clone());
            self.believe_created(&path);
        }
        if !self.is_weak() {
            self.remember(handle.clone());
        }
        let path = Text::from(path.as_str());
        let handle_of_it = Some(handle.clone());
        self.act(
            1,
            Action::Create { handle: handle_of_it, parent: None, path, access, flags, layer },
        );
        let key = KeyReference::Handle(handle);
        let security_info = sddl::OWNER | sddl::GROUP | sddl::DACL;
        self.act(1, Action::GetSecurity { key: key.clone(), security_info, capacity: None });
        if self.chance(4) {
            self.act(1, Action::GetSecurity { key, security_info: sddl::SACL, capacity: None });
        }
    }

    /// A path whose SD was changed, if there is one; one that exists, otherwise.
    fn changed_path(&mut self) -> String {
        let count = self.scene.changed.len();
        if count > 0 && !self.chance(3) {
            return self.scene.changed[self.rng.random_range(0..count)].clone();
        }
        self.paths[self.rng.random_range(0..self.paths.len())].clone()
    }

    /// An fd goes to another actor, or is made once more, and is used there.
    pub(in super::super) fn pass(&mut self) {
        if self.open.is_empty() {
            return self.open_and_use();
        }
        let (from, handle) = self.open[self.rng.random_range(0..self.open.len())].clone();
        self.actor = from;
        let received = Handle(self.pick(HANDLES).to_owned());
        let recipient = self.rng.random_range(0..self.plan.actors.len());
        let to = (recipient != from || self.chance(2)).then_some(recipient);
        let to = to.map(|recipient| self.plan.actors[recipient].name.clone());
        self.act(1, Action::Pass { handle, to, received: received.clone() });
        self.actor = recipient;
        self.remember(received.clone());
        for _ in 0..self.rng.random_range(1..=USES_MAX) {
            self.use_handle(received.clone());
        }
    }

    /// One call on a handle, whatever it was opened for.
    fn use_handle(&mut self, handle: Handle) {
        let key = KeyReference::Handle(handle);
        let action = match self.rng.random_range(0..16) {
            0..4 => self.set_action(key),
            4..8 => {
                let name = self.value_name();
                Action::Get { key, name, data_capacity: None, layer_capacity: None }
            }
            8 => Action::Batch { key, capacity: None },
            9 => Action::EnumerateSubkey { key, index: 0, name_capacity: None },
            10 => Action::Info { key, name_capacity: None },
            11 | 12 => {
                let security_info = self.security_info(sddl::OWNER | sddl::DACL);
                Action::GetSecurity { key, security_info, capacity: None }
            }
            13 | 14 => {
                let (security_info, descriptor) = self.components();
                Action::SetSecurity { key, security_info, descriptor }
            }
            _ => Action::Delete { key, layer: self.layer() },
        };
        self.act(1, action);
    }

    fn set_action(&mut self, key: KeyReference) -> Action {
        let (name, layer) = (self.value_name(), self.layer());
        let (value_type, data) = self.data();
        self.sequence += 1;
        Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
    }

    /// A write through a handle of the actor, opened perhaps with another token.
    fn set_by_handle(&mut self) {
        let mine = self.handles_of(self.actor);
        if mine.is_empty() {
            return self.set();
        }
        let handle = mine[self.rng.random_range(0..mine.len())].clone();
        let set = self.set_action(KeyReference::Handle(handle));
        self.act(1, set);
    }

    fn handles_of(&self, actor: usize) -> Vec<Handle> {
        let mine = self.open.iter().filter(|(of, _)| *of == actor);
        mine.map(|(_, handle)| handle.clone()).collect()
    }

    /// A thread impersonates, acts, and mostly reverts.
    pub(in super::super) fn impersonate(&mut self) {
        let actor = self.actor;
        let all = Principal::IMPERSONATED;
        let principal = all[self.rng.random_range(0..all.len())];
        let token = self.impersonation_token(principal);
        self.act(0, Action::Become { token });
        self.scene.acting[actor] = principal;
        for _ in 0..self.rng.random_range(1..=IMPERSONATED_MAX) {
            self.actor = actor;
            IMPERSONATED[self.rng.random_range(0..IMPERSONATED.len())](self);
        }
        self.actor = actor;
        // SYSTEM mends the tree and must remain what it is.
        if actor == 0 || !self.chance(6) {
            self.act(0, Action::Revert);
            self.scene.acting[actor] = self.scene.primary[actor];
        }
    }

    /// SYSTEM mends a key that was locked.
    pub(in super::super) fn mend(&mut self) {
        let path = if self.chance(2) { self.paths[0].clone() } else { self.changed_path() };
        self.mend_path(path);
    }

    /// SYSTEM gives a key an SD that lets everybody in. It may have to own it first.
    pub(super) fn mend_path(&mut self, path: String) {
        self.actor = 0;
        let key = KeyReference::Path(Text::from(path.as_str()));
        if self.chance(2) {
            let owner = bytes_of("O:SYG:SY");
            let security_info = sddl::components(&owner);
            self.act(3, Action::SetSecurity { key: key.clone(), security_info, descriptor: owner });
        }
        if self.chance(3) {
            let (security_info, descriptor) = (sddl::SACL, bytes_of("S:"));
            self.act(3, Action::SetSecurity { key: key.clone(), security_info, descriptor });
        }
        let (security_info, descriptor) = (sddl::DACL, bytes_of(OPEN));
        self.act(3, Action::SetSecurity { key, security_info, descriptor });
        if !self.scene.open_paths.contains(&path) {
            self.scene.open_paths.push(path);
        }
    }

    /// A store holds an SD that no call would have written, and opens meet it.
    pub(in super::super) fn store_any_descriptor(&mut self) {
        let path = self.stored_path();
        if super::super::stored::is_on_the_way_to_layers(&path) {
            return;
        }
        let bytes = self.stored_descriptor();
        self.store_bytes(&path, bytes);
        for _ in 0..self.rng.random_range(1..=2) {
            let key = KeyReference::Path(Text::from(path.as_str()));
            self.actor = self.next_actor();
            self.act(3, Action::GetSecurity { key, security_info: sddl::DACL, capacity: None });
        }
        if !self.chance(6) {
            self.store_bytes(&path, bytes_of(OPEN));
        }
    }

    fn store_bytes(&mut self, path: &str, bytes: Vec<u8>) {
        let path = path.split('\\').map(str::to_owned).collect();
        let key = StoredKey { path, through: None };
        let entry = StoreEntry { key, record: StoredRecord::Descriptor { bytes } };
        self.calls += 1;
        self.plan.steps.push(Step::Fault(Fault::StoreEntry(entry)));
    }
}
