//! Names to addresses, once a connection.
//!
//! The connector asks the guard, the guard asks the resolver once, and the connector gets exactly what the guard has seen:
//! there is no second look that could answer differently.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name};

use crate::is_global_unicast;

/// Addresses on their way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Turns a host's name into its addresses.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of this host. Port 0 stands for the one in the URL.
    fn resolve(&self, host: &str) -> Resolving;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}

/// A host has an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("the host has an address that is not public")]
pub(crate) struct NotPublic;

/// Lets connections through to public addresses only, and to one host wherever it is.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) inside: Option<String>,
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: Name) -> reqwest::dns::Resolving {
        let asked = self.resolver.resolve(name.as_str());
        let may_be_inside = self.inside.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let addresses = asked.await?;
            // Every one: a mixed answer is an attempt to be asked for twice.
            if !may_be_inside && !addresses.iter().all(|address| is_global_unicast(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
