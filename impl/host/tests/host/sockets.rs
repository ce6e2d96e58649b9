//! The socket where sources register, met by peers that do it right, wrong, or not at all.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use abi::Errno;
use abi::source_stream::{StreamHive, registration_message};
use host::{Listener, ThreadEnv};
use lcs::security::Token;

use crate::support::Machine;

/// A listener with nobody connected yet.
struct Setup {
    machine: Machine,
    listener: Listener,
    directory: tempfile::TempDir,
}

impl Setup {
    fn new() -> Setup {
        Setup::as_token(Token::system())
    }

    fn as_token(token: Token) -> Setup {
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine::new(&ThreadEnv::new(2).unwrap());
        let path = directory.path().join("registry");
        let listener = Listener::bind(&machine.lcs, &Arc::new(token), &path).unwrap();
        Setup { machine, listener, directory }
    }

    /// Sends these bytes and nothing more; what comes back until the other side closes.
    fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.listener.path()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

fn message() -> Vec<u8> {
    let hive = StreamHive { name: b"Machine", root_guid: [1; 16], flags: 0, scope_guid: [0; 16] };
    registration_message(&[hive], 0)
}

fn number(errno: Errno) -> Vec<u8> {
    (errno as i32).to_le_bytes().to_vec()
}

#[test]
fn a_message_that_is_none_is_not_answered() {
    let setup = Setup::new();
    for bytes in [&b""[..], b"\x03\0\0\0", b"\xFF\xFF\xFF\xFF", &message()[..50]] {
        assert_eq!(setup.send(bytes), b"", "{bytes:?}");
    }
}

#[test]
fn a_registration_is_answered_with_the_error_number_of_the_ioctl() {
    let setup = Setup::new();
    let mut reserved = message();
    reserved[4] = 1;
    assert_eq!(setup.send(&reserved), number(Errno::EINVAL));
    let mut astray = message();
    astray[24] = 200;
    assert_eq!(setup.send(&astray), number(Errno::EFAULT));
    assert_eq!(setup.send(&registration_message(&[], 0)), number(Errno::EINVAL));
}

#[test]
fn a_peer_without_the_privilege_is_told_so() {
    let mut token = Token::system();
    token.privileges = Default::default();
    assert_eq!(Setup::as_token(token).send(&message()), number(Errno::EPERM));
}

#[test]
fn a_frame_of_an_impossible_length_ends_the_source() {
    let setup = Setup::new();
    let mut stream = UnixStream::connect(setup.listener.path()).unwrap();
    stream.write_all(&message()).unwrap();
    let mut answer = [7; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0; 4]);
    stream.write_all(&5_u32.to_le_bytes()).unwrap();
    // Requests for the layers may have been sent meanwhile.
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(setup.machine.caller().create("Machine\\A"), Errno::EIO.returned());
}

#[test]
fn the_end_of_the_listener_is_the_end_of_its_sources() {
    let Setup { machine, listener, directory } = Setup::new();
    let path = listener.path().to_owned();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(&message()).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    drop(listener);
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert!(directory.path().exists() && !path.exists());
    assert_eq!(machine.caller().create("Machine\\A"), Errno::EIO.returned());
}

#[test]
fn a_listener_ends_though_its_file_has_gone() {
    let Setup { listener, directory, .. } = Setup::new();
    directory.close().unwrap();
    drop(listener);
}

#[test]
fn a_hive_that_is_served_already_is_refused() {
    let setup = Setup::new();
    let mut stream = UnixStream::connect(setup.listener.path()).unwrap();
    stream.write_all(&message()).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(setup.send(&message()), number(Errno::EEXIST));
}
