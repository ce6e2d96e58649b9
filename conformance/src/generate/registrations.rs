//! Registrations in generated plans: late sources that everybody uses, and registrations that are
//! refused beside running calls.

use proptest::prelude::*;

use super::Generator;
use crate::device::RSI_HIVE_PRIVATE;
use crate::plan::{
    Action, Fault, Handle, PlannedHive, PlannedRegistration, PlannedRoot, SourceHive, Step, Text,
};
use crate::script::guid_of;

/// The hives of each late source.
pub(super) const LATE_HIVES: &[&[&str]] = &[&["Roles"], &["Sites", "Boxes"]];

impl Generator {
    /// A source registers hives late, or resumes them after its device was lost.
    pub(super) fn register(&mut self) {
        let group = self.rng.random_range(0..LATE_HIVES.len());
        let registration = self.late_registration(group);
        let device = self.open_device();
        self.act(1, Action::Register { device: device.clone(), registration });
        if self.late.iter().all(|(known, _)| *known != group) {
            self.late.push((group, device));
        }
    }

    /// A registration that is wrong in some way, or comes at a wrong time.
    pub(super) fn register_wrongly(&mut self) {
        let group = self.rng.random_range(0..LATE_HIVES.len());
        let mut registration = self.late_registration(group);
        self.spoil(&mut registration);
        let used = self.late.first().map(|(_, device)| device.clone());
        let device = match used.filter(|_| self.chance(5)) {
            Some(device) => device,
            None => self.open_device(),
        };
        self.act(1, Action::Register { device, registration });
    }

    /// A device is closed, or its process writes what costs it the connection.
    pub(super) fn lose_device(&mut self) {
        if self.late.is_empty() {
            return self.register();
        }
        let lost = self.rng.random_range(0..self.late.len());
        let (_, device) = self.late.remove(lost);
        if self.chance(3) {
            let length = self.rng.random_range(0..24);
            let bytes = (0..length).map(|_| self.rng.random_range(0..=20)).collect();
            self.act(1, Action::WriteDevice { device: device.clone(), bytes });
            self.act(1, Action::PollDevice { device });
        } else {
            self.act(1, Action::Close { handle: device });
        }
    }

    /// A dead source comes back with other hives, and does not live.
    pub(super) fn restart_wrongly(&mut self, source: usize) {
        let mut hives = self.plan.sources[source].clone();
        match self.rng.random_range(0..4) {
            0 => hives.push(SourceHive::global("Roles")),
            1 if hives.len() > 1 => hives.truncate(1),
            2 => hives.insert(0, SourceHive::global("CurrentUser")),
            _ => hives.push(SourceHive::global("More")),
        }
        self.plan.steps.push(Step::Fault(Fault::RestartSourceAs { source, hives }));
    }

    fn open_device(&mut self) -> Handle {
        self.devices += 1;
        let device = Handle(format!("d{}", self.devices));
        self.act(1, Action::OpenDevice { device: device.clone() });
        device
    }

    fn late_registration(&mut self, group: usize) -> PlannedRegistration {
        let respell = self.chance(4);
        let hives = LATE_HIVES[group].iter().enumerate().map(|(number, name)| {
            let name = if respell { name.to_uppercase() } else { (*name).to_owned() };
            let root = guid_of((group * 16 + number) as u32 + 1);
            PlannedHive::global(&name, PlannedRoot::Guid(root))
        });
        let hives = hives.collect();
        let max_sequence = self.rng.random_range(0..=self.sequence + 2);
        PlannedRegistration { hives, max_sequence, ..PlannedRegistration::default() }
    }

    fn spoil(&mut self, registration: &mut PlannedRegistration) {
        let index = self.rng.random_range(0..registration.hives.len());
        let hive = &mut registration.hives[index];
        match self.rng.random_range(0..15) {
            0 => hive.name = Text::from("Machine"),
            1 => hive.name = Text::from("users"),
            2 => hive.name = Text::from("bad\\name"),
            3 => hive.name = Text::default(),
            4 => hive.flags = 2,
            5 => hive.scope = [1; 16],
            6 => hive.padding[0] = 1,
            7 => hive.root = PlannedRoot::Guid(guid_of(99)),
            8 => hive.is_name_unmapped = true,
            9 => {
                hive.flags = RSI_HIVE_PRIVATE;
                hive.scope = guid_of(7);
            }
            10 => registration.hives.truncate(1),
            11 => registration.max_sequence = u64::MAX,
            12 => registration.hive_count = Some(3),
            13 => registration.hive_count = Some(2_000),
            _ => {
                let more = PlannedHive::global("More", PlannedRoot::Guid(guid_of(98)));
                registration.hives.push(more);
            }
        }
    }
}
