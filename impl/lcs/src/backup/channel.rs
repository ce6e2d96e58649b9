//! Requests of one transaction at one connection of its source. They go out in the order in which
//! they are asked, whenever their answers are looked at; a source that went away and came back knows
//! nothing of the transaction, and is not asked.

use std::sync::Arc;

use abi::Errno;
use rsi::{Guid, KeyMetadata, Request, Response, TransactionId};

use super::awaited::Awaited;
use crate::env::Env;
use crate::kernel::{Failure, Kernel, answered};
use crate::limits::KEYS_AHEAD_MAX;
use crate::resolve::{ChildGroup, Values};
use crate::source::{AnyEffect, Connection, Descriptors, Inquiry, RequestError};
use crate::state::HiveId;

/// See the module.
#[derive(Clone)]
pub struct Channel<E: Env> {
    /// The kernel as the operation has it.
    pub kernel: Arc<Kernel<E>>,
    /// The connection that the transaction was begun on.
    pub connection: Connection<E>,
    /// The transaction.
    pub transaction: TransactionId,
    /// The hive that is asked about.
    pub hive: HiveId,
}

/// The content of a key, asked for.
pub type Asked = Awaited<Content>;

/// What a source holds of a key and of the names below it, of all layers.
pub struct Content {
    /// Path entries below it.
    pub children: Vec<ChildGroup>,
    /// Of each key that these name.
    pub metadata: Vec<KeyMetadata>,
    /// Values and blanket tombstones.
    pub values: Values,
}

impl<E: Env> Channel<E> {
    /// Sends a request now.
    pub fn ask(
        &self,
        request: Request,
        descriptors: Descriptors,
    ) -> impl Future<Output = Result<Response, Failure>> + Send + use<E> {
        let inquiry = self.inquiry(descriptors);
        let deadline = self.kernel.request_deadline();
        let answer = self.connection.start(deadline, Some(self.transaction), request, inquiry);
        async move { answered(answer.await) }
    }

    /// Sends a request that is answered by its status.
    pub fn tell(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<(), Failure>> + Send + use<E> {
        let answer = self.ask(request, Descriptors::Checked);
        async move { answer.await.map(|_| ()) }
    }

    /// Sends the commit, whose success has its effect whenever it comes.
    pub async fn commit(&self, effect: AnyEffect) -> Result<(), Failure> {
        let request = Request::CommitTransaction { transaction: self.transaction.0 };
        let (deadline, effect) = (self.kernel.request_deadline(), Some(effect));
        let within = Some(self.transaction);
        let answer = self.connection.request_with_effect(deadline, within, request, effect).await;
        answered(answer).map(|_| ())
    }

    /// Of how many keys the content may be asked for at once: a small part of what may be in flight.
    pub fn keys_ahead_max(&self) -> usize {
        let in_flight_max = self.kernel.parameters.requests_in_flight_max();
        (in_flight_max / 8).clamp(1, KEYS_AHEAD_MAX)
    }

    /// Asks for all of several keys, by two requests for each.
    pub fn read_all(&self, guids: &[Guid], descriptors: Descriptors) -> Vec<Asked> {
        let requests = guids.iter().flat_map(|guid| {
            let values =
                Request::QueryValues { guid: *guid, value_name: Vec::new(), query_all: true };
            [Request::EnumChildren { parent: *guid }, values]
        });
        let deadline = self.kernel.request_deadline();
        let (within, inquiry) = (Some(self.transaction), self.inquiry(descriptors));
        let answers = self.connection.start_all(deadline, within, requests.collect(), inquiry);
        let mut answers = answers.into_iter();
        let pairs = std::iter::from_fn(|| Some((answers.next()?, answers.next()?)));
        pairs.map(|(children, values)| Asked::new(content(children, values))).collect()
    }

    fn inquiry(&self, descriptors: Descriptors) -> Inquiry {
        Inquiry {
            hive_index: Some(self.hive.index),
            descriptors,
            name_length_max: self.kernel.parameters.component_length_max(),
        }
    }
}

/// An answer that is to come.
type Answering = Result<Response, RequestError>;

async fn content(
    children: impl Future<Output = Answering>,
    values: impl Future<Output = Answering>,
) -> Result<Content, Errno> {
    let (
        Response::EnumChildren { children, metadata },
        Response::QueryValues { entries, blankets },
    ) = (answered(children.await)?, answered(values.await)?)
    else {
        return Err(Errno::EIO);
    };
    Ok(Content { children, metadata, values: Values { entries, blankets } })
}
