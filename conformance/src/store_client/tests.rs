//! The lockstep against sources that the model itself plays, sound and broken.

use registry_model::store::{
    Description, Guid, Operation, Payload, RegisteredHive, Registration, Request, Response, Status,
    Store,
};

use super::generate::{Features, plan_of_seed};
use super::lockstep::{StoreKind, StoreVerdict, run};
use super::plan::StorePlan;
use super::shrink::{StoreFinding, shrink};
use super::target::{Gone, StoreMachine, StoreTarget};
use crate::script::store::{parse, print};
use crate::wire::codec;

/// How a source is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    /// Values keep their old sequence number when they are replaced.
    StaleSequence,
    /// Lookups leave out one layer's entry.
    OneLayerOnly,
    /// RSI_FLUSH is not answered.
    SilentFlush,
    /// RSI_DROP_KEY answers under the op code of RSI_READ_KEY.
    WrongOpCode,
    /// Registers one more than the highest sequence number.
    HighSequence,
    /// A committed write is gone after a death.
    LostOnDeath,
    /// Every request is answered twice.
    Twice,
    /// RSI_DELETE_LAYER ends the process.
    Dies,
    /// None: answers just come last first.
    Reversed,
}

struct Machine(Defect);

impl StoreMachine for Machine {
    fn target(&self, _: u64) -> Result<Box<dyn StoreTarget + '_>, String> {
        let defect = self.0;
        let (store, durable, responses) = (None, None, Vec::new());
        Ok(Box::new(Played { defect, now: 1 << 60, store, durable, running: false, responses }))
    }
}

/// A source that the model plays. Writes never wait: the plans here have one transaction at most.
struct Played {
    defect: Defect,
    now: u64,
    store: Option<Store>,
    /// What the next start begins with, where that is not `store`.
    durable: Option<Store>,
    running: bool,
    responses: Vec<Vec<u8>>,
}

impl Played {
    fn answer(&mut self, request: &Request) -> Option<Response> {
        let store = self.store.as_ref()?;
        let answer = store.answer(request, self.now, self.now).into_iter().next()?;
        let response = answer.outcome.example();
        let next = answer.accept(&response).ok()?;
        let is_write = matches!(request.operation, Operation::SetValue { .. });
        self.durable = is_write.then(|| store.clone());
        let keeps = self.defect == Defect::StaleSequence && is_write && next != *store;
        let is_replaced = keeps && self.has_value(request);
        if !is_replaced {
            self.store = Some(next);
        }
        Some(match response {
            Response::Ok(Payload::Entries { mut entries, metadata })
                if self.defect == Defect::OneLayerOnly =>
            {
                entries.truncate(1);
                Response::Ok(Payload::Entries { entries, metadata })
            }
            other => other,
        })
    }

    fn has_value(&self, request: &Request) -> bool {
        let Operation::SetValue { guid, name, .. } = &request.operation else { return false };
        let query = Operation::QueryValues { guid: *guid, name: name.clone(), query_all: 0 };
        let answers = self
            .store
            .iter()
            .flat_map(|store| store.answer(&Request::new(query.clone()), self.now, self.now));
        answers.into_iter().any(|answer| {
            matches!(answer.outcome.example(),
                Response::Ok(Payload::Values { entries, .. }) if !entries.is_empty())
        })
    }
}

impl StoreTarget for Played {
    fn now(&self) -> u64 {
        self.now
    }

