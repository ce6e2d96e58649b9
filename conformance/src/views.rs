//! Effective views dumped through calls, and their comparison with the model and the oracle.
//!
//! A dump opens every path that the model knows, reachable by enumeration or not, and every path
//! that enumeration shows and the model does not know. It reads the provenance of each value. What the
//! model says of a caller is in `model`.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use registry_model::errno::Errno;
use registry_model::input::{Call, Fd};
use registry_model::observation::{NamedValue, Observation};
use registry_model::security::{SecurityDescriptor, Token};
use registry_model::view::{KeyView, Part, Path, ValueView, View};
use registry_model::{Opening, State};

use crate::divergence::{Kind, Stop};
use crate::execution::Execution;
use crate::oracle::{self, Validation};
use crate::plan::ActorIndex;
use crate::target::WorldEvent;
use crate::tokens::anonymous;
use crate::typed::Malformed;

const KEY_QUERY_VALUE: u32 = 0x0001;
const KEY_ENUMERATE_SUB_KEYS: u32 = 0x0008;
const READ_CONTROL: u32 = 0x0002_0000;
/// What a dump opens keys for.
const DUMP_ACCESS: u32 = KEY_QUERY_VALUE | KEY_ENUMERATE_SUB_KEYS | READ_CONTROL;
const REG_OPEN_LINK: u32 = 1;
/// A buffer that holds most keys' values at the first try.
const BUFFER_CAPACITY: u32 = 4096;
/// Paths in one dump; a target that shows more is lost in its own tree.
const PATHS_MAX: usize = 100_000;
/// Subkeys of one key in a dump.
const SUBKEYS_MAX: u32 = 100_000;

/// What a dump found at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Key(KeyView),
    Absent,
    /// Neither there nor absent: words for a report.
    Odd(String),
}

impl Found {
    /// A key that the actor may not read.
    fn denied() -> Found {
        Found::refused(Errno::EACCES)
    }

    /// What there is where an open fails.
    fn refused(errno: Errno) -> Found {
        match errno {
            Errno::ENOENT => Found::Absent,
            Errno::EIO => {
                let unreadable = [Part::Key].into();
                Found::Key(KeyView { unreadable, ..KeyView::default() })
            }
            errno => Found::Odd(format!("open gives {errno}")),
        }
    }
}

type Dump = BTreeMap<Path, Found>;

/// Why a dump stopped.
enum Broken {
    /// A source died or stalled during it; nothing can be said.
    SourceLost,
    Malformed(Malformed),
    /// What crossed the wire before the death diverged.
    Stopped(Stop),
}

/// Whether a path passes through another one, which is folded.
fn is_below(path: &Path, link: &[String]) -> bool {
    path.len() > link.len() && folded(path).starts_with(link)
}

