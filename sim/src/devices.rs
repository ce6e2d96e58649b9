//! The processes that serve the source devices of actors.

use std::sync::{Arc, Mutex};

use conformance::target::ServedHive;
use lcs::Device;
use madsim::runtime::{Handle, NodeHandle};
use registry_model::input::SourceId;

use crate::env::{Clock, SimEnv};
use crate::source::{OpenStore, Process, SharedLog};
use crate::stall::Stall;
use crate::turnstile::Turnstile;

/// What serving needs of its world.
pub struct Machine {
    pub clock: Clock,
    pub log: SharedLog,
    pub turnstile: Turnstile,
}

/// A process that serves a device, as a task of a node of its own.
pub struct Serving {
    node: NodeHandle,
    pub store: OpenStore,
}

impl seam::Serving for Serving {
    fn end(self) {
        Handle::current().kill(self.node.id());
    }
}

impl Machine {
    /// Starts to serve empty hives.
    pub fn serve(
        self,
        source: SourceId,
        device: &Arc<Device<SimEnv>>,
        hives: &[ServedHive],
    ) -> Serving {
        let store = seam::empty_store(hives, self.clock.now());
        let store: OpenStore = Arc::new(Mutex::new(Box::new(store)));
        let process = Process {
            source,
            device: Arc::clone(device),
            store: Arc::clone(&store),
            armed: Arc::default(),
            stall: Stall::default(),
            refusals: Arc::default(),
            log: self.log,
            clock: self.clock,
            turnstile: self.turnstile.clone(),
            disk: None,
            delay_ms: Arc::default(),
        };
        let node = Handle::current().create_node().name(format!("device {}", source.0)).build();
        drop(node.spawn(self.turnstile.task(process.serve())));
        Serving { node, store }
    }
}
