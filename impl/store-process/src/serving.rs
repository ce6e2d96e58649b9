//! The request loop: frames from the kernel half into the store, and responses back (PSD-006 §2.1,
//! step 10 and the exit behaviour; §4.1; LORE-036 to LORE-038).
//!
//! One thread does everything: it reads until the store wants to be asked again, so that a write
//! that waits holds up no other request (SRC-11). No answer goes out for a database that has lost
//! its file.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use abi::source_stream::FRAME_LENGTH_MAX;
use rsi::{
    FrameError, REQUEST_HEADER_LENGTH, RequestFrame, ResponseFrame, decode_request, encode_refusal,
    encode_response,
};
use stores::{FatalError, SqliteStore, Store};

use crate::clock::Clock;
use crate::database_files::DatabaseFiles;

/// Bytes that one read takes at most.
const READ_LENGTH: usize = 1 << 16;

/// The shortest wait for requests; a timeout of zero would be none at all.
const WAIT_MIN: Duration = Duration::from_micros(100);

/// Why a source stopped serving.
#[derive(Debug)]
pub enum End {
    /// The kernel half closed the connection (LORE-037).
    Closed,
    /// A signal asked for it (LORE-039).
    Terminated,
    /// A database can no longer be relied on (LORE-038).
    DatabaseFailed(FatalError),
    /// A database file is no longer where it was opened.
    DatabaseGone(PathBuf),
    /// What came is no request.
    BadRequest(FrameError),
    /// The connection failed.
    ConnectionFailed(io::Error),
}

/// Serves the store's hives until something ends it.
pub fn serve(
    stream: &mut UnixStream,
    store: &mut SqliteStore,
    clock: Clock,
    files: &DatabaseFiles,
) -> End {
    let mut requests = Requests::default();
    loop {
        if let Err(end) = answer(stream, store, clock, files) {
            return end;
        }
        match requests.receive(stream, store.next_wake(), clock) {
            Ok(()) => {}
            Err(end) => return end,
        }
        loop {
            match requests.next() {
                Ok(Some(request)) => store.submit(request, clock.now()),
                Ok(None) => break,
                Err(Unreadable::Payload(refusal)) => requests.refusals.extend(refusal),
                Err(Unreadable::Frame(error)) => return End::BadRequest(error),
            }
        }
        let refusals = std::mem::take(&mut requests.refusals);
        if let Err(error) = stream.write_all(&refusals) {
            return End::of(error);
        }
    }
}

/// Sends every response that is ready.
fn answer(
    stream: &mut UnixStream,
    store: &mut SqliteStore,
    clock: Clock,
    files: &DatabaseFiles,
) -> Result<(), End> {
    let ready: Vec<ResponseFrame> = std::iter::from_fn(|| store.poll(clock.now())).collect();
    if !ready.is_empty()
        && let Some(path) = files.missing()
    {
        return Err(End::DatabaseGone(path.to_owned()));
    }
    send(stream, &ready)?;
    store.fatal_error().map_or(Ok(()), |error| Err(End::DatabaseFailed(error)))
}

fn send(stream: &mut UnixStream, responses: &[ResponseFrame]) -> Result<(), End> {
    let bytes: Vec<u8> = responses.iter().flat_map(encode_response).collect();
    stream.write_all(&bytes).map_err(End::of)
}

/// Bytes that have come, and the requests in them.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    /// Responses to what could not be read, as they are to be sent.
    refusals: Vec<u8>,
}

/// A request that cannot be read.
enum Unreadable {
    /// The frame can, so that it is answered, with these bytes.
    Payload(Vec<u8>),
    /// The frame cannot either.
    Frame(FrameError),
}

impl Requests {
    /// Waits for bytes, until `wake` (Unix nanoseconds) at the latest.
    fn receive(
        &mut self,
        stream: &mut UnixStream,
        wake: Option<u64>,
        clock: Clock,
    ) -> Result<(), End> {
        let wait = wake.map(|wake| Duration::from_nanos(wake.saturating_sub(clock.now())));
        stream.set_read_timeout(wait.map(|wait| wait.max(WAIT_MIN))).map_err(End::of)?;
        let mut chunk = [0; READ_LENGTH];
        match stream.read(&mut chunk) {
            Ok(0) => Err(End::Closed),
            Ok(length) => {
                self.bytes.extend_from_slice(&chunk[..length]);
                Ok(())
            }
            Err(error) => match error.kind() {
                // The time has come, or a signal.
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(End::of(error)),
            },
        }
    }

