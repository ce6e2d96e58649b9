//! What the process of a source gets from its device: for frames that break the protocol, and for its
//! ordinary reads and writes.
//!
//! States the return values of PSD-005 §7.1 ("File-operation semantics", "Timed-out request records")
//! and what §7.3 and §10.1 say of malformed protocol, with D-90 and P-53. Knows nothing of what frames
//! mean (`wire`), nor of what follows for callers (the model).

use registry_model::errno::Errno;
use registry_model::input::SourceId;

/// A way to break the protocol. All of them are EINVAL, and cost the source its connection (D-90).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// A request that was answered is answered once more.
    SecondResponse,
    /// The op code of the response is that of another operation.
    WrongOperation,
    /// A request that no source has is answered.
    UnknownRequest,
    /// A request that another source has, and this one has not, is answered.
    OtherConnection,
    /// The last byte of the response is missing.
    Truncated,
    /// There is a byte behind the end of the response.
    Overlong,
    /// There is less than a header.
    Headless,
    /// The length is as it says, and the payload ends within its status.
    EndsEarly,
}

impl Breach {
    /// All of them.
    pub const ALL: [Breach; 8] = [
        Breach::SecondResponse,
        Breach::WrongOperation,
        Breach::UnknownRequest,
        Breach::OtherConnection,
        Breach::Truncated,
        Breach::Overlong,
        Breach::Headless,
        Breach::EndsEarly,
    ];

    /// Its word in scripts.
    pub fn word(self) -> &'static str {
        match self {
            Breach::SecondResponse => "second-response",
            Breach::WrongOperation => "wrong-operation",
            Breach::UnknownRequest => "unknown-request",
            Breach::OtherConnection => "other-connection",
            Breach::Truncated => "truncated",
            Breach::Overlong => "overlong",
            Breach::Headless => "headless",
            Breach::EndsEarly => "ends-early",
        }
    }

    /// The breach that a word in a script stands for.
    pub fn of_word(word: &str) -> Option<Breach> {
        Breach::ALL.into_iter().find(|breach| breach.word() == word)
    }

    fn requirements(self) -> &'static [&'static str] {
        match self {
            Breach::SecondResponse => &["RSI-22"],
            Breach::WrongOperation => &["RSI-23"],
            Breach::UnknownRequest => &["RSI-21"],
            Breach::OtherConnection => &["RSI-24"],
            Breach::Truncated => &["RSI-18", "RSI-26", "SRC-50", "SRC-52"],
            Breach::Overlong => &["RSI-19", "RSI-26", "SRC-50"],
            Breach::Headless => &["RSI-20", "RSI-26", "SRC-50", "SRC-52"],
            Breach::EndsEarly => &["RSI-26", "SRC-50", "SRC-52"],
        }
    }
}

/// Who waits for the response that a frame stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addressee {
    /// Whoever is making a call.
    Caller,
    /// Nobody any more: the call has timed out.
    CallerGone,
    /// Nobody: it answers nothing that is in flight.
    Nobody,
}

/// A frame that broke the protocol, and what its source got for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrokenFrame {
    /// Which source.
    pub source: SourceId,
    /// What is wrong with it.
    pub breach: Breach,
    /// Who waits for it.
    pub addressee: Addressee,
    /// What `write(2)` returned: a length, or a negative errno.
    pub result: i64,
    /// Whether the device then polled as one that has lost its connection.
    pub hung_up: bool,
}

impl BrokenFrame {
    /// What it shows if the source got what it should have.
    pub fn requirements(&self) -> Vec<&'static str> {
        let mut ids = self.breach.requirements().to_vec();
        match (self.addressee, self.breach) {
            (Addressee::Caller, _) => {}
            (_, Breach::SecondResponse) => ids.push("RSI-46"),
            (_, Breach::UnknownRequest) => ids.push("RSI-45"),
            (Addressee::CallerGone, _) => ids.push("FAIL-30"),
            (Addressee::Nobody, _) => {}
        }
        ids
    }

    /// Whether it was refused, and the source cut off (D-90).
    pub fn is_refused(&self) -> bool {
        self.result == failed(Errno::EINVAL) && self.hung_up
    }
}

