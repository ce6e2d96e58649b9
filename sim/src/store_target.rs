//! A source on its own, without a kernel: a store behind its frames, on a virtual clock.
//!
//! The bytes go through the same codec and the same store as in a world; what is left out is the
//! kernel half. Everything follows from the seed and the frames.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use conformance::store_client::target::{Gone, StoreMachine, StoreTarget};
use registry_model::store::{Guid, RegisteredHive, Registration};
use rsi::{decode_request, encode_refusal, encode_response};

use crate::StoreKind;
use crate::env::{EPOCH, Randomness};
use crate::source::{self, SimStore, Storage};
use crate::world::NEXT_STORAGE_ID;

/// How much time a request takes, in nanoseconds, so that no two happen at once.
const REQUEST_TIME: u64 = 1_000;
/// How often a store may ask to be asked again within one passing of time.
const WAKES_MAX: usize = 10_000;

/// Makes sources of one kind.
#[derive(Clone, Copy, Debug)]
pub struct SimStoreMachine {
    /// The store.
    pub store: StoreKind,
}

impl StoreMachine for SimStoreMachine {
    fn target(&self, seed: u64) -> Result<Box<dyn StoreTarget + '_>, String> {
        let storage_id = NEXT_STORAGE_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(SimSource {
            now: EPOCH,
            randomness: Randomness::of_seed(seed),
            storage: Storage::new(self.store, storage_id),
            storage_id,
            incarnation: 0,
            running: None,
            responses: VecDeque::new(),
        }))
    }
}

struct SimSource {
    now: u64,
    randomness: Randomness,
    storage: Storage,
    storage_id: u64,
    incarnation: u32,
    running: Option<Box<dyn SimStore>>,
    responses: VecDeque<Vec<u8>>,
}

impl SimSource {
    /// Takes every response that is ready by now.
    fn poll(&mut self) {
        let Some(store) = &mut self.running else { return };
        while let Some(response) = store.poll(self.now) {
            self.responses.push_back(encode_response(&response));
        }
    }

    fn gone(&self) -> Gone {
        Gone("the process is not running".to_owned())
    }
}

impl StoreTarget for SimSource {
    fn now(&self) -> u64 {
        self.now
    }

    fn start(&mut self, hives: &[String]) -> Result<Registration, String> {
        self.now += REQUEST_TIME;
        self.incarnation += 1;
        // SQLite's names for shared memory databases are process-wide.
        let incarnation = format!("storage{}-{}", self.storage_id, self.incarnation);
        let store =
            source::open_store(&self.storage, hives, incarnation, &self.randomness, self.now)?;
        let hives = store.hives().iter().map(|hive| RegisteredHive {
            name: hive.name.clone().into_bytes(),
            root: Guid(hive.root.0),
            // PSD-006 §2.1: no source of ours has private hives (LORE-035).
            flags: 0,
        });
        let registration =
            Registration { hives: hives.collect(), max_sequence: store.max_sequence() };
        self.running = Some(store);
        Ok(registration)
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), Gone> {
        self.now += REQUEST_TIME;
        let now = self.now;
        let Some(store) = &mut self.running else { return Err(self.gone()) };
        match decode_request(frame) {
            Ok(request) => store.submit(request, now),
            Err(_) => match encode_refusal(frame) {
                Ok(refusal) => self.responses.push_back(refusal),
                // As in a world: the process ends where there is no request to answer.
                Err(error) => {
                    self.kill();
                    return Err(Gone(format!("the process ended: {error}")));
                }
            },
        }
        self.poll();
        Ok(())
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, Gone> {
        self.poll();
        match self.responses.pop_front() {
            Some(response) => Ok(Some(response)),
            None if self.running.is_none() => Err(self.gone()),
            None => Ok(None),
        }
    }

    fn answers_in_order(&self) -> bool {
        // A store works in one thread and hands its responses out as it goes.
        true
    }

    fn pass(&mut self, nanoseconds: u64) {
        let end = self.now.saturating_add(nanoseconds);
        for _ in 0..WAKES_MAX {
            self.poll();
            let wake = self.running.as_ref().and_then(|store| store.next_wake());
            match wake {
                Some(at) if at > self.now && at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
        self.poll();
    }

    fn kill(&mut self) {
        // Nothing reaches the files any more, so that dropping the store closes nothing cleanly.
        self.storage.kill();
        self.running = None;
        self.responses.clear();
    }

    fn stop(&mut self) {
        self.running = None;
        self.responses.clear();
    }
}
