//! What the response to a request does, besides being handed to whoever asked (PSD-005 §4.1, §5.1,
//! §7.1, §10.1; `WATCH-04`).
//!
//! The order in which a source's responses arrive is the order in which its changes are told. So
//! what has to be in that order is done as a response arrives, and not when its caller comes to
//! run, before which other responses may have arrived and their callers have run.

use rsi::Response;

/// What one response does, a failed one included. Nothing runs for malformed data, nor when the
/// connection ends first. All of it is called with no state of the connection locked.
pub trait ResponseEffect: Send {
    /// The response is here, and nobody has seen it or any later one of its connection. `awaited`
    /// says whether somebody still waits for it, who may yet go away before looking at it.
    fn arrive(&mut self, response: &Response, awaited: bool);

    /// Nobody takes the response any more. Comes after [`ResponseEffect::arrive`].
    fn untaken(self: Box<Self>, response: Response);
}

/// What is to be done with a response.
pub type AnyEffect = Box<dyn ResponseEffect>;

/// A closure is for the response that nobody takes.
impl<F: FnOnce(Response) + Send> ResponseEffect for F {
    fn arrive(&mut self, _response: &Response, _awaited: bool) {}

    fn untaken(self: Box<Self>, response: Response) {
        self(response);
    }
}

/// Runs a closure as the response arrives, whoever takes it.
pub struct OnArrival<F>(Option<F>);

impl<F: FnOnce(&Response) + Send + 'static> OnArrival<F> {
    /// An effect that is `run`.
    pub fn effect(run: F) -> AnyEffect {
        Box::new(Self(Some(run)))
    }
}

impl<F: FnOnce(&Response) + Send> ResponseEffect for OnArrival<F> {
    fn arrive(&mut self, response: &Response, _awaited: bool) {
        if let Some(run) = self.0.take() {
            run(response);
        }
    }

    fn untaken(self: Box<Self>, _response: Response) {}
}
