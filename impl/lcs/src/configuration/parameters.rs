//! The operational parameters: their names, ranges and defaults, and the numbers in force (PSD-005
//! §8.2, §11.4; `CONF-01`..`CONF-20`). It does not know where a number comes from.

use abi::value_type::REG_DWORD;

/// Nanoseconds of a millisecond.
const MILLISECOND_NS: u64 = 1_000_000;

/// What can be configured, in the order of PSD-005 §8.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// Milliseconds that one request to a source may take, slot reservation included.
    RequestTimeoutMs,
    /// Milliseconds from the creation of a transaction's fd to its end.
    TransactionTimeoutMs,
    /// Records that wait in one watch's queue.
    NotificationQueueSize,
    /// Symlinks followed in one resolution.
    SymlinkDepthLimit,
    /// Bytes of one value's data.
    MaxValueSize,
    /// Components of a path, the hive's included.
    MaxKeyDepth,
    /// Bytes of one component, value name or layer name.
    MaxPathComponentLength,
    /// Bytes of a whole path, separators included.
    MaxTotalPathLength,
    /// Layers with an entry for one value name of one key.
    MaxLayersPerValue,
    /// Transactions bound to one source at a time.
    MaxBoundTransactionsPerSource,
    /// Snapshots that backups of one source read at a time.
    MaxReadOnlyTransactionsPerSource,
    /// Layers in the table, base included (D-53).
    MaxTotalLayers,
    /// Source slots, Down ones included.
    MaxRegisteredSources,
    /// Hives of one source.
    MaxHivesPerSource,
    /// Requests that one source has in flight.
    MaxConcurrentRSIRequests,
    /// Scopes that are attached to one token.
    MaxScopeGUIDsPerToken,
    /// Private layers that are attached to one token.
    MaxPrivateLayersPerToken,
    /// Levels that a subtree watch reaches down, 0 for all.
    MaxSubtreeWatchDepth,
    /// Events that one commit may give one watch.
    MaxTransactionWatchEventBurst,
}

/// What is known of a parameter before anything is read.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The value's name.
    pub name: &'static str,
    /// The compiled-in number.
    pub default: u32,
    /// The least number that is taken.
    pub min: u32,
    /// The greatest number that is taken.
    pub max: u32,
}

/// Why what was found for a parameter is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// There is no value.
    Missing,
    /// It has another type, or is no whole REG_DWORD (P-162).
    WrongType(u32),
    /// The number is out of the parameter's range.
    OutOfRange(u32),
}

/// How many there are.
const COUNT: usize = 19;

impl Parameter {
    /// All of them, in the order of PSD-005 §8.2.
    pub const ALL: [Self; COUNT] = [
        Self::RequestTimeoutMs,
        Self::TransactionTimeoutMs,
        Self::NotificationQueueSize,
        Self::SymlinkDepthLimit,
        Self::MaxValueSize,
        Self::MaxKeyDepth,
        Self::MaxPathComponentLength,
        Self::MaxTotalPathLength,
        Self::MaxLayersPerValue,
        Self::MaxBoundTransactionsPerSource,
        Self::MaxReadOnlyTransactionsPerSource,
        Self::MaxTotalLayers,
        Self::MaxRegisteredSources,
        Self::MaxHivesPerSource,
        Self::MaxConcurrentRSIRequests,
        Self::MaxScopeGUIDsPerToken,
        Self::MaxPrivateLayersPerToken,
        Self::MaxSubtreeWatchDepth,
        Self::MaxTransactionWatchEventBurst,
    ];

    /// Name, default and range.
    pub const fn definition(self) -> Definition {
        match self {
            Self::RequestTimeoutMs => define("RequestTimeoutMs", 30_000, 1000, 600_000),
            Self::TransactionTimeoutMs => define("TransactionTimeoutMs", 30_000, 1000, 600_000),
            Self::NotificationQueueSize => define("NotificationQueueSize", 256, 16, 65_536),
            Self::SymlinkDepthLimit => define("SymlinkDepthLimit", 16, 1, 64),
            Self::MaxValueSize => define("MaxValueSize", 1_048_576, 4096, 67_108_864),
            Self::MaxKeyDepth => define("MaxKeyDepth", 512, 32, 4096),
            Self::MaxPathComponentLength => define("MaxPathComponentLength", 255, 64, 1024),
            Self::MaxTotalPathLength => define("MaxTotalPathLength", 16_383, 1024, 65_535),
            Self::MaxLayersPerValue => define("MaxLayersPerValue", 128, 1, 1024),
            Self::MaxBoundTransactionsPerSource => {
                define("MaxBoundTransactionsPerSource", 16, 1, 256)
            }
            Self::MaxReadOnlyTransactionsPerSource => {
                define("MaxReadOnlyTransactionsPerSource", 16, 1, 256)
            }
            Self::MaxTotalLayers => define("MaxTotalLayers", 1024, 16, 65_536),
            Self::MaxRegisteredSources => define("MaxRegisteredSources", 32, 1, 256),
            Self::MaxHivesPerSource => define("MaxHivesPerSource", 64, 1, 1024),
            Self::MaxConcurrentRSIRequests => define("MaxConcurrentRSIRequests", 256, 8, 4096),
            Self::MaxScopeGUIDsPerToken => define("MaxScopeGUIDsPerToken", 8, 1, 256),
            Self::MaxPrivateLayersPerToken => define("MaxPrivateLayersPerToken", 16, 1, 256),
            Self::MaxSubtreeWatchDepth => define("MaxSubtreeWatchDepth", 0, 0, 4096),
            Self::MaxTransactionWatchEventBurst => {
                define("MaxTransactionWatchEventBurst", 4096, 256, 65_536)
            }
        }
    }

