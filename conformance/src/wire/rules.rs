//! The rules that the monitor judges frames by, and the requirements behind each.
//!
//! A rule *covers* the requirements that hold wherever the rule has been seen to hold. It only
//! *cites* those that it helps to break: a prohibition that nobody ran into is no evidence.

use std::collections::BTreeSet;

macro_rules! rules {
    ($($name:ident covers [$($covers:literal)*] cites [$($cites:literal)*] $text:literal;)*) => {
        /// One rule of the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $text] $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$name),*];

            /// The rule in words.
            pub fn text(self) -> &'static str {
                match self { $(Rule::$name => $text,)* }
            }

            /// The requirements that an instance of this rule verifies.
            pub fn covers(self) -> &'static [&'static str] {
                match self { $(Rule::$name => &[$($covers),*],)* }
            }

            /// Further requirements and decisions that a breach of this rule may break.
            pub fn cites(self) -> &'static [&'static str] {
                match self { $(Rule::$name => &[$($cites),*],)* }
            }
        }
    };
}

rules! {
    // Frames and connections.
    Registered covers ["REG-11"] cites ["HIVE-20"]
        "frames travel only between the kernel and a source that has registered";
    RequestHeader covers ["RSI-47" "RSI-54" "WIRE-01"] cites []
        "a request begins with its header of 22 bytes";
    ResponseHeader covers ["RSI-48" "WIRE-02"] cites ["RSI-20"]
        "a response begins with its header of 14 bytes";
    TotalLength covers ["RSI-49" "RSI-56" "CONV-08" "WIRE-06"] cites ["RSI-18" "RSI-19"]
        "total_len is the length of the whole message";
    RequestIdGrows covers ["RSI-03" "RSI-04"] cites ["RSI-05"]
        "request ids only grow on one connection";
    RequestIdAfterTimeout covers ["RSI-05"] cites []
        "the id of a request that timed out is not used again";
    InFlight covers ["RSI-09"] cites []
        "at most MaxConcurrentRSIRequests requests are in flight";
    WaitersTakeNoSlot covers ["RSI-31"] cites []
        "all slots are there for requests after callers have waited for one in vain";
    KnownOpCode covers [] cites ["CONST-41" "CONST-42" "CONST-43" "CONST-44" "CONST-45"]
        "the op code is one of the table";
    ResponseKnown covers ["RSI-50"] cites ["RSI-21" "RSI-24"]
        "a response answers a request of its connection";
    ResponseOnce covers ["SRC-05"] cites ["RSI-22" "RSI-46"]
        "a request is answered once";
    ResponseOpCode covers ["RSI-51" "CONST-46"] cites ["RSI-23"]
        "a response has its request's op code with the high bit set";
    Status covers ["RSI-57" "RSI-58" "WIRE-03"] cites ["CONST-47" "D-90"]
        "a response payload begins with a status of the vocabulary, and a failure has nothing else";
    Multiplexed covers ["RSI-06"] cites []
        "several requests are outstanding at once";
    Reordered covers ["RSI-07" "RSI-08" "SRC-09" "SRC-10"] cites []
        "responses arrive in another order than the requests";
    SurvivesFailure covers ["RSI-27"] cites []
        "a status other than success leaves the connection up";
    ResumedTraffic covers ["REG-41"] cites []
        "after a resumption requests go to the new connection";
    StatusOfOperation covers [] cites ["OP-32" "OP-42" "OP-47" "OP-64" "OP-77" "SRC-35" "SRC-39" "SRC-40"]
        "an answer has a status that its operation can have";
    AllAnswered covers ["SRC-01"] cites []
        "every request is answered";
    KnownStatus covers ["CONST-47"] cites []
        "a failure has one of the status codes";
    NoGeneration covers ["IOC-092" "SEQ-25"] cites []
        "what is sent with a mutation has no hive generation";
    NoIdentity covers ["CONV-03" "CONV-24" "CONV-43" "RSI-02" "RSI-55"] cites []
        "a request has the fields of its table and no others";

    RootAtHome covers ["HIVE-04" "HIVE-20" "REG-38"] cites ["HIVE-05"]
        "a request about a hive root goes to the source that has registered it";
    KeyAtHome covers [] cites ["HIVE-20" "REG-38"]
        "a request about a key goes to the source of its hive";
    RootResumed covers ["REG-41" "REG-18"] cites ["RSI-24"]
        "after a resumption requests about a hive root go to the new connection";
    RootReported covers ["SRC-26" "LORE-024"] cites ["BOOT-17"]
        "a source that keeps its hives registers them by the same root GUIDs again";
    RootOwn covers ["SRC-24"] cites []
        "each hive has a root GUID of its own";

    // Payloads, one rule a table.
    LookupRequest covers ["WIRE-09" "WIRE-04"] cites [] "RSI_LOOKUP request";
    LookupResponse covers ["WIRE-10" "OP-05"] cites [] "RSI_LOOKUP response";
    CreateEntryRequest covers ["WIRE-11"] cites [] "RSI_CREATE_ENTRY request";
    CreateEntryResponse covers ["WIRE-12"] cites [] "RSI_CREATE_ENTRY response";
    HideEntryRequest covers ["WIRE-13"] cites [] "RSI_HIDE_ENTRY request";
    HideEntryResponse covers ["WIRE-14"] cites [] "RSI_HIDE_ENTRY response";
    DeleteEntryRequest covers ["WIRE-15"] cites [] "RSI_DELETE_ENTRY request";
    DeleteEntryResponse covers ["WIRE-16"] cites [] "RSI_DELETE_ENTRY response";
    EnumChildrenRequest covers ["WIRE-17"] cites [] "RSI_ENUM_CHILDREN request";
    EnumChildrenResponse covers ["WIRE-18"] cites [] "RSI_ENUM_CHILDREN response";
    CreateKeyRequest covers ["WIRE-19" "KEY-30"] cites [] "RSI_CREATE_KEY request";
    CreateKeyResponse covers ["WIRE-20"] cites [] "RSI_CREATE_KEY response";
    ReadKeyRequest covers ["WIRE-21"] cites [] "RSI_READ_KEY request";
    ReadKeyResponse covers ["WIRE-22" "OP-23"] cites [] "RSI_READ_KEY response";
    WriteKeyRequest covers ["WIRE-23"] cites [] "RSI_WRITE_KEY request";
    WriteKeyResponse covers ["WIRE-24"] cites [] "RSI_WRITE_KEY response";
    DropKeyRequest covers ["WIRE-25"] cites [] "RSI_DROP_KEY request";
    DropKeyResponse covers ["WIRE-26"] cites [] "RSI_DROP_KEY response";
    QueryValuesRequest covers ["WIRE-27"] cites [] "RSI_QUERY_VALUES request";
    QueryValuesResponse covers ["WIRE-28" "OP-36"] cites [] "RSI_QUERY_VALUES response";
    SetValueRequest covers ["WIRE-29" "VAL-12"] cites [] "RSI_SET_VALUE request";
    SetValueResponse covers ["WIRE-30"] cites [] "RSI_SET_VALUE response";
    DeleteValueEntryRequest covers ["WIRE-31"] cites [] "RSI_DELETE_VALUE_ENTRY request";
    DeleteValueEntryResponse covers ["WIRE-32"] cites [] "RSI_DELETE_VALUE_ENTRY response";
    SetBlanketTombstoneRequest covers ["WIRE-33" "VAL-27"] cites [] "RSI_SET_BLANKET_TOMBSTONE request";
    SetBlanketTombstoneResponse covers ["WIRE-34"] cites [] "RSI_SET_BLANKET_TOMBSTONE response";
    BeginTransactionRequest covers ["WIRE-35" "OP-52" "CONST-48"] cites []
        "RSI_BEGIN_TRANSACTION request";
    BeginTransactionResponse covers ["WIRE-36"] cites [] "RSI_BEGIN_TRANSACTION response";
    CommitTransactionRequest covers ["WIRE-37"] cites [] "RSI_COMMIT_TRANSACTION request";
    CommitTransactionResponse covers ["WIRE-38"] cites [] "RSI_COMMIT_TRANSACTION response";
    AbortTransactionRequest covers ["WIRE-39"] cites [] "RSI_ABORT_TRANSACTION request";
    AbortTransactionResponse covers ["WIRE-40"] cites [] "RSI_ABORT_TRANSACTION response";
    DeleteLayerRequest covers ["WIRE-41"] cites [] "RSI_DELETE_LAYER request";
    DeleteLayerResponse covers ["WIRE-42"] cites [] "RSI_DELETE_LAYER response";
    FlushRequest covers ["WIRE-43" "OP-79"] cites [] "RSI_FLUSH request";
    FlushResponse covers ["WIRE-44"] cites [] "RSI_FLUSH response";

    // Names and fields.
    KeyName covers ["CONV-28"] cites ["CONV-16" "KEY-38" "KEY-39" "KEY-40" "KEY-41"]
        "a key or hive name is one component: UTF-8, not empty, without separator or NUL";
    ValueName covers [] cites ["CONV-16" "CONV-19"]
        "a value name is UTF-8 without NUL";
    LayerName covers [] cites ["CONV-16" "CONV-19" "RES-32" "D-05"]
        "a layer name is UTF-8, not empty, without separator or NUL";
    WriteNamesLayer covers ["VAL-02"] cites ["LAYER-19"]
        "every value write names its layer";
    SecurityDescriptor covers ["SD-13"] cites []
        "a security descriptor is revision 1 and self-relative";
    ValueType covers [] cites ["VAL-41" "D-35"]
        "a value has a known type";
    Tombstone covers ["VAL-44"] cites ["VAL-47" "VAL-23" "OP-37" "D-35"]
        "a tombstone has no data";
    LayerKept covers ["REG-35"] cites []
        "a source keeps the entries of layers that nobody has told it of";
    WriteKeyMask covers ["OP-25"] cites ["OP-24"]
        "RSI_WRITE_KEY names the SD, the last write time or both and nothing else";
    PathEntry covers ["WIRE-07"] cites []
        "a path entry has a GUID, or is HIDDEN with a zero GUID";
    LookupMetadata covers ["WIRE-08" "OP-06"] cites ["OP-07"]
        "RSI_LOOKUP has one metadata record for each distinct GUID";
    ChildrenMetadata covers ["OP-17"] cites ["OP-18"]
        "RSI_ENUM_CHILDREN has one metadata record for each distinct GUID";
    StoredSequence covers ["SEQ-24"] cites ["SEQ-18" "SRC-44" "SRC-45"]
        "a stored sequence number was given out before";
    LayerOnce covers [] cites ["OP-03" "OP-11" "OP-16"]
        "an answer has one path entry for each name and layer";
    ValueOnce covers [] cites ["OP-40" "OP-33" "OP-38"]
        "an answer has one value entry for each name and layer, and one blanket tombstone for each layer";
    ChildOnce covers [] cites ["OP-16"]
        "RSI_ENUM_CHILDREN has each spelling of a name once";
    ImmutableFields covers ["SRC-08"] cites ["OP-23" "OP-26" "SRC-30"]
        "a source keeps the flags, the name and the parent of a key as they were created";
    QueriedName covers ["OP-35"] cites []
        "a query for one value returns entries of that name only";
    NoEntries covers ["OP-10"] cites []
        "a lookup without entries means that no layer has the child";
    EntriesListed covers ["WIRE-05"] cites []
        "an array is its count and its elements";
    Unresolved covers ["CONV-41" "OP-02" "RES-01"] cites []
        "a source returns the entries of several layers and picks none";
    NewSecurityDescriptor covers ["KEY-25"] cites []
        "a creation sends the SD of the new key";
    RootParent covers ["KEY-24"] cites []
        "a hive root has the null GUID as its parent";
    Orphans covers [] cites ["OP-74"]
        "an orphan list names each key once, and no hive root";

    // Keys.
    FreshGuid covers ["KEY-18" "KEY-20" "KEY-36" "PATH-09" "SYS-74" "PATH-14" "PATH-15"] cites []
        "a new key has a GUID that was never seen before";
    EntryWithKey covers ["OP-12" "OP-21" "PATH-11"] cites ["D-29"]
        "an entry and the record of its key come in a pair";
    EntryBeforeKey covers ["SYS-76"] cites ["D-23"]
        "creation stores the entry first";
    KeyRecord covers ["SYS-77" "KEY-17"] cites []
        "the record of a key repeats the parent and the name of its entry";
    VolatileChild covers [] cites ["KEY-15" "KEY-16"]
        "a child of a volatile key is volatile";
    DropRoot covers [] cites ["DEL-67"]
        "a hive root is not dropped";
    OrphanDropped covers ["OP-31" "DEL-23"] cites ["OP-76"]
        "a key without a name that no fd stands for is dropped";
    DropNamed covers [] cites ["DEL-23" "OP-31"]
        "a key that still has a path entry is not dropped";
    DroppedKey covers [] cites ["DEL-24"]
        "values of a dropped key are not touched";
    SetTouchesKey covers ["KEY-27"] cites []
        "writing a value updates the last write time of its key";
    DeleteTouchesKey covers ["KEY-28"] cites []
        "deleting a value updates the last write time of its key";
    SecurityTouchesKey covers ["KEY-29"] cites []
        "changing the SD of a key updates its last write time";

    // Backups and restores.
    BackupBegun covers ["IOC-150" "BAK-57"] cites ["BAK-01"]
        "a backup asks what it asks within a read-only transaction, begun before";
    BackupReleased covers ["IOC-153" "OP-67"] cites []
        "the transaction of a backup has been aborted when the call ends";
    BackupFailed covers ["OP-68"] cites []
        "the transaction of a backup that fails has been aborted when the call ends";
    RestoreBegun covers ["RST-19" "IOC-163"] cites ["RST-05"]
        "a restore begins a read-write transaction before anything else";
    RestoreWithin covers ["RST-05" "RST-30"] cites []
        "what a restore changes it changes within its one transaction";
    RestoreTeardown covers ["RST-01" "RST-31"] cites ["RST-25"]
        "a restore removes first, then writes the fields of its target, then everything else";
    RestoreTime covers ["RST-42" "RST-12"] cites []
        "a restore writes the last write time of a key right after creating it";
    RestoreBelow covers ["RST-52"] cites ["RST-51" "RST-36"]
        "a restored entry is below the target or a key that the restore has created before";
    RestoreRoot covers ["RST-02"] cites ["RST-03" "RST-15"]
        "a restore neither creates nor drops its target";
    RestoreSequence covers ["RST-65" "RST-66"] cites ["RST-69" "RST-70"]
        "a restored entry has a number above all that were given out before the restore";
    RestoreEnded covers [] cites ["IOC-165" "RST-50"]
        "a restore that succeeds ends with its commit, and any other with an abort";

    // Sequence numbers.
    EntrySequence covers ["SEQ-02" "PATH-10" "SYS-75"] cites ["SEQ-07"]
        "creating a path entry takes a new sequence number";
    ValueSequence covers ["SEQ-03" "IOC-032"] cites ["SEQ-07"]
        "writing a value takes a new sequence number";
    HideSequence covers ["SEQ-04" "PATH-18" "IOC-105"] cites ["SEQ-07"]
        "hiding a key takes a new sequence number";
    BlanketSequence covers ["SEQ-05" "IOC-057"] cites ["SEQ-07" "D-30"]
        "setting a blanket tombstone takes a new sequence number";
    BlanketRemoval covers [] cites ["D-30" "D-31"]
        "removing a blanket tombstone takes no sequence number and sends 0";
    SequenceOrder covers ["SEQ-06"] cites ["SEQ-07"]
        "sequence numbers go up from one call to the next";
    SequenceStep covers ["SEQ-07"] cites []
        "an allocation raises the next number by one";
    SequenceShared covers ["SEQ-01"] cites []
        "one counter serves all sources";
    SequenceUnique covers [] cites ["SEQ-07" "SEQ-08" "SEQ-09" "SEQ-10"]
        "a sequence number is given out once";
    SequenceAfterFailure covers ["SEQ-08"] cites []
        "the number of a failed request is not given out again";
    SequenceAfterTimeout covers ["SEQ-09"] cites []
        "the number of a request that timed out is not given out again";
    SequenceAboveStored covers ["SEQ-13" "REG-06" "BOOT-12"] cites ["SEQ-15"]
        "a new sequence number is above what the sources reported";
    SequenceAfterReboot covers ["SEQ-14"] cites []
        "after a restart new numbers are above the stored ones";
    SequenceAfterRegistration covers ["SEQ-15"] cites []
        "a later registration raises the counter and never lowers it";

    // Transactions and layers.
    NoTransaction covers ["RSI-52"] cites []
        "txn_id is 0 outside of transactions";
    TransactionOpen covers [] cites ["OP-51" "IOC-002" "SYS-92" "TXN-46"]
        "a transaction id is used between its begin and its end, at its source";
    TransactionHeader covers [] cites ["D-94"]
        "the header of begin, commit and abort repeats the transaction id of the payload";
    TransactionId covers [] cites ["SYS-91"]
        "a transaction id is not used again";
    TransactionOrder covers ["SYS-91"] cites []
        "transaction ids go up in the order in which transactions were created";
    OneHive covers [] cites ["TXN-10" "TXN-11" "D-80"]
        "all requests of a transaction are about one hive";
    CommitRetried covers ["TXN-64" "IOC-192" "OP-63"] cites []
        "a commit that failed is sent again";
    TransactionOwned covers [] cites ["OP-65" "TXN-36"]
        "a transaction that a source has open belongs to an open fd";
    BetweenCalls covers ["BOOT-21"] cites ["BOOT-29"]
        "between calls nothing is changed but deleted layers, orphans, expired transactions and what late \
         responses call for";
    LateBeginAborted covers ["FAIL-26"] cites []
        "a transaction that was begun when nobody waited any more is aborted";
    LateAbort covers ["FAIL-27"] cites []
        "nothing follows from an abort that succeeds between calls";
    LateFlush covers ["FAIL-28"] cites []
        "nothing follows from a flush that succeeds when nobody waits any more";
    UnboundExpiry covers ["TXN-47"] cites []
        "the end of the lifetime of an unbound transaction asks no source";
    ParametersRead covers ["BOOT-06" "CONF-41"] cites ["BOOT-13"]
        "a registration of the Machine hive looks for the parameters and reads them";
    LayersRead covers ["BOOT-07" "BOOT-13"] cites []
        "a registration of the Machine hive reads the layers after the parameters";
    NeverEnlisted covers [] cites ["RSI-52" "RSI-53"]
        "dropping keys, deleting layers and flushing are of no transaction";
    ReadOnlyMutation covers [] cites ["OP-56"]
        "no mutation carries the id of a read-only transaction";
    ReadOnlyEnd covers ["OP-59" "OP-60"] cites ["IOC-153"]
        "a read-only transaction ends with an abort";
    BaseLayer covers [] cites ["LAYER-17" "LAYER-11"]
        "the base layer is never deleted";
    LayerOrphanDropped covers ["OP-76"] cites []
        "a key that a layer deletion orphaned is dropped";
    LayerEverywhere covers ["LAYER-56" "DEL-12"] cites ["D-55"]
        "a layer deletion goes to every registered source";

    // What calls in transactions may send.
    BeginSilent covers ["SYS-92"] cites ["TXN-12" "SYS-95"]
        "beginning a transaction asks no source";
    StatusSilent covers [] cites ["IOC-197" "DISP-26"]
        "asking for a state, polling and reading events send nothing";
    UnboundRead covers ["TXN-18" "IOC-008" "IOC-009"] cites ["TXN-08"]
        "a read through an unbound transaction is sent as an ordinary one";
    BoundRead covers ["TXN-19"] cites ["RSI-53"]
        "a read through a bound transaction carries its id";
    BoundQuery covers ["IOC-026"] cites []
        "a value is read under the id of the bound transaction";
    BoundChange covers ["IOC-002"] cites []
        "a change through a transaction carries its id";
    BindingFirst covers ["OP-50"] cites ["SYS-92" "D-80"]
        "the first change through a transaction begins it, read-write, before anything carries its id";
    BindingRefused covers [] cites ["TXN-14" "IOC-005" "TXN-85"]
        "nothing follows a begin that the source refused";
    BoundOnce covers [] cites ["OP-50" "TXN-83"]
        "a transaction is begun at one source, once";
    OtherHiveSilent covers ["TXN-11"] cites []
        "what a transaction of another hive is named for sends nothing";
    EndedSilent covers [] cites ["TXN-27" "D-82"]
        "what names a transaction that has ended sends nothing";
    OutsideTransactions covers [] cites ["RSI-52"]
        "a call without a transaction sends nothing under the id of one";
    CommitSent covers ["IOC-181"] cites ["TXN-28"]
        "a commit that succeeds sent one commit, and the source carried it out";
    CommitBusy covers ["IOC-186" "FAIL-37"] cites ["D-81"]
        "a commit that the source is too busy for is EBUSY";
    CommitFailed covers ["IOC-187" "FAIL-37"] cites ["D-81"]
        "a commit that the source refuses is EIO";
    CommitNothing covers [] cites ["IOC-193" "IOC-194" "IOC-195"]
        "a commit of what is unbound or has ended sends nothing";
    CommitAlone covers [] cites ["TXN-51" "IOC-181"]
        "a commit call changes nothing but by its commit, and by what that does to layers and orphans";
    CommitLooks covers [] cites ["DISP-44" "TXN-58"]
        "a commit looks at the keys that its transaction changed and at no others";
    AbortAtClose covers ["OP-65"] cites ["TXN-33"]
        "the last close of a bound transaction aborts it";
    CloseSilent covers [] cites ["TXN-33"]
        "closing a transaction sends nothing but its abort";
    AbortAtExpiry covers ["OP-66" "TXN-45"] cites []
        "a bound transaction that has timed out was aborted";

    // What one call may send.
    ReadChangesNothing covers [] cites ["SEC-12"]
        "a read changes nothing";
    ArmingChangesNothing covers [] cites ["DISP-29"]
        "arming a watch changes nothing";
    ChangesAsAsked covers [] cites ["IOC-181" "LAYER-55"]
        "a change sends the change that was asked for, and no other";
    KeyLooks covers ["DISP-05" "DISP-29"] cites []
        "changing a key's own looks at that key alone";
    PlaceLooks covers [] cites ["DISP-05" "DISP-29"]
        "deleting or hiding a key looks at its own place alone";
    EncodingBeforeSource covers ["CONV-16"] cites []
        "a string that is not UTF-8 is refused before anything is sent";
    PathBeforeSource covers ["SYS-30"] cites []
        "a malformed path is refused before anything is sent";
    TypeBeforeSource covers ["VAL-41"] cites []
        "an unknown type is refused before anything is sent";
    TombstoneBeforeSource covers ["VAL-47"] cites []
        "tombstone data is refused before anything is sent";
    Walk covers ["OP-04" "SYS-34" "DISP-30"] cites ["SYS-33"]
        "a walk sends one lookup for each component";
    Routed covers ["HIVE-20" "REG-38"] cites []
        "an absolute walk begins at a root of the source that has the hive";
    SeveralHives covers ["HIVE-05"] cites []
        "one source is asked about several hives";
    RelativeWalk covers ["SYS-09" "SYS-32" "SYS-33"] cites []
        "a relative walk begins at the parent's key, at its source";
    AuthorizedFirst covers ["SYS-73"] cites ["D-23"]
        "a creation refused for access or for its layer changes nothing";
    AbsentLayer covers ["RES-31"] cites []
        "a write that names an absent layer changes nothing";
    CreationSent covers [] cites ["PATH-10" "PATH-11"]
        "a creation sends an entry and a key record";
    CreationRetried covers ["SRC-33"] cites ["SYS-63"]
        "an entry that exists already makes a creation look again";
    CreationInBase covers ["SYS-58"] cites []
        "a key that is created without a layer goes to base";
    FlagsAsAsked covers [] cites ["SYS-60" "SYS-61"]
        "a key record has the flags of the creation";
    CreatedVolatile covers ["SYS-60"] cites []
        "a volatile creation sends the volatile flag";
    CreatedLink covers ["SYS-61"] cites []
        "the creation of a link sends the symlink flag";
    LinkAsked covers ["OP-08"] cites []
        "a link on a walk is asked for its default value and no other";
    LinkTargetSent covers ["OP-22"] cites []
        "the target of a link is sent as its default value";
    LayerAsAsked covers [] cites ["VAL-02" "D-06"]
        "a request has the layer of its call";
    KeyByGuid covers ["KEY-37"] cites []
        "what is done through an fd names its key by GUID and resolves no path";
    QueryAsksOnce covers ["IOC-025" "CONV-35"] cites []
        "reading a value asks the source once, for that value";
    ReadAsksForAll covers ["IOC-065"] cites []
        "reading all values asks the source once, for all";
    InfoFromSource covers ["IOC-080"] cites []
        "key info asks the source";
    ChildrenFromSource covers [] cites ["IOC-074"]
        "subkey enumeration asks the source for the children";
    NoReadPerChild covers ["OP-19"] cites []
        "subkey enumeration reads no key record";
    WriteSent covers ["IOC-032"] cites []
        "a value write sends what the caller wrote";
    TombstoneSent covers ["IOC-033"] cites []
        "a tombstone write sends a tombstone";
    WriteInBase covers ["LAYER-19" "IOC-031"] cites []
        "a value write without a layer goes to base";
    ConditionPassed covers ["IOC-037"] cites []
        "the condition of a write is the caller's";
    ConditionAtSource covers ["IOC-043" "IOC-041"] cites []
        "the source refuses a write whose condition fails";
    CapAsked covers ["LAYER-64"] cites []
        "a value write asks for the entries of the name first";
    CapBeforeWrite covers ["LAYER-63"] cites []
        "a write over the layer cap is not sent";
    MetadataRead covers ["LAYER-40"] cites []
        "a write of layer metadata is followed by reading it";
    ValueRemovalSent covers ["IOC-051"] cites []
        "deleting a value removes the layer's entry";
    RemovalInBase covers ["IOC-050"] cites []
        "deleting a value without a layer works on base";
    BlanketSent covers [] cites ["IOC-057" "IOC-059"]
        "a blanket tombstone is set or removed as asked";
    BlanketInBase covers ["IOC-056"] cites []
        "a blanket tombstone without a layer works on base";
    BlanketTouchesKey covers ["IOC-060"] cites []
        "a blanket tombstone updates the last write time of its key";
    DeletionSent covers ["IOC-097" "DEL-01"] cites []
        "deleting a key removes the entry of the fd's name";
    OneEntryRemoved covers ["DEL-65" "IOC-100"] cites []
        "deleting a key removes one entry and none below it";
    ValuesKept covers ["DEL-66"] cites []
        "deleting a key deletes no values";
    DeletionInBase covers ["IOC-096"] cites []
        "deleting a key without a layer works on base";
    DeletionTouchesParent covers ["IOC-099"] cites []
        "deleting a key updates the last write time of its parent";
    HidingSent covers ["IOC-105"] cites []
        "hiding a key hides the fd's name";
    HidingInBase covers ["IOC-104"] cites []
        "hiding a key without a layer works on base";
    LayerDeletionSent covers ["OP-69" "LAYER-55"] cites []
        "deleting a layer's metadata key deletes the layer at the source";
    RootKept covers ["DEL-05"] cites []
        "deleting or hiding a hive root sends nothing";
    RootClosed covers ["DEL-67"] cites []
        "closing a hive root sends nothing";
    DropAtClose covers ["DEL-23" "OP-31" "DEL-48"] cites ["DEL-24"]
        "a close sends nothing but the drop of its key";
    FlushSent covers ["IOC-145" "OP-80"] cites []
        "a flush names the hive of the fd";
    FlushConfirmed covers ["IOC-146"] cites []
        "a flush returns after the source has confirmed it";
    ReadInfoBeforeSource covers ["IOC-116"] cites ["IOC-114" "IOC-115"]
        "an SD is read with a valid security_info, or nothing is sent";
    ChangeInfoBeforeSource covers ["IOC-124"] cites ["IOC-122" "IOC-123"]
        "an SD is changed with a valid security_info, or nothing is sent";
    ReadRightsBeforeSource covers ["IOC-112" "SEC-15"] cites []
        "rights to several components of an SD are looked at before anything is sent";
    ChangeRightsBeforeSource covers ["IOC-121" "SEC-15"] cites []
        "rights to change several components of an SD are looked at before anything is sent";
    RightBeforeSource covers ["SEC-15"] cites []
        "a right that the fd lacks is noticed before anything is sent";
    SecurityOfKey covers [] cites ["IOC-113"]
        "reading an SD reads the record of the key";
    SecuritySent covers ["SEC-57"] cites ["OP-24"]
        "changing an SD sends one change, which has the SD";
    PassedSilently covers [] cites ["SEC-12"]
        "passing an fd sends nothing";
    AccessBeforeMutation covers ["IOC-016"] cites []
        "a call refused for access changes nothing";
    StatusOk covers ["SRC-31"] cites []
        "success of the source completes the call";
    StatusNotFound covers ["SRC-32" "FAIL-37"] cites []
        "RSI_NOT_FOUND is ENOENT";
    StatusAlreadyExists covers ["SRC-33"] cites []
        "RSI_ALREADY_EXISTS is EEXIST, but for a creation";
    StatusStorageError covers ["SRC-34"] cites []
        "RSI_STORAGE_ERROR is EIO";
    StatusNotEmpty covers ["SRC-35"] cites []
        "RSI_NOT_EMPTY is ENOTEMPTY";
    StatusTooLarge covers ["SRC-36"] cites []
        "RSI_TOO_LARGE is ENOSPC";
    StatusBusy covers ["SRC-37" "FAIL-37"] cites []
        "RSI_TXN_BUSY is EBUSY";
    StatusInvalid covers ["SRC-38"] cites []
        "RSI_INVALID is EINVAL";
    StatusConditionFailed covers ["SRC-39" "FAIL-37"] cites []
        "RSI_CAS_FAILED is EAGAIN";
    StatusNotSupported covers ["SRC-40"] cites []
        "RSI_TXN_NOT_SUPPORTED is ENOTSUP";
}

