//! A machine of real threads for the rows about transfers: a kernel half, one source for `Machine`, and
//! the fds that backups and restores go through.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;

use abi::layout::{BackupArgs, RestoreArgs};
use abi::{Errno, KEY_ALL_ACCESS, Structure, ioctl};
use futures::future::{BoxFuture, FutureExt, ready};
use host::{Source, ThreadEnv, block_on};
use lcs::env::{Fault, UserMemory};
use lcs::security::Token;
use lcs::{Caller, Lcs, Process, Stream};
use stores::Store;

/// A stream's bytes that are read at a time at the other end of a pipe.
const CHUNK_BYTES: usize = 65_536;

/// See the module.
pub struct Machine {
    lcs: Lcs<ThreadEnv>,
    process: Process<ThreadEnv>,
    token: Arc<Token>,
    _source: Source,
    /// The fd of the hive's root.
    root: i32,
}

impl Machine {
    /// One whose source is `store`.
    pub fn new(store: Box<dyn Store>) -> Result<Machine, String> {
        let env = ThreadEnv::new(1).map_err(|error| error.to_string())?;
        let lcs = Lcs::new(env.clone());
        let token = Arc::new(Token::system());
        let source = Source::start(&lcs, &env, &token, store).map_err(|error| error.to_string())?;
        let process = lcs.new_process();
        let caller = Caller { process: &process, token: &token };
        let arguments = [u64::MAX, 1, KEY_ALL_ACCESS.into(), 0, 0, 0];
        let memory = Memory(b"Machine\0".to_vec());
        let root = block_on(lcs.syscall(caller, abi::REG_OPEN_KEY, arguments, &memory));
        let root = i32::try_from(root).ok().filter(|fd| *fd >= 0);
        let root = root.ok_or("the root of the hive cannot be opened")?;
        Ok(Machine { lcs, process, token, _source: source, root })
    }

    /// Backs everything up into a pipe, of which `take` gets what comes out.
    pub fn backup(&self, take: impl FnMut(&[u8]) + Send) -> Result<(), String> {
        let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
        let output_fd = self.install(Written(writer))?;
        std::thread::scope(|scope| {
            let taken = scope.spawn(move || drain(reader, take));
            let result = self.call(ioctl::REG_IOC_BACKUP, &BackupArgs { output_fd });
            // The last writer: its end is that of the stream.
            self.close(output_fd);
            taken.join().map_err(|_| "the reader of a pipe panicked")??;
            accepted("backup", result)
        })
    }

    /// Restores everything out of a pipe that `bytes` go into.
    pub fn restore(&self, bytes: &[u8]) -> Result<(), String> {
        let (reader, mut writer) = io::pipe().map_err(|error| error.to_string())?;
        let input_fd = self.install(Readable(reader))?;
        std::thread::scope(|scope| {
            // A restore that has failed reads no further, which shows in its result.
            scope.spawn(move || drop(writer.write_all(bytes)));
            let result = self.call(ioctl::REG_IOC_RESTORE, &RestoreArgs { input_fd });
            self.close(input_fd);
            accepted("restore", result)
        })
    }

    fn install(&self, stream: impl Stream + 'static) -> Result<i32, String> {
        let installed = self.lcs.install_stream(&self.process, Arc::new(stream));
        installed.map_err(|errno| format!("{errno:?}"))
    }

    fn close(&self, fd: i32) {
        let caller = Caller { process: &self.process, token: &self.token };
        // It is the caller's own, and open.
        let _ = block_on(self.lcs.close(caller, fd));
    }

    fn call(&self, request: u32, args: &impl Structure) -> i64 {
        let caller = Caller { process: &self.process, token: &self.token };
        let memory = Memory(args.to_bytes());
        block_on(self.lcs.ioctl(caller, self.root, request, 1, &memory))
    }
}

fn drain(mut reader: PipeReader, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    let mut buffer = vec![0; CHUNK_BYTES];
    // The end of the pipe ends it, and whoever writes comes to an end.
    loop {
        match reader.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => return Ok(()),
            length => take(&buffer[..length]),
        }
    }
}

fn accepted(what: &str, result: i64) -> Result<(), String> {
    if result == 0 { Ok(()) } else { Err(format!("{what}: {result}")) }
}

/// A program's memory: what is passed to the one call that is under way, from address 1 on.
struct Memory(Vec<u8>);

impl UserMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let start = address.checked_sub(1).and_then(|start| usize::try_from(start).ok());
        let range = start.and_then(|start| Some(start..start.checked_add(buffer.len())?));
        let bytes = range.and_then(|range| self.0.get(range)).ok_or(Fault)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write(&self, _address: u64, _bytes: &[u8]) -> Result<(), Fault> {
        Err(Fault)
    }

    fn is_writable(&self, _address: u64, _length: u64) -> bool {
        false
    }
}

/// The end of a pipe that a backup writes into. The calling thread waits, which has nothing else to do.
struct Written(PipeWriter);

impl Stream for Written {
    fn is_readable(&self) -> bool {
        false
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, _buffer: &'a mut [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        ready(Err(Errno::EBADF)).boxed()
    }

    fn write<'a>(&'a self, bytes: &'a [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        ready((&self.0).write(bytes).map_err(|_| Errno::EIO)).boxed()
    }
}

/// The end of a pipe that a restore reads from.
struct Readable(PipeReader);

impl Stream for Readable {
    fn is_readable(&self) -> bool {
        true
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        ready((&self.0).read(buffer).map_err(|_| Errno::EIO)).boxed()
    }

    fn write<'a>(&'a self, _bytes: &'a [u8]) -> BoxFuture<'a, Result<usize, Errno>> {
        ready(Err(Errno::EBADF)).boxed()
    }
}
