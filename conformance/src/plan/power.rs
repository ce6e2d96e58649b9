//! How power is lost, and what may be wrong with a disk.

/// Which of the changes that nobody has synced are on a disk after a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// None.
    Nothing,
    /// The first ones, as many as chance has it.
    Prefix,
    /// Each or not, by chance.
    Some,
    /// All.
    Everything,
}

impl Keep {
    /// Every one.
    pub const ALL: [Keep; 4] = [Keep::Nothing, Keep::Prefix, Keep::Some, Keep::Everything];

    /// The word for it in scripts.
    pub fn word(self) -> &'static str {
        match self {
            Keep::Nothing => "none",
            Keep::Prefix => "prefix",
            Keep::Some => "some",
            Keep::Everything => "all",
        }
    }

    /// The one with this word.
    pub fn of_word(word: &str) -> Option<Keep> {
        Keep::ALL.into_iter().find(|keep| keep.word() == word)
    }
}

/// How power is lost. Every disk goes through the same, each by its own chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PowerLoss {
    /// Which unsynced changes stay.
    pub keep: Keep,
    /// Whether writes may stay in part, sector by sector.
    pub torn: bool,
    /// What chance follows from, so that a plan means the same whenever it is run.
    pub chance: u32,
}

/// What may be wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskFault {
    /// No file of it can grow. A start of its source finds that somebody has made room.
    Full,
    /// A coming change of a file fails and changes nothing, once. A start of its source takes that back.
    FailsAt {
        /// 1 for the next write or truncation.
        io: u32,
    },
    /// It says that everything is durable that it was asked to make so, and does nothing for it.
    Lies,
    /// Nothing any more.
    Heals,
}
