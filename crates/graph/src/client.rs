//! The client: asks the Graph API where a file is, and opens it.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::download::Claims;
use crate::policy::{META, Policy, Target};
use crate::request::{digest, is_id};
use crate::resolve::Guard;
use crate::{
    Download, GraphConfig, GraphError, MediaError, MediaRequest, MediaSource, Resolve, SystemResolver, answer,
};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// Connections that wait for the next fetch, for each host.
const IDLE_CONNECTIONS: usize = 8;

/// A client of the Graph API and Meta's media hosts. Clones share its connections.
#[derive(Clone)]
pub struct Graph {
    http: Client,
    inner: Arc<Inner>,
}

struct Inner {
    policy: Policy,
    base: Target,
    config: GraphConfig,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Graph {
    /// A client that asks the system for addresses. Nothing is sent yet.
    pub fn new(config: GraphConfig) -> Result<Self, GraphError> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// A client that asks this resolver for addresses.
    pub fn with_resolver(config: GraphConfig, resolver: Arc<dyn Resolve>) -> Result<Self, GraphError> {
        let policy = match &config.base {
            Some(base) => Policy::only(base).map_err(GraphError::Base)?,
            None => Policy::meta(),
        };
        let inside = policy.inside().map(str::to_owned);
        let http = http(&config, Guard { resolver, inside });
        // Nothing to verify: spare the reading of the system's certificates.
        let http = if policy.is_secure() { http } else { http.tls_certs_only([]) };
        Self::assemble(config, policy, http)
    }

    fn assemble(
        config: GraphConfig,
        policy: Policy,
        http: reqwest::ClientBuilder,
    ) -> Result<Self, GraphError> {
        let numbers = config.version.strip_prefix('v').and_then(|version| version.split_once('.'));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !numbers.is_some_and(|(major, minor)| is_number(major) && is_number(minor)) {
            return Err(GraphError::Version);
        }
        let base = policy.check(config.base.as_deref().unwrap_or(META)).map_err(GraphError::Base)?;
        if base.url().query().is_some() {
            return Err(GraphError::Base(crate::UrlError::Malformed));
        }
        let http = http.build().map_err(GraphError::Client)?;
        Ok(Self { http, inner: Arc::new(Inner { policy, base, config }) })
    }

    /// Opens a file: everything up to its first byte is asked and checked. WhatsApp's need the asset's token; to a plain
    /// address none is sent.
    pub async fn open(
        &self,
        request: &MediaRequest,
        token: Option<&SecretString>,
    ) -> Result<Download, MediaError> {
        let deadline = Instant::now() + self.inner.config.total_timeout;
        let claims = Claims {
            media_type: request.declared_mime.clone(),
            digests: request.declared_sha256.as_deref().and_then(digest).into_iter().collect(),
            bytes: None,
        };
        let opening = async {
            match &request.source {
                MediaSource::Url(address) => {
                    let target = self.inner.policy.check(address)?;
                    Ok((self.fetch(target, None).await?, claims))
                }
                MediaSource::WhatsappId { media_id, phone_number_id } => {
                    let bearer = bearer(token)?;
                    self.open_id(media_id, phone_number_id.as_deref(), &bearer, claims).await
                }
            }
        };
        let (response, claims) = timeout_at(deadline, opening).await.map_err(|_| MediaError::Timeout)??;
        Download::begin(response, claims, self.inner.config.max_bytes, deadline)
    }

    async fn open_id(
        &self,
        media_id: &str,
        number: Option<&str>,
        bearer: &HeaderValue,
        claims: Claims,
    ) -> Result<(Response, Claims), MediaError> {
        let mut asked_again = false;
        loop {
            let described = self.describe(media_id, number, bearer).await?;
            if described.file_size.is_some_and(|bytes| bytes > self.inner.config.max_bytes) {
                return Err(MediaError::TooLarge);
            }
            let target = self.inner.policy.check(&described.url)?;
            match self.fetch(target, Some(bearer)).await {
                // The address may have run out, not the id: a new one is had by asking.
                Err(MediaError::Expired) if !asked_again => asked_again = true,
                Err(error) => return Err(error),
                Ok(response) => return Ok((response, claims.and(described))),
            }
        }
    }

    async fn describe(
        &self,
        media_id: &str,
        number: Option<&str>,
        bearer: &HeaderValue,
    ) -> Result<answer::Description, MediaError> {
        if !is_id(media_id) || !number.is_none_or(is_id) {
            return Err(MediaError::BadId);
        }
        let mut url = self.inner.base.url().clone();
        url.path_segments_mut()
            .map_err(|()| MediaError::BadId)?
            .pop_if_empty()
            .extend([self.inner.config.version.as_str(), media_id]);
        if let Some(number) = number {
            url.query_pairs_mut().append_pair("phone_number_id", number);
        }
        let response = self.http.get(url).header(header::AUTHORIZATION, bearer.clone()).send().await?;
        answer::describe(response).await
    }

    /// Follows an address to a file. The token goes to hosts that may have it, and never past a change of host.
    async fn fetch(
        &self,
        mut target: Target,
        mut bearer: Option<&HeaderValue>,
    ) -> Result<Response, MediaError> {
        for _ in 0..=MAX_REDIRECTS {
            bearer = bearer.filter(|_| self.inner.policy.may_carry_token(&target));
            let mut request = self.http.get(target.url().clone());
            if let Some(bearer) = bearer {
                request = request.header(header::AUTHORIZATION, bearer.clone());
            }
            let response = request.send().await?;
            if !is_redirect(response.status()) {
                answer::file(&response, bearer.is_some())?;
                return Ok(response);
            }
            let location =
                response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            let location = location.ok_or(MediaError::RedirectLost)?;
            let next = self.inner.policy.follow(&target, location).map_err(MediaError::Redirect)?;
            bearer = bearer.filter(|_| next.is_same_place(&target));
            target = next;
        }
        Err(MediaError::RedirectLost)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn bearer(token: Option<&SecretString>) -> Result<HeaderValue, MediaError> {
    let token = token.map(ExposeSecret::expose_secret).filter(|token| !token.is_empty());
    let text = format!("Bearer {}", token.ok_or(MediaError::NoToken)?);
    let mut value = HeaderValue::try_from(text).map_err(|_| MediaError::Unauthorized { code: None })?;
    value.set_sensitive(true);
    Ok(value)
}

fn http(config: &GraphConfig, guard: Guard) -> reqwest::ClientBuilder {
    // The client takes the process's TLS provider; a second call finds it in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let headers = HeaderMap::from_iter([
        (header::ACCEPT, HeaderValue::from_static("*/*")),
        // What is counted is then what there is.
        (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ]);
    Client::builder()
        .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .dns_resolver(guard)
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.idle_timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
}

#[cfg(test)]
mod tests;
