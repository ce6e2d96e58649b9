//! The oracle: a third reading of resolution over raw entries, and what a caller must see by it.
//!
//! It starts from what a store holds and from a layer table, and says what one caller must see.
//! It shares no code with the model or an implementation and keeps nothing between calls; even
//! case folding is the caller's. The rules themselves are in `resolution`, what a kernel rejects is in
//! `validation`, and reading the layer table is in `boot`.
//!
//! Knows nothing of access: it shows what is there. Symlinks are shown as the link keys they are and never followed.

mod boot;
mod layers;
mod raw;
mod resolution;
mod routing;
#[cfg(test)]
mod tests;
mod validation;

use std::collections::BTreeSet;

use registry_model::view::{KeyView, Part, Path, View};

pub use boot::layer_table_from;
pub use layers::{Fold, Layer, LayerTable};
pub use raw::{Guid, Malformed, RawBlanket, RawHive, RawKey, RawPathEntry, RawValue};
use resolution::{Contents, Rejected, Thread};
pub use validation::Validation;

/// `REG_TOMBSTONE`.
const TOMBSTONE: u32 = 0xFFFF;

/// Whose view it is, as far as resolution looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Viewer<'a> {
    /// Names of private layers.
    pub private_layers: &'a [String],
    /// Scope GUIDs in order.
    pub scopes: &'a [Guid],
}

/// What raw entries say.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every key that a caller reaches without following a link.
    pub view: View,
    /// Links, and names that cannot be resolved: of what a path finds beyond them raw entries say
    /// nothing.
    pub dead_ends: BTreeSet<Path>,
}

/// Every key that this caller reaches in these hives, each with its effective values. Names are
/// spelled as the winning entry spells them (D-06). A path that must not open is absent; what a
/// kernel that goes by `validation` must reject is unreadable.
///
/// # Errors
/// `Malformed` where a hive has no root, and where path entries form a circle.
pub fn effective_view(
    hives: &[RawHive],
    layers: &LayerTable,
    validation: Validation,
    viewer: Viewer<'_>,
) -> Result<Seen, Malformed> {
    let thread = Thread::new(layers, viewer.private_layers);
    let Seen { mut view, mut dead_ends } = Seen::default();
    for hive in routing::reached(hives, viewer.scopes, layers.folding()) {
        let contents = Contents::of(hive, layers, validation);
        let mut reached = vec![(vec![hive.name.clone()], hive.root)];
        while let Some((path, guid)) = reached.pop() {
            let fail = |problem: &str| Malformed { path: path.clone(), problem: problem.into() };
            if path.len() > hive.keys.len() {
                return Err(fail("path entries form a circle"));
            }
            let key = contents.key(guid).ok_or_else(|| fail("there is no root key"))?;
            if validation.opens(key) {
                view.insert(path.clone(), Some(key_view(&contents, &thread, guid, key)));
            } else {
                view.insert(path.clone(), Some(unreadable(Part::Key)));
            }
            if key.symlink {
                dead_ends.insert(path);
                continue;
            }
            for (name, child) in contents.subkeys(&thread, guid) {
                let path: Path = path.iter().cloned().chain([name]).collect();
                match child {
                    Ok(Some(child)) => reached.push((path, child)),
                    Ok(None) => {}
                    Err(Rejected) => {
                        view.insert(path.clone(), Some(unreadable(Part::Key)));
                        dead_ends.insert(path);
                    }
                }
            }
        }
    }
    Ok(Seen { view, dead_ends })
}

fn unreadable(part: Part) -> KeyView {
    KeyView { unreadable: [part].into(), ..KeyView::default() }
}

/// One key that opens.
fn key_view(contents: &Contents<'_>, thread: &Thread<'_>, guid: Guid, key: &RawKey) -> KeyView {
    let mut view = KeyView::default();
    match contents.enumerate_values(thread, guid) {
        Ok(values) => view.values = values,
        Err(Rejected) => view.unreadable.extend([Part::Values, Part::Information]),
    }
    match contents.enumerate_subkeys(thread, guid) {
        Ok(children) => {
            for (name, child) in children {
                // What enumeration says of a child takes requests of its own.
                let counted = contents.enumerate_values(thread, child).is_ok()
                    && contents.enumerate_subkeys(thread, child).is_ok();
                if counted {
                    view.subkeys.insert(name);
                } else {
                    view.unreadable.insert(Part::SomeSubkeys);
                }
            }
        }
        Err(Rejected) => view.unreadable.extend([Part::Subkeys, Part::Information]),
    }
    if !view.unreadable.contains(&Part::Information) {
        (view.volatile_key, view.symlink) = (key.volatile_key, key.symlink);
        view.sd_size = u32::try_from(key.sd.len()).unwrap_or(u32::MAX);
    }
    view
}
