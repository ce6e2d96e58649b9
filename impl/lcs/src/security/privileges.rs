//! The privileges enabled on a token (PSD-004 §7, §13.7).

use std::ops::BitOr;

/// A set of privileges. A privilege that a token has but has not enabled is not in its set,
/// because it has no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Privileges(u64);

impl Privileges {
    /// No privilege.
    pub const NONE: Self = Self(0);
    /// SeTcbPrivilege.
    pub const TCB: Self = Self(1 << 7);
    /// SeSecurityPrivilege.
    pub const SECURITY: Self = Self(1 << 8);
    /// SeTakeOwnershipPrivilege.
    pub const TAKE_OWNERSHIP: Self = Self(1 << 9);
    /// SeBackupPrivilege.
    pub const BACKUP: Self = Self(1 << 17);
    /// SeRestorePrivilege.
    pub const RESTORE: Self = Self(1 << 18);
    /// SeRelabelPrivilege.
    pub const RELABEL: Self = Self(1 << 32);
    /// Every privilege of the catalogue: bits 2 to 35, and 62 and 63.
    pub const ALL: Self = Self(0xC000_000F_FFFF_FFFC);

    /// The set with these bits, as numbered in PSD-004 §13.7.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Privileges {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
