//! Source devices that actors open themselves, and the sources that come of those that register.
//!
//! Such a source serves what it registered from a memory store of its own, which goes with it. Who runs it, the
//! world knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use conformance::address_space::AddressSpace;
use conformance::target::{RawDeviceCall, ServedHive};
use lcs::env::{Env, UserMemory};
use lcs::security::Token;
use lcs::{Device, Lcs};
use registry_model::errno::Errno;
use registry_model::input::SourceId;
use stores::{MemoryConfig, MemoryDisk, MemoryStore};

use crate::memory::CallMemory;

/// A buffer for any request.
const REQUEST_LENGTH_MAX: usize = 1 << 20;

const POLLIN: i64 = 0x01;
const POLLOUT: i64 = 0x04;
const POLLERR: i64 = 0x08;
const POLLHUP: i64 = 0x10;

/// A process that serves a device.
pub trait Serving {
    /// Its device is closed, and so is what it waits for.
    fn end(self);
}

/// The open devices, by process.
pub struct Devices<E: Env, S>(BTreeMap<SourceId, Open<E, S>>);

struct Open<E: Env, S> {
    device: Arc<Device<E>>,
    serving: Option<S>,
}

impl<E: Env, S> Default for Devices<E, S> {
    fn default() -> Devices<E, S> {
        Devices(BTreeMap::new())
    }
}

impl<E: Env, S: Serving> Devices<E, S> {
    /// A call; the value or a negative errno. `serve` has a device served that has been registered with these
    /// hives.
    pub async fn call(
        &mut self,
        kernel: &Lcs<E>,
        (source, token): (SourceId, &Arc<Token>),
        call: RawDeviceCall,
        memory: AddressSpace,
        serve: impl FnOnce(&Arc<Device<E>>, Vec<ServedHive>) -> S,
    ) -> i64 {
        if call == RawDeviceCall::Open {
            return match kernel.open_device(token) {
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
                    open.serving = Some(serve(&open.device, serves));
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
                self.close(kernel, source).await;
                0
            }
        }
    }

    /// Ends every process that has a device open.
    pub async fn close_all(&mut self, kernel: &Lcs<E>) {
        for source in self.0.keys().copied().collect::<Vec<_>>() {
            self.close(kernel, source).await;
        }
    }

    async fn close(&mut self, kernel: &Lcs<E>, source: SourceId) {
        let Some(open) = self.0.remove(&source) else { return };
        open.device.close();
        // A read that waits ends by that.
        kernel.settled().await;
        if let Some(serving) = open.serving {
            serving.end();
        }
        kernel.settled().await;
    }

    /// The sources that are still connected.
    pub fn connected(&self) -> impl Iterator<Item = &S> {
        let connected = |open: &&Open<E, S>| !open.device.readiness().hung_up;
        self.0.values().filter(connected).filter_map(|open| open.serving.as_ref())
    }
}

/// An empty store of these hives, with these roots.
pub fn empty_store(hives: &[ServedHive], now: u64) -> MemoryStore {
    let mut roots: Vec<[u8; 16]> = hives.iter().rev().map(|hive| hive.root).collect();
    MemoryStore::open(MemoryConfig {
        hives: hives.iter().map(|hive| hive.name.clone()).collect(),
        disk: MemoryDisk::new(),
        random: Box::new(move |bytes| {
            let root = roots.pop().unwrap_or_default();
            bytes.iter_mut().zip(root).for_each(|(byte, given)| *byte = given);
        }),
        now,
    })
}

fn events<E: Env>(device: &Device<E>) -> i64 {
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
    fn an_empty_store_takes_the_version_4_roots_it_is_given() {
        let given = [1u128, 2, 3].map(|n| (0x4000_8000_0000_0000_0000 | n).to_be_bytes());
        let hive = |(name, root): (&str, [u8; 16])| ServedHive { name: name.to_owned(), root };
        let hives: Vec<ServedHive> = ["a", "b", "c"].into_iter().zip(given).map(hive).collect();
        let store = empty_store(&hives, 0);
        let roots: Vec<[u8; 16]> = store.hives().iter().map(|hive| hive.root.0).collect();
        assert_eq!(roots, given);
    }
}
