//! Two texts beside each other, differing lines marked.

use similar::{DiffOp, TextDiff};

/// Characters of each column.
const COLUMN_WIDTH: usize = 58;
/// Equal lines shown before and after a difference.
const CONTEXT_LINES: usize = 3;

/// Lays out `expected` on the left and `got` on the right. Differing lines carry `|`, lines on
/// one side only `<` or `>`. Equal lines far from any difference are left out.
pub fn side_by_side(expected: &str, got: &str) -> String {
    let left: Vec<&str> = expected.lines().collect();
    let right: Vec<&str> = got.lines().collect();
    let diff = TextDiff::from_slices(&left, &right);
    let mut out = row("expected", "  ", "got");
    let groups = diff.grouped_ops(CONTEXT_LINES);
    for (number, group) in groups.iter().enumerate() {
        if number > 0 {
            out.push_str(&row("...", "  ", "..."));
        }
        for op in group {
            push_op(&mut out, op, &left, &right);
        }
    }
    out
}

fn push_op(out: &mut String, op: &DiffOp, left: &[&str], right: &[&str]) {
    let (old, new) = (op.old_range(), op.new_range());
    let equal = matches!(op, DiffOp::Equal { .. });
    for offset in 0..old.len().max(new.len()) {
        let l = old.clone().nth(offset).map(|index| left[index]);
        let r = new.clone().nth(offset).map(|index| right[index]);
        let mark = match (l, r) {
            _ if equal => "  ",
            (Some(_), Some(_)) => "| ",
            (Some(_), None) => "< ",
            _ => "> ",
        };
        push_wrapped(out, l.unwrap_or(""), mark, r.unwrap_or(""));
    }
}

/// One row, or several where a line is longer than its column.
fn push_wrapped(out: &mut String, left: &str, mark: &str, right: &str) {
    let left = pieces(left);
    let right = pieces(right);
    for index in 0..left.len().max(right.len()) {
        let empty = String::new();
        let l = left.get(index).unwrap_or(&empty);
        let r = right.get(index).unwrap_or(&empty);
        out.push_str(&row(l, if index == 0 { mark } else { "  " }, r));
    }
}

fn pieces(line: &str) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    if characters.is_empty() {
        return vec![String::new()];
    }
    characters.chunks(COLUMN_WIDTH).map(|piece| piece.iter().collect()).collect()
}

fn row(left: &str, mark: &str, right: &str) -> String {
    let padding = " ".repeat(COLUMN_WIDTH.saturating_sub(left.chars().count()));
    format!("  {left}{padding} {mark}{right}").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_changed_line_stands_beside_its_counterpart() {
        let expected = "Machine\n  a = 1 from base\n  b = 2";
        let got = "Machine\n  a = 1 from gpo\n  b = 2\n  c";
        // The first line keeps the indentation of the others.
        let shown = format!("shown:\n{}", side_by_side(expected, got));
        expect![[r#"
            shown:
              expected                                                     got
              Machine                                                      Machine
                a = 1 from base                                          |   a = 1 from gpo
                b = 2                                                        b = 2
                                                                         >   c
        "#]]
        .assert_eq(&shown);
    }
}
