//! Streams: the files, pipes and sockets of processes that backups are written to and restores read
//! from.
//!
//! They are not the registry's; the harness opens them and takes what was written to them. States of
//! PSD-005 §9.1 ("Design constraints") that a stream is read and written in one pass, with P-208 and P-213.

use std::fmt;
use std::sync::Arc;

use super::comparison::{Extent, compare};
use super::snapshot::Snapshot;
use super::stream::MAGIC;
use crate::coverage::covers;
use crate::errno::Errno;
use crate::input::{Fd, ProcessId, StreamAccess};
use crate::outcome::{Outcome, StreamFd};
use crate::state::State;
use crate::step::Work;

/// The identity of a stream, which all fds share that were passed or duplicated from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamId(pub(crate) u64);

/// A stream. It is there as long as some fd refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) access: StreamAccess,
    /// What can be read.
    pub(crate) contents: Arc<[u8]>,
    pub(crate) position: Position,
    /// What was written and has not been taken, the oldest first.
    pub(crate) written: Vec<Written>,
}

/// How much of a stream has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Start,
    /// Something, perhaps everything.
    Somewhere,
    End,
}

/// What a backup has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Whole(Arc<Snapshot>),
    /// Some beginning, perhaps nothing: it failed.
    Beginning(Arc<Snapshot>),
}

/// The bytes that were written to a stream, so far as they are determined.
#[derive(Clone, Debug)]
pub struct WrittenBytes {
    written: Vec<Written>,
    /// For an example.
    state: Box<State>,
}

impl WrittenBytes {
    /// What is known when these bytes were taken; `None` if they are not what was written.
    pub(crate) fn bind(&self, state: &State, bytes: &[u8]) -> Option<State> {
        hold(state, &self.written, bytes)
    }

    pub(crate) fn example(&self) -> Vec<u8> {
        let whole = self.written.iter().map(|written| match written {
            Written::Whole(snapshot) => snapshot.example(&self.state),
            Written::Beginning(_) => Vec::new(),
        });
        whole.flatten().collect()
    }
}

/// Holds bytes against backups that were written one after another.
fn hold(state: &State, written: &[Written], bytes: &[u8]) -> Option<State> {
    let Some((first, others)) = written.split_first() else {
        return bytes.is_empty().then(|| state.clone());
    };
    match first {
        Written::Whole(snapshot) => {
            let (state, length) = compare(state, snapshot, bytes, Extent::Whole)?;
            hold(&state, others, &bytes[length..])
        }
        Written::Beginning(snapshot) => ends(bytes).find_map(|end| {
            let (state, _) = compare(state, snapshot, &bytes[..end], Extent::Beginning)?;
            hold(&state, others, &bytes[end..])
        }),
    }
}

/// Where a beginning may end: where another stream begins, or with the bytes.
fn ends(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let starts = (0..bytes.len()).filter(|start| {
        bytes.get(start + FRAMING_LENGTH..).is_some_and(|rest| rest.starts_with(&MAGIC))
    });
    starts.chain([bytes.len()])
}

const FRAMING_LENGTH: usize = 6;

impl fmt::Display for WrittenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.written.iter().filter(|written| matches!(written, Written::Whole(_)));
        let (whole, all) = (whole.count(), self.written.len());
        write!(f, "the bytes of {whole} backups and of the beginnings of {}", all - whole)
    }
}

/// The stream that an fd of the caller refers to.
pub(crate) fn stream_of(work: &Work<'_>, fd: Fd) -> Option<StreamId> {
    work.state.stream_fds.get(&(work.caller.process, fd)).copied()
}

/// The stream that an fd of the caller refers to, in a mode that serves.
///
/// # Errors
///
/// EBADF if it refers to no stream, or to one in another mode.
pub(super) fn of_mode(
    work: &Work<'_>,
    fd: Fd,
    serves: impl Fn(StreamAccess) -> bool,
) -> Result<StreamId, Errno> {
    let stream = stream_of(work, fd).ok_or(Errno::EBADF)?;
    let access = work.state.streams.get(&stream).map(|stream| stream.access);
    access.filter(|access| serves(*access)).map(|_| stream).ok_or(Errno::EBADF)
}

/// A backup has written something.
pub(super) fn written(state: &mut State, stream: StreamId, written: Written) {
    if let Some(stream) = state.streams.get_mut(&stream) {
        stream.written.push(written);
    }
}

/// What was written last has not been, or is something else by now.
pub(super) fn unwritten(state: &mut State, stream: StreamId) {
    if let Some(stream) = state.streams.get_mut(&stream) {
        stream.written.pop();
    }
}

/// So much of the stream has been read.
pub(super) fn was_read(state: &mut State, stream: StreamId, position: Position) {
    if let Some(stream) = state.streams.get_mut(&stream) {
        let nothing_left = stream.contents.is_empty();
        stream.position = if nothing_left { Position::End } else { position };
    }
}

/// What a restore reads from a stream; `None` if nobody knows where it begins to read, and it may be the
/// beginning of a backup.
pub(super) fn rest_of(state: &State, stream: StreamId) -> Option<Arc<[u8]>> {
    let nothing = || Arc::from(&[][..]);
    let Some(stream) = state.streams.get(&stream) else { return Some(nothing()) };
    match stream.position {
        Position::Start => Some(stream.contents.clone()),
        Position::End => Some(nothing()),
        Position::Somewhere => {
            let mut ends = ends(&stream.contents).filter(|end| *end > 0);
            // Whatever is read has no HEADER at its beginning.
            let has_other_start = ends.next().is_some_and(|end| end < stream.contents.len());
            (!has_other_start).then(nothing)
        }
    }
}

/// The harness opens a stream.
pub(crate) fn open(work: &mut Work<'_>, access: StreamAccess, contents: &Arc<[u8]>) -> Outcome {
    let id = StreamId(work.state.next_stream);
    work.state.next_stream += 1;
    let (contents, position) = (contents.clone(), Position::Start);
    let stream = Stream { access, contents, position, written: Vec::new() };
    work.state.streams.insert_mut(id, stream);
    Outcome::StreamOpened(StreamFd { process: work.caller.process, stream: id })
}

/// The harness takes what was written.
pub(crate) fn take(work: &mut Work<'_>, fd: Fd) -> Result<Outcome, Errno> {
    let id = stream_of(work, fd).ok_or(Errno::EBADF)?;
    let written = match work.state.streams.get_mut(&id) {
        Some(stream) => std::mem::take(&mut stream.written),
        None => Vec::new(),
    };
    for whole in written.iter() {
        if let Written::Whole(snapshot) = whole {
            covers!(work.covered, "IOC-152");
            snapshot.mark(&mut work.covered);
        }
    }
    Ok(Outcome::Stream(WrittenBytes { written, state: Box::new(work.state.clone()) }))
}

/// A stream fd goes to a process: the same stream.
pub(crate) fn pass(stream: StreamId, to: ProcessId) -> Outcome {
    Outcome::StreamPassed(StreamFd { process: to, stream })
}

/// `close(2)` of a stream fd.
pub(crate) fn close(work: &mut Work<'_>, fd: Fd, stream: StreamId) -> Outcome {
    work.state.stream_fds.remove_mut(&(work.caller.process, fd));
    if !work.state.stream_fds.values().any(|other| *other == stream) {
        work.state.streams.remove_mut(&stream);
    }
    Outcome::Done
}
