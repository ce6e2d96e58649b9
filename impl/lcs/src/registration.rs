//! Sources come, go and come back: the slot table (PSD-005 §7.1, §8.1; `REG-*`, `HIVE-*`, D-91).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use abi::Errno;
use rsi::Guid;

use crate::env::Env;
use crate::kernel::{Kernel, KernelSupervisor};
use crate::missed_deletions::MissedDeletions;
use crate::name::{self, FoldedName};
use crate::source::{self, Connection};
use crate::state::{Hive, Slot, SlotId, State};
use crate::syscalls::CURRENT_USER;
use crate::turns::{Place, Share};

/// What a source registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its hives.
    pub hives: Vec<HiveRegistration>,
    /// The highest sequence number that it has stored.
    pub max_sequence: u64,
}

/// One hive of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiveRegistration {
    /// Name, as bytes that nobody has judged yet.
    pub name: Vec<u8>,
    /// The root key.
    pub root: Guid,
    /// `RSI_HIVE_PRIVATE`, or nothing.
    pub flags: u32,
    /// The scope of a private hive, else all zero.
    pub scope: Guid,
}

/// What a hive is known by, its root aside.
type Identity = (FoldedName, Option<Guid>);

impl<E: Env> Kernel<E> {
    /// Registers a source on a device, as a new slot or as the return of a Down one.
    ///
    /// # Errors
    /// As D-91, in its order; the caller's privilege has been checked.
    pub fn register(
        self: &Arc<Self>,
        device: &source::Device<E>,
        registration: &Registration,
    ) -> Result<(), Errno> {
        let hives = validate(registration, self.parameters.component_length_max())?;
        if device.is_attached() {
            return Err(Errno::EINVAL);
        }
        if hives.len() > self.parameters.hives_per_source_max() {
            return Err(Errno::ENOSPC);
        }
        let next_sequence = registration.max_sequence.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        let mut state = self.state();
        let resumed = place(&state, &hives, self.parameters.sources_max())?;
        let slot = resumed.unwrap_or(SlotId(state.slots.len()));
        let incarnation = resumed.map_or(1, |slot| state.slot(slot).incarnation + 1);
        let kernel = self.downgrade();
        let supervisor = Arc::new(KernelSupervisor { kernel, slot, incarnation });
        let in_flight_max = state.parameters.requests_in_flight_max();
        let connection = Connection::new(self.env.clone(), in_flight_max, supervisor);
        device.attach(connection.clone())?;
        state.next_sequence = state.next_sequence.max(next_sequence);
        let slot = match resumed {
            Some(slot) => {
                resume(state.slot_mut(slot), connection, incarnation, hives);
                if state.slot(slot).missed_deletions.is_empty() {
                    state.watches.overflow_slot(slot, self.parameters.watch_limits());
                }
                slot
            }
            None => state.add_slot(Slot {
                connection,
                incarnation,
                resuming: false,
                hives: hives.into_values().collect(),
                missed_deletions: MissedDeletions::default(),
            }),
        };
        self.bring_up(&mut state, slot);
        Ok(())
    }

    /// Starts what has to follow a registration. The turn is asked for under the same lock that
    /// makes the slot visible, so no request comes before the replay.
    fn bring_up(self: &Arc<Self>, state: &mut State<E>, slot: SlotId) {
        let machine = state.machine.filter(|hive| hive.slot == slot);
        if let Some(machine) = machine {
            let root = state.hive(machine).root;
            state.metadata.stale = true;
            state.configuration.loads_pending += 1;
            if state.metadata.chain.is_empty() {
                state.metadata.chain.push(root);
            }
        }
        let content = state.slot_mut(slot);
        content.resuming = !content.missed_deletions.is_empty();
        let replay =
            content.resuming.then(|| self.turns.take(Place::Resumption(slot), Share::Alone));
        let loads = machine.is_some();
        if replay.is_none() && !loads {
            return;
        }
        let kernel = Arc::clone(self);
        self.spawn(async move {
            if let Some(turn) = replay {
                let turn = turn.await;
                kernel.replay_deletions(slot).await;
                drop(turn);
            }
            if loads {
                kernel.load_metadata().await;
            }
        });
    }
}

/// Checks the shape of a registration and returns its hives by identity.
fn validate(
    registration: &Registration,
    name_length_max: usize,
) -> Result<BTreeMap<Identity, Hive>, Errno> {
    let mut hives = BTreeMap::new();
    let mut roots = Vec::new();
    if registration.hives.is_empty() {
        return Err(Errno::EINVAL);
    }
    for hive in &registration.hives {
        // Any bad name is EINVAL here, one that is too long included (D-05).
        let name = name::component(&hive.name, name_length_max).map_err(|_| Errno::EINVAL)?;
        let folded = FoldedName::new(name);
        let scope = match hive.flags {
            0 if hive.scope == Guid::NULL => None,
            abi::RSI_HIVE_PRIVATE if hive.scope != Guid::NULL => Some(hive.scope),
            _ => return Err(Errno::EINVAL),
        };
        let is_alias = folded == FoldedName::new(CURRENT_USER);
        if is_alias || hive.root == Guid::NULL || roots.contains(&hive.root) {
            return Err(Errno::EINVAL);
        }
        roots.push(hive.root);
        match hives.entry((folded.clone(), scope)) {
            Entry::Occupied(_) => return Err(Errno::EINVAL),
            Entry::Vacant(entry) => entry.insert(Hive {
                name: name.to_owned(),
                folded,
                root: hive.root,
                scope,
                generation: 0,
            }),
        };
    }
    Ok(hives)
}

/// Finds the Down slot that a registration resumes; none for a new slot.
fn place<E: Env>(
    state: &State<E>,
    hives: &BTreeMap<Identity, Hive>,
    sources_max: usize,
) -> Result<Option<SlotId>, Errno> {
    let mut overlap = None;
    for (index, slot) in state.slots.iter().enumerate() {
        let id = SlotId(index);
        let same_set = slot.hives.len() == hives.len();
        let known: Vec<_> = slot
            .hives
            .iter()
            .filter_map(|hive| Some((hive, hives.get(&identity(hive))?)))
            .collect();
        let same_roots = known.iter().all(|(old, new)| old.root == new.root);
        match (known.is_empty(), state.is_active(id), same_set && known.len() == hives.len()) {
            (true, ..) => {}
            (false, true, _) => return Err(Errno::EEXIST),
            (false, false, true) if same_roots => return Ok(Some(id)),
            (false, false, true) => overlap = overlap.or(Some(Errno::ESTALE)),
            (false, false, false) => overlap = Some(Errno::EINVAL),
        }
    }
    match overlap {
        Some(errno) => Err(errno),
        None if state.slots.len() >= sources_max => Err(Errno::ENOSPC),
        None => Ok(None),
    }
}

fn identity(hive: &Hive) -> Identity {
    (hive.folded.clone(), hive.scope)
}

/// A Down slot comes back. Its hives keep their places and generations (P-11).
fn resume<E: Env>(
    slot: &mut Slot<E>,
    connection: Connection<E>,
    incarnation: u64,
    mut hives: BTreeMap<Identity, Hive>,
) {
    slot.connection = connection;
    slot.incarnation = incarnation;
    slot.missed_deletions.reconnected();
    for hive in &mut slot.hives {
        if let Some(new) = hives.remove(&identity(hive)) {
            hive.name = new.name;
        }
    }
}
