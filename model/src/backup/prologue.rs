//! The beginning of a stream that is restored: HEADER, the LAYER manifest, and the KEY record of the root.
//!
//! States PSD-005 §9.1 ("Restore semantics", steps 1 to 3, "Layer manifest validation", "Versioning") and the
//! precedence validation of §6.3, with D-101, D-104, P-202 and P-203. Nothing has been changed yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::snapshot::flags;
use super::stream::{
    Damage, FORMAT_VERSION, HIDDEN, KEY_SYMLINK, KEY_VOLATILE, KeyObject, LayerLine, MAGIC, Reader,
    Record,
};
use crate::coverage::{Covered, covers};
use crate::database::{KeyRecord, Map};
use crate::errno::Errno;
use crate::input::WireGuid;
use crate::layers::Layer;
use crate::limits::Limits;
use crate::names::{FoldedName, LayerName};
use crate::security::{SecurityDescriptor, Sid};
use crate::values::length;

/// What a restore is checked against before it changes anything.
pub(super) struct Checks<'a> {
    pub(super) target: &'a KeyRecord,
    pub(super) limits: &'a Limits,
    pub(super) layers: &'a Map<FoldedName, Layer>,
    pub(super) has_tcb_privilege: bool,
}

/// The requirements that a restore shows.
#[derive(Default)]
pub(super) struct Marks {
    /// Those that decide as soon as they are met.
    pub(super) refused: Covered,
    /// Those that are decided when the commit is through.
    pub(super) done: Covered,
}

/// The beginning of a stream, in good order: HEADER, the LAYER manifest, and the KEY record of the root.
pub(super) struct Prologue<'a> {
    /// What follows.
    pub(super) reader: Reader<'a>,
    /// HEADER.RootGUID.
    pub(super) root: WireGuid,
    /// The layers of the manifest.
    pub(super) manifest: BTreeSet<FoldedName>,
    /// Whether records of no known type stand in it.
    pub(super) has_unknown: bool,
    /// The KEY record of the root.
    pub(super) object: Object,
}

/// A KEY record in good order.
pub(super) struct Object {
    pub(super) guid: WireGuid,
    pub(super) flags: u32,
    pub(super) descriptor: Arc<SecurityDescriptor>,
    pub(super) sd_size: u32,
    pub(super) last_write_time: u64,
}

impl<'a> Prologue<'a> {
    /// Steps 1 to 3.
    ///
    /// # Errors
    ///
    /// EINVAL for what is malformed or does not fit the target, EPERM for a layer of a precedence above 0
    /// without SeTcbPrivilege.
    pub(super) fn read(
        bytes: &'a [u8],
        checks: &Checks<'_>,
        marks: &mut Marks,
    ) -> Result<Prologue<'a>, Errno> {
        let mut reader = Reader::new(bytes);
        let Some(Record::Header(header)) = next(&mut reader, marks)? else {
            return Err(Errno::EINVAL);
        };
        if header.magic != MAGIC {
            covers!(marks.refused, "RST-20", "IOC-172", "CONST-51");
            return Err(Errno::EINVAL);
        }
        if header.min_reader_version > FORMAT_VERSION {
            covers!(marks.refused, "BAK-16", "BAK-17", "IOC-173", "RST-87");
            return Err(Errno::EINVAL);
        }
        if header.min_reader_version < FORMAT_VERSION {
            covers!(marks.done, "BAK-15");
        }
        if header.root == HIDDEN {
            return Err(Errno::EINVAL);
        }
        let mut manifest = BTreeSet::new();
        let (mut is_declared_high, mut is_high_here, mut has_unknown) = (false, false, false);
        // What ends the manifest.
        let end = loop {
            match next(&mut reader, marks)? {
                Some(Record::Layer(line)) => {
                    let here = layer(&line, checks, &mut manifest, marks)?;
                    is_declared_high |= line.precedence > 0;
                    is_high_here |= here > 0;
                }
                Some(Record::Unknown { .. }) => has_unknown = true,
                Some(Record::Key(object)) => break Ok(object),
                Some(record) => break Err(record),
                None => return Err(Errno::EINVAL),
            }
        };
        if (is_declared_high || is_high_here) && !checks.has_tcb_privilege {
            covers!(marks.refused, "RST-23", "RST-24", "IOC-165", "IOC-167", "IOC-170");
            if is_declared_high {
                covers!(marks.refused, "RST-21", "IOC-168");
            }
            if is_high_here {
                covers!(marks.refused, "RST-22", "IOC-169");
            }
            return Err(Errno::EPERM);
        }
        // What has ended the manifest is judged now (P-203).
        let object = match end {
            Ok(object) if object.guid == header.root => Object::of(&object)?,
            Err(Record::Header(_)) => {
                covers!(marks.refused, "RST-89");
                return Err(Errno::EINVAL);
            }
            Ok(_) | Err(_) => {
                // Where it comes later it is only out of order (P-203).
                if !has_key(&bytes[reader.position()..], header.root) {
                    covers!(marks.refused, "RST-09", "IOC-177");
                    if has_unknown {
                        covers!(marks.refused, "BAK-48");
                    }
                }
                return Err(Errno::EINVAL);
            }
        };
        let differing = object.flags ^ flags(checks.target);
        if differing != 0 {
            covers!(marks.refused, "RST-04", "RST-25", "IOC-178");
            if differing & KEY_VOLATILE != 0 {
                covers!(marks.refused, "RST-13");
            } else {
                covers!(marks.refused, "RST-14");
            }
            return Err(Errno::EINVAL);
        }
        covers!(marks.done, "RST-25");
        if !manifest.is_empty() {
            covers!(marks.done, "RST-54");
        }
        Ok(Prologue { reader, root: header.root, manifest, has_unknown, object })
    }
}

