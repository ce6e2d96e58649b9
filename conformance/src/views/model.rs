//! What the comparison of views asks of the model, for one caller.

use std::collections::BTreeSet;

use registry_model::security::Token;
use registry_model::view::{Path, View};
use registry_model::{Opening, State};

/// What the caller sees.
pub(super) fn view(state: &State, token: &Token) -> View {
    state.view(token)
}

/// Every path that the entries of any layers give in the hives that the caller reaches, and the
/// hives that it does not reach.
pub(super) fn known_paths(state: &State, token: &Token) -> BTreeSet<Path> {
    state.known_paths_for(token)
}

/// The hives that the caller reaches whose source is Down.
pub(super) fn hives_down(state: &State, token: &Token) -> BTreeSet<String> {
    let stalled = state.hives_stalled_for(token);
    state.hives_down_for(token).into_iter().chain(stalled).collect()
}

/// How the caller's open of a path ends.
pub(super) fn opening(
    state: &State,
    path: &[String],
    token: &Token,
    desired_access: u32,
) -> Opening {
    state.opening(path, token, desired_access)
}
