//! The program of a source, and its processes.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program with the command line of `lockstep-store-sqlite`.
#[derive(Clone, Debug)]
pub struct SourceProgram {
    /// Its file.
    pub program: PathBuf,
    /// Arguments in front of its own.
    pub arguments: Vec<OsString>,
}

impl SourceProgram {
    /// Starts a process that connects to a socket and serves hives from database files. What it says goes to
    /// the end of `said`.
    pub(crate) fn start(
        &self,
        socket: &Path,
        hives: &[(String, PathBuf)],
        said: &Path,
    ) -> io::Result<Child> {
        let said = OpenOptions::new().create(true).append(true).open(said)?;
        let hives = hives.iter().map(|(name, file)| {
            let mut argument = OsString::from(format!("{name}="));
            argument.push(file);
            argument
        });
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--connect").arg(socket).args(hives);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        // A signal from the terminal is for the harness, which ends its processes itself.
        command.process_group(0).spawn()
    }
}
