//! Records of the `control` topic: what an operator or the platform did. What they fold into is in `control_state.rs`. Secrets
//! are here only sealed; this crate cannot open them.

use serde::{Deserialize, Serialize};

use crate::control_people::{CallbackKind, ErasureReason, Receipt};
use crate::{AppId, Asset, ErasureId, RawRef, SubjectId, TenantId};

/// One thing an operator, or the platform itself, did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Who: `admin` for the holder of the admin token, `platform` for Tidings itself.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// An app may deliver, with these verify tokens and secrets. Replaces an app of that name.
    AppAdded(App),
    /// An app's verify tokens and secrets were replaced.
    AppRotated(App),
    /// An app may no longer deliver.
    AppRemoved {
        /// Which.
        app: AppId,
    },
    /// A client organisation was added, or renamed.
    TenantAdded {
        /// Which.
        tenant: TenantId,
        /// The organisation's name.
        name: String,
    },
    /// A tenant's events are parked from here on.
    TenantSuspended {
        /// Which.
        tenant: TenantId,
    },
    /// A suspended tenant's events flow again, the parked ones included.
    TenantResumed {
        /// Which.
        tenant: TenantId,
    },
    /// An asset's events go to this tenant from here on, the parked ones included.
    AssetConnected {
        /// Whose.
        tenant: TenantId,
        /// Which.
        asset: Asset,
    },
    /// An asset's events are parked from here on.
    AssetDisconnected {
        /// Whose it was.
        tenant: TenantId,
        /// Which.
        asset: Asset,
    },
    /// Quarantined deliveries are to go through the normal path again.
    QuarantineRedriven {
        /// Which deliveries.
        raw: Vec<RawRef>,
    },
    /// Deliveries that coverage found missing downstream are to go through the normal path again.
    HolesRerouted {
        /// Which deliveries.
        raw: Vec<RawRef>,
    },
    /// A tenant's feed has this form from here on.
    TenantFeedSet {
        /// Whose.
        tenant: TenantId,
        /// Which form.
        feed: FeedFormat,
    },
    /// A tenant is ending: its events are parked, and when its time is over all of it is destroyed.
    TenantTerminated {
        /// Which.
        tenant: TenantId,
        /// When its time is over, Unix milliseconds.
        purge_at_ms: i64,
    },
    /// Everything of an ended tenant is gone: the certificate.
    TenantPurged {
        /// Which.
        tenant: TenantId,
        /// What was removed.
        receipt: Receipt,
    },
    /// An asset's access token was set.
    AssetTokenSet {
        /// Whose.
        tenant: TenantId,
        /// Which asset.
        asset: Asset,
    },
    /// A person is to be forgotten.
    ErasureRequested {
        /// The erasure.
        erasure: ErasureId,
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
        /// Why.
        reason: ErasureReason,
    },
    /// A person's keys are destroyed; whoever remembers them forgets them now.
    SubjectShredded {
        /// The erasure.
        erasure: ErasureId,
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
    },
    /// A person is forgotten: the receipt.
    SubjectErased {
        /// The erasure.
        erasure: ErasureId,
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
        /// What was removed.
        receipt: Receipt,
    },
    /// Nobody may use what is kept of a person, or may again.
    SubjectRestricted {
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
        /// From here on, or no longer.
        restricted: bool,
    },
    /// A person must not be forgotten until then, or may be again.
    SubjectHeld {
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
        /// Until when, Unix milliseconds; absent: no longer.
        until_ms: Option<i64>,
    },
    /// A person's profile reads otherwise than Meta sends it.
    SubjectCorrected {
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
        /// The profile, sealed for the person, in base64.
        sealed: String,
    },
    /// A copy of what is kept of a person was given out.
    SubjectExported {
        /// Whose person.
        tenant: TenantId,
        /// The person.
        subject: SubjectId,
    },
    /// An operator said that two people are one.
    PeopleMerged {
        /// Whose people.
        tenant: TenantId,
        /// The person who stands for both: their smaller subject.
        into: SubjectId,
        /// The other one.
        from: SubjectId,
    },
    /// An operator said that a subject is not of the person it was taken for.
    PersonSplit {
        /// Whose person.
        tenant: TenantId,
        /// The subject.
        subject: SubjectId,
    },
    /// Meta called back about somebody who used the app.
    CallbackReceived {
        /// The app.
        app: AppId,
        /// What it asks.
        kind: CallbackKind,
        /// The confirmation code that was given. Whom it is about stands in [`crate::Topics::callbacks`] under it.
        code: String,
    },
    /// A callback was looked at: these erasures follow from it.
    CallbackAnswered {
        /// Its confirmation code.
        code: String,
        /// The erasures; none when nobody is known by that id.
        erasures: Vec<ErasureId>,
    },
    /// Keys were replaced: the root's, a tenant's, or the ones bodies are sealed with.
    KeysRotated {
        /// Which.
        level: KeyLevel,
        /// Whose, where they are a tenant's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantId>,
    },
    /// What was kept for long enough was removed.
    RetentionSwept {
        /// What class of things, in one word.
        class: String,
        /// How many.
        count: u64,
    },
    /// A backup was made.
    BackupCreated {
        /// Its id.
        backup: String,
    },
    /// A backup and its key were destroyed.
    BackupExpired {
        /// Its id.
        backup: String,
    },
    /// The databases were filled from a backup, and everybody forgotten since was forgotten again.
    BackupRestored {
        /// Its id.
        backup: String,
    },
    /// A view was made anew from the log.
    ViewRebuilt {
        /// Which.
        view: String,
    },
}

