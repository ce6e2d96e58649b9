//! Between a source process and the kernel half's socket: frames are noted on their way, and the process is
//! killed at the request that a plan has armed.
//!
//! Two threads carry a connection, one each way, as a device has two ends that do not wait for each other. A
//! frame is noted before it goes on, so that what follows from it is noted behind it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use abi::source_stream::FRAME_LENGTH_MAX;
use conformance::target::{Frame, WorldEvent};
use registry_model::input::SourceId;
use rsi::{
    RequestId, Response, ResponseFrame, decode_request, decode_request_header,
    decode_response_header, encode_response,
};
use seam::{Refusals, lock};

/// How long a process that is about to be killed may take for the last request.
const LAST_RESPONSE_MAX: Duration = Duration::from_secs(10);
/// A process that is killed in the middle of the last request has up to so many microseconds for it.
const LAST_MOMENT_US: u32 = 400;

/// What happened on a machine and has not been told yet.
#[derive(Default)]
pub struct Log {
    /// Frames in the order they crossed.
    pub frames: Vec<Frame>,
    /// Deaths that came by themselves.
    pub events: Vec<WorldEvent>,
    /// What should not have happened, in words.
    pub problem: Option<String>,
}

/// The log of a machine, shared by its threads.
pub type SharedLog = Arc<Mutex<Log>>;

/// An armed death.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    /// Requests left, the last one included.
    pub requests_left: u32,
    /// Whether the process gets the last request.
    pub executed: bool,
}

/// What outlives a process of a source, and decides about its connection.
#[derive(Clone, Default)]
pub struct Orders {
    /// The death that is armed.
    pub armed: Arc<Mutex<Option<Armed>>>,
    /// What the source refuses.
    pub refusals: Arc<Mutex<Refusals>>,
}

/// A connection that is carried.
pub struct Connection {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    source: SourceId,
    log: SharedLog,
    orders: Orders,
    process: Mutex<Child>,
    /// The process's end, and the kernel half's.
    source_end: UnixStream,
    kernel_end: UnixStream,
    responses: Mutex<Responses>,
    /// The last response has come.
    is_answered: Condvar,
    /// The process is to end, or has been killed.
    is_ending: AtomicBool,
}

/// What becomes of the responses of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Responses {
    GoOn,
    /// None goes on any more, and that to this request is waited for.
    EndWith(RequestId),
    /// None goes on any more.
    End,
}

impl Connection {
    /// Carries frames between a process and the kernel half, both of which have their registration behind
    /// them.
    ///
    /// # Errors
    /// If the system gives no thread or descriptor.
    pub fn carry(
        (source, log, orders): (SourceId, SharedLog, Orders),
        process: Child,
        source_end: UnixStream,
        kernel_end: UnixStream,
    ) -> io::Result<Connection> {
        let shared = Arc::new(Shared {
            source,
            log,
            orders,
            process: Mutex::new(process),
            source_end,
            kernel_end,
            responses: Mutex::new(Responses::GoOn),
            is_answered: Condvar::new(),
            is_ending: AtomicBool::new(false),
        });
        let mut connection = Connection { shared, threads: Vec::new() };
        let carried: [fn(&Shared) -> io::Result<()>; 2] =
            [Shared::carry_requests, Shared::carry_responses];
        for carry in carried {
            let shared = Arc::clone(&connection.shared);
            let thread = thread::Builder::new().name("connection".to_owned());
            connection.threads.push(thread.spawn(move || {
                // What fails is an end of the connection, and that is seen by whoever reads from it.
                let _ = carry(&shared);
            })?);
        }
        Ok(connection)
    }

    /// Whether the process has been killed or has ended by itself.
    pub fn is_ending(&self) -> bool {
        self.shared.is_ending.load(Ordering::Acquire)
    }

    /// Kills the process, if it lives, and waits until the kernel half has closed its device.
    pub fn end(mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        self.shared.kill();
        for thread in self.threads.drain(..) {
            // A panic has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        self.shared.kill();
    }
}

impl Shared {
    /// Requests go to the process until the kernel half closes its device.
    fn carry_requests(&self) -> io::Result<()> {
        while let Ok(bytes) = read_frame(&self.kernel_end) {
            if self.is_ending.load(Ordering::Acquire) {
                // The device of a dead process is read by nobody; only its end is waited for.
                continue;
            }
            self.note(true, &bytes);
            if let Some(executed) = self.is_last() {
                self.die(executed, &bytes);
            } else if let Some(refusal) = self.refusal(&bytes) {
                self.answer(&refusal)?;
            } else {
                // A process that has gone is noticed by its responses.
                let _ = (&self.source_end).write_all(&bytes);
            }
        }
        // The process sees its device closed.
        self.source_end.shutdown(Shutdown::Both)
    }

