//! Which values the kernel's parameters may have in force, as far as requests and answers give it
//! away (PSD-005 §8.2, §11.4).
//!
//! Which layer wins is not known here. So every value that was written or returned may be in force,
//! until the one key of the parameters, on a way that base alone names, has one value of base and no
//! other.

use std::collections::BTreeSet;

use super::fields::is_named;
use super::frame::{Guid, PathEntry, ValueEntry};

const REG_DWORD: u32 = 4;
/// The names on the way from the root of the Machine hive to the parameters.
const WAY: [&str; 2] = ["System", "Registry"];

/// A parameter of §11.4.
#[derive(Clone, Debug)]
struct Parameter {
    name: &'static str,
    min: u32,
    max: u32,
    may_be: BTreeSet<u32>,
    /// What may still be in force until the call or the registration is over that reads it.
    former: BTreeSet<u32>,
}

impl Parameter {
    fn new(name: &'static str, default: u32, min: u32, max: u32) -> Parameter {
        let (may_be, former) = (BTreeSet::from([default]), BTreeSet::new());
        Parameter { name, min, max, may_be, former }
    }

    fn valid(&self, value_type: u32, data: &[u8]) -> Option<u32> {
        let number = u32::from_le_bytes(data.try_into().ok()?);
        let is_valid = value_type == REG_DWORD && (self.min..=self.max).contains(&number);
        is_valid.then_some(number)
    }
}

/// What is known of the parameters since the last reboot.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    lifetime_ms: Parameter,
    in_flight: Parameter,
    /// The key that they are values of.
    key: Option<Guid>,
    /// Whether base alone has named the way to it, and the kernel has had every answer in time.
    is_plain: bool,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            lifetime_ms: Parameter::new("TransactionTimeoutMs", 30_000, 1_000, 600_000),
            in_flight: Parameter::new("MaxConcurrentRSIRequests", 256, 8, 4_096),
            key: None,
            is_plain: true,
        }
    }
}

impl Parameters {
    /// The shortest and the longest lifetime of a transaction that may be in force, milliseconds.
    pub(super) fn lifetimes_ms(&self) -> (u32, u32) {
        let may_be = &self.lifetime_ms.may_be;
        let first = may_be.first().copied().unwrap_or(self.lifetime_ms.min);
        let last = may_be.last().copied().unwrap_or(self.lifetime_ms.max);
        (first, last)
    }

    /// The most requests that may be in flight at a source. A lower number is in force when all that is
    /// read with it has been answered (P-182).
    pub(super) fn in_flight_max(&self) -> usize {
        let highest = self.in_flight.may_be.last().max(self.in_flight.former.last());
        highest.copied().unwrap_or(self.in_flight.max) as usize
    }

    /// So many requests in flight may leave no slot to spare.
    pub(super) fn in_flight_min(&self) -> usize {
        let lowest = self.in_flight.may_be.first().min(self.in_flight.former.first());
        lowest.or(self.in_flight.may_be.first()).copied().unwrap_or(self.in_flight.min) as usize
    }

    /// The call or the registration is over in which parameters may have been read. Unless every source has
    /// answered, that may not have come to its end.
    pub(super) fn settled(&mut self, is_all_answered: bool) {
        for parameter in [&mut self.lifetime_ms, &mut self.in_flight] {
            let former = std::mem::take(&mut parameter.former);
            if !is_all_answered {
                parameter.may_be.extend(former);
            }
        }
    }

    /// From now on what is stored need not be what is in force.
    pub(super) fn unsettled(&mut self) {
        self.is_plain = false;
    }

    /// A source returned the entries of a name.
    pub(super) fn named(&mut self, name: &[u8], entries: &[PathEntry<'_>]) {
        if !WAY.iter().any(|way| is_named(name, way)) {
            return;
        }
        let is_base = |entry: &PathEntry<'_>| entry.layer == b"base" && entry.target != [0; 16];
        self.is_plain &= entries.len() <= 1 && entries.iter().all(is_base);
        if is_named(name, WAY[1]) {
            for entry in entries {
                self.found(entry.target);
            }
        }
    }

    /// An entry of a name is made; without a key, it is hidden or removed.
    pub(super) fn renamed(&mut self, name: &[u8], layer: &[u8], child: Option<Guid>) {
        if !WAY.iter().any(|way| is_named(name, way)) {
            return;
        }
        self.is_plain &= child.is_some() && layer == b"base";
        if let (Some(child), true) = (child, is_named(name, WAY[1])) {
            self.found(child);
        }
    }

    fn found(&mut self, key: Guid) {
        self.is_plain &= self.key.is_none_or(|known| known == key);
        self.key.get_or_insert(key);
    }

    /// A value is written.
    pub(super) fn written(&mut self, name: &[u8], value_type: u32, data: &[u8]) {
        for parameter in [&mut self.lifetime_ms, &mut self.in_flight] {
            if is_named(name, parameter.name) {
                parameter.may_be.extend(parameter.valid(value_type, data));
            }
        }
    }

    /// A source returned values of a key outside of transactions: those of one name, or all.
    pub(super) fn returned(&mut self, key: Guid, entries: &[ValueEntry<'_>], blankets: usize) {
        let is_certain = self.is_plain && self.key == Some(key) && blankets == 0;
        for parameter in [&mut self.lifetime_ms, &mut self.in_flight] {
            let own: Vec<_> =
                entries.iter().filter(|entry| is_named(entry.name, parameter.name)).collect();
            let valid = |entry: &&ValueEntry<'_>| parameter.valid(entry.value_type, entry.data);
            let numbers: Vec<u32> = own.iter().filter_map(valid).collect();
            match (&own[..], &numbers[..]) {
                ([entry], [number]) if is_certain && entry.layer == b"base" => {
                    let before = std::mem::replace(&mut parameter.may_be, [*number].into());
                    parameter.former.extend(before);
                }
                _ => parameter.may_be.extend(numbers),
            }
        }
    }
}
