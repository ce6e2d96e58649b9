//! Reading a script, line by line.

mod block;

use super::error::Complaint;
use super::token::{Token, TokenKind, tokens};
use super::words::{Words, parse_number};
use super::{
    Script, ScriptError, StepLines, actor, parallel, parse_action, power, source, store_entry,
};
use crate::plan::{Action, ActorIndex, Fault, Step};
use crate::source_device::Breach;
use registry_model::input::CommitRefusal;

/// Most bytes of value data in one script. Few words can mean many bytes, and a script must not
/// take more memory than its size suggests by some fixed amount.
const DATA_LENGTH_TOTAL_MAX: usize = 64 * 1024 * 1024;
/// Most steps that one line stands for.
const REPETITIONS_MAX: u32 = 2000;
/// How a repetition is written.
const TIMES_USAGE: &str = "write `times FIRST..LAST STATEMENT`, with {n} for the number";
/// The actor of a plan that declares none.
const DEFAULT_ACTOR: &str = "system";

/// Reads a script. `file_name` is only for messages.
///
/// # Errors
/// The first fault, at its place.
pub fn parse(text: &str, file_name: &str) -> Result<Script, ScriptError> {
    let mut parser = Parser::default();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let number = index + 1;
        parser.line(line, number).map_err(|complaint| complaint.at(file_name, number, line))?;
    }
    if let Some((number, line)) = parser.block {
        let whole = (0, line.len());
        let complaint = Complaint::new(whole, "the block has no `end`", parallel::BLOCK_USAGE);
        return Err(complaint.at(file_name, number, &line));
    }
    Ok(parser.script)
}

#[derive(Default)]
struct Parser {
    script: Script,
    data_length_total: usize,
    /// The line at which the block began that has not ended yet.
    block: Option<(usize, String)>,
}

impl Parser {
    fn line(&mut self, line: &str, number: usize) -> Result<(), Complaint> {
        let content = line.trim_matches([' ', '\t']);
        let start = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(comment) = content.strip_prefix('#') {
            return self.comment(comment, (start, start + content.len()));
        }
        if let Some(expected) = content.strip_prefix("->") {
            return self.expectation(expected.trim(), number, (start, start + content.len()));
        }
        for (mark, caused) in [("sends", Caused::Requests), ("audits", Caused::Audits)] {
            if let Some(words) = content.strip_prefix(mark)
                && (words.is_empty() || words.starts_with([' ', '\t']))
            {
                let span = (start, start + content.len());
                return self.caused(caused, words.trim(), number, span);
            }
        }
        if let Some(repetition) = content.strip_prefix("times ") {
            let whole = (start, start + content.len());
            return self.repeated(repetition, number).map_err(|complaint| {
                Complaint::new(whole, complaint.problem, complaint.advice).or_advise(TIMES_USAGE)
            });
        }
        self.plain_line(line, number)
    }

    fn plain_line(&mut self, line: &str, number: usize) -> Result<(), Complaint> {
        let tokens = tokens(line)?;
        match tokens.first() {
            Some(first) => self.statement(first, &tokens, line, number),
            None => Ok(()),
        }
    }

    /// Takes `FIRST..LAST STATEMENT`, the numbers both included. Every step stands at one line.
    fn repeated(&mut self, repetition: &str, number: usize) -> Result<(), Complaint> {
        let complaint = |problem: &str| Complaint::new((0, 0), problem, "");
        let (range, statement) =
            repetition.trim().split_once(' ').ok_or_else(|| complaint("no statement follows"))?;
        let (first, last) = range.split_once("..").ok_or_else(|| complaint("no FIRST..LAST"))?;
        let (first, last): (u32, u32) =
            (parse_number(first, (0, 0), "a number")?, parse_number(last, (0, 0), "a number")?);
        if last.checked_sub(first).is_none_or(|more| more >= REPETITIONS_MAX) {
            return Err(complaint("no range of 1 to 2000 numbers"));
        }
        for n in first..=last {
            self.plain_line(&statement.replace("{n}", &n.to_string()), number)?;
        }
        Ok(())
    }

    fn comment(&mut self, comment: &str, span: (usize, usize)) -> Result<(), Complaint> {
        match header_comment(comment, span)? {
            Header::None => {}
            Header::ByHand => self.script.by_hand = true,
            Header::Seed(seed) => self.script.seed = Some(seed),
            Header::Requirements(ids) => self.script.requirements.extend(ids),
        }
        Ok(())
    }

