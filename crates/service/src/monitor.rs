//! The second listener of every service: `/metrics`, `/healthz`, `/readyz`.

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Readiness;

#[derive(Clone)]
struct Monitor {
    registry: Registry,
    readiness: Readiness,
}

/// The monitoring routes, to serve alone or beside others.
pub fn monitor_router(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(Monitor { registry, readiness })
}

/// Serves the monitoring routes until stopped. For a private network only.
pub async fn serve_monitor(
    listener: TcpListener,
    registry: Registry,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    axum::serve(listener, monitor_router(registry, readiness))
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .context("serving /metrics")
}

async fn metrics(State(monitor): State<Monitor>) -> impl IntoResponse {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&monitor.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ready(State(monitor): State<Monitor>) -> impl IntoResponse {
    let closed = monitor.readiness.closed();
    if closed.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", closed.join(", ")))
    }
}