/// The form of a tenant's feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case")]
pub enum FeedFormat {
    /// JSON that whoever may read the topic can read.
    #[default]
    Clear,
    /// JWE that only the tenant can open.
    Jwe {
        /// The tenant's public key, as a JWK.
        jwk: String,
    },
}

/// A level of keys that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLevel {
    /// The root: what it sealed is sealed again.
    Root,
    /// A tenant's: its people's keys are sealed again.
    Tenant,
    /// The keys that ingest seals bodies with: fresh ones from here on.
    Data,
}

impl KeyLevel {
    /// The level as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Tenant => "tenant",
            Self::Data => "data",
        }
    }
}

impl Action {
    /// The action as its one word: an audit entry's `action`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::AppAdded(_) => "app_added",
            Self::AppRotated(_) => "app_rotated",
            Self::AppRemoved { .. } => "app_removed",
            Self::TenantAdded { .. } => "tenant_added",
            Self::TenantSuspended { .. } => "tenant_suspended",
            Self::TenantResumed { .. } => "tenant_resumed",
            Self::AssetConnected { .. } => "asset_connected",
            Self::AssetDisconnected { .. } => "asset_disconnected",
            Self::QuarantineRedriven { .. } => "quarantine_redriven",
            Self::HolesRerouted { .. } => "holes_rerouted",
            Self::TenantFeedSet { .. } => "tenant_feed_set",
            Self::TenantTerminated { .. } => "tenant_terminated",
            Self::TenantPurged { .. } => "tenant_purged",
            Self::AssetTokenSet { .. } => "asset_token_set",
            Self::ErasureRequested { .. } => "erasure_requested",
            Self::SubjectShredded { .. } => "subject_shredded",
            Self::SubjectErased { .. } => "subject_erased",
            Self::SubjectRestricted { .. } => "subject_restricted",
            Self::SubjectHeld { .. } => "subject_held",
            Self::SubjectCorrected { .. } => "subject_corrected",
            Self::SubjectExported { .. } => "subject_exported",
            Self::PeopleMerged { .. } => "people_merged",
            Self::PersonSplit { .. } => "person_split",
            Self::CallbackReceived { .. } => "callback_received",
            Self::CallbackAnswered { .. } => "callback_answered",
            Self::KeysRotated { .. } => "keys_rotated",
            Self::RetentionSwept { .. } => "retention_swept",
            Self::BackupCreated { .. } => "backup_created",
            Self::BackupExpired { .. } => "backup_expired",
            Self::BackupRestored { .. } => "backup_restored",
            Self::ViewRebuilt { .. } => "view_rebuilt",
        }
    }

    /// The tenant it concerns; `None` for the platform as a whole.
    pub const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::TenantAdded { tenant, .. }
            | Self::TenantSuspended { tenant }
            | Self::TenantResumed { tenant }
            | Self::AssetConnected { tenant, .. }
            | Self::AssetDisconnected { tenant, .. }
            | Self::TenantFeedSet { tenant, .. }
            | Self::TenantTerminated { tenant, .. }
            | Self::TenantPurged { tenant, .. }
            | Self::AssetTokenSet { tenant, .. }
            | Self::ErasureRequested { tenant, .. }
            | Self::SubjectShredded { tenant, .. }
            | Self::SubjectErased { tenant, .. }
            | Self::SubjectRestricted { tenant, .. }
            | Self::SubjectHeld { tenant, .. }
            | Self::SubjectCorrected { tenant, .. }
            | Self::SubjectExported { tenant, .. }
            | Self::PeopleMerged { tenant, .. }
            | Self::PersonSplit { tenant, .. } => Some(tenant),
            Self::KeysRotated { tenant, .. } => tenant.as_ref(),
            Self::AppAdded(_)
            | Self::AppRotated(_)
            | Self::AppRemoved { .. }
            | Self::QuarantineRedriven { .. }
            | Self::HolesRerouted { .. }
            | Self::CallbackReceived { .. }
            | Self::CallbackAnswered { .. }
            | Self::RetentionSwept { .. }
            | Self::BackupCreated { .. }
            | Self::BackupExpired { .. }
            | Self::BackupRestored { .. }
            | Self::ViewRebuilt { .. } => None,
        }
    }

    /// What it was done to, as an audit entry shows it. Never a secret.
    pub fn target(&self) -> String {
        match self {
            Self::AppAdded(app) | Self::AppRotated(app) => format!("app {}", app.id),
            Self::AppRemoved { app } => format!("app {app}"),
            Self::TenantAdded { tenant, .. }
            | Self::TenantSuspended { tenant }
            | Self::TenantResumed { tenant }
            | Self::TenantTerminated { tenant, .. } => {
                format!("tenant {tenant}")
            }
            Self::TenantPurged { tenant, receipt } => format!("tenant {tenant}: {}", removed(receipt)),
            Self::TenantFeedSet { feed: FeedFormat::Clear, .. } => "feed in clear JSON".to_owned(),
            Self::TenantFeedSet { feed: FeedFormat::Jwe { .. }, .. } => "feed as JWE".to_owned(),
            Self::AssetConnected { asset, .. }
            | Self::AssetDisconnected { asset, .. }
            | Self::AssetTokenSet { asset, .. } => {
                format!("asset {asset}")
            }
            Self::ErasureRequested { erasure, subject, reason, .. } => {
                format!("subject {subject}, erasure {erasure}, reason {}", reason.as_str())
            }
            Self::SubjectShredded { erasure, subject, .. } => format!("subject {subject}, erasure {erasure}"),
            Self::SubjectErased { erasure, subject, receipt, .. } => {
                format!("subject {subject}, erasure {erasure}: {}", removed(receipt))
            }
            Self::SubjectRestricted { subject, restricted, .. } => {
                format!("subject {subject}: {}", if *restricted { "restricted" } else { "no longer" })
            }
            Self::SubjectHeld { subject, until_ms, .. } => {
                format!("subject {subject}: {}", if until_ms.is_some() { "held" } else { "released" })
            }
            Self::SubjectCorrected { subject, .. }
            | Self::SubjectExported { subject, .. }
            | Self::PersonSplit { subject, .. } => {
                format!("subject {subject}")
            }
            Self::PeopleMerged { into, from, .. } => format!("subject {from} into {into}"),
            Self::CallbackReceived { app, kind, code } => {
                format!("app {app}, {}, code {code}", kind.as_str())
            }
            Self::CallbackAnswered { code, erasures } => {
                format!("code {code}: {} erasures", erasures.len())
            }
            Self::KeysRotated { level, .. } => format!("{} keys", level.as_str()),
            Self::RetentionSwept { class, count } => format!("{count} of {class}"),
            Self::BackupCreated { backup }
            | Self::BackupExpired { backup }
            | Self::BackupRestored { backup } => {
                format!("backup {backup}")
            }
            Self::ViewRebuilt { view } => format!("view {view}"),
            Self::QuarantineRedriven { raw } => format!("{} quarantined deliveries", raw.len()),
            Self::HolesRerouted { raw } => format!("{} missing deliveries", raw.len()),
        }
    }
}