    fn start(&mut self, hives: &[String]) -> Result<Registration, String> {
        let start = match (self.durable.take(), &self.store) {
            (Some(store), _) if self.defect == Defect::LostOnDeath => {
                store.restart(self.now, self.now)
            }
            (_, Some(store)) => store.restart(self.now, self.now),
            (_, None) => {
                let hives: Vec<&str> = hives.iter().map(String::as_str).collect();
                let description = Description::new(&hives).map_err(|errno| errno.to_string())?;
                Store::first_boot(&description, self.now, self.now)
            }
        };
        let hives = start.hives().zip(1..).map(|((name, root), number)| RegisteredHive {
            name: name.as_bytes().to_vec(),
            root: root.unwrap_or(Guid([number; 16])),
            flags: 0,
        });
        let registration =
            Registration { hives: hives.collect(), max_sequence: start.max_sequence() };
        self.store = start.register(&registration).ok();
        self.running = true;
        let surplus = u64::from(self.defect == Defect::HighSequence);
        Ok(Registration { max_sequence: registration.max_sequence + surplus, ..registration })
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), Gone> {
        self.now += 1;
        let (id, request) = codec::decode_request(frame).map_err(Gone)?;
        match (&request.operation, self.defect) {
            (Operation::Flush { .. }, Defect::SilentFlush) => return Ok(()),
            (Operation::DeleteLayer { .. }, Defect::Dies) => {
                self.running = false;
                return Err(Gone("died".to_owned()));
            }
            _ => {}
        }
        let response = self.answer(&request).unwrap_or(Response::Failed(Status::TxnBusy));
        let op_code = match (&request.operation, self.defect) {
            (Operation::DropKey { .. }, Defect::WrongOpCode) => 0x11,
            _ => request.op_code(),
        };
        let frame = codec::encode_response(id, op_code, &response);
        if self.defect == Defect::Twice {
            self.responses.push(frame.clone());
        }
        self.responses.push(frame);
        Ok(())
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, Gone> {
        if self.defect == Defect::Reversed {
            return Ok(self.responses.pop());
        }
        Ok(if self.responses.is_empty() { None } else { Some(self.responses.remove(0)) })
    }

    fn pass(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
    }

    fn kill(&mut self) {
        self.running = false;
        self.responses.clear();
    }

    fn stop(&mut self) {
        self.durable = None;
        self.kill();
    }
}

fn plan(text: &str) -> StorePlan {
    parse(text, "test").unwrap_or_else(|error| panic!("{error}")).plan
}

/// The kind of divergence that a plan shows at a source; `None` if it conforms.
fn kind(defect: Defect, text: &str) -> Option<StoreKind> {
    match run(&plan(text), &Machine(defect), 0).verdict {
        StoreVerdict::Conforms => None,
        StoreVerdict::Diverges(divergence) => Some(divergence.kind),
        other => panic!("{other:?}"),
    }
}

const TWO_LAYERS: &str = "create-entry Machine App k1 at 1\ncreate-key k1 Machine App\n\
    create-entry Machine App k1 in gpo at 2\n";

#[test]
fn a_sound_source_conforms() {
    let text = format!("{TWO_LAYERS}lookup Machine App\nflush Machine\ndrop-key k1\nstart\n");
    assert_eq!(kind(Defect::None, &text), None);
}

#[test]
fn a_layer_that_is_left_out_is_found() {
    let text = format!("{TWO_LAYERS}lookup Machine App\n");
    assert_eq!(kind(Defect::OneLayerOnly, &text), Some(StoreKind::Answer));
}

#[test]
fn what_nobody_asked_for_is_found_by_the_comparison_at_the_end() {
    let text = "set-value Machine A dword 1 at 1\nset-value Machine A dword 1 at 2\n";
    assert_eq!(kind(Defect::StaleSequence, text), Some(StoreKind::Entries));
}

#[test]
fn a_request_without_an_answer_is_found() {
    assert_eq!(kind(Defect::SilentFlush, "flush Machine\n"), Some(StoreKind::Silence));
    let labelled = "r1: flush Machine\n";
    assert_eq!(kind(Defect::SilentFlush, labelled), Some(StoreKind::Silence));
}

#[test]
fn an_answer_of_the_wrong_operation_is_found() {
    assert_eq!(kind(Defect::WrongOpCode, "drop-key k1\n"), Some(StoreKind::Wire));
}

#[test]
fn a_second_answer_is_found() {
    assert_eq!(kind(Defect::Twice, "drop-key k1\n"), Some(StoreKind::Wire));
}

#[test]
fn a_wrong_registration_is_found() {
    assert_eq!(kind(Defect::HighSequence, ""), Some(StoreKind::Registration));
}

#[test]
fn a_write_that_a_death_loses_is_found() {
    let text = "set-value Machine A dword 1 at 0\nkill\nstart\n";
    assert_eq!(kind(Defect::LostOnDeath, text), Some(StoreKind::Entries));
}

#[test]
fn a_source_that_ends_by_itself_is_found() {
    assert_eq!(kind(Defect::Dies, "delete-layer gpo\n"), Some(StoreKind::Death));
}

#[test]
fn shrinking_keeps_what_matters() {
    let noise = "set-value Users A dword 1 at 1\nflush Machine\nset-blanket Machine at 9\n";
    let text = format!("{noise}{TWO_LAYERS}{noise}lookup Machine App\n{noise}");
    let plan = plan(&text);
    let machine = Machine(Defect::OneLayerOnly);
    let StoreVerdict::Diverges(divergence) = run(&plan, &machine, 0).verdict else {
        panic!("the defect is not found")
    };
    let finding = StoreFinding { seed: 0, plan, divergence: *divergence };
    let shrunk = print(&shrink(&finding, &machine).plan);
    expect_test::expect![[r#"
        create-entry Machine App k1 at 1
        create-entry Machine App k1 in gpo at 2
        lookup Machine App
    "#]]
    .assert_eq(&shrunk);
}

#[test]
fn a_generated_plan_prints_as_a_script_that_means_the_same() {
    for seed in 0..50 {
        let generated = plan_of_seed(seed, 80, Features::ALL);
        assert_eq!(plan(&print(&generated)), generated, "seed {seed}");
    }
}

#[test]
fn a_seed_has_one_plan() {
    assert_eq!(plan_of_seed(7, 40, Features::ALL), plan_of_seed(7, 40, Features::ALL));
    assert_ne!(plan_of_seed(7, 40, Features::ALL), plan_of_seed(8, 40, Features::ALL));
}

#[test]
fn answers_in_another_order_conform() {
    let text = "r1: set-value Machine A dword 1 at 1\nr2: set-value Machine A dword 2 at 2\n\
        await r1\nawait r2\nquery-values Machine *\n";
    assert_eq!(kind(Defect::None, text), None);
    assert_eq!(kind(Defect::Reversed, text), None);
}