    /// The number that an effective value gives the parameter. It is taken as it is or not at all
    /// (`CONF-31`).
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn judge(self, value: Option<(u32, &[u8])>) -> Result<u32, Invalid> {
        let (value_type, data) = value.ok_or(Invalid::Missing)?;
        let bytes = <[u8; 4]>::try_from(data).map_err(|_| Invalid::WrongType(value_type))?;
        if value_type != REG_DWORD {
            return Err(Invalid::WrongType(value_type));
        }
        let number = u32::from_le_bytes(bytes);
        let Definition { min, max, .. } = self.definition();
        if (min..=max).contains(&number) { Ok(number) } else { Err(Invalid::OutOfRange(number)) }
    }
}

const fn define(name: &'static str, default: u32, min: u32, max: u32) -> Definition {
    Definition { name, default, min, max }
}

/// A number for each parameter, every one within its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters([u32; COUNT]);

impl Default for Parameters {
    /// The compiled-in numbers.
    fn default() -> Self {
        Self(Parameter::ALL.map(|parameter| parameter.definition().default))
    }
}

impl Parameters {
    /// The number of one parameter.
    pub const fn get(&self, parameter: Parameter) -> u32 {
        self.0[parameter as usize]
    }

    /// Takes a number that [`Parameter::judge`] has found good.
    pub const fn set(&mut self, parameter: Parameter, number: u32) {
        self.0[parameter as usize] = number;
    }

    fn count(&self, parameter: Parameter) -> usize {
        usize::try_from(self.get(parameter)).unwrap_or(usize::MAX)
    }

    /// Nanoseconds that one request to a source may take, slot reservation included.
    pub fn request_timeout_ns(&self) -> u64 {
        u64::from(self.get(Parameter::RequestTimeoutMs)) * MILLISECOND_NS
    }

    /// Nanoseconds from the creation of a transaction's fd to its end.
    pub fn transaction_timeout_ns(&self) -> u64 {
        u64::from(self.get(Parameter::TransactionTimeoutMs)) * MILLISECOND_NS
    }

    /// Symlinks followed in one resolution.
    pub fn symlink_depth_max(&self) -> usize {
        self.count(Parameter::SymlinkDepthLimit)
    }

    /// Bytes of one value's data.
    pub const fn value_size_max(&self) -> u32 {
        self.get(Parameter::MaxValueSize)
    }

    /// Components of a path, the hive's included.
    pub fn key_depth_max(&self) -> usize {
        self.count(Parameter::MaxKeyDepth)
    }

    /// Bytes of one component, value name or layer name.
    pub fn component_length_max(&self) -> usize {
        self.count(Parameter::MaxPathComponentLength)
    }

    /// Bytes of a whole path, separators included.
    pub fn path_length_max(&self) -> usize {
        self.count(Parameter::MaxTotalPathLength)
    }

    /// Layers with an entry for one value name of one key.
    pub fn layers_per_value_max(&self) -> usize {
        self.count(Parameter::MaxLayersPerValue)
    }

    /// Transactions bound to one source at a time.
    pub fn bound_transactions_max(&self) -> usize {
        self.count(Parameter::MaxBoundTransactionsPerSource)
    }

    /// Snapshots that backups of one source read at a time.
    pub fn read_only_transactions_max(&self) -> usize {
        self.count(Parameter::MaxReadOnlyTransactionsPerSource)
    }

    /// Layers in the table, base included (D-53).
    pub fn layers_max(&self) -> usize {
        self.count(Parameter::MaxTotalLayers)
    }

    /// Source slots, Down ones included.
    pub fn sources_max(&self) -> usize {
        self.count(Parameter::MaxRegisteredSources)
    }

    /// Hives of one source.
    pub fn hives_per_source_max(&self) -> usize {
        self.count(Parameter::MaxHivesPerSource)
    }

    /// Requests that one source has in flight.
    pub fn requests_in_flight_max(&self) -> usize {
        self.count(Parameter::MaxConcurrentRSIRequests)
    }

    /// What may be attached to a token.
    pub fn attachment_limits(&self) -> AttachmentLimits {
        AttachmentLimits {
            scopes_max: self.count(Parameter::MaxScopeGUIDsPerToken),
            private_layers_max: self.count(Parameter::MaxPrivateLayersPerToken),
        }
    }