/// Requirements that take several rules together.
const COMBINED: &[(&str, &[Rule])] = &[
    (
        "CONST-41",
        &[
            Rule::LookupRequest,
            Rule::CreateEntryRequest,
            Rule::HideEntryRequest,
            Rule::DeleteEntryRequest,
            Rule::EnumChildrenRequest,
        ],
    ),
    (
        "CONST-42",
        &[
            Rule::CreateKeyRequest,
            Rule::ReadKeyRequest,
            Rule::WriteKeyRequest,
            Rule::DropKeyRequest,
        ],
    ),
    (
        "CONST-43",
        &[
            Rule::QueryValuesRequest,
            Rule::SetValueRequest,
            Rule::DeleteValueEntryRequest,
            Rule::SetBlanketTombstoneRequest,
        ],
    ),
    (
        "CONST-44",
        &[
            Rule::BeginTransactionRequest,
            Rule::CommitTransactionRequest,
            Rule::AbortTransactionRequest,
        ],
    ),
    ("CONST-45", &[Rule::FlushRequest, Rule::DeleteLayerRequest]),
    ("TXN-51", &[Rule::BoundRead, Rule::AbortAtClose]),
    ("PATH-07", &[Rule::CreateEntryRequest, Rule::HideEntryRequest]),
];

