//! Symbolic links: to anywhere, to one another, in layers, and malformed (PSD-005 §2.3).

use proptest::prelude::*;

use super::super::{Generator, HANDLES, KEY_NAMES};
use super::principals::{ALICE, BOB};
use crate::plan::{Action, Handle, KeyReference, Text};

const LINK_NAMES: &[&str] = &["Link", "link", "Loop", "Other"];
const REG_LINK: u32 = 6;
const REG_OPEN_LINK: u32 = 1;
const REG_OPTION_CREATE_LINK: u32 = 2;
/// Rights to set a link's target.
const TO_SET: u32 = 0x0003_0003;
/// Hops that succeed.
const HOPS_MAX: usize = 16;
/// More than MaxKeyDepth (PSD-005 §11.4).
const DEPTH_TOO_GREAT: usize = 600;
/// Links that are remembered.
const LINKS_MAX: usize = 24;

impl Generator {
    /// Creates a link, mostly by those who may, and gives it a target.
    pub(in super::super) fn make_link(&mut self) {
        self.mostly_as_system();
        let parent = match self.open_path() {
            Some(parent) if !self.chance(3) => parent,
            _ => "Machine".to_owned(),
        };
        let path = format!("{parent}\\{}", self.pick(LINK_NAMES));
        let layer = self.chance(4).then(|| self.layer()).filter(|layer| !layer.0.is_empty());
        let handle = Handle(self.pick(HANDLES).to_owned());
        self.create_link(&path, &handle, layer);
        if !self.chance(10) {
            self.set_target(handle);
        }
        if !self.chance(3) {
            self.look_through(&path);
        }
    }

    pub(super) fn create_link(&mut self, path: &str, handle: &Handle, layer: Option<Text>) {
        if !self.scene.links.iter().any(|known| known == path) && self.scene.links.len() < LINKS_MAX
        {
            self.scene.links.push(path.to_owned());
        }
        self.remember(handle.clone());
        self.sequence += 1;
        let create = Action::Create {
            handle: Some(handle.clone()),
            parent: None,
            path: Text::from(path),
            access: TO_SET,
            flags: REG_OPTION_CREATE_LINK | u32::from(self.chance(16)),
            layer,
        };
        self.act(1, create);
    }

    fn set_target(&mut self, handle: Handle) {
        let (data, layer) = (self.target(), self.layer());
        let value_type = if self.chance(12) { 1 } else { REG_LINK };
        self.set_default(KeyReference::Handle(handle), value_type, data, layer);
    }

    /// Leads a link to a path.
    pub(super) fn set_link(&mut self, handle: &Handle, target: &str) {
        let key = KeyReference::Handle(handle.clone());
        self.set_default(key, REG_LINK, target.as_bytes().to_vec(), Text::default());
    }