    fn expectation(
        &mut self,
        expected: &str,
        number: usize,
        span: (usize, usize),
    ) -> Result<(), Complaint> {
        let complaint = |problem| Err(Complaint::new(span, problem, EXPECTATION_ADVICE));
        let answers = self.script.plan.steps.last().is_some_and(answers);
        let repeated = matches!(&self.script.lines[..], [.., one, other] if one.step == other.step);
        match (self.script.expectations.last_mut(), self.script.lines.last_mut()) {
            _ if repeated => complaint("an expectation below `times`, whose steps must succeed"),
            (Some(lines), Some(numbers)) if answers && !expected.is_empty() => {
                lines.push(expected.to_owned());
                numbers.expectations.push(number);
                Ok(())
            }
            _ if expected.is_empty() => complaint("an expectation that says nothing"),
            (None, _) => complaint("an expectation before the first step"),
            _ => complaint("an expectation of something that answers nothing"),
        }
    }

    /// Takes what stands after `sends` or `audits`.
    fn caused(
        &mut self,
        caused: Caused,
        words: &str,
        number: usize,
        span: (usize, usize),
    ) -> Result<(), Complaint> {
        let lists = match caused {
            Caused::Requests => &mut self.script.sends,
            Caused::Audits => &mut self.script.audits,
        };
        let (what, advice) = match caused {
            Caused::Requests => ("a request", SENDS_ADVICE),
            Caused::Audits => ("an audit event", AUDITS_ADVICE),
        };
        let complaint =
            |problem: &str| Err(Complaint::new(span, format!("{what} {problem}"), advice));
        match (lists.last_mut(), self.script.lines.last_mut()) {
            _ if words.is_empty() => complaint("without words"),
            (Some(lines), Some(numbers)) => {
                lines.push(words.to_owned());
                match caused {
                    Caused::Requests => numbers.sends.push(number),
                    Caused::Audits => numbers.audits.push(number),
                }
                Ok(())
            }
            _ => complaint("before the first step"),
        }
    }

    fn statement(
        &mut self,
        first: &Token,
        tokens: &[Token],
        line: &str,
        number: usize,
    ) -> Result<(), Complaint> {
        let mut words = Words::new(tokens, line);
        let actor = self.actor(&mut words)?;
        let (verb, span) = words.bare("a statement").map_err(|c| c.or_advise(NO_VERB_ADVICE))?;
        if self.block.is_some() {
            if actor.is_some() {
                let problem = "an actor in a block";
                return Err(Complaint::new(first.span, problem, parallel::BLOCK_USAGE));
            }
            return self.in_block(verb, span, &mut words);
        }
        match verb {
            "parallel" => {
                let block = parallel::parse_block(&mut words)
                    .map_err(|complaint| complaint.or_advise(parallel::USAGE))?;
                if actor.is_some() {
                    return Err(Complaint::new(first.span, "an actor of a block", parallel::USAGE));
                }
                self.step(Step::Parallel(block), number);
                self.block = Some((number, line.to_owned()));
                Ok(())
            }
            "actor" | "source" => self.declaration(verb, first, &mut words),
            "kill" | "stall" | "break" | "release" | "restart" | "reboot" | "compare" | "store"
            | "wait" | "refuse" | "transactions" | "snapshots" | "power-loss" | "disk" | "slow" => {
                let sources = self.script.plan.sources.len().max(1);
                let step =
                    world_step(verb, &mut words, sources).map_err(|c| c.or_advise(usage(verb)))?;
                if actor.is_some() {
                    let advice = "leave out the actor: this happens to the world";
                    return Err(Complaint::new(first.span, "nobody does this", advice));
                }
                self.step(step, number);
                Ok(())
            }
            _ => {
                let action = parse_action::parse_action(verb, span, &mut words)?;
                self.check_recipient(&action, span)?;
                self.count_data(&action, span)?;
                self.step(Step::Act { actor: actor.unwrap_or(0), action }, number);
                Ok(())
            }
        }
    }

    /// Takes `alice:`.
    fn actor(&self, words: &mut Words<'_>) -> Result<Option<ActorIndex>, Complaint> {
        let Some(Token { kind: TokenKind::Actor(name), span }) = words.peek() else {
            return Ok(None);
        };
        words.next("an actor")?;
        self.actor_index(name, *span).map(Some)
    }

