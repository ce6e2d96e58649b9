//! The feature of calls as numbers and bytes: twisted in any way, or left right and looked at closely.
//!
//! A plan never makes one output lie in another, or in the argument structure: what is written
//! last there is not said by the text. So bytes of addresses are left alone.

use proptest::prelude::*;

use super::{Generator, HANDLES, Profile};
use crate::plan::{Action, Handle, RawArgument, Step, Text};
use crate::twist::{FdReference, Layout, Pointer, PointerFault, Twist};

/// Features whose first step is about one call.
const FEATURES: &[fn(&mut Generator)] = &[
    Generator::get,
    Generator::get,
    Generator::set,
    Generator::set,
    Generator::set_if,
    Generator::tombstone,
    Generator::unset,
    Generator::blanket,
    Generator::batch,
    Generator::batch,
    Generator::enumerate,
    Generator::enumerate,
    Generator::info,
    Generator::create_key,
    Generator::create_key,
    Generator::open_handle,
    Generator::close_handle,
    Generator::delete_key,
    Generator::hide_key,
    Generator::compare_or_flush,
];
/// The same of the security profile.
const SECURED_FEATURES: &[fn(&mut Generator)] = &[
    Generator::get,
    Generator::set,
    Generator::batch,
    Generator::info,
    Generator::create_key,
    Generator::open_handle,
    Generator::open_and_use,
    Generator::get_security,
    Generator::get_security,
    Generator::set_security,
    Generator::set_security,
    Generator::pass,
];
/// Request codes of key fds, right ones and ones with a wrong part, and of other fds.
const REQUESTS: &[u32] = &[
    0xC040_5200,
    0x4040_5201,
    0x4028_5202,
    0x4018_5203,
    0xC018_5204,
    0xC028_5205,
    0xC028_5206,
    0x8040_5207,
    0x4018_5208,
    0x4018_5209,
    0x0000_520D,
    0x4018_5200,
    0x0000_5210,
    0x8008_5211,
    0xC040_5300,
    0x0000_5200,
    0xC040_52FF,
    0,
];
/// Twists that one call has at most.
const TWISTS_MAX: usize = 3;
/// Draws until a twist fits the call.
const DRAWS_MAX: usize = 8;

impl Generator {
    pub(super) fn raw_call(&mut self) {
        if self.chance(10) {
            return self.spelled_out();
        }
        let position = self.plan.steps.len();
        let features = if self.profile == Profile::Security { SECURED_FEATURES } else { FEATURES };
        features[self.rng.random_range(0..features.len())](self);
        let Some(Step::Act { actor, action }) = self.plan.steps.get(position) else { return };
        let actor = *actor;
        let Some(layout) = Layout::of(action) else { return };
        let action = Box::new(action.clone());
        let count = self.rng.random_range(0..=TWISTS_MAX);
        let twists = (0..count).filter_map(|_| self.fitting_twist(layout)).collect();
        let action = Action::Raw { twists, action };
        self.plan.steps[position] = Step::Act { actor, action };
    }

    fn fitting_twist(&mut self, layout: &Layout) -> Option<Twist> {
        (0..DRAWS_MAX).find_map(|_| Some(self.twist(layout)).filter(|twist| layout.has(twist)))
    }

    fn twist(&mut self, layout: &Layout) -> Twist {
        match self.rng.random_range(0..12) {
            0..=4 => {
                let pointers: Vec<Pointer> = layout.pointers().collect();
                let index = self.rng.random_range(0..pointers.len().max(1));
                let pointer = pointers.get(index).copied().unwrap_or(Pointer::Argument);
                Twist::Pointer { pointer, fault: self.pointer_fault() }
            }
            5..=7 => {
                let offsets = layout.plain_bytes();
                let index = self.rng.random_range(0..offsets.len().max(1));
                let byte = [0, 1, 2, 0x80, 0xFF][self.rng.random_range(0..5)];
                let offset = offsets.get(index).copied().unwrap_or(0);
                Twist::Bytes { offset, bytes: vec![byte] }
            }
            8 => Twist::Transaction(self.wrong_fd()),
            9 => Twist::Fd(self.wrong_fd()),
            10 => match self.rng.random_range(0..4) {
                0 => Twist::Direction(self.rng.random_range(0..4)),
                1 => Twist::Size([0, 8, 24, 40, 64, 128][self.rng.random_range(0..6)]),
                _ => Twist::Request(REQUESTS[self.rng.random_range(0..REQUESTS.len())]),
            },
            _ => match self.rng.random_range(0..4) {
                0 => Twist::Number([1099, 1103, 0x1_0000_044C][self.rng.random_range(0..3)]),
                _ => {
                    let value = [0, u64::MAX, 0x1_0000_0003, 0xFFFF_FFFF, 1 << 32, 0x2_0019]
                        [self.rng.random_range(0..6)];
                    // The path is an address.
                    let index = [0, 2, 3, 4, 5][self.rng.random_range(0..5)];
                    Twist::Register { index, value }
                }
            },
        }
    }

    fn pointer_fault(&mut self) -> PointerFault {
        match self.rng.random_range(0..5) {
            0 => PointerFault::Null,
            1 => PointerFault::Unmapped,
            2 | 3 => PointerFault::ReadOnly,
            _ => PointerFault::Cut(self.rng.random_range(1..4)),
        }
    }

    fn wrong_fd(&mut self) -> FdReference {
        match self.rng.random_range(0..4) {
            0 => FdReference::Handle(Handle(self.pick(HANDLES).to_owned())),
            1 => FdReference::Number(-1),
            2 => FdReference::Number(-2),
            _ => FdReference::Number(99),
        }
    }

    /// A call that no action stands for.
    fn spelled_out(&mut self) {
        let action = if self.chance(2) {
            let request = REQUESTS[self.rng.random_range(0..REQUESTS.len())];
            let length = [0, 8, 24, 40, 64][self.rng.random_range(0..5)];
            let structure = (!self.chance(3)).then(|| vec![0; length]);
            Action::Ioctl { fd: self.wrong_fd(), request, structure }
        } else {
            let path = if self.chance(4) { Text(b"Machine\0x".to_vec()) } else { self.path() };
            let arguments = vec![
                RawArgument::Number(u64::MAX),
                RawArgument::String(path),
                RawArgument::Number(0x2_0019),
            ];
            let number = if self.chance(4) { 1103 } else { 1100 };
            Action::Syscall { number, arguments }
        };
        self.act(2, action);
    }
}
