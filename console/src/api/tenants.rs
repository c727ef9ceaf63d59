//! Tenants: the client organisations.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemas::{Action, ControlState, FeedFormat, Tenant, TenantId, TenantState};
use seal::FeedKey;

use crate::api::names::{is_name, what_a_name_is, without_card_number};
use crate::extract::{Given, Named};
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, FeedAnswer, List, NewTenant, SetFeed, TenantAnswer, Terminate};

/// How long an ended tenant is kept unless somebody says otherwise (`reliability.md` P10).
const NOTICE_DAYS: u32 = 30;
/// A tenant is not kept after all in the last moment before its end, which may have begun already.
const LAST_CALL_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Lists the tenants.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "tenant_list",
    responses((status = 200, body = List<TenantAnswer>), (status = 401, body = wire::Problem)))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<List<TenantAnswer>> {
    let state = shared.plane.state();
    Json(List {
        items: state.tenants.iter().map(|(id, tenant)| answer(&shared, &state, id, tenant)).collect(),
    })
}

/// Adds a tenant, or renames it, and makes its feed.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", operation_id = "tenant_add", request_body = NewTenant,
    responses((status = 201, body = TenantAnswer, description = "Added"),
        (status = 200, body = TenantAnswer, description = "It was there; its name is the given one now"),
        (status = 400, body = wire::Problem), (status = 401, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 409, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Given(given): Given<NewTenant>,
) -> Result<(StatusCode, Json<TenantAnswer>), Problem> {
    let name = given.name.trim();
    if !is_name(name) {
        return Err(Problem::bad_request(
            format!("a tenant's name is {}", what_a_name_is()),
            "give the organisation's name: `tidings tenant add TENANT --name NAME`",
        ));
    }
    [name, given.id.as_str()].into_iter().try_for_each(without_card_number)?;
    if let Some(known) = shared.plane.caught_up().await?.tenants.get(&given.id)
        && known.state == TenantState::Purged
    {
        refuse_ended(&given.id, known.state)?;
    }
    // First the feed: whoever learns of the tenant may append to it at once.
    control::ensure_inbox(&shared.log, &shared.topics, &given.id, shared.config.partitions).await?;
    let before = shared.plane.caught_up().await?;
    let known = before.tenants.get(&given.id);
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    if known.is_none_or(|known| known.name != name) {
        shared.act(Action::TenantAdded { tenant: given.id.clone(), name: name.to_owned() }).await?;
    }
    Ok((status, Json(shown(&shared, &given.id)?)))
}

/// Parks a tenant's events from here on.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/suspend", tag = "tenants", operation_id = "tenant_suspend",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = TenantAnswer), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 409, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn suspend(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
) -> Result<Json<TenantAnswer>, Problem> {
    shared.plane.caught_up().await?;
    refuse_ended(&tenant, shared.tenant(&tenant)?.state)?;
    if shared.tenant(&tenant)?.state != TenantState::Suspended {
        shared.act(Action::TenantSuspended { tenant: tenant.clone() }).await?;
    }
    Ok(Json(shown(&shared, &tenant)?))
}

/// Lets a suspended tenant's events flow again, the parked ones included.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/resume", tag = "tenants", operation_id = "tenant_resume",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = TenantAnswer), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 409, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn resume(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
) -> Result<Json<TenantAnswer>, Problem> {
    shared.plane.caught_up().await?;
    // A tenant that is about to end may be kept after all; one that has ended is gone.
    let state = shared.tenant(&tenant)?.state;
    if state == TenantState::Purged {
        refuse_ended(&tenant, state)?;
    }
    if let TenantState::Terminated { purge_at_ms } = state
        && purge_at_ms <= shared.clock.now_ms().saturating_add(LAST_CALL_MS)
    {
        return Err(Problem::conflict(
            format!("the time of tenant {tenant} is over: its keys are being destroyed"),
            "add it under another id",
        ));
    }
    if shared.tenant(&tenant)?.state != TenantState::Active {
        shared.act(Action::TenantResumed { tenant: tenant.clone() }).await?;
    }
    Ok(Json(shown(&shared, &tenant)?))
}

