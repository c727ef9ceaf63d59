//! Conversations and their messages.

use axum::Json;
use axum::extract::State;
use schemas::{ConversationId, TenantId};
use store::{ConversationCursor, ConversationRow, MessageCursor};

use crate::api::paging::{Paging, place, read_place};
use crate::extract::{Asked, Named};
use crate::open::Opener;
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::thread::Threads;
use crate::wire::{self, Conversation, List, Message, Page, Standing};

/// Lists a tenant's conversations, the latest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/conversations", tag = "conversations", operation_id = "conversation_list",
    params(("tenant" = String, Path, description = "The tenant's id"), Paging),
    responses((status = 200, body = Page<Conversation>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<Conversation>>, Problem> {
    shared.tenant(&tenant)?;
    let after = paging.after(read_place)?.map(|(last_at_ms, id)| ConversationCursor { last_at_ms, id });
    let rows = shared.views.conversations(&tenant, paging.limit()?, after).await?;
    let threads = Threads::of(&shared, &tenant, &rows).await?;
    let Page { items: rows, next } = paging.page(rows, |row| place(row.last_at_ms, row.id), |row| row)?;
    let rows = threads.joined(&shared, &tenant, rows).await?;
    let opener =
        Opener::of(&shared.keyring, &tenant, rows.iter().flat_map(shown::sealed_in_conversation)).await?;
    let state = shared.plane.state();
    let items =
        rows.into_iter().map(|row| shown::conversation(row, &tenant, &state.people, &opener)).collect();
    Ok(Json(Page { items, next }))
}

/// Shows one conversation.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/conversations/{id}", tag = "conversations",
    operation_id = "conversation_show",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("id" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = Conversation), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn show(
    State(shared): State<Shared>,
    Named((tenant, id)): Named<(TenantId, ConversationId)>,
) -> Result<Json<Conversation>, Problem> {
    let (row, threads) = one(&shared, &tenant, id).await?;
    let row = threads.whole(&shared, &tenant, row).await?;
    let opener = Opener::of(&shared.keyring, &tenant, shown::sealed_in_conversation(&row)).await?;
    Ok(Json(shown::conversation(row, &tenant, &shared.plane.state().people, &opener)))
}

/// Lists a conversation's messages, in order.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/conversations/{id}/messages", tag = "conversations",
    operation_id = "conversation_messages",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("id" = String, Path, description = "The conversation's id"), Paging),
    responses((status = 200, body = Page<Message>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn messages(
    State(shared): State<Shared>,
    Named((tenant, id)): Named<(TenantId, ConversationId)>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<Message>>, Problem> {
    let (row, threads) = one(&shared, &tenant, id).await?;
    let after = paging.after(read_place)?.map(|(at_ms, event)| MessageCursor { at_ms, event });
    let rows = shared.views.messages(&tenant, &threads.ids(&row), paging.limit()?, after).await?;
    let opener = Opener::of(&shared.keyring, &tenant, rows.iter().flat_map(shown::sealed_in_message)).await?;
    Ok(Json(paging.page(rows, |row| place(row.at_ms, row.event), |row| shown::message(row, &opener))?))
}

/// Tells who answers in a conversation, and its calls.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/conversations/{id}/state", tag = "conversations",
    operation_id = "conversation_state",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("id" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = List<Standing>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn state(
    State(shared): State<Shared>,
    Named((tenant, id)): Named<(TenantId, ConversationId)>,
) -> Result<Json<List<Standing>>, Problem> {
    let (row, threads) = one(&shared, &tenant, id).await?;
    let rows = shared.views.standing_in(&tenant, &threads.ids(&row)).await?;
    let opener = Opener::of(&shared.keyring, &tenant, rows.iter().map(|row| &row.content.subject)).await?;
    Ok(Json(List { items: rows.iter().filter_map(|row| shown::standing(row, &opener)).collect() }))
}

/// A conversation that has to be there, and what belongs to it.
async fn one(
    shared: &Shared,
    tenant: &TenantId,
    id: ConversationId,
) -> Result<(ConversationRow, Threads), Problem> {
    shared.tenant(tenant)?;
    let row = shared.views.conversation(tenant, id).await?;
    let row = row.ok_or_else(|| no_such_conversation(tenant, id))?;
    let threads = Threads::of(shared, tenant, std::slice::from_ref(&row)).await?;
    Ok((row, threads))
}

fn no_such_conversation(tenant: &TenantId, id: ConversationId) -> Problem {
    Problem::not_found(
        format!("tenant {tenant} has no conversation {id}"),
        format!("`tidings conversation list {tenant}` shows its conversations"),
    )
}
