//! Under which address people reach the edge: what a status page's address begins with.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use hyper::Uri;
use hyper::header::{HOST, HeaderMap};

/// The longest host and port that is taken from a request.
const LONGEST_HOST: usize = 255;

/// The address, as it was set or as requests tell it.
pub(crate) struct PublicUrl {
    set: Option<String>,
    /// Whether the edge serves TLS itself.
    tls: bool,
}

impl PublicUrl {
    /// From the settings. Refuses what is no address.
    pub(crate) fn new(set: Option<&str>, tls: bool) -> anyhow::Result<Self> {
        let set = set.map(|url| {
            checked(url)
                .with_context(|| format!("the public address {url:?} is not like https://inbox.example.org"))
        });
        Ok(Self { set: set.transpose()?, tls })
    }

    /// For whoever sent this request, without a slash at its end. `None` when nothing is set and the request names no host.
    ///
    /// Meta calls by HTTPS only, so whoever comes without it has been through something that ended it, or is on this machine.
    pub(crate) fn base(&self, headers: &HeaderMap) -> Option<String> {
        if let Some(set) = &self.set {
            return Some(set.clone());
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next()?.to_str().ok()?;
        if hosts.next().is_some() {
            return None;
        }
        let name = host_of(host)?;
        let local = name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        let scheme = if local && !self.tls { "http" } else { "https" };
        Some(format!("{scheme}://{host}"))
    }
}

fn checked(url: &str) -> anyhow::Result<String> {
    let parsed: Uri = url.parse()?;
    ensure!(matches!(parsed.scheme_str(), Some("https" | "http")), "it begins with https://");
    let host = parsed.authority().map_or("", |authority| authority.as_str());
    ensure!(host_of(host).is_some(), "it names a host, and maybe a port");
    let plain = parsed.query().is_none() && !url.contains(['#', '"', '<', '>', '\'', '&', '\\']);
    ensure!(plain, "it has a host and maybe a path, and nothing more");
    Ok(url.trim_end_matches('/').to_owned())
}

/// The name or address in `host` or `host:port`, if it is one.
fn host_of(text: &str) -> Option<&str> {
    let (name, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = rest.is_empty()
        || rest.strip_prefix(':').is_some_and(|port| {
            port.starts_with(|c: char| c.is_ascii_digit()) && port.parse::<u16>().is_ok()
        });
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    };
    (text.len() <= LONGEST_HOST && is_port && (text.starts_with('[') || is_name(name))).then_some(name)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(hosts: &[&str], tls: bool, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        assert_eq!(PublicUrl::new(None, tls).unwrap().base(&headers).as_deref(), expected, "{hosts:?}");
    }

    #[test]
    fn a_request_tells_where_it_came_to() {
        check(&["inbox.example.org"], false, Some("https://inbox.example.org"));
        check(&["inbox.example.org:8443"], true, Some("https://inbox.example.org:8443"));
        check(&["localhost:8080"], false, Some("http://localhost:8080"));
        check(&["127.0.0.1:8080"], false, Some("http://127.0.0.1:8080"));
        check(&["127.0.0.1:8080"], true, Some("https://127.0.0.1:8080"));
        check(&["[::1]:8080"], false, Some("http://[::1]:8080"));
        check(&["[2001:db8::1]"], false, Some("https://[2001:db8::1]"));
        let long = "a".repeat(256);
        for wrong in [
            "", " ", "a b", "a/b", "a@b", "a:b", "a:99999", "a:", "a:+80", "[::1", "[a]", "[::1]x", "<b>",
            "é", "a\"b", "-a", ".", "a?b", "http://a", &long,
        ] {
            check(&[wrong], false, None);
        }
        check(&["a", "a"], false, None);
        check(&[], false, None);
    }

    #[test]
    fn what_is_set_goes_first() {
        let base =
            |url: &str| PublicUrl::new(Some(url), false).map(|set| set.base(&HeaderMap::new()).unwrap());
        assert_eq!(base("https://inbox.example.org/").unwrap(), "https://inbox.example.org");
        assert_eq!(base("https://example.org:8443/hooks").unwrap(), "https://example.org:8443/hooks");
        assert_eq!(base("http://localhost:8080").unwrap(), "http://localhost:8080");
        for wrong in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://a@b",
            "https://a?x=1",
            "https://a#x",
            "/a",
            "https://a/\"",
            "https://a/&",
            "https://a b",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
