//! Retention, backups and keys: what the keeper does by itself or when it is asked.

use std::future::Future;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use keeper::{BackupInfo, BackupKind, KeepError, Keeper};
use schemas::{Action, KeyLevel, TenantId};

use crate::extract::{Given, Named};
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{
    self, Backup, List, NewBackup, Rebuild, Rebuilt, Restored, RetentionRow, Rotate, Rotated, Sweep, Swept,
};

/// Does something to its end, whether or not whoever asked for it waits.
async fn whole<T, F>(shared: &Shared, work: impl FnOnce(Keeper) -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, KeepError>> + Send + 'static,
    T: Send + 'static,
{
    let done = tokio::spawn(work(shared.keeper.clone())).await;
    let broke =
        |_| Problem::busy("this broke off", "see the console's log, then do it again: that is harmless");
    Ok(done.map_err(broke)??)
}

/// What there is of each class of things, how long it is kept, and what the next sweep would remove.
#[utoipa::path(get, path = "/v1/retention", tag = "upkeep", operation_id = "retention_plan",
    responses((status = 200, body = List<RetentionRow>), (status = 401, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn plan(State(shared): State<Shared>) -> Result<Json<List<RetentionRow>>, Problem> {
    let rows = whole(&shared, |keeper| async move { keeper.plan().await }).await?;
    let items = rows.into_iter().map(|row| RetentionRow {
        class: row.class.to_owned(),
        anchor: row.anchor.to_owned(),
        keep_days: row.keep_days,
        oldest_age_seconds: row.oldest_age_seconds,
        due: row.due,
        action: row.action.to_owned(),
    });
    Ok(Json(List { items: items.collect() }))
}

/// Removes what was kept for long enough, now instead of at the next daily sweep.
#[utoipa::path(post, path = "/v1/retention/sweep", tag = "upkeep", operation_id = "retention_sweep", request_body = Sweep,
    responses((status = 200, body = List<Swept>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn sweep(
    State(shared): State<Shared>,
    Given(given): Given<Sweep>,
) -> Result<Json<List<Swept>>, Problem> {
    let rows = whole(&shared, move |keeper| async move { keeper.sweep(given.dry_run).await }).await?;
    let items = rows.into_iter().map(|row| Swept { class: row.class.to_owned(), removed: row.removed });
    Ok(Json(List { items: items.collect() }))
}

/// Makes a backup of the databases, sealed with a key of its own.
#[utoipa::path(post, path = "/v1/backups", tag = "upkeep", operation_id = "backup_create", request_body = NewBackup,
    responses((status = 201, body = Backup), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn create(
    State(shared): State<Shared>,
    Given(given): Given<NewBackup>,
) -> Result<(StatusCode, Json<Backup>), Problem> {
    let kind = given.kind.as_deref().unwrap_or("daily").parse::<BackupKind>();
    let kind = kind.map_err(|why| Problem::bad_request(why, "`tidings backup create --kind daily`"))?;
    let made = whole(&shared, move |keeper| async move { keeper.backup_create(kind).await }).await?;
    Ok((StatusCode::CREATED, Json(answer(&made))))
}

/// Lists the backups, the oldest first.
#[utoipa::path(get, path = "/v1/backups", tag = "upkeep", operation_id = "backup_list",
    responses((status = 200, body = List<Backup>), (status = 401, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<List<Backup>>, Problem> {
    let all = shared.keeper.backup_list().await?;
    Ok(Json(List { items: all.iter().map(answer).collect() }))
}

/// Fills the databases from a backup. Whoever was forgotten since stays forgotten, and what came since is projected again.
#[utoipa::path(post, path = "/v1/backups/{backup}/restore", tag = "upkeep", operation_id = "backup_restore",
    params(("backup" = String, Path, description = "The backup's id")),
    responses((status = 200, body = Restored), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn restore(
    State(shared): State<Shared>,
    Named(backup): Named<String>,
) -> Result<Json<Restored>, Problem> {
    if !shared.keeper.backup_list().await?.iter().any(|known| known.id == backup) {
        return Err(Problem::not_found("there is no such backup", "`tidings backup list` shows them"));
    }
    let done = whole(&shared, move |keeper| async move { keeper.backup_restore(&backup).await }).await?;
    Ok(Json(Restored {
        backup: done.backup,
        rows: done.rows,
        people: done.people,
        forgotten: done.forgotten,
    }))
}

/// Makes the conversation view anew from the log, beside the one that is read, and puts it in its place.
#[utoipa::path(post, path = "/v1/views/{view}/rebuild", tag = "upkeep", operation_id = "view_rebuild", request_body = Rebuild,
    params(("view" = String, Path, description = "`conversation`")),
    responses((status = 200, body = Rebuilt), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn rebuild(
    State(shared): State<Shared>,
    Named(view): Named<String>,
    Given(given): Given<Rebuild>,
) -> Result<Json<Rebuilt>, Problem> {
    if view != "conversation" {
        return Err(Problem::not_found(
            "there is no such view to rebuild",
            "`tidings view rebuild conversation`",
        ));
    }
    let rebuilder = shared.config.rebuild.clone().ok_or_else(|| {
        Problem::conflict("this console cannot rebuild views", "ask one that was started with the log")
    })?;
    // To its end, whether or not whoever asked for it waits.
    let done = tokio::spawn(rebuilder.rebuild(given.dry_run)).await;
    let broke = |_| {
        Problem::busy("this broke off", "see the console's log, then do it again: it goes on where it was")
    };
    let done = done.map_err(broke)??;
    if done.switched {
        shared.act(Action::ViewRebuilt { view }).await?;
    }
    Ok(Json(done))
}

/// Replaces keys. Nothing fails meanwhile, and what was sealed before opens as before.
#[utoipa::path(post, path = "/v1/keys/rotate", tag = "upkeep", operation_id = "key_rotate", request_body = Rotate,
    responses((status = 200, body = Rotated), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn rotate(
    State(shared): State<Shared>,
    Given(given): Given<Rotate>,
) -> Result<Json<Rotated>, Problem> {
    const HELP: &str =
        "`tidings key rotate root`, `tidings key rotate tenant [TENANT]` or `tidings key rotate data`";
    let level = match given.level.as_str() {
        "root" => KeyLevel::Root,
        "tenant" => KeyLevel::Tenant,
        "data" => KeyLevel::Data,
        _ => return Err(Problem::bad_request("a level of keys is `root`, `tenant` or `data`", HELP)),
    };
    let tenant: Option<TenantId> = match given.tenant {
        None => None,
        Some(_) if level != KeyLevel::Tenant => {
            return Err(Problem::bad_request("only a tenant's keys are somebody's", HELP));
        }
        Some(name) => {
            let tenant =
                name.parse().map_err(|why: schemas::IdError| Problem::bad_request(why.to_string(), HELP))?;
            shared.tenant(&tenant)?;
            Some(tenant)
        }
    };
    let done = whole(&shared, move |keeper| async move { keeper.rotate(level, tenant).await }).await?;
    Ok(Json(Rotated {
        level: done.level.as_str().to_owned(),
        tenants: done.tenants,
        keys: done.keys,
        apps: done.apps,
        backups: done.backups,
        retired: done.retired,
    }))
}

fn answer(backup: &BackupInfo) -> Backup {
    let parts = || std::iter::once(&backup.views).chain(&backup.keyring);
    Backup {
        backup: backup.id.clone(),
        kind: backup.kind.as_str().to_owned(),
        created_at: wire::time(backup.created_ms),
        expires_at: wire::time(backup.expires_ms),
        bytes: parts().map(|part| part.bytes).sum(),
        rows: parts().flat_map(|part| part.tables.values()).sum(),
        keyring: backup.keyring.is_some(),
    }
}
