//! One request, from its headers to its answer: which way it goes, and what is counted.

use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use schemas::CallbackKind;
use tokio::time::Instant;

use crate::body::discard;
use crate::callback;
use crate::crowd::Place;
use crate::delivery::deliver;
use crate::door::Door;
use crate::doors::Behind;
use crate::edge::Shared;
use crate::handshake::Handshake;
use crate::metrics::{Metrics, observe};
use crate::outcome::{Called, Greeting, Outcome};
use crate::pace::Pace;
use crate::reply::{self, Reply};
use crate::route::Route;
use crate::status::{self, Progress};

/// One connection, as its requests see it.
pub(crate) struct Visit {
    pub(crate) edge: Arc<Shared>,
    pub(crate) pace: Arc<Pace>,
    /// Whoever connected: the client, or a proxy.
    pub(crate) peer: IpAddr,
}

impl Visit {
    /// A place for a request of whoever sent it, where a proxy names them and their requests are counted.
    pub(crate) fn place(&self, headers: &HeaderMap) -> Result<Option<Place>, Outcome> {
        self.edge.proxy.as_ref().map_or(Ok(None), |proxy| proxy.place(self.peer, headers))
    }
}

/// The longest path and query of ours, in bytes.
const LONGEST_TARGET: usize = 8 * 1024;
/// Whoever sends more than this many times the limit does not get to see the answer.
const DISCARDED_LIMITS: usize = 4;

/// Answers a request. A panic is a 500 and a counter, and does not take the process along.
pub(crate) async fn answer(visit: &Visit, request: Request<Incoming>) -> Reply {
    let began = Instant::now();
    visit.pace.begin(began);
    let metrics = &visit.edge.metrics;
    let (head, mut body) = request.into_parts();
    let route = Route::of(&head.method, head.uri.path());
    let tally = Tally::new(metrics, route);
    let answer = caught(handle(visit, route, &head, &mut body, began)).await;
    let ended = Instant::now();
    visit.pace.answered(ended);
    match answer.unwrap_or(Answer::Delivery(Outcome::Panicked)) {
        Answer::Delivery(outcome) => {
            let is_delivery = tally.callback.is_none();
            tally.end(outcome);
            if is_delivery && outcome.is_timed() {
                observe(&metrics.answer_seconds, ended.duration_since(began));
            }
            reply::delivered(outcome, route)
        }
        Answer::Handshake(greeting, challenge) => {
            tally.pass();
            metrics.handshake(greeting);
            reply::greeted(greeting, challenge)
        }
        Answer::Callback(kind, called, json) => {
            tally.pass();
            metrics.callback(kind, called);
            reply::called(called, json, route)
        }
        Answer::Status(progress, reply) => {
            tally.pass();
            metrics.status_page(progress);
            reply
        }
    }
}

enum Answer {
    /// What became of a delivery, and of whatever was refused before it was known for anything else.
    Delivery(Outcome),
    Handshake(Greeting, Bytes),
    Callback(CallbackKind, Called, Bytes),
    Status(Option<Progress>, Reply),
}

impl Answer {
    /// Whether what is left of the body has to be read for the answer to be seen.
    fn leaves_a_body(&self) -> bool {
        match self {
            Self::Delivery(outcome) | Self::Callback(_, Called::Refused(outcome), _) => {
                !matches!(outcome, Outcome::Accepted | Outcome::BrokenBody | Outcome::TooSlow)
            }
            Self::Callback(
                _,
                Called::Received
                | Called::Repeated
                | Called::Malformed
                | Called::WrongAlgorithm
                | Called::WrongSignature,
                _,
            )
            | Self::Status(..) => true,
            Self::Handshake(..) => false,
        }
    }
}

