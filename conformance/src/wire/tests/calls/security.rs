//! Calls on security descriptors, and passed fds.

use super::*;

fn get_security(security_info: u32) -> Call {
    Call::GetSecurity { fd: NAME, security_info, capacity: 64 }
}

fn set_security(security_info: u32) -> Call {
    let descriptor = security_descriptor();
    Call::SetSecurity { fd: NAME, security_info, descriptor, transaction: -1 }
}

fn write_security(key: [u8; 16]) -> Payload {
    payload().guid(key).u32(3).bytes(security_descriptor()).u64(7)
}

#[test]
fn a_changed_descriptor_is_sent_once_and_to_the_key_of_the_fd() {
    let sends = |keys: &'static [[u8; 16]]| {
        move |wire: &mut Wire| keys.iter().for_each(|key| wire.done(0x12, write_security(*key)))
    };
    assert_eq!(judged(&set_security(4), &DONE, sends(&[NEW])), Ok(()));
    assert_eq!(judged(&set_security(4), &DONE, sends(&[])), Err(Rule::SecuritySent));
    assert_eq!(judged(&set_security(4), &DONE, sends(&[NEW, NEW])), Err(Rule::SecuritySent));
    let time_alone = |wire: &mut Wire| wire.done(0x12, write_time(NEW));
    assert_eq!(judged(&set_security(4), &DONE, time_alone), Err(Rule::SecuritySent));
    let mut wire = with_fds();
    wire.judge(&get_security(4), &DONE, |wire| wire.done(0x12, write_time(NEW))).unwrap_err();
    let other = wire.judge(&set_security(4), &DONE, sends(&[ROOT]));
    assert_eq!(other, Err(Rule::KeyByGuid));
}

#[test]
fn a_refused_call_on_a_descriptor_sends_nothing() {
    let asks = |wire: &mut Wire| wire.ask(NEW, "v", 0);
    let cases = [
        (get_security(0), Errno::EINVAL, Rule::ReadInfoBeforeSource),
        (set_security(0x10), Errno::EINVAL, Rule::ChangeInfoBeforeSource),
        (get_security(4), Errno::EACCES, Rule::RightBeforeSource),
        (get_security(9), Errno::EACCES, Rule::ReadRightsBeforeSource),
        (set_security(5), Errno::EACCES, Rule::ChangeRightsBeforeSource),
        (set_security(8), Errno::EACCES, Rule::RightBeforeSource),
    ];
    for (call, errno, rule) in cases {
        assert_eq!(refused(&call, errno, |_| ()), Ok(()));
        assert_eq!(refused(&call, errno, asks), Err(rule));
    }
}

#[test]
fn a_descriptor_is_read_from_the_record_of_its_key() {
    let answer = Observation::Security(security_descriptor());
    let asks = |wire: &mut Wire| wire.ask(NEW, "v", 0);
    assert_eq!(judged(&get_security(4), &answer, |_| ()), Ok(()));
    assert_eq!(judged(&get_security(4), &answer, asks), Err(Rule::SecurityOfKey));
}

#[test]
fn a_passed_fd_stands_for_the_same_key() {
    const FRIEND: ProcessId = ProcessId(2);
    let mut wire = with_fds();
    let pass = Call::Pass { fd: NAME, to: FRIEND };
    let passed = Observation::Passed { fd: 9 };
    assert_eq!(
        refused(&pass, Errno::EBADF, |wire| wire.ask(NEW, "v", 0)),
        Err(Rule::PassedSilently)
    );
    wire.judge(&pass, &passed, |_| ()).unwrap();
    let close = Call::Close { fd: NAME };
    wire.judge(&close, &DONE, |_| ()).unwrap();
    let delete = Call::DeleteKey { fd: 9, layer: Vec::new(), transaction: -1 };
    wire.monitor.call_began();
    let judged = wire.monitor.call_ended(FRIEND, &delete, &DONE, false);
    assert_eq!(judged.map_err(|violation| violation.rule), Err(Rule::DeletionSent));
}
