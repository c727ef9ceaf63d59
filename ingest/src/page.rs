//! The one page that people see: plain, and complete in itself.

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.1rem;font-weight:normal;color:#555}h2{font-size:1.8rem;margin:0}dt{color:#555}dd{margin:0 0 1rem;overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}h1,dt{color:#aaa}}";
/// The `Content-Security-Policy` of a page: nothing but its style, whose SHA-256 stands here.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'sha256-7dEbPUQYffbYz12QuYkBgwWYwEthtCbE3JNwn9Ofo0Q='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page. What it is made of is ours: nothing of a request is shown.
pub(crate) fn page(title: &str, message: &str, details: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>Your request to delete your data</h1><h2>{title}</h2><p>{message}</p>{details}</main></body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use ring::digest;

    use super::*;

    #[test]
    fn the_policy_names_the_style() {
        let hash = digest::digest(&digest::SHA256, STYLE.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
        assert!(page("a", "b", "c").contains(&format!("<style>{STYLE}</style>")));
    }
}
