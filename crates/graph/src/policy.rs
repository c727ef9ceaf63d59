//! Where a fetch may go. Pure: no name is resolved here.
//!
//! The text is judged before any URL parser has tidied it: tabs, backslashes, userinfo, short and numeric addresses all
//! mean different things to different parsers. What passes is parsed, and must then still name the same place.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Meta's Graph API.
pub(crate) const META: &str = "https://graph.facebook.com";

/// Hosts that are asked by their exact name.
const HOSTS: &[&str] = &["graph.facebook.com"];

/// Domains that are asked by any name below them.
const DOMAINS: &[&str] = &["fbsbx.com", "fbcdn.net", "cdninstagram.com", "whatsapp.net"];

/// Hosts that an access token may be sent to.
const TOKEN_HOSTS: &[&str] = &["graph.facebook.com", "lookaside.fbsbx.com"];

/// The longest address. Meta's signed ones have about a thousand characters.
const MAX_URL: usize = 8 * 1024;

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not an absolute address in plain characters.
    #[error("the address is malformed")]
    Malformed,
    /// Another scheme than https.
    #[error("the address has a scheme that is not asked")]
    Scheme,
    /// A user name or password.
    #[error("the address has a user name in it")]
    UserInfo,
    /// An IP address in any notation.
    #[error("the address names a machine by number")]
    IpLiteral,
    /// Another port than that of https.
    #[error("the address has a port that is not asked")]
    Port,
    /// A host that is not Meta's.
    #[error("the address is of a host that is not asked")]
    Host,
}

impl UrlError {
    /// Its word for a state.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "bad_url",
            Self::Scheme => "scheme_not_allowed",
            Self::UserInfo => "userinfo",
            Self::IpLiteral => "ip_literal",
            Self::Port => "port_not_allowed",
            Self::Host => "host_not_allowed",
        }
    }
}

/// Where a fetch may go: Meta's hosts, or one place instead of them.
#[derive(Debug, Clone)]
pub struct Policy {
    only: Option<Place>,
}

/// An address that may be asked. Only a [`Policy`] makes one.
#[derive(Clone)]
pub struct Target {
    url: Url,
    place: Place,
}

/// Scheme, host and port: what two addresses have in common when they mean the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    secure: bool,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Policy {
    /// Meta's hosts, https, port 443.
    pub fn meta() -> Self {
        Self { only: None }
    }

    /// The place of this address and nothing else. It may be plain http and inside.
    pub fn only(base: &str) -> Result<Self, UrlError> {
        Ok(Self { only: Some(split(base)?.place) })
    }

    /// The address as something to fetch, when it may be asked.
    pub fn check(&self, address: &str) -> Result<Target, UrlError> {
        let target = split(address)?;
        match &self.only {
            Some(only) if target.place == *only => Ok(target),
            Some(_) => Err(UrlError::Host),
            None if !target.place.secure => Err(UrlError::Scheme),
            None if target.place.port != 443 => Err(UrlError::Port),
            None => match &target.place.host {
                Host::V4(_) | Host::V6(_) => Err(UrlError::IpLiteral),
                Host::Name(name) if is_metas(name) => Ok(target),
                Host::Name(_) => Err(UrlError::Host),
            },
        }
    }

    /// Where a redirect leads, when that may be asked too.
    pub fn follow(&self, from: &Target, location: &str) -> Result<Target, UrlError> {
        plain(location)?;
        let next = from.url.join(location).map_err(|_| UrlError::Malformed)?;
        self.check(next.as_str())
    }

    /// Whether an access token may be sent there.
    pub fn may_carry_token(&self, target: &Target) -> bool {
        // Of one place alone, every target is that place.
        self.only.is_some()
            || matches!(&target.place.host, Host::Name(name) if TOKEN_HOSTS.contains(&name.as_str()))
    }

    /// The host that may be inside, when there is one.
    pub(crate) fn inside(&self) -> Option<&str> {
        match &self.only.as_ref()?.host {
            Host::Name(name) => Some(name),
            Host::V4(_) | Host::V6(_) => None,
        }
    }

    /// Whether anything is asked over https.
    pub(crate) fn is_secure(&self) -> bool {
        self.only.as_ref().is_none_or(|only| only.secure)
    }
}

