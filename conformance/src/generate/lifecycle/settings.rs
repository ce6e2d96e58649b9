//! The kernel's own parameters: good, bad, missing and ill-typed, in any layer (PSD-005 §8.2).
//!
//! What good values a plan sets leaves the rest of it room, and never makes a request time out.

use proptest::prelude::*;

use super::super::Generator;
use crate::plan::{Action, Handle, KeyReference, Text};

/// Where they are.
const PATH: &str = "Machine\\System\\Registry";
/// Lifetimes of transactions that plans wait for, milliseconds.
const LIFETIMES_MS: &[u32] = &[2_000, 3_000, 5_000];
/// The compiled-in lifetime, milliseconds, and the compiled-in length of a queue.
const LIFETIME_MS: u32 = 30_000;
const QUEUE_SIZE: u32 = 256;
/// The longest lifetime, milliseconds.
const LONG_LIFETIME_MS: u32 = 600_000;

/// Each parameter with its range and values that a plan can live with.
pub(super) const PARAMETERS: &[(&str, u32, u32, &[u32])] = &[
    ("RequestTimeoutMs", 1_000, 600_000, &[30_000, 60_000, 600_000]),
    ("TransactionTimeoutMs", 1_000, 600_000, LIFETIMES_MS),
    ("NotificationQueueSize", 16, 65_536, &[16, 16, 17, 64, 65_536]),
    ("SymlinkDepthLimit", 1, 64, &[1, 16, 64]),
    ("MaxValueSize", 4_096, 67_108_864, &[4_096, 1_048_576]),
    ("MaxKeyDepth", 32, 4_096, &[32, 512, 4_096]),
    ("MaxPathComponentLength", 64, 1_024, &[64, 255, 1_024]),
    ("MaxTotalPathLength", 1_024, 65_535, &[1_024, 16_383, 65_535]),
    ("MaxLayersPerValue", 1, 1_024, &[2, 3, 128]),
    ("MaxBoundTransactionsPerSource", 1, 256, &[1, 2, 256]),
    ("MaxReadOnlyTransactionsPerSource", 1, 256, &[1, 256]),
    ("MaxTotalLayers", 16, 65_536, &[16, 1_024, 65_536]),
    ("MaxRegisteredSources", 1, 256, &[8, 256]),
    ("MaxHivesPerSource", 1, 1_024, &[8, 1_024]),
    ("MaxConcurrentRSIRequests", 8, 4_096, &[8, 256, 4_096]),
    ("MaxScopeGUIDsPerToken", 1, 256, &[8, 256]),
    ("MaxPrivateLayersPerToken", 1, 256, &[16, 256]),
    ("MaxSubtreeWatchDepth", 0, 4_096, &[0, 1, 2, 4_096]),
    ("MaxTransactionWatchEventBurst", 256, 65_536, &[256, 65_536]),
];
/// Parameters that the rest of a plan notices.
const NOTICED: &[&str] =
    &["TransactionTimeoutMs", "NotificationQueueSize", "MaxSubtreeWatchDepth", "MaxLayersPerValue"];

/// What is believed to be in force.
#[derive(Debug)]
pub(super) struct Settings {
    /// `TransactionTimeoutMs`.
    pub(super) lifetime_ms: u32,
    /// `NotificationQueueSize`.
    pub(super) queue_size: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { lifetime_ms: LIFETIME_MS, queue_size: QUEUE_SIZE }
    }
}

impl Generator {
    /// Gives a parameter a value in base.
    pub(super) fn set_parameter_to(&mut self, name: &str, number: u32) {
        self.write_parameter(name, 4, number.to_le_bytes().to_vec(), Text::default());
    }

