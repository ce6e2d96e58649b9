//! The harness and the model lay calls out alike, though neither knows how the other does it.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use registry_model::Covered;
use registry_model::front_door::{Operation, Results, decode};
use registry_model::input::{Call, ProcessId};

use super::{Reply, encode};

fn bytes() -> impl Strategy<Value = Vec<u8>> + Clone {
    vec(any::<u8>(), 0..12)
}

fn opens() -> impl Strategy<Value = Call> {
    let open = (any::<i32>(), bytes(), any::<u32>(), any::<u32>());
    let create = (open.clone(), option::of(bytes()), any::<i32>());
    prop_oneof![
        open.prop_map(|(parent, path, desired_access, flags)| {
            Call::OpenKey { parent, path, desired_access, flags }
        }),
        create.prop_map(|((parent, path, desired_access, flags), layer, transaction)| {
            Call::CreateKey { parent, path, desired_access, flags, layer, transaction }
        }),
    ]
}

fn reads() -> impl Strategy<Value = Call> {
    let capacity = || 0u32..40;
    let common = (any::<i32>(), any::<i32>(), capacity(), capacity());
    prop_oneof![
        (common.clone(), bytes()).prop_map(
            |((fd, transaction, data_capacity, layer_capacity), name)| Call::QueryValue {
                fd,
                name,
                transaction,
                data_capacity,
                layer_capacity
            }
        ),
        (common.clone(), any::<u32>()).prop_map(
            |((fd, transaction, name_capacity, data_capacity), index)| Call::EnumValues {
                fd,
                index,
                name_capacity,
                data_capacity,
                transaction
            }
        ),
        (common.clone(), any::<u32>()).prop_map(|((fd, transaction, name_capacity, _), index)| {
            Call::EnumSubkeys { fd, index, name_capacity, transaction }
        }),
        common.clone().prop_map(|(fd, transaction, capacity, _)| Call::QueryValuesBatch {
            fd,
            capacity,
            transaction
        }),
        common.prop_map(|(fd, _, name_capacity, _)| Call::QueryKeyInfo { fd, name_capacity }),
    ]
}

fn mutations() -> impl Strategy<Value = Call> {
    let common = (any::<i32>(), any::<i32>(), bytes());
    prop_oneof![
        (common.clone(), bytes(), bytes(), any::<u32>(), any::<u64>()).prop_map(
            |((fd, transaction, layer), name, data, value_type, expected_sequence)| {
                Call::SetValue { fd, name, value_type, data, layer, transaction, expected_sequence }
            }
        ),
        (common.clone(), bytes()).prop_map(|((fd, transaction, layer), name)| {
            Call::DeleteValue { fd, name, layer, transaction }
        }),
        (common.clone(), any::<u8>()).prop_map(|((fd, transaction, layer), set)| {
            Call::BlanketTombstone { fd, layer, set, transaction }
        }),
        common.clone().prop_map(|(fd, transaction, layer)| Call::DeleteKey {
            fd,
            layer,
            transaction
        }),
        common.prop_map(|(fd, transaction, layer)| Call::HideKey { fd, layer, transaction }),
        any::<(i32, i32)>().prop_map(|(fd, output)| Call::Backup { fd, output }),
        any::<(i32, i32)>().prop_map(|(fd, input)| Call::Restore { fd, input }),
        any::<i32>().prop_map(|fd| Call::TakeStream { fd }),
        any::<i32>().prop_map(|fd| Call::Flush { fd }),
        any::<i32>().prop_map(|fd| Call::Close { fd }),
    ]
}

fn security() -> impl Strategy<Value = Call> {
    let common = (any::<i32>(), any::<u32>());
    prop_oneof![
        (common, 0u32..40).prop_map(|((fd, security_info), capacity)| {
            Call::GetSecurity { fd, security_info, capacity }
        }),
        (common, bytes(), any::<i32>()).prop_map(
            |((fd, security_info), descriptor, transaction)| Call::SetSecurity {
                fd,
                security_info,
                descriptor,
                transaction
            }
        ),
        common.prop_map(|(fd, to)| Call::Pass { fd, to: ProcessId(to) }),
    ]
}

fn watches_and_transactions() -> impl Strategy<Value = Call> {
    let fd = any::<i32>;
    prop_oneof![
        (fd(), any::<u32>(), 0u8..2).prop_map(|(fd, filter, subtree)| Call::Notify {
            fd,
            filter,
            subtree
        }),
        (fd(), 0u32..40).prop_map(|(fd, capacity)| Call::ReadEvents { fd, capacity }),
        fd().prop_map(|fd| Call::Poll { fd }),
        Just(Call::BeginTransaction),
        fd().prop_map(|fd| Call::Commit { fd }),
        fd().prop_map(|fd| Call::TransactionStatus { fd }),
    ]
}

proptest! {
    #[test]
    fn the_model_reads_what_the_harness_lays_out(
        call in
            prop_oneof![opens(), reads(), mutations(), security(), watches_and_transactions()],
    ) {
        let encoded = encode(&call);
        let decoded = decode(&encoded.call, &encoded.memory, &mut Covered::new());
        let decoded = decoded.expect("a well-formed call");
        prop_assert_eq!(decoded.operation, Operation::from(&call));
        prop_assert_eq!(decoded.results, Results::Writable);
    }

    #[test]
    fn a_reply_is_found_in_the_bytes_of_its_call(
        call in
            prop_oneof![opens(), reads(), mutations(), security(), watches_and_transactions()],
    ) {
        let encoded = encode(&call);
        prop_assert_eq!(Reply::of(&encoded.call, &encoded.memory), encoded.reply);
    }
}
