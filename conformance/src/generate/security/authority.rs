//! Who may write which layer: SDs of metadata keys, precedences and private layers (PSD-005 §2.6,
//! §3.1).

use proptest::prelude::*;

use super::super::{Generator, HANDLES, PRECEDENCES};
use super::OPEN;
use super::descriptors::bytes_of;
use super::principals::{ALICE, PRIVATE_LAYERS, TEAM};
use crate::plan::{Action, Handle, KeyReference, Text};
use crate::sddl;

const LAYERS_PATH: &str = "Machine\\System\\Registry\\Layers";

impl Generator {
    /// SYSTEM lets everybody write some of the layers, base often among them.
    pub(super) fn open_some_layers(&mut self) {
        if !self.chance(3) {
            self.open_base();
        }
        for layer in self.layers.clone() {
            if !layer.is_empty() && !self.chance(3) {
                self.set_layer_descriptor(&layer, OPEN);
                self.scene.open_layers.push(layer);
            }
        }
    }

    /// Base has a metadata key only if somebody makes one.
    fn open_base(&mut self) {
        let name = Text::from("base");
        self.sequence += 1;
        self.act(2, Action::LayerCreate { name, precedence: None, enabled: None });
        self.set_layer_descriptor("base", OPEN);
        self.scene.open_layers.push(String::new());
    }

    fn set_layer_descriptor(&mut self, layer: &str, descriptor: &str) {
        let key = KeyReference::Path(Text::from(format!("{LAYERS_PATH}\\{layer}").as_str()));
        let descriptor = bytes_of(descriptor);
        let security_info = sddl::components(&descriptor);
        self.act(3, Action::SetSecurity { key, security_info, descriptor });
    }

    /// A layer's metadata key gets another SD, and several write into the layer.
    pub(in super::super) fn guard_layer(&mut self) {
        let writer = self.next_actor();
        self.mostly_as_system();
        let layer = self.named_layer();
        let is_base = layer.eq_ignore_ascii_case("base");
        let is_opened = self.chance(2);
        let rights = self.pick(&["DC", "SD", "DCSD", "CC", "KW", "KA"]);
        let descriptor = match self.rng.random_range(0..8) {
            _ if is_opened => OPEN.to_owned(),
            0 => "O:SYG:SYD:(A;;KA;;;SY)".to_owned(),
            1 => format!("O:SYG:SYD:(A;;KA;;;SY)(A;;KA;;;{ALICE})"),
            2 => format!("O:SYG:SYD:(A;;KA;;;SY)(A;;{rights};;;{TEAM})"),
            3 => format!("O:{ALICE}G:SYD:(A;;KA;;;SY)(A;;{rights};;;OW)"),
            4 => format!("O:SYG:SYD:(D;;{rights};;;{TEAM})(A;;KA;;;SY)(A;;KA;;;WD)"),
            5 => "O:SYG:SYD:(A;;KA;;;WD)S:(ML;;NW;;;HI)".to_owned(),
            6 => "O:SYG:SYD:(A;;KA;;;WD)S:(AU;SAFA;KA;;;WD)".to_owned(),
            _ => format!("O:SYG:SY{}", self.dacl()),
        };
        self.set_layer_descriptor(&layer, &descriptor);
        let name = if is_base { String::new() } else { layer };
        self.scene.open_layers.retain(|open| *open != name);
        if is_opened {
            self.scene.open_layers.push(name.clone());
        }
        self.actor = writer;
        for _ in 0..self.rng.random_range(1..=2) {
            self.write_into(&name);
            self.actor = self.next_actor();
        }
    }

    /// Any of the calls that a layer's SD decides about.
    fn write_into(&mut self, layer: &str) {
        let (key, name, layer) = (self.key(), self.value_name(), Text::from(layer));
        let action = match self.rng.random_range(0..8) {
            0 => Action::Unset { key, name, layer },
            1 => Action::Blanket { key, layer, set: u8::from(self.chance(2)) },
            2 => Action::Hide { key, layer },
            3 => Action::Delete { key, layer },
            _ => {
                let (value_type, data) = self.data();
                Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
            }
        };
        self.sequence += 1;
        self.act(3, action);
    }

