//! Calls as numbers and bytes: twisted ones, and those that a plan spells out.
//!
//! The target gets the bytes, and the model reads the same bytes by itself. The answer is read by
//! `typed`, which also sees to it that nothing else in the caller's memory has changed.

use std::sync::Arc;

use registry_model::input::{Call, Fd, Input};
use registry_model::observation::Observation;

use crate::address_space::{AddressSpace, Protection};
use crate::describe;
use crate::divergence::Stop;
use crate::execution::Execution;
use crate::lockstep::RawHappening;
use crate::plan::{ActorIndex, RawArgument};
use crate::target::RawCall;
use crate::twist::{FdReference, Layout, Twist};
use crate::typed::{self, Reply};

impl Execution<'_> {
    /// Makes a call with its bytes twisted and checks its answer.
    ///
    /// # Errors
    /// The divergence, if no model state allows the answer.
    pub(crate) async fn twisted_call(
        &mut self,
        actor: ActorIndex,
        call: &Call,
        layout: &Layout,
        twists: &[Twist],
    ) -> Result<Observation, Stop> {
        let typed::Encoded { mut call, mut memory, .. } = typed::encode(call);
        let fd_of = |fd: &FdReference| self.referred_fd(actor, fd);
        for twist in twists {
            layout.apply(twist, &mut call, &mut memory, &fd_of);
        }
        self.raw_call(actor, call, memory).await
    }

    /// Makes an ioctl and checks its answer.
    ///
    /// # Errors
    /// The divergence, if no model state allows the answer.
    pub(crate) async fn ioctl(
        &mut self,
        actor: ActorIndex,
        fd: &FdReference,
        request: u32,
        structure: Option<&[u8]>,
    ) -> Result<Observation, Stop> {
        let fd = self.referred_fd(actor, fd);
        let mut memory = AddressSpace::new();
        let argument =
            structure.map_or(0, |bytes| memory.map(bytes.to_vec(), Protection::ReadWrite));
        self.raw_call(actor, RawCall::Ioctl { fd, request, argument }, memory).await
    }

    /// Makes a syscall and checks its answer. A key or a transaction that it opens is closed again.
    ///
    /// # Errors
    /// The divergence, if no model state allows the answer.
    pub(crate) async fn syscall(
        &mut self,
        actor: ActorIndex,
        number: u64,
        arguments: &[RawArgument],
    ) -> Result<Observation, Stop> {
        let mut memory = AddressSpace::new();
        let mut registers = [0; 6];
        for (register, argument) in registers.iter_mut().zip(arguments) {
            *register = match argument {
                RawArgument::Number(number) => *number,
                RawArgument::Handle(handle) => i64::from(self.fd(actor, handle)).cast_unsigned(),
                RawArgument::Bytes(bytes) => memory.map(bytes.clone(), Protection::ReadWrite),
                RawArgument::String(text) => {
                    let mut bytes = text.0.clone();
                    bytes.push(0);
                    memory.map(bytes, Protection::ReadOnly)
                }
            };
        }
        let call = RawCall::Syscall { number, arguments: registers };
        let answer = self.raw_call(actor, call, memory).await?;
        if let Observation::Opened { fd, .. } | Observation::Begun { fd } = &answer {
            self.call(actor, Call::Close { fd: *fd }).await?;
        }
        Ok(answer)
    }

    async fn raw_call(
        &mut self,
        actor: ActorIndex,
        call: RawCall,
        memory: AddressSpace,
    ) -> Result<Observation, Stop> {
        let what = describe::raw_call(&call, &memory);
        let began = self.target.now();
        let token = self.tokens.of(actor);
        let process = self.process(actor);
        self.monitor.time(self.target.now());
        self.monitor.call_began();
        let (result, after) = self.target.call(process, token, call.clone(), memory.clone()).await;
        let ended = self.target.now();
        let reply = Reply::of(&call, &memory);
        let answer = reply.decode(result, &after).and_then(|answer| {
            reply.check_changes(&answer, &memory, &after)?;
            Ok(answer)
        });
        self.trace.record("call", began, what.as_bytes());
        self.trace.record_value("answer", ended, &answer);
        let answer = answer.map_err(|fault| self.malformed(actor, what, fault))?;
        let raw = self.is_recorded().then(|| RawHappening {
            process,
            token: self.token(actor),
            call: call.clone(),
            memory: memory.clone(),
        });
        let memory = Arc::new(memory);
        self.judge(actor, answer, raw, |caller, interrupted| Input::RawCall {
            caller,
            call,
            memory,
            began,
            ended,
            interrupted,
        })
    }

    fn referred_fd(&self, actor: ActorIndex, fd: &FdReference) -> Fd {
        match fd {
            FdReference::Number(fd) => *fd,
            FdReference::Handle(handle) => self.fd(actor, handle),
        }
    }
}
