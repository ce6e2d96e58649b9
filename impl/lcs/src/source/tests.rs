//! A connection between test callers and a test source, on a clock moved by hand.

mod world;

use abi::Errno;
use rsi::{
    BlanketEntry, Guid, KeyMetadata, Operation, PathEntry, PayloadError, Request, RequestId,
    Response, Status, TransactionId, ValueEntry,
};

use self::world::{World, flush, lookup};
use super::connection::ProtocolError;
use super::{Device, DownReason, Malformed, RequestError, status_errno};

const DONE: Result<Response, RequestError> = Ok(Response::Done);
const DOWN: Result<Response, RequestError> = Err(RequestError::Down);
const TIMED_OUT: Result<Response, RequestError> = Err(RequestError::TimedOut { dispatched: true });
const NO_SLOT: Result<Response, RequestError> = Err(RequestError::TimedOut { dispatched: false });

fn protocol_error(world: &World) -> Option<ProtocolError> {
    match world.connection.down_reason() {
        Some(DownReason::Protocol(error)) => Some(error),
        _ => None,
    }
}

mod answering {
    use super::*;

    #[test]
    fn a_response_reaches_its_caller() {
        let mut world = World::new(8);
        let call = world.call(100, flush());
        let request = world.read();
        assert_eq!((request.id, &request.request), (RequestId(1), &flush()));
        assert_eq!(world.answer(request.id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.outcome(&call), Some(DONE));
        assert_eq!(world.connection.in_flight_count(), 0);
    }

    #[test]
    fn a_failed_status_is_a_response_and_keeps_the_connection() {
        let mut world = World::new(8);
        let call = world.call(100, flush());
        let failed = Response::Failed(Status::StorageError);
        let id = world.read().id;
        assert_eq!(world.answer(id, Operation::Flush, failed.clone()), Ok(()));
        assert_eq!(world.outcome(&call), Some(Ok(failed)));
        assert_eq!(world.connection.down_reason(), None);
    }

    #[test]
    fn a_withheld_response_holds_up_nobody_else() {
        let mut world = World::new(8);
        let slow = world.call(100, flush());
        let quick = world.call(100, flush());
        let (_, second) = (world.read(), world.read());
        assert_eq!(world.answer(second.id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!((world.outcome(&slow), world.outcome(&quick)), (None, Some(DONE)));
    }

    #[test]
    fn responses_out_of_order_reach_their_own_callers() {
        let mut world = World::new(8);
        let calls = [world.call(100, flush()), world.call(100, lookup())];
        let ids = [world.read().id, world.read().id];
        let empty = Response::Lookup { entries: vec![], metadata: vec![] };
        assert_eq!(world.answer(ids[1], Operation::Lookup, empty.clone()), Ok(()));
        assert_eq!(world.answer(ids[0], Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.outcome(&calls[0]), Some(DONE));
        assert_eq!(world.outcome(&calls[1]), Some(Ok(empty)));
    }

    #[test]
    fn the_header_carries_the_transaction() {
        let mut world = World::new(8);
        world.connection.send(Some(TransactionId(7)), flush(), None);
        assert_eq!(world.read().transaction, Some(TransactionId(7)));
    }

    #[test]
    fn statuses_have_the_published_error_numbers() {
        let errnos = Status::ALL.map(|status| status_errno(status) as i32);
        assert_eq!(errnos, [2, 17, 5, 39, 28, 16, 22, 11, 95]);
    }
}

mod reading {
    use super::*;

    #[test]
    fn a_blocking_read_waits_for_a_request() {
        let mut world = World::new(8);
        let read = world.start_read();
        assert_eq!(world.outcome(&read), None);
        world.call(100, flush());
        assert!(matches!(world.outcome(&read), Some(Ok(_))));
    }

    #[test]
    fn an_abandoned_read_takes_no_request() {
        let mut world = World::new(8);
        let read = world.start_read();
        world.run();
        world.abandon(read);
        world.call(100, flush());
        assert_eq!(world.read().id, RequestId(1));
    }

    #[test]
    fn without_a_request_a_non_blocking_read_is_eagain() {
        assert_eq!(World::new(8).device().try_read(), Err(Errno::EAGAIN));
    }

    #[test]
    fn too_small_a_buffer_is_emsgsize_and_keeps_the_request() {
        let mut world = World::new(8);
        world.call(100, flush());
        let length = 22 + 4 + 7;
        let device = world.device();
        assert_eq!(device.try_read_with_capacity(length - 1), Err(Errno::EMSGSIZE));
        assert_eq!(device.try_read_with_capacity(length).map(|frame| frame.len()), Ok(length));
    }

    #[test]
    fn closing_ends_a_waiting_read() {
        let mut world = World::new(8);
        let read = world.start_read();
        world.run();
        world.device().close();
        assert_eq!(world.outcome(&read), Some(Err(Errno::EIO)));
    }

    #[test]
    fn readiness_follows_the_queue_and_the_connection() {
        let mut world = World::new(8);
        assert!(!world.device().readiness().readable && world.device().readiness().writable);
        world.call(100, flush());
        assert!(world.device().readiness().readable);
        world.device().close();
        let readiness = world.device().readiness();
        assert!(readiness.hung_up && !readiness.readable && !readiness.writable);
    }

    #[test]
    fn an_unregistered_device_does_nothing_and_registers_once() {
        let world = World::new(8);
        let device = Device::new();
        assert_eq!(device.try_read(), Err(Errno::EINVAL));
        assert_eq!(device.write(&[]), Err(Errno::EINVAL));
        assert_eq!(device.attach(world.connection.clone()), Ok(()));
        assert_eq!(device.attach(world.connection.clone()), Err(Errno::EINVAL));
    }
}

mod deadlines {
    use super::*;

    #[test]
    fn a_sent_request_times_out_at_its_deadline_and_stays_in_flight() {
        let mut world = World::new(8);
        let call = world.call(100, flush());
        world.advance_to(99);
        assert_eq!(world.outcome(&call), None);
        world.advance_to(100);
        assert_eq!(world.outcome(&call), Some(TIMED_OUT));
        assert_eq!(world.connection.in_flight_count(), 1);
        assert_eq!(world.connection.down_reason(), None);
        assert_eq!(world.read().id, RequestId(1));
    }

    #[test]
    fn a_caller_without_a_slot_times_out_and_sends_nothing() {
        let mut world = World::new(1);
        world.call(1000, flush());
        let call = world.call(100, lookup());
        world.advance_to(100);
        assert_eq!(world.outcome(&call), Some(NO_SLOT));
        let id = world.read().id;
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.device().try_read(), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_slot_that_frees_at_the_deadline_sends_nothing() {
        let mut world = World::new(1);
        world.call(1000, flush());
        let call = world.call(100, lookup());
        let id = world.read().id;
        world.set_clock(100);
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.device().try_read(), Err(Errno::EAGAIN));
        assert_eq!(world.outcome(&call), Some(NO_SLOT));
    }

    #[test]
    fn a_deadline_in_the_past_sends_nothing() {
        let mut world = World::new(1);
        world.set_clock(100);
        let call = world.call(100, flush());
        assert_eq!(world.outcome(&call), Some(NO_SLOT));
        assert_eq!(world.connection.in_flight_count(), 0);
    }

    #[test]
    fn a_late_response_releases_its_record_and_runs_its_effect() {
        let mut world = World::new(8);
        let call = world.call_with_effect(100, flush());
        let id = world.read().id;
        world.advance_to(100);
        assert_eq!(world.outcome(&call), Some(TIMED_OUT));
        assert_eq!(world.late_responses(), []);
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.late_responses(), [Response::Done]);
        assert_eq!(world.connection.in_flight_count(), 0);
    }

    #[test]
    fn a_response_in_time_runs_no_late_effect() {
        let mut world = World::new(8);
        let call = world.call_with_effect(100, flush());
        let id = world.read().id;
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.outcome(&call), Some(DONE));
        assert_eq!(world.late_responses(), []);
    }

    #[test]
    fn a_malformed_late_response_runs_no_effect_and_is_reported() {
        let mut world = World::new(8);
        world.call_with_effect(100, flush());
        let id = world.read().id;
        world.advance_to(100);
        let mut frame = World::frame(id, Operation::Flush, Response::Done);
        frame.push(0);
        frame[0] += 1;
        assert_eq!(world.device().write(&frame), Ok(()));
        assert_eq!((world.late_responses(), world.reports().len()), (vec![], 1));
    }

    #[test]
    fn a_late_begin_is_followed_by_an_abort() {
        let mut world = World::new(8);
        let begin = Request::BeginTransaction { transaction: 9, mode: 0 };
        world.call(100, begin);
        let id = world.read().id;
        world.advance_to(100);
        assert_eq!(world.answer(id, Operation::BeginTransaction, Response::Done), Ok(()));
        let abort = world.read();
        assert_eq!(abort.transaction, Some(TransactionId(9)));
        assert_eq!(abort.request, Request::AbortTransaction { transaction: 9 });
    }
}

mod abandoned {
    use super::*;

    #[test]
    fn a_waiting_caller_that_goes_leaves_nothing() {
        let mut world = World::new(1);
        world.call(1000, flush());
        let call = world.call(1000, lookup());
        world.run();
        world.abandon(call);
        let id = world.read().id;
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.connection.in_flight_count(), 0);
    }

    #[test]
    fn a_caller_that_goes_after_dispatch_leaves_its_record_and_effect() {
        let mut world = World::new(8);
        let call = world.call_with_effect(100, flush());
        let id = world.read().id;
        world.abandon(call);
        assert_eq!(world.connection.in_flight_count(), 1);
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.late_responses(), [Response::Done]);
    }

