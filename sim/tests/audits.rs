//! The checker against targets that audit what is not due or never answer, and plans that leave this edition.

use conformance::address_space::AddressSpace;
use conformance::audit::AuditRecord;
use conformance::campaign::Runner;
use conformance::divergence::Kind;
use conformance::lockstep::{self, Options, Run, Verdict};
use conformance::oracle::RawHive;
use conformance::plan::{Fault, SourceHive};
use conformance::schedule::Scheduler;
use conformance::script;
use conformance::script::answer::StepAnswer;
use conformance::source_device::SourceCalled;
use conformance::target::{Answer, Frame, Overlapping, RawCall, RawDeviceCall, Target, WorldEvent};
use madsim::runtime::Runtime;
use registry_model::input::{ProcessId, SourceId};
use registry_model::security::Token;
use sim::{SimRunner, StoreKind, World};

/// A world that emits an event more at its first call, and does not return the calls of a block.
struct Talkative {
    world: World,
    events: Vec<AuditRecord>,
}

impl Target for Talkative {
    fn now(&self) -> u64 {
        self.world.now()
    }
    fn start<'a>(
        &'a mut self,
        sources: &'a [Vec<SourceHive>],
    ) -> Answer<'a, Result<Vec<WorldEvent>, String>> {
        self.world.start(sources)
    }
    fn new_process(&mut self) -> ProcessId {
        self.world.new_process()
    }
    fn call<'a>(
        &'a mut self,
        process: ProcessId,
        token: &'a Token,
        call: RawCall,
        memory: AddressSpace,
    ) -> Answer<'a, (i64, AddressSpace)> {
        if self.events.is_empty() {
            let event = "LCS_KEY_OPEN_AUDIT".to_owned();
            self.events.push(AuditRecord { event, payload: vec![0x80] });
        }
        self.world.call(process, token, call, memory)
    }
    fn call_all<'a>(
        &'a mut self,
        calls: &'a mut dyn Overlapping,
        _scheduler: &'a mut dyn Scheduler,
    ) -> Answer<'a, Result<(), String>> {
        let _ = calls.begin(0, self.world.now());
        Box::pin(async { Ok(()) })
    }
    fn device<'a>(
        &'a mut self,
        source: SourceId,
        token: &'a Token,
        call: RawDeviceCall,
        memory: AddressSpace,
    ) -> Answer<'a, i64> {
        self.world.device(source, token, call, memory)
    }
    fn fault<'a>(&'a mut self, fault: &'a Fault) -> Answer<'a, Result<Vec<WorldEvent>, String>> {
        self.world.fault(fault)
    }
    fn take_events(&mut self) -> Vec<WorldEvent> {
        self.world.take_events()
    }
    fn take_frames(&mut self) -> Vec<Frame> {
        self.world.take_frames()
    }
    fn take_source_calls(&mut self) -> Vec<SourceCalled> {
        self.world.take_source_calls()
    }
    fn take_audit_events(&mut self) -> Vec<AuditRecord> {
        std::mem::take(&mut self.events)
    }
    fn raw_entries(&mut self) -> Result<Option<Vec<RawHive>>, String> {
        self.world.raw_entries()
    }
}

fn talkative_run(text: &str) -> Run {
    let plan = script::parse(text, "test.lcs").expect("a script").plan;
    let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
    runtime.block_on(async {
        let world = World::new(1, StoreKind::Memory);
        let mut target = Talkative { world, events: Vec::new() };
        let run = lockstep::run(&plan, &mut target, Options::default()).await;
        target.world.shut_down().await;
        run
    })
}

#[test]
fn an_event_that_is_not_due_is_a_divergence() {
    let run = talkative_run("get Machine x\n");
    let Verdict::Diverges(divergence) = run.verdict else { panic!("{:?}", run.verdict) };
    assert_eq!((divergence.kind, divergence.step), (Kind::Audit, 0));
    assert_eq!(divergence.expected, "nothing");
    assert_eq!(divergence.got, "LCS_KEY_OPEN_AUDIT");
}

#[test]
fn a_call_of_a_block_that_never_returns_is_a_divergence() {
    let run = talkative_run("parallel random 1\n  strand\n    begin t\nend\n");
    let Verdict::Diverges(divergence) = run.verdict else { panic!("{:?}", run.verdict) };
    assert_eq!((divergence.kind, divergence.step), (Kind::Hang, 0));
    let calls = "calls of the block never returned:\n0 by system: reg_begin_transaction()";
    assert_eq!(divergence.what, calls);
}

#[test]
fn events_of_a_view_dump_are_nobodys() {
    let run = talkative_run("compare views\n");
    assert!(matches!(run.verdict, Verdict::Conforms), "{:?}", run.verdict);
}

#[test]
fn a_plan_that_leaves_this_edition_neither_conforms_nor_diverges() {
    let text =
        "actor system system\nactor a user=S-1-5-21-7 groups=S-1-5-11 confined\ncompare views\n";
    let plan = script::parse(text, "test.lcs").expect("a script").plan;
    let run = SimRunner { store: StoreKind::Memory }.run(&plan, 1, Options::default());
    let Verdict::Outside(what) = run.verdict else { panic!("{:?}", run.verdict) };
    assert_eq!(run.answers, [StepAnswer::Outside(what)]);
}
