//! The command line (PSD-006 §2.1; `LORE-002`..`LORE-009`): hives, their databases, and where the
//! kernel half is.
//!
//! A hive's name ends at the first `=`. `--connect PATH` is the one addition to the text's grammar;
//! it has no `=`, so that it can be taken for no hive.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use stores::{OpenError, SqliteStore};

/// How the command is used.
pub const USAGE: &str =
    "usage: lockstep-store-sqlite [--connect SOCKET] HiveName=/path/to/database ...";

/// Where the kernel half is unless the command line says otherwise (PSD-006 §2.1).
const DEVICE: &str = "/dev/pkm_registry";

const CONNECT: &str = "--connect";

/// A command line that has been read and checked.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The socket of the kernel half.
    pub connect: PathBuf,
    /// Hive names as they are to be registered, and the absolute paths of their databases.
    pub hives: Vec<(String, PathBuf)>,
}

/// What is wrong with a command line.
#[derive(Debug)]
pub enum CommandLineError {
    /// An argument that is neither an option nor a hive.
    NotAHive(OsString),
    /// A hive without a name.
    NoName(OsString),
    /// A hive's name is not UTF-8.
    NameNotText(OsString),
    /// `--connect` is the last argument.
    NoSocket,
    /// `--connect` twice.
    TwoSockets,
    /// The hives will not do: none, one twice, a relative path.
    Hives(OpenError),
}

impl CommandLine {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// [`CommandLineError`] with the first fault. No file has been touched.
    pub fn parse(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<CommandLine, CommandLineError> {
        let mut connect = None;
        let mut hives = Vec::new();
        while let Some(argument) = arguments.next() {
            if argument != CONNECT {
                hives.push(hive(argument)?);
                continue;
            }
            let path = arguments.next().ok_or(CommandLineError::NoSocket)?;
            if connect.replace(PathBuf::from(path)).is_some() {
                return Err(CommandLineError::TwoSockets);
            }
        }
        SqliteStore::check(&hives).map_err(CommandLineError::Hives)?;
        Ok(CommandLine { connect: connect.unwrap_or_else(|| DEVICE.into()), hives })
    }
}

fn hive(argument: OsString) -> Result<(String, PathBuf), CommandLineError> {
    let bytes = argument.as_bytes();
    let Some(end) = bytes.iter().position(|byte| *byte == b'=') else {
        return Err(CommandLineError::NotAHive(argument));
    };
    if end == 0 {
        return Err(CommandLineError::NoName(argument));
    }
    let path = PathBuf::from(OsStr::from_bytes(&bytes[end + 1..]));
    match String::from_utf8(bytes[..end].to_vec()) {
        Ok(name) => Ok((name, path)),
        Err(_) => Err(CommandLineError::NameNotText(argument)),
    }
}

impl fmt::Display for CommandLineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandLineError::NotAHive(argument) => {
                write!(out, "{}: no hive; write HiveName=/path/to/database", argument.display())
            }
            CommandLineError::NoName(argument) => {
                write!(out, "{}: the hive has no name", argument.display())
            }
            CommandLineError::NameNotText(argument) => {
                write!(out, "{}: the hive's name is not UTF-8", argument.display())
            }
            CommandLineError::NoSocket => write!(out, "{CONNECT}: name the socket"),
            CommandLineError::TwoSockets => write!(out, "{CONNECT}: there can be one only"),
            CommandLineError::Hives(error) => error.fmt(out),
        }
    }
}

impl Error for CommandLineError {}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use expect_test::expect;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<CommandLine, CommandLineError> {
        CommandLine::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn hives_keep_their_order_and_spelling_and_the_device_is_that_of_the_text() {
        let parsed = parse(&["Machine=/a.regdb", "uSERS=/b=c.regdb"]).expect("good");
        let hives = vec![
            ("Machine".to_owned(), PathBuf::from("/a.regdb")),
            ("uSERS".to_owned(), PathBuf::from("/b=c.regdb")),
        ];
        assert_eq!(parsed, CommandLine { connect: "/dev/pkm_registry".into(), hives });
    }

    #[test]
    fn the_socket_may_stand_anywhere() {
        for arguments in [["--connect", "s", "M=/a"], ["M=/a", "--connect", "s"]] {
            assert_eq!(parse(&arguments).expect("good").connect, PathBuf::from("s"));
        }
    }

    #[test]
    fn bad_command_lines_are_refused() {
        let cases: &[&[&str]] = &[
            &[],
            &["--connect", "s"],
            &["Machine"],
            &["--help"],
            &["=/a"],
            &["Machine="],
            &["Machine=a.regdb"],
            &["Machine=/a", "Users=/b", "MACHINE=/c"],
            &["Machine=/a", "Users=/a"],
            &["Machine=/a", "--connect"],
            &["--connect", "s", "--connect", "t", "Machine=/a"],
        ];
        let refusals = cases.iter().map(|arguments| {
            let error = parse(arguments).expect_err("refused");
            format!("{}\n  {error}\n", arguments.join(" "))
        });
        expect![[r#"

              a source needs at least one hive; name one and its database
            --connect s
              a source needs at least one hive; name one and its database
            Machine
              Machine: no hive; write HiveName=/path/to/database
            --help
              --help: no hive; write HiveName=/path/to/database
            =/a
              =/a: the hive has no name
            Machine=
              hive Machine: : the path is relative; give an absolute one
            Machine=a.regdb
              hive Machine: a.regdb: the path is relative; give an absolute one
            Machine=/a Users=/b MACHINE=/c
              hive MACHINE: /c: another hive has this name, letter case aside; give each its own
            Machine=/a Users=/a
              hive Users: /a: another hive has this database; give each its own
            Machine=/a --connect
              --connect: name the socket
            --connect s --connect t Machine=/a
              --connect: there can be one only
        "#]]
        .assert_eq(&refusals.collect::<String>());
    }

    #[test]
    fn a_path_need_not_be_text_and_a_name_must() {
        let parse =
            |bytes: &[u8]| CommandLine::parse([OsString::from_vec(bytes.to_vec())].into_iter());
        assert!(parse(b"Machine=/\xFF").is_ok());
        assert!(matches!(parse(b"\xFF=/a"), Err(CommandLineError::NameNotText(_))));
    }
}
