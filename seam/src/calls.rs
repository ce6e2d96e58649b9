//! Calls that have nothing to do with streams, as the kernel half takes them.

use std::collections::BTreeMap;

use conformance::target::RawCall;
use lcs::env::Env;
use lcs::{Caller, Lcs, Process};
use registry_model::input::ProcessId;

use crate::memory::CallMemory;

/// The kernel half's side of each process.
pub type Processes<E> = BTreeMap<ProcessId, Process<E>>;

/// Makes a call that has nothing to do with streams; those are bad fds here.
pub async fn plain_call<E: Env>(
    kernel: &Lcs<E>,
    processes: &Processes<E>,
    caller: Caller<'_, E>,
    call: RawCall,
    memory: &CallMemory,
) -> i64 {
    match call {
        RawCall::Syscall { number, arguments } => {
            kernel.syscall(caller, number, arguments, memory).await
        }
        RawCall::Ioctl { fd, request, argument } => {
            kernel.ioctl(caller, fd, request, argument, memory).await
        }
        RawCall::Read { fd, buffer, length } => {
            kernel.read(caller, fd, buffer, length, memory).await
        }
        RawCall::Poll { fd } => kernel.poll(caller, fd),
        RawCall::Pass { fd, to } => {
            let passed = kernel.pass(caller, fd, &processes[&to]);
            passed.map_or_else(abi::Errno::returned, i64::from)
        }
        RawCall::Close { fd } => kernel.close(caller, fd).await,
        RawCall::OpenStream { .. } | RawCall::TakeStream { .. } => abi::Errno::EBADF.returned(),
    }
}
