//! Source devices that actors open themselves, and the sources that come of those that register.
//!
//! Such a source serves what it registered from a memory store of its own, which goes with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use conformance::address_space::AddressSpace;
use conformance::oracle::RawHive;
use conformance::target::{RawDeviceCall, ServedHive};
use lcs::env::UserMemory;
use lcs::security::Token;
use lcs::{Device, Lcs};
use madsim::runtime::{Handle, NodeHandle};
use registry_model::errno::Errno;
use registry_model::input::SourceId;
use stores::{MemoryConfig, MemoryDisk, MemoryStore};

use crate::env::{Clock, SimEnv};
use crate::memory::CallMemory;
use crate::source::{self, OpenStore, Process, SharedLog};
use crate::stall::Stall;
use crate::turnstile::Turnstile;

/// A buffer for any request.
const REQUEST_LENGTH_MAX: usize = 1 << 20;

const POLLIN: i64 = 0x01;
const POLLOUT: i64 = 0x04;
const POLLERR: i64 = 0x08;
const POLLHUP: i64 = 0x10;

/// What a device needs of its world.
pub struct Machine<'a> {
    pub kernel: &'a Lcs<SimEnv>,
    pub clock: Clock,
    pub log: &'a SharedLog,
    pub turnstile: &'a Turnstile,
}

/// The open devices, by process.
#[derive(Default)]
pub struct Devices(BTreeMap<SourceId, Open>);

struct Open {
    device: Arc<Device<SimEnv>>,
    serving: Option<Serving>,
}

struct Serving {
    node: NodeHandle,
    store: OpenStore,
}

impl Devices {
    /// A call; the value or a negative errno.
    pub async fn call(
        &mut self,
        machine: &Machine<'_>,
        source: SourceId,
        token: &Arc<Token>,
        call: RawDeviceCall,
        memory: AddressSpace,
    ) -> i64 {
        if call == RawDeviceCall::Open {
            return match machine.kernel.open_device(token) {
                Ok(device) => {
                    self.0.insert(source, Open { device: Arc::new(device), serving: None });
                    0
                }
                Err(errno) => errno.returned(),
            };
        }
        let Some(open) = self.0.get_mut(&source) else {
            return -i64::from(Errno::EBADF.number());
        };
        match call {
            RawDeviceCall::Ioctl { request, argument, serves } => {
                let memory = CallMemory::new(memory);
                let memory: &dyn UserMemory = &memory;
                let result = open.device.ioctl(token, request, argument, memory);
                if result == 0 {
                    open.serving = Some(serve(machine, source, &open.device, serves));
                }
                result
            }
            RawDeviceCall::Read => match open.device.try_read_with_capacity(REQUEST_LENGTH_MAX) {
                Ok(request) => request.len() as i64,
                Err(errno) => errno.returned(),
            },
            RawDeviceCall::Write { bytes } => match open.device.write(&bytes) {
                Ok(length) => length as i64,
                Err(errno) => errno.returned(),
            },
            RawDeviceCall::Poll => events(&open.device),
            RawDeviceCall::Open | RawDeviceCall::Close => {
                self.close(machine.kernel, source).await;
                0
            }
        }
    }

    /// Ends every process that has a device open.
    pub async fn close_all(&mut self, kernel: &Lcs<SimEnv>) {
        for source in self.0.keys().copied().collect::<Vec<_>>() {
            self.close(kernel, source).await;
        }
    }

    async fn close(&mut self, kernel: &Lcs<SimEnv>, source: SourceId) {
        let Some(open) = self.0.remove(&source) else { return };
        open.device.close();
        // A read that waits ends by that.
        kernel.settled().await;
        if let Some(serving) = open.serving {
            Handle::current().kill(serving.node.id());
        }
        kernel.settled().await;
    }

    /// What is stored in the hives of every source that is still connected.
    ///
    /// # Errors
    /// A store's own, in words.
    pub fn raw_hives(&self) -> Result<Vec<RawHive>, String> {
        let mut hives = Vec::new();
        let connected = |open: &&Open| !open.device.readiness().hung_up;
        for serving in self.0.values().filter(connected).filter_map(|open| open.serving.as_ref()) {
            hives.extend(source::raw_hives(&serving.store)?);
        }
        Ok(hives)
    }
}

/// Starts to serve empty hives with these roots.
fn serve(
    machine: &Machine<'_>,
    source: SourceId,
    device: &Arc<Device<SimEnv>>,
    hives: Vec<ServedHive>,
) -> Serving {
    let mut roots: Vec<[u8; 16]> = hives.iter().rev().map(|hive| hive.root).collect();
    let config = MemoryConfig {
        hives: hives.iter().map(|hive| hive.name.clone()).collect(),
        disk: MemoryDisk::new(),
        random: Box::new(move |bytes| {
            let root = roots.pop().unwrap_or_default();
            bytes.iter_mut().zip(root).for_each(|(byte, given)| *byte = given);
        }),
        now: machine.clock.now(),
    };
    let store: OpenStore = Arc::new(Mutex::new(Box::new(MemoryStore::open(config))));
    let process = Process {
        source,
        device: Arc::clone(device),
        store: Arc::clone(&store),
        armed: Arc::default(),
        stall: Stall::default(),
        refusals: Arc::default(),
        log: Arc::clone(machine.log),
        clock: machine.clock.clone(),
        turnstile: machine.turnstile.clone(),
    };
    let node = Handle::current().create_node().name(format!("device {}", source.0)).build();
    drop(node.spawn(machine.turnstile.task(process.serve())));
    Serving { node, store }
}

fn events(device: &Device<SimEnv>) -> i64 {
    let readiness = device.readiness();
    let said = [
        (readiness.readable, POLLIN),
        (readiness.writable, POLLOUT),
        (readiness.hung_up, POLLERR | POLLHUP),
    ];
    said.iter().filter(|(is, _)| *is).fold(0, |events, (_, bit)| events | bit)
}

#[cfg(test)]
mod tests {
    use stores::Store;

    use super::*;

    #[test]
    fn a_memory_store_takes_the_version_4_roots_it_is_given() {
        let given = [1u128, 2, 3].map(|n| (0x4000_8000_0000_0000_0000 | n).to_be_bytes());
        let mut roots: Vec<[u8; 16]> = given.iter().rev().copied().collect();
        let config = MemoryConfig {
            hives: ["a", "b", "c"].map(str::to_owned).to_vec(),
            disk: MemoryDisk::new(),
            random: Box::new(move |bytes| {
                bytes.copy_from_slice(&roots.pop().expect("one root for each hive"));
            }),
            now: 0,
        };
        let store = MemoryStore::open(config);
        let roots: Vec<[u8; 16]> = store.hives().iter().map(|hive| hive.root.0).collect();
        assert_eq!(roots, given);
    }
}
