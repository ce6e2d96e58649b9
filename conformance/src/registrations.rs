//! Registrations under execution: the sources of the plan that start, and the devices that actors
//! open themselves.
//!
//! A source of the plan is the process whose number is its place in the plan. Every device that an
//! actor opens stands for a process of its own, numbered from there on.

use std::collections::BTreeMap;

use registry_model::input::{
    Contents, DeviceCall, HiveEntry, HiveName, Input, RSI_HIVE_PRIVATE, Registration, SourceId,
};
use registry_model::names::fold;
use registry_model::observation::Observation;
use registry_model::security::Token;

use crate::address_space::AddressSpace;
use crate::belief::Belief;
use crate::describe;
use crate::device::{self, Encoded};
use crate::divergence::{Kind, Stop};
use crate::execution::Execution;
use crate::lockstep::Happening;
use crate::plan::{Action, ActorIndex, Handle, PlannedRegistration, PlannedRoot, SourceHive};
use crate::target::{RawDeviceCall, Started};
use crate::wire::ServedRoot;

/// The process of a device that was never opened.
const NO_PROCESS: SourceId = SourceId(u32::MAX);

/// The devices of a run.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    open: BTreeMap<Handle, SourceId>,
    /// How many were opened so far.
    opened: u32,
    /// The root GUID by which each name was last registered.
    roots: BTreeMap<String, [u8; 16]>,
}

impl Devices {
    /// The machine went down: every process is gone.
    pub fn rebooted(&mut self) {
        self.open.clear();
    }

    /// Whether a device is open under this name.
    pub fn has(&self, handle: &Handle) -> bool {
        self.open.contains_key(handle)
    }

    fn process(&self, handle: &Handle) -> SourceId {
        self.open.get(handle).copied().unwrap_or(NO_PROCESS)
    }

    fn registered<'a>(&mut self, hives: impl IntoIterator<Item = (&'a str, [u8; 16])>) {
        self.roots.extend(hives.into_iter().map(|(name, root)| (fold(name), root)));
    }
}

