//! The source device: opening it, registering, and reading and writing it outside of requests.
//!
//! States PSD-005 §7.1 ("File-operation semantics", "Registration") as far as it concerns
//! registration and slots, with D-11, D-90, D-91 and P-53. Requests and their answers are no
//! business of this chapter: nobody has a request in flight when it is asked.

use crate::audit::AuditPattern;
use crate::audit_events::{bad_metadata, looked_at};
use crate::configuration::read_after_layers;
use crate::configuration_reading::Manner;
use crate::coverage::{Covered, covers};
use crate::database::{HiveId, Map};
use crate::errno::Errno;
use crate::input::{Contents, DeviceCall, Registration, SourceId, UnixTime};
use crate::late_kept;
use crate::layer_commit::owes_more;
use crate::layer_refresh::bad_at_registration;
use crate::limits::Limits;
use crate::observation::Readiness;
use crate::outcome::Outcome;
use crate::registration::{self, AskedHive, Granted};
use crate::security::{Privilege, Token};
use crate::slots;
use crate::state::{Device, Gone, SlotId, State};
use crate::step::Step;
use crate::store::BUSY_TIMEOUT_MS;
use crate::watches::{possible_unanswered, resolve_alike};

/// Length of the header of a response in bytes (RSI-48).
const RESPONSE_HEADER_LENGTH: usize = 14;

/// The op codes of responses (§11.1).
const RESPONSES: [u16; 18] = [
    0x8001, 0x8002, 0x8003, 0x8004, 0x8005, 0x8010, 0x8011, 0x8012, 0x8013, 0x8020, 0x8021, 0x8022,
    0x8023, 0x8030, 0x8031, 0x8032, 0x8040, 0x8050,
];

/// A registration that was accepted.
struct Registered<'a> {
    before: &'a State,
    asked: &'a [AskedHive],
    granted: Granted,
    max_sequence: u64,
}

impl Registered<'_> {
    /// What it comes to from this state.
    fn served(&self, state: State, process: slots::Process) -> Work {
        let mut work = Work::new(state, process.source);
        work.serve(self, process);
        work
    }
}

/// A call on the device at work.
struct Work {
    state: State,
    source: SourceId,
    covered: Covered,
    audit: Vec<AuditPattern>,
    /// The parameters of the first of the two readings of a registration, once that has been done.
    first_read: Limits,
    /// Other states that the call may leave, each with its events.
    otherwise: Vec<(State, Vec<AuditPattern>)>,
}

/// The step of a call on the device. A registration has more of a hive that holds malformed data, of which
/// the parameters can be read in two manners (P-164), and where it deletes a layer for which other
/// sources may wait (P-288).
pub(crate) fn step(
    state: &State,
    source: SourceId,
    token: &Token,
    call: &DeviceCall,
    at: UnixTime,
) -> Vec<Step> {
    let mut work = Work::new(state.clone(), source);
    let result = match call {
        DeviceCall::Open => work.open(token),
        DeviceCall::Register { registration, contents } => {
            work.register(state, token, registration.as_ref(), *contents, at)
        }
        DeviceCall::OtherIoctl { .. } => work.other_ioctl(),
        DeviceCall::Read => work.read(),
        DeviceCall::Write { response } => work.write(response),
        DeviceCall::Poll => work.poll(),
        DeviceCall::Close => work.close(),
    };
    let outcome = result.unwrap_or_else(Outcome::Failed);
    let covered = work.covered;
    let step =
        |(next, audit)| Step { outcome: outcome.clone(), covered, contest: None, audit, next };
    [(work.state, work.audit)].into_iter().chain(work.otherwise).map(step).collect()
}

impl Work {
    fn new(state: State, source: SourceId) -> Work {
        let (covered, audit, otherwise) = (Covered::new(), Vec::new(), Vec::new());
        Work { first_read: state.limits, state, source, covered, audit, otherwise }
    }

    /// `open(2)` (REG-01).
    fn open(&mut self, token: &Token) -> Result<Outcome, Errno> {
        if !token.has_privilege(Privilege::Tcb) {
            covers!(self.covered, "REG-01", "LORE-033");
            return Err(Errno::EPERM);
        }
        covers!(self.covered, "RSI-01", "BOOT-11");
        self.state.devices.insert_mut(self.source, Device::Unregistered);
        Ok(Outcome::Done)
    }

