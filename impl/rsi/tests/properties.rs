//! Laws of the codec: what is written is read, and no bytes whatever bring it down.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use rsi::{
    BlanketEntry, Guid, KeyMetadata, Operation, PathEntry, Request, RequestFrame, RequestId,
    Response, ResponseFrame, Status, TransactionId, ValueEntry, decode_request, decode_response,
    encode_request, encode_response,
};

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

fn guid() -> impl Strategy<Value = Guid> {
    any::<[u8; 16]>().prop_map(Guid)
}

/// Few keys, so that entries share them; never the null one.
fn target() -> impl Strategy<Value = Guid> {
    (1..6_u8).prop_map(|byte| Guid([byte; 16]))
}

fn path_request() -> impl Strategy<Value = Request> {
    let parts = (guid(), text(), text(), guid(), any::<u64>());
    (0..5_u8, parts).prop_map(|(kind, (parent, child_name, layer, child, sequence))| match kind {
        0 => Request::Lookup { parent, child_name },
        1 => Request::CreateEntry { parent, child_name, layer, child, sequence },
        2 => Request::HideEntry { parent, child_name, layer, sequence },
        3 => Request::DeleteEntry { parent, child_name, layer },
        _ => Request::EnumChildren { parent },
    })
}

fn key_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (guid(), text(), guid(), text(), any::<bool>(), any::<bool>()).prop_map(
            |(guid, name, parent, sd, volatile_key, symlink)| Request::CreateKey {
                guid,
                name,
                parent,
                sd,
                volatile_key,
                symlink
            }
        ),
        guid().prop_map(|guid| Request::ReadKey { guid }),
        guid().prop_map(|guid| Request::DropKey { guid }),
        (guid(), proptest::option::of(text()), any::<Option<u64>>(), any::<u32>()).prop_map(
            |(guid, sd, last_write_time, fields)| Request::WriteKey {
                guid,
                sd,
                last_write_time,
                undefined_fields: fields & !3
            }
        ),
    ]
}

fn value_request() -> impl Strategy<Value = Request> {
    let parts = (guid(), text(), text(), any::<u32>(), text(), any::<[u64; 2]>(), any::<bool>());
    (0..4_u8, parts).prop_map(
        |(kind, (guid, value_name, layer, value_type, data, [sequence, expected], flag))| match kind
        {
            0 => Request::QueryValues { guid, value_name, query_all: flag },
            1 => Request::SetValue {
                guid,
                value_name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence: expected,
            },
            2 => Request::DeleteValueEntry { guid, value_name, layer },
            _ => Request::SetBlanketTombstone { guid, layer, set: flag, sequence },
        },
    )
}

fn other_request() -> impl Strategy<Value = Request> {
    (0..5_u8, any::<u64>(), any::<u32>(), text()).prop_map(|(kind, transaction, mode, name)| {
        match kind {
            0 => Request::BeginTransaction { transaction, mode },
            1 => Request::CommitTransaction { transaction },
            2 => Request::AbortTransaction { transaction },
            3 => Request::DeleteLayer { layer: name },
            _ => Request::Flush { hive_name: name },
        }
    })
}

fn request() -> impl Strategy<Value = RequestFrame> {
    let request = prop_oneof![path_request(), key_request(), value_request(), other_request()];
    (any::<u64>(), any::<u64>(), request).prop_map(|(id, transaction, request)| RequestFrame {
        id: RequestId(id),
        transaction: (transaction != 0).then_some(TransactionId(transaction)),
        request,
    })
}

fn path_entries() -> impl Strategy<Value = Vec<PathEntry>> {
    let entry = (text(), proptest::option::of(target()), any::<u64>())
        .prop_map(|(layer, target, sequence)| PathEntry { layer, target, sequence });
    vec(entry, 0..4)
}

