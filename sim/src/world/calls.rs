//! What calls need of a world, whether they overlap or not.

use conformance::target::RawCall;
use lcs::{Caller, Process};
use registry_model::input::ProcessId;

use super::World;
use crate::env::SimEnv;
use crate::memory::CallMemory;
use crate::turnstile::Turnstile;

impl World {
    /// What every task goes through.
    pub(crate) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    /// The time, Unix nanoseconds.
    pub(crate) fn time(&self) -> u64 {
        self.clock.now()
    }

    /// The kernel's side of a process.
    pub(crate) fn process(&self, process: ProcessId) -> &Process<SimEnv> {
        &self.processes[&process]
    }

    /// Waits until the kernel does nothing of its own.
    pub(crate) async fn settled(&self) {
        self.kernel.settled().await;
    }

    /// Makes a call that has nothing to do with streams; those are bad fds here.
    pub(crate) async fn plain_call(
        &self,
        caller: Caller<'_, SimEnv>,
        call: RawCall,
        memory: &CallMemory,
    ) -> i64 {
        match call {
            RawCall::Syscall { number, arguments } => {
                self.kernel.syscall(caller, number, arguments, memory).await
            }
            RawCall::Ioctl { fd, request, argument } => {
                self.kernel.ioctl(caller, fd, request, argument, memory).await
            }
            RawCall::Read { fd, buffer, length } => {
                self.kernel.read(caller, fd, buffer, length, memory).await
            }
            RawCall::Poll { fd } => self.kernel.poll(caller, fd),
            RawCall::Pass { fd, to } => {
                let passed = self.kernel.pass(caller, fd, &self.processes[&to]);
                passed.map_or_else(abi::Errno::returned, i64::from)
            }
            RawCall::Close { fd } => self.kernel.close(caller, fd).await,
            RawCall::OpenStream { .. } | RawCall::TakeStream { .. } => abi::Errno::EBADF.returned(),
        }
    }
}
