//! Who did what, and whether the record of it is whole.

use axum::Json;
use axum::extract::State;
use schemas::TenantId;
use serde::Deserialize;
use store::{AuditHead, AuditRow, PLATFORM_CHAIN, verify_chain};
use utoipa::IntoParams;

use crate::api::paging::Paging;
use crate::extract::{Asked, Named};
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::wire::{self, AuditEntry, AuditVerdict, ChainVerdict, Page};

const READS: usize = 5;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Of {
    /// Only this tenant's chain.
    #[param(value_type = Option<String>)]
    tenant: Option<TenantId>,
}

/// Lists what was done that concerns no single tenant, the oldest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", operation_id = "audit_list_platform", params(Paging),
    responses((status = 200, body = Page<AuditEntry>), (status = 400, body = wire::Problem),
        (status = 401, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn of_platform(
    State(shared): State<Shared>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    listed(&shared, None, &paging).await
}

/// Lists what was done to a tenant, the oldest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit", tag = "audit", operation_id = "audit_list",
    params(("tenant" = String, Path, description = "The tenant's id"), Paging),
    responses((status = 200, body = Page<AuditEntry>), (status = 400, body = wire::Problem),
        (status = 401, body = wire::Problem), (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn of_tenant(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    shared.tenant(&tenant)?;
    listed(&shared, Some(&tenant), &paging).await
}

async fn listed(
    shared: &Shared,
    tenant: Option<&TenantId>,
    paging: &Paging,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let after = paging.after(|text| text.parse::<u64>().ok())?;
    let rows = shared.views.audit(tenant, paging.limit()?, after).await?;
    Ok(Json(paging.page(rows, |row| row.sequence.to_string(), shown::audited)?))
}

/// Checks audit chains: every hash, and the signatures of the heads.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "audit", operation_id = "audit_verify", params(Of),
    responses((status = 200, body = AuditVerdict), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn verify(
    State(shared): State<Shared>,
    Asked(of): Asked<Of>,
) -> Result<Json<AuditVerdict>, Problem> {
    if let Some(tenant) = &of.tenant {
        shared.tenant(tenant)?;
    }
    let chains = match of.tenant {
        Some(tenant) => vec![tenant.to_string()],
        None => {
            let state = shared.plane.state();
            std::iter::once(PLATFORM_CHAIN.to_owned())
                .chain(state.tenants.keys().map(ToString::to_string))
                .collect()
        }
    };
    let mut verdicts = Vec::new();
    for chain in chains {
        verdicts.push(check(&shared, chain).await?);
    }
    Ok(Json(AuditVerdict {
        ok: verdicts.iter().all(|verdict| verdict.ok),
        entries: verdicts.iter().map(|verdict| verdict.entries).sum(),
        chains: verdicts,
    }))
}

async fn check(shared: &Shared, chain: String) -> Result<ChainVerdict, Problem> {
    let (entries, head) = read(shared, &chain).await?;
    let fault = verify_chain(&entries, head.as_ref(), shared.config.audit_public_key.as_deref()).err();
    Ok(ChainVerdict {
        ok: fault.is_none(),
        entries: entries.len() as u64,
        head: head.map(|head| hex::encode(head.hash)),
        fault: fault.map(|fault| fault.to_string()),
        chain,
    })
}

/// A chain and its head as of one moment: read again while it grows in between.
async fn read(shared: &Shared, chain: &str) -> Result<(Vec<AuditRow>, Option<AuditHead>), Problem> {
    let mut before = shared.views.audit_head(chain).await?;
    for _ in 0..READS {
        let entries = shared.views.audit_chain(chain).await?;
        let after = shared.views.audit_head(chain).await?;
        if before == after {
            return Ok((entries, after));
        }
        before = after;
    }
    Err(Problem::busy(format!("the chain {chain} grows faster than it can be read"), "try again in a moment"))
}
