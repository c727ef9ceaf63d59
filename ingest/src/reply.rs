//! Answers, as they are sent.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::outcome::{Called, Greeting, Outcome};
use crate::route::Route;

/// What the edge answers with.
pub(crate) type Reply = Response<Full<Bytes>>;

/// The answer to a delivery: nothing but its status.
pub(crate) fn delivered(outcome: Outcome, route: Route) -> Reply {
    let mut reply = empty(outcome.status());
    if outcome.closes() {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if outcome == Outcome::WrongMethod {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(route.allowed()));
    }
    reply
}

/// The answer to a handshake: its challenge.
pub(crate) fn greeted(greeting: Greeting, challenge: Bytes) -> Reply {
    with(greeting.status(), challenge, &[(header::CONTENT_TYPE, "text/plain")])
}

/// The answer to a callback: JSON when it is written down.
pub(crate) fn called(called: Called, json: Bytes, route: Route) -> Reply {
    match called {
        Called::Refused(outcome) => delivered(outcome, route),
        Called::Malformed | Called::WrongAlgorithm | Called::WrongSignature => empty(called.status()),
        Called::Received | Called::Repeated => with(
            called.status(),
            json,
            &[(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
        ),
    }
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = status;
    reply
}

/// An answer with a body and these headers, whose type no browser guesses at.
pub(crate) fn with(status: StatusCode, body: Bytes, headers: &[(HeaderName, &'static str)]) -> Reply {
    let mut reply = Reply::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in headers {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}