/// Ends a tenant: its events are parked from here on, and everything of it is destroyed when its time is over.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/terminate", tag = "tenants", operation_id = "tenant_terminate",
    request_body = Terminate, params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = TenantAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn terminate(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Given(given): Given<Terminate>,
) -> Result<Json<TenantAnswer>, Problem> {
    shared.plane.caught_up().await?;
    refuse_ended(&tenant, shared.tenant(&tenant)?.state)?;
    let days = i64::from(given.days.unwrap_or(NOTICE_DAYS));
    let purge_at_ms = shared.clock.now_ms().saturating_add(days.saturating_mul(DAY_MS));
    shared.act(Action::TenantTerminated { tenant: tenant.clone(), purge_at_ms }).await?;
    Ok(Json(shown(&shared, &tenant)?))
}

/// Sets the form of a tenant's feed, from here on.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/feed", tag = "tenants", operation_id = "tenant_feed",
    request_body = SetFeed, params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = FeedAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn feed(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Given(given): Given<SetFeed>,
) -> Result<Json<FeedAnswer>, Problem> {
    shared.plane.caught_up().await?;
    refuse_ended(&tenant, shared.tenant(&tenant)?.state)?;
    const HELP: &str = "`tidings tenant feed TENANT --format clear`, or `--format jwe --public-jwk FILE`";
    let (feed, key) = match (given.format.as_str(), given.jwk) {
        ("clear", None) => (FeedFormat::Clear, None),
        ("jwe", Some(jwk)) => {
            let key = FeedKey::parse(&jwk).map_err(|why| Problem::bad_request(why.to_string(), HELP))?;
            (FeedFormat::Jwe { jwk }, Some(key))
        }
        ("clear", Some(_)) => return Err(Problem::bad_request("a clear feed has no key", HELP)),
        ("jwe", None) => return Err(Problem::bad_request("a JWE feed needs the tenant's public key", HELP)),
        _ => return Err(Problem::bad_request("a feed's format is `clear` or `jwe`", HELP)),
    };
    if shared.tenant(&tenant)?.feed != feed {
        shared.act(Action::TenantFeedSet { tenant: tenant.clone(), feed }).await?;
    }
    Ok(Json(FeedAnswer {
        feed: shared.topics.inbox(&tenant),
        tenant: tenant.to_string(),
        format: given.format,
        key: key.as_ref().map(|key| key.thumbprint().to_owned()),
        algorithm: key.as_ref().map(|key| key.algorithm().to_owned()),
    }))
}

/// Refuses what is only for tenants that go on.
pub(super) fn refuse_ended(tenant: &TenantId, state: TenantState) -> Result<(), Problem> {
    match state {
        TenantState::Active | TenantState::Suspended => Ok(()),
        TenantState::Terminated { .. } => Err(Problem::conflict(
            format!("tenant {tenant} is ending"),
            format!("`tidings tenant resume {tenant}` keeps it after all"),
        )),
        TenantState::Purged => Err(Problem::conflict(
            format!("tenant {tenant} has ended, and nothing of it is left"),
            "choose another id: this one stays taken, for its audit",
        )),
    }
}

fn shown(shared: &Shared, id: &TenantId) -> Result<TenantAnswer, Problem> {
    let tenant = shared.tenant(id)?;
    Ok(answer(shared, &shared.plane.state(), id, &tenant))
}

fn answer(shared: &Shared, state: &ControlState, id: &TenantId, tenant: &Tenant) -> TenantAnswer {
    TenantAnswer {
        id: id.clone(),
        name: tenant.name.clone(),
        state: tenant.state.as_str().to_owned(),
        purge_at: match tenant.state {
            TenantState::Terminated { purge_at_ms } => Some(wire::time(purge_at_ms)),
            TenantState::Active | TenantState::Suspended | TenantState::Purged => None,
        },
        assets: state.routes.values().filter(|route| route.tenant == *id).count(),
        feed: shared.topics.inbox(id),
        feed_format: match tenant.feed {
            FeedFormat::Clear => "clear",
            FeedFormat::Jwe { .. } => "jwe",
        }
        .to_owned(),
    }
}
