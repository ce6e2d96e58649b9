//! What a seed weighs: one function a feature, in the order of the generator's table.
//!
//! Each adds one action, or a few that belong together, to the plan.

use proptest::prelude::*;

use super::{ACCESS, Generator, HANDLES, KEY_NAMES, LAYER_NAMES, PRECEDENCES};
use crate::plan::{Action, Fault, Handle, KeyReference, SourceHive, Step, Text};

impl Generator {
    pub(super) fn get(&mut self) {
        let (key, name) = (self.key(), self.value_name());
        let data_capacity = self.chance(12).then(|| self.rng.random_range(0..6));
        let layer_capacity = self.chance(12).then(|| self.rng.random_range(0..6));
        self.act(3, Action::Get { key, name, data_capacity, layer_capacity });
    }

    pub(super) fn set(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let (value_type, data) = self.data();
        self.sequence += 1;
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    pub(super) fn tombstone(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let data = if self.chance(10) { vec![1] } else { Vec::new() };
        self.sequence += 1;
        let action =
            Action::Set { key, name, value_type: 0xFFFF, data, layer, expected_sequence: 0 };
        self.act(3, action);
    }

    pub(super) fn unset(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        self.act(3, Action::Unset { key, name, layer });
    }

    pub(super) fn blanket(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        let set = match self.rng.random_range(0..20) {
            0 => 2,
            1..=8 => 0,
            _ => 1,
        };
        self.sequence += u64::from(set == 1);
        self.act(3, Action::Blanket { key, layer, set });
    }

    pub(super) fn batch(&mut self) {
        let key = self.key();
        let capacity = self.chance(5).then(|| self.rng.random_range(0..40));
        self.act(3, Action::Batch { key, capacity });
    }

    pub(super) fn enumerate(&mut self) {
        let key = self.key();
        let index = self.rng.random_range(0..4);
        let name_capacity = self.chance(5).then(|| self.rng.random_range(0..6));
        let data_capacity = self.chance(5).then(|| self.rng.random_range(0..6));
        let action = if self.chance(2) {
            Action::EnumerateValue { key, index, name_capacity, data_capacity }
        } else {
            Action::EnumerateSubkey { key, index, name_capacity }
        };
        self.act(3, action);
    }

    pub(super) fn list(&mut self) {
        let key = self.key();
        self.act(5, Action::List { key });
    }

    pub(super) fn info(&mut self) {
        let key = self.key();
        let name_capacity = self.chance(5).then(|| self.rng.random_range(0..6));
        self.act(3, Action::Info { key, name_capacity });
    }

    pub(super) fn create_key(&mut self) {
        let path = self.fresh_path();
        let layer = (!self.chance(3)).then(|| self.layer()).filter(|layer| !layer.0.is_empty());
        let flags = u32::from(self.chance(8));
        let handle = (!self.chance(3)).then(|| Handle(self.pick(HANDLES).to_owned()));
        if let Some(handle) = &handle {
            self.remember(handle.clone());
        }
        let access = ACCESS[self.rng.random_range(0..ACCESS.len())];
        self.sequence += 1;
        if !self.paths.contains(&path) {
            self.paths.push(path.clone());
            self.believe_created(&path);
        }
        let path = Text::from(path.as_str());
        self.act(2, Action::Create { handle, parent: None, path, access, flags, layer });
    }

    pub(super) fn delete_key(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        self.act(3, Action::Delete { key: key.clone(), layer });
        self.often_create_again(&key);
    }

    pub(super) fn hide_key(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        self.sequence += 1;
        self.act(3, Action::Hide { key: key.clone(), layer });
        self.often_create_again(&key);
    }

    /// A key that was deleted or hidden by its path often comes back at once, mostly in another
    /// layer.
    pub(super) fn often_create_again(&mut self, key: &KeyReference) {
        let KeyReference::Path(path) = key else { return };
        if self.chance(3) {
            return;
        }
        let (path, layer) = (path.clone(), Some(self.layer()).filter(|layer| !layer.0.is_empty()));
        self.sequence += 1;
        let create =
            Action::Create { handle: None, parent: None, path, access: 1, flags: 0, layer };
        self.act(2, create);
    }

    pub(super) fn open_handle(&mut self) {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let parents: Vec<Handle> = self
            .open
            .iter()
            .filter(|(actor, open)| *actor == self.actor && *open != handle)
            .map(|(_, open)| open.clone())
            .collect();
        let relative = !parents.is_empty() && self.chance(5);
        let (parent, path) = if relative {
            let parent = parents[self.rng.random_range(0..parents.len())].clone();
            (Some(parent), Text::from(self.pick(KEY_NAMES)))
        } else {
            (None, self.path())
        };
        let access = ACCESS[self.rng.random_range(0..ACCESS.len())];
        self.remember(handle.clone());
        if relative && self.chance(3) {
            let layer = Some(self.layer()).filter(|layer| !layer.0.is_empty());
            let handle = Some(handle);
            self.act(2, Action::Create { handle, parent, path, access, flags: 0, layer });
        } else {
            self.act(2, Action::Open { handle, parent, path, access, flags: 0 });
        }
    }

    pub(super) fn remember(&mut self, handle: Handle) {
        let entry = (self.actor, handle);
        if !self.open.contains(&entry) {
            self.open.push(entry);
        }
    }

    pub(super) fn close_handle(&mut self) {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let entry = (self.actor, handle.clone());
        self.open.retain(|open| *open != entry);
        self.act(1, Action::Close { handle });
    }

    pub(super) fn create_layer(&mut self) {
        let name = self.pick(LAYER_NAMES).to_owned();
        if !self.layers.contains(&name) {
            self.layers.push(name.clone());
        }
        let precedence = if self.chance(3) {
            None
        } else {
            Some(PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())])
        };
        let enabled = self.chance(8).then_some(0);
        self.sequence += 2;
        let name = Text::from(name.as_str());
        self.act(4, Action::LayerCreate { name, precedence, enabled });
    }

    /// A change of precedence or of enabled state, mostly by values in base, sometimes by
    /// values in another layer, sometimes of the wrong type or range.
    pub(super) fn change_layer(&mut self) {
        let name = self.layer();
        let precedence = PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())];
        let (value, number) = if self.chance(2) {
            ("Precedence", precedence)
        } else {
            ("Enabled", u32::from(!self.chance(3)))
        };
        self.sequence += 1;
        if !self.chance(4) {
            let precedence = (value == "Precedence").then_some(number);
            let enabled = (value == "Enabled").then_some(number);
            self.act(3, Action::LayerSet { name, precedence, enabled });
            return;
        }
        let mut path = b"Machine\\System\\Registry\\Layers\\".to_vec();
        path.extend(&name.0);
        let key = KeyReference::Path(Text(path));
        let layer = self.layer();
        let (name, data) = (Text::from(value), number.to_le_bytes().to_vec());
        let action = match self.rng.random_range(0..6) {
            0 => Action::Set { key, name, value_type: 1, data, layer, expected_sequence: 0 },
            1 => {
                let data = vec![7, 0, 0, 0];
                Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 }
            }
            2 => Action::Unset { key, name, layer },
            3 => Action::Blanket { key, layer, set: 1 },
            _ => Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 },
        };
        self.act(3, action);
    }

    /// Deletes or hides a layer's metadata key.
    pub(super) fn delete_layer(&mut self) {
        let name = self.layer();
        if self.chance(4) {
            let mut path = b"Machine\\System\\Registry\\Layers\\".to_vec();
            path.extend(&name.0);
            let key = KeyReference::Path(Text(path));
            let layer = self.layer();
            self.act(3, Action::Hide { key, layer });
        } else {
            self.act(3, Action::LayerDelete { name });
        }
    }

    /// A layer goes while another source than that of its metadata is down, which hears of it when it is back
    /// (D-55). Whether it has shows when the layer is there again.
    pub(super) fn delete_layer_while_down(&mut self) {
        let serves = |hives: &Vec<SourceHive>, name| hives.iter().any(|hive| hive.name == name);
        let others = |hives: &Vec<SourceHive>| !serves(hives, "Machine") && serves(hives, "Users");
        let Some(source) = self.plan.sources.iter().position(others) else {
            return self.delete_layer();
        };
        if self.down.contains(&true) {
            return self.get();
        }
        let path = self.paths.iter().find(|path| path.starts_with("Users\\")).cloned();
        let key = KeyReference::Path(Text::from(path.as_deref().unwrap_or("Users")));
        let (name, layer) = (self.value_name(), Text::from(self.pick(LAYER_NAMES)));
        let (value_type, data) = self.data();
        let create =
            Action::LayerCreate { name: layer.clone(), precedence: Some(1), enabled: None };
        self.sequence += 4;
        self.act(4, create.clone());
        let set = Action::Set {
            key: key.clone(),
            name: name.clone(),
            value_type,
            data,
            layer: layer.clone(),
            expected_sequence: 0,
        };
        self.act(3, set);
        self.plan.steps.push(Step::Fault(Fault::KillSource { source }));
        self.act(3, Action::LayerDelete { name: layer });
        self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        if self.chance(2) {
            self.get();
        }
        self.act(4, create);
        self.act(3, Action::Get { key, name, data_capacity: None, layer_capacity: None });
    }

    /// A conditional write, aimed at the sequence number of a write just before it.
    pub(super) fn set_if(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let (value_type, data) = self.data();
        let back = self.rng.random_range(0..6);
        let expected_sequence = self.sequence.saturating_sub(back).max(1);
        self.sequence += 1;
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence });
    }

    /// A call that is wrong in itself.
    pub(super) fn bad_call(&mut self) {
        let key = self.key();
        let handle = Handle("wrong".to_owned());
        let open = |path: Text, access, flags| Action::Open {
            handle: Handle("wrong".to_owned()),
            parent: None,
            path,
            access,
            flags,
        };
        let set = |key, name, value_type, data, layer| Action::Set {
            key,
            name,
            value_type,
            data,
            layer,
            expected_sequence: 0,
        };
        let name = Text::from("Mode");
        let base = Text::default();
        let action = match self.rng.random_range(0..16) {
            0 => open(Text::from("Machine\\\\Alpha"), 0x0002_0019, 0),
            1 => open(Text::from("Machine\\Alpha\\"), 0x0002_0019, 0),
            2 => open(Text::from("Nowhere\\Alpha"), 0x0002_0019, 0),
            3 => open(Text(b"Machine\\\xFF".to_vec()), 0x0002_0019, 0),
            4 => open(self.path(), 0, 0),
            5 => open(self.path(), 0x0010_0000, 0),
            6 => open(self.path(), 0x0002_0019, 2),
            7 => open(Text::from(format!("Machine\\{}", "n".repeat(256)).as_str()), 1, 0),
            8 => set(key, name, 12, vec![1], base),
            9 => set(key, Text("v".repeat(256).into_bytes()), 1, vec![1], base),
            10 => set(key, Text(vec![b'v', 0]), 1, vec![1], base),
            11 => set(key, name, 1, vec![1], Text::from("no such layer")),
            12 => set(key, name, 1, vec![1], Text::from("bad\\layer")),
            13 if self.chance(4) => set(key, name, 3, vec![0; 1_048_577], base),
            14 => Action::Delete { key: KeyReference::Path(Text::from("Machine")), layer: base },
            _ => Action::Close { handle },
        };
        self.act(2, action);
    }

    pub(super) fn compare_or_flush(&mut self) {
        if self.chance(2) {
            let key = self.key();
            self.act(3, Action::Flush { key });
        } else {
            self.calls += 1;
            self.plan.steps.push(Step::CompareViews);
        }
    }

    pub(super) fn fault(&mut self) {
        self.calls += 1;
        let source = self.rng.random_range(0..self.plan.sources.len());
        let fault = if self.down[source] {
            self.down[source] = false;
            Fault::RestartSource { source }
        } else {
            match self.rng.random_range(0..5) {
                0 => {
                    self.open.clear();
                    self.late.clear();
                    self.down.fill(false);
                    self.scene.rebooted();
                    self.life.rebooted();
                    Fault::Reboot
                }
                1 | 2 => {
                    self.down[source] = true;
                    Fault::KillSource { source }
                }
                _ => {
                    self.down[source] = true;
                    let request = self.rng.random_range(1..20);
                    let executed = self.chance(2);
                    Fault::KillSourceAt { source, request, executed }
                }
            }
        };
        let fault = self.maybe_a_breach(fault, 6);
        self.plan.steps.push(Step::Fault(fault));
        // A dead source makes everything fail; most come back soon.
        if self.down[source] && !self.chance(5) {
            for _ in 0..self.rng.random_range(0..6) {
                self.get();
            }
            if self.chance(4) {
                self.restart_wrongly(source);
            }
            self.down[source] = false;
            self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        }
    }

    pub(super) fn restart_all(&mut self) {
        for source in 0..self.plan.sources.len() {
            self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        }
    }
}