impl Execution<'_> {
    /// Does what an action on a source device says.
    ///
    /// # Errors
    /// The divergence, if the model does not allow the answer.
    pub(crate) async fn act_on_device(
        &mut self,
        actor: ActorIndex,
        action: &Action,
    ) -> Result<Observation, Stop> {
        match action {
            Action::OpenDevice { device } => self.open_device(actor, device).await,
            Action::Register { device, registration } => {
                self.register(actor, device, registration).await
            }
            Action::ReadDevice { device } => self.plain(actor, device, DeviceCall::Read).await,
            Action::WriteDevice { device, bytes } => {
                let response = bytes.clone();
                self.plain(actor, device, DeviceCall::Write { response }).await
            }
            Action::PollDevice { device } => self.plain(actor, device, DeviceCall::Poll).await,
            _ => unreachable!("only devices are acted on here"),
        }
    }

    async fn open_device(
        &mut self,
        actor: ActorIndex,
        handle: &Handle,
    ) -> Result<Observation, Stop> {
        if self.devices.has(handle) {
            self.close_device(actor, handle).await?;
        }
        let source = SourceId(self.plan.sources.len() as u32 + self.devices.opened);
        let token = self.token(actor);
        let answer = self.plain_as(Some(actor), source, &token, DeviceCall::Open).await?;
        if answer == Observation::Done {
            self.devices.opened += 1;
            self.devices.open.insert(handle.clone(), source);
            self.monitor.connection_opened(source);
        }
        Ok(answer)
    }

    /// Closes a device and forgets its handle.
    ///
    /// # Errors
    /// As `act_on_device`.
    pub(crate) async fn close_device(
        &mut self,
        actor: ActorIndex,
        handle: &Handle,
    ) -> Result<Observation, Stop> {
        let source = self.devices.process(handle);
        let answer = self.plain(actor, handle, DeviceCall::Close).await?;
        self.devices.open.remove(handle);
        self.monitor.connection_closed(source);
        Ok(answer)
    }

    async fn register(
        &mut self,
        actor: ActorIndex,
        handle: &Handle,
        planned: &PlannedRegistration,
    ) -> Result<Observation, Stop> {
        let roots: Vec<[u8; 16]> = planned
            .hives
            .iter()
            .map(|hive| match &hive.root {
                PlannedRoot::Guid(guid) => *guid,
                PlannedRoot::Of(name) => {
                    self.devices.roots.get(&fold(name)).copied().unwrap_or_default()
                }
            })
            .collect();
        let Encoded { raw, memory, call } = device::encode_registration(planned, &roots);
        let hives = match &raw {
            RawDeviceCall::Ioctl { serves, .. } => serves.clone(),
            _ => Vec::new(),
        };
        let source = self.devices.process(handle);
        let token = self.token(actor);
        let answer = self.device_call(Some(actor), source, &token, call, (raw, memory)).await?;
        if answer == Observation::Done {
            let served = served_roots(planned, &roots);
            self.monitor.registered(source, planned.max_sequence, &served);
            if let Some(transcript) = &mut self.transcript {
                let (names, roots): (Vec<String>, Vec<[u8; 16]>) =
                    hives.iter().map(|hive| (hive.name.clone(), hive.root)).unzip();
                transcript.registered(&names, &roots);
            }
            self.devices.registered(hives.iter().map(|hive| (hive.name.as_str(), hive.root)));
        }
        self.check_frames()?;
        Ok(answer)
    }

    async fn plain(
        &mut self,
        actor: ActorIndex,
        handle: &Handle,
        call: DeviceCall,
    ) -> Result<Observation, Stop> {
        let (source, token) = (self.devices.process(handle), self.token(actor));
        let closes = matches!(call, DeviceCall::Write { .. });
        let answer = self.plain_as(Some(actor), source, &token, call).await?;
        self.check_frames()?;
        if closes && self.devices.has(handle) {
            self.monitor.connection_closed(source);
        }
        Ok(answer)
    }

    async fn plain_as(
        &mut self,
        actor: Option<ActorIndex>,
        source: SourceId,
        token: &Token,
        call: DeviceCall,
    ) -> Result<Observation, Stop> {
        let raw = device::encode_plain(&call);
        self.device_call(actor, source, token, call, (raw, AddressSpace::new())).await
    }

    async fn device_call(
        &mut self,
        actor: Option<ActorIndex>,
        source: SourceId,
        token: &Token,
        call: DeviceCall,
        (raw, memory): (RawDeviceCall, AddressSpace),
    ) -> Result<Observation, Stop> {
        let began = self.target.now();
        let result = self.target.device(source, token, raw, memory).await;
        let at = self.target.now();
        self.trace.record("device", began, describe::device(&call).as_bytes());
        self.trace.record("answer", at, &result.to_le_bytes());
        let observation = device::decode(&call, result).map_err(|malformed| {
            let expected = "an answer that the call can have".to_owned();
            let what = describe::device(&call);
            self.diverged(Kind::Malformed, actor, what, &[], expected, malformed.0)
        })?;
        let what = describe::device(&call);
        let input = Input::Device { source, token: token.clone(), call, at };
        self.happened(actor, input, &observation)?;
        self.settle_audits(actor, || what)?;
        // A registration may have made the kernel talk to a source that was to die of it.
        let events = self.target.take_events();
        if !events.is_empty() {
            self.environment(events)?;
        }
        Ok(observation)
    }

    /// Records what was answered to something and keeps the states that allow it.
    fn happened(
        &mut self,
        actor: Option<ActorIndex>,
        input: Input,
        observation: &Observation,
    ) -> Result<(), Stop> {
        if let Some(history) = &mut self.history {
            let observation = Some(observation.clone());
            history.push(Happening { input: input.clone(), observation, raw: None });
        }
        self.count(observation, false);
        self.check(actor, &input, observation)
    }

    /// A source of the plan has started and registered, or was refused.
    ///
    /// # Errors
    /// The divergence, if it did not register what it should have, or was answered otherwise than
    /// the model says.
    pub(crate) fn source_started(&mut self, started: &Started) -> Result<(), Stop> {
        let source = started.source;
        self.check_what_is_reported(started)?;
        let (token, at) = (Token::system(), self.target.now());
        let hives = || started.hives.iter().map(|(hive, root)| (hive.name.as_str(), *root));
        let registration = registration_of(started);
        let answer = match started.refused {
            None => Observation::Done,
            Some(errno) => Observation::Failed(errno),
        };
        let call = DeviceCall::Open;
        let open = Input::Device { source, token: token.clone(), call, at };
        self.happened(None, open, &Observation::Done)?;
        let (registration, contents) = (Some(registration), Contents::Kept);
        let call = DeviceCall::Register { registration, contents };
        let register = Input::Device { source, token: token.clone(), call, at };
        self.happened(None, register, &answer)?;
        self.monitor.connection_opened(source);
        if started.refused.is_some() {
            self.monitor.connection_closed(source);
            let close = Input::Device { source, token, call: DeviceCall::Close, at };
            return self.happened(None, close, &Observation::Done);
        }
        let roots: Vec<[u8; 16]> = hives().map(|(_, root)| root).collect();
        let named: Vec<(String, [u8; 16])> =
            hives().map(|(name, root)| (name.to_owned(), root)).collect();
        if let Some(transcript) = &mut self.transcript {
            let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
            transcript.registered(&names, &roots);
        }
        let served: Vec<ServedRoot> = started
            .hives
            .iter()
            .map(|(hive, root)| ServedRoot::new(&hive.name, hive.scope, *root))
            .collect();
        self.monitor.registered(source, started.max_sequence, &served);
        let settings = started.hives.iter().find(|(hive, _)| hive.is_settings());
        if let Some((_, root)) = settings {
            self.monitor.settings_registered(source, *root);
        }
        let kept = self.monitor.kept_roots(source, &named);
        kept.map_err(|violation| self.violated(&violation, "another root GUID".to_owned()))?;
        self.devices.registered(hives());
        Ok(())
    }

    /// A source registers the hives that it was started with, spelled like that, and the highest
    /// sequence number that it has stored (LORE-005, LORE-006, LORE-031).
    fn check_what_is_reported(&mut self, started: &Started) -> Result<(), Stop> {
        let hives: Vec<&SourceHive> = started.hives.iter().map(|(hive, _)| hive).collect();
        let what = || format!("what source {} registers", started.source.0);
        if hives != started.asked.iter().collect::<Vec<_>>() {
            let (expected, got) = (format!("{:?}", started.asked), format!("{hives:?}"));
            let ids = ["LORE-005", "LORE-006"];
            return Err(self.diverged(Kind::Answer, None, what(), &ids, expected, got));
        }
        let stored = |belief: &Belief| {
            let names = started.asked.iter().map(|hive| hive.name.as_str());
            belief.state.stored_maximum(started.source, names)
        };
        let agreeing: Vec<Belief> = self
            .beliefs
            .iter()
            .filter(|belief| stored(belief) == started.max_sequence)
            .cloned()
            .collect();
        if agreeing.is_empty() {
            let expected = format!("max_sequence {}", stored(&self.beliefs[0]));
            let got = format!("max_sequence {}", started.max_sequence);
            let ids = ["SEQ-12", "LORE-031", "LORE-032"];
            return Err(self.diverged(Kind::Answer, None, what(), &ids, expected, got));
        }
        self.beliefs = agreeing;
        let shown = ["LORE-005", "LORE-006", "LORE-031", "LORE-032", "SEQ-12"];
        self.statistics.marked_by_monitor.extend(shown);
        Ok(())
    }
}

/// The hives of a registration that was accepted.
fn served_roots(planned: &PlannedRegistration, roots: &[[u8; 16]]) -> Vec<ServedRoot> {
    let hives = planned.hives.iter().zip(roots);
    hives
        .map(|(hive, root)| {
            let is_private = hive.flags & RSI_HIVE_PRIVATE != 0;
            let name = String::from_utf8_lossy(&hive.name.0);
            ServedRoot::new(&name, is_private.then_some(hive.scope), *root)
        })
        .collect()
}

/// What a source of the plan passes to `REG_SRC_REGISTER` as it starts.
fn registration_of(started: &Started) -> Registration {
    let entry = |(hive, root): &(SourceHive, [u8; 16])| HiveEntry {
        name: HiveName::Bytes(hive.name.as_bytes().to_vec()),
        padding: [0; 2],
        root: *root,
        flags: hive.scope.map_or(0, |_| RSI_HIVE_PRIVATE),
        scope: hive.scope.unwrap_or_default(),
    };
    let hives: Vec<HiveEntry> = started.hives.iter().map(entry).collect();
    let hive_count = u32::try_from(hives.len()).unwrap_or(u32::MAX);
    Registration { hive_count, padding: 0, max_sequence: started.max_sequence, hives }
}
