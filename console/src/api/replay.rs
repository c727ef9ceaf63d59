//! Sending deliveries through the normal path again, as after a fault of our own. Every stage takes repeats for what they are.

use axum::Json;
use axum::extract::State;
use eventlog::{Topic, TopicPartition};
use schemas::{Action, RawRef};

use crate::extract::Given;
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, Replay, Replayed};

/// Deliveries that one record of `control` names.
const AT_ONCE: usize = 1_000;

/// Routes everything again that the raw log still keeps.
#[utoipa::path(post, path = "/v1/replay", tag = "pipeline", operation_id = "replay", request_body = Replay,
    responses((status = 200, body = Replayed), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn replay(
    State(shared): State<Shared>,
    Given(wanted): Given<Replay>,
) -> Result<Json<Replayed>, Problem> {
    if !wanted.all {
        return Err(Problem::bad_request("a replay is of everything", "`tidings replay --all`"));
    }
    let raw = Topic::new(shared.topics.raw())?;
    let mut replayed = 0;
    for partition in 0..shared.log.partitions(&raw).await?.unwrap_or(0) {
        let bounds = shared.log.bounds(&TopicPartition::new(&raw, partition)).await?;
        let all: Vec<RawRef> =
            (bounds.earliest..bounds.end).map(|offset| RawRef { partition, offset }).collect();
        for some in all.chunks(AT_ONCE) {
            shared.act(Action::HolesRerouted { raw: some.to_vec() }).await?;
        }
        replayed += all.len() as u64;
    }
    Ok(Json(Replayed { replayed }))
}
