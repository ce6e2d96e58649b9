//! The typed layer of the source device: a registration out to bytes, and answers back.
//!
//! States the layouts of PSD-005 §11.2 ("RSI registration struct") on the harness's own account,
//! like `typed`.

use registry_model::errno::Errno;
use registry_model::input::{Contents, DeviceCall, HiveEntry, HiveName, Registration};
use registry_model::observation::{Observation, Readiness};

use crate::address_space::{AddressSpace, Protection};
use crate::plan::{PlannedHive, PlannedRegistration};
use crate::target::{RawDeviceCall, ServedHive};
use crate::typed::Malformed;

/// `_IOW('R', 0, 24)`.
pub const REG_SRC_REGISTER: u32 = 0x4018_5200;
/// The flag of a private hive.
pub const RSI_HIVE_PRIVATE: u32 = 1;
/// Nothing is mapped here.
const UNMAPPED: u64 = 0xDEAD_0000_0000;

const POLLIN: i64 = 0x01;
const POLLOUT: i64 = 0x04;
const POLLERR: i64 = 0x08;
const POLLHUP: i64 = 0x10;

/// A registration for a target, and the same for the model.
pub struct Encoded {
    /// The raw call.
    pub raw: RawDeviceCall,
    /// The memory it points into.
    pub memory: AddressSpace,
    /// What the model is told.
    pub call: DeviceCall,
}

/// Lays out a registration. `roots` are the root GUIDs of its hives, in order.
pub fn encode_registration(planned: &PlannedRegistration, roots: &[[u8; 16]]) -> Encoded {
    let mut memory = AddressSpace::new();
    let mut array = Vec::new();
    for (hive, root) in planned.hives.iter().zip(roots) {
        array.extend(entry_bytes(hive, root, &mut memory));
    }
    let hive_count = planned.hive_count.unwrap_or(planned.hives.len() as u32);
    let mut structure = Vec::new();
    structure.extend(hive_count.to_le_bytes());
    structure.extend(planned.padding.to_le_bytes());
    structure.extend(planned.max_sequence.to_le_bytes());
    let hives_ptr = if array.is_empty() { 0 } else { memory.map(array, Protection::ReadOnly) };
    structure.extend(hives_ptr.to_le_bytes());
    let argument =
        if planned.is_unmapped { UNMAPPED } else { memory.map(structure, Protection::ReadOnly) };
    let request = planned.request.unwrap_or(REG_SRC_REGISTER);
    let call = model_call(planned, roots, hive_count, request);
    let serves = planned.hives.iter().zip(roots).filter_map(served).collect();
    Encoded { raw: RawDeviceCall::Ioctl { request, argument, serves }, memory, call }
}

fn entry_bytes(hive: &PlannedHive, root: &[u8; 16], memory: &mut AddressSpace) -> Vec<u8> {
    let name_ptr = if hive.is_name_unmapped {
        UNMAPPED
    } else if hive.name.0.is_empty() {
        0
    } else {
        memory.map(hive.name.0.clone(), Protection::ReadOnly)
    };
    let mut bytes = Vec::new();
    bytes.extend((hive.name.0.len() as u32).to_le_bytes());
    bytes.extend(hive.padding[0].to_le_bytes());
    bytes.extend(name_ptr.to_le_bytes());
    bytes.extend(root);
    bytes.extend(hive.flags.to_le_bytes());
    bytes.extend(hive.padding[1].to_le_bytes());
    bytes.extend(hive.scope);
    bytes
}

fn model_call(
    planned: &PlannedRegistration,
    roots: &[[u8; 16]],
    hive_count: u32,
    request: u32,
) -> DeviceCall {
    if request != REG_SRC_REGISTER {
        return DeviceCall::OtherIoctl { request };
    }
    let entry = |(hive, root): (&PlannedHive, &[u8; 16])| HiveEntry {
        name: match (hive.is_name_unmapped, hive.name.0.len() as u32) {
            (true, length @ 1..) => HiveName::Unreadable(length),
            _ => HiveName::Bytes(hive.name.0.clone()),
        },
        padding: hive.padding,
        root: *root,
        flags: hive.flags,
        scope: hive.scope,
    };
    let registration = Registration {
        hive_count,
        padding: planned.padding,
        max_sequence: planned.max_sequence,
        hives: planned.hives.iter().zip(roots).map(entry).collect(),
    };
    let registration = (!planned.is_unmapped).then_some(registration);
    DeviceCall::Register { registration, contents: Contents::Empty }
}