    #[test]
    fn a_response_that_nobody_looked_at_runs_its_effect() {
        let mut world = World::new(8);
        let call = world.call_with_effect(100, flush());
        let id = world.read().id;
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.late_responses(), []);
        world.abandon(call);
        assert_eq!(world.late_responses(), [Response::Done]);
    }
}

mod slots {
    use super::*;

    #[test]
    fn requests_above_the_limit_wait_in_order() {
        let mut world = World::new(2);
        let _calls = [0, 1, 2, 3].map(|_| world.call(100, flush()));
        let first = world.read().id;
        assert_eq!(world.read().id, RequestId(2));
        assert_eq!(world.device().try_read(), Err(Errno::EAGAIN));
        assert_eq!(world.answer(first, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.read().id, RequestId(3));
        assert_eq!(world.device().try_read(), Err(Errno::EAGAIN));
    }

    #[test]
    fn timed_out_requests_keep_their_slots() {
        let mut world = World::new(1);
        world.call(100, flush());
        let id = world.read().id;
        world.advance_to(100);
        let next = world.call(200, flush());
        assert_eq!(world.device().try_read(), Err(Errno::EAGAIN));
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        let id = world.read().id;
        assert_eq!(id, RequestId(2));
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        assert_eq!(world.outcome(&next), Some(DONE));
    }

    #[test]
    fn a_raised_limit_lets_waiting_requests_go() {
        let mut world = World::new(1);
        let _calls = [world.call(100, flush()), world.call(100, flush())];
        world.run();
        assert_eq!(world.connection.in_flight_count(), 1);
        world.connection.set_in_flight_limit(2);
        assert_eq!(world.connection.in_flight_count(), 2);
    }
}

mod endings {
    use super::*;

