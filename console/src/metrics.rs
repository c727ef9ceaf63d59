//! What the console counts.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::state::Shared;

/// The console's metrics.
pub(crate) struct Metrics {
    requests: IntCounterVec,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Done,
    Unauthorized,
    Refused,
    Failed,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::Unauthorized, Self::Refused, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            status if status.is_client_error() => Self::Refused,
            status if status.is_server_error() => Self::Failed,
            _ => Self::Done,
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "console_requests_total",
                "Admin API requests by how they ended. `unauthorized` that grows means somebody tries tokens; `failed` means \
                 the log or the database did not answer.",
            ),
            &["outcome"],
        )?;
        for outcome in Outcome::ALL {
            requests.with_label_values(&[outcome.as_str()]);
        }
        registry.register(Box::new(requests.clone()))?;
        Ok(Self { requests })
    }
}

/// Counts a request.
pub(crate) async fn count(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    shared.metrics.requests.with_label_values(&[Outcome::of(response.status()).as_str()]).inc();
    response
}
