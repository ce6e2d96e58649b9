//! What a block has beside changes and reads of values: one kind of thing, if any. No layer operations: of these a
//! call that overlaps may see the metadata first, and what follows from it later (P-562).

use proptest::prelude::*;

use super::super::Generator;
use super::{AIMED, Block, OTHER, aimed, other};
use crate::generate::lifecycle::ALL_ACCESS;
use crate::plan::{Action, Handle, KeyReference, Text};
use crate::sddl;

/// The handle of a key that a strand opens in the block, by the strand.
const OPENED: &[&str] = &["n1", "n2", "n3", "n4", "n5"];

/// What a block is about beside values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing.
    Values,
    /// Keys that come: opens and creations.
    Openings,
    /// Keys that go: deletions, hidings, and the last closes.
    Removals,
    /// Security descriptors.
    Security,
}

impl Generator {
    pub(super) fn draw_beside(&mut self) -> Beside {
        match self.rng.random_range(0..4) {
            0 => Beside::Values,
            1 => Beside::Openings,
            2 => Beside::Removals,
            _ => Beside::Security,
        }
    }

    /// Adds something to a strand.
    pub(super) fn beside(&mut self, index: usize, block: &Block, before: &[Action]) -> Action {
        let may_open = block.opens && !before.iter().any(opens);
        match block.beside {
            Beside::Openings if may_open => self.arrival(index, block),
            Beside::Openings => self.use_of_opened(index, block),
            Beside::Removals if may_open && self.chance(3) => self.arrival(index, block),
            Beside::Removals => self.removal(index, block),
            Beside::Security => self.security(index),
            Beside::Values => self.change_of_aim(index, &block.name),
        }
    }

    /// Something through the fd of the key that the strand has opened, or created.
    fn use_of_opened(&mut self, index: usize, block: &Block) -> Action {
        let key = KeyReference::Handle(Handle(OPENED[index].to_owned()));
        let name = Text::from(block.name.as_str());
        if self.chance(2) {
            return Action::Get { key, name, data_capacity: None, layer_capacity: None };
        }
        let (layer, (value_type, data)) = (self.layer(), self.fresh_data());
        self.sequence += 1;
        Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
    }

    /// A child is opened or created.
    fn arrival(&mut self, index: usize, block: &Block) -> Action {
        let (handle, access) = (Handle(OPENED[index].to_owned()), ALL_ACCESS);
        let child = &block.children[self.rng.random_range(0..block.children.len())];
        let (parent, path) = if self.chance(3) {
            (None, Text::from(format!("{}\\{child}", block.aim).as_str()))
        } else {
            (Some(Handle(AIMED[index].to_owned())), Text::from(child.as_str()))
        };
        if self.chance(3) {
            return Action::Open { handle, parent, path, access, flags: 0 };
        }
        let layer = Some(self.layer()).filter(|layer| !layer.0.is_empty());
        self.sequence += 1;
        let flags = u32::from(self.chance(12));
        Action::Create { handle: Some(handle), parent, path, access, flags, layer }
    }

    /// A deletion or hiding, or what makes a difference to one.
    fn removal(&mut self, index: usize, block: &Block) -> Action {
        let layer = if self.chance(2) { Text::default() } else { self.layer() };
        let key = if block.aim_goes && self.chance(2) { aimed(index) } else { other(index) };
        self.sequence += 1;
        match self.rng.random_range(0..8) {
            0..4 => Action::Delete { key, layer },
            4..6 => Action::Hide { key, layer },
            6 if !block.opens => Action::Close { handle: Handle(OTHER[index].to_owned()) },
            _ => self.change_of_other(index, &block.name),
        }
    }

    fn security(&mut self, index: usize) -> Action {
        let key = if self.chance(3) { other(index) } else { aimed(index) };
        if self.chance(2) {
            let security_info = sddl::OWNER | sddl::GROUP | sddl::DACL;
            return Action::GetSecurity { key, security_info, capacity: None };
        }
        let descriptor = self.descriptor();
        Action::SetSecurity { key, security_info: sddl::DACL, descriptor }
    }

    /// Closes what a strand has opened.
    pub(super) fn let_go_beside(&mut self, index: usize, actions: &[Action]) {
        if actions.iter().any(opens) {
            self.act(1, Action::Close { handle: Handle(OPENED[index].to_owned()) });
        }
    }
}

fn opens(action: &Action) -> bool {
    matches!(action, Action::Open { .. } | Action::Create { .. })
}