    fn actor_index(&self, name: &str, span: (usize, usize)) -> Result<ActorIndex, Complaint> {
        let actors = &self.script.plan.actors;
        if actors.is_empty() && name == DEFAULT_ACTOR {
            return Ok(0);
        }
        let index = actors.iter().position(|actor| actor.name == *name);
        index.ok_or_else(|| {
            let advice = "declare the actor before the first step: actor NAME user=SID";
            Complaint::new(span, format!("no actor is called `{name}`"), advice)
        })
    }

    /// An fd is passed to somebody who is there.
    fn check_recipient(&self, action: &Action, span: (usize, usize)) -> Result<(), Complaint> {
        match action {
            Action::Raw { action, .. } => self.check_recipient(action, span),
            Action::Pass { to: Some(name), .. } => self.actor_index(name, span).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn declaration(
        &mut self,
        verb: &str,
        first: &Token,
        words: &mut Words<'_>,
    ) -> Result<(), Complaint> {
        if !self.script.plan.steps.is_empty() {
            let advice = "move it above the first step";
            return Err(Complaint::new(first.span, format!("`{verb}` after a step"), advice));
        }
        if verb == "source" {
            let mut hives = Vec::new();
            while words.peek().is_some() {
                hives.push(source::parse_hive(words)?);
            }
            self.script.plan.sources.push(hives);
            return Ok(());
        }
        let actor = actor::parse_actor(words).map_err(|c| c.or_advise(&actor::usage()))?;
        if self.script.plan.actors.iter().any(|other| other.name == actor.name) {
            let problem = format!("two actors are called `{}`", actor.name);
            return Err(Complaint::new(first.span, problem, "give one another name"));
        }
        self.script.plan.actors.push(actor);
        Ok(())
    }

    fn step(&mut self, step: Step, number: usize) {
        self.script.plan.steps.push(step);
        self.script.expectations.push(Vec::new());
        self.script.sends.push(Vec::new());
        self.script.audits.push(Vec::new());
        self.script.lines.push(StepLines { step: number, ..StepLines::default() });
    }

    fn count_data(&mut self, action: &Action, span: (usize, usize)) -> Result<(), Complaint> {
        if let Action::Raw { action, .. } | Action::Within { action, .. } = action {
            return self.count_data(action, span);
        }
        if let Action::Set { data, .. } | Action::Update { data, .. } = action {
            self.data_length_total = self.data_length_total.saturating_add(data.len());
        }
        if self.data_length_total > DATA_LENGTH_TOTAL_MAX {
            let problem = format!("more than {DATA_LENGTH_TOTAL_MAX} bytes of data in one script");
            return Err(Complaint::new(span, problem, "split the script"));
        }
        Ok(())
    }
}

/// What a step causes beside its answer.
#[derive(Clone, Copy)]
enum Caused {
    Requests,
    Audits,
}

const SENDS_ADVICE: &str = "write `sends REQUEST` or `sends nothing` below a step";
const AUDITS_ADVICE: &str = "write `audits EVENT field=value ...` or `audits nothing` below a step";
/// Whether a step answers anything: what an actor does, a source that starts, a record that is
/// stored.
fn answers(step: &Step) -> bool {
    matches!(
        step,
        Step::Act { .. }
            | Step::Fault(
                Fault::RestartSource { .. } | Fault::RestartSourceAs { .. } | Fault::StoreEntry(_)
            )
    )
}

const EXPECTATION_ADVICE: &str = "write `-> ANSWER` below an action or a restart; what else \
    happens to the world answers nothing";
const NO_VERB_ADVICE: &str = "begin with a word such as `get`, or with `ACTOR:` and such a word";
const WORLD_USAGE: &str = "write `kill source [N] [at request N executed|unexecuted]`, \
    `stall source [N] [at request N executed|unexecuted]`, `release source [N]`, `restart source [N] [as HIVE ...]`, `refuse commit source N busy|failed`, \
    `break source [N] HOW [at request N executed|unexecuted]`, `transactions source N on|off`, \
    `snapshots source N on|off`, `reboot`, `power-loss ...`, `disk ...`, `slow source N by 40ms`, `wait 40s` or `compare views`";

fn usage(verb: &str) -> &'static str {
    match verb {
        "store" => store_entry::USAGE,
        "power-loss" => power::POWER_USAGE,
        "disk" => power::DISK_USAGE,
        _ => WORLD_USAGE,
    }
}

/// Takes what follows `kill`, `stall`, `break`, `release`, `restart`, `reboot`, `store`, `wait` or `compare` in a script of so many
/// sources.
fn world_step(verb: &str, words: &mut Words<'_>, sources: usize) -> Result<Step, Complaint> {
    let step = match verb {
        "kill" => Step::Fault(kill(words, sources)?),
        "stall" => Step::Fault(stall(words, sources)?),
        "release" => Step::Fault(Fault::ReleaseSource { source: named_source(words, sources)? }),
        "restart" => Step::Fault(restart(words, sources)?),
        "reboot" => Step::Fault(Fault::Reboot),
        "power-loss" => Step::Fault(power::parse_power_loss(words, sources)?),
        "slow" => {
            let source = numbered_source(words, sources)?;
            words.expect("by")?;
            let delay_ms = duration_ms(words)?;
            Step::Fault(Fault::SlowSource { source, delay_ms })
        }
        "disk" => Step::Fault(power::parse_disk(words, sources)?),
        "store" => Step::Fault(store(words, sources)?),
        "wait" => Step::Fault(Fault::Wait { duration_ms: duration_ms(words)? }),
        "refuse" => Step::Fault(refuse_commit(words, sources)?),
        "break" => Step::Fault(break_protocol(words, sources)?),
        "transactions" => {
            let (source, is_supported) = support(words, sources)?;
            Step::Fault(Fault::TransactionSupport { source, is_supported })
        }
        "snapshots" => {
            let (source, is_supported) = support(words, sources)?;
            Step::Fault(Fault::SnapshotSupport { source, is_supported })
        }
        _ => {
            words.expect("views")?;
            Step::CompareViews
        }
    };
    words.end()?;
    Ok(step)
}

fn store(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    match words.bare("`entry` or `maximum`")? {
        ("entry", _) => store_entry::parse_store_entry(words),
        ("maximum", _) => {
            let has_source = words.peek_bare() == Some("source");
            let source = if has_source { numbered_source(words, sources)? } else { 0 };
            let max_sequence = words.number("a sequence number")?;
            Ok(Fault::FalseMaximum { source, max_sequence })
        }
        (word, span) => Err(Complaint::new(span, format!("`{word}` cannot stand here"), "")),
    }
}

/// What follows `refuse`.
fn refuse_commit(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    words.expect("commit")?;
    let source = numbered_source(words, sources)?;
    let refusal = match words.bare("`busy` or `failed`")? {
        ("busy", _) => CommitRefusal::Busy,
        ("failed", _) => CommitRefusal::Failed,
        (word, span) => {
            return Err(Complaint::new(
                span,
                format!("`{word}` is no way to refuse"),
                "busy or failed",
            ));
        }
    };
    Ok(Fault::RefuseCommit { source, refusal })
}

/// What follows `transactions` or `snapshots`: of which source, and whether it has them.
fn support(words: &mut Words<'_>, sources: usize) -> Result<(usize, bool), Complaint> {
    let source = numbered_source(words, sources)?;
    let is_supported = match words.bare("`on` or `off`")? {
        ("on", _) => true,
        ("off", _) => false,
        (word, span) => {
            return Err(Complaint::new(span, format!("`{word}` cannot stand here"), "on or off"));
        }
    };
    Ok((source, is_supported))
}

/// Takes a duration such as `40s` or `1500ms`.
fn duration_ms(words: &mut Words<'_>) -> Result<u32, Complaint> {
    let advice = "write a number of seconds or milliseconds, as in `wait 40s` or `wait 1500ms`";
    let (text, span) = words.bare("a duration").map_err(|missing| missing.or_advise(advice))?;
    let (digits, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => {
            return Err(Complaint::new(span, format!("`{text}` has no unit"), advice));
        }
    };
    let number: u32 = parse_number(digits, span, "a duration")?;
    let duration_ms = number.checked_mul(unit_ms);
    duration_ms.ok_or_else(|| Complaint::new(span, "a duration that is too long", advice))
}

fn kill(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    let source = named_source(words, sources)?;
    Ok(match at_request(words)? {
        None => Fault::KillSource { source },
        Some((request, executed)) => Fault::KillSourceAt { source, request, executed },
    })
}

fn stall(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    let source = named_source(words, sources)?;
    Ok(match at_request(words)? {
        None => Fault::StallSource { source },
        Some((request, executed)) => Fault::StallSourceAt { source, request, executed },
    })
}

/// What follows `break`.
fn break_protocol(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    let source = named_source(words, sources)?;
    let (word, span) = words.bare("how the protocol is broken")?;
    let breach = Breach::of_word(word).ok_or_else(|| {
        let all = Breach::ALL.map(Breach::word).join(", ");
        Complaint::new(span, format!("`{word}` is no way to break the protocol"), &all)
    })?;
    Ok(match at_request(words)? {
        None => Fault::BreakProtocol { source, breach },
        Some((request, executed)) => Fault::BreakProtocolAt { source, breach, request, executed },
    })
}

/// Takes `at request N executed|unexecuted`, or nothing at the end of a line.
fn at_request(words: &mut Words<'_>) -> Result<Option<(u32, bool)>, Complaint> {
    if words.peek().is_none() {
        return Ok(None);
    }
    words.expect("at")?;
    words.expect("request")?;
    let (number, span) = words.bare("the number of a request")?;
    let request = parse_number(number, span, "the number of a request")?;
    if request == 0 {
        let advice = "write 1 for the next request";
        return Err(Complaint::new(span, "requests are counted from 1", advice));
    }
    let (word, span) = words.bare("`executed` or `unexecuted`")?;
    match word {
        "executed" => Ok(Some((request, true))),
        "unexecuted" => Ok(Some((request, false))),
        _ => Err(Complaint::new(span, format!("`{word}` cannot stand here"), "")),
    }
}

fn restart(words: &mut Words<'_>, sources: usize) -> Result<Fault, Complaint> {
    let source = named_source(words, sources)?;
    if words.peek().is_none() {
        return Ok(Fault::RestartSource { source });
    }
    words.expect("as")?;
    let mut hives = vec![source::parse_hive(words)?];
    while words.peek().is_some() {
        hives.push(source::parse_hive(words)?);
    }
    Ok(Fault::RestartSourceAs { source, hives })
}

/// Takes `source [N]`; the first source is 0, and meant where there is no number.
fn named_source(words: &mut Words<'_>, sources: usize) -> Result<usize, Complaint> {
    words.expect("source")?;
    let span = match words.peek() {
        None => return Ok(0),
        Some(_) if matches!(words.peek_bare(), Some("at" | "as")) => return Ok(0),
        Some(_) if words.peek_bare().and_then(Breach::of_word).is_some() => return Ok(0),
        Some(token) => token.span,
    };
    numbered(words, sources, span)
}

/// Takes `source N`.
pub(super) fn numbered_source(words: &mut Words<'_>, sources: usize) -> Result<usize, Complaint> {
    words.expect("source")?;
    let span = words.peek().map_or((0, 0), |token| token.span);
    numbered(words, sources, span)
}

fn numbered(
    words: &mut Words<'_>,
    sources: usize,
    span: (usize, usize),
) -> Result<usize, Complaint> {
    let number = words.number("the number of a source")?;
    if number < sources {
        return Ok(number);
    }
    let advice = format!("the script has {sources} of them, counted from 0; declare more above");
    Err(Complaint::new(span, format!("there is no source {number}"), advice))
}

/// What a comment says to a reader of scripts.
pub(super) enum Header {
    /// Nothing.
    None,
    /// `# by hand`.
    ByHand,
    /// `# seed: N`.
    Seed(u64),
    /// `# requirements: IDS`.
    Requirements(Vec<String>),
}

/// Reads what stands after the `#` of a comment.
pub(super) fn header_comment(comment: &str, span: (usize, usize)) -> Result<Header, Complaint> {
    let comment = comment.trim();
    if comment == "by hand" {
        return Ok(Header::ByHand);
    }
    if let Some(seed) = comment.strip_prefix("seed:") {
        let seed = seed.trim();
        return seed.parse().map(Header::Seed).map_err(|_| {
            let advice = "write a whole number, as in `# seed: 17`";
            Complaint::new(span, format!("`{seed}` is no seed"), advice)
        });
    }
    let Some(list) = comment.strip_prefix("requirements:") else { return Ok(Header::None) };
    let ids = list.split([',', ' ', '\t']).filter(|id| !id.is_empty());
    let read = ids.map(|id| {
        if is_requirement_id(id) {
            return Ok(id.to_owned());
        }
        let advice = "write ids such as RES-03 or D-52, with commas";
        Err(Complaint::new(span, format!("`{id}` is no requirement"), advice))
    });
    read.collect::<Result<_, _>>().map(Header::Requirements)
}

/// Letters, a hyphen, digits.
fn is_requirement_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(prefix, number)| {
        !prefix.is_empty()
            && prefix.chars().all(|c| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    })
}