/// Whether a KEY record of this GUID is among these.
fn has_key(records: &[u8], guid: WireGuid) -> bool {
    let mut reader = Reader::new(records);
    let mut records = std::iter::from_fn(|| reader.read_record().ok().flatten());
    records.any(|record| matches!(record, Record::Key(object) if object.guid == guid))
}

/// The next record.
///
/// # Errors
///
/// EINVAL if it is damaged.
pub(super) fn next(reader: &mut Reader<'_>, marks: &mut Marks) -> Result<Option<Record>, Errno> {
    let record = reader.read_record();
    let is_at_unknown = reader.is_at_unknown();
    if let Err(damage) = &record {
        mark_damage(*damage, is_at_unknown, &mut marks.refused);
    } else if is_at_unknown {
        covers!(marks.done, "BAK-19", "BAK-46", "BAK-47", "BAK-49", "RST-82", "RST-85", "RST-86");
    }
    record.map_err(|_| Errno::EINVAL)
}

fn mark_damage(damage: Damage, is_at_unknown: bool, covered: &mut Covered) {
    match damage {
        Damage::Cut => covers!(covered, "BAK-12"),
        Damage::Framing => covers!(covered, "IOC-174"),
        Damage::Malformed => {}
        Damage::Count => covers!(covered, "RST-46"),
        Damage::Checksum => {
            covers!(covered, "BAK-13", "IOC-176", "RST-47", "RST-48", "IOC-165");
        }
    }
    match damage {
        Damage::Cut if is_at_unknown => covers!(covered, "RST-84"),
        Damage::Framing if is_at_unknown => covers!(covered, "RST-83"),
        _ => {}
    }
}

/// A line of the manifest. Returns the precedence that its layer has here.
fn layer(
    line: &LayerLine,
    checks: &Checks<'_>,
    manifest: &mut BTreeSet<FoldedName>,
    marks: &mut Marks,
) -> Result<u32, Errno> {
    let name = LayerName::parse(line.name.as_bytes(), checks.limits).map_err(|_| {
        covers!(marks.refused, "RST-55");
        Errno::EINVAL
    })?;
    if line.enabled > 1 {
        covers!(marks.refused, "RST-57");
        return Err(Errno::EINVAL);
    }
    if Sid::at_start_of(&line.owner).is_none_or(|sid| sid.0 != line.owner) {
        covers!(marks.refused, "RST-58");
        return Err(Errno::EINVAL);
    }
    if !manifest.insert(name.folded().clone()) {
        covers!(marks.refused, "RST-56");
        return Err(Errno::EINVAL);
    }
    let here = checks.layers.get(name.folded());
    let is_as_here = |layer: &Layer| {
        layer.name.spelling() == line.name
            && layer.precedence == line.precedence
            && layer.enabled == (line.enabled == 1)
    };
    if !here.is_some_and(is_as_here) {
        // The table stays as it is.
        covers!(marks.done, "RST-62", "LAYER-24");
    }
    Ok(here.map_or(0, |layer| layer.precedence))
}

impl Object {
    /// # Errors
    ///
    /// EINVAL if it breaks a rule of P-202.
    pub(super) fn of(object: &KeyObject) -> Result<Object, Errno> {
        let descriptor =
            SecurityDescriptor::parse(&object.descriptor).map_err(|_| Errno::EINVAL)?;
        let last_write_time = u64::try_from(object.last_write_time).map_err(|_| Errno::EINVAL)?;
        if object.guid == HIDDEN || object.flags & !(KEY_VOLATILE | KEY_SYMLINK) != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Object {
            guid: object.guid,
            flags: object.flags,
            descriptor: Arc::new(descriptor),
            sd_size: length(object.descriptor.len()),
            last_write_time,
        })
    }
}
