//! What must have been sent by the time that no call is under way.

use std::collections::{BTreeMap, BTreeSet};

use registry_model::input::SourceId;

use super::frame::Guid;
use super::keys::shown;
use super::rules::{Failure, Held, Rule};

/// Requests that others call for.
#[derive(Clone, Debug, Default)]
pub(super) struct Obligations {
    /// Keys whose last write time is due, with the rule that asks for it.
    touched: BTreeMap<(SourceId, Guid), Rule>,
    /// Who got the deletion of each layer.
    layer_deletions: BTreeMap<Vec<u8>, BTreeSet<SourceId>>,
    /// Who may have had no slot for it in time: then it is not sent any more (P-366).
    without_slot: BTreeMap<Vec<u8>, BTreeSet<SourceId>>,
    /// Whether a connection came or went, or a source registered, which sends a deletion to one source
    /// only (D-55).
    connections_changed: bool,
}

impl Obligations {
    /// A request is sent that a last write time goes with.
    pub(super) fn touched(&mut self, source: SourceId, guid: Guid, rule: Rule) {
        self.touched.insert((source, guid), rule);
    }

    /// Such a request failed, or the key is gone.
    pub(super) fn untouched(&mut self, source: SourceId, guid: Guid) {
        self.touched.remove(&(source, guid));
    }

    /// The last write time of a key was sent.
    pub(super) fn time_written(&mut self, held: &mut Held, source: SourceId, guid: Guid) {
        if let Some(rule) = self.touched.remove(&(source, guid)) {
            held.mark(rule);
        }
    }

    pub(super) fn layer_deleted(&mut self, source: SourceId, layer: &[u8]) {
        self.layer_deletions.entry(layer.to_vec()).or_default().insert(source);
    }

    /// A call has given up while these sources had no slot to spare.
    pub(super) fn gave_up(&mut self, full: &BTreeSet<SourceId>) {
        if full.is_empty() {
            return;
        }
        for layer in self.layer_deletions.keys() {
            self.without_slot.entry(layer.clone()).or_default().extend(full);
        }
    }

    pub(super) fn connection_changed(&mut self, source: SourceId) {
        self.touched.retain(|(of, _), _| *of != source);
        self.connections_changed = true;
    }

    /// Judges and forgets. Nobody is at fault alone for what is missing at several sources, so
    /// the first of them is named.
    pub(super) fn settle(
        &mut self,
        held: &mut Held,
        registered: &BTreeSet<SourceId>,
    ) -> Result<(), (SourceId, Failure)> {
        let settled = std::mem::take(self);
        if let Some(((source, guid), rule)) = settled.touched.into_iter().next() {
            let message = format!("the last write time of {} was not sent", shown(guid));
            return Err((source, Failure::new(rule, message)));
        }
        if settled.connections_changed {
            return Ok(());
        }
        for (layer, receivers) in &settled.layer_deletions {
            let excused = settled.without_slot.get(layer);
            let is_due = |source: &&SourceId| excused.is_none_or(|of| !of.contains(source));
            if let Some(missed) = registered.difference(receivers).find(is_due) {
                let message = format!("the deletion of {} was not sent", layer.escape_ascii());
                return Err((*missed, Failure::new(Rule::LayerEverywhere, message)));
            }
            if receivers.len() > 1 {
                held.mark(Rule::LayerEverywhere);
            }
        }
        Ok(())
    }
}