impl Execution<'_> {
    /// Dumps the effective view of every actor whose token says what no other's does and compares it.
    ///
    /// # Errors
    /// The divergence, if no model state has that view or the oracle reads the store otherwise.
    pub async fn compare_views(&mut self) -> Result<(), Stop> {
        let mut seen = Vec::new();
        for actor in 0..self.plan.actors.len() {
            let token = anonymous(self.tokens.of(actor));
            if !seen.contains(&token) {
                seen.push(token);
                self.compare_view(actor, &[]).await?;
            }
        }
        Ok(())
    }

    /// Dumps what one actor sees below a path (everything, for an empty one) and compares it.
    /// Returns the view, or `None` if a source died or stalled meanwhile.
    ///
    /// # Errors
    /// As `compare_views`.
    pub async fn compare_view(
        &mut self,
        actor: ActorIndex,
        below: &[String],
    ) -> Result<Option<View>, Stop> {
        self.statistics.views += 1;
        let token = self.token(actor);
        let paths = self.paths_to_dump(&token, below);
        let dump = match self.dump(actor, paths.clone()).await {
            Ok(dump) => dump,
            Err(Broken::SourceLost) => {
                let events = self.target.take_events();
                self.environment(events)?;
                return Ok(None);
            }
            Err(Broken::Stopped(stop)) => return Err(stop),
            Err(Broken::Malformed(malformed)) => {
                let expected = "an answer whose parts fit together".to_owned();
                let what = "a view dump".to_owned();
                return Err(self.diverged(
                    Kind::Malformed,
                    Some(actor),
                    what,
                    &[],
                    expected,
                    malformed.0,
                ));
            }
        };
        let mut agreeing = Vec::new();
        for belief in &self.beliefs {
            if self.expected(&belief.state, &token, below, &paths)? == dump {
                agreeing.push(belief.clone());
            }
        }
        if agreeing.is_empty() {
            let expected = self.expected(&self.beliefs[0].state, &token, below, &paths)?;
            let expected = lines(&expected, true).join("\n");
            let got = lines(&dump, true).join("\n");
            let what = "the effective view, dumped through calls".to_owned();
            return Err(self.diverged(Kind::View, Some(actor), what, &[], expected, got));
        }
        self.replace_beliefs(agreeing, "a view")?;
        self.check_quiescence()?;
        if below.is_empty() && self.hives_down(&token).is_empty() {
            self.compare_with_oracle(actor, &token, &dump)?;
        }
        Ok(Some(view_of(&dump)))
    }

    /// What a caller must find in a state, at these paths and all that it has below one.
    fn expected(
        &self,
        state: &State,
        token: &Token,
        below: &[String],
        paths: &BTreeSet<Path>,
    ) -> Result<Dump, Stop> {
        let down = self.hives_down(token);
        // SYSTEM made all there is, unless SDs have come from elsewhere, and may see it, which spares
        // the check.
        let sees_all = !self.is_secured && anonymous(token) == Token::system();
        let mut dump = Dump::new();
        for (path, key) in model::view(state, token) {
            if !path.starts_with(below) || down.contains(&path[0]) {
                continue;
            }
            let found = match key {
                Some(key) if sees_all || key.unreadable.contains(&Part::Key) => Found::Key(key),
                key => match (model::opening(state, &path, token, DUMP_ACCESS), key) {
                    (Opening::Outside(what), _) => return Err(Stop::Outside(what.to_owned())),
                    (Opening::Opens, Some(key)) => Found::Key(key),
                    (Opening::Opens, None) => return Err(opens_and_is_absent(&path)),
                    (Opening::Fails(errno), _) => Found::refused(errno),
                },
            };
            dump.insert(path, found);
        }
        // A path that another state knows of is tried too. In this one it is absent, unless it is another
        // spelling of one that is there.
        let others: Vec<&Path> = paths.iter().filter(|path| !dump.contains_key(*path)).collect();
        if others.is_empty() {
            return Ok(dump);
        }
        let spelled: BTreeMap<Path, Found> =
            dump.iter().map(|(known, found)| (folded(known), found.clone())).collect();
        for path in others {
            let found = spelled.get(&folded(path)).cloned().unwrap_or(Found::Absent);
            dump.insert(path.clone(), found);
        }
        Ok(dump)
    }

    /// Every state has the same hives Down: deaths and registrations are seen.
    fn hives_down(&self, token: &Token) -> BTreeSet<String> {
        model::hives_down(&self.beliefs[0].state, token)
    }

    fn paths_to_dump(&self, token: &Token, below: &[String]) -> BTreeSet<Path> {
        let down = self.hives_down(token);
        self.beliefs
            .iter()
            .flat_map(|belief| model::known_paths(&belief.state, token))
            .filter(|path| path.starts_with(below) && !down.contains(&path[0]))
            .collect()
    }

    async fn dump(&mut self, actor: ActorIndex, paths: BTreeSet<Path>) -> Result<Dump, Broken> {
        let known: BTreeSet<Vec<String>> = paths.iter().map(|path| folded(path)).collect();
        let mut left = paths;
        let mut dump = Dump::new();
        // What lies below a link is there at a path of its own too, and a link may lead back to what it
        // lies in: such paths are tried where they are known, and no more are looked for.
        let mut links: Vec<Vec<String>> = Vec::new();
        while let Some(path) = left.pop_first() {
            if dump.len() >= PATHS_MAX {
                dump.insert(path, Found::Odd("too many paths".to_owned()));
                break;
            }
            let found = self.dump_path(actor, &path).await?;
            if let Found::Key(key) = &found
                && !links.iter().any(|link| is_below(&path, link))
            {
                if key.symlink {
                    links.push(folded(&path));
                }
                for subkey in &key.subkeys {
                    let mut child = path.clone();
                    child.push(subkey.clone());
                    if !known.contains(&folded(&child)) && !dump.contains_key(&child) {
                        left.insert(child);
                    }
                }
            }
            dump.insert(path, found);
        }
        Ok(dump)
    }

    async fn dump_path(&mut self, actor: ActorIndex, path: &Path) -> Result<Found, Broken> {
        let open = Call::OpenKey {
            parent: -1,
            path: path.join("\\").into_bytes(),
            desired_access: DUMP_ACCESS,
            flags: REG_OPEN_LINK,
        };
        let fd = match self.dump_call(actor, &open).await? {
            Observation::Opened { fd, .. } => fd,
            Observation::Failed(errno) => return Ok(Found::refused(errno)),
            other => return Ok(Found::Odd(format!("open gives {other}"))),
        };
        let found = self.dump_key(actor, fd).await?;
        self.dump_call(actor, &Call::Close { fd }).await?;
        Ok(found)
    }

    async fn dump_key(&mut self, actor: ActorIndex, fd: Fd) -> Result<Found, Broken> {
        let mut view = KeyView::default();
        match self.dump_values(actor, fd).await? {
            Ok(Some(values)) => view.values = values,
            Ok(None) => {
                view.unreadable.insert(Part::Values);
            }
            Err(odd) => return Ok(Found::Odd(odd)),
        }
        let listed = match self.dump_subkeys(actor, fd, &mut view).await? {
            Ok(listed) => listed,
            Err(odd) => return Ok(Found::Odd(odd)),
        };
        let call = Call::QueryKeyInfo { fd, name_capacity: BUFFER_CAPACITY };
        match self.dump_call(actor, &call).await? {
            Observation::KeyInfo(info) => {
                let values = view.values.len();
                if info.subkey_count as usize != listed || info.value_count as usize != values {
                    return Ok(Found::Odd(format!(
                        "key info counts {} subkeys and {} values, enumeration {listed} and \
                         {values}",
                        info.subkey_count, info.value_count,
                    )));
                }
                (view.volatile_key, view.symlink) = (info.volatile_key != 0, info.symlink != 0);
                view.sd_size = info.sd_size;
            }
            Observation::Failed(Errno::EIO) => {
                view.unreadable.insert(Part::Information);
            }
            other => return Ok(Found::Odd(format!("key info gives {other}"))),
        }
        Ok(Found::Key(view))
    }

    /// Lists the subkeys into the view and returns how many there are, those that enumeration
    /// cannot tell of included; words for what should not be.
    async fn dump_subkeys(
        &mut self,
        actor: ActorIndex,
        fd: Fd,
        view: &mut KeyView,
    ) -> Result<Result<usize, String>, Broken> {
        let at = |index| Call::EnumSubkeys {
            fd,
            index,
            name_capacity: BUFFER_CAPACITY,
            transaction: -1,
        };
        for index in 0..=SUBKEYS_MAX {
            match self.dump_call(actor, &at(index)).await? {
                Observation::EnumeratedSubkey { name, .. } => {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    if !view.subkeys.insert(name.clone()) {
                        return Ok(Err(format!("subkey {name} is listed twice")));
                    }
                }
                Observation::Failed(Errno::ENOENT) => return Ok(Ok(index as usize)),
                Observation::Failed(Errno::EIO) if view.subkeys.len() == index as usize => {
                    // Past the end only the whole can be unreadable.
                    let past = self.dump_call(actor, &at(SUBKEYS_MAX)).await?;
                    if past == Observation::Failed(Errno::EIO) {
                        view.unreadable.insert(Part::Subkeys);
                        return Ok(Ok(0));
                    }
                    view.unreadable.insert(Part::SomeSubkeys);
                }
                Observation::Failed(Errno::EIO) => {}
                other => return Ok(Err(format!("subkey {index} gives {other}"))),
            }
        }
        Ok(Err("too many subkeys".to_owned()))
    }

    /// The values; `None` if the source answers with malformed data, words for what should not be.
    async fn dump_values(
        &mut self,
        actor: ActorIndex,
        fd: Fd,
    ) -> Result<Result<Option<BTreeMap<String, ValueView>>, String>, Broken> {
        let batch = match self.dump_batch(actor, fd).await? {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(Ok(None)),
            Err(odd) => return Ok(Err(odd)),
        };
        let mut values = BTreeMap::new();
        for NamedValue { name, value_type, data } in batch {
            let call = Call::QueryValue {
                fd,
                name: name.clone(),
                transaction: -1,
                data_capacity: data.len().max(1) as u32,
                layer_capacity: 1024,
            };
            let spelled = String::from_utf8_lossy(&name).into_owned();
            match self.dump_call(actor, &call).await? {
                Observation::Value { value_type: queried, data: bytes, sequence, layer }
                    if queried == value_type && bytes == data =>
                {
                    let layer = String::from_utf8_lossy(&layer).into_owned();
                    let view = ValueView { value_type, data, layer, sequence };
                    if values.insert(spelled.clone(), view).is_some() {
                        return Ok(Err(format!("value {spelled} is in the batch twice")));
                    }
                }
                other => {
                    return Ok(Err(format!(
                        "value {spelled} is in the batch, the query gives {other}"
                    )));
                }
            }
        }
        Ok(Ok(Some(values)))
    }

    async fn dump_batch(
        &mut self,
        actor: ActorIndex,
        fd: Fd,
    ) -> Result<Result<Option<Vec<NamedValue>>, String>, Broken> {
        let mut capacity = BUFFER_CAPACITY;
        for _ in 0..2 {
            let call = Call::QueryValuesBatch { fd, capacity, transaction: -1 };
            match self.dump_call(actor, &call).await? {
                Observation::Values(values) => return Ok(Ok(Some(values))),
                Observation::Failed(Errno::EIO) => return Ok(Ok(None)),
                Observation::TooSmall(sizes) => capacity = sizes.buffer.unwrap_or(capacity),
                other => return Ok(Err(format!("the batch gives {other}"))),
            }
        }
        Ok(Err(format!("the batch does not fit the {capacity} bytes it asked for")))
    }

    async fn dump_call(&mut self, actor: ActorIndex, call: &Call) -> Result<Observation, Broken> {
        let (answer, _) = self.unchecked_call(actor, call).await;
        // The model is not asked about these calls, nor about their events.
        self.ignore_audits();
        let down_before = self.down.len();
        let events = self.target.take_events();
        let has_stalled = events.iter().any(|event| matches!(event, WorldEvent::SourceStalled(_)));
        if !events.is_empty() {
            // Nothing was mutated; the model only has to hear of the death or the stall.
            self.environment(events).map_err(Broken::Stopped)?;
        }
        if self.down.len() != down_before || has_stalled {
            return Err(Broken::SourceLost);
        }
        answer.map_err(Broken::Malformed)
    }

    /// The oracle must see the dump in one of the states that agree with it: they may differ in
    /// what a death left of the counter.
    fn compare_with_oracle(
        &mut self,
        actor: ActorIndex,
        token: &Token,
        dump: &Dump,
    ) -> Result<(), Stop> {
        let raw = self.target.raw_entries().map_err(Stop::HarnessFault)?;
        let Some(raw) = raw else { return Ok(()) };
        // A path that a masked entry spells otherwise is the same path.
        let got: Dump = dump
            .iter()
            .filter(|(_, found)| **found != Found::Absent)
            .map(|(path, found)| (folded(path), found.clone()))
            .collect();
        let denied: BTreeSet<Path> = dump
            .iter()
            .filter(|(_, found)| **found == Found::denied())
            .map(|(path, _)| folded(path))
            .collect();
        let mut expected = None;
        for belief in &self.beliefs {
            let compared = oracle_lines(&belief.state, &raw, token, &denied, &got);
            match compared {
                Ok((seen, got)) if seen == got => return Ok(()),
                compared => expected.get_or_insert(compared),
            };
        }
        let what = "the effective view, against the store's raw entries".to_owned();
        let (expected, got) = match expected {
            Some(Err(malformed)) => ("entries that resolve".to_owned(), malformed.to_string()),
            Some(Ok((expected, got))) => (expected.join("\n"), got.join("\n")),
            None => return Ok(()),
        };
        Err(self.diverged(Kind::Oracle, Some(actor), what, &[], expected, got))
    }
}

