//! A divergence as a file: a script that shows it again, and what it is as the comment.

use std::fmt::Write;

use crate::divergence::Finding;
use crate::script;

/// Lines of each side that a comment has; the run shows all.
const LINES_MAX: usize = 12;

/// The text of a script that reproduces a finding.
pub fn text(finding: &Finding) -> String {
    let divergence = &finding.divergence;
    let mut text = format!("# {}: ", divergence.kind.name());
    if !divergence.actor.is_empty() {
        let _ = write!(text, "{}: ", divergence.actor);
    }
    let _ = writeln!(text, "{}", divergence.what.replace('\n', " "));
    side(&mut text, "expected", &divergence.expected);
    side(&mut text, "got", &divergence.got);
    if !divergence.requirements.is_empty() {
        let _ = writeln!(text, "# by {}", divergence.requirements.join(", "));
    }
    if let Some(seed) = finding.seed {
        let _ = writeln!(text, "# seed: {seed}");
    }
    text + &script::print(&finding.plan)
}

/// One side of the difference, line by line.
fn side(text: &mut String, name: &str, lines: &str) {
    for (number, line) in lines.lines().take(LINES_MAX).enumerate() {
        let name = if number == 0 { name } else { "" };
        let _ = writeln!(text, "# {name:8} {line}");
    }
    let left_out = lines.lines().count().saturating_sub(LINES_MAX);
    if left_out > 0 {
        let _ = writeln!(text, "# {:8} ({left_out} more)", "");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::divergence::{Divergence, Kind};

    fn finding(expected: &str) -> Finding {
        let plan = script::parse("flush Machine\n", "test").expect("a script").plan;
        let divergence = Divergence {
            kind: Kind::Answer,
            step: 0,
            call_number: 2,
            actor: "system".to_owned(),
            what: "ioctl(fd 3,\nFLUSH)".to_owned(),
            requirements: vec!["IOC-147", "ERR-03"],
            expected: expected.to_owned(),
            got: "EIO".to_owned(),
            split_at_step: None,
        };
        Finding { seed: Some(17), plan, divergence }
    }

    #[test]
    fn the_divergence_is_the_comment() {
        expect![[r#"
            # answer: system: ioctl(fd 3, FLUSH)
            # expected ok
            #          or EBADF
            # got      EIO
            # by IOC-147, ERR-03
            # seed: 17
            flush Machine
        "#]]
        .assert_eq(&text(&finding("ok\nor EBADF")));
    }

    #[test]
    fn a_reproduction_is_a_script_of_the_same_plan_and_seed() {
        let finding = finding("ok");
        let script = script::parse(&text(&finding), "test").expect("a script");
        assert_eq!((script.plan, script.seed), (finding.plan, finding.seed));
    }

    #[test]
    fn of_a_long_side_the_beginning_is_told() {
        let text = text(&finding(&"line\n".repeat(20)));
        assert_eq!(text.matches("line").count(), LINES_MAX);
        assert!(text.contains("(8 more)"), "{text}");
    }
}
