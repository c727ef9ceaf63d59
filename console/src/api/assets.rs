//! Assets: which pages, accounts and numbers are whose.

use axum::Json;
use axum::extract::State;
use schemas::{Action, Asset, AssetKind, TenantId};
use secrecy::ExposeSecret;
use serde::Deserialize;
use store::Side;
use utoipa::IntoParams;

use crate::api::tenants::refuse_ended;
use crate::extract::{Asked, Given, Named};
use crate::open::Opener;
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::wire::{self, AssetAnswer, List, Removed, SetToken, Standing};

/// Meta documents no longest one; anything longer is a mistake, such as the wrong file.
const MAX_TOKEN_BYTES: usize = 4096;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Of {
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    tenant: Option<TenantId>,
}

/// Lists the connected assets.
#[utoipa::path(get, path = "/v1/assets", tag = "assets", operation_id = "asset_list", params(Of),
    responses((status = 200, body = List<AssetAnswer>), (status = 400, body = wire::Problem),
        (status = 401, body = wire::Problem), (status = 404, body = wire::Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asked(of): Asked<Of>,
) -> Result<Json<List<AssetAnswer>>, Problem> {
    if let Some(tenant) = &of.tenant {
        shared.tenant(tenant)?;
    }
    let state = shared.plane.state();
    let mut assets: Vec<(&TenantId, &Asset)> = state
        .routes
        .iter()
        .map(|(asset, route)| (&route.tenant, asset))
        .filter(|(tenant, _)| of.tenant.as_ref().is_none_or(|wanted| wanted == *tenant))
        .collect();
    assets.sort();
    Ok(Json(List { items: assets.into_iter().map(|(tenant, asset)| answer(tenant, asset)).collect() }))
}

/// Tells what Meta said last of an asset: its quality, limits and name, its templates and forms, restrictions and alerts.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/assets/{channel}/{id}/state", tag = "assets", operation_id = "asset_state",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("channel" = String, Path, description = "`messenger`, `instagram`, `whatsapp` or `waba`"),
        ("id" = String, Path, description = "Page id, account id, phone_number_id or WhatsApp business account id")),
    responses((status = 200, body = List<Standing>), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn state(
    State(shared): State<Shared>,
    Named((tenant, channel, id)): Named<(TenantId, String, String)>,
) -> Result<Json<List<Standing>>, Problem> {
    let asset = parse(&channel, &id)?;
    shared.tenant(&tenant)?;
    let rows = shared.views.standing(&tenant, Side::Asset, asset.to_string().as_bytes()).await?;
    let opener = Opener::of(&shared.keyring, &tenant, rows.iter().map(|row| &row.content.subject)).await?;
    Ok(Json(List { items: rows.iter().filter_map(|row| shown::standing(row, &opener)).collect() }))
}

/// Connects an asset to a tenant. What was parked for it is routed now.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/assets/{channel}/{id}", tag = "assets", operation_id = "asset_connect",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("channel" = String, Path, description = "`messenger`, `instagram`, `whatsapp` or `waba`"),
        ("id" = String, Path, description = "Page id, account id, phone_number_id or WhatsApp business account id")),
    responses((status = 200, body = AssetAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn connect(
    State(shared): State<Shared>,
    Named((tenant, channel, id)): Named<(TenantId, String, String)>,
) -> Result<Json<AssetAnswer>, Problem> {
    let asset = parse(&channel, &id)?;
    let state = shared.plane.caught_up().await?;
    refuse_ended(&tenant, shared.tenant(&tenant)?.state)?;
    if let Some(route) = state.routes.get(&asset) {
        return if route.tenant == tenant {
            Ok(Json(answer(&tenant, &asset)))
        } else {
            Err(taken(&asset, &route.tenant))
        };
    }
    let state = shared.act(Action::AssetConnected { tenant: tenant.clone(), asset: asset.clone() }).await?;
    // Of two connects that raced, the first one in the log holds.
    match state.routes.get(&asset) {
        Some(route) if route.tenant == tenant => Ok(Json(answer(&tenant, &asset))),
        Some(route) => Err(taken(&asset, &route.tenant)),
        None => Err(Problem::conflict(
            format!("{asset} was disconnected at the same moment"),
            "agree on who connects it, then try again",
        )),
    }
}

/// Disconnects an asset from its tenant. What arrives for it from here on is parked.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/assets/{channel}/{id}", tag = "assets", operation_id = "asset_disconnect",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("channel" = String, Path, description = "`messenger`, `instagram`, `whatsapp` or `waba`"),
        ("id" = String, Path, description = "Page id, account id, phone_number_id or WhatsApp business account id")),
    responses((status = 200, body = Removed), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn disconnect(
    State(shared): State<Shared>,
    Named((tenant, channel, id)): Named<(TenantId, String, String)>,
) -> Result<Json<Removed>, Problem> {
    let asset = parse(&channel, &id)?;
    let state = shared.plane.caught_up().await?;
    shared.tenant(&tenant)?;
    if state.routes.get(&asset).is_none_or(|route| route.tenant != tenant) {
        return Err(Problem::not_found(
            format!("{asset} is not connected to tenant {tenant}"),
            "`tidings asset list` shows what is connected",
        ));
    }
    shared.act(Action::AssetDisconnected { tenant: tenant.clone(), asset: asset.clone() }).await?;
    // What is no longer fetched needs no token.
    shared.keyring.db().remove_token(&tenant, &asset).await?;
    Ok(Json(Removed { removed: format!("asset {asset}") }))
}

/// Sets the access token that an asset's media is fetched with. It is sealed before it is kept, and never shown again.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/assets/{channel}/{id}/token", tag = "assets", operation_id = "asset_token",
    request_body = SetToken,
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("channel" = String, Path, description = "`messenger`, `instagram`, `whatsapp` or `waba`"),
        ("id" = String, Path, description = "Page id, account id, phone_number_id or WhatsApp business account id")),
    responses((status = 200, body = AssetAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 500, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn token(
    State(shared): State<Shared>,
    Named((tenant, channel, id)): Named<(TenantId, String, String)>,
    Given(given): Given<SetToken>,
) -> Result<Json<AssetAnswer>, Problem> {
    let asset = parse(&channel, &id)?;
    let state = shared.plane.caught_up().await?;
    refuse_ended(&tenant, shared.tenant(&tenant)?.state)?;
    if let Some(route) = state.routes.get(&asset).filter(|route| route.tenant != tenant) {
        return Err(taken(&asset, &route.tenant));
    }
    let length = given.access_token.expose_secret().len();
    if !(1..=MAX_TOKEN_BYTES).contains(&length)
        || given.access_token.expose_secret().chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(Problem::bad_request(
            format!("an access token is 1 to {MAX_TOKEN_BYTES} characters without spaces"),
            "give the file that holds the token alone: --access-token-file FILE",
        ));
    }
    shared.keyring.set_token(&tenant, &asset, &given.access_token, shared.clock.now_ms()).await?;
    shared.act(Action::AssetTokenSet { tenant: tenant.clone(), asset: asset.clone() }).await?;
    Ok(Json(answer(&tenant, &asset)))
}

fn parse(channel: &str, id: &str) -> Result<Asset, Problem> {
    let asset = channel.parse().and_then(|kind: AssetKind| Asset::new(kind, id));
    asset.map_err(|why| {
        Problem::bad_request(
            why.to_string(),
            "messenger takes a page id, instagram an account id, whatsapp a phone_number_id, waba a business account id",
        )
    })
}

fn taken(asset: &Asset, owner: &TenantId) -> Problem {
    Problem::conflict(
        format!("{asset} is connected to tenant {owner}"),
        format!(
            "disconnect it there first: `tidings asset disconnect {owner} {} {}`",
            asset.kind(),
            asset.id()
        ),
    )
}

fn answer(tenant: &TenantId, asset: &Asset) -> AssetAnswer {
    AssetAnswer {
        tenant: tenant.clone(),
        channel: asset.kind().as_str().to_owned(),
        id: asset.id().to_owned(),
        asset: asset.to_string(),
    }
}