/// What the oracle sees by the layer table and the counter of a state, as a dump's lines, and the
/// lines of the dump that it can speak of: where raw entries say nothing, both are silent. It
/// knows nothing of access: what was denied must be there, and that is all.
fn oracle_lines(
    state: &State,
    raw: &[oracle::RawHive],
    token: &Token,
    denied: &BTreeSet<Path>,
    got: &Dump,
) -> Result<(Vec<String>, Vec<String>), oracle::Malformed> {
    let mut table = oracle::LayerTable::new(registry_model::names::fold);
    for layer in state.layers() {
        table.publish(oracle::Layer {
            name: layer.name.to_string(),
            precedence: layer.precedence,
            enabled: layer.enabled,
        });
    }
    let validation = Validation {
        next_sequence: state.next_sequence(),
        is_descriptor: |bytes| SecurityDescriptor::parse(bytes).is_ok(),
        has_owner: |bytes| SecurityDescriptor::parse(bytes).is_ok_and(|sd| sd.owner.is_some()),
        // What has been stored before it was lowered is malformed by now (P-167).
        name_length_max: state.limits().max_path_component_length as usize,
    };
    let viewer =
        oracle::Viewer { private_layers: &token.0.private_layers, scopes: &token.0.scopes };
    let oracle::Seen { view, dead_ends } = oracle::effective_view(raw, &table, validation, viewer)?;
    let dead_ends: BTreeSet<Path> = dead_ends.iter().map(|path| folded(path)).collect();
    let found = |(path, key): (Path, Option<KeyView>)| {
        let (path, key) = (folded(&path), key?);
        let found = if denied.contains(&path) { Found::denied() } else { Found::Key(key) };
        Some((path, found))
    };
    let seen: Dump = view.into_iter().filter_map(found).collect();
    let is_beyond = |path: &Path| (1..path.len()).any(|length| dead_ends.contains(&path[..length]));
    let got = got.iter().filter(|(path, _)| !is_beyond(path));
    let got: Dump = got.map(|(path, found)| (path.clone(), found.clone())).collect();
    Ok((lines(&seen, false), lines(&got, false)))
}

