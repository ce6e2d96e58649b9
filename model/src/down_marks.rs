//! Which requirements a call shows that is made through an fd whose source is Down.
//!
//! Marks the rules of PSD-005 §10.1 ("Source crash") on what is asked of such a key. Decides nothing.

use crate::coverage::covers;
use crate::front_door::Operation;
use crate::step::Work;

/// What is asked through an fd that has survived its source (§10.1, "Source crash").
pub(crate) fn refused(work: &mut Work<'_>, operation: &Operation<'_>) {
    let (fd, asked) = match *operation {
        Operation::QueryValue { fd, .. }
        | Operation::QueryValuesBatch { fd, .. }
        | Operation::QueryKeyInfo { fd, .. }
        | Operation::GetSecurity { fd, .. } => (fd, Asked::Read),
        Operation::EnumValues { fd, .. } | Operation::EnumSubkeys { fd, .. } => (fd, Asked::List),
        Operation::SetValue { fd, .. }
        | Operation::DeleteValue { fd, .. }
        | Operation::BlanketTombstone { fd, .. }
        | Operation::DeleteKey { fd, .. }
        | Operation::HideKey { fd, .. }
        | Operation::SetSecurity { fd, .. } => (fd, Asked::Written),
        _ => return,
    };
    let open = work.state.open_keys.get(&(work.caller.process, fd));
    if open.is_none_or(|open| work.state.is_active(open.hive())) {
        return;
    }
    match asked {
        Asked::Read => covers!(work.covered, "FAIL-04"),
        Asked::List => covers!(work.covered, "FAIL-06"),
        Asked::Written => covers!(work.covered, "FAIL-05"),
    }
}

/// What an operation wants of a key.
#[derive(Clone, Copy)]
enum Asked {
    Read,
    List,
    Written,
}