    /// `REG_SRC_REGISTER`, in the order of D-91.
    fn register(
        &mut self,
        before: &State,
        token: &Token,
        registration: Option<&Registration>,
        contents: Contents,
        at: UnixTime,
    ) -> Result<Outcome, Errno> {
        let device = self.device()?;
        self.state.false_maxima.remove_mut(&self.source);
        if !token.has_privilege(Privilege::Tcb) {
            covers!(self.covered, "REG-02");
            return Err(Errno::EPERM);
        }
        let asked = registration::form(before, registration, &mut self.covered)?;
        if device != Device::Unregistered {
            return Err(Errno::EINVAL);
        }
        let max_sequence = registration.map_or(0, |registration| registration.max_sequence);
        let granted = registration::grant(before, &asked, max_sequence, &mut self.covered)?;
        covers!(self.covered, "REG-03", "CONST-02", "CONST-04", "ABI-42", "ABI-43", "SRC-27");
        let unserved = self.state.clone();
        let process = |manner| slots::Process { source: self.source, contents, at, manner };
        let (by_name, whole) = (process(Manner::ByName), process(Manner::Whole));
        let registered = Registered { before, asked: &asked, granted, max_sequence };
        self.serve(&registered, by_name);
        let mut others: Vec<Work> = Vec::new();
        if registered.asked.iter().any(AskedHive::is_machine) && looked_at(&self.state).is_some() {
            let other = registered.served(unserved.clone(), whole);
            if !other.is_like(self) {
                others.push(other);
            }
        }
        if owes_more(&unserved, &self.state) {
            others.extend([by_name, whole].into_iter().filter_map(|process| {
                Some(registered.served(unserved.unlocked_by(at, BUSY_TIMEOUT_MS)?, process))
            }));
        }
        self.tell_as_unknown(before);
        for mut other in others {
            other.tell_as_unknown(before);
            self.otherwise.push((other.state, other.audit));
            self.otherwise.extend(other.otherwise);
        }
        self.otherwise.dedup();
        Ok(Outcome::Done)
    }

    /// What the layers have changed at sources that do not answer may be told of as unknown (P-242), under the
    /// parameters of then (P-139).
    fn tell_as_unknown(&mut self, before: &State) {
        let exact = State { limits: self.first_read, ..self.state.clone() };
        let hives = exact.hives.keys().copied().filter(|hive| exact.is_stalled(*hive));
        let hives: Vec<HiveId> = hives.collect();
        if hives.is_empty() || resolve_alike(before, &exact) {
            return;
        }
        let untold = State { watches: before.watches.clone(), ..exact.clone() };
        let before = before.looked_at_as(&exact);
        for watches in possible_unanswered(&before, &untold, &exact, &hives) {
            if watches != exact.watches {
                self.otherwise.push((State { watches, ..self.state.clone() }, self.audit.clone()));
            }
        }
    }

    /// Whether a registration has come to the same in another manner, and will tell of it by the same parameters.
    fn is_like(&self, other: &Work) -> bool {
        (&self.state, &self.audit, &self.first_read)
            == (&other.state, &other.audit, &other.first_read)
    }

    /// Takes up an accepted registration.
    fn serve(&mut self, registered: &Registered<'_>, process: slots::Process) {
        let Registered { before, asked, granted, max_sequence } = *registered;
        let (state, covered) = (&mut self.state, &mut self.covered);
        let serving = match granted {
            Granted::NewSlot => slots::occupy(before, state, asked, process, max_sequence, covered),
            Granted::Resumed(slot) => {
                let resumed = slots::Resumed { slot, max_sequence };
                slots::resume(before, state, asked, process, resumed, covered);
                slot
            }
        };
        self.first_read = self.state.limits;
        self.state.devices.insert_mut(self.source, Device::Registered(serving));
        if self.state.layers != before.layers {
            self.state.ask_stalled();
        }
        self.state.enumerations = Map::new_sync();
        self.report(serving);
        let hives: Vec<_> = self.state.hives_of(serving).map(|(hive, _)| hive).collect();
        let (state, covered) = (&mut self.state, &mut self.covered);
        self.audit.extend(read_after_layers(state, &hives, process.manner, covered));
    }