    /// A layer is created by somebody who may or may not, after the SD of the Layers key has
    /// changed now and then.
    pub(in super::super) fn create_layer_with_rights(&mut self) {
        let creator = self.next_actor();
        if self.chance(4) {
            self.actor = 0;
            let key = KeyReference::Path(Text::from(LAYERS_PATH));
            let is_open = !self.chance(3);
            let text = if is_open { OPEN } else { "O:SYG:SYD:(A;CI;KA;;;SY)(A;CI;KA;;;BA)" };
            let descriptor = bytes_of(text);
            let security_info = sddl::components(&descriptor);
            self.act(3, Action::SetSecurity { key, security_info, descriptor });
        }
        self.actor = creator;
        if self.chance(3) {
            return self.raise_precedence();
        }
        self.mostly_as_system();
        self.create_layer();
    }

    /// A precedence above 0, by somebody with or without SeTcbPrivilege.
    fn raise_precedence(&mut self) {
        let (name, layer) = (self.named_layer(), self.layer());
        let precedence = PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())];
        self.sequence += 1;
        if self.chance(4) {
            return self.use_metadata_key(&name);
        }
        if self.chance(2) {
            let name = Text::from(name.as_str());
            let precedence = Some(precedence);
            return self.act(3, Action::LayerSet { name, precedence, enabled: None });
        }
        // Under the metadata key, in any layer and in any spelling, or under another key.
        let key = if self.chance(4) {
            self.key()
        } else {
            KeyReference::Path(Text::from(format!("{LAYERS_PATH}\\{name}").as_str()))
        };
        let name = Text::from(self.pick(&["Precedence", "PRECEDENCE", "precedence"]));
        let data = self.rng.random_range(0..3u32).to_le_bytes().to_vec();
        self.act(3, Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 });
    }

    /// A layer's metadata key is opened for this or that, and changed or deleted.
    fn use_metadata_key(&mut self, layer: &str) {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let path = Text::from(format!("{LAYERS_PATH}\\{layer}").as_str());
        let access = [0x0002_0019, 0x0002_0019, 0x0200_0000, 0x2, 0x0001_0000];
        let access = access[self.rng.random_range(0..access.len())];
        self.remember(handle.clone());
        let handle_of_it = handle.clone();
        self.act(1, Action::Open { handle: handle_of_it, parent: None, path, access, flags: 0 });
        let (key, layer) = (KeyReference::Handle(handle), Text::default());
        let action = if self.chance(2) {
            Action::Delete { key, layer }
        } else {
            let (name, data) = (Text::from("Enabled"), vec![1, 0, 0, 0]);
            Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 }
        };
        self.act(1, action);
    }

    /// A layer that tokens name is switched off, written to and read by those with and without it.
    pub(in super::super) fn use_private_layer(&mut self) {
        let layer = self.pick(PRIVATE_LAYERS);
        let reader = self.next_actor();
        self.actor = 0;
        if !self.layers.iter().any(|known| known == layer) {
            self.layers.push(layer.to_owned());
        }
        let name = Text::from(layer);
        self.sequence += 2;
        let enabled = Some(u32::from(self.chance(4)));
        self.act(4, Action::LayerCreate { name, precedence: None, enabled });
        let key = KeyReference::Path(Text::from(self.paths[0].as_str()));
        let (name, layer) = (self.value_name(), Text::from(layer));
        let (value_type, data) = self.data();
        let set = Action::Set {
            key: key.clone(),
            name: name.clone(),
            value_type,
            data,
            layer,
            expected_sequence: 0,
        };
        self.act(3, set);
        self.actor = reader;
        self.act(3, Action::Get { key, name, data_capacity: None, layer_capacity: None });
    }
}