fn removed(receipt: &Receipt) -> String {
    format!(
        "{} rows, {} objects, {} records removed, {}",
        receipt.rows,
        receipt.objects,
        receipt.records,
        if receipt.verified { "verified" } else { "not verified" }
    )
}

/// An app with everything ingest needs to know of it, secrets sealed with the root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name in `/webhooks/{app}`.
    pub id: AppId,
    /// Sealed verify tokens: any of them answers a handshake.
    pub verify_tokens: Vec<String>,
    /// Sealed secrets: any of them may have signed.
    pub secrets: Vec<AppSecret>,
}

/// One sealed secret of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSecret {
    /// Which of the app's secrets it is.
    pub role: SecretRole,
    /// The secret, sealed with the root key; text as `seal` writes it.
    pub sealed: String,
}

/// Which of an app's secrets signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRole {
    /// The app secret in use.
    Current,
    /// The app secret that is about to be used: added before it is reset at Meta.
    Next,
    /// The separate secret of "Instagram API with Instagram Login" (`meta-platform.md` §1.2).
    Instagram,
}

impl SecretRole {
    /// The role as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Instagram => "instagram",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_json() {
        let record = ControlRecord {
            at_ms: 7,
            actor: "admin".to_owned(),
            action: Action::AssetConnected {
                tenant: "a".parse().unwrap(),
                asset: "instagram:17841400000000001".parse().unwrap(),
            },
        };
        let json = serde_json::to_string(&record).unwrap();
        let expected = r#"{"at_ms":7,"actor":"admin","action":"asset_connected","tenant":"a","asset":"instagram:17841400000000001"}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<ControlRecord>(&json).unwrap(), record);
    }
}