    /// The connection ends with EINVAL for the writer and Down for two callers, one without a slot.
    fn breaks(write: impl FnOnce(&mut World) -> Result<(), Errno>) -> ProtocolError {
        let mut world = World::new(1);
        let calls = [world.call(100, flush()), world.call(100, lookup())];
        assert_eq!(write(&mut world), Err(Errno::EINVAL));
        assert_eq!(calls.map(|call| world.outcome(&call)), [Some(DOWN), Some(DOWN)]);
        assert_eq!(world.downs(), [world.connection.down_reason().expect("down")]);
        protocol_error(&world).expect("a protocol error")
    }

    #[test]
    fn an_unknown_id_is_refused() {
        let error = breaks(|world| {
            world.read();
            world.answer(RequestId(77), Operation::Flush, Response::Done)
        });
        assert_eq!(error, ProtocolError::UnknownRequest(RequestId(77)));
    }

    #[test]
    fn an_answer_to_an_unread_request_is_refused() {
        let error = breaks(|world| world.answer(RequestId(1), Operation::Flush, Response::Done));
        assert_eq!(error, ProtocolError::UnknownRequest(RequestId(1)));
    }

    #[test]
    fn another_operation_is_refused() {
        let error = breaks(|world| {
            let id = world.read().id;
            world.answer(id, Operation::DropKey, Response::Done)
        });
        assert!(matches!(error, ProtocolError::Frame(rsi::FrameError::WrongOperation { .. })));
    }

