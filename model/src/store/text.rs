//! Responses, expected and observed, in the words of a report.
//!
//! Says nothing that `message` and `outcome` do not say; only how it reads.

use std::fmt::{self, Display, Formatter};

use super::message::{
    Blanket, Guid, KeyMetadata, PathEntry, Payload, Registration, Response, TARGET_GUID,
    TARGET_HIDDEN, ValueEntry,
};
use super::outcome::{KeyPattern, Outcome};
use super::start::Start;
use crate::text::{Name, Typed};

impl Display for Response {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Response::Failed(status) => write!(f, "{status}"),
            Response::Ok(payload) => write!(f, "{payload}"),
        }
    }
}

impl Display for Payload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ok")?;
        match self {
            Payload::StatusOnly => Ok(()),
            Payload::Entries { entries, metadata } => {
                list(f, "entry", entries)?;
                list(f, "key", metadata)
            }
            Payload::Children { children, metadata } => {
                for child in children {
                    write!(f, "; child {}", Name(&child.name))?;
                    list(f, "entry", &child.entries)?;
                }
                list(f, "key", metadata)
            }
            Payload::Key { name, parent, metadata } => {
                write!(f, "; name {} parent {parent}; key {metadata}", Name(name))
            }
            Payload::Values { entries, blankets } => {
                list(f, "value", entries)?;
                list(f, "blanket", blankets)
            }
            Payload::Orphans(guids) => list(f, "orphan", guids),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Outcome::Failed(status) = self {
            return write!(f, "{status}");
        }
        f.write_str("ok")?;
        match self {
            Outcome::Failed(_) | Outcome::Done => Ok(()),
            Outcome::Entries { entries, metadata } => {
                list(f, "entry", entries)?;
                list(f, "key", metadata)
            }
            Outcome::Children { children, metadata } => {
                for (name, entries) in children {
                    write!(f, "; child {}", Name(name))?;
                    list(f, "entry", entries)?;
                }
                list(f, "key", metadata)
            }
            Outcome::Key { name, parent, metadata } => {
                write!(f, "; name {} parent {parent}; key {metadata}", Name(name))
            }
            Outcome::Values { entries, blankets } => {
                list(f, "value", entries)?;
                list(f, "blanket", blankets)
            }
            Outcome::Orphans(guids) => list(f, "orphan", guids),
        }
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, word: &str, items: &[T]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, "; {word} {item}"))
}

impl Display for PathEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "layer {} ", Name(&self.layer))?;
        match (self.target_type, self.target) {
            (TARGET_GUID, guid) => write!(f, "guid {guid}")?,
            (TARGET_HIDDEN, Guid::ZERO) => f.write_str("hidden")?,
            (target_type, guid) => write!(f, "target type {target_type} guid {guid}")?,
        }
        write!(f, " sequence {}", self.sequence)
    }
}

impl Display for ValueEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ValueEntry { name, layer, value_type, data, sequence } = self;
        let (name, layer, value) = (Name(name), Name(layer), Typed(*value_type, data));
        write!(f, "{name} layer {layer} = {value} sequence {sequence}")
    }
}

impl Display for Blanket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "layer {} sequence {}", Name(&self.layer), self.sequence)
    }
}

impl Display for KeyMetadata {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let KeyMetadata { guid, security_descriptor, volatile_key, symlink, last_write_time } =
            self;
        let descriptor = security_descriptor.escape_ascii();
        write!(f, "{guid} sd \"{descriptor}\" volatile {volatile_key} symlink {symlink} ")?;
        write!(f, "last written {last_write_time}")
    }
}

impl Display for KeyPattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let KeyPattern { guid, security_descriptor, volatile_key, symlink, last_write_time } = self;
        let descriptor = security_descriptor.escape_ascii();
        let (volatile_key, symlink) = (u8::from(*volatile_key), u8::from(*symlink));
        write!(f, "{guid} sd \"{descriptor}\" volatile {volatile_key} symlink {symlink} ")?;
        write!(f, "last written {last_write_time}")
    }
}

impl Display for Registration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "max sequence {}", self.max_sequence)?;
        self.hives.iter().try_for_each(|hive| {
            write!(f, "; hive {} root {} flags {}", Name(&hive.name), hive.root, hive.flags)
        })
    }
}

impl Display for Start {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "max sequence {}", self.max_sequence())?;
        self.hives().try_for_each(|(name, root)| match root {
            Some(root) => write!(f, "; hive {name:?} root {root} flags 0"),
            None => write!(f, "; hive {name:?} root (fresh) flags 0"),
        })
    }
}
