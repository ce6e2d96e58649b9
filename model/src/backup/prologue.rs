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

/// The beginning of a stream, in good order: HEADER, the LAYER manifest, and the KEY record of the root.
pub(super) struct Prologue<'a> {
    /// What follows.
    pub(super) reader: Reader<'a>,
    /// HEADER.RootGUID.
    pub(super) root: WireGuid,
    /// The layers of the manifest.
    pub(super) manifest: BTreeSet<FoldedName>,
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
        covered: &mut Covered,
    ) -> Result<Prologue<'a>, Errno> {
        let mut reader = Reader::new(bytes);
        let Some(Record::Header(header)) = next(&mut reader, covered)? else {
            covers!(covered, "IOC-174");
            return Err(Errno::EINVAL);
        };
        if header.magic != MAGIC {
            covers!(covered, "RST-20", "IOC-172", "CONST-51");
            return Err(Errno::EINVAL);
        }
        if header.min_reader_version > FORMAT_VERSION {
            covers!(covered, "BAK-16", "BAK-17", "IOC-173", "RST-87");
            return Err(Errno::EINVAL);
        }
        if header.min_reader_version < FORMAT_VERSION {
            covers!(covered, "BAK-15");
        }
        if header.root == HIDDEN {
            return Err(Errno::EINVAL);
        }
        let mut manifest = BTreeSet::new();
        let mut is_high = false;
        // What ends the manifest; `None` if that is no KEY.
        let object = loop {
            match next(&mut reader, covered)? {
                Some(Record::Layer(line)) => {
                    is_high |= layer(&line, checks, &mut manifest, covered)?;
                }
                Some(Record::Unknown { .. }) => {}
                Some(Record::Key(object)) => break Some(Object::of(&object)?),
                Some(_) => break None,
                None => return Err(Errno::EINVAL),
            }
        };
        if is_high && !checks.has_tcb_privilege {
            covers!(covered, "RST-23", "RST-24", "IOC-165", "IOC-167", "IOC-170");
            return Err(Errno::EPERM);
        }
        covers!(covered, "RST-54", "RST-25");
        let object = object.filter(|object| object.guid == header.root).ok_or_else(|| {
            covers!(covered, "RST-09", "IOC-177", "BAK-48");
            Errno::EINVAL
        })?;
        let differing = object.flags ^ flags(checks.target);
        if differing != 0 {
            covers!(covered, "RST-04", "IOC-178");
            if differing & KEY_VOLATILE != 0 {
                covers!(covered, "RST-13");
            } else {
                covers!(covered, "RST-14");
            }
            return Err(Errno::EINVAL);
        }
        Ok(Prologue { reader, root: header.root, manifest, object })
    }
}

/// The next record.
///
/// # Errors
///
/// EINVAL if it is damaged.
pub(super) fn next(
    reader: &mut Reader<'_>,
    covered: &mut Covered,
) -> Result<Option<Record>, Errno> {
    let record = reader.read_record().map_err(|damage| {
        match damage {
            Damage::Cut => covers!(covered, "BAK-12", "RST-84"),
            Damage::Malformed => {
                covers!(covered, "BAK-13", "IOC-174", "IOC-176", "RST-46", "RST-47", "RST-83");
            }
        }
        Errno::EINVAL
    })?;
    if let Some(Record::Unknown { .. }) = record {
        covers!(covered, "BAK-19", "BAK-46", "BAK-47", "BAK-49", "RST-82", "RST-85", "RST-86");
    }
    Ok(record)
}

/// A line of the manifest. Says whether its layer has a precedence above 0, there or here.
fn layer(
    line: &LayerLine,
    checks: &Checks<'_>,
    manifest: &mut BTreeSet<FoldedName>,
    covered: &mut Covered,
) -> Result<bool, Errno> {
    let name = LayerName::parse(line.name.as_bytes(), checks.limits).map_err(|_| {
        covers!(covered, "RST-55");
        Errno::EINVAL
    })?;
    if line.enabled > 1 {
        covers!(covered, "RST-57");
        return Err(Errno::EINVAL);
    }
    if Sid::at_start_of(&line.owner).is_none_or(|sid| sid.0 != line.owner) {
        covers!(covered, "RST-58");
        return Err(Errno::EINVAL);
    }
    if !manifest.insert(name.folded().clone()) {
        covers!(covered, "RST-56");
        return Err(Errno::EINVAL);
    }
    covers!(covered, "RST-62", "LAYER-24");
    let here = checks.layers.get(name.folded()).map_or(0, |layer| layer.precedence);
    if !checks.has_tcb_privilege && line.precedence > 0 {
        covers!(covered, "RST-21", "IOC-168");
    }
    if !checks.has_tcb_privilege && here > 0 {
        covers!(covered, "RST-22", "IOC-169");
    }
    Ok(line.precedence > 0 || here > 0)
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
