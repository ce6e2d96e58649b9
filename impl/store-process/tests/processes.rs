//! The program as it runs: processes, real files, signals, and a kernel half that they serve.

#[path = "../../host/tests/host/support.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use abi::Errno;
use futures::executor::block_on;
use host::{Listener, ThreadEnv};
use lcs::security::Token;
use rusqlite::Connection;
use support::{Machine, Program, descriptor};
use tempfile::TempDir;

/// How often and how long to wait for the end of a process.
const PAUSES_MAX: usize = 2000;
const PAUSE: Duration = Duration::from_millis(5);

/// A machine whose sources are processes, and the place of their files.
struct Setup {
    machine: Machine,
    listener: Listener,
    directory: TempDir,
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

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The argument of a hive whose database is named after it.
    fn hive(&self, name: &str) -> String {
        format!("{name}={}", self.file(&format!("{name}.regdb")).display())
    }

    /// A process that has been told to serve these hives.
    fn spawn(&self, hives: &[&str]) -> Process {
        let mut arguments =
            vec!["--connect".to_owned(), self.listener.path().display().to_string()];
        arguments.extend(hives.iter().map(|name| self.hive(name)));
        Process::spawn(&arguments)
    }

    /// A process that serves these hives.
    fn serve(&self, hives: &[&str]) -> Process {
        let mut process = self.spawn(hives);
        process.wait_until_it_serves();
        block_on(self.machine.lcs.settled());
        process
    }

    fn program(&self) -> Program<'_> {
        self.machine.caller()
    }
}

/// A running program. It ends with the test.
struct Process {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Process {
    fn spawn(arguments: &[String]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lockstep-store-sqlite"))
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Process { child, stderr }
    }

    fn wait_until_it_serves(&mut self) {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        assert!(line.contains(": serving "), "{line}");
    }

    /// Ends it as SIGKILL does.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(&self) {
        let signal = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &signal]).status().unwrap().success());
    }

    /// Its exit status and what it has said, once it has ended by itself.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.wait();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (status.code(), said)
    }

    fn wait(&mut self) -> ExitStatus {
        for _ in 0..PAUSES_MAX {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(PAUSE);
        }
        panic!("it does not end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn corrupt(database: &Path) {
    Connection::open(database)
        .unwrap()
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'values';
             PRAGMA schema_version = 99;",
        )
        .unwrap();
}

#[test]
fn a_value_survives_a_killed_process() {
    let setup = Setup::new();
    let process = setup.serve(&["Machine"]);
    let program = setup.program();
    let key = descriptor(program.create("Machine\\Software"));
    assert_eq!(program.set(key, "Greeting", "hello"), 0);
    process.kill();
    assert_eq!(program.get(key, "Greeting"), Err(Errno::EIO.returned()));
    let _process = setup.serve(&["Machine"]);
    assert_eq!(program.get(key, "greeting"), Ok("hello".to_owned()));
    assert_eq!(program.set(key, "Greeting", "again"), 0);
}

#[test]
fn two_processes_serve_two_hives_and_one_ends_without_the_other() {
    let setup = Setup::new();
    let machine = setup.serve(&["Machine"]);
    let _users = setup.serve(&["Users"]);
    let program = setup.program();
    let keys = ["Machine\\A", "Users\\A"].map(|path| descriptor(program.create(path)));
    for key in keys {
        assert_eq!(program.set(key, "v", "x"), 0);
    }
    machine.kill();
    assert_eq!(program.set(keys[0], "v", "y"), Errno::EIO.returned());
    assert_eq!(program.set(keys[1], "v", "y"), 0);
    assert_eq!(program.get(keys[1], "v"), Ok("y".to_owned()));
}

#[test]
fn one_process_serves_several_hives_under_the_spelling_of_its_command_line() {
    let setup = Setup::new();
    let mut process = setup.spawn(&["mAchine", "Users"]);
    let mut line = String::new();
    process.stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "lockstep-store-sqlite: serving mAchine, Users\n");
    let program = setup.program();
    descriptor(program.create("Machine\\A"));
    descriptor(program.create("USERS\\A"));
    assert!(setup.file("mAchine.regdb").exists() && setup.file("Users.regdb").exists());
}

#[test]
fn a_signal_ends_the_process_and_closes_its_databases() {
    let setup = Setup::new();
    let process = setup.serve(&["Machine"]);
    let program = setup.program();
    let key = descriptor(program.create("Machine\\A"));
    assert_eq!(program.set(key, "v", "x"), 0);
    assert!(setup.file("Machine.regdb-wal").exists());
    process.terminate();
    let ended = (Some(0), "lockstep-store-sqlite: ended by a signal\n".to_owned());
    assert_eq!(process.end(), ended);
    // SQLite removes its log when the last connection is closed.
    assert!(!setup.file("Machine.regdb-wal").exists());
    assert_eq!(program.get(key, "v"), Err(Errno::EIO.returned()));
    let _process = setup.serve(&["Machine"]);
    assert_eq!(program.get(key, "v"), Ok("x".to_owned()));
}

