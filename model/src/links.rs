//! Symbolic links: the path that a link key leads to.
//!
//! States PSD-005 §2.3, "Symlinks", with D-02, D-40 and D-41. When a link is followed, and how many of
//! them, is said by the walk in `hives`.

use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::limits::Limits;
use crate::names::{KeyName, parse_path};
use crate::step::Work;
use crate::values::REG_LINK;

/// The path to which a symlink key leads ("Target resolution").
///
/// # Errors
///
/// EINVAL if its effective default value is no REG_LINK, or none that holds a path (D-40); EIO if the
/// source's answer is malformed.
pub(crate) fn link_target(
    work: &mut Work<'_>,
    hive: HiveId,
    key: Guid,
) -> Result<Vec<KeyName>, Errno> {
    let resolver = work.state.resolver_in(work.transaction, hive, &work.viewer);
    let (value, contest) = resolver
        .value(key, "", &mut work.covered)
        .map_err(|malformed| work.rejected.by(hive, malformed))?;
    let Some(data) =
        value.filter(|value| value.entry.value_type == REG_LINK).map(|v| v.entry.data.clone())
    else {
        covers!(work.covered, "LINK-13", "SYS-43");
        return Err(Errno::EINVAL);
    };
    covers!(work.covered, "LINK-09");
    if contest.active > 1 {
        covers!(work.covered, "LINK-10");
    }
    match parse_path(&data, &work.state.limits, None) {
        Ok(target) => {
            covers!(work.covered, "LINK-17", "OP-09");
            if data.contains(&b'/') {
                covers!(work.covered, "LINK-19");
            }
            Ok(target)
        }
        Err(errno) => {
            mark_bad_target(&data, errno, &work.state.limits, &mut work.covered);
            Err(Errno::EINVAL)
        }
    }
}

/// Which rule a target breaks, the first in the order of D-03. Whichever it is, following the link is EINVAL.
fn mark_bad_target(data: &[u8], errno: Errno, limits: &Limits, covered: &mut Covered) {
    let Ok(text) = std::str::from_utf8(data) else {
        covers!(covered, "LINK-20");
        return;
    };
    let is_separator = |character| matches!(character, '\\' | '/');
    if text.contains('\0') {
        match text.find('\0') == Some(text.len() - 1) {
            true => covers!(covered, "LINK-18"),
            false => covers!(covered, "LINK-21"),
        }
    } else if errno == Errno::ENAMETOOLONG {
        match text.len() > limits.max_total_path_length as usize {
            true => covers!(covered, "LINK-25"),
            false => covers!(covered, "LINK-24"),
        }
    } else {
        let components = text.strip_suffix(is_separator).unwrap_or(text).split(is_separator);
        let depth_max = limits.max_key_depth as usize;
        match components.clone().take(depth_max.saturating_add(1)).position(str::is_empty) {
            Some(_) => covers!(covered, "LINK-22"),
            None if components.count() > depth_max => covers!(covered, "LINK-26"),
            None => covers!(covered, "LINK-23"),
        }
    }
}

/// Depth and length of a path in which a link has been replaced by its target (D-02).
///
/// # Errors
///
/// EINVAL below `MaxKeyDepth` levels, ENAMETOOLONG above `MaxTotalPathLength`.
pub(crate) fn check_expanded(
    work: &Work<'_>,
    target: &[KeyName],
    rest: &[KeyName],
) -> Result<(), Errno> {
    let limits = &work.state.limits;
    let whole = || target.iter().chain(rest);
    if whole().count() > limits.max_key_depth as usize {
        return Err(Errno::EINVAL);
    }
    let length: usize = whole().map(|name| name.spelling().len() + 1).sum::<usize>() - 1;
    if length > limits.max_total_path_length as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}
