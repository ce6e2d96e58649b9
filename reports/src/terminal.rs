//! What a person reads: one divergence in the order call, difference, script, command; and the
//! summary line.

use std::fmt::Write;
use std::time::Duration;

use conformance::campaign::Summary;
use conformance::coverage::Coverage;
use conformance::divergence::Finding;
use conformance::generate::on_threads::LeftOut;
use conformance::statistics::Statistics;
use conformance::{requirements, script};

use crate::json::Shrunk;
use crate::side_by_side::side_by_side;

/// A divergence, printed once. `reproduce` is the command that shows it again.
pub fn finding(finding: &Finding, reproduce: &str) -> String {
    let divergence = &finding.divergence;
    let mut out = String::new();
    let seed = finding.seed.map_or_else(String::new, |seed| format!(" of seed {seed}"));
    let by = if divergence.actor.is_empty() {
        String::new()
    } else {
        format!(" by {}", divergence.actor)
    };
    let _ = writeln!(
        out,
        "divergence ({}){seed} at step {} of {}, after {} calls:",
        divergence.kind.name(),
        divergence.step + 1,
        finding.plan.steps.len(),
        divergence.call_number
    );
    let _ = writeln!(out, "  {}{by}", divergence.what);
    for id in &divergence.requirements {
        let text = requirements::describe(id).map_or("", |requirement| requirement.text.as_str());
        let _ = writeln!(out, "  {id}: {}", text.trim());
    }
    out.push('\n');
    out.push_str(&side_by_side(&divergence.expected, &divergence.got));
    if let Some(step) = divergence.split_at_step {
        let _ = writeln!(out, "\n  The views differ since step {} of the script.", step + 1);
    }
    let _ = writeln!(out, "\nscript:");
    for line in script::print(&finding.plan).lines() {
        let _ = writeln!(out, "    {line}");
    }
    let _ = writeln!(out, "\nreproduce: {reproduce}");
    out
}

/// What shrinking came to, in one line.
pub fn shrunk(shrunk: &Shrunk) -> String {
    format!(
        "{} steps of {}, {} calls, {:.1} s, replayed alike {} of {} times",
        shrunk.steps,
        shrunk.steps_before,
        shrunk.calls,
        shrunk.elapsed.as_secs_f64(),
        shrunk.replays_alike,
        shrunk.replays
    )
}

/// Which requirements the scripts show, as a table with what is missing below it.
pub fn coverage(coverage: &Coverage) -> String {
    let mut out = format!("{:8}{:>8}{:>8}{:>10}\n", "", "visible", "shown", "excluded");
    for row in &coverage.rows {
        let (visible, shown, excluded) = (row.visible, row.shown, row.excluded);
        let _ = writeln!(out, "{:8}{visible:>8}{shown:>8}{excluded:>10}", row.prefix);
    }
    let mut list = |title: &str, ids: Vec<&String>| {
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.into_iter().map(String::as_str).collect();
            let _ = writeln!(out, "{title}: {}", ids.join(" "));
        }
    };
    let rows = &coverage.rows;
    list(
        "asserted by a script, but not marked in it",
        rows.iter().flat_map(|row| &row.asserted_only).collect(),
    );
    list(
        "marked, but asserted by no script that marks it",
        rows.iter().flat_map(|row| &row.marked_only).collect(),
    );
    list("neither", rows.iter().flat_map(|row| &row.missing).collect());
    list(
        "excluded in scope.toml, but shown: take them out of it",
        coverage.excluded_but_shown.iter().collect(),
    );
    for (script, ids) in &coverage.claimed_in_vain {
        let _ =
            writeln!(out, "{script} claims in its header what it does not show: {}", ids.join(" "));
    }
    let per_mille = coverage.per_mille();
    let (shown, visible) = (coverage.shown(), coverage.visible());
    let _ = writeln!(
        out,
        "{shown} of {visible} requirements shown, {}.{} %",
        per_mille / 10,
        per_mille % 10
    );
    out
}

/// The last line of a campaign.
pub fn summary_line(summary: &Summary, elapsed: Duration) -> String {
    let calls = summary.statistics.calls;
    let rate = calls as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    format!(
        "{} seeds, {calls} calls checked, {} divergences, {rate:.0} calls/s{}",
        summary.seeds,
        summary.findings.len(),
        trace(summary)
    )
}

/// What was left out of the plans of a campaign, a line if anything was.
pub fn left_out(left_out: &LeftOut) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    let all: Vec<String> = left_out.iter().map(|(what, count)| format!("{what} {count}")).collect();
    format!("left out, since only the simulator can do it: {}\n", all.join(", "))
}

/// The trace as it ends a line, if there is one.
pub fn trace(summary: &Summary) -> String {
    summary.trace.map_or_else(String::new, |trace| format!(", trace {trace:032x}"))
}

/// What the campaign exercised, a few lines.
pub fn statistics(summary: &Summary) -> String {
    let statistics = &summary.statistics;
    let percent = |part: u64, whole: u64| (part * 100).checked_div(whole).unwrap_or(0);
    let errnos: Vec<String> =
        statistics.errnos.iter().map(|(errno, count)| format!("{errno} {count}")).collect();
    format!(
        "succeeded {} %, contested reads {} %, of these at equal precedence {} %\n\
         errors: {}\n\
         faults {}, power losses {} ({} within a call, {} changes lost), disk failures {}, calls interrupted {}, views compared {}, requirements marked {}\n",
        percent(statistics.succeeded, statistics.calls),
        percent(statistics.contested, statistics.reads),
        percent(statistics.contested_at_equal_precedence, statistics.contested),
        errnos.join(", "),
        statistics.faults,
        statistics.power_losses,
        statistics.power_losses_within,
        statistics.changes_lost,
        statistics.disk_failures,
        statistics.interrupted,
        statistics.views,
        statistics.covered().len(),
    ) + &overlaps(statistics)
}

/// How far calls overlapped, if any did.
fn overlaps(statistics: &Statistics) -> String {
    if statistics.blocks == 0 {
        return String::new();
    }
    let mean = statistics.overlaps as f64 / statistics.blocks as f64;
    let blocks = statistics.blocks;
    format!("blocks of overlapping calls {blocks}, with {mean:.2} mutations of one key at once\n")
}
