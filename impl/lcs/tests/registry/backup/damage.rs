//! Streams that were cut or altered on their way: none leaves a trace.

use abi::Errno;

use super::pipe::Pipe;
use super::writing::prepared;

#[test]
fn a_stream_that_ends_early_changes_nothing() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    client.set(fd, "later", 1, "").unwrap();
    let before = machine.source.store().dump();
    for length in 0..stream.len() {
        assert_eq!(client.restore(fd, &stream[..length]), Err(Errno::EINVAL), "{length} bytes");
        let store = machine.source.store();
        assert!(store.transactions.is_empty() && store.committed.is_empty(), "{length} bytes");
    }
    assert_eq!(machine.source.store().dump(), before);
}

#[test]
fn a_stream_with_a_bit_that_is_not_its_own_changes_nothing() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    client.set(fd, "later", 1, "").unwrap();
    let before = machine.source.store().dump();
    for at in 0..stream.len() {
        let mut damaged = stream.clone();
        damaged[at] ^= 1 << (at % 8);
        let restored = client.restore(fd, &damaged);
        // A number may be too high before the checksum tells that it is not what was written.
        let refused = [Err(Errno::EINVAL), Err(Errno::EOVERFLOW)];
        assert!(refused.contains(&restored), "byte {at}: {restored:?}");
        let store = machine.source.store();
        assert!(store.transactions.is_empty() && store.committed.is_empty(), "byte {at}");
    }
    assert_eq!(machine.source.store().dump(), before);
    client.restore(fd, &stream).unwrap();
}

#[test]
fn a_stream_that_breaks_fails_with_its_own_error() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let before = machine.source.store().dump();
    let pipe = Pipe::with_available(&stream, stream.len() - 10);
    pipe.break_with(Errno::EPERM);
    let input = client.stream(&pipe);
    assert_eq!(client.restore_from(fd, input), Err(Errno::EPERM));
    assert_eq!(machine.source.store().dump(), before);
}

#[test]
fn the_end_of_the_stream_is_waited_for_before_the_commit() {
    let (machine, client, fd) = prepared();
    let stream = client.backup(fd).unwrap();
    let longer = [&stream[..], &[0]].concat();
    let pipe = Pipe::with_available(&longer, stream.len());
    let restore = client.start_restore(fd, &pipe);
    assert!(restore.borrow().is_none());
    pipe.open();
    machine.world.run_until_stalled();
    assert_eq!(*restore.borrow(), Some(Err(Errno::EINVAL)));
    assert!(machine.source.store().committed.is_empty());
}
