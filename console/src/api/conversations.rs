//! Conversations and their messages.

use axum::Json;
use axum::extract::State;
use schemas::{ConversationId, TenantId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{Asked, Named};
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::wire::{self, Conversation, ConversationPage, List, Message};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// At most this many, 1 to 1000; 100 unless given.
    limit: Option<u32>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Lists a tenant's conversations, the latest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/conversations", tag = "conversations", operation_id = "conversation_list",
    params(("tenant" = String, Path, description = "The tenant's id"), Page),
    responses((status = 200, body = ConversationPage), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Asked(page): Asked<Page>,
) -> Result<Json<ConversationPage>, Problem> {
    shared.tenant(&tenant)?;
    let limit = page.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(
            format!("a page is 1 to {MAX_PAGE}"),
            "give a `limit` in that range",
        ));
    }
    let before = page.before.as_deref().map(shown::parse_cursor).transpose()?;
    let rows = shared.views.conversations(&tenant, limit, before).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
    let next = rows.last().filter(|_| full).map(shown::cursor);
    Ok(Json(ConversationPage { items: rows.into_iter().map(shown::conversation).collect(), next }))
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
    Ok(Json(shown::conversation(row)))
}

/// Lists a conversation's messages, in order.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/conversations/{id}/messages", tag = "conversations",
    operation_id = "conversation_messages",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("id" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = List<Message>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn messages(
    State(shared): State<Shared>,
    Named((tenant, id)): Named<(TenantId, ConversationId)>,
) -> Result<Json<List<Message>>, Problem> {
    shared.tenant(&tenant)?;
    let rows = shared.views.messages(&tenant, id).await?;
    if rows.is_empty() && shared.views.conversation(&tenant, id).await?.is_none() {
        return Err(no_such_conversation(&tenant, id));
    }
    Ok(Json(List { items: rows.into_iter().map(shown::message).collect() }))
}

fn no_such_conversation(tenant: &TenantId, id: ConversationId) -> Problem {
    Problem::not_found(
        format!("tenant {tenant} has no conversation {id}"),
        format!("`tidings conversation list {tenant}` shows its conversations"),
    )
}
