//! The routes, a file per noun. Each route is registered together with its entry in the OpenAPI document, so neither can
//! be there without the other.

mod affected;
mod apps;
mod assets;
mod attachments;
mod audit;
mod conversations;
mod events;
mod identities;
mod ledger;
mod names;
mod paging;
mod people;
mod quarantine;
mod reparse;
mod replay;
mod status;
mod tenants;
mod upkeep;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Shared;

/// Everything under `/v1`.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(apps::list, apps::add))
        .routes(routes!(apps::remove))
        .routes(routes!(apps::rotate))
        .routes(routes!(tenants::list, tenants::add))
        .routes(routes!(tenants::suspend))
        .routes(routes!(tenants::resume))
        .routes(routes!(tenants::terminate))
        .routes(routes!(tenants::feed))
        .routes(routes!(assets::list))
        .routes(routes!(assets::state))
        .routes(routes!(assets::connect, assets::disconnect))
        .routes(routes!(assets::token))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::show))
        .routes(routes!(conversations::state))
        .routes(routes!(conversations::messages))
        .routes(routes!(attachments::get))
        .routes(routes!(people::find))
        .routes(routes!(people::erase))
        .routes(routes!(people::erasures))
        .routes(routes!(people::erasure))
        .routes(routes!(people::export))
        .routes(routes!(people::correct))
        .routes(routes!(people::restrict))
        .routes(routes!(people::hold))
        .routes(routes!(identities::merge))
        .routes(routes!(identities::split))
        .routes(routes!(events::list))
        .routes(routes!(events::follow))
        .routes(routes!(reparse::reparse))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::show))
        .routes(routes!(quarantine::redrive))
        .routes(routes!(audit::of_platform))
        .routes(routes!(audit::of_tenant))
        .routes(routes!(audit::verify))
        .routes(routes!(affected::tenants))
        .routes(routes!(affected::people))
        .routes(routes!(ledger::verify))
        .routes(routes!(replay::replay))
        .routes(routes!(upkeep::plan))
        .routes(routes!(upkeep::sweep))
        .routes(routes!(upkeep::list, upkeep::create))
        .routes(routes!(upkeep::restore))
        .routes(routes!(upkeep::rotate))
        .routes(routes!(upkeep::rebuild))
        .routes(routes!(status::status))
}
