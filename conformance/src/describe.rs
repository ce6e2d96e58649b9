//! Calls in words, for reports: one line a call, in the names of PSD-005 §6.

use registry_model::Outcome;
use registry_model::input::{Call, DeviceCall, HiveName, Input, Registration};
use registry_model::observation::Observation;

use crate::address_space::AddressSpace;
use crate::script::answer::{event_line, status_line};
use crate::sddl;
use crate::target::RawCall;
use crate::typed;

/// Bytes as readable text: UTF-8 as it is, anything else escaped.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn layer(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::new() } else { format!(" in {}", text(bytes)) }
}

fn name(bytes: &[u8]) -> String {
    if bytes.is_empty() { "\"\"".to_owned() } else { text(bytes) }
}

/// One line that says what is called, in numbers and bytes.
pub fn raw_call(call: &RawCall, memory: &AddressSpace) -> String {
    match call {
        RawCall::Syscall { number, arguments } => {
            let arguments: Vec<String> =
                arguments.iter().map(|argument| format!("{argument:#x}")).collect();
            format!("syscall {number}({})", arguments.join(", "))
        }
        RawCall::Ioctl { fd, request, argument } => {
            let size = u64::from(request >> 16 & 0x3FFF);
            let structure = match memory.read(*argument, size) {
                Ok(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                Err(_) => "not mapped".to_owned(),
            };
            format!("ioctl(fd {fd}, request {request:#010x}, argument {argument:#x}: {structure})")
        }
        RawCall::Read { fd, buffer, length } => {
            format!("read(fd {fd}, to {buffer:#x}, {length} bytes)")
        }
        RawCall::Poll { fd } => format!("poll(fd {fd})"),
        RawCall::Pass { fd, to } => format!("pass(fd {fd}, to process {})", to.0),
        RawCall::Close { fd } => format!("close(fd {fd})"),
        RawCall::OpenStream { access, contents } => {
            format!("open a stream({access:?}, {} bytes)", contents.len())
        }
        RawCall::TakeStream { fd, .. } => format!("take from a stream(fd {fd})"),
    }
}

/// What conforms, with security descriptors as text.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Security(descriptor) => security(descriptor, &outcome.to_string()),
        Outcome::TransactionStatus { state, terminal_errno } => {
            status_line(*state, *terminal_errno)
        }
        _ => outcome.to_string(),
    }
}

/// An answer, with security descriptors as text.
pub fn observation(observation: &Observation) -> String {
    match observation {
        Observation::Security(descriptor) => security(descriptor, &observation.to_string()),
        Observation::Events(bytes) => events(bytes, &observation.to_string()),
        Observation::TransactionStatus { state, terminal_errno } => {
            status_line(*state, *terminal_errno)
        }
        _ => observation.to_string(),
    }
}

/// A descriptor as text too, if it has one.
fn security(descriptor: &[u8], bytes: &str) -> String {
    sddl::print(descriptor).map_or_else(|| bytes.to_owned(), |text| format!("{text}\n  {bytes}"))
}

/// Watch events one below another, and then their bytes: a difference may be in those alone.
fn events(packed: &[u8], bytes: &str) -> String {
    match typed::events(packed) {
        Ok(events) => {
            let lines: String = events.iter().map(|event| event_line(event) + "\n").collect();
            format!("{lines}  {bytes}")
        }
        Err(_) => bytes.to_owned(),
    }
}

/// One line that says what happened.
pub fn input(input: &Input) -> String {
    match input {
        Input::Call { call: typed, .. } => call(typed),
        Input::RawCall { call, memory, .. } => raw_call(call, memory),
        Input::Device { source, call, .. } => format!("source {}: {}", source.0, device(call)),
        Input::Environment(environment) => format!("{environment:?}"),
    }
}

/// One line that says what is called on the source device.
pub fn device(call: &DeviceCall) -> String {
    match call {
        DeviceCall::Open => "open(/dev/pkm_registry)".to_owned(),
        DeviceCall::Register { registration: None, .. } => {
            "REG_SRC_REGISTER(unreadable argument)".to_owned()
        }
        DeviceCall::Register { registration: Some(registration), .. } => {
            format!("REG_SRC_REGISTER({})", registered(registration))
        }
        DeviceCall::OtherIoctl { request } => format!("ioctl({request:#x})"),
        DeviceCall::Read => "read()".to_owned(),
        DeviceCall::Write { response } => format!("write({} bytes)", response.len()),
        DeviceCall::Poll => "poll()".to_owned(),
        DeviceCall::Close => "close()".to_owned(),
    }
}

fn registered(registration: &Registration) -> String {
    let hives: Vec<String> = registration
        .hives
        .iter()
        .map(|hive| match &hive.name {
            HiveName::Bytes(bytes) => format!("{} flags {:#x}", name(bytes), hive.flags),
            HiveName::Unreadable(length) => format!("a name of {length} unreadable bytes"),
        })
        .collect();
    let (count, highest) = (registration.hive_count, registration.max_sequence);
    format!("{count} hives: {}, max_sequence {highest}", hives.join(", "))
}

