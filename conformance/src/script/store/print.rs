//! Writing a plan of requests as a script, in the one canonical way.

use super::descriptor::{self, descriptor_word};
use super::statement::time_word;
use crate::plan::Text;
use crate::script::data::{hex, typed_words};
use crate::script::token::{quoted, word};
use crate::store_client::plan::{
    KeyName, PlannedOperation, PlannedRequest, StorePlan, StoreStep, TransactionName,
};

/// The script of a plan: reading it gives the same plan.
pub fn print(plan: &StorePlan) -> String {
    let mut text = String::new();
    if !plan.hives.is_empty() {
        text.push_str("hives");
        for hive in &plan.hives {
            text.push(' ');
            text.push_str(&word(hive.as_bytes()));
        }
        text.push('\n');
    }
    let hives = plan.hive_names();
    for step in &plan.steps {
        text.push_str(&step_words(step, &hives));
        text.push('\n');
    }
    text
}

/// The line of a step, in a plan with these hives.
pub(crate) fn step_words(step: &StoreStep, hives: &[String]) -> String {
    match step {
        StoreStep::Send { label: None, request } => request_words(request, hives),
        StoreStep::Send { label: Some(label), request } => {
            format!("{label}: {}", request_words(request, hives))
        }
        StoreStep::Await { label } => format!("await {}", word(label.as_bytes())),
        StoreStep::Pass { nanoseconds } => format!("pass {}", time_word(*nanoseconds)),
        StoreStep::Kill => "kill".to_owned(),
        StoreStep::Stop => "stop".to_owned(),
        StoreStep::Start => "start".to_owned(),
        StoreStep::Compare => "compare".to_owned(),
    }
}

/// The words of a request, in a plan with these hives.
pub(crate) fn request_words(request: &PlannedRequest, hives: &[String]) -> String {
    let mut line = operation_words(&request.operation, hives);
    if let Some(transaction) = &request.transaction {
        line = line.raw("by").raw(&transaction_word(transaction));
    }
    if !request.trailing.is_empty() {
        line = line.raw(&format!("extra hex:{}", hex(&request.trailing)));
    }
    line.text
}

fn operation_words<'a>(operation: &PlannedOperation, hives: &'a [String]) -> Line<'a> {
    let line = |verb: &str| Line { text: verb.to_owned(), hives };
    match operation {
        PlannedOperation::Lookup { parent, name } => line("lookup").key(parent).name(name),
        PlannedOperation::CreateEntry { parent, name, layer, child, sequence } => {
            let line = line("create-entry").key(parent).name(name).key(child);
            line.layer(layer).sequence(*sequence)
        }
        PlannedOperation::HideEntry { parent, name, layer, sequence } => {
            line("hide-entry").key(parent).name(name).layer(layer).sequence(*sequence)
        }
        PlannedOperation::DeleteEntry { parent, name, layer } => {
            line("delete-entry").key(parent).name(name).layer(layer)
        }
        PlannedOperation::EnumChildren { parent } => line("enum-children").key(parent),
        PlannedOperation::CreateKey { .. } | PlannedOperation::WriteKey { .. } => {
            record_words(operation, hives)
        }
        PlannedOperation::ReadKey { key } => line("read-key").key(key),
        PlannedOperation::DropKey { key } => line("drop-key").key(key),
        PlannedOperation::QueryValues { key, name: None } => line("query-values").key(key).raw("*"),
        PlannedOperation::QueryValues { key, name: Some(name) } => {
            line("query-values").key(key).name(name)
        }
        PlannedOperation::SetValue {
            key,
            name,
            layer,
            value_type,
            data,
            sequence,
            expected_sequence,
        } => {
            let line = line("set-value").key(key).name(name).raw(&typed_words(*value_type, data));
            let line = line.layer(layer).sequence(*sequence);
            if *expected_sequence == 0 {
                line
            } else {
                line.raw(&format!("if {expected_sequence}"))
            }
        }
        PlannedOperation::DeleteValueEntry { key, name, layer } => {
            line("delete-value").key(key).name(name).layer(layer)
        }
        PlannedOperation::SetBlanketTombstone { key, layer, set: true, sequence } => {
            line("set-blanket").key(key).layer(layer).sequence(*sequence)
        }
        PlannedOperation::SetBlanketTombstone { key, layer, set: false, sequence } => {
            let line = line("clear-blanket").key(key).layer(layer);
            if *sequence == 0 { line } else { line.sequence(*sequence) }
        }
        PlannedOperation::Begin { transaction, mode } => {
            let mode = match mode {
                0 => "read-write".to_owned(),
                1 => "read-only".to_owned(),
                other => other.to_string(),
            };
            line("begin").raw(&transaction_word(transaction)).raw(&mode)
        }
        PlannedOperation::Commit { transaction } => {
            line("commit").raw(&transaction_word(transaction))
        }
        PlannedOperation::Abort { transaction } => {
            line("abort").raw(&transaction_word(transaction))
        }
        PlannedOperation::Flush { hive } => line("flush").name(hive),
        PlannedOperation::DeleteLayer { layer } => line("delete-layer").name(layer),
        PlannedOperation::Raw { op_code, payload } => {
            let line = line("raw").raw(&format!("{op_code:#06x}"));
            if payload.is_empty() { line } else { line.raw(&format!("hex:{}", hex(payload))) }
        }
    }
}

