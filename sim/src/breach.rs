//! Frames that break the protocol, made by hand from what crossed the device before.
//!
//! Knows the headers of PSD-005 §7.1 and no payload but a status.

use std::collections::BTreeMap;

use conformance::source_device::Breach;
use registry_model::input::SourceId;

/// Length of the header of a response.
const HEADER_LENGTH: usize = 14;
/// What makes an op code one of a response.
const RESPONSE_BIT: u16 = 0x8000;
/// RSI_STORAGE_ERROR.
const STORAGE_ERROR: u32 = 3;
/// Two operations, one of which any request is not.
const RSI_LOOKUP: u16 = 0x01;
const RSI_FLUSH: u16 = 0x40;
/// An id that no kernel comes to.
const UNKNOWN_ID: u64 = u64::MAX;

/// A request, as far as a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    id: u64,
    op_code: u16,
}

impl Asked {
    const UNKNOWN: Asked = Asked { id: UNKNOWN_ID, op_code: RSI_LOOKUP };

    /// The request that a frame is, or answers.
    pub fn of(frame: &[u8]) -> Option<Asked> {
        let id = u64::from_le_bytes(frame.get(4..12)?.try_into().ok()?);
        let op_code = u16::from_le_bytes(frame.get(12..14)?.try_into().ok()?) & !RESPONSE_BIT;
        Some(Asked { id, op_code })
    }
}

/// What has crossed the connection of a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// The last request that it has read.
    pub asked: Option<Asked>,
    /// The last one that it has answered.
    pub answered: Option<Asked>,
}

/// What has crossed the connection of each.
pub type TrafficOfAll = BTreeMap<SourceId, Traffic>;

/// A frame by which `source` breaks the protocol as `breach` says, or by an answer to an unknown request if there
/// is nothing to do that with. `asked` is the request that it should answer, `sound` the right answer.
pub fn frame(
    breach: Breach,
    source: SourceId,
    (asked, sound): (Option<Asked>, Option<Vec<u8>>),
    traffic: &TrafficOfAll,
) -> (Breach, Vec<u8>) {
    let own = traffic.get(&source).copied().unwrap_or_default();
    let sound = sound.unwrap_or_else(|| failure(asked.unwrap_or(Asked::UNKNOWN)));
    let made = match breach {
        Breach::SecondResponse => own.answered.map(failure),
        Breach::WrongOperation => asked.map(|asked| {
            let other = if asked.op_code == RSI_FLUSH { RSI_LOOKUP } else { RSI_FLUSH };
            with_op_code(sound, other)
        }),
        Breach::OtherConnection => {
            let others = traffic.iter().filter(|(other, _)| **other != source);
            let asked = others.filter_map(|(_, traffic)| traffic.asked);
            // This one has never had such an id.
            let foreign = asked.filter(|asked| Some(asked.id) > own.asked.map(|own| own.id));
            foreign.max_by_key(|asked| asked.id).map(failure)
        }
        Breach::UnknownRequest => None,
        Breach::Truncated => Some(sound[..sound.len() - 1].to_vec()),
        Breach::Overlong => Some([&sound[..], &[0]].concat()),
        Breach::Headless => Some(sound[..HEADER_LENGTH - 1].to_vec()),
        Breach::EndsEarly => Some(with_length(sound[..HEADER_LENGTH + 2].to_vec())),
    };
    match made {
        Some(frame) => (breach, frame),
        None => (Breach::UnknownRequest, failure(Asked::UNKNOWN)),
    }
}

/// The answer RSI_STORAGE_ERROR to a request.
fn failure(asked: Asked) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend(asked.id.to_le_bytes());
    frame.extend((asked.op_code | RESPONSE_BIT).to_le_bytes());
    frame.extend(STORAGE_ERROR.to_le_bytes());
    with_length(frame)
}

fn with_op_code(mut frame: Vec<u8>, op_code: u16) -> Vec<u8> {
    frame[12..HEADER_LENGTH].copy_from_slice(&(op_code | RESPONSE_BIT).to_le_bytes());
    frame
}

fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { id: 7, op_code: RSI_FLUSH };
    const SOURCE: SourceId = SourceId(0);

    fn made(breach: Breach, traffic: &TrafficOfAll) -> (Breach, Vec<u8>) {
        frame(breach, SOURCE, (Some(ASKED), None), traffic)
    }

    fn crossed(id: u64) -> Traffic {
        Traffic { asked: Some(Asked { id, ..ASKED }), answered: None }
    }

    #[test]
    fn a_frame_is_spoilt_where_its_breach_says() {
        let frame = |breach| made(breach, &TrafficOfAll::new()).1;
        assert_eq!(Asked::of(&failure(ASKED)), Some(ASKED));
        assert_eq!(frame(Breach::Truncated), failure(ASKED)[..17]);
        assert_eq!(frame(Breach::Overlong).len(), 19);
        assert_eq!(frame(Breach::Headless).len(), 13);
        assert_eq!(frame(Breach::EndsEarly)[..4], [16, 0, 0, 0]);
        let other = Asked { op_code: RSI_LOOKUP, ..ASKED };
        assert_eq!(Asked::of(&frame(Breach::WrongOperation)), Some(other));
    }

    #[test]
    fn a_request_of_another_connection_is_none_of_this_one() {
        let traffic = TrafficOfAll::from([(SOURCE, crossed(7)), (SourceId(1), crossed(9))]);
        let (breach, bytes) = made(Breach::OtherConnection, &traffic);
        let other = Asked { id: 9, ..ASKED };
        assert_eq!((breach, Asked::of(&bytes)), (Breach::OtherConnection, Some(other)));
        let traffic = TrafficOfAll::from([(SOURCE, crossed(7)), (SourceId(1), crossed(7))]);
        assert_eq!(made(Breach::OtherConnection, &traffic).0, Breach::UnknownRequest);
    }

    #[test]
    fn without_an_answer_before_there_is_no_second_one() {
        let (breach, bytes) = made(Breach::SecondResponse, &TrafficOfAll::new());
        assert_eq!((breach, Asked::of(&bytes)), (Breach::UnknownRequest, Some(Asked::UNKNOWN)));
    }
}
