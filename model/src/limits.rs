//! The limits of the registry, with the values that are compiled in.
//!
//! States PSD-005 §8.2 and §11.4: every parameter with its name, unit and default. Does not know
//! where a changed value comes from, nor what happens when a limit is exceeded.

use crate::coverage::{Covered, covers};

/// The values of all parameters at one moment.
///
/// `Limits::default()` is what the kernel works with before it has read any configuration
/// (PSD-005 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `RequestTimeoutMs`, milliseconds.
    pub request_timeout_ms: u32,
    /// `TransactionTimeoutMs`, milliseconds.
    pub transaction_timeout_ms: u32,
    /// `MaxKeyDepth`, levels; the hive counts as one (D-02).
    pub max_key_depth: u32,
    /// `MaxPathComponentLength`, bytes of UTF-8; also for value and layer names.
    pub max_path_component_length: u32,
    /// `MaxTotalPathLength`, bytes of UTF-8, separators included.
    pub max_total_path_length: u32,
    /// `SymlinkDepthLimit`, hops.
    pub symlink_depth_limit: u32,
    /// `MaxValueSize`, bytes.
    pub max_value_size: u32,
    /// `MaxLayersPerValue`, layers with an entry at one (key, value name).
    pub max_layers_per_value: u32,
    /// `MaxTotalLayers`, layers; base counts (D-53).
    pub max_total_layers: u32,
    /// `MaxBoundTransactionsPerSource`, transactions.
    pub max_bound_transactions_per_source: u32,
    /// `MaxReadOnlyTransactionsPerSource`, transactions.
    pub max_read_only_transactions_per_source: u32,
    /// `MaxRegisteredSources`, sources.
    pub max_registered_sources: u32,
    /// `MaxHivesPerSource`, hives.
    pub max_hives_per_source: u32,
    /// `MaxConcurrentRSIRequests`, requests per source.
    pub max_concurrent_rsi_requests: u32,
    /// `NotificationQueueSize`, events per watch.
    pub notification_queue_size: u32,
    /// `MaxSubtreeWatchDepth`, levels; 0 means unlimited.
    pub max_subtree_watch_depth: u32,
    /// `MaxTransactionWatchEventBurst`, events per watcher and commit.
    pub max_transaction_watch_event_burst: u32,
    /// `MaxScopeGUIDsPerToken`, GUIDs.
    pub max_scope_guids_per_token: u32,
    /// `MaxPrivateLayersPerToken`, layers.
    pub max_private_layers_per_token: u32,
}

impl Limits {
    /// Marks that a limit decides whose parameter was changed.
    pub(crate) fn mark_changed(&self, of: impl Fn(&Limits) -> u32, covered: &mut Covered) {
        if self.differ(of) {
            covers!(covered, "BOOT-10", "CONF-25");
        }
    }

    /// Whether one of them is not what is compiled in.
    pub(crate) fn differ(&self, of: impl Fn(&Limits) -> u32) -> bool {
        of(self) != of(&Limits::default())
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_timeout_ms: 30_000,
            transaction_timeout_ms: 30_000,
            max_key_depth: 512,
            max_path_component_length: 255,
            max_total_path_length: 16_383,
            symlink_depth_limit: 16,
            max_value_size: 1_048_576,
            max_layers_per_value: 128,
            max_total_layers: 1024,
            max_bound_transactions_per_source: 16,
            max_read_only_transactions_per_source: 16,
            max_registered_sources: 32,
            max_hives_per_source: 64,
            max_concurrent_rsi_requests: 256,
            notification_queue_size: 256,
            max_subtree_watch_depth: 0,
            max_transaction_watch_event_burst: 4096,
            max_scope_guids_per_token: 8,
            max_private_layers_per_token: 16,
        }
    }
}
