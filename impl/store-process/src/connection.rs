//! The way to the kernel half, and the registration (PSD-006 §2.1, steps 8 and 9; LORE-033 to
//! LORE-035; `abi::source_stream`).

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use abi::Errno;
use abi::source_stream::{StreamHive, registration_message};
use stores::Store;

/// Why a source is not registered.
#[derive(Debug)]
pub enum ConnectionError {
    /// Nobody listens at the path.
    CannotConnect(PathBuf, io::Error),
    /// The connection ended before the answer.
    Broken(io::Error),
    /// The kernel half refuses, with this error number.
    Refused(i32),
}

/// Connects to the kernel half's socket.
///
/// # Errors
/// `CannotConnect`.
pub fn connect(path: &Path) -> Result<UnixStream, ConnectionError> {
    UnixStream::connect(path)
        .map_err(|error| ConnectionError::CannotConnect(path.to_owned(), error))
}

/// Registers every hive of the store, as global ones.
///
/// # Errors
/// `Broken` or `Refused`.
pub fn register(stream: &mut UnixStream, store: &dyn Store) -> Result<(), ConnectionError> {
    let hives: Vec<StreamHive<'_>> = store
        .hives()
        .iter()
        .map(|hive| StreamHive {
            name: hive.name.as_bytes(),
            root_guid: hive.root.0,
            flags: 0,
            scope_guid: [0; 16],
        })
        .collect();
    let message = registration_message(&hives, store.max_sequence());
    let mut answer = [0; 4];
    stream.write_all(&message).map_err(ConnectionError::Broken)?;
    stream.read_exact(&mut answer).map_err(ConnectionError::Broken)?;
    match i32::from_le_bytes(answer) {
        0 => Ok(()),
        number => Err(ConnectionError::Refused(number)),
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::CannotConnect(path, error) => {
                write!(out, "{}: the kernel half cannot be reached: {error}", path.display())
            }
            ConnectionError::Broken(error) => {
                write!(out, "the connection ended before the registration was answered: {error}")
            }
            ConnectionError::Refused(number) => {
                write!(out, "the registration is refused: ")?;
                match Errno::from_number(*number) {
                    Some(errno) => write!(out, "{errno:?}, {}", reason(errno)),
                    None => write!(out, "error {number}"),
                }
            }
        }
    }
}

/// What a refused registration means (PSD-005 §7.1).
fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => "the caller is not privileged to be a source",
        Errno::EEXIST => "another source serves one of the hives",
        Errno::EINVAL => "a hive's name is not possible, or the hives are not those of before",
        Errno::ENOSPC => "there are too many hives or sources",
        Errno::EOVERFLOW => "the highest sequence number leaves no room for another",
        Errno::ESTALE => "a hive's root is not the one of before",
        _ => "which is no answer to a registration",
    }
}

impl Error for ConnectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConnectionError::CannotConnect(_, error) | ConnectionError::Broken(error) => {
                Some(error)
            }
            ConnectionError::Refused(_) => None,
        }
    }
}
