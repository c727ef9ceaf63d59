//! The loss equation.

use axum::Json;
use axum::extract::State;

use crate::ledger;
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, LossEquation};

/// Compares what was received with what came out of it.
#[utoipa::path(get, path = "/v1/verify", tag = "pipeline", operation_id = "verify",
    responses((status = 200, body = LossEquation), (status = 401, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn verify(State(shared): State<Shared>) -> Result<Json<LossEquation>, Problem> {
    Ok(Json(ledger::equation(&shared).await?))
}
