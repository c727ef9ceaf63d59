//! The proxies in front: whose headers are believed, and for what.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use hyper::header::{HeaderMap, HeaderName};

use crate::address::forwarded;
use crate::crowd::{Crowd, Place};
use crate::outcome::Outcome;
use crate::{Network, ProxyConfig};

/// A [`ProxyConfig`], ready for use.
pub(crate) struct Proxy {
    trusted: Vec<Network>,
    address_header: HeaderName,
    crowd: Option<Arc<Crowd>>,
    common_name: Option<(HeaderName, String)>,
}

impl Proxy {
    pub(crate) fn new(config: &ProxyConfig) -> anyhow::Result<Self> {
        let name = |text: &str| {
            text.parse::<HeaderName>().with_context(|| format!("{text:?} is not a header's name"))
        };
        let vouching =
            |(header, common_name): &(String, String)| anyhow::Ok((name(header)?, common_name.clone()));
        Ok(Self {
            trusted: config.trusted.clone(),
            address_header: name(&config.address_header)?,
            crowd: Crowd::new(config.requests_per_address),
            common_name: config.common_name.as_ref().map(vouching).transpose()?,
        })
    }

    /// Whether this peer is one of our proxies.
    pub(crate) fn is_trusted(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Whether the client's certificate is the right one, as a trusted proxy tells; yes when none is asked for.
    pub(crate) fn vouches(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let Some((header, common_name)) = &self.common_name else { return true };
        let mut values = headers.get_all(header).iter();
        let named = values.next().is_some_and(|value| value.as_bytes() == common_name.as_bytes());
        self.is_trusted(peer) && named && values.next().is_none()
    }

    /// A place for one more request of the forwarded address. Whom no proxy names is counted as who connected.
    pub(crate) fn place(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Option<Place>, Outcome> {
        let Some(crowd) = &self.crowd else { return Ok(None) };
        let client =
            self.is_trusted(peer).then(|| forwarded(headers, &self.address_header, &self.trusted)).flatten();
        crowd.enter(client.unwrap_or(peer)).map(Some).ok_or(Outcome::Overloaded)
    }
}
