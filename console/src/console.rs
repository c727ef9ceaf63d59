//! The console as a service.

use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use control::ControlPlane;
use eventlog::EventLog;
use keeper::Keeper;
use prometheus::Registry;
use schemas::Topics;
use service::{Clock, Gate, Readiness, monitor_router};
use store::ViewsDb;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::metrics::{self, Metrics};
use crate::problem::Problem;
use crate::state::{Parts, Shared};
use crate::token::{self, TokenCheck};
use crate::{Config, access, api};

const GATE: &str = "console-views";
const RETRY: std::time::Duration = std::time::Duration::from_millis(500);

/// The admin API. [`Console::serve`] runs it.
pub struct Console {
    shared: Shared,
    registry: Registry,
    gate: Gate,
}

impl Console {
    /// Puts the console together. It is not ready until [`Console::serve`] has reached the views.
    ///
    /// # Errors
    /// When the token is empty, or the registry holds a console already.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts a service is made of, each used once, by its name"
    )]
    pub fn new(
        config: Config,
        log: EventLog,
        plane: ControlPlane,
        views: ViewsDb,
        keeper: Keeper,
        topics: &Topics,
        registry: &Registry,
        readiness: &Readiness,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let token = TokenCheck::new(&config.token)?;
        let parts = Parts {
            token,
            config,
            log,
            plane,
            views,
            keyring: keeper.keyring().clone(),
            edge: keeper.root().edge(),
            keeper,
            topics: topics.clone(),
            readiness: readiness.clone(),
            metrics: Metrics::new(registry)?,
            clock,
            stop: CancellationToken::new(),
        };
        Ok(Self { shared: Shared(Arc::new(parts)), registry: registry.clone(), gate: readiness.gate(GATE) })
    }

    /// Serves until stopped; then ends the streams, answers the requests in progress and returns.
    ///
    /// # Errors
    /// When the listener breaks, or the views have a schema that this version does not know.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
        let streams = self.shared.stop.clone();
        let (views, gate) = (self.shared.clone(), self.gate.clone());
        let served = axum::serve(listener, self.router()).with_graceful_shutdown({
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                streams.cancel();
            }
        });
        let ready = async {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                checked = reach(&views) => checked.map(|()| gate.open()),
            }
        };
        let (served, ready) = tokio::join!(served, async {
            let ready = ready.await;
            if ready.is_err() {
                stop.cancel();
            }
            ready
        });
        ready?;
        served.context("serving the admin API")
    }

    /// Every route: the API behind the token; its description and the monitoring routes in the open.
    fn router(self) -> Router {
        let (described, document) = described();
        let protected = described
            .route_layer(middleware::from_fn_with_state(self.shared.clone(), once_ready))
            .route_layer(middleware::from_fn_with_state(self.shared.clone(), token::require))
            .layer(middleware::from_fn(access::tell))
            .layer(middleware::from_fn_with_state(self.shared.clone(), metrics::count));
        Router::new()
            .merge(protected)
            .route("/openapi.json", get(move || async move { Json(document) }))
            .fallback(nowhere)
            .method_not_allowed_fallback(no_such_method)
            .with_state(self.shared.clone())
            .merge(monitor_router(self.registry, self.shared.readiness.clone()))
    }
}

/// Waits until the views can be used. Only a schema of another version is an end.
async fn reach(shared: &Shared) -> anyhow::Result<()> {
    loop {
        match shared.views.check_schema().await {
            // Whoever was forgotten is forgotten here too, before anybody reads.
            Ok(()) => match keeper::barrier(&shared.keeper).await {
                Ok(_) => return Ok(()),
                Err(cause) if cause.is_passing() => {
                    let error = format!("{:#}", anyhow::Error::from(cause));
                    warn!(error, "the console waits until everybody who was forgotten is forgotten here too");
                    tokio::time::sleep(RETRY).await;
                }
                Err(cause) => return Err(cause).context("replaying the ledger of erasures"),
            },
            Err(cause) if cause.disposition() == store::Disposition::Retry => {
                warn!(error = %cause, "the views do not answer; the console waits for them");
                tokio::time::sleep(RETRY).await;
            }
            Err(cause) => return Err(cause).context("the console and the views do not fit"),
        }
    }
}

/// The OpenAPI document of the admin API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidings admin API",
        description = "Apps, tenants, assets, conversations, feeds, quarantine, audit and the loss equation of one deployment. \
                       Everything under /v1 needs the admin token. Fields are added, never renamed or removed.",
    ),
    tags(
        (name = "apps", description = "The Meta apps that may deliver"),
        (name = "tenants", description = "The client organisations"),
        (name = "assets", description = "Pages, accounts and numbers, and whose they are"),
        (name = "conversations", description = "Who wrote with a tenant, and what"),
        (name = "people", description = "Finding, exporting, correcting, restricting, holding and forgetting people"),
        (name = "events", description = "A tenant's feed, as CloudEvents"),
        (name = "quarantine", description = "Deliveries that could not be used"),
        (name = "audit", description = "Who did what, and whether the record of it is whole"),
        (name = "upkeep", description = "What is kept for how long, backups, and replacing keys"),
        (name = "pipeline", description = "Whether everything is there, and how far"),
    ),
    security(("token" = []))
)]
struct Document;

fn described() -> (Router<Shared>, utoipa::openapi::OpenApi) {
    let mut document = Document::openapi();
    let scheme =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The admin token")).build();
    document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    OpenApiRouter::with_openapi(document).merge(api::routes()).split_for_parts()
}

/// Until everybody who was forgotten is forgotten here too, nothing is shown and nothing is done.
async fn once_ready(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if shared.readiness.closed().contains(&GATE) && request.uri().path() != "/v1/status" {
        return Problem::busy(
            "the console is not ready: it waits for its databases, and makes sure that the forgotten are forgotten in them",
            "ask again in a moment; `tidings status` and its log tell what it waits for",
        )
        .into_response();
    }
    next.run(request).await
}

async fn nowhere() -> Problem {
    Problem::not_found("there is nothing here", "/openapi.json describes what there is")
}

async fn no_such_method() -> Problem {
    Problem::bad_request("this cannot be done here", "/openapi.json describes what can")
        .with_status(axum::http::StatusCode::METHOD_NOT_ALLOWED)
}
