//! The script language: plans, and the answers that someone expects, as text.
//!
//! A script is the one format for test vectors, shrunk reproductions and examples. It knows plans
//! and answers as text; it runs nothing and decides nothing about conformance.
//!
//! # The language
//!
//! One statement a line. A line that begins with `#` is a comment, and ` # ...` after a statement
//! is one too. Three comments are read: `# requirements: RES-03, D-52` names what the script is
//! about, `# by hand` says that a person wrote the expectations, so that blessing leaves the file
//! alone, and `# seed: 17` is the seed of the world (0 without it), which decides what the plan
//! leaves open: GUIDs and the order of tasks.
//!
//! A word is bare (`Machine\System`), or quoted (`"Program Files"`). In quotes a backslash escapes:
//! `\\`, `\"`, `\n`, `\r`, `\t`, `\0` and `\xNN` for any byte, so a quoted path doubles its
//! backslashes. A word is quoted when it holds spaces or quotes, is empty, is a lone `=`, or begins
//! with `#`, `@` or `->`. Handles are written `@h`; where only a handle can stand, the `@` may go.
//!
//! ```text
//! actor alice user=S-1-5-21-7 groups=S-1-5-32-544 privileges=SeTcb   the first acts by default
//! actor admin system                         the token that the kernel makes at boot
//! source Machine Users                       one line a source; without any: Machine and Users
//! source Machine Mine@7                      with a private hive of the scope with this GUID
//! alice: get PATH NAME                       done by alice
//! open h = PATH [access=read] [link]         open h = @parent sub\key
//! create h = PATH [access=all] [volatile] [link] [in LAYER]      create PATH ...
//! set KEY NAME TYPE DATA [in LAYER] [if SEQUENCE]                KEY is PATH or @h
//! update KEY NAME TYPE DATA                  reads, and writes in the layer that was read if that is unchanged
//! unset KEY NAME [in LAYER]
//! blanket KEY [in LAYER]                     unblanket KEY [in LAYER]
//! get KEY NAME [data=BYTES] [layer=BYTES]
//! batch KEY [buffer=BYTES]
//! value KEY INDEX [name=BYTES] [data=BYTES]  subkey KEY INDEX [name=BYTES]
//! list KEY                                   info KEY [name=BYTES]
//! changes KEY                                last write time and generation since the last `changes`
//! delete KEY [in LAYER]                      hide KEY [in LAYER]
//! flush KEY                                  close h
//! security KEY [owner] [group] [dacl] [sacl] [buffer=BYTES]      all but the SACL by itself
//! set-security KEY SDDL [owner] [group] [dacl] [sacl]            what the SDDL names by itself
//! watch h [subtree] [value] [subkey] [sd]    watch h off
//! events h [buffer=BYTES]                    poll h
//! backup KEY to STREAM [read|both]            restore KEY from STREAM [write|both]
//! record STREAM header|layer|key|path|value|blanket|other|trailer ...      a stream made by hand
//! damage STREAM drop=N|flip=N|..             records STREAM
//! begin t                                    commit t                   status t
//! set KEY NAME TYPE DATA within t            carried out in the transaction t
//! pass h to ACTOR as g                       dup h as g
//! become user=S-1-5-21-9 integrity=low ...   revert
//! layer create NAME [precedence=N] [enabled=N]    layer set NAME ...    layer delete NAME
//! view PATH
//! raw TWISTS : ACTION                        ioctl FD REQUEST [hex:..]   syscall N ARGUMENT...
//! kill source [N] [at request N executed|unexecuted]    restart source [N]
//! stall source [N] [at request N executed|unexecuted]   release source [N]
//! restart source [N] as HIVE ...             with other hives than its own
//! break source [N] HOW [at request N executed|unexecuted]
//! reboot                                     compare views              wait 40s
//! parallel random 17                         begins a block of calls that overlap, which `end` ends
//! strand ACTOR                               begins the calls of one strand of the block
//! power-loss [source N at io K] keep=none|prefix|some|all [torn] [chance=N]
//! disk source N lies|full|heals              disk source N fails at io K
//! slow source N by 40ms
//! refuse commit source N busy|failed         transactions source N on|off
//! snapshots source N on|off
//! times 1..1023 STATEMENT                    the statement for each number, which `{n}` stands for
//! store entry PATH value NAME TYPE DATA      store entry PATH blanket
//! store entry PATH child NAME hidden|key|link|missing|of LAYER
//! store entry PATH descriptor SDDL           store entry PATH lost
//! store maximum [source N] SEQUENCE
//! device open d                              register d [max_sequence=N] hive NAME root=GUID ...
//! device poll d                              device read d            device write d hex:BYTES
//! ```
//!
//! An actor is a process with a primary token. After `user=` its words are `user_deny_only`, `owner=`,
//! `primary_group=`, `groups=SID:0xATTRIBUTES,..` (enabled without), `privileges=`, `default_dacl=`
//! with SDDL, `integrity=untrusted|low|medium|high|system|N` (medium), `no_write_up=0`,
//! `restricted=SID,..`, `write_restricted`, `confined`, `audit_policy=N`, and any number of `private
//! LAYER` and `scope=GUID`. `become` takes the same words: the calling thread impersonates from
//! there on, at the level Impersonation unless `level=` says `anonymous`, `identification` or
//! `delegation`. A reboot ends it, and so does `revert`.
//!
//! SDDL is `"O:SYG:SYD:P(A;CI;KA;;;SY)S:(AU;SAFA;KR;;;WD)(ML;;NW;;;HI)"`, mostly in quotes: the
//! flags are `P AI AR`, types of ACEs `A D AU ML`, and `(hex:..)` for an ACE byte by byte, flags of ACEs
//! `CI OI NP IO ID SA FA`, rights `KA KR KW GA GR GW GX RC SD WD WO AS` or 0xN, SIDs their text or a
//! word such as `SY BA WD AU CO CG OW AN BU LW ME HI SI`; `C:0x3` at the end are further control
//! bits. `hex:` and bytes stand for any descriptor. `info=N` sets bits of `security_info` that have no
//! word, or none.
//!
//! A watch without a filter reports everything, and `filter=N` and `subtree=N` give any number.
//! `events` reads without waiting; each event is a line of its answer. `within t` stands last,
//! behind `create`, `get`, `set`, `unset`, `blanket`, `unblanket`, `batch`, `value`, `subkey`,
//! `list`, `delete`, `hide` and `set-security`, whose calls have a field for a transaction; a key
//! given by path is opened, and where `set` creates it created, outside of the transaction. `close`
//! and `pass` work on transactions too. `wait` lets time pass, in `s` or `ms`. `refuse commit source
//! 0 busy` (or `failed`) has a source refuse its next commit, and `transactions source 0 off` has it
//! answer that it has none, until `on`; `snapshots` is the same for
//! transactions that only read. A stalled source
//! reads and keeps what comes, and answers nothing; released, it carries out what it kept and answers
//! all of it late. A source that is to break the protocol sends one frame that does, for which it has to be
//! refused and cut off, and is dead then: `second-response`, `wrong-operation`, `unknown-request`,
//! `other-connection` (a request that another source has), `truncated`, `overlong`, `headless` or `ends-early`.
//! Without a request it does so at once; a stalled one then answers the first request that it has kept so.
//!
//! A block has strands, each with the calls of one thread of an actor below it: reads and writes of values,
//! keys and security descriptors through handles, opens, creations, watches and transactions. Strands do not wait
//! for each other; where several could go on, the schedule decides: `random SEED`, `pct DEPTH SEED`, `round-robin`,
//! or `replay 0 2 1`, which are places among those that could. A handle that a strand opens replaces what had its
//! name. A block passes if some order of its calls gives every answer; it takes no expectations.
//!
//! A device is a process of its own that opens the source device: it answers nothing by itself until
//! `register` is accepted, and then serves what it registered from an empty store in memory, which
//! goes with it at `close d`. The names of devices are everybody's, so that one actor may register
//! what another opened. A GUID is 32 hexadecimal digits, or a number that stands for one of version
//! 4; hives with other roots are served by nobody. `root of HIVE` is the root GUID by which that
//! hive was last registered. After `register d` and before its hives, `count=N pad=N request=N
//! unmapped` spoil its argument; after a hive, `private scope=GUID flags=N pad0=N pad1=N unmapped` do
//! so with its entry. A source that is restarted answers what its registration does: `ok`, or an
//! errno, and then it is dead again.
//!
//! Types are `none sz expand_sz binary dword dword_be link multi_sz resource_list
//! full_resource_descriptor resource_requirements_list qword tombstone`, or `type=N` for any code.
//! Data is `hex:0a0b`, `bytes:LENGTH*HH` for one byte repeated, a number for the integer types,
//! or text: exactly its bytes, without a terminator, except that `multi_sz "a" "b"` ends each
//! string and the list with a null.
//!
//! `raw` changes the call of an action in its numbers and bytes before it is made; with no twist at
//! all it only has the caller's memory looked at more closely. The key of an action on a path is
//! opened and closed as always. Twists stand before a lone colon and take effect in their order:
//!
//! ```text
//! bytes=OFFSET:HEX                 overwrites bytes of the argument structure
//! request=N direction=none|write|read|both size=N      the request code, or those bits of it
//! number=N register=INDEX:N        a syscall's number, or one of its arguments, from 0
//! fd=N (or fd @h)                  makes the ioctl or close on another fd
//! transaction=N (or transaction @h)       the transaction fd in the argument structure
//! POINTER=null|unmapped|read-only|cut:N   a pointer, or the bytes that it points to: without
//!                                  access, without writing, without their last N
//! ```
//!
//! Pointers are `argument` (the structure), `path`, `name`, `data`, `layer`, `buffer` and
//! `disposition`, as the call has them: `data` of a `get` is its buffer, and `path=cut:1` takes a
//! path's terminator away. `ioctl` takes an fd (a number or `@h`), a request code, and the bytes
//! that its argument points to, 0 without any. An argument of `syscall` is a number, `@h`, or the
//! address of `hex:..` or of a `"string"` with its terminator; what is missing is 0.
//!
//! `store entry` puts a record into a store behind the kernel's back, whether its source lives or
//! not: a state that no call can make (`registry_model::store_entry` has the particulars). It
//! takes `[in LAYER] [sequence=N | like LAYER] [through LAYER]`: the layer that is named (base),
//! the sequence number (0) or the layer whose entry there has it, and the layer whose path entries
//! lead to the key. It answers `not stored` where its place is not there. `store maximum` is what
//! a source will report at its next registration in place of its highest sequence number.
//!
//! Lines `  -> ...` below a step say what it answers (see [`answer`]). In a script that expects
//! anything, a step that says nothing must succeed.
//!
//! `  -> outside this edition: WHAT` is the answer of a step whose outcome depends on what this
//! edition parses and does not judge. The run ends there.
//!
//! Lines `  sends ...` below a step, a fault included, list every request that the kernel sent to
//! its sources while the step was carried out, in order; `  sends nothing` says that there was
//! none (see [`requests`]). A step without such lines may send what it likes. Lines `  audits ...` do
//! the same for audit events (see [`audits`]).