#[test]
fn a_process_ends_when_the_kernel_half_closes_the_connection() {
    let mut setup = Setup::new();
    let process = setup.serve(&["Machine"]);
    let elsewhere = setup.file("elsewhere");
    let token = Arc::clone(&setup.machine.token);
    setup.listener = Listener::bind(&setup.machine.lcs, &token, &elsewhere).unwrap();
    let (status, said) = process.end();
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said, "lockstep-store-sqlite: the kernel half has closed the connection\n");
}

#[test]
fn a_database_that_is_taken_away_ends_the_process_before_it_answers() {
    let setup = Setup::new();
    let process = setup.serve(&["Machine"]);
    let program = setup.program();
    let key = descriptor(program.create("Machine\\A"));
    fs::remove_file(setup.file("Machine.regdb")).unwrap();
    assert_eq!(program.set(key, "v", "x"), Errno::EIO.returned());
    let (status, said) = process.end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.ends_with("Machine.regdb: the database is no longer there\n"), "{said}");
}

#[test]
fn a_corrupt_database_ends_the_process_and_is_refused_at_the_next_start() {
    let setup = Setup::new();
    let process = setup.serve(&["Machine"]);
    let program = setup.program();
    let key = descriptor(program.create("Machine\\A"));
    corrupt(&setup.file("Machine.regdb"));
    assert_eq!(program.set(key, "v", "x"), Errno::EIO.returned());
    let (status, said) = process.end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("a database is corrupt"), "{said}");
    let (status, said) = setup.spawn(&["Machine"]).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("Machine.regdb: "), "{said}");
}

#[test]
fn a_newer_schema_is_refused_and_stays_as_it_was() {
    let setup = Setup::new();
    setup.serve(&["Machine"]).kill();
    let connection = Connection::open(setup.file("Machine.regdb")).unwrap();
    connection.execute_batch("UPDATE schema_version SET version = 2").unwrap();
    let (status, said) = setup.spawn(&["Machine"]).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("has schema version 2, and this source knows up to 1"), "{said}");
    let version = connection.query_row("SELECT version FROM schema_version", [], |row| row.get(0));
    assert_eq!(version, Ok(2));
}

#[test]
fn a_bad_command_line_ends_the_process_at_once() {
    let (status, said) = Process::spawn(&[]).end();
    assert_eq!(status, Some(2));
    assert_eq!(
        said,
        "lockstep-store-sqlite: a source needs at least one hive; name one and its database\n\
         usage: lockstep-store-sqlite [--connect SOCKET] HiveName=/path/to/database ...\n"
    );
    let (status, said) = Process::spawn(&["Machine=relative.regdb".to_owned()]).end();
    assert_eq!(status, Some(2), "{said}");
}

#[test]
fn a_database_that_another_process_serves_is_refused() {
    let setup = Setup::new();
    let _process = setup.serve(&["Machine"]);
    let (status, said) = setup.spawn(&["Machine"]).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.ends_with("another source serves it; stop that one first\n"), "{said}");
}

#[test]
fn a_refused_registration_ends_the_process() {
    let mut token = Token::system();
    token.privileges = Default::default();
    let (status, said) = Setup::as_token(token).spawn(&["Machine"]).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("the registration is refused: EPERM"), "{said}");

    let setup = Setup::new();
    let _process = setup.serve(&["Machine"]);
    let copy = format!("MACHINE={}", setup.file("other.regdb").display());
    let socket = setup.listener.path().display().to_string();
    let (status, said) = Process::spawn(&["--connect".to_owned(), socket, copy]).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("EEXIST, another source serves one of the hives"), "{said}");
}

#[test]
fn a_database_that_was_replaced_cannot_resume() {
    let setup = Setup::new();
    setup.serve(&["Machine"]).kill();
    assert_eq!(setup.program().create("Machine\\A"), Errno::EIO.returned());
    for file in ["Machine.regdb", "Machine.regdb-wal", "Machine.regdb-shm"] {
        fs::remove_file(setup.file(file)).unwrap();
    }
    let (status, said) = setup.spawn(&["Machine"]).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("ESTALE, a hive's root is not the one of before"), "{said}");
}

#[test]
fn without_a_kernel_half_the_process_ends_after_it_has_opened_its_databases() {
    let setup = Setup::new();
    let socket = setup.file("nobody").display().to_string();
    let arguments = ["--connect".to_owned(), socket, setup.hive("Machine")];
    let (status, said) = Process::spawn(&arguments).end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("nobody: the kernel half cannot be reached"), "{said}");
    assert!(setup.file("Machine.regdb").exists());
}