    /// Responses go to the kernel half until the process has gone.
    fn carry_responses(&self) -> io::Result<()> {
        while let Ok(bytes) = read_frame(&self.source_end) {
            let responses = *lock(&self.responses);
            match responses {
                Responses::GoOn => self.answer(&bytes)?,
                Responses::EndWith(id)
                    if decode_response_header(&bytes).is_ok_and(|header| header.id == id) =>
                {
                    *lock(&self.responses) = Responses::End;
                    self.is_answered.notify_all();
                }
                Responses::EndWith(_) | Responses::End => {}
            }
        }
        if !self.is_ending.swap(true, Ordering::AcqRel) {
            self.ended_by_itself();
        }
        self.kernel_end.shutdown(Shutdown::Write)
    }

    /// Notes a response and hands it in.
    fn answer(&self, bytes: &[u8]) -> io::Result<()> {
        // No other response comes between the two.
        let responses = lock(&self.responses);
        if *responses == Responses::GoOn {
            self.note(false, bytes);
            (&self.kernel_end).write_all(bytes)?;
        }
        Ok(())
    }

    fn note(&self, is_request: bool, bytes: &[u8]) {
        let frame = Frame { source: self.source, is_request, bytes: bytes.to_vec() };
        lock(&self.log).frames.push(frame);
    }

    /// Counts a request towards an armed death; with the last one, whether the process gets it.
    fn is_last(&self) -> Option<bool> {
        let mut armed = lock(&self.orders.armed);
        let death = armed.as_mut()?;
        death.requests_left = death.requests_left.saturating_sub(1);
        if death.requests_left > 0 {
            return None;
        }
        armed.take().map(|death| death.executed)
    }

    /// What to answer instead of the process, if the plan has it refuse the request.
    fn refusal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let frame = decode_request(bytes).ok()?;
        let status = lock(&self.orders.refusals).of(&frame.request)?;
        let (id, operation) = (frame.id, frame.request.operation());
        let response = Response::Failed(status);
        Some(encode_response(&ResponseFrame { id, operation, response }))
    }

    /// The process dies over a request: before it has it, in the middle of it, or with its answer on its way.
    fn die(&self, executed: bool, request: &[u8]) {
        match decode_request_header(request) {
            Ok(header) if executed => {
                *lock(&self.responses) = Responses::EndWith(header.id);
                let _ = (&self.source_end).write_all(request);
                match in_the_middle() {
                    Some(moment) => thread::sleep(moment),
                    None => self.wait_for_last_response(),
                }
            }
            _ => {}
        }
        *lock(&self.responses) = Responses::End;
        if !self.is_ending.swap(true, Ordering::AcqRel) {
            lock(&self.log).events.push(WorldEvent::SourceDown(self.source));
        }
        self.kill();
    }

    fn wait_for_last_response(&self) {
        let responses = lock(&self.responses);
        let is_coming = |responses: &mut Responses| *responses != Responses::End;
        let waited = self.is_answered.wait_timeout_while(responses, LAST_RESPONSE_MAX, is_coming);
        let (responses, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(responses);
        if timeout.timed_out() {
            let problem = format!("source {} does not answer", self.source.0);
            lock(&self.log).problem.get_or_insert(problem);
        }
    }

    /// Kills the process as `kill -9` does. The device is closed by the time that it is gone.
    fn kill(&self) {
        let mut process = lock(&self.process);
        // Both fail where it is gone already.
        let _ = process.kill();
        let _ = process.wait();
        let _ = self.source_end.shutdown(Shutdown::Both);
    }

    /// Nobody has killed the process.
    fn ended_by_itself(&self) {
        let status = lock(&self.process).wait();
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let problem =
            format!("the process of source {} has ended by itself: {status}", self.source.0);
        let mut log = lock(&self.log);
        log.events.push(WorldEvent::SourceDown(self.source));
        log.problem.get_or_insert(problem);
    }
}

/// Every other time, a moment that the process has for its last request. The clock decides: nobody could
/// replay it anyway.
fn in_the_middle() -> Option<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let chance = now.subsec_nanos() / 16;
    let moment_us = chance / 2 % LAST_MOMENT_US;
    chance.is_multiple_of(2).then(|| Duration::from_micros(moment_us.into()))
}

/// The next message, which begins with its length.
pub fn read_frame(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if !(prefix.len()..=FRAME_LENGTH_MAX).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    message[..prefix.len()].copy_from_slice(&prefix);
    stream.read_exact(&mut message[prefix.len()..])?;
    Ok(message)
}
