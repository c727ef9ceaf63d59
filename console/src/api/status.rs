//! How the parts stand.

use axum::Json;
use axum::extract::State;

use crate::ledger;
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, Status};

/// Tells how far each stage has read each partition, and whether this process is ready.
#[utoipa::path(get, path = "/v1/status", tag = "pipeline", operation_id = "status",
    responses((status = 200, body = Status), (status = 401, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Problem> {
    let state = shared.plane.state();
    let waiting_for: Vec<String> = shared.readiness.closed().into_iter().map(str::to_owned).collect();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: waiting_for.is_empty(),
        waiting_for,
        tenants: state.tenants.len(),
        assets: state.routes.len(),
        apps: state.apps.len(),
        positions: ledger::positions(&shared).await?,
    }))
}
