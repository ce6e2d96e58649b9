//! `lockstep-store-sqlite`: the reference source as a process of its own (PSD-006). Programs that start
//! such processes can be it themselves.
//!
//! ```text
//! lockstep-store-sqlite [--connect PATH] HiveName=DatabasePath [HiveName=DatabasePath ...]
//! ```
//!
//! The steps of PSD-006 §2.1 in their order: arguments, databases, device, registration, requests.
//! A stock Linux has no registry device, so that PATH is a Unix socket at which the kernel half
//! listens (`abi::source_stream`); without the option it is the path of the text. Nothing else
//! configures the process, no environment variable either (LORE-010).
//!
//! Exit status (P-77): 0 when the kernel half closed the connection or a signal asked for the end,
//! 2 for a command line that will not do, 1 for everything else that went wrong. What happens is
//! said on standard error. The process may not know what a request means.

mod clock;
mod command_line;
mod connection;
mod database_files;
mod serving;
mod termination;

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use stores::{SqliteConfig, SqliteStore, Store};

use crate::clock::Clock;
use crate::command_line::{CommandLine, CommandLineError, USAGE};
use crate::database_files::DatabaseFiles;
use crate::serving::End;
use crate::termination::Termination;

/// What every line on standard error begins with.
const NAME: &str = "lockstep-store-sqlite";

/// The whole program, with the arguments behind its name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(end) => {
            eprintln!("{NAME}: {end}");
            end.exit_code()
        }
        Err(error) => {
            eprintln!("{NAME}: {error}");
            if error.is::<CommandLineError>() {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<End, Box<dyn Error>> {
    let CommandLine { connect, hives } = CommandLine::parse(arguments)?;
    let termination = Termination::watch()?;
    let clock = Clock::new();
    // Outlives the store: the files stay this process's until SQLite has closed them.
    let files = DatabaseFiles::lock(hives.iter().map(|(_, path)| path.as_path()))?;
    let mut store = SqliteStore::open(SqliteConfig {
        hives,
        vfs: None,
        incarnation: String::new(),
        random: random()?,
        now: clock.now(),
    })?;
    let mut stream = connection::connect(&connect)?;
    termination.ends(&stream)?;
    let registered = connection::register(&mut stream, &store);
    if termination.was_asked_for() {
        return Ok(End::Terminated);
    }
    registered?;
    eprintln!("{NAME}: serving {}", names(&store));
    let end = serving::serve(&mut stream, &mut store, clock, &files);
    // The databases are closed before the kernel half hears of the end (LORE-040).
    drop(store);
    Ok(if termination.was_asked_for() { End::Terminated } else { end })
}

fn names(store: &SqliteStore) -> String {
    let names: Vec<&str> = store.hives().iter().map(|hive| hive.name.as_str()).collect();
    names.join(", ")
}

/// The system's generator, which must answer once before anything is opened.
fn random() -> Result<stores::RandomSource, NoRandomness> {
    getrandom::fill(&mut [0; 16]).map_err(NoRandomness)?;
    Ok(Box::new(|bytes| {
        if let Err(error) = getrandom::fill(bytes) {
            // It has answered before; without it no new root can be safe.
            panic!("{}", NoRandomness(error));
        }
    }))
}

/// The system has no randomness to give.
#[derive(Debug)]
struct NoRandomness(getrandom::Error);

impl fmt::Display for NoRandomness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the operating system gives no random bytes: {}", self.0)
    }
}

impl Error for NoRandomness {}
