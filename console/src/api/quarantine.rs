//! Deliveries that could not be used, and the way back for them.

use axum::Json;
use axum::extract::State;
use eventlog::{ReadError, Stored, Topic, TopicPartition};
use schemas::{Action, RawRef, Reason, raw_header};
use tokio::time::Duration;

use crate::extract::{Given, Named};
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::wire::{self, List, Quarantined, QuarantinedDetail, Redrive, Redriven};

const READ_WAIT: Duration = Duration::from_secs(2);
/// As many deliveries as one `control` record names.
const AT_ONCE: usize = 1000;

/// Lists what is in quarantine, the oldest first.
#[utoipa::path(get, path = "/v1/quarantine", tag = "quarantine", operation_id = "quarantine_list",
    responses((status = 200, body = List<Quarantined>), (status = 401, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<List<Quarantined>>, Problem> {
    let rows = shared.views.quarantine().await?;
    Ok(Json(List { items: rows.iter().map(shown::quarantined).collect() }))
}

/// Shows what is known of one delivery in quarantine. Its body is not shown.
#[utoipa::path(get, path = "/v1/quarantine/{id}", tag = "quarantine", operation_id = "quarantine_show",
    params(("id" = String, Path, description = "The delivery's id, `partition:offset`")),
    responses((status = 200, body = QuarantinedDetail), (status = 400, body = wire::Problem),
        (status = 401, body = wire::Problem), (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn show(
    State(shared): State<Shared>,
    Named(id): Named<RawRef>,
) -> Result<Json<QuarantinedDetail>, Problem> {
    let rows = shared.views.quarantine().await?;
    let row = rows.iter().find(|row| row.raw == id).ok_or_else(|| not_there(id))?;
    let stored = raw_record(&shared, id).await?;
    let header = |name: &str| stored.as_ref()?.record.header_str(name).map(str::to_owned);
    let received_ms = header(raw_header::RECEIVED_AT).and_then(|ms| ms.parse().ok());
    Ok(Json(QuarantinedDetail {
        entry: shown::quarantined(row),
        meaning: meaning(row.reason).to_owned(),
        kept: stored.is_some(),
        size_bytes: stored
            .as_ref()
            .map(|stored| stored.record.value.as_ref().map_or(0, |body| body.len() as u64)),
        app: header(raw_header::APP),
        received_at: received_ms.map(wire::time),
        content_type: header(raw_header::CONTENT_TYPE),
    }))
}

/// Sends deliveries through the normal path again. What fails again comes back with one attempt more.
#[utoipa::path(post, path = "/v1/quarantine/redrive", tag = "quarantine", operation_id = "quarantine_redrive",
    request_body = Redrive,
    responses((status = 200, body = Redriven), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn redrive(
    State(shared): State<Shared>,
    Given(wanted): Given<Redrive>,
) -> Result<Json<Redriven>, Problem> {
    let there: Vec<RawRef> = shared.views.quarantine().await?.iter().map(|row| row.raw).collect();
    let chosen = choose(&wanted, &there)?;
    for raw in chosen.chunks(AT_ONCE) {
        shared.act(Action::QuarantineRedriven { raw: raw.to_vec() }).await?;
    }
    Ok(Json(Redriven { redriven: chosen.len() as u64 }))
}

fn choose(wanted: &Redrive, there: &[RawRef]) -> Result<Vec<RawRef>, Problem> {
    let mut chosen = match (wanted.all, wanted.ids.as_slice()) {
        (true, []) => there.to_vec(),
        (true, _) | (false, []) => {
            return Err(Problem::bad_request("redrive either some `ids` or `all`", "give one of the two"));
        }
        (false, ids) => ids
            .iter()
            .map(|id| {
                let id: RawRef = id.parse().map_err(|_| {
                    Problem::bad_request(
                        "an id in quarantine is written partition:offset, such as 3:1042",
                        "`tidings quarantine list` shows the ids",
                    )
                })?;
                if there.contains(&id) { Ok(id) } else { Err(not_there(id)) }
            })
            .collect::<Result<Vec<_>, Problem>>()?,
    };
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// The delivery itself, while `raw` keeps it.
async fn raw_record(shared: &Shared, id: RawRef) -> Result<Option<Stored>, Problem> {
    let raw = Topic::new(shared.topics.raw())?;
    if shared.log.partitions(&raw).await?.is_none_or(|count| id.partition >= count) {
        return Ok(None);
    }
    let at = TopicPartition::new(&raw, id.partition);
    let bounds = shared.log.bounds(&at).await?;
    if !(bounds.earliest..bounds.end).contains(&id.offset) {
        return Ok(None);
    }
    match shared.log.reader(&at, id.offset).await?.next(1, READ_WAIT).await {
        Ok(records) => Ok(records.into_iter().find(|stored| stored.offset == id.offset)),
        Err(ReadError::Gone { .. }) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

fn not_there(id: RawRef) -> Problem {
    Problem::not_found(
        format!("{id} is not in quarantine"),
        "`tidings quarantine list` shows what is; a delivery that was routed since is gone from it",
    )
}

const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::EmptyBody => "the body was empty",
        Reason::NotJson => "the body is not JSON, was cut short, or is not UTF-8",
        Reason::NotAnEnvelope => "the body is JSON, but not a webhook as Meta sends it",
        Reason::NoAsset => "an entry names no asset, so its owner cannot be told",
        Reason::TooDeep => "the body is nested deeper than is safe to read",
        Reason::TooLarge => "an event of it is larger than the log takes",
        Reason::TooManyItems => "it holds more items than any webhook of Meta does",
        Reason::NotOurs => "the record was not written by ingest",
        Reason::Unopenable => {
            "its seal does not open: the record was changed since it was received, or ingest did not write it"
        }
        Reason::Crashed => "reading it failed again and again; a newer version may succeed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_redriven_and_once() {
        let there: Vec<RawRef> = ["0:1", "0:2", "1:1"].iter().map(|id| id.parse().unwrap()).collect();
        let wanted = |ids: &[&str], all| Redrive { ids: ids.iter().map(ToString::to_string).collect(), all };
        assert_eq!(choose(&wanted(&[], true), &there).unwrap(), there);
        assert_eq!(choose(&wanted(&["1:1", "0:2", "1:1"], false), &there).unwrap(), there[1..]);
        for wrong in
            [wanted(&[], false), wanted(&["0:1"], true), wanted(&["0:3"], false), wanted(&["x"], false)]
        {
            assert!(choose(&wrong, &there).is_err());
        }
    }
}
