//! Changes under watches: values in several layers, places, layers, restarts of sources.

use proptest::prelude::*;

use super::super::{Generator, KEY_NAMES, PRECEDENCES};
use super::ALL_ACCESS;
use crate::plan::{Action, Fault, Handle, KeyReference, Step, Text};
use crate::sddl;

/// SDs that let SYSTEM do everything.
const DESCRIPTORS: &[&str] = &["D:(A;CI;KA;;;SY)", "D:(A;CI;KA;;;SY)(A;CI;KR;;;WD)"];

impl Generator {
    /// A change of a key's values or SD, and what watches say of it.
    pub(in super::super) fn change(&mut self) {
        let path = self.watched_path();
        self.change_at(&path);
        self.look();
    }

    pub(super) fn change_at(&mut self, path: &str) {
        let action = self.change_of(Generator::by_path(path));
        self.act(3, action);
        self.noted(path);
    }

    /// A change of a key through it, or inside a transaction.
    pub(super) fn change_of(&mut self, key: KeyReference) -> Action {
        let (name, layer) = (self.value_name(), self.layer());
        match self.rng.random_range(0..20) {
            0..3 => {
                self.sequence += 1;
                let (value_type, data) = (0xFFFF, Vec::new());
                Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
            }
            3 | 4 => Action::Unset { key, name, layer },
            5 | 6 => {
                let set = u8::from(self.chance(2));
                self.sequence += u64::from(set);
                Action::Blanket { key, layer, set }
            }
            7 => {
                let descriptor = self.descriptor();
                Action::SetSecurity { key, security_info: sddl::DACL, descriptor }
            }
            8 => {
                let (value_type, data) = self.data();
                let back = self.rng.random_range(0..4);
                let expected_sequence = self.sequence.saturating_sub(back).max(1);
                self.sequence += 1;
                Action::Set { key, name, value_type, data, layer, expected_sequence }
            }
            _ => {
                // Few numbers, so that some writes change nothing.
                let (value_type, data) = self.data();
                self.sequence += 1;
                Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
            }
        }
    }

    /// A key comes, goes or is hidden, in some layer.
    pub(in super::super) fn change_place(&mut self) {
        let path = if self.chance(3) {
            self.watched_path()
        } else {
            let parent = self.watched_path();
            format!("{parent}\\{}", self.pick(KEY_NAMES))
        };
        let layer = self.layer();
        let key = Generator::by_path(&path);
        match self.rng.random_range(0..6) {
            0 => self.act(3, Action::Delete { key: key.clone(), layer }),
            1 => {
                self.sequence += 1;
                self.act(3, Action::Hide { key: key.clone(), layer });
            }
            _ => self.create_at(&path, Some(layer)),
        }
        self.noted_place(&path);
        self.look();
        if self.chance(2) {
            self.create_at(&path, None);
            self.look();
        }
    }

    /// An SD in which nobody loses anything.
    pub(in super::super) fn descriptor(&mut self) -> Vec<u8> {
        let text = DESCRIPTORS[self.rng.random_range(0..DESCRIPTORS.len())];
        sddl::parse(text).expect("the generator writes SDDL")
    }

    pub(super) fn create_at(&mut self, path: &str, layer: Option<Text>) {
        let layer = layer.filter(|layer| !layer.0.is_empty());
        let path_text = Text::from(path);
        let flags = u32::from(self.chance(12));
        let access = ALL_ACCESS;
        self.sequence += 1;
        self.act(
            2,
            Action::Create { handle: None, parent: None, path: path_text, access, flags, layer },
        );
        self.noted_place(path);
        if path.split('\\').count() < 6 && !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
    }

    pub(in super::super) fn open_or_create(&mut self, handle: &Handle, path: &str) {
        self.sequence += 1;
        let create = Action::Create {
            handle: Some(handle.clone()),
            parent: None,
            path: Text::from(path),
            access: ALL_ACCESS,
            flags: 0,
            layer: None,
        };
        self.act(1, create);
        self.noted_place(path);
    }

    /// A write through a handle that differs from those before.
    pub(super) fn write_fresh(&mut self, handle: &Handle, name: Text) {
        let key = KeyReference::Handle(handle.clone());
        let (value_type, data) = self.fresh_data();
        self.sequence += 1;
        let layer = Text::default();
        self.act(1, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    /// A layer is enabled, disabled, re-weighted, deleted or made anew, and watches tell.
    pub(in super::super) fn change_of_layer(&mut self) {
        let layer = self.some_layer();
        if self.chance(2) {
            // What it has shows.
            let path = self.watched_path();
            let (name, layer) = (self.value_name(), Text::from(layer.as_str()));
            let (value_type, data) = self.fresh_data();
            let key = Generator::by_path(&path);
            self.sequence += 1;
            self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
            self.noted(&path);
        }
        self.switch_layer(&layer);
        self.look();
    }

    pub(super) fn switch_layer(&mut self, layer: &str) {
        let name = Text::from(layer);
        let action = match self.rng.random_range(0..10) {
            0..3 => Action::LayerSet { name, precedence: None, enabled: Some(0) },
            3..5 => Action::LayerSet { name, precedence: None, enabled: Some(1) },
            5..8 => {
                let precedence = Some(PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())]);
                Action::LayerSet { name, precedence, enabled: None }
            }
            8 => Action::LayerDelete { name },
            _ => Action::LayerCreate { name, precedence: Some(0), enabled: None },
        };
        self.sequence += 1;
        let is_gone = matches!(action, Action::LayerDelete { .. });
        self.act(3, action);
        self.noted_all();
        if is_gone && !self.chance(4) {
            self.look();
            let (name, precedence) = (Text::from(layer), Some(0));
            self.sequence += 2;
            self.act(3, Action::LayerCreate { name, precedence, enabled: None });
        }
    }

    /// A source dies and comes back; every watch of its hives overflows.
    pub(in super::super) fn restart(&mut self) {
        let source = self.rng.random_range(0..self.plan.sources.len());
        if self.down[source] {
            return;
        }
        self.calls += 2;
        self.plan.steps.push(Step::Fault(Fault::KillSource { source }));
        if self.chance(2) {
            self.look();
        }
        self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        self.noted_all();
        self.look();
        self.change();
    }
}