/// A call that the process of a source made on its device in its ordinary work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceCall {
    /// `read(2)` that does not wait, with nothing queued.
    ReadNothing,
    /// `read(2)` that waits, into a buffer that is shorter than any request.
    ReadTooShort {
        /// Whether nothing was queued just before.
        waited: bool,
    },
    /// `read(2)` after that, into a buffer that is long enough.
    ReadWhole {
        /// The `total_len` of what was read.
        stated: u32,
    },
    /// `read(2)` that waits, as the device closes or loses its connection.
    ReadAtTheEnd,
    /// `write(2)` of a sound response.
    Write {
        /// Its length.
        length: usize,
    },
}

/// Such a call with what it returned: a length, or a negative errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceCalled {
    /// Which source.
    pub source: SourceId,
    /// The call.
    pub call: SourceCall,
    /// What it returned.
    pub result: i64,
}

impl SourceCalled {
    /// What it has to return.
    pub fn expected(&self) -> i64 {
        match self.call {
            SourceCall::ReadNothing => failed(Errno::EAGAIN),
            SourceCall::ReadTooShort { .. } => failed(Errno::EMSGSIZE),
            SourceCall::ReadWhole { stated } => i64::from(stated),
            SourceCall::ReadAtTheEnd => failed(Errno::EIO),
            SourceCall::Write { length } => i64::try_from(length).unwrap_or(i64::MAX),
        }
    }

    /// What it shows if it returns that.
    pub fn requirements(&self) -> &'static [&'static str] {
        match self.call {
            SourceCall::ReadNothing => &["RSI-14"],
            SourceCall::ReadTooShort { waited: false } => &["RSI-15"],
            SourceCall::ReadTooShort { waited: true } => &["RSI-12", "RSI-15"],
            SourceCall::ReadWhole { .. } => &["RSI-11", "RSI-16"],
            SourceCall::ReadAtTheEnd => &["RSI-13"],
            SourceCall::Write { .. } => &["RSI-17", "RSI-25"],
        }
    }
}

fn failed(errno: Errno) -> i64 {
    -i64::from(errno.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(breach: Breach, addressee: Addressee) -> BrokenFrame {
        BrokenFrame { source: SourceId(0), breach, addressee, result: -22, hung_up: true }
    }

    fn called(call: SourceCall) -> SourceCalled {
        SourceCalled { source: SourceId(0), call, result: 0 }
    }

    #[test]
    fn a_broken_frame_is_refused_only_if_its_source_is_cut_off_too() {
        let frame = broken(Breach::Truncated, Addressee::Caller);
        assert!(frame.is_refused());
        assert!(!BrokenFrame { hung_up: false, ..frame }.is_refused());
        assert!(!BrokenFrame { result: 18, ..frame }.is_refused());
    }

    #[test]
    fn late_frames_show_what_is_said_of_late_responses() {
        let late = |breach| broken(breach, Addressee::CallerGone).requirements();
        assert_eq!(late(Breach::WrongOperation), ["RSI-23", "FAIL-30"]);
        assert_eq!(late(Breach::UnknownRequest), ["RSI-21", "RSI-45"]);
        assert_eq!(late(Breach::SecondResponse), ["RSI-22", "RSI-46"]);
        let in_time = broken(Breach::SecondResponse, Addressee::Caller);
        assert_eq!(in_time.requirements(), ["RSI-22"]);
    }

    #[test]
    fn reads_and_writes_are_whole_or_refused() {
        assert_eq!(called(SourceCall::ReadNothing).expected(), -11);
        assert_eq!(called(SourceCall::ReadTooShort { waited: true }).expected(), -90);
        assert_eq!(called(SourceCall::ReadWhole { stated: 30 }).expected(), 30);
        assert_eq!(called(SourceCall::ReadAtTheEnd).expected(), -5);
        assert_eq!(called(SourceCall::Write { length: 18 }).expected(), 18);
    }

    #[test]
    fn each_breach_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Breach::ALL.map(Breach::word).into();
        assert_eq!(words.len(), Breach::ALL.len());
    }
}