impl Target {
    /// The address.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether both are the same server.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest of an address is as good as the file.
        f.debug_struct("Target").field("place", &self.place).finish_non_exhaustive()
    }
}

fn is_metas(name: &str) -> bool {
    let below = |domain: &str| name.strip_suffix(domain).is_some_and(|labels| labels.ends_with('.'));
    HOSTS.contains(&name) || DOMAINS.iter().any(|domain| below(domain))
}

/// Printable ASCII without what parsers read differently. No fragment either: it is never sent, so nobody needs one.
fn plain(text: &str) -> Result<(), UrlError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
    if text.is_empty() || text.len() > MAX_URL || !text.bytes().all(is_plain) {
        return Err(UrlError::Malformed);
    }
    Ok(())
}

fn split(address: &str) -> Result<Target, UrlError> {
    plain(address)?;
    let (scheme, rest) = address.split_once(':').ok_or(UrlError::Malformed)?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(UrlError::Scheme),
    };
    let rest = rest.strip_prefix("//").ok_or(UrlError::Malformed)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let place = place(secure, authority)?;
    let url = Url::parse(address).map_err(|_| UrlError::Malformed)?;
    let agrees = url.host_str().is_some_and(|host| place.host.is_written(host))
        && url.port_or_known_default() == Some(place.port)
        && url.scheme() == if secure { "https" } else { "http" }
        && url.username().is_empty()
        && url.password().is_none();
    if agrees { Ok(Target { url, place }) } else { Err(UrlError::Malformed) }
}

fn place(secure: bool, authority: &str) -> Result<Place, UrlError> {
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    let (host, port) = if let Some(literal) = authority.strip_prefix('[') {
        let (literal, port) = literal.split_once(']').ok_or(UrlError::IpLiteral)?;
        (Host::V6(literal.parse().map_err(|_| UrlError::IpLiteral)?), port)
    } else {
        let name = authority.split(':').next().unwrap_or_default();
        (self::host(name)?, authority.get(name.len()..).unwrap_or_default())
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => {
            let is_number = !digits.starts_with(['0', '+']);
            digits.parse().ok().filter(|_| is_number).ok_or(UrlError::Port)?
        }
        None if !port.is_empty() => return Err(UrlError::Malformed),
        None if secure => 443,
        None => 80,
    };
    Ok(Place { secure, host, port })
}

