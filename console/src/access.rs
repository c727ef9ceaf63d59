//! A line in the log whenever what people wrote was opened: which tenant's, through which route, and how it ended. Who
//! asked is the holder of the admin token; what was opened, and of whom, is not told.
//!
//! Acts are not here: they are in the audit.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request};
use axum::middleware::Next;
use axum::response::Response;
use schemas::TenantId;
use tracing::info;

/// What below a tenant opens something of people's.
const OPENING: [&str; 4] = ["conversations", "events", "attachments", "people"];

/// Tells of the request, if it opens something.
pub(crate) async fn tell(
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.filter(|route| opens(request.method().as_str(), route));
    let response = next.run(request).await;
    if let Some(route) = route {
        let tenant = params.iter().flatten().find(|(name, _)| *name == "tenant");
        let tenant = tenant.map_or("?", |(_, value)| told(value));
        info!(target: "console::access", tenant, route, status = response.status().as_u16(), "opened");
    }
    response
}

/// Whether this request opens something.
fn opens(method: &str, route: &str) -> bool {
    let what = route.strip_prefix("/v1/tenants/{tenant}/").and_then(|rest| rest.split('/').next());
    matches!(method, "GET" | "HEAD") && what.is_some_and(|what| OPENING.contains(&what))
}

/// What was given for a tenant may be anything: only what can be one is told.
fn told(tenant: &str) -> &str {
    if tenant.parse::<TenantId>().is_ok() { tenant } else { "?" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_something_is_told_with_its_tenant() {
        assert!(opens("GET", "/v1/tenants/{tenant}/conversations/{conversation}/messages"));
        assert!(opens("HEAD", "/v1/tenants/{tenant}/people"));
        assert!(!opens("POST", "/v1/tenants/{tenant}/people/{subject}/erase"));
        assert!(!opens("GET", "/v1/tenants/{tenant}/audit"));
        assert!(!opens("GET", "/v1/status"));
        assert_eq!((told("acme"), told("A PERSON"), told("")), ("acme", "?", "?"));
    }
}