    #[test]
    fn short_long_and_truncated_frames_are_refused() {
        let whole = World::frame(RequestId(1), Operation::Flush, Response::Done);
        let short = whole[..13].to_vec();
        let long = [&whole[..], &[0]].concat();
        let truncated = [&[17], &whole[1..17]].concat();
        for frame in [short, long, truncated] {
            breaks(|world| {
                world.read();
                world.device().write(&frame)
            });
        }
    }

    #[test]
    fn a_second_response_is_refused() {
        let mut world = World::new(8);
        let call = world.call(100, flush());
        let id = world.read().id;
        assert_eq!(world.answer(id, Operation::Flush, Response::Done), Ok(()));
        let second = world.answer(id, Operation::Flush, Response::Done);
        assert_eq!(second, Err(Errno::EINVAL));
        assert_eq!(world.outcome(&call), Some(DONE));
        assert_eq!(protocol_error(&world), Some(ProtocolError::UnknownRequest(id)));
    }

    #[test]
    fn dropping_the_device_ends_the_connection_once() {
        let mut world = World::new(8);
        let call = world.call(100, flush());
        world.device().close();
        world.drop_device();
        assert_eq!(world.outcome(&call), Some(DOWN));
        assert_eq!(world.downs(), [DownReason::Disconnected]);
    }

    #[test]
    fn after_the_end_nothing_is_sent_read_or_taken() {
        let mut world = World::new(8);
        world.connection.take_down(DownReason::KernelDecision);
        let call = world.call(100, flush());
        assert_eq!(world.outcome(&call), Some(DOWN));
        assert_eq!(world.device().try_read(), Err(Errno::EIO));
        let answer = world.answer(RequestId(1), Operation::Flush, Response::Done);
        assert_eq!(answer, Err(Errno::EINVAL));
    }

    #[test]
    fn late_effects_do_not_run_at_the_end() {
        let mut world = World::new(8);
        world.call_with_effect(100, flush());
        world.advance_to(100);
        world.device().close();
        assert_eq!(world.late_responses(), []);
    }
}

mod content {
    use super::*;

    const GUID: Guid = Guid([3; 16]);

    /// The request fails as malformed, is reported, and leaves the connection alone.
    fn refused(request: Request, response: Response) -> Malformed {
        let mut world = World::new(8);
        let operation = request.operation();
        let call = world.call(100, request);
        let id = world.read().id;
        assert_eq!(world.answer(id, operation, response), Ok(()));
        assert_eq!(world.connection.down_reason(), None);
        let Some(Err(RequestError::Malformed(malformed))) = world.outcome(&call) else {
            panic!("not refused");
        };
        let reports = world.reports();
        assert_eq!(reports.len(), 1);
        assert_eq!((reports[0].id, reports[0].malformed), (id, malformed));
        malformed
    }

    fn found(layer: &str, sequence: u64, sd: &[u8]) -> Response {
        let layer = layer.as_bytes().to_vec();
        Response::Lookup {
            entries: vec![PathEntry { layer, target: Some(GUID), sequence }],
            metadata: vec![KeyMetadata {
                guid: GUID,
                sd: sd.to_vec(),
                volatile_key: false,
                symlink: false,
                last_write_time: 0,
            }],
        }
    }

    fn values(name: &str, value_type: u32, data: &[u8]) -> Response {
        let entry = ValueEntry {
            name: name.into(),
            layer: b"base".to_vec(),
            value_type,
            data: data.to_vec(),
            sequence: 1,
        };
        Response::QueryValues { entries: vec![entry], blankets: vec![] }
    }

    fn query(name: &str) -> Request {
        Request::QueryValues { guid: GUID, value_name: name.into(), query_all: false }
    }

    #[test]
    fn a_sequence_not_given_out_is_refused() {
        let sd = crate::security::default_base_layer_sd().to_bytes();
        let sequence = World::NEXT_SEQUENCE;
        assert_eq!(
            refused(lookup(), found("base", sequence, &sd)),
            Malformed::FutureSequence { sequence }
        );
        let blankets = vec![BlanketEntry { layer: b"base".to_vec(), sequence }];
        assert_eq!(
            refused(query("v"), Response::QueryValues { entries: vec![], blankets }),
            Malformed::FutureSequence { sequence }
        );
    }