fn opens_and_is_absent(path: &[String]) -> Stop {
    let path = path.join("\\");
    Stop::HarnessFault(format!("the model opens {path} and does not see it"))
}

fn folded(path: &[String]) -> Vec<String> {
    path.iter().map(|part| registry_model::names::fold(part)).collect()
}

fn view_of(dump: &Dump) -> View {
    dump.iter()
        .map(|(path, found)| match found {
            Found::Key(key) => (path.clone(), Some(key.clone())),
            Found::Absent | Found::Odd(_) => (path.clone(), None),
        })
        .collect()
}

/// A dump as indented lines. Paths that must not open are listed only `with_absent`.
fn lines(dump: &Dump, with_absent: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, found) in dump {
        let name = path.join("\\");
        match found {
            Found::Absent if with_absent => lines.push(format!("{name}: absent")),
            Found::Absent => {}
            Found::Odd(odd) => lines.push(format!("{name}: {odd}")),
            Found::Key(key) => {
                let mut flags = String::new();
                if key.volatile_key {
                    flags.push_str(" volatile");
                }
                if key.symlink {
                    flags.push_str(" symlink");
                }
                lines.push(format!("{name}{flags} (SD of {} bytes)", key.sd_size));
                for part in &key.unreadable {
                    lines.push(format!("  {part:?} unreadable"));
                }
                for (value, view) in &key.values {
                    lines.push(format!("  {value:?} = {}", provenance(view)));
                }
                for subkey in &key.subkeys {
                    lines.push(format!("  subkey {subkey}"));
                }
            }
        }
    }
    lines
}

fn provenance(view: &ValueView) -> String {
    let data = view.data.escape_ascii();
    let (kind, layer, sequence) = (view.value_type, &view.layer, view.sequence);
    format!("type {kind} \"{data}\" from {layer}, sequence {sequence}")
}