    fn set_default(&mut self, key: KeyReference, value_type: u32, data: Vec<u8>, layer: Text) {
        self.sequence += 1;
        let name = Text::default();
        self.act(1, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    /// Where links lead.
    fn target(&mut self) -> Vec<u8> {
        let path = self.paths[self.rng.random_range(0..self.paths.len())].clone();
        match self.rng.random_range(0..32) {
            0..5 => self.link_path().unwrap_or(path).into_bytes(),
            5 => b"Machine".to_vec(),
            6 => b"CurrentUser\\Alpha".to_vec(),
            7 => format!("Users\\{}", self.pick(&[ALICE, BOB])).into_bytes(),
            8 => self.private_path().into_bytes(),
            9 => path.replace('\\', "/").into_bytes(),
            10 => [path.as_bytes(), b"\0"].concat(),
            11 => [path.as_bytes(), b"\\"].concat(),
            12 => path.replacen('\\', "\\\\", 1).into_bytes(),
            13 => self.pick(KEY_NAMES).as_bytes().to_vec(),
            14 => [path.as_bytes(), b"\\\xFF"].concat(),
            15 => format!("Machine\\{}", "n".repeat(256)).into_bytes(),
            16 => Vec::new(),
            17 => b"Machine\\System\\Registry\\Layers".to_vec(),
            18 => b"Machine\\Al\0pha".to_vec(),
            19 => format!("Machine{}", "\\a".repeat(DEPTH_TOO_GREAT)).into_bytes(),
            20 => format!("{path}\\{}", self.pick(KEY_NAMES)).into_bytes(),
            _ => path.into_bytes(),
        }
    }

    /// A link, or a key below what it leads to.
    pub(super) fn link_path(&mut self) -> Option<String> {
        let count = self.scene.links.len();
        if count == 0 {
            return None;
        }
        let path = self.scene.links[self.rng.random_range(0..count)].clone();
        let name = self.pick(KEY_NAMES);
        Some(if self.chance(3) { format!("{path}\\{name}") } else { path })
    }

    /// Whoever it is goes through a link, or opens it itself.
    pub(in super::super) fn follow_link(&mut self) {
        match self.link_path() {
            Some(path) => self.look_through(&path),
            None => self.make_link(),
        }
    }

    fn look_through(&mut self, path: &str) {
        let key = KeyReference::Path(Text::from(path));
        let name = if self.chance(3) { Text::default() } else { self.value_name() };
        let handle = Handle(self.pick(HANDLES).to_owned());
        let action = match self.rng.random_range(0..8) {
            0 => Action::Info { key, name_capacity: None },
            1 => Action::GetSecurity { key, security_info: 5, capacity: None },
            2 => {
                let (value_type, data) = self.data();
                let layer = self.layer();
                Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
            }
            3 | 4 => {
                let flags = u32::from(self.chance(2));
                self.remember(handle.clone());
                let (path, access) = (Text::from(path), 0x0200_0000);
                Action::Open { handle, parent: None, path, access, flags }
            }
            _ => Action::Get { key, name, data_capacity: None, layer_capacity: None },
        };
        self.act(3, action);
    }

    /// A link itself is opened and led elsewhere, in some layer; or deleted, or given another SD.
    pub(in super::super) fn change_link(&mut self) {
        if self.scene.links.is_empty() {
            return self.make_link();
        }
        self.mostly_as_system();
        let path = self.scene.links[self.rng.random_range(0..self.scene.links.len())].clone();
        let handle = Handle(self.pick(HANDLES).to_owned());
        self.remember(handle.clone());
        let (of_link, access) = (Text::from(path.as_str()), 0x000F_003F);
        let handle_of_it = handle.clone();
        let flags = REG_OPEN_LINK;
        self.act(
            1,
            Action::Open { handle: handle_of_it, parent: None, path: of_link, access, flags },
        );
        let key = KeyReference::Handle(handle.clone());
        match self.rng.random_range(0..8) {
            0 => {
                let layer = self.layer();
                self.act(1, Action::Delete { key, layer });
            }
            1 => {
                let layer = self.layer();
                self.act(1, Action::Unset { key, name: Text::default(), layer });
            }
            2 => {
                let (security_info, descriptor) = self.components();
                self.act(1, Action::SetSecurity { key, security_info, descriptor });
            }
            _ => self.set_target(handle),
        }
        self.look_through(&path);
    }

    /// Links in a row, about as many as may be followed, opened from the first ones.
    pub(in super::super) fn chain_links(&mut self) {
        self.actor = 0;
        let length = self.rng.random_range(HOPS_MAX - 1..=HOPS_MAX + 2);
        let path = |number: usize| format!("Machine\\Hop{number}");
        let handle = Handle(HANDLES[0].to_owned());
        let end = self.paths[0].clone();
        for number in 0..length {
            let next = if number + 1 < length { path(number + 1) } else { end.clone() };
            self.create_link(&path(number), &handle, None);
            self.set_link(&handle, &next);
        }
        for number in 0..3 {
            self.look_through(&path(number));
        }
    }
}