    #[test]
    fn a_sequence_not_given_out_is_refused_in_any_layer_of_any_child_or_value() {
        let sequence = World::NEXT_SEQUENCE + 1;
        let future = Malformed::FutureSequence { sequence };
        let of =
            |layer: &str, target, sequence| PathEntry { layer: layer.into(), target, sequence };
        let children = vec![
            (b"a".to_vec(), vec![of("base", None, 1)]),
            (b"b".to_vec(), vec![of("base", None, 2), of("latent", None, sequence)]),
        ];
        let response = Response::EnumChildren { children, metadata: vec![] };
        assert_eq!(refused(Request::EnumChildren { parent: GUID }, response), future);
        let Response::QueryValues { mut entries, blankets } = values("v", 1, b"") else {
            panic!("values");
        };
        entries[0].sequence = sequence;
        entries[0].layer = b"latent".to_vec();
        assert_eq!(refused(query("v"), Response::QueryValues { entries, blankets }), future);
    }

    #[test]
    fn an_unusable_descriptor_is_refused() {
        assert!(matches!(
            refused(lookup(), found("base", 1, b"none")),
            Malformed::SecurityDescriptor { guid: GUID, .. }
        ));
    }

    #[test]
    fn a_reader_that_judges_descriptors_itself_gets_an_unusable_one_and_nothing_else_malformed() {
        let answer = |response: &Response| {
            let mut world = World::new(8);
            let call = world.call_leaving_descriptors(100, lookup());
            let id = world.read().id;
            assert_eq!(world.answer(id, Operation::Lookup, response.clone()), Ok(()));
            world.outcome(&call).expect("an answer")
        };
        let unusable = found("base", 1, b"none");
        assert_eq!(answer(&unusable), Ok(unusable));
        let sequence = World::NEXT_SEQUENCE;
        let future = Malformed::FutureSequence { sequence };
        let response = found("base", sequence, b"none");
        assert_eq!(answer(&response), Err(RequestError::Malformed(future)));
    }

    #[test]
    fn impossible_names_are_refused() {
        let sd = crate::security::default_base_layer_sd().to_bytes();
        for layer in ["", "a\\b", "a/b", "a\0", &"x".repeat(1025)] {
            assert_eq!(refused(lookup(), found(layer, 1, &sd)), Malformed::LayerName, "{layer:?}");
        }
        for name in [&b""[..], b"a/b", b"\xFF"] {
            let children = vec![(name.to_vec(), vec![])];
            let response = Response::EnumChildren { children, metadata: vec![] };
            let request = Request::EnumChildren { parent: GUID };
            assert_eq!(refused(request, response), Malformed::KeyName, "{name:?}");
        }
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(refused(query("v"), values("v", 12, b"")), Malformed::ValueType);
        assert_eq!(refused(query("v"), values("v", 0xFFFF, b"x")), Malformed::TombstoneData);
        assert_eq!(refused(query("v"), values("w", 1, b"")), Malformed::ValueName);
        assert_eq!(refused(query("v"), values("v\0", 1, b"")), Malformed::ValueName);
    }

    #[test]
    fn what_the_codec_refuses_is_reported_too() {
        let Response::Lookup { entries, .. } = found("base", 1, &[]) else {
            panic!("a lookup");
        };
        assert_eq!(
            refused(lookup(), Response::Lookup { entries, metadata: vec![] }),
            Malformed::Payload(PayloadError::MissingMetadata)
        );
    }

    #[test]
    fn proper_content_passes() {
        let sd = crate::security::default_base_layer_sd().to_bytes();
        let cases = [
            (lookup(), found("base", World::NEXT_SEQUENCE - 1, &sd)),
            (query("Name"), values("nAME", 11, b"12345678")),
            (query("a\\b"), values("a\\b", 0xFFFF, b"")),
        ];
        for (request, response) in cases {
            let mut world = World::new(8);
            let operation = request.operation();
            let call = world.call(100, request);
            let id = world.read().id;
            assert_eq!(world.answer(id, operation, response.clone()), Ok(()));
            assert_eq!(world.outcome(&call), Some(Ok(response)));
        }
    }
}
