//! Tenants: the client organisations.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemas::{Action, ControlState, Tenant, TenantId, TenantState};

use crate::extract::{Given, Named};
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, List, NewTenant, TenantAnswer};

const MAX_NAME_CHARS: usize = 200;

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
        (status = 503, body = wire::Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Given(given): Given<NewTenant>,
) -> Result<(StatusCode, Json<TenantAnswer>), Problem> {
    let name = given.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            format!("a tenant's name is 1 to {MAX_NAME_CHARS} printable characters"),
            "give the organisation's name: `tidings tenant add TENANT --name NAME`",
        ));
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
        (status = 503, body = wire::Problem)))]
pub(super) async fn suspend(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
) -> Result<Json<TenantAnswer>, Problem> {
    shared.plane.caught_up().await?;
    if shared.tenant(&tenant)?.state != TenantState::Suspended {
        shared.act(Action::TenantSuspended { tenant: tenant.clone() }).await?;
    }
    Ok(Json(shown(&shared, &tenant)?))
}

/// Lets a suspended tenant's events flow again, the parked ones included.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/resume", tag = "tenants", operation_id = "tenant_resume",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = TenantAnswer), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn resume(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
) -> Result<Json<TenantAnswer>, Problem> {
    shared.plane.caught_up().await?;
    if shared.tenant(&tenant)?.state != TenantState::Active {
        shared.act(Action::TenantResumed { tenant: tenant.clone() }).await?;
    }
    Ok(Json(shown(&shared, &tenant)?))
}

fn shown(shared: &Shared, id: &TenantId) -> Result<TenantAnswer, Problem> {
    let tenant = shared.tenant(id)?;
    Ok(answer(shared, &shared.plane.state(), id, &tenant))
}

fn answer(shared: &Shared, state: &ControlState, id: &TenantId, tenant: &Tenant) -> TenantAnswer {
    TenantAnswer {
        id: id.clone(),
        name: tenant.name.clone(),
        state: tenant.state,
        assets: state.routes.values().filter(|route| route.tenant == *id).count(),
        feed: shared.topics.inbox(id),
    }
}
