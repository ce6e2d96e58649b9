//! What each action of a plan means, call by call.
//!
//! An action on a path opens the key with just the rights that it needs, acts and closes. The
//! answer of an action is that of its principal call, or of the first call that failed. A
//! transaction is carried by the principal call alone.

mod calls;
mod streams;

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd};
use registry_model::observation::Observation;

use self::calls::{KEY_ENUMERATE_SUB_KEYS, KEY_SET_VALUE, handle_call, key_and_access, key_call};
pub(crate) use self::calls::{overlapping_call, second_call};
use crate::divergence::Stop;
use crate::execution::{Execution, Look};
use crate::plan::{Action, ActorIndex, Handle, KeyReference, Text};
use crate::script::answer::{Changes, StepAnswer};
use crate::twist::{Layout, Twist};

const REG_DWORD: u32 = 4;

/// Where layer metadata lives (PSD-005 §2.6).
const LAYERS_PATH: &str = "Machine\\System\\Registry\\Layers";

/// A buffer large enough for any name.
const NAME_CAPACITY: u32 = 1024;
/// A buffer large enough for most data; a plan that wants to read more says so.
const DATA_CAPACITY: u32 = 65_536;
/// The fd that stands for a handle that was never opened.
pub(crate) const NO_FD: Fd = 1_000_000;
/// Positions tried by `List`.
const LIST_MAX: u32 = 100_000;

/// How the principal call of an action is made.
#[derive(Clone, Copy)]
struct Manner<'a> {
    /// What is changed in its numbers and bytes; `None` for a call that is made as it is.
    twists: Option<&'a [Twist]>,
    /// The transaction that it carries; -1 for none.
    transaction: Fd,
}

/// As the action says and in no transaction.
const PLAINLY: Manner<'static> = Manner { twists: None, transaction: -1 };