    /// What bounds watches.
    pub fn watch_limits(&self) -> WatchLimits {
        WatchLimits {
            queue_size: self.count(Parameter::NotificationQueueSize),
            subtree_depth_max: self.count(Parameter::MaxSubtreeWatchDepth),
            transaction_burst_max: self.count(Parameter::MaxTransactionWatchEventBurst),
        }
    }
}

/// How much may be attached to a token (PSD-005 §2.2, §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachmentLimits {
    /// Scopes of private hives.
    pub scopes_max: usize,
    /// Private layers.
    pub private_layers_max: usize,
}

impl Default for AttachmentLimits {
    /// The compiled-in ones.
    fn default() -> Self {
        Parameters::default().attachment_limits()
    }
}

/// What bounds watches: the parameters of PSD-005 §11.4 under that heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// Records that wait in one queue.
    pub queue_size: usize,
    /// Levels that a subtree watch reaches down, 0 for all.
    pub subtree_depth_max: usize,
    /// Events that one commit may give one watch.
    pub transaction_burst_max: usize,
}

impl WatchLimits {
    /// Whether a subtree watch is told of changes so many levels down.
    pub const fn reaches(self, depth: usize) -> bool {
        self.subtree_depth_max == 0 || depth <= self.subtree_depth_max
    }
}

#[cfg(test)]
mod tests {
    use abi::value_type::{REG_BINARY, REG_SZ};
    use expect_test::expect;

    use super::*;

    #[test]
    fn names_defaults_and_ranges_are_those_of_the_reference() {
        let lines: Vec<String> = Parameter::ALL
            .into_iter()
            .map(|parameter| {
                let Definition { name, default, min, max } = parameter.definition();
                assert_eq!(format!("{parameter:?}"), name);
                format!("{name} {default} {min}..{max}\n")
            })
            .collect();
        expect![[r"
            RequestTimeoutMs 30000 1000..600000
            TransactionTimeoutMs 30000 1000..600000
            NotificationQueueSize 256 16..65536
            SymlinkDepthLimit 16 1..64
            MaxValueSize 1048576 4096..67108864
            MaxKeyDepth 512 32..4096
            MaxPathComponentLength 255 64..1024
            MaxTotalPathLength 16383 1024..65535
            MaxLayersPerValue 128 1..1024
            MaxBoundTransactionsPerSource 16 1..256
            MaxReadOnlyTransactionsPerSource 16 1..256
            MaxTotalLayers 1024 16..65536
            MaxRegisteredSources 32 1..256
            MaxHivesPerSource 64 1..1024
            MaxConcurrentRSIRequests 256 8..4096
            MaxScopeGUIDsPerToken 8 1..256
            MaxPrivateLayersPerToken 16 1..256
            MaxSubtreeWatchDepth 0 0..4096
            MaxTransactionWatchEventBurst 4096 256..65536
        "]]
        .assert_eq(&lines.concat());
    }

    #[test]
    fn each_parameter_has_a_place_of_its_own_and_its_default_is_good() {
        let mut parameters = Parameters::default();
        for (number, parameter) in (1..).zip(Parameter::ALL) {
            let default = parameters.get(parameter);
            assert_eq!(parameter.judge(Some((REG_DWORD, &default.to_le_bytes()))), Ok(default));
            parameters.set(parameter, number);
        }
        for (number, parameter) in (1..).zip(Parameter::ALL) {
            assert_eq!(parameters.get(parameter), number);
        }
    }

    #[test]
    fn a_number_is_taken_from_end_to_end_of_the_range_and_nowhere_else() {
        for parameter in Parameter::ALL {
            let judge = |number: u32| parameter.judge(Some((REG_DWORD, &number.to_le_bytes())));
            let Definition { min, max, .. } = parameter.definition();
            assert_eq!((judge(min), judge(max)), (Ok(min), Ok(max)));
            assert_eq!(judge(max + 1), Err(Invalid::OutOfRange(max + 1)));
            if let Some(below) = min.checked_sub(1) {
                assert_eq!(judge(below), Err(Invalid::OutOfRange(below)));
            }
        }
    }

    #[test]
    fn what_is_no_whole_double_word_is_of_the_wrong_type() {
        let judge = |value| Parameter::MaxKeyDepth.judge(value);
        assert_eq!(judge(None), Err(Invalid::Missing));
        assert_eq!(judge(Some((REG_SZ, b"512"))), Err(Invalid::WrongType(REG_SZ)));
        assert_eq!(judge(Some((REG_BINARY, &[0, 2, 0, 0]))), Err(Invalid::WrongType(REG_BINARY)));
        assert_eq!(judge(Some((REG_DWORD, &[0, 2, 0]))), Err(Invalid::WrongType(REG_DWORD)));
        assert_eq!(judge(Some((REG_DWORD, &[0; 5]))), Err(Invalid::WrongType(REG_DWORD)));
    }
}