fn served((hive, root): (&PlannedHive, &[u8; 16])) -> Option<ServedHive> {
    let is_global = hive.flags & RSI_HIVE_PRIVATE == 0;
    let name = String::from_utf8(hive.name.0.clone()).ok().filter(|_| is_global)?;
    Some(ServedHive { name, root: *root })
}

/// The raw form of a call that needs no memory; a registration is encoded by itself.
pub fn encode_plain(call: &DeviceCall) -> RawDeviceCall {
    match call {
        DeviceCall::Open => RawDeviceCall::Open,
        DeviceCall::Read => RawDeviceCall::Read,
        DeviceCall::Write { response } => RawDeviceCall::Write { bytes: response.clone() },
        DeviceCall::Poll => RawDeviceCall::Poll,
        DeviceCall::Close | DeviceCall::Register { .. } | DeviceCall::OtherIoctl { .. } => {
            RawDeviceCall::Close
        }
    }
}

/// Reads the answer to a call.
///
/// # Errors
/// `Malformed` for a value that the call cannot have.
pub fn decode(call: &DeviceCall, result: i64) -> Result<Observation, Malformed> {
    if result < 0 {
        let number = i32::try_from(-result)
            .map_err(|_| Malformed(format!("the result {result} is no errno")))?;
        return Ok(Observation::Failed(Errno::from_number(number)));
    }
    match call {
        DeviceCall::Poll => readiness(result).map(Observation::Ready),
        DeviceCall::Read => Err(Malformed(format!("a request of {result} bytes was still queued"))),
        DeviceCall::Write { response } => {
            Err(Malformed(format!("{result} of {} bytes were taken", response.len())))
        }
        _ if result != 0 => Err(Malformed(format!("success is 0, not {result}"))),
        _ => Ok(Observation::Done),
    }
}

/// POLLHUP and POLLERR come together.
fn readiness(events: i64) -> Result<Readiness, Malformed> {
    let known = POLLIN | POLLOUT | POLLERR | POLLHUP;
    let (hung_up, failed) = (events & POLLHUP != 0, events & POLLERR != 0);
    if events & !known != 0 || hung_up != failed {
        return Err(Malformed(format!("poll gives {events:#x}")));
    }
    let (readable, writable) = (events & POLLIN != 0, events & POLLOUT != 0);
    Ok(Readiness { readable, writable, hung_up })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlannedRoot;

    #[test]
    fn a_registration_has_the_bytes_of_the_appendix() {
        let hive = PlannedHive {
            flags: 1,
            scope: [2; 16],
            padding: [3, 4],
            ..PlannedHive::global("Abc", PlannedRoot::Guid([9; 16]))
        };
        let planned = PlannedRegistration {
            hives: vec![hive],
            max_sequence: 5,
            padding: 6,
            ..PlannedRegistration::default()
        };
        let encoded = encode_registration(&planned, &[[9; 16]]);
        let RawDeviceCall::Ioctl { request, argument, .. } = encoded.raw else {
            panic!("no ioctl")
        };
        assert_eq!(request, 0x4018_5200);
        let structure = encoded.memory.read(argument, 24).expect("24 bytes").to_vec();
        assert_eq!(structure[..16], [1, 0, 0, 0, 6, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let pointer = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let entry = encoded.memory.read(pointer(&structure[16..]), 56).expect("56 bytes");
        assert_eq!(entry[..8], [3, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(encoded.memory.read(pointer(&entry[8..16]), 3), Ok(&b"Abc"[..]));
        assert_eq!(entry[16..32], [9; 16]);
        assert_eq!(entry[32..40], [1, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(entry[40..], [2; 16]);
    }

    #[test]
    fn hanging_up_is_an_error_too() {
        assert!(readiness(POLLHUP).is_err());
        assert_eq!(readiness(POLLHUP | POLLERR).map(|ready| ready.hung_up), Ok(true));
        assert!(readiness(0x20).is_err());
    }
}
