//! Backup and restore: the calls around them that open a stream, take what was written, and close it.
//!
//! States how an action of a plan comes to calls (PSD-005 §6.3). The answer is that of the ioctl; what is
//! wrong with a stream itself the model sees when it is taken.

use std::sync::Arc;

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, StreamAccess};
use registry_model::observation::Observation;

use super::Manner;
use crate::divergence::Stop;
use crate::execution::Execution;
use crate::plan::{Action, ActorIndex, KeyReference};
use crate::streams;

/// `MAXIMUM_ALLOWED`: neither ioctl looks at what the fd was granted.
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

impl Execution<'_> {
    /// `backup` and `restore`.
    pub(super) async fn act_on_stream(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let (key, stream, access) = match action {
            Action::Backup { key, stream, access } | Action::Restore { key, stream, access } => {
                (key, stream, *access)
            }
            _ => return Ok(Observation::Failed(Errno::ENOTTY)),
        };
        let (fd, is_own) = match key {
            KeyReference::Handle(handle) => (self.fd(actor, handle), false),
            KeyReference::Path(path) => match self.open(actor, path, MAXIMUM_ALLOWED).await? {
                Ok(fd) => (fd, true),
                Err(failed) => return Ok(failed),
            },
        };
        let contents = match access {
            StreamAccess::Write => Vec::new(),
            _ => self.streams.get(stream).cloned().unwrap_or_default(),
        };
        let open = Call::OpenStream { access, contents: Arc::from(contents) };
        let answer = match self.call(actor, open).await? {
            Observation::StreamOpened { fd: opened } => {
                let call = match action {
                    Action::Backup { .. } => Call::Backup { fd, output: opened },
                    _ => Call::Restore { fd, input: opened },
                };
                let answer = self.principal(actor, action, call, manner).await?;
                self.take(actor, opened, stream, matches!(action, Action::Backup { .. })).await?;
                self.call(actor, Call::Close { fd: opened }).await?;
                answer
            }
            failed => failed,
        };
        if is_own {
            self.call(actor, Call::Close { fd }).await?;
        }
        Ok(answer)
    }

    /// Takes what was written. A backup's is what the stream has from now on, unless nothing was written.
    async fn take(
        &mut self,
        actor: ActorIndex,
        fd: Fd,
        stream: &str,
        is_kept: bool,
    ) -> Result<(), Stop> {
        if let Observation::Stream(bytes) = self.call(actor, Call::TakeStream { fd }).await?
            && is_kept
            && !bytes.is_empty()
        {
            self.streams.insert(stream.to_owned(), bytes);
        }
        Ok(())
    }

    /// What is done to streams without a call.
    pub(super) fn prepare_stream(&mut self, action: &Action) -> Option<Vec<String>> {
        match action {
            Action::Record { stream, record } => {
                streams::append(self.streams.entry(stream.clone()).or_default(), record);
                None
            }
            Action::Damage { stream, damage, is_sealed } => {
                let bytes = self.streams.entry(stream.clone()).or_default();
                streams::damage(bytes, damage, *is_sealed);
                None
            }
            Action::Records { stream } => {
                Some(streams::lines(self.streams.get(stream).map_or(&[][..], Vec::as_slice)))
            }
            _ => None,
        }
    }
}
