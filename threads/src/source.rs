//! One source of a machine: its files, and the process that serves them while it lives.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use conformance::plan::SourceHive;
use conformance::target::Started;
use registry_model::errno::Errno;
use registry_model::input::SourceId;
use registry_model::names::fold;
use seam::lock;

use crate::connection::{Connection, Orders, SharedLog, read_frame};
use crate::program::SourceProgram;
use crate::registration::Registration;

/// How long a process may take to connect and to register.
const START_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether it has connected.
const LOOK: Duration = Duration::from_micros(200);

/// A source of a plan.
pub struct Source {
    pub id: SourceId,
    /// The hives that the plan gives it.
    pub hives: Vec<SourceHive>,
    pub orders: Orders,
    /// What the next registration reports in place of the highest sequence number.
    pub false_maximum: Option<u64>,
    folder: PathBuf,
    /// Where its processes connect.
    socket: UnixListener,
    running: Option<Connection>,
}

impl Source {
    /// A source without a process, whose files are to be in a new folder.
    pub fn new(id: SourceId, hives: &[SourceHive], folder: PathBuf) -> io::Result<Source> {
        std::fs::create_dir(&folder)?;
        let socket = UnixListener::bind(folder.join("socket"))?;
        socket.set_nonblocking(true)?;
        Ok(Source {
            id,
            hives: hives.to_vec(),
            orders: Orders::default(),
            false_maximum: None,
            folder,
            socket,
            running: None,
        })
    }

    /// Whether it has a process.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether its process has gone without being taken away.
    pub fn has_ended(&self) -> bool {
        self.running.as_ref().is_some_and(Connection::is_ending)
    }

    /// Kills its process, and waits until the kernel half has seen the device close. Whether there was one.
    pub fn kill(&mut self) -> bool {
        *lock(&self.orders.armed) = None;
        lock(&self.orders.refusals).commit = None;
        let Some(connection) = self.running.take() else { return false };
        connection.end();
        true
    }

    /// Starts a process with these hives. It registers them with the kernel half at a socket, and ends if they
    /// are refused.
    ///
    /// # Errors
    /// Why it does not come as far, in words.
    pub fn start(
        &mut self,
        asked: &[SourceHive],
        (program, kernel, log): (&SourceProgram, &Path, &SharedLog),
    ) -> Result<Started, String> {
        *lock(&self.orders.armed) = None;
        let (process, source_end) = self.start_process(asked, program)?;
        let failed = |error: io::Error| self.failed(&error.to_string());
        source_end.set_read_timeout(Some(START_MAX)).map_err(failed)?;
        let message = read_frame(&source_end).map_err(failed)?;
        let registration = Registration::read(&message);
        let registration = registration.ok_or_else(|| self.failed("it registers badly"))?;
        source_end.set_read_timeout(None).map_err(failed)?;
        let registration = self.as_planned(registration, asked);
        let mut kernel_end = UnixStream::connect(kernel).map_err(failed)?;
        kernel_end.write_all(&registration.message()).map_err(failed)?;
        let mut answer = [0; 4];
        kernel_end.read_exact(&mut answer).map_err(failed)?;
        (&source_end).write_all(&answer).map_err(failed)?;
        let Registration { hives, max_sequence } = registration;
        let refused = match i32::from_le_bytes(answer) {
            0 => None,
            number => Some(Errno::from_number(number)),
        };
        self.false_maximum = None;
        if refused.is_some() {
            end_refused(process, &source_end).map_err(|error| self.failed(&error.to_string()))?;
        } else {
            let about = (self.id, log.clone(), self.orders.clone());
            let connection = Connection::carry(about, process, source_end, kernel_end);
            let connection = connection.map_err(|error| self.failed(&error.to_string()))?;
            self.running = Some(connection);
        }
        Ok(Started { source: self.id, asked: asked.to_vec(), hives, max_sequence, refused })
    }

    /// A process that has connected.
    fn start_process(
        &self,
        asked: &[SourceHive],
        program: &SourceProgram,
    ) -> Result<(Child, UnixStream), String> {
        let file =
            |hive: &SourceHive| self.folder.join(format!("{}.regdb", hive.name.to_lowercase()));
        let hives: Vec<(String, PathBuf)> =
            asked.iter().map(|hive| (hive.name.clone(), file(hive))).collect();
        let socket = self.folder.join("socket");
        let mut process = program
            .start(&socket, &hives, &self.said())
            .map_err(|error| format!("failed to start {}: {error}", program.program.display()))?;
        let began = Instant::now();
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => {
                    let blocking = stream.set_nonblocking(false);
                    blocking.map_err(|error| self.failed(&error.to_string()))?;
                    return Ok((process, stream));
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(self.failed(&error.to_string()));
                }
                Err(_) => {}
            }
            if let Ok(Some(status)) = process.try_wait() {
                return Err(self.failed(&format!("it ended with {status}")));
            }
            if began.elapsed() > START_MAX {
                // It is gone with this, or was before.
                let _ = process.kill();
                let _ = process.wait();
                return Err(self.failed("it does not connect"));
            }
            thread::sleep(LOOK);
        }
    }

    /// What a process registers, with what it has no arguments for.
    fn as_planned(&self, registration: Registration, asked: &[SourceHive]) -> Registration {
        let max_sequence = self.false_maximum.unwrap_or(registration.max_sequence);
        let hives = registration.hives.into_iter().map(|(hive, root)| {
            let known = asked.iter().find(|asked| fold(&asked.name) == fold(&hive.name));
            let scope = known.and_then(|known| known.scope);
            (SourceHive { scope, ..hive }, root)
        });
        Registration { hives: hives.collect(), max_sequence }
    }

    /// Where its processes say what happens.
    fn said(&self) -> PathBuf {
        self.folder.join("said")
    }

    /// What its processes have said last.
    pub fn last_words(&self) -> String {
        let said = std::fs::read_to_string(self.said()).unwrap_or_default();
        said.lines().last().unwrap_or_default().to_owned()
    }

    fn failed(&self, problem: &str) -> String {
        format!("source {} does not start: {problem}; {}", self.id.0, self.last_words())
    }
}

/// Waits for the end of a process that has been refused.
fn end_refused(mut process: Child, source_end: &UnixStream) -> io::Result<()> {
    source_end.shutdown(Shutdown::Write)?;
    process.wait().map(drop)
}
