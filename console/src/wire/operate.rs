//! Apps, tenants and assets.

use schemas::{AppId, SecretRole, TenantId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An app to add. Secrets are sealed with the root key before they are kept, and never shown again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    /// Its name in `/webhooks/{app}`.
    #[schema(value_type = String, example = "main")]
    pub id: AppId,
    /// The verify token entered in Meta's app dashboard.
    #[schema(value_type = String, format = Password)]
    pub verify_token: SecretString,
    /// The app secret of Meta's app dashboard.
    #[schema(value_type = String, format = Password)]
    pub secret: SecretString,
    /// The app secret that comes next, before it is reset at Meta.
    #[schema(value_type = Option<String>, format = Password)]
    #[serde(default)]
    pub next_secret: Option<SecretString>,
    /// The separate secret of "Instagram API with Instagram Login".
    #[schema(value_type = Option<String>, format = Password)]
    #[serde(default)]
    pub instagram_secret: Option<SecretString>,
}

/// What to change of an app. What is not given stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateApp {
    /// A new verify token. The one before stays valid until the next rotation.
    #[schema(value_type = Option<String>, format = Password)]
    pub verify_token: Option<SecretString>,
    /// A new current secret.
    #[schema(value_type = Option<String>, format = Password)]
    pub secret: Option<SecretString>,
    /// A next secret: accepted beside the current one.
    #[schema(value_type = Option<String>, format = Password)]
    pub next_secret: Option<SecretString>,
    /// A new Instagram secret.
    #[schema(value_type = Option<String>, format = Password)]
    pub instagram_secret: Option<SecretString>,
    /// Make the next secret the current one and forget the old one.
    #[serde(default)]
    pub promote: bool,
}

/// An app, without its secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AppAnswer {
    /// Its name.
    #[schema(value_type = String)]
    pub id: AppId,
    /// Where Meta delivers to, under the public address.
    #[schema(example = "/webhooks/main")]
    pub path: String,
    /// Which secrets are set.
    #[schema(value_type = Vec<String>, example = json!(["current", "next"]))]
    pub secrets: Vec<SecretRole>,
    /// How many verify tokens are valid.
    pub verify_tokens: usize,
}

/// A tenant to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its id: 1 to 63 of `a-z 0-9 - _`.
    #[schema(value_type = String, example = "acme")]
    pub id: TenantId,
    /// The organisation's name.
    #[schema(example = "Acme Relief")]
    pub name: String,
}

/// A client organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TenantAnswer {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// `active`; `suspended`: its events are parked; `terminated`: the same, and all of it is destroyed at `purge_at`;
    /// `purged`: it was.
    pub state: String,
    /// When everything of it is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_at: Option<String>,
    /// How many assets are connected to it.
    pub assets: usize,
    /// The topic of its feed.
    pub feed: String,
    /// The form of its feed: `clear` or `jwe`.
    #[serde(default)]
    pub feed_format: String,
}

/// A connected asset.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AssetAnswer {
    /// Whose it is.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// `messenger`, `instagram`, `whatsapp` or `waba`.
    pub channel: String,
    /// Meta's id of it.
    pub id: String,
    /// Both in one: `channel:id`.
    pub asset: String,
}

/// What is no longer there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// What was removed.
    pub removed: String,
}