mod actor;
pub mod answer;
mod audits;
mod credentials;
mod data;
mod descriptor;
mod device;
mod error;
mod expectation;
mod parallel;
mod parse;
mod parse_action;
mod power;
mod print;
mod raw;
mod requests;
mod security;
mod sid;
mod source;
pub mod store;
mod store_entry;
mod stream;
mod token;
mod vocabulary;
mod watch;
mod words;

#[cfg(test)]
mod script_files_tests;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;

pub use audits::compare_audits;
pub(crate) use data::typed_words;
pub use device::guid_of;
pub use error::ScriptError;
pub use expectation::{ExpectationDifference, Refused, bless, compare};
pub use parse::parse;
pub use print::print;
pub use requests::compare_requests;
pub(crate) use token::word;
pub(crate) use vocabulary::access_word;

use crate::plan::Plan;

/// A parsed script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The ids of its header, in order.
    pub requirements: Vec<String>,
    /// The seed of the world that it was found in, if its header names one.
    pub seed: Option<u64>,
    /// Whether a person wrote the expectations.
    pub by_hand: bool,
    /// What it does.
    pub plan: Plan,
    /// The expected answer of each step of the plan, line by line; empty where it says nothing.
    pub expectations: Vec<Vec<String>>,
    /// The requests that each step must send, line by line; empty where it says nothing of them.
    pub sends: Vec<Vec<String>>,
    /// The audit events of each step, line by line; empty where it says nothing of them.
    pub audits: Vec<Vec<String>>,
    /// Where each step of the plan stands.
    pub lines: Vec<StepLines>,
}

/// Where a step and its expectations stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepLines {
    /// The step's line, from 1.
    pub step: usize,
    /// The lines of its expectations, from 1.
    pub expectations: Vec<usize>,
    /// The lines of its requests, from 1.
    pub sends: Vec<usize>,
    /// The lines of its audit events, from 1.
    pub audits: Vec<usize>,
}