/// The words of what writes a key record.
fn record_words<'a>(operation: &PlannedOperation, hives: &'a [String]) -> Line<'a> {
    let line = |verb: &str| Line { text: verb.to_owned(), hives };
    match operation {
        PlannedOperation::CreateKey {
            key,
            parent,
            name,
            security_descriptor,
            volatile_key,
            symlink,
        } => {
            let mut line = line("create-key").key(key).key(parent).name(name);
            if *security_descriptor != descriptor::default() {
                line = line.raw("sd").raw(&descriptor_word(security_descriptor));
            }
            line = if *volatile_key { line.raw("volatile") } else { line };
            if *symlink { line.raw("symlink") } else { line }
        }
        PlannedOperation::WriteKey {
            key,
            security_descriptor,
            last_write_time,
            undefined_mask_bits,
        } => {
            let mut line = line("write-key").key(key);
            if let Some(bytes) = security_descriptor {
                line = line.raw("sd").raw(&descriptor_word(bytes));
            }
            if let Some(time) = last_write_time {
                line = line.raw(&format!("time {time}"));
            }
            match undefined_mask_bits {
                0 => line,
                bits => line.raw(&format!("mask {bits:#x}")),
            }
        }
        _ => line(""),
    }
}

fn transaction_word(transaction: &TransactionName) -> String {
    match transaction {
        TransactionName::Named(name) => name.clone(),
        TransactionName::Number(number) => number.to_string(),
    }
}

/// A line that grows word by word.
struct Line<'a> {
    text: String,
    hives: &'a [String],
}

impl Line<'_> {
    fn raw(mut self, words: &str) -> Self {
        self.text.push(' ');
        self.text.push_str(words);
        self
    }

    fn key(self, key: &KeyName) -> Self {
        let word = key_word(key, self.hives);
        self.raw(&word)
    }

    /// A name; in quotes if it is the word for all names.
    fn name(self, name: &Text) -> Self {
        let word = if name.0 == b"*" { quoted(&name.0) } else { word(&name.0) };
        self.raw(&word)
    }

    fn layer(self, layer: &Text) -> Self {
        if layer.0 == b"base" { self } else { self.raw("in").name(layer) }
    }

    fn sequence(self, sequence: u64) -> Self {
        self.raw(&format!("at {sequence}"))
    }
}

/// The word for a key.
pub(crate) fn key_word(key: &KeyName, hives: &[String]) -> String {
    match key {
        KeyName::Root(hive) => {
            hives.get(*hive).map_or_else(|| "nil".to_owned(), |hive| word(hive.as_bytes()))
        }
        KeyName::Named(name) => name.clone(),
        KeyName::Nil => "nil".to_owned(),
        KeyName::Literal(bytes) => format!("guid:{}", hex(bytes)),
    }
}