    fn write_parameter(&mut self, name: &str, value_type: u32, data: Vec<u8>, layer: Text) {
        let (key, name) = (KeyReference::Path(Text::from(PATH)), Text::from(name));
        self.sequence += 1;
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    /// Lets transactions expire soon.
    pub(super) fn shorten_lifetimes(&mut self) {
        let lifetime_ms = LIFETIMES_MS[self.rng.random_range(0..LIFETIMES_MS.len())];
        self.set_parameter_to("TransactionTimeoutMs", lifetime_ms);
        self.life.settings.lifetime_ms = lifetime_ms;
    }

    /// Lets transactions outlive requests, whose time-outs are as long as their lifetimes by default.
    pub(super) fn lengthen_lifetimes(&mut self) {
        self.set_parameter_to("TransactionTimeoutMs", LONG_LIFETIME_MS);
        self.life.settings.lifetime_ms = LONG_LIFETIME_MS;
    }

    fn parameter(&mut self) -> (&'static str, u32, u32, &'static [u32]) {
        let known = PARAMETERS[self.rng.random_range(0..PARAMETERS.len())];
        if self.chance(2) {
            return known;
        }
        let noticed = NOTICED[self.rng.random_range(0..NOTICED.len())];
        PARAMETERS.iter().find(|(name, ..)| *name == noticed).copied().unwrap_or(known)
    }

    /// A parameter gets a value that is good, or is not.
    pub(in super::super) fn set_parameter(&mut self) {
        let (name, min, max, mild) = self.parameter();
        let layer = if self.chance(2) { Text::default() } else { self.layer() };
        let number = match self.rng.random_range(0..12) {
            0 => min.wrapping_sub(1),
            1 => max + 1,
            2 => u32::MAX,
            3 => 0,
            _ => mild[self.rng.random_range(0..mild.len())],
        };
        let data = number.to_le_bytes().to_vec();
        let spelling = if self.chance(6) { name.to_uppercase() } else { name.to_owned() };
        match self.rng.random_range(0..16) {
            0 => self.write_parameter(&spelling, 1, b"16\0".to_vec(), layer),
            1 => {
                self.write_parameter(&spelling, 11, u64::from(number).to_le_bytes().to_vec(), layer)
            }
            2 => self.write_parameter(&spelling, 4, data[..3].to_vec(), layer),
            3 => self.write_parameter(&spelling, 0xFFFF, Vec::new(), layer),
            4 => self.write_parameter("MaxNothing", 4, data, layer),
            _ => {
                let is_adopted = layer == Text::default() && (min..=max).contains(&number);
                self.write_parameter(&spelling, 4, data, layer);
                self.believe_set(name, number, is_adopted);
            }
        }
        if self.chance(3) {
            let (key, name) = (KeyReference::Path(Text::from(PATH)), Text::from(name));
            self.act(3, Action::Get { key, name, data_capacity: None, layer_capacity: None });
        }
    }

    fn believe_set(&mut self, name: &str, number: u32, is_adopted: bool) {
        let settings = &mut self.life.settings;
        match name {
            "TransactionTimeoutMs" if is_adopted => settings.lifetime_ms = number,
            "NotificationQueueSize" if is_adopted => settings.queue_size = number,
            _ => {}
        }
    }

    /// A limit is set low and met, by what it still allows and by what it does not.
    pub(in super::super) fn meet_limit(&mut self) {
        let over = self.rng.random_range(0..=1);
        let path = self.some_path();
        match self.rng.random_range(0..5) {
            0 => {
                self.set_parameter_to("MaxValueSize", 4_096);
                self.write_long(&path, 4, 4_096 + over);
                self.set_parameter_to("MaxValueSize", 1_048_576);
            }
            1 => {
                self.set_parameter_to("MaxPathComponentLength", 64);
                self.write_long(&path, 64 + over, 4);
                self.set_parameter_to("MaxPathComponentLength", 255);
            }
            2 => {
                self.set_parameter_to("MaxKeyDepth", 32);
                self.open_long(&format!("Machine{}", "\\a".repeat(31 + over)));
                self.set_parameter_to("MaxKeyDepth", 512);
            }
            3 => {
                self.set_parameter_to("MaxTotalPathLength", 1_024);
                let parts = format!("\\{}", "a".repeat(112)).repeat(9);
                self.open_long(&format!("Machine{parts}{}", "a".repeat(over)));
                self.set_parameter_to("MaxTotalPathLength", 16_383);
            }
            _ => {
                self.set_parameter_to("MaxLayersPerValue", 2);
                for layer in self.layers.clone().iter().take(4) {
                    let layer = Text::from(layer.as_str());
                    let (key, name) = (Generator::by_path(&path), Text::from("crowded"));
                    let (value_type, data) = self.fresh_data();
                    self.sequence += 1;
                    self.act(
                        3,
                        Action::Set { key, name, value_type, data, layer, expected_sequence: 0 },
                    );
                }
                self.set_parameter_to("MaxLayersPerValue", 128);
            }
        }
    }

    fn write_long(&mut self, path: &str, name_length: usize, data_length: usize) {
        let (key, name) = (Generator::by_path(path), Text(vec![b'n'; name_length]));
        let (value_type, data, layer) = (3, vec![7; data_length], Text::default());
        self.sequence += 1;
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
        self.noted(path);
    }

    fn open_long(&mut self, path: &str) {
        let handle = Handle("long".to_owned());
        let (parent, path) = (None, Text::from(path));
        self.act(1, Action::Open { handle, parent, path, access: 1, flags: 0 });
    }

    /// A parameter is missing again; the last good value stays.
    pub(in super::super) fn unset_parameter(&mut self) {
        let (name, ..) = self.parameter();
        let key = KeyReference::Path(Text::from(PATH));
        let layer = if self.chance(2) { Text::default() } else { self.layer() };
        if self.chance(5) {
            let set = u8::from(self.chance(2));
            self.sequence += u64::from(set);
            return self.act(3, Action::Blanket { key, layer, set });
        }
        self.act(3, Action::Unset { key, name: Text::from(name), layer });
    }

    /// The key of the parameters is hidden in a layer, and comes back with the layer's end.
    pub(in super::super) fn lose_parameters(&mut self) {
        let layer = self.some_layer();
        let key = KeyReference::Path(Text::from(PATH));
        self.sequence += 1;
        self.act(3, Action::Hide { key, layer: Text::from(layer.as_str()) });
        self.change();
        self.set_parameter();
        // With the key hidden the layer cannot be reached by its own path; a restart reads again.
        let (key, layer) = (KeyReference::Path(Text::from(PATH)), Text::from(layer.as_str()));
        self.act(3, Action::Delete { key, layer });
        self.restart();
    }
}