async fn handle(
    visit: &Visit,
    route: Route<'_>,
    head: &Parts,
    body: &mut Incoming,
    began: Instant,
) -> Answer {
    let answer = match admit(visit, route, head) {
        Err(outcome) => Answer::Delivery(outcome),
        Ok(Way::Greet(door)) => {
            let (greeting, challenge) = greet(&door, head);
            Answer::Handshake(greeting, challenge)
        }
        Ok(Way::Deliver(door)) => Answer::Delivery(
            deliver(visit, &door, head, body, began).await.err().unwrap_or(Outcome::Accepted),
        ),
        Ok(Way::Callback(door, kind)) => match callback::receive(visit, &door, kind, head, body, began).await
        {
            Ok((called, json)) => Answer::Callback(kind, called, json),
            Err(called) => Answer::Callback(kind, called, Bytes::new()),
        },
        Ok(Way::Status(code)) => match visit.place(&head.headers) {
            Ok(_place) => {
                let edge = &visit.edge;
                let (progress, reply) =
                    status::answer(&edge.plane.state(), code, &head.headers, edge.clock.now_ms());
                Answer::Status(progress, reply)
            }
            Err(outcome) => Answer::Delivery(outcome),
        },
    };
    // Whoever waits to be asked for the body is not; whoever is in the middle of sending it gets to the answer.
    if answer.leaves_a_body() && !head.headers.contains_key(header::EXPECT) {
        let most = visit.edge.limits.body_bytes.saturating_mul(DISCARDED_LIMITS);
        discard(body, &visit.pace, began, most).await;
    }
    answer
}

/// Which way a request goes.
enum Way<'a> {
    Greet(Arc<Door>),
    Deliver(Arc<Door>),
    Callback(Arc<Door>, CallbackKind),
    Status(&'a str),
}

/// What can be said of any request by its headers alone.
fn admit<'a>(visit: &Visit, route: Route<'a>, head: &Parts) -> Result<Way<'a>, Outcome> {
    let edge = &visit.edge;
    if head.headers.len() > edge.limits.headers {
        return Err(Outcome::TooManyHeaders);
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
        return Err(Outcome::TooLongTarget);
    }
    let door = |app: &str| match edge.doors.find(app) {
        Some(Behind::Door(door)) => Ok(door),
        Some(Behind::Broken) => Err(Outcome::AppBroken),
        None => Err(Outcome::UnknownApp),
    };
    let vouched = |door: Arc<Door>| match &edge.proxy {
        Some(proxy) if !proxy.vouches(visit.peer, &head.headers) => Err(Outcome::NotVouched),
        _ => Ok(door),
    };
    match (route, &head.method) {
        (Route::Unknown, _) => Err(Outcome::UnknownPath),
        (Route::Webhook(app), &Method::GET) => Ok(Way::Greet(vouched(door(app)?)?)),
        (Route::Webhook(app), &Method::POST) => Ok(Way::Deliver(vouched(door(app)?)?)),
        // Meta says of its webhooks alone that they come with its certificate; people come with none.
        (Route::Callback(app, kind), &Method::POST) => Ok(Way::Callback(door(app)?, kind)),
        (Route::Status(code), &Method::GET) => Ok(Way::Status(code)),
        (Route::Webhook(_) | Route::Callback(..) | Route::Status(_), _) => Err(Outcome::WrongMethod),
    }
}

fn greet(door: &Door, head: &Parts) -> (Greeting, Bytes) {
    match Handshake::parse(head.uri.query().unwrap_or_default()) {
        None => (Greeting::Malformed, Bytes::new()),
        Some(handshake) if !door.knows(&handshake.token) => (Greeting::WrongToken, Bytes::new()),
        Some(handshake) => (Greeting::Accepted, Bytes::from(handshake.challenge.into_owned())),
    }
}

/// `None` when the future panicked. The panic's own text goes through the panic hook.
async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Counts a request once, as abandoned when it is dropped without an end.
struct Tally<'a> {
    metrics: &'a Metrics,
    callback: Option<CallbackKind>,
    ended: bool,
}

impl<'a> Tally<'a> {
    const fn new(metrics: &'a Metrics, route: Route<'_>) -> Self {
        let callback = match route {
            Route::Callback(_, kind) => Some(kind),
            Route::Webhook(_) | Route::Status(_) | Route::Unknown => None,
        };
        Self { metrics, callback, ended: false }
    }

    fn end(mut self, outcome: Outcome) {
        self.count(outcome);
    }

    /// Counted elsewhere.
    fn pass(mut self) {
        self.ended = true;
    }

    fn count(&mut self, outcome: Outcome) {
        self.ended = true;
        match self.callback {
            Some(kind) => self.metrics.callback(kind, outcome.into()),
            None => self.metrics.delivery(outcome),
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Outcome::Abandoned);
        }
    }
}