fn metadata_of<'a>(
    entries: impl Iterator<Item = &'a PathEntry>,
    sd: &[u8],
    last_write_time: u64,
) -> Vec<KeyMetadata> {
    let keys: BTreeSet<Guid> = entries.filter_map(|entry| entry.target).collect();
    keys.into_iter()
        .map(|guid| KeyMetadata {
            guid,
            sd: sd.to_vec(),
            volatile_key: guid.0[0] == 1,
            symlink: guid.0[0] == 2,
            last_write_time,
        })
        .collect()
}

fn answer() -> impl Strategy<Value = (Operation, Response)> {
    let lookup = (path_entries(), text(), any::<u64>()).prop_map(|(entries, sd, time)| {
        let metadata = metadata_of(entries.iter(), &sd, time);
        (Operation::Lookup, Response::Lookup { entries, metadata })
    });
    let children = (vec((text(), path_entries()), 0..4), text(), any::<u64>()).prop_map(
        |(children, sd, time)| {
            let entries = children.iter().flat_map(|(_, entries)| entries);
            let metadata = metadata_of(entries, &sd, time);
            (Operation::EnumChildren, Response::EnumChildren { children, metadata })
        },
    );
    let key = (text(), guid(), text(), any::<[bool; 2]>(), any::<u64>()).prop_map(
        |(name, parent, sd, [volatile_key, symlink], last_write_time)| {
            let read =
                Response::ReadKey { name, parent, sd, volatile_key, symlink, last_write_time };
            (Operation::ReadKey, read)
        },
    );
    let orphans = vec(guid(), 0..4)
        .prop_map(|orphaned| (Operation::DeleteLayer, Response::DeleteLayer { orphaned }));
    let failed = (0..Operation::ALL.len(), 0..Status::ALL.len()).prop_map(|(operation, status)| {
        (Operation::ALL[operation], Response::Failed(Status::ALL[status]))
    });
    let done = Just((Operation::SetValue, Response::Done));
    prop_oneof![lookup, children, key, values(), orphans, failed, done]
}

fn values() -> impl Strategy<Value = (Operation, Response)> {
    let entry = (text(), text(), any::<u32>(), text(), any::<u64>()).prop_map(
        |(name, layer, value_type, data, sequence)| ValueEntry {
            name,
            layer,
            value_type,
            data,
            sequence,
        },
    );
    let blanket =
        (text(), any::<u64>()).prop_map(|(layer, sequence)| BlanketEntry { layer, sequence });
    (vec(entry, 0..4), vec(blanket, 0..4)).prop_map(|(entries, blankets)| {
        (Operation::QueryValues, Response::QueryValues { entries, blankets })
    })
}

proptest! {
    #[test]
    fn a_request_survives_the_wire(frame in request()) {
        prop_assert_eq!(decode_request(&encode_request(&frame)), Ok(frame));
    }

    #[test]
    fn a_response_survives_the_wire((operation, response) in answer(), id: u64) {
        let frame = ResponseFrame { id: RequestId(id), operation, response };
        prop_assert_eq!(decode_response(&encode_response(&frame), operation), Ok(frame));
    }

    #[test]
    fn a_decoded_message_is_written_as_it_was(
        (operation, response) in answer(),
        place: prop::sample::Index,
        byte: u8,
    ) {
        let frame = ResponseFrame { id: RequestId(1), operation, response };
        let mut bytes = encode_response(&frame);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(decoded) = decode_response(&bytes, operation) {
            prop_assert_eq!(encode_response(&decoded), bytes);
        }
    }

    #[test]
    fn no_bytes_bring_the_codec_down(mut bytes in vec(any::<u8>(), 0..200), sealed: bool) {
        if sealed && bytes.len() >= 14 {
            bytes[0] = u8::try_from(bytes.len()).unwrap_or(0);
            bytes[1..4].fill(0);
            bytes[13] = 0;
            bytes[12] &= 0x53;
            let _ = decode_request(&bytes);
            bytes[13] = 0x80;
        }
        for operation in Operation::ALL {
            let _ = decode_response(&bytes, operation);
        }
    }
}
