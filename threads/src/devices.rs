//! The processes that serve the source devices of actors: a thread each, in place of a process. Its end is
//! that of its device, and not a death.

use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use conformance::target::{Frame, ServedHive};
use futures::executor::block_on;
use futures::future::{Either, select};
use host::ThreadEnv;
use lcs::Device;
use lcs::env::Env;
use registry_model::input::SourceId;
use rsi::{decode_request, encode_refusal, encode_response};
use seam::lock;
use stores::{MemoryStore, Store};

use crate::connection::SharedLog;

/// A thread that serves a device.
pub struct Serving(JoinHandle<()>);

impl seam::Serving for Serving {
    fn end(self) {
        // A panic has been printed already.
        let _ = self.0.join();
    }
}

/// What the thread has.
struct Served {
    source: SourceId,
    device: Arc<Device<ThreadEnv>>,
    env: ThreadEnv,
    log: SharedLog,
    store: MemoryStore,
}

/// Starts to serve empty hives.
pub fn serve(
    (source, hives): (SourceId, &[ServedHive]),
    device: &Arc<Device<ThreadEnv>>,
    env: &ThreadEnv,
    log: &SharedLog,
) -> Serving {
    let store = seam::empty_store(hives, env.now());
    let (device, env, log) = (Arc::clone(device), env.clone(), Arc::clone(log));
    let mut served = Served { source, device, env, log, store };
    Serving(thread::spawn(move || block_on(served.serve())))
}

impl Served {
    /// Serves requests until the device closes.
    async fn serve(&mut self) {
        loop {
            while let Some(response) = self.store.poll(self.env.now()) {
                if !self.answer(&encode_response(&response)) {
                    return;
                }
            }
            let wake = self.env.sleep_until(self.store.next_wake().unwrap_or(u64::MAX));
            let bytes = match select(pin!(self.device.read()), pin!(wake)).await {
                Either::Left((Ok(bytes), _)) => bytes,
                Either::Left((Err(_), _)) => return,
                Either::Right(_) => continue,
            };
            self.note(true, &bytes);
            match decode_request(&bytes) {
                Ok(frame) => self.store.submit(frame, self.env.now()),
                Err(_) => {
                    let refusal = encode_refusal(&bytes);
                    if !refusal.is_ok_and(|refusal| self.answer(&refusal)) {
                        return;
                    }
                }
            }
        }
    }

    /// Whether the device took the response.
    fn answer(&self, bytes: &[u8]) -> bool {
        self.note(false, bytes);
        self.device.write(bytes).is_ok()
    }

    fn note(&self, is_request: bool, bytes: &[u8]) {
        let frame = Frame { source: self.source, is_request, bytes: bytes.to_vec() };
        lock(&self.log).frames.push(frame);
    }
}
