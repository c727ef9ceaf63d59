//! Whom to tell when somebody may have read what passed in a span of time.

use axum::Json;
use axum::extract::State;
use schemas::{SubjectId, TenantId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::paging::Paging;
use crate::extract::{Asked, Named};
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, AffectedPerson, AffectedTenant, List, Page};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Within {
    /// From this moment on, RFC 3339.
    since: String,
    /// Until before this moment, RFC 3339; until now unless given.
    until: Option<String>,
}

impl Within {
    /// Both ends, Unix milliseconds.
    fn span(&self, now_ms: i64) -> Result<(i64, i64), Problem> {
        let read = |text: &str| {
            text.parse::<jiff::Timestamp>().map(|at| at.as_millisecond()).map_err(|_| {
                Problem::bad_request(
                    "a moment is written as in RFC 3339, with its zone",
                    "for instance 2026-03-01T09:30:00Z",
                )
            })
        };
        let since = read(&self.since)?;
        let until = self.until.as_deref().map_or(Ok(now_ms.saturating_add(1)), read)?;
        if since >= until {
            return Err(Problem::bad_request(
                "`since` is not before `until`",
                "give the earlier moment first",
            ));
        }
        Ok((since, until))
    }
}

/// Lists the tenants of whom something was sent, or to whom something was done, in a span of time.
#[utoipa::path(get, path = "/v1/affected", tag = "audit", operation_id = "affected", params(Within),
    responses((status = 200, body = List<AffectedTenant>), (status = 400, body = wire::Problem),
        (status = 401, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn tenants(
    State(shared): State<Shared>,
    Asked(within): Asked<Within>,
) -> Result<Json<List<AffectedTenant>>, Problem> {
    let (since, until) = within.span(shared.clock.now_ms())?;
    let state = shared.plane.state();
    let mut items = Vec::new();
    for (id, tenant) in &state.tenants {
        if let Some(found) = shared.views.affected(id, since, until).await? {
            items.push(AffectedTenant {
                tenant: id.to_string(),
                name: tenant.name.clone(),
                people: found.people,
                acts: found.acts,
                span: found.span.into(),
            });
        }
    }
    Ok(Json(List { items }))
}

/// Lists the people of a tenant of whom something was sent in a span of time.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/affected", tag = "audit", operation_id = "affected_people",
    params(("tenant" = String, Path, description = "The tenant's id"), Within, Paging),
    responses((status = 200, body = Page<AffectedPerson>), (status = 400, body = wire::Problem),
        (status = 401, body = wire::Problem), (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn people(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Asked(within): Asked<Within>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<AffectedPerson>>, Problem> {
    shared.tenant(&tenant)?;
    let (since, until) = within.span(shared.clock.now_ms())?;
    let after = paging.after(|text| text.parse::<SubjectId>().ok())?;
    let rows = shared.views.affected_people(&tenant, since, until, paging.limit()?, after).await?;
    // What is about nobody comes first, so a full page never ends there unless it is a page of one.
    let next = |row: &store::AffectedPerson| {
        row.subject.map_or_else(|| "0".repeat(32), |subject| subject.to_string())
    };
    Ok(Json(paging.page(rows, next, |row| AffectedPerson {
        subject: row.subject.map(|subject| subject.to_string()),
        span: row.span.into(),
    })?))
}
