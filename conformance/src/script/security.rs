//! The statements on SDs and on who has which fd and token, read and written.

use super::credentials::{self, Bearer};
use super::descriptor::{descriptor_word, parse_descriptor};
use super::error::Complaint;
use super::print::Line;
use super::words::{OptionKind, Options, Words};
use crate::plan::Action;
use crate::sddl::{self, DACL, GROUP, OWNER, SACL};

/// How the statements are written.
pub(super) const USAGES: &[(&str, &str)] = &[
    ("security", "security KEY [owner] [group] [dacl] [sacl] [info=N] [buffer=BYTES]"),
    ("set-security", "set-security KEY SDDL|hex:BYTES [owner] [group] [dacl] [sacl] [info=N]"),
    ("pass", "pass HANDLE to ACTOR as HANDLE"),
    ("dup", "dup HANDLE as HANDLE"),
    ("become", "become system|user=SID ..., with the words of `actor`"),
    ("revert", "revert"),
];

/// The components of an SD with their words.
const COMPONENTS: [(&str, u32); 4] =
    [("owner", OWNER), ("group", GROUP), ("dacl", DACL), ("sacl", SACL)];
/// What `security` reads that says nothing.
const USUAL: u32 = OWNER | GROUP | DACL;

/// Takes the words after one of these verbs.
pub(super) fn parse(verb: &str, words: &mut Words<'_>) -> Result<Action, Complaint> {
    match verb {
        "security" => {
            let key = words.key()?;
            let options = words.options(&options(Some(OptionKind::Number("buffer"))))?;
            let security_info = info(&options).unwrap_or(USUAL);
            Ok(Action::GetSecurity { key, security_info, capacity: options.number("buffer") })
        }
        "set-security" => {
            let key = words.key()?;
            let descriptor = parse_descriptor(words)?;
            let options = words.options(&options(None))?;
            let security_info = info(&options).unwrap_or(sddl::components(&descriptor));
            Ok(Action::SetSecurity { key, security_info, descriptor })
        }
        "become" => Ok(Action::Become { token: credentials::parse(words, Bearer::Thread)? }),
        "revert" => Ok(Action::Revert),
        _ => {
            let handle = words.handle_name()?;
            let to = match verb {
                "pass" => {
                    words.expect("to")?;
                    Some(words.string("an actor")?)
                }
                _ => None,
            };
            words.expect("as")?;
            Ok(Action::Pass { handle, to, received: words.handle_name()? })
        }
    }
}

fn options(further: Option<OptionKind>) -> Vec<OptionKind> {
    let components = COMPONENTS.iter().map(|(word, bit)| OptionKind::Flag(word, *bit));
    components.chain([OptionKind::Number("info")]).chain(further).collect()
}

/// The components that are named.
fn info(options: &Options) -> Option<u32> {
    match (options.number("info"), options.flags) {
        (Some(info), components) => Some(info | components),
        (None, 0) => None,
        (None, components) => Some(components),
    }
}

/// The line of an action that these verbs say; of any other, nothing.
pub(super) fn words(action: &Action) -> String {
    match action {
        Action::GetSecurity { key, security_info, capacity } => {
            let line = with_info(Line::new("security").key(key), *security_info, USUAL);
            line.number("buffer", *capacity).end()
        }
        Action::SetSecurity { key, security_info, descriptor } => {
            let line = Line::new("set-security").key(key).raw(&descriptor_word(descriptor));
            with_info(line, *security_info, sddl::components(descriptor)).end()
        }
        Action::Pass { handle, to, received } => {
            let line = Line::new(if to.is_some() { "pass" } else { "dup" });
            let line = line.text(handle.0.as_bytes());
            let line = match to {
                Some(actor) => line.raw("to").text(actor.as_bytes()),
                None => line,
            };
            line.raw("as").text(received.0.as_bytes()).end()
        }
        Action::Become { token } => {
            Line::new("become").raw(&credentials::words(token, Bearer::Thread)).end()
        }
        Action::Revert => Line::new("revert").end(),
        _ => String::new(),
    }
}

/// Names components where they are not the usual ones.
fn with_info(line: Line, security_info: u32, usual: u32) -> Line {
    let known = OWNER | GROUP | DACL | SACL;
    if security_info == usual {
        line
    } else if security_info == 0 || security_info & !known != 0 {
        line.raw(&format!("info={security_info:#x}"))
    } else {
        let named = COMPONENTS.iter().filter(|(_, bit)| security_info & bit != 0);
        named.fold(line, |line, (word, _)| line.raw(word))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::script::{parse, print};

    #[test]
    fn statements_have_a_canonical_form() {
        let text = r#"
            actor alice user=S-1-5-21-7 integrity=medium no_write_up=1 level=primary
            actor bob user=S-1-5-21-8 restricted=S-1-1-0,S-1-5-12 write_restricted user_deny_only integrity=4096 no_write_up=0 audit_policy=3 scope=7 confined default_dacl=D:(A;;KA;;;SY)
            source Machine "Users@" Mine@9 a@b@
            security Machine owner dacl group
            security @h sacl buffer=0
            security @h info=0x10
            set-security Machine O:SYD:P(A;CI;KR;;;AU)
            set-security @h "O:SYD:" dacl
            set-security @h hex:0100
            set-security @h hex: info=0x80000000
            pass h to bob as @g
            bob: dup @g as "g 2"
            become system
            alice: become user=S-1-5-21-9 level=identification integrity=high
            raw fd=9 : dup g as h
            revert
            restart source as Mine@00112233445566778899aabbccddeeff
        "#;
        let script = parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        expect![[r#"
            actor alice user=S-1-5-21-7
            actor bob user=S-1-5-21-8 user_deny_only write_restricted confined no_write_up=0 default_dacl=D:(A;;KA;;;SY) integrity=low restricted=S-1-1-0,S-1-5-12 audit_policy=0x3 scope=7
            source Machine Users Mine@9 a@b@
            security Machine
            security @h sacl buffer=0
            security @h info=0x10
            set-security Machine "O:SYD:P(A;CI;KR;;;AU)"
            set-security @h "O:SYD:" dacl
            set-security @h hex:0100
            set-security @h hex: info=0x80000000
            pass h to bob as g
            bob: dup g as "g 2"
            become system
            become user=S-1-5-21-9 integrity=high level=identification
            raw fd=9 : dup g as h
            revert
            restart source 0 as Mine@00112233445566778899aabbccddeeff
        "#]]
        .assert_eq(&print(&script.plan));
    }

    #[test]
    fn a_fault_in_a_descriptor_is_shown_at_its_place() {
        let error = |text: &str| parse(text, "test.lcs").expect_err(text).to_string();
        expect![[r#"
            test.lcs:1:33: rights must stand here, such as KA, or 0x and digits
             1 | set-security Machine "O:SYD:(A;;QQ;;;SY)"
               |                                 ^^^^^^^^^
               = write SDDL such as "O:SYG:SYD:(A;CI;KA;;;SY)", or hex: and bytes"#]]
        .assert_eq(&error("set-security Machine \"O:SYD:(A;;QQ;;;SY)\""));
        assert!(error("actor a user=S-1-1-0 default_dacl=D:(A)").contains(":1:39: `;`"));
    }

    #[test]
    fn an_fd_is_passed_to_a_declared_actor() {
        let error = parse("pass h to carol as g", "test.lcs").expect_err("nobody");
        assert!(error.problem.contains("no actor is called `carol`"), "{error}");
    }
}