fn host(name: &str) -> Result<Host, UrlError> {
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    // The URL standard takes a host for a number when its last label is one, however odd the rest.
    if is_hexadecimal.is_some() || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) {
        return name.parse().map(Host::V4).map_err(|_| UrlError::IpLiteral);
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(UrlError::Malformed);
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

impl Host {
    /// Whether this is how a URL writes it.
    fn is_written(&self, text: &str) -> bool {
        match self {
            Self::Name(name) => name == text,
            Self::V4(address) => text.parse() == Ok(*address),
            Self::V6(address) => {
                let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
                inner.is_some_and(|text| text.parse() == Ok(*address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: &Policy, address: &str, expected: Result<(), UrlError>) {
        assert_eq!(policy.check(address).map(drop), expected, "{address:?}");
    }

    #[test]
    fn metas_hosts() {
        for address in [
            "https://graph.facebook.com/v25.0/1",
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=a%2Fb",
            "https://scontent-fra3-1.xx.fbcdn.net/v/t39/1.jpg?_nc_cat=1&oh=00_A&oe=6F",
            "https://scontent.cdninstagram.com/v/1.mp4",
            "https://mmg.whatsapp.net/d/f/1.enc",
            "HTTPS://LOOKASIDE.FBSBX.COM/a",
            "https://lookaside.fbsbx.com:443/a",
            "https://lookaside.fbsbx.com",
            "https://lookaside.fbsbx.com?mid=1",
            "https://lookaside.fbsbx.com/a@b:c//d",
        ] {
            check(&Policy::meta(), address, Ok(()));
        }
    }

    #[test]
    fn one_place() {
        let here = Policy::only("http://127.0.0.1:9090/prefix").unwrap();
        check(&here, "http://127.0.0.1:9090/v25.0/1", Ok(()));
        for address in [
            "http://127.0.0.1:9091/",
            "http://127.0.0.1/",
            "https://127.0.0.1:9090/",
            "http://localhost:9090/",
            "https://graph.facebook.com/",
            "https://scontent.fbcdn.net/",
        ] {
            check(&here, address, Err(UrlError::Host));
        }
        check(&here, "http://user@127.0.0.1:9090/", Err(UrlError::UserInfo));
        check(&here, "http://2130706433:9090/", Err(UrlError::IpLiteral));
        check(&here, "http://127.1:9090/", Err(UrlError::IpLiteral));
        check(&Policy::only("http://[::1]:9090").unwrap(), "http://[::1]:9090/a", Ok(()));
        check(&Policy::only("http://graph.test").unwrap(), "http://graph.test:80/a", Ok(()));
        check(&Policy::only("https://graph.test").unwrap(), "http://graph.test/a", Err(UrlError::Host));
        assert_eq!(Policy::only("graph.test").unwrap_err(), UrlError::Malformed);
        assert_eq!(Policy::only("ftp://graph.test").unwrap_err(), UrlError::Scheme);
    }

    #[test]
    fn redirects() {
        #[track_caller]
        fn lead(location: &str, expected: Result<&str, UrlError>) {
            let meta = Policy::meta();
            let from = meta.check("https://lookaside.fbsbx.com/a/b?c=d").unwrap();
            let next = meta.follow(&from, location);
            assert_eq!(next.as_ref().map(|next| next.url.as_str()).map_err(|&error| error), expected);
        }
        lead("/e", Ok("https://lookaside.fbsbx.com/e"));
        lead("e?f", Ok("https://lookaside.fbsbx.com/a/e?f"));
        lead("?f", Ok("https://lookaside.fbsbx.com/a/b?f"));
        lead("//scontent.fbcdn.net/e", Ok("https://scontent.fbcdn.net/e"));
        lead("https://scontent.fbcdn.net/e", Ok("https://scontent.fbcdn.net/e"));
        lead("http://lookaside.fbsbx.com/e", Err(UrlError::Scheme));
        lead("http://169.254.169.254/latest/meta-data/", Err(UrlError::Scheme));
        lead("https://169.254.169.254/latest/meta-data/", Err(UrlError::IpLiteral));
        lead("//2852039166/", Err(UrlError::IpLiteral));
        lead("//evil.example/", Err(UrlError::Host));
        lead("\\\\evil.example/", Err(UrlError::Malformed));
        lead("/\\evil.example/", Err(UrlError::Malformed));
        lead("https://lookaside.fbsbx.com@evil.example/", Err(UrlError::UserInfo));
        lead("https://lookaside.fbsbx.com:8443/", Err(UrlError::Port));
        lead("file:///etc/passwd", Err(UrlError::Scheme));
        lead("javascript:alert(1)", Err(UrlError::Scheme));
        lead("", Err(UrlError::Malformed));
        lead("/e#f", Err(UrlError::Malformed));
    }

    #[test]
    fn tokens_go_to_two_hosts() {
        let meta = Policy::meta();
        for (address, expected) in [
            ("https://graph.facebook.com/v25.0/1", true),
            ("https://lookaside.fbsbx.com/a", true),
            ("https://cdn.fbsbx.com/a", false),
            ("https://scontent.fbcdn.net/a", false),
            ("https://scontent.cdninstagram.com/a", false),
            ("https://mmg.whatsapp.net/a", false),
        ] {
            assert_eq!(meta.may_carry_token(&meta.check(address).unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn debug_hides_the_address() {
        let target = Policy::meta().check("https://lookaside.fbsbx.com/whatsapp?mid=424242").unwrap();
        let shown = format!("{target:?}");
        assert!(shown.contains("lookaside.fbsbx.com") && !shown.contains("424242"), "{shown}");
    }
}
