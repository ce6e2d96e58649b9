//! The statements on watches and transactions, read and written.

use super::error::Complaint;
use super::print::{Line, action_words};
use super::token::word;
use super::words::{OptionKind, Words, parse_number};
use crate::plan::{Action, Handle};

/// How the statements are written.
pub(super) const USAGES: &[(&str, &str)] = &[
    ("watch", "watch HANDLE [subtree] [value] [subkey] [sd], or watch HANDLE off"),
    ("events", "events HANDLE [buffer=BYTES]"),
    ("poll", "poll HANDLE"),
    ("begin", "begin HANDLE"),
    ("commit", "commit HANDLE"),
    ("status", "status HANDLE"),
];

/// What stands behind an action, before the handle of its transaction.
pub(super) const WITHIN: &str = "within";

/// The kinds of events with their words (PSD-005 §11.1).
const FILTERS: [(&str, u32); 3] = [("value", 0x1), ("subkey", 0x2), ("sd", 0x4)];
/// `REG_NOTIFY_ALL`: the filter of a watch that says nothing of it.
const ALL: u32 = 0x7;

/// Takes the words after one of these verbs.
pub(super) fn parse(verb: &str, words: &mut Words<'_>) -> Result<Action, Complaint> {
    let handle = words.handle_name()?;
    Ok(match verb {
        "watch" => {
            let (filter, subtree) = parse_watch(words)?;
            Action::Watch { handle, filter, subtree }
        }
        "events" => {
            let options = words.options(&[OptionKind::Number("buffer")])?;
            Action::Events { handle, capacity: options.number("buffer") }
        }
        "poll" => Action::Poll { handle },
        "begin" => Action::Begin { handle },
        "commit" => Action::Commit { transaction: handle },
        _ => Action::TransactionStatus { transaction: handle },
    })
}

/// Takes the filter and the word of a subtree watch.
fn parse_watch(words: &mut Words<'_>) -> Result<(u32, u8), Complaint> {
    let (mut filter, mut subtree) = (None, None);
    let twice = |span, what: &str| {
        Err(Complaint::new(span, format!("{what} is said twice, or in two ways"), "keep one"))
    };
    while words.peek_bare().is_some_and(|next| next != WITHIN) {
        let (text, span) = words.bare("an option")?;
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        match (name, value) {
            ("subtree", _) if subtree.is_some() => return twice(span, "`subtree`"),
            ("subtree", None) => subtree = Some(1),
            ("subtree", Some(number)) => subtree = Some(parse_number(number, span, "a number")?),
            ("filter", Some(_)) | ("off", None) if filter.is_some() => {
                return twice(span, "the filter");
            }
            ("filter", Some(number)) => filter = Some(parse_number(number, span, "a filter")?),
            ("off", None) => filter = Some(0),
            _ => {
                let known = FILTERS.iter().find(|(known, _)| *known == name && value.is_none());
                let Some((_, bit)) = known else {
                    return Err(Complaint::new(span, format!("`{text}` cannot stand here"), ""));
                };
                let has_words = filter
                    .is_none_or(|filter| filter != 0 && filter & !ALL == 0 && filter & bit == 0);
                if !has_words {
                    return twice(span, "the filter");
                }
                filter = Some(filter.unwrap_or(0) | bit);
            }
        }
    }
    Ok((filter.unwrap_or(ALL), subtree.unwrap_or(0)))
}

/// Takes `within HANDLE` behind an action that has room for it.
pub(super) fn parse_within(
    verb: &str,
    action: Action,
    words: &mut Words<'_>,
) -> Result<Action, Complaint> {
    if words.peek_bare() != Some(WITHIN) {
        return Ok(action);
    }
    let (_, span) = words.bare("`within`")?;
    if !action.takes_transaction() {
        let advice = "leave it out: the calls of this statement have no field for a transaction";
        return Err(Complaint::new(span, format!("`{verb}` is in no transaction"), advice));
    }
    let transaction = words.handle_name()?;
    Ok(Action::Within { transaction, action: Box::new(action) })
}

