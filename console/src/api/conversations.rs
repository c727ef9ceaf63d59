//! Conversations and their messages.

use axum::Json;
use axum::extract::State;
use schemas::{ConversationId, TenantId};
use store::{ConversationCursor, MessageCursor};

use crate::api::paging::{Paging, place, read_place};
use crate::extract::{Asked, Named};
use crate::open::Opener;
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
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
    let opener =
        Opener::of(&shared.keyring, &tenant, rows.iter().flat_map(shown::sealed_in_conversation)).await?;
    let state = shared.plane.state();
    let show = |row| shown::conversation(row, &tenant, &state.people, &opener);
    Ok(Json(paging.page(rows, |row| place(row.last_at_ms, row.id), show)?))
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
    shared.tenant(&tenant)?;
    let row =
        shared.views.conversation(&tenant, id).await?.ok_or_else(|| no_such_conversation(&tenant, id))?;
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
    shared.tenant(&tenant)?;
    let after = paging.after(read_place)?.map(|(at_ms, event)| MessageCursor { at_ms, event });
    let rows = shared.views.messages(&tenant, id, paging.limit()?, after).await?;
    if rows.is_empty() && shared.views.conversation(&tenant, id).await?.is_none() {
        return Err(no_such_conversation(&tenant, id));
    }
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
    shared.tenant(&tenant)?;
    let rows = shared.views.standing_in(&tenant, id).await?;
    if rows.is_empty() && shared.views.conversation(&tenant, id).await?.is_none() {
        return Err(no_such_conversation(&tenant, id));
    }
    let opener = Opener::of(&shared.keyring, &tenant, rows.iter().map(|row| &row.content.subject)).await?;
    Ok(Json(List { items: rows.iter().filter_map(|row| shown::standing(row, &opener)).collect() }))
}

fn no_such_conversation(tenant: &TenantId, id: ConversationId) -> Problem {
    Problem::not_found(
        format!("tenant {tenant} has no conversation {id}"),
        format!("`tidings conversation list {tenant}` shows its conversations"),
    )
}