    /// The next request that has come whole.
    fn next(&mut self) -> Result<Option<RequestFrame>, Unreadable> {
        let Some(prefix) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let declared = u32::from_le_bytes(*prefix);
        let length = usize::try_from(declared).unwrap_or(usize::MAX);
        if !(REQUEST_HEADER_LENGTH..=FRAME_LENGTH_MAX).contains(&length) {
            let length = self.bytes.len();
            return Err(Unreadable::Frame(FrameError::LengthMismatch { declared, length }));
        }
        if self.bytes.len() < length {
            return Ok(None);
        }
        let frame: Vec<u8> = self.bytes.drain(..length).collect();
        decode_request(&frame).map(Some).map_err(|_| unreadable(&frame))
    }
}

/// A request of no known operation, or whose payload cannot be read, is RSI_INVALID (PSD-005 §7.3,
/// P-61).
fn unreadable(frame: &[u8]) -> Unreadable {
    encode_refusal(frame).map_or_else(Unreadable::Frame, Unreadable::Payload)
}

impl End {
    fn of(error: io::Error) -> End {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => End::Closed,
            _ => End::ConnectionFailed(error),
        }
    }

    /// The status that the process ends with (P-77).
    pub fn exit_code(&self) -> ExitCode {
        match self {
            End::Closed | End::Terminated => ExitCode::SUCCESS,
            End::DatabaseFailed(_)
            | End::DatabaseGone(_)
            | End::BadRequest(_)
            | End::ConnectionFailed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => write!(out, "the kernel half has closed the connection"),
            End::Terminated => write!(out, "ended by a signal"),
            End::DatabaseFailed(error) => error.fmt(out),
            End::DatabaseGone(path) => {
                write!(out, "{}: the database is no longer there", path.display())
            }
            End::BadRequest(error) => write!(out, "what came is no request: {error}"),
            End::ConnectionFailed(error) => write!(out, "the connection failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rsi::{
        Guid, Operation, Request, RequestId, Response, Status, decode_response, encode_request,
    };

    use super::*;

    fn read_key(id: u64) -> RequestFrame {
        let request = Request::ReadKey { guid: Guid([7; 16]) };
        RequestFrame { id: RequestId(id), transaction: None, request }
    }

    #[test]
    fn requests_are_found_however_the_bytes_come() {
        let bytes = [encode_request(&read_key(1)), encode_request(&read_key(2))].concat();
        for piece_length in [1, 5, 22, 41, bytes.len()] {
            let mut requests = Requests::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(piece_length) {
                requests.bytes.extend_from_slice(piece);
                while let Ok(Some(request)) = requests.next() {
                    found.push(request);
                }
            }
            assert_eq!(found, [read_key(1), read_key(2)], "pieces of {piece_length}");
            assert!(requests.bytes.is_empty());
        }
    }

    #[test]
    fn an_impossible_length_ends_the_connection() {
        for declared in [0, 21, u32::MAX] {
            let bytes = declared.to_le_bytes().to_vec();
            let mut requests = Requests { bytes, ..Requests::default() };
            assert!(matches!(requests.next(), Err(Unreadable::Frame(_))), "{declared}");
        }
    }

    #[test]
    fn an_unknown_operation_is_refused_and_the_next_request_is_read() {
        let mut unknown = encode_request(&read_key(1));
        unknown[12] = 0x7f;
        let bytes = [unknown.clone(), encode_request(&read_key(2))].concat();
        let mut requests = Requests { bytes, ..Requests::default() };
        let Err(Unreadable::Payload(refusal)) = requests.next() else { panic!("it was read") };
        assert_eq!(Ok(refusal), encode_refusal(&unknown));
        assert!(matches!(requests.next(), Ok(Some(request)) if request == read_key(2)));
    }

    #[test]
    fn a_payload_that_ends_early_is_refused_and_the_next_request_is_read() {
        let mut short = encode_request(&read_key(1));
        short.truncate(30);
        short[0] = 30;
        let bytes = [short, encode_request(&read_key(2))].concat();
        let mut requests = Requests { bytes, ..Requests::default() };
        let Err(Unreadable::Payload(refusal)) = requests.next() else { panic!("it was read") };
        let refusal =
            decode_response(&refusal, Operation::ReadKey).map(|frame| (frame.id, frame.response));
        assert_eq!(refusal, Ok((RequestId(1), Response::Failed(Status::Invalid))));
        assert!(matches!(requests.next(), Ok(Some(request)) if request == read_key(2)));
    }
}