/// The line of such an action; of any other action, nothing.
pub(super) fn words(action: &Action) -> String {
    let on = |verb: &str, handle: &Handle| Line::new(verb).text(handle.0.as_bytes());
    match action {
        Action::Watch { handle, filter, subtree } => {
            let line = match subtree {
                0 => on("watch", handle),
                1 => on("watch", handle).raw("subtree"),
                _ => on("watch", handle).number("subtree", Some(u32::from(*subtree))),
            };
            filter_words(line, *filter).end()
        }
        Action::Events { handle, capacity } => {
            on("events", handle).number("buffer", *capacity).end()
        }
        Action::Poll { handle } => on("poll", handle).end(),
        Action::Begin { handle } => on("begin", handle).end(),
        Action::Commit { transaction } => on("commit", transaction).end(),
        Action::TransactionStatus { transaction } => on("status", transaction).end(),
        Action::Within { transaction, action } => {
            format!("{} {WITHIN} {}", action_words(action), word(transaction.0.as_bytes()))
        }
        _ => String::new(),
    }
}

/// Words for the bits that have one; all as a number if some bit has none.
fn filter_words(line: Line, filter: u32) -> Line {
    if filter == 0 {
        return line.raw("off");
    }
    if filter & !ALL != 0 {
        return line.raw(&format!("filter={filter:#x}"));
    }
    let set = FILTERS.iter().filter(|(_, bit)| filter & bit != 0);
    set.fold(line, |line, (word, _)| line.raw(word))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::script::{parse, print};

    fn check_error(text: &str, message: Expect) {
        message.assert_eq(&parse(text, "test.lcs").expect_err("an error").to_string());
    }

    #[test]
    fn watches_and_transactions_have_a_canonical_form() {
        let text = r#"
            watch @h
            watch h off
            watch h sd subtree value
            watch h filter=3 subtree=2
            watch h filter=0x18
            events @h buffer=12
            events h
            poll h
            begin @t
            set Machine\A x multi_sz "a" "b" in gpo within @t
            set @h x tombstone within t
            get @h within within "within"
            create k = @h Sub volatile in gpo within t
            create within within t
            list @h within t
            hide @k within t
            raw transaction=-2 : unset @h x within t
            set-security @h "D:" dacl within t
            wait 40s
            wait 1500ms
            status t
            commit t
        "#;
        let script = parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        expect![[r#"
            watch h value subkey sd
            watch h off
            watch h subtree value sd
            watch h subtree=2 value subkey
            watch h filter=0x18
            events h buffer=12
            events h
            poll h
            begin t
            set Machine\A x multi_sz "a" "b" in gpo within t
            set @h x tombstone within t
            get @h within within within
            create k = @h Sub access=all volatile in gpo within t
            create within access=all within t
            list @h within t
            hide @k within t
            raw transaction=-2 : unset @h x within t
            set-security @h "D:" within t
            wait 40s
            wait 1500ms
            status t
            commit t
        "#]]
        .assert_eq(&print(&script.plan));
    }

    #[test]
    fn what_has_no_transaction_takes_none() {
        check_error(
            "flush @h within t",
            expect![[r#"
            test.lcs:1:10: `flush` is in no transaction
             1 | flush @h within t
               |          ^^^^^^
               = leave it out: the calls of this statement have no field for a transaction"#]],
        );
    }

    #[test]
    fn a_filter_is_said_once() {
        check_error(
            "watch h value off",
            expect![[r#"
            test.lcs:1:15: the filter is said twice, or in two ways
             1 | watch h value off
               |               ^^^
               = keep one"#]],
        );
        check_error(
            "watch h subkey keys",
            expect![[r#"
            test.lcs:1:16: `keys` cannot stand here
             1 | watch h subkey keys
               |                ^^^^
               = write `watch HANDLE [subtree] [value] [subkey] [sd], or watch HANDLE off`"#]],
        );
    }

    #[test]
    fn a_wait_has_a_unit() {
        check_error(
            "wait 40",
            expect![[r#"
            test.lcs:1:6: `40` has no unit
             1 | wait 40
               |      ^^
               = write a number of seconds or milliseconds, as in `wait 40s` or `wait 1500ms`"#]],
        );
    }
}
