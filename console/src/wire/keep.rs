//! Feeds, tokens and the end of tenants.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The form that a tenant's feed is to have.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFeed {
    /// `clear` or `jwe`.
    #[schema(example = "jwe")]
    pub format: String,
    /// With `jwe`: the tenant's public key, as a JWK in JSON text.
    #[serde(default)]
    pub jwk: Option<String>,
}

/// The form of a tenant's feed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FeedAnswer {
    /// Whose.
    pub tenant: String,
    /// The topic.
    pub feed: String,
    /// `clear` or `jwe`.
    pub format: String,
    /// With `jwe`: the public key's thumbprint (RFC 7638).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With `jwe`: how the content key is agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

/// An asset's access token: sealed before it is kept, and never shown again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetToken {
    /// The token.
    #[schema(value_type = String, format = Password)]
    pub access_token: SecretString,
}

/// How a tenant is to end.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Terminate {
    /// In so many days; 30 unless given.
    pub days: Option<u32>,
}