    /// The audit events of what the kernel reads when a source has registered (§8.1, P-112).
    fn report(&mut self, serving: SlotId) {
        let others = looked_at(&self.state);
        self.audit.extend(others.clone());
        if let Some((hive, keys)) = bad_at_registration(&self.state, serving) {
            let event = bad_metadata(&self.state, hive, &keys, &mut self.covered);
            self.audit.push(event);
            self.audit.extend(others);
        }
    }

    /// A request code that the device does not have is ENOTTY (D-11).
    fn other_ioctl(&mut self) -> Result<Outcome, Errno> {
        self.device()?;
        covers!(self.covered, "CONST-03");
        Err(Errno::ENOTTY)
    }

    /// `read(2)` with nothing queued.
    fn read(&mut self) -> Result<Outcome, Errno> {
        let device = self.device()?;
        Err(match device {
            Device::Unregistered => Errno::EINVAL,
            Device::Registered(_) if !self.is_connected() => Errno::EIO,
            Device::Registered(_) => {
                covers!(self.covered, "RSI-14");
                Errno::EAGAIN
            }
        })
    }

    /// `write(2)` of what is no answer: EINVAL, and the slot goes Down (D-90).
    fn write(&mut self, response: &[u8]) -> Result<Outcome, Errno> {
        self.device()?;
        if self.is_connected() {
            mark_bad_response(response, &mut self.covered);
            self.disconnect(Gone::Refused);
        }
        Err(Errno::EINVAL)
    }

    /// `poll(2)` with nothing queued.
    fn poll(&mut self) -> Result<Outcome, Errno> {
        let device = self.device()?;
        let is_active = self.is_connected();
        let is_down = !is_active && device != Device::Unregistered;
        if is_active {
            covers!(self.covered, "RSI-29");
        }
        if is_down {
            covers!(self.covered, "RSI-30");
        }
        let readiness = Readiness { readable: false, writable: is_active, hung_up: is_down };
        Ok(Outcome::Ready(readiness))
    }

    /// `close(2)`: the slot goes Down and keeps its hives (REG-16).
    fn close(&mut self) -> Result<Outcome, Errno> {
        self.device()?;
        self.state.devices.remove_mut(&self.source);
        if self.is_connected() {
            covers!(self.covered, "HIVE-24", "FAIL-03");
            self.disconnect(Gone::Closed);
        }
        Ok(Outcome::Done)
    }

    /// The slot goes Down, with what is in flight if the source has not answered it (P-249, P-264).
    fn disconnect(&mut self, gone: Gone) {
        self.state.enumerations = Map::new_sync();
        let mut states = late_kept::died(&self.state, self.source, gone).into_iter();
        if let Some(first) = states.next() {
            self.state = first;
        }
        self.otherwise.extend(states.map(|state| (state, Vec::new())));
    }

    fn device(&self) -> Result<Device, Errno> {
        self.state.devices.get(&self.source).copied().ok_or(Errno::EBADF)
    }

    /// Whether the device serves a slot: it has registered, and the slot did not go Down since.
    fn is_connected(&self) -> bool {
        self.state.slots.values().any(|slot| slot.connection == Some(self.source))
    }
}

/// Which rule of the framing a write breaks that answers no request.
fn mark_bad_response(response: &[u8], covered: &mut Covered) {
    let Some(stated) = response.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) else {
        covers!(covered, "RSI-20", "RSI-26", "SRC-50", "SRC-52");
        return;
    };
    let stated = stated as usize;
    if response.len() < RESPONSE_HEADER_LENGTH {
        covers!(covered, "RSI-20", "RSI-26", "SRC-50", "SRC-52");
    } else if response.len() < stated {
        covers!(covered, "RSI-18", "RSI-26", "SRC-50", "SRC-52");
    } else if response.len() > stated {
        covers!(covered, "RSI-19", "RSI-26", "SRC-50");
    } else {
        covers!(covered, "RSI-21");
        let op_code = u16::from_le_bytes([response[12], response[13]]);
        if !RESPONSES.contains(&op_code) {
            covers!(covered, "SRC-51");
        }
    }
}
