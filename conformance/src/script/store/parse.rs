//! Reading a script of requests, line by line.

use super::statement::{self, Reading};
use super::{StepLines, StoreScript, answers};
use crate::script::ScriptError;
use crate::script::error::Complaint;
use crate::script::parse::{Header, header_comment};
use crate::script::token::{Token, TokenKind, tokens};
use crate::script::words::Words;
use crate::store_client::plan::StoreStep;

/// Reads a script. `file_name` is only for messages.
///
/// # Errors
/// The first fault, at its place.
pub fn parse(text: &str, file_name: &str) -> Result<StoreScript, ScriptError> {
    let mut parser = Parser::default();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let number = index + 1;
        parser.line(line, number).map_err(|complaint| complaint.at(file_name, number, line))?;
    }
    Ok(parser.script)
}

#[derive(Default)]
struct Parser {
    script: StoreScript,
    /// Labels of requests whose answer has not been waited for.
    labels: Vec<String>,
}

impl Parser {
    fn line(&mut self, line: &str, number: usize) -> Result<(), Complaint> {
        let content = line.trim_matches([' ', '\t']);
        let start = line.len() - line.trim_start_matches([' ', '\t']).len();
        let span = (start, start + content.len());
        if let Some(comment) = content.strip_prefix('#') {
            return self.comment(comment, span);
        }
        if let Some(expected) = content.strip_prefix("->") {
            return self.expectation(expected.trim(), number, span);
        }
        let tokens = tokens(line)?;
        match tokens.first() {
            Some(first) => self.statement(first, &tokens, line, number),
            None => Ok(()),
        }
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
        let has_answer = self.script.plan.steps.last().is_some_and(answers);
        match (self.script.expectations.last_mut(), self.script.lines.last_mut()) {
            (Some(lines), Some(numbers)) if has_answer && !expected.is_empty() => {
                lines.push(expected.to_owned());
                numbers.expectations.push(number);
                Ok(())
            }
            _ if expected.is_empty() => complaint("an expectation that says nothing"),
            (None, _) => complaint("an expectation before the first step"),
            _ => complaint("an expectation of something that answers nothing"),
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
        let label = match &first.kind {
            TokenKind::Actor(label) => {
                words.next("a label")?;
                Some(label.clone())
            }
            _ => None,
        };
        let (verb, span) = words.bare("a statement").map_err(|c| c.or_advise(NO_VERB_ADVICE))?;
        if verb == "hives" && label.is_none() {
            return self.hives(first, &mut words);
        }
        let hives = self.script.plan.hive_names();
        let step = match statement::parse(verb, span, &mut words, &hives)? {
            Reading::Request(request) => {
                if let Some(label) = &label {
                    self.add_label(label, first)?;
                }
                StoreStep::Send { label, request }
            }
            Reading::Step(_) if label.is_some() => {
                let advice = "leave out the label: only requests have one";
                return Err(Complaint::new(first.span, "a label of something else", advice));
            }
            Reading::Step(StoreStep::Await { label }) => {
                self.take_label(&label, span)?;
                StoreStep::Await { label }
            }
            Reading::Step(step) => step,
        };
        self.script.plan.steps.push(step);
        self.script.expectations.push(Vec::new());
        self.script.lines.push(StepLines { step: number, ..StepLines::default() });
        Ok(())
    }

    fn hives(&mut self, first: &Token, words: &mut Words<'_>) -> Result<(), Complaint> {
        let is_first = self.script.plan.steps.is_empty() && self.script.plan.hives.is_empty();
        if !is_first {
            let advice = "write one line of hives, above the first step";
            return Err(Complaint::new(first.span, "`hives` at the wrong place", advice));
        }
        while words.peek().is_some() {
            self.script.plan.hives.push(words.string("a hive")?);
        }
        Ok(())
    }

    fn add_label(&mut self, label: &str, token: &Token) -> Result<(), Complaint> {
        if self.labels.iter().any(|other| other == label) {
            let problem = format!("two requests are called `{label}`");
            return Err(Complaint::new(token.span, problem, "give one another name"));
        }
        self.labels.push(label.to_owned());
        Ok(())
    }

    fn take_label(&mut self, label: &str, span: (usize, usize)) -> Result<(), Complaint> {
        if self.labels.iter().any(|other| other == label) {
            return Ok(());
        }
        let problem = format!("no request is called `{label}`");
        Err(Complaint::new(span, problem, "label a request above: NAME: REQUEST"))
    }
}

const EXPECTATION_ADVICE: &str = "write `-> ANSWER` below a request without a label, `await` or \
    `start`; nothing else answers";
const NO_VERB_ADVICE: &str = "begin with a word such as `lookup`, or with `LABEL:` and such a word";
