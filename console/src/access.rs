//! A line in the log whenever what people wrote was opened: which tenant's, through which route, and how it ended. Who
//! asked is the holder of the admin token; what was opened, and of whom, is not told.
//!
//! Acts are not here: they are in the audit.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use schemas::TenantId;
use tracing::info;

/// What below a tenant opens something of people's.
const OPENING: [&str; 4] = ["conversations", "events", "attachments", "people"];

/// Tells of the request, if it opens something.
pub(crate) async fn tell(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let tenant =
        route.as_deref().and_then(|route| opened(request.method().as_str(), route, request.uri().path()));
    let response = next.run(request).await;
    if let (Some(tenant), Some(route)) = (tenant, route) {
        info!(target: "console::access", %tenant, route, status = response.status().as_u16(), "opened");
    }
    response
}

/// Whose content this request opens.
fn opened(method: &str, route: &str, path: &str) -> Option<TenantId> {
    let what = route.strip_prefix("/v1/tenants/{tenant}/")?.split('/').next()?;
    if method != "GET" || !OPENING.contains(&what) {
        return None;
    }
    // What was given for a tenant may be anything: only what can be one is told.
    path.strip_prefix("/v1/tenants/")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_something_is_told_with_its_tenant() {
        let of =
            |method, route: &str, path: &str| opened(method, route, path).map(|tenant| tenant.to_string());
        let messages = "/v1/tenants/{tenant}/conversations/{conversation}/messages";
        let path = "/v1/tenants/acme/conversations/00/messages";
        assert_eq!(of("GET", messages, path).as_deref(), Some("acme"));
        assert_eq!(
            of("GET", "/v1/tenants/{tenant}/people", "/v1/tenants/acme/people").as_deref(),
            Some("acme")
        );
        assert_eq!(of("GET", messages, "/v1/tenants/A%20PERSON/conversations/00/messages"), None);
        assert_eq!(
            of("POST", "/v1/tenants/{tenant}/people/{subject}/erase", "/v1/tenants/acme/people/0/erase"),
            None
        );
        assert_eq!(of("GET", "/v1/tenants/{tenant}/audit", "/v1/tenants/acme/audit"), None);
        assert_eq!(of("GET", "/v1/status", "/v1/status"), None);
    }
}
