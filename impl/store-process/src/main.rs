//! The program `lockstep-store-sqlite`; the library says what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    store_process::main(std::env::args_os().skip(1))
}
