//! What each action of a plan means, call by call.
//!
//! An action on a path opens the key with just the rights that it needs, acts and closes. The
//! answer of an action is that of its principal call, or of the first call that failed.

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd};
use registry_model::observation::Observation;

use crate::divergence::Stop;
use crate::execution::{Execution, Look};
use crate::plan::{Action, ActorIndex, Handle, KeyReference, Text};
use crate::script::answer::{Changes, StepAnswer};
use crate::sddl;
use crate::twist::{Layout, Twist};

const KEY_QUERY_VALUE: u32 = 0x0001;
const KEY_SET_VALUE: u32 = 0x0002;
const KEY_ENUMERATE_SUB_KEYS: u32 = 0x0008;
const DELETE: u32 = 0x0001_0000;
const READ_CONTROL: u32 = 0x0002_0000;
const WRITE_DAC: u32 = 0x0004_0000;
const WRITE_OWNER: u32 = 0x0008_0000;
const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;

const REG_DWORD: u32 = 4;

/// Where layer metadata lives (PSD-005 §2.6).
const LAYERS_PATH: &str = "Machine\\System\\Registry\\Layers";

/// A buffer large enough for any name.
const NAME_CAPACITY: u32 = 1024;
/// A buffer large enough for most data; a plan that wants to read more says so.
const DATA_CAPACITY: u32 = 65_536;
/// The fd that stands for a handle that was never opened.
const NO_FD: Fd = 1_000_000;
/// Positions tried by `List`.
const LIST_MAX: u32 = 100_000;

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
                self.act_on_one(actor, action, Some(twists)).await.map(StepAnswer::Observation)
            }
            Action::Raw { .. } => {
                let problem = "the plan twists an action that is not about one call";
                Err(Stop::HarnessFault(problem.to_owned()))
            }
            Action::Ioctl { fd, request, structure } => {
                let answer = self.ioctl(actor, fd, *request, structure.as_deref()).await?;
                Ok(StepAnswer::Observation(answer))
            }
            Action::Syscall { number, arguments } => {
                let answer = self.syscall(actor, *number, arguments).await?;
                Ok(StepAnswer::Observation(answer))
            }
            Action::Become { token } => {
                self.tokens.impersonate(actor, token);
                Ok(StepAnswer::Nothing)
            }
            Action::Revert => {
                self.tokens.revert(actor);
                Ok(StepAnswer::Nothing)
            }
            Action::List { key } => self.list(actor, key).await,
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
                self.act_on_key(actor, &delete, None).await.map(StepAnswer::Observation)
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
            _ => self.act_on_one(actor, action, None).await.map(StepAnswer::Observation),
        }
    }

    /// Does an action that is about one call, and twists that call if there are `twists`.
    async fn act_on_one(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        twists: Option<&[Twist]>,
    ) -> Result<Observation, Stop> {
        match action {
            Action::Open { .. } | Action::Create { .. } | Action::Close { .. } => {
                self.act_on_handle(actor, action, twists).await
            }
            Action::Pass { handle, to, received } => {
                self.pass(actor, action, (handle, to.as_deref(), received), twists).await
            }
            Action::Set { key: KeyReference::Path(path), .. } => {
                self.set_by_path(actor, path, action, twists).await
            }
            _ => self.act_on_key(actor, action, twists).await,
        }
    }

    /// Makes the call that an action is about.
    async fn principal(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        call: Call,
        twists: Option<&[Twist]>,
    ) -> Result<Observation, Stop> {
        match (twists, Layout::of(action)) {
            (Some(twists), Some(layout)) => self.twisted_call(actor, &call, layout, twists).await,
            _ => self.call(actor, call).await,
        }
    }

    async fn act_on_handle(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        twists: Option<&[Twist]>,
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
                let answer = self.principal(actor, action, call, twists).await?;
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
                let answer = self.principal(actor, action, call, twists).await?;
                match (&answer, handle) {
                    (Observation::Opened { fd, .. }, None) => {
                        self.call(actor, Call::Close { fd: *fd }).await?;
                    }
                    _ => self.keep(actor, handle.as_ref(), &answer),
                }
                Ok(answer)
            }
            Action::Close { handle } => {
                let fd = self.handles[actor].remove(handle).unwrap_or(NO_FD);
                self.principal(actor, action, Call::Close { fd }, twists).await
            }
            _ => unreachable!("only opens and closes work on handles themselves"),
        }
    }

    /// Makes an fd for another actor, or one more for this one.
    async fn pass(
        &mut self,
        actor: ActorIndex,
        action: &Action,
        (handle, to, received): (&Handle, Option<&str>, &Handle),
        twists: Option<&[Twist]>,
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
        let answer = self.principal(actor, action, call, twists).await?;
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
        twists: Option<&[Twist]>,
    ) -> Result<Observation, Stop> {
        let (key, access) = key_and_access(action);
        match key {
            KeyReference::Handle(handle) => {
                let fd = self.fd(actor, handle);
                self.principal(actor, action, key_call(action, fd), twists).await
            }
            KeyReference::Path(path) => match self.open(actor, path, access).await? {
                Ok(fd) => {
                    let call = key_call(action, fd);
                    let answer = self.principal(actor, action, call, twists).await?;
                    self.call(actor, Call::Close { fd }).await?;
                    Ok(answer)
                }
                Err(failed) => Ok(failed),
            },
        }
    }

    async fn set_by_path(
        &mut self,
        actor: ActorIndex,
        path: &Text,
        action: &Action,
        twists: Option<&[Twist]>,
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
        let answer = self.principal(actor, action, key_call(action, fd), twists).await?;
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

    async fn list(&mut self, actor: ActorIndex, key: &KeyReference) -> Result<StepAnswer, Stop> {
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
            let call =
                Call::EnumSubkeys { fd, index, name_capacity: NAME_CAPACITY, transaction: -1 };
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
        let info = match self.act_on_key(actor, action, None).await? {
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
        if let (Some(handle), Observation::Opened { fd, .. }) = (handle, answer) {
            self.handles[actor].insert(handle.clone(), *fd);
        }
    }

    pub(crate) fn fd(&self, actor: ActorIndex, handle: &Handle) -> Fd {
        self.handles[actor].get(handle).copied().unwrap_or(NO_FD)
    }

    fn parent_fd(&self, actor: ActorIndex, parent: Option<&Handle>) -> Fd {
        parent.map_or(-1, |handle| self.fd(actor, handle))
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

/// The key that an action works on and the rights it needs there.
fn key_and_access(action: &Action) -> (&KeyReference, u32) {
    match action {
        Action::Get { key, .. }
        | Action::Batch { key, .. }
        | Action::EnumerateValue { key, .. } => (key, KEY_QUERY_VALUE),
        Action::Set { key, .. }
        | Action::Unset { key, .. }
        | Action::Blanket { key, .. }
        | Action::Flush { key } => (key, KEY_SET_VALUE),
        Action::EnumerateSubkey { key, .. } | Action::List { key } => (key, KEY_ENUMERATE_SUB_KEYS),
        Action::Info { key, .. } | Action::Changes { key } => (key, READ_CONTROL),
        Action::Delete { key, .. } | Action::Hide { key, .. } => (key, DELETE),
        Action::GetSecurity { key, security_info, .. } => (key, access_to_read(*security_info)),
        Action::SetSecurity { key, security_info, .. } => (key, access_to_change(*security_info)),
        Action::Open { .. }
        | Action::Create { .. }
        | Action::Close { .. }
        | Action::Pass { .. }
        | Action::Become { .. }
        | Action::Revert
        | Action::LayerCreate { .. }
        | Action::LayerSet { .. }
        | Action::LayerDelete { .. }
        | Action::Raw { .. }
        | Action::Ioctl { .. }
        | Action::Syscall { .. }
        | Action::OpenDevice { .. }
        | Action::Register { .. }
        | Action::ReadDevice { .. }
        | Action::WriteDevice { .. }
        | Action::PollDevice { .. }
        | Action::View { .. } => unreachable!("not an action of one call on one key"),
    }
}

/// What it takes to read these components of an SD (PSD-005 §3.1); something even for none.
fn access_to_read(security_info: u32) -> u32 {
    match security_info & sddl::SACL {
        0 => READ_CONTROL,
        _ if security_info == sddl::SACL => ACCESS_SYSTEM_SECURITY,
        _ => READ_CONTROL | ACCESS_SYSTEM_SECURITY,
    }
}

/// What it takes to change these components of an SD; something even for none.
fn access_to_change(security_info: u32) -> u32 {
    let rights = [
        (sddl::OWNER | sddl::GROUP, WRITE_OWNER),
        (sddl::DACL, WRITE_DAC),
        (sddl::SACL, ACCESS_SYSTEM_SECURITY),
    ];
    let needed = rights.iter().filter(|(components, _)| security_info & components != 0);
    match needed.fold(0, |all, (_, right)| all | right) {
        0 => WRITE_DAC,
        access => access,
    }
}

fn key_call(action: &Action, fd: Fd) -> Call {
    let transaction = -1;
    match action {
        Action::Get { name, data_capacity, layer_capacity, .. } => Call::QueryValue {
            fd,
            name: name.0.clone(),
            transaction,
            data_capacity: data_capacity.unwrap_or(DATA_CAPACITY),
            layer_capacity: layer_capacity.unwrap_or(NAME_CAPACITY),
        },
        Action::Set { name, value_type, data, layer, expected_sequence, .. } => Call::SetValue {
            fd,
            name: name.0.clone(),
            value_type: *value_type,
            data: data.clone(),
            layer: layer.0.clone(),
            transaction,
            expected_sequence: *expected_sequence,
        },
        Action::Unset { name, layer, .. } => {
            Call::DeleteValue { fd, name: name.0.clone(), layer: layer.0.clone(), transaction }
        }
        Action::Blanket { layer, set, .. } => {
            Call::BlanketTombstone { fd, layer: layer.0.clone(), set: *set, transaction }
        }
        Action::Batch { capacity, .. } => {
            Call::QueryValuesBatch { fd, capacity: capacity.unwrap_or(DATA_CAPACITY), transaction }
        }
        Action::EnumerateValue { index, name_capacity, data_capacity, .. } => Call::EnumValues {
            fd,
            index: *index,
            name_capacity: name_capacity.unwrap_or(NAME_CAPACITY),
            data_capacity: data_capacity.unwrap_or(DATA_CAPACITY),
            transaction,
        },
        Action::EnumerateSubkey { index, name_capacity, .. } => Call::EnumSubkeys {
            fd,
            index: *index,
            name_capacity: name_capacity.unwrap_or(NAME_CAPACITY),
            transaction,
        },
        Action::Info { name_capacity, .. } => {
            Call::QueryKeyInfo { fd, name_capacity: name_capacity.unwrap_or(NAME_CAPACITY) }
        }
        Action::Changes { .. } => Call::QueryKeyInfo { fd, name_capacity: NAME_CAPACITY },
        Action::Delete { layer, .. } => Call::DeleteKey { fd, layer: layer.0.clone(), transaction },
        Action::Hide { layer, .. } => Call::HideKey { fd, layer: layer.0.clone(), transaction },
        Action::GetSecurity { security_info, capacity, .. } => Call::GetSecurity {
            fd,
            security_info: *security_info,
            capacity: capacity.unwrap_or(DATA_CAPACITY),
        },
        Action::SetSecurity { security_info, descriptor, .. } => Call::SetSecurity {
            fd,
            security_info: *security_info,
            descriptor: descriptor.clone(),
            transaction,
        },
        Action::Flush { .. } => Call::Flush { fd },
        _ => unreachable!("not an action of one call on one key"),
    }
}
