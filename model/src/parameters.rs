//! The parameters of the registry: what each is called, and which numbers it may have.
//!
//! States the tables of PSD-005 §8.2 and §11.4. What is in force is in `limits`; where a number comes
//! from, and what becomes of one that a parameter may not have, is in `configuration`.

use crate::limits::Limits;

/// One parameter: a REG_DWORD value of this name below `Machine\System\Registry`.
pub struct Parameter {
    /// The value's name; case does not matter.
    pub name: &'static str,
    /// What its number counts.
    pub unit: &'static str,
    /// The lowest number that it may have.
    pub minimum: u32,
    /// The highest number that it may have.
    pub maximum: u32,
    place: fn(&mut Limits) -> &mut u32,
}

impl Parameter {
    /// The number that is compiled in.
    pub fn default(&self) -> u32 {
        self.of(&Limits::default())
    }

    /// The number that it has among these.
    pub fn of(&self, limits: &Limits) -> u32 {
        let mut limits = *limits;
        *(self.place)(&mut limits)
    }

    /// The same limits with another number for it.
    pub(crate) fn put(&self, mut limits: Limits, number: u32) -> Limits {
        *(self.place)(&mut limits) = number;
        limits
    }
}

/// All parameters, in the order of §8.2.
pub const PARAMETERS: [Parameter; 19] = [
    Parameter {
        name: "RequestTimeoutMs",
        unit: "milliseconds",
        minimum: 1_000,
        maximum: 600_000,
        place: |limits| &mut limits.request_timeout_ms,
    },
    Parameter {
        name: "TransactionTimeoutMs",
        unit: "milliseconds",
        minimum: 1_000,
        maximum: 600_000,
        place: |limits| &mut limits.transaction_timeout_ms,
    },
    Parameter {
        name: "NotificationQueueSize",
        unit: "events",
        minimum: 16,
        maximum: 65_536,
        place: |limits| &mut limits.notification_queue_size,
    },
    Parameter {
        name: "SymlinkDepthLimit",
        unit: "hops",
        minimum: 1,
        maximum: 64,
        place: |limits| &mut limits.symlink_depth_limit,
    },
    Parameter {
        name: "MaxValueSize",
        unit: "bytes",
        minimum: 4_096,
        maximum: 67_108_864,
        place: |limits| &mut limits.max_value_size,
    },
    Parameter {
        name: "MaxKeyDepth",
        unit: "levels",
        minimum: 32,
        maximum: 4_096,
        place: |limits| &mut limits.max_key_depth,
    },
    Parameter {
        name: "MaxPathComponentLength",
        unit: "bytes of UTF-8",
        minimum: 64,
        maximum: 1_024,
        place: |limits| &mut limits.max_path_component_length,
    },
    Parameter {
        name: "MaxTotalPathLength",
        unit: "bytes of UTF-8",
        minimum: 1_024,
        maximum: 65_535,
        place: |limits| &mut limits.max_total_path_length,
    },
    Parameter {
        name: "MaxLayersPerValue",
        unit: "layers",
        minimum: 1,
        maximum: 1_024,
        place: |limits| &mut limits.max_layers_per_value,
    },
    Parameter {
        name: "MaxBoundTransactionsPerSource",
        unit: "transactions",
        minimum: 1,
        maximum: 256,
        place: |limits| &mut limits.max_bound_transactions_per_source,
    },
    Parameter {
        name: "MaxReadOnlyTransactionsPerSource",
        unit: "transactions",
        minimum: 1,
        maximum: 256,
        place: |limits| &mut limits.max_read_only_transactions_per_source,
    },
    Parameter {
        name: "MaxTotalLayers",
        unit: "layers",
        minimum: 16,
        maximum: 65_536,
        place: |limits| &mut limits.max_total_layers,
    },
    Parameter {
        name: "MaxRegisteredSources",
        unit: "sources",
        minimum: 1,
        maximum: 256,
        place: |limits| &mut limits.max_registered_sources,
    },
    Parameter {
        name: "MaxHivesPerSource",
        unit: "hives",
        minimum: 1,
        maximum: 1_024,
        place: |limits| &mut limits.max_hives_per_source,
    },
    Parameter {
        name: "MaxConcurrentRSIRequests",
        unit: "requests",
        minimum: 8,
        maximum: 4_096,
        place: |limits| &mut limits.max_concurrent_rsi_requests,
    },
    Parameter {
        name: "MaxScopeGUIDsPerToken",
        unit: "GUIDs",
        minimum: 1,
        maximum: 256,
        place: |limits| &mut limits.max_scope_guids_per_token,
    },
    Parameter {
        name: "MaxPrivateLayersPerToken",
        unit: "layers",
        minimum: 1,
        maximum: 256,
        place: |limits| &mut limits.max_private_layers_per_token,
    },
    Parameter {
        name: "MaxSubtreeWatchDepth",
        unit: "levels",
        minimum: 0,
        maximum: 4_096,
        place: |limits| &mut limits.max_subtree_watch_depth,
    },
    Parameter {
        name: "MaxTransactionWatchEventBurst",
        unit: "events",
        minimum: 256,
        maximum: 65_536,
        place: |limits| &mut limits.max_transaction_watch_event_burst,
    },
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_table_is_that_of_the_text() {
        let lines: Vec<String> = PARAMETERS
            .iter()
            .map(|parameter| {
                let Parameter { name, unit, minimum, maximum, .. } = parameter;
                format!("{name} {} {minimum}--{maximum} {unit}", parameter.default())
            })
            .collect();
        expect![[r#"
            RequestTimeoutMs 30000 1000--600000 milliseconds
            TransactionTimeoutMs 30000 1000--600000 milliseconds
            NotificationQueueSize 256 16--65536 events
            SymlinkDepthLimit 16 1--64 hops
            MaxValueSize 1048576 4096--67108864 bytes
            MaxKeyDepth 512 32--4096 levels
            MaxPathComponentLength 255 64--1024 bytes of UTF-8
            MaxTotalPathLength 16383 1024--65535 bytes of UTF-8
            MaxLayersPerValue 128 1--1024 layers
            MaxBoundTransactionsPerSource 16 1--256 transactions
            MaxReadOnlyTransactionsPerSource 16 1--256 transactions
            MaxTotalLayers 1024 16--65536 layers
            MaxRegisteredSources 32 1--256 sources
            MaxHivesPerSource 64 1--1024 hives
            MaxConcurrentRSIRequests 256 8--4096 requests
            MaxScopeGUIDsPerToken 8 1--256 GUIDs
            MaxPrivateLayersPerToken 16 1--256 layers
            MaxSubtreeWatchDepth 0 0--4096 levels
            MaxTransactionWatchEventBurst 4096 256--65536 events"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn each_parameter_has_a_number_of_its_own() {
        for (index, parameter) in PARAMETERS.iter().enumerate() {
            let changed = parameter.put(Limits::default(), 77);
            for (other, parameter) in PARAMETERS.iter().enumerate() {
                let expected = if other == index { 77 } else { parameter.default() };
                assert_eq!(parameter.of(&changed), expected, "{}", parameter.name);
            }
        }
    }
}
