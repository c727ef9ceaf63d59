//! Which of our paths a request is for.

use hyper::Method;
use schemas::CallbackKind;

/// A path of ours. Exactly these: nothing is decoded, folded or trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `/webhooks/{app}`: deliveries and handshakes.
    Webhook(&'a str),
    /// `/callbacks/meta/{app}/data-deletion` and `…/deauthorize`.
    Callback(&'a str, CallbackKind),
    /// `/callbacks/meta/status/{code}`: how far a callback is.
    Status(&'a str),
    /// No path of ours.
    Unknown,
}

impl<'a> Route<'a> {
    /// Of a request. An app may be named `status`: callbacks are POSTed, and codes are asked for.
    pub(crate) fn of(method: &Method, path: &'a str) -> Self {
        if let Some(app) = path.strip_prefix("/webhooks/") {
            return if app.is_empty() || app.contains('/') { Self::Unknown } else { Self::Webhook(app) };
        }
        let Some((first, second)) =
            path.strip_prefix("/callbacks/meta/").and_then(|rest| rest.split_once('/'))
        else {
            return Self::Unknown;
        };
        let status = first == "status" && !second.is_empty() && !second.contains('/');
        match second {
            _ if status && method == Method::GET => Self::Status(second),
            "data-deletion" if !first.is_empty() => Self::Callback(first, CallbackKind::DataDeletion),
            "deauthorize" if !first.is_empty() => Self::Callback(first, CallbackKind::Deauthorize),
            _ if status => Self::Status(second),
            _ => Self::Unknown,
        }
    }

    /// The methods it takes, as an `Allow` header has them.
    pub(crate) const fn allowed(self) -> &'static str {
        match self {
            Self::Webhook(_) => "GET, POST",
            Self::Callback(..) => "POST",
            Self::Status(_) => "GET",
            Self::Unknown => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_these_paths() {
        use CallbackKind::{DataDeletion, Deauthorize};
        let get = |path| Route::of(&Method::GET, path);
        let post = |path| Route::of(&Method::POST, path);
        assert_eq!(post("/webhooks/acme"), Route::Webhook("acme"));
        assert_eq!(post("/callbacks/meta/acme/data-deletion"), Route::Callback("acme", DataDeletion));
        assert_eq!(get("/callbacks/meta/acme/deauthorize"), Route::Callback("acme", Deauthorize));
        assert_eq!(get("/callbacks/meta/status/abc"), Route::Status("abc"));
        assert_eq!(post("/callbacks/meta/status/abc"), Route::Status("abc"));
        assert_eq!(get("/callbacks/meta/status/deauthorize"), Route::Status("deauthorize"));
        assert_eq!(post("/callbacks/meta/status/deauthorize"), Route::Callback("status", Deauthorize));
        for unknown in [
            "/",
            "/webhooks/",
            "/webhooks/acme/",
            "//webhooks/acme",
            "/callbacks/meta/acme",
            "/callbacks/meta/acme/",
            "/callbacks/meta//data-deletion",
            "/callbacks/meta/acme/data-deletion/",
            "/callbacks/meta/acme/data%2Ddeletion",
            "/callbacks/meta/acme/x/deauthorize",
            "/callbacks/meta/status/",
            "/callbacks/meta/status/a/b",
            "/Callbacks/meta/status/a",
        ] {
            assert_eq!((get(unknown), post(unknown)), (Route::Unknown, Route::Unknown), "{unknown}");
        }
    }
}