/// One line that says what is called.
pub fn call(call: &Call) -> String {
    match call {
        Call::OpenKey { parent, path, desired_access, flags } => {
            format!(
                "reg_open_key(parent {parent}, {}, access {desired_access:#x}, flags {flags:#x})",
                text(path)
            )
        }
        Call::CreateKey { parent, path, desired_access, flags, layer: key_layer, .. } => format!(
            "reg_create_key(parent {parent}, {}, access {desired_access:#x}, flags {flags:#x}{})",
            text(path),
            key_layer.as_ref().map_or_else(String::new, |bytes| format!(", layer {}", name(bytes))),
        ),
        Call::QueryValue { fd, name: value, data_capacity, layer_capacity, .. } => format!(
            "REG_IOC_QUERY_VALUE(fd {fd}, {}, data_len {data_capacity}, layer_buf_len {layer_capacity})",
            name(value)
        ),
        Call::SetValue {
            fd, name: value, value_type, data, layer: to, expected_sequence, ..
        } => {
            format!(
                "REG_IOC_SET_VALUE(fd {fd}, {}, type {value_type:#x}, {} bytes{}{})",
                name(value),
                data.len(),
                layer(to),
                if *expected_sequence == 0 {
                    String::new()
                } else {
                    format!(", expected_seq {expected_sequence}")
                }
            )
        }
        Call::DeleteValue { fd, name: value, layer: of, .. } => {
            format!("REG_IOC_DELETE_VALUE(fd {fd}, {}{})", name(value), layer(of))
        }
        Call::BlanketTombstone { fd, layer: of, set, .. } => {
            format!("REG_IOC_BLANKET_TOMBSTONE(fd {fd}, set {set}{})", layer(of))
        }
        Call::GetSecurity { fd, security_info, capacity } => format!(
            "REG_IOC_GET_SECURITY(fd {fd}, security_info {security_info:#x}, sd_len {capacity})"
        ),
        Call::SetSecurity { fd, security_info, descriptor, .. } => {
            let shown =
                sddl::print(descriptor).unwrap_or_else(|| format!("{} bytes", descriptor.len()));
            format!("REG_IOC_SET_SECURITY(fd {fd}, security_info {security_info:#x}, {shown})")
        }
        Call::Notify { fd, filter, subtree } => {
            format!("REG_IOC_NOTIFY(fd {fd}, filter {filter:#x}, subtree {subtree})")
        }
        Call::ReadEvents { fd, capacity } => format!("read(fd {fd}, {capacity} bytes)"),
        Call::Poll { fd } => format!("poll(fd {fd})"),
        Call::BeginTransaction => "reg_begin_transaction()".to_owned(),
        Call::Commit { fd } => format!("REG_IOC_COMMIT(fd {fd})"),
        Call::TransactionStatus { fd } => format!("REG_IOC_TXN_STATUS(fd {fd})"),
        Call::Pass { fd, to } => format!("pass(fd {fd}, to process {})", to.0),
        Call::QueryValuesBatch { fd, capacity, .. } => {
            format!("REG_IOC_QUERY_VALUES_BATCH(fd {fd}, buf_len {capacity})")
        }
        Call::EnumValues { fd, index, name_capacity, data_capacity, .. } => format!(
            "REG_IOC_ENUM_VALUES(fd {fd}, index {index}, name_len {name_capacity}, data_len {data_capacity})"
        ),
        Call::EnumSubkeys { fd, index, name_capacity, .. } => {
            format!("REG_IOC_ENUM_SUBKEYS(fd {fd}, index {index}, name_len {name_capacity})")
        }
        Call::QueryKeyInfo { fd, name_capacity } => {
            format!("REG_IOC_QUERY_KEY_INFO(fd {fd}, name_len {name_capacity})")
        }
        Call::DeleteKey { fd, layer: of, .. } => {
            format!("REG_IOC_DELETE_KEY(fd {fd}{})", layer(of))
        }
        Call::HideKey { fd, layer: of, .. } => format!("REG_IOC_HIDE_KEY(fd {fd}{})", layer(of)),
        Call::Flush { fd } => format!("REG_IOC_FLUSH(fd {fd})"),
        Call::Close { fd } => format!("close(fd {fd})"),
        Call::OpenStream { access, contents } => {
            format!("open a stream({access:?}, {} bytes)", contents.len())
        }
        Call::TakeStream { fd } => format!("take from a stream(fd {fd})"),
        Call::Backup { fd, output } => format!("REG_IOC_BACKUP(fd {fd}, to fd {output})"),
        Call::Restore { fd, input } => format!("REG_IOC_RESTORE(fd {fd}, from fd {input})"),
    }
}
