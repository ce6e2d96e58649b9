//! Which requirements on values a write or a read has shown.
//!
//! Marks the rules of PSD-005 §1.4, §2.5 and §6.3 on types, data and names where a particular value
//! depends on them. Decides nothing.

use crate::coverage::{Covered, covers};
use crate::database::{Map, ValueEntry};
use crate::layers::{self, Layer};
use crate::limits::Limits;
use crate::name_marks;
use crate::names::{FoldedName, LayerName, ValueName};
use crate::resolution::Resolver;
use crate::state::OpenKey;
use crate::step::Work;
use crate::transactions::marks;
use crate::values::{REG_BINARY, REG_DWORD, REG_LINK, REG_QWORD};

const REG_SZ: u32 = 1;
const REG_EXPAND_SZ: u32 = 2;
const REG_DWORD_BIG_ENDIAN: u32 = 5;
const REG_MULTI_SZ: u32 = 7;
const REG_RESOURCE_LIST: u32 = 8;
const REG_RESOURCE_REQUIREMENTS_LIST: u32 = 10;

/// A write passed the checks of its type and size. What that shows, it shows if the write succeeds.
pub(crate) fn write_accepted(
    value_type: u32,
    data: &[u8],
    name: &ValueName,
    limits: &Limits,
    covered: &mut Covered,
) {
    if value_type <= REG_QWORD {
        covers!(covered, "CONV-31", "VAL-01", "VAL-34");
    }
    match value_type {
        REG_RESOURCE_LIST..=REG_RESOURCE_REQUIREMENTS_LIST => covers!(covered, "VAL-37", "VAL-38"),
        REG_DWORD | REG_DWORD_BIG_ENDIAN if data.len() != 4 => covers!(covered, "VAL-35"),
        REG_QWORD if data.len() != 8 => covers!(covered, "VAL-35"),
        REG_SZ | REG_EXPAND_SZ | REG_LINK | REG_MULTI_SZ if std::str::from_utf8(data).is_err() => {
            covers!(covered, "VAL-35", "VAL-59");
        }
        REG_BINARY if std::str::from_utf8(data).is_err() => covers!(covered, "VAL-59"),
        _ => {}
    }
    if data.len() == limits.max_value_size as usize {
        covers!(covered, "VAL-18", "VAL-58");
    }
    if name.is_default() {
        covers!(covered, "VAL-14", "VAL-55");
    }
    separators(name, covered);
}

/// A value was read by a name.
pub(crate) fn read(entry: &ValueEntry, layer: &LayerName, name: &ValueName, covered: &mut Covered) {
    covers!(covered, "IOC-022", "VAL-17");
    if entry.name.spelling() != name.spelling() {
        covers!(covered, "VAL-15");
        name_marks::spellings_matched(entry.name.spelling(), name.spelling(), covered);
    }
    if name.is_default() {
        covers!(covered, "IOC-023", "VAL-14", "VAL-55");
    }
    if entry.layer.spelling() != layer.spelling() {
        covers!(covered, "LAYER-03", "LAYER-04", "LAYER-27");
    }
    if layer.folded().as_str() == layers::BASE {
        covers!(covered, "IOC-024");
    }
    if entry.value_type == REG_LINK && name.is_default() {
        covers!(covered, "VAL-36");
    }
    separators(name, covered);
}

/// A read that another entry would win under other precedences of the layers: those that its transaction is
/// about to bring, or those that were before the last commit that has brought some.
pub(crate) fn by_precedence(work: &mut Work<'_>, open: &OpenKey, name: &ValueName) {
    let state = &work.state;
    let bound = work.transaction.and_then(|id| state.bound(id));
    let to_come = bound.and_then(|bound| marks::table_to_come(state, bound));
    let former = marks::table_without_commit(state);
    let winner = |layers: &Map<FoldedName, Layer>| {
        let resolver = state.resolver_in(work.transaction, open.hive(), &work.viewer);
        let resolver = Resolver { layers, ..resolver };
        let value = resolver.value(open.key(), name.folded().as_str(), &mut Covered::new());
        value.ok().map(|(value, _)| value.map(|value| value.entry.sequence))
    };
    let decides = |table: Option<Map<FoldedName, Layer>>| {
        table.is_some_and(|table| winner(&table) != winner(&state.layers))
    };
    let (decides_later, decides_now) = (decides(to_come), decides(former));
    if decides_later {
        covers!(work.covered, "TXN-71");
    }
    if decides_now {
        covers!(work.covered, "TXN-73");
    }
}

/// Separators have no meaning in a value name, which has no parts.
fn separators(name: &ValueName, covered: &mut Covered) {
    let has = |separator| name.spelling().contains(separator);
    if has('\\') {
        covers!(covered, "VAL-50", "VAL-52", "KEY-12");
    }
    if has('/') {
        covers!(covered, "VAL-51", "VAL-52", "KEY-12");
    }
}