/// A rule that a frame breaks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) rule: Rule,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(rule: Rule, message: impl Into<String>) -> Failure {
        Failure { rule, message: message.into() }
    }
}

/// The rules that have been seen to hold, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held([u128; 2]);

const _: () = assert!(Rule::ALL.len() <= 256);

impl Held {
    /// Marks the rule if it holds.
    pub(super) fn require(
        &mut self,
        rule: Rule,
        holds: bool,
        message: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !holds {
            return Err(Failure::new(rule, message()));
        }
        self.mark(rule);
        Ok(())
    }

    pub(super) fn mark(&mut self, rule: Rule) {
        let bit = rule as usize;
        self.0[bit / 128] |= 1 << (bit % 128);
    }

    pub(super) fn contains(self, rule: Rule) -> bool {
        let bit = rule as usize;
        self.0[bit / 128] >> (bit % 128) & 1 == 1
    }

    pub(super) fn covered(self) -> BTreeSet<&'static str> {
        let held = Rule::ALL.iter().filter(|rule| self.contains(**rule));
        let combined = COMBINED.iter().filter(|(_, rules)| rules.iter().all(|r| self.contains(*r)));
        held.flat_map(|rule| rule.covers()).copied().chain(combined.map(|(id, _)| *id)).collect()
    }
}
