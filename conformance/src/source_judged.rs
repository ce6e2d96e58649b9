//! What sources got from their devices, under execution: judged, and marked as shown.
//!
//! `source_device` says what they have to get.

use crate::divergence::{Kind, Stop};
use crate::execution::Execution;
use crate::source_device::SourceCalled;
use crate::target::WorldEvent;

impl Execution<'_> {
    /// Judges what sources got for frames that break the protocol (D-90).
    ///
    /// # Errors
    /// The divergence, if one was not refused, or left its source connected.
    pub(crate) fn judge_broken_frames(&mut self, events: &[WorldEvent]) -> Result<(), Stop> {
        for event in events {
            let WorldEvent::ProtocolBroken(frame) = event else { continue };
            let ids = frame.requirements();
            if !frame.is_refused() {
                let what = format!("{} by source {}", frame.breach.word(), frame.source.0);
                let expected = "write(2) is EINVAL, and the source is Down".to_owned();
                let state = if frame.hung_up { "Down" } else { "Active" };
                let got = format!("write(2) returns {}, and the source is {state}", frame.result);
                return Err(self.diverged(Kind::Wire, None, what, &ids, expected, got));
            }
            self.statistics.marked_by_monitor.extend(ids);
        }
        Ok(())
    }

    /// Judges what sources got for their ordinary reads and writes (§7.1).
    ///
    /// # Errors
    /// The divergence, if one returned anything else than it should have.
    pub(crate) fn judge_source_calls(&mut self) -> Result<(), Stop> {
        // Most are alike, and need not be marked one by one.
        let mut marked: &[&str] = &[];
        for called in self.target.take_source_calls() {
            let SourceCalled { source, call, result } = called;
            let (ids, expected) = (called.requirements(), called.expected());
            if result != expected {
                let what = format!("{call:?} of source {}", source.0);
                let (expected, got) = (expected.to_string(), result.to_string());
                return Err(self.diverged(Kind::Wire, None, what, ids, expected, got));
            }
            if !std::ptr::eq(marked, ids) {
                self.statistics.marked_by_monitor.extend(ids);
                marked = ids;
            }
        }
        Ok(())
    }
}