impl Execution<'_> {
    /// Does what an action says.
    ///
    /// # Errors
    /// The divergence of the first call whose answer the model does not allow.
    pub async fn act(&mut self, actor: ActorIndex, action: &Action) -> Result<StepAnswer, Stop> {
        match action {
            Action::OpenDevice { .. }
            | Action::Register { .. }
            | Action::ReadDevice { .. }
            | Action::WriteDevice { .. }
            | Action::PollDevice { .. } => {
                self.act_on_device(actor, action).await.map(StepAnswer::Observation)
            }
            Action::Close { handle } if self.devices.has(handle) => {
                self.close_device(actor, handle).await.map(StepAnswer::Observation)
            }
            Action::Raw { twists, action } if Layout::of(action).is_some() => {
                let manner = Manner { twists: Some(twists), ..PLAINLY };
                self.act_on_one(actor, action, manner).await.map(StepAnswer::Observation)
            }
            Action::Raw { .. } => {
                let problem = "the plan twists an action that is not about one call";
                Err(Stop::HarnessFault(problem.to_owned()))
            }
            Action::Within { transaction, action } => {
                self.act_within(actor, transaction, action).await
            }
            Action::Ioctl { fd, request, structure } => {
                let answer = self.ioctl(actor, fd, *request, structure.as_deref()).await?;
                Ok(StepAnswer::Observation(answer))
            }
            Action::Syscall { number, arguments } => {
                let answer = self.syscall(actor, *number, arguments).await?;
                Ok(StepAnswer::Observation(answer))
            }
            Action::Record { .. } | Action::Damage { .. } | Action::Records { .. } => {
                Ok(self.prepare_stream(action).map_or(StepAnswer::Nothing, StepAnswer::Records))
            }
            Action::Become { token } => {
                self.tokens.impersonate(actor, token);
                Ok(StepAnswer::Nothing)
            }
            Action::Revert => {
                self.tokens.revert(actor);
                Ok(StepAnswer::Nothing)
            }
            Action::List { key } => self.list(actor, key, -1).await,
            Action::Changes { key } => self.changes(actor, key, action).await,
            Action::LayerCreate { name, precedence, enabled } => {
                self.layer_create(actor, name, *precedence, *enabled).await
            }
            Action::LayerSet { name, precedence, enabled } => {
                let path = layer_path(name);
                match self.open(actor, &path, KEY_SET_VALUE).await? {
                    Ok(fd) => self.set_metadata(actor, fd, *precedence, *enabled).await,
                    Err(failed) => Ok(StepAnswer::Observation(failed)),
                }
            }
            Action::LayerDelete { name } => {
                let key = KeyReference::Path(layer_path(name));
                let delete = Action::Delete { key, layer: Text::default() };
                self.act_on_key(actor, &delete, PLAINLY).await.map(StepAnswer::Observation)
            }
            Action::View { path } => {
                let below: Vec<String> = components(&path.0)
                    .into_iter()
                    .map(|part| String::from_utf8_lossy(&part).into_owned())
                    .collect();
                Ok(self
                    .compare_view(actor, &below)
                    .await?
                    .map_or(StepAnswer::Nothing, StepAnswer::View))
            }
            _ => self.act_on_one(actor, action, PLAINLY).await.map(StepAnswer::Observation),
        }
    }

    async fn act_within(
        &mut self,
        actor: ActorIndex,
        transaction: &Handle,
        action: &Action,
    ) -> Result<StepAnswer, Stop> {
        let manner = Manner { transaction: self.fd(actor, transaction), ..PLAINLY };
        match action {
            Action::List { key } => self.list(actor, key, manner.transaction).await,
            _ if action.takes_transaction() => {
                self.act_on_one(actor, action, manner).await.map(StepAnswer::Observation)
            }
            _ => {
                let problem = "the plan puts an action into a transaction that cannot be in one";
                Err(Stop::HarnessFault(problem.to_owned()))
            }
        }
    }

    /// Does an action that is about one call, and makes that call in this manner.
    async fn act_on_one(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let (action, manner) = match action {
            Action::Within { transaction, action } => {
                (&**action, Manner { transaction: self.fd(actor, transaction), ..manner })
            }
            _ => (action, manner),
        };
        match action {
            Action::Open { .. } | Action::Create { .. } | Action::Begin { .. } => {
                self.act_on_new_handle(actor, action, manner).await
            }
            Action::Close { handle }
            | Action::Commit { transaction: handle }
            | Action::TransactionStatus { transaction: handle }
            | Action::Watch { handle, .. }
            | Action::Events { handle, .. }
            | Action::Poll { handle } => self.act_on_handle(actor, action, handle, manner).await,
            Action::Pass { handle, to, received } => {
                self.pass(actor, action, (handle, to.as_deref(), received), manner).await
            }
            Action::Backup { .. } | Action::Restore { .. } => {
                self.act_on_stream(actor, action, manner).await
            }
            Action::Set { key: KeyReference::Path(path), .. } => {
                self.set_by_path(actor, path, action, manner).await
            }
            _ => self.act_on_key(actor, action, manner).await,
        }
    }

    /// Makes the call that an action is about.
    async fn principal(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        call: Call,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let call = call.within(manner.transaction);
        match (manner.twists, Layout::of(action)) {
            (Some(twists), Some(layout)) => self.twisted_call(actor, &call, layout, twists).await,
            _ => self.call(actor, call).await,
        }
    }

    /// Actions of one call on what a handle stands for, whatever that is.
    async fn act_on_handle(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        handle: &Handle,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let fd = self.fd(actor, handle);
        if let Action::Close { .. } = action {
            self.handles[actor].remove(handle);
        }
        let call = handle_call(action, fd).ok_or_else(|| {
            Stop::HarnessFault("the plan has an action on no handle as one on a handle".to_owned())
        })?;
        self.principal(actor, action, call, manner).await
    }

    /// Actions that open something and keep it.
    async fn act_on_new_handle(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        match action {
            Action::Open { handle, parent, path, access, flags } => {
                self.close_if_open(actor, handle).await?;
                let call = Call::OpenKey {
                    parent: self.parent_fd(actor, parent.as_ref()),
                    path: path.0.clone(),
                    desired_access: *access,
                    flags: *flags,
                };
                let answer = self.principal(actor, action, call, manner).await?;
                self.keep(actor, Some(handle), &answer);
                Ok(answer)
            }
            Action::Create { handle, parent, path, access, flags, layer } => {
                if let Some(handle) = handle {
                    self.close_if_open(actor, handle).await?;
                }
                let call = Call::CreateKey {
                    parent: self.parent_fd(actor, parent.as_ref()),
                    path: path.0.clone(),
                    desired_access: *access,
                    flags: *flags,
                    layer: layer.as_ref().map(|layer| layer.0.clone()),
                    transaction: -1,
                };
                let answer = self.principal(actor, action, call, manner).await?;
                match (opened(&answer), handle) {
                    (Some(fd), None) => {
                        self.call(actor, Call::Close { fd }).await?;
                    }
                    _ => self.keep(actor, handle.as_ref(), &answer),
                }
                Ok(answer)
            }
            Action::Begin { handle } => {
                self.close_if_open(actor, handle).await?;
                let answer = self.principal(actor, action, Call::BeginTransaction, manner).await?;
                self.keep(actor, Some(handle), &answer);
                Ok(answer)
            }
            _ => unreachable!("only these actions open something"),
        }
    }

    /// Makes an fd for another actor, or one more for this one.
    async fn pass(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        (handle, to, received): (&Handle, Option<&str>, &Handle),
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let recipient = match to {
            None => Some(actor),
            Some(name) => self.plan.actors.iter().position(|other| other.name == name),
        };
        let Some(recipient) = recipient else {
            let problem = format!("the plan passes an fd to {to:?}, who is not in it");
            return Err(Stop::HarnessFault(problem));
        };
        let call = Call::Pass { fd: self.fd(actor, handle), to: self.process(recipient) };
        self.close_if_open(recipient, received).await?;
        let answer = self.principal(actor, action, call, manner).await?;
        if let Observation::Passed { fd } = answer {
            self.handles[recipient].insert(received.clone(), fd);
        }
        Ok(answer)
    }

    /// Actions of one call on one key.
    async fn act_on_key(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let (key, access) = key_and_access(action);
        match key {
            KeyReference::Handle(handle) => {
                let fd = self.fd(actor, handle);
                self.on_key(actor, action, fd, manner).await
            }
            KeyReference::Path(path) => match self.open(actor, path, access).await? {
                Ok(fd) => {
                    let answer = self.on_key(actor, action, fd, manner).await?;
                    self.call(actor, Call::Close { fd }).await?;
                    Ok(answer)
                }
                Err(failed) => Ok(failed),
            },
        }
    }

    /// Makes the calls of an action on one key.
    async fn on_key(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        fd: Fd,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let first = key_call(action, fd);
        let answer = self.principal(actor, action, first.clone(), manner).await?;
        match second_call(action, &first, &answer) {
            Some(second) => self.call(actor, second).await,
            None => Ok(answer),
        }
    }

    async fn set_by_path(
        &mut self,
        actor: ActorIndex,
        path: &Text,
        action: &Action,
        manner: Manner<'_>,
    ) -> Result<Observation, Stop> {
        let fd = match self.open(actor, path, KEY_SET_VALUE).await? {
            Ok(fd) => fd,
            Err(Observation::Failed(Errno::ENOENT)) => {
                match self.create_prefixes(actor, path).await? {
                    Ok(fd) => fd,
                    Err(failed) => return Ok(failed),
                }
            }
            Err(failed) => return Ok(failed),
        };
        let answer = self.principal(actor, action, key_call(action, fd), manner).await?;
        self.call(actor, Call::Close { fd }).await?;
        Ok(answer)
    }

    /// Creates in base whatever is missing on a path, and returns an fd of its end.
    async fn create_prefixes(
        &mut self,
        actor: ActorIndex,
        path: &Text,
    ) -> Result<Result<Fd, Observation>, Stop> {
        let parts = components(&path.0);
        let mut last = Err(Observation::Failed(Errno::ENOENT));
        for length in 2..=parts.len() {
            if let Ok(fd) = last {
                self.call(actor, Call::Close { fd }).await?;
            }
            let call = Call::CreateKey {
                parent: -1,
                path: parts[..length].join(&b'\\'),
                desired_access: KEY_SET_VALUE,
                flags: 0,
                layer: None,
                transaction: -1,
            };
            last = match self.call(actor, call).await? {
                Observation::Opened { fd, .. } => Ok(fd),
                failed => return Ok(Err(failed)),
            };
        }
        Ok(last)
    }

    async fn layer_create(
        &mut self,
        actor: ActorIndex,
        name: &Text,
        precedence: Option<u32>,
        enabled: Option<u32>,
    ) -> Result<StepAnswer, Stop> {
        let path = layer_path(name);
        let call = Call::CreateKey {
            parent: -1,
            path: path.0.clone(),
            desired_access: KEY_SET_VALUE,
            flags: 0,
            layer: None,
            transaction: -1,
        };
        let created = match self.call(actor, call).await? {
            Observation::Opened { fd, .. } => Ok(fd),
            Observation::Failed(Errno::ENOENT) => self.create_prefixes(actor, &path).await?,
            failed => Err(failed),
        };
        match created {
            Ok(fd) => self.set_metadata(actor, fd, precedence, enabled).await,
            Err(failed) => Ok(StepAnswer::Observation(failed)),
        }
    }

    /// Sets layer metadata values in base through an open fd and closes it.
    async fn set_metadata(
        &mut self,
        actor: ActorIndex,
        fd: Fd,
        precedence: Option<u32>,
        enabled: Option<u32>,
    ) -> Result<StepAnswer, Stop> {
        let mut answer = Observation::Done;
        for (name, value) in [("Precedence", precedence), ("Enabled", enabled)] {
            let (Some(value), Observation::Done) = (value, &answer) else { continue };
            let call = Call::SetValue {
                fd,
                name: name.as_bytes().to_vec(),
                value_type: REG_DWORD,
                data: value.to_le_bytes().to_vec(),
                layer: Vec::new(),
                transaction: -1,
                expected_sequence: 0,
            };
            answer = self.call(actor, call).await?;
        }
        self.call(actor, Call::Close { fd }).await?;
        Ok(StepAnswer::Observation(answer))
    }

    async fn list(
        &mut self,
        actor: ActorIndex,
        key: &KeyReference,
        transaction: Fd,
    ) -> Result<StepAnswer, Stop> {
        let (fd, opened) = match key {
            KeyReference::Handle(handle) => (self.fd(actor, handle), false),
            KeyReference::Path(path) => {
                match self.open(actor, path, KEY_ENUMERATE_SUB_KEYS).await? {
                    Ok(fd) => (fd, true),
                    Err(failed) => return Ok(StepAnswer::Observation(failed)),
                }
            }
        };
        let mut names = Vec::new();
        let mut failed = None;
        for index in 0..LIST_MAX {
            let call = Call::EnumSubkeys { fd, index, name_capacity: NAME_CAPACITY, transaction };
            match self.call(actor, call).await? {
                Observation::EnumeratedSubkey { name, .. } => names.push(name),
                Observation::Failed(Errno::ENOENT) => break,
                other => {
                    failed = Some(other);
                    break;
                }
            }
        }
        if opened {
            self.call(actor, Call::Close { fd }).await?;
        }
        names.sort();
        Ok(failed.map_or(StepAnswer::List(names), StepAnswer::Observation))
    }

    /// What has changed since the last look.
    async fn changes(
        &mut self,
        actor: ActorIndex,
        key: &KeyReference,
        action: &Action,
    ) -> Result<StepAnswer, Stop> {
        let info = match self.act_on_key(actor, action, PLAINLY).await? {
            Observation::KeyInfo(info) => info,
            failed => return Ok(StepAnswer::Observation(failed)),
        };
        let look = Look { written: info.last_write_time, generation: info.hive_generation };
        let former = self.looks[actor].insert(key.clone(), look);
        Ok(StepAnswer::Changes(former.map(|former| Changes {
            written: former.written != look.written,
            generation: i128::from(look.generation) - i128::from(former.generation),
        })))
    }

    async fn open(
        &mut self,
        actor: ActorIndex,
        path: &Text,
        access: u32,
    ) -> Result<Result<Fd, Observation>, Stop> {
        let call =
            Call::OpenKey { parent: -1, path: path.0.clone(), desired_access: access, flags: 0 };
        Ok(match self.call(actor, call).await? {
            Observation::Opened { fd, .. } => Ok(fd),
            failed => Err(failed),
        })
    }

    async fn close_if_open(&mut self, actor: ActorIndex, handle: &Handle) -> Result<(), Stop> {
        if let Some(fd) = self.handles[actor].remove(handle) {
            self.call(actor, Call::Close { fd }).await?;
        }
        Ok(())
    }

    fn keep(&mut self, actor: ActorIndex, handle: Option<&Handle>, answer: &Observation) {
        if let (Some(handle), Some(fd)) = (handle, opened(answer)) {
            self.handles[actor].insert(handle.clone(), fd);
        }
    }

    pub(crate) fn fd(&self, actor: ActorIndex, handle: &Handle) -> Fd {
        self.handles[actor].get(handle).copied().unwrap_or(NO_FD)
    }

    fn parent_fd(&self, actor: ActorIndex, parent: Option<&Handle>) -> Fd {
        parent.map_or(-1, |handle| self.fd(actor, handle))
    }
}

/// The fd of what an answer says is open now.
fn opened(answer: &Observation) -> Option<Fd> {
    match answer {
        Observation::Opened { fd, .. } | Observation::Begun { fd } => Some(*fd),
        _ => None,
    }
}

/// The metadata key of a layer.
fn layer_path(name: &Text) -> Text {
    let mut path = LAYERS_PATH.as_bytes().to_vec();
    path.push(b'\\');
    path.extend(&name.0);
    Text(path)
}

fn components(path: &[u8]) -> Vec<Vec<u8>> {
    if path.is_empty() {
        return Vec::new();
    }
    path.split(|byte| matches!(byte, b'\\' | b'/')).map(<[u8]>::to_vec).collect()
}
