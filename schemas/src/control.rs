//! Records of the `control` topic and the state they fold into: who the tenants are, which assets are theirs, which apps
//! may deliver. Secrets are here only sealed; this crate cannot open them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::control_people::{CallbackKind, ErasureReason, People, Receipt};
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
    /// Meta called back about somebody who used the app.
    CallbackReceived {
        /// The app.
        app: AppId,
        /// What it asks.
        kind: CallbackKind,
        /// The confirmation code that was given.
        code: String,
        /// Whom it is about, sealed with the edge key.
        user: String,
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
            | Self::SubjectExported { tenant, .. } => Some(tenant),
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
            Self::SubjectCorrected { subject, .. } | Self::SubjectExported { subject, .. } => {
                format!("subject {subject}")
            }
            Self::CallbackReceived { app, kind, code, .. } => {
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

/// Everything `control` says, folded up to a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlState {
    /// Offset of the first record that is not folded in.
    pub position: u64,
    /// Apps by name.
    pub apps: BTreeMap<AppId, App>,
    /// Tenants by id.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Whose each connected asset is.
    pub routes: HashMap<Asset, Route>,
    /// What there is to know of people.
    pub people: People,
    /// The offset behind the last record that asks ingest for fresh data keys.
    pub data_keys: u64,
}

/// A client organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Whether its events flow.
    pub state: TenantState,
    /// The form of its feed.
    pub feed: FeedFormat,
}

/// Whether a tenant's events flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// They flow.
    Active,
    /// They are parked.
    Suspended,
    /// They are parked, and what there is is destroyed when the time is over.
    Terminated {
        /// When, Unix milliseconds.
        purge_at_ms: i64,
    },
    /// Nothing of it is left.
    Purged,
}

impl TenantState {
    /// The state as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Terminated { .. } => "terminated",
            Self::Purged => "purged",
        }
    }
}

/// Whose an asset is, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The owner.
    pub tenant: TenantId,
    /// Offset in `control` of the connect.
    pub since: u64,
}

impl ControlState {
    /// Folds the record at `offset`. A record already folded in changes nothing.
    pub fn apply(&mut self, offset: u64, record: &ControlRecord) {
        if offset < self.position {
            return;
        }
        self.position = offset + 1;
        match &record.action {
            Action::AppAdded(app) | Action::AppRotated(app) => {
                self.apps.insert(app.id.clone(), app.clone());
            }
            Action::AppRemoved { app } => {
                self.apps.remove(app);
            }
            Action::TenantAdded { tenant, name } => {
                let known = self.tenants.entry(tenant.clone()).or_insert_with(|| Tenant {
                    name: String::new(),
                    state: TenantState::Active,
                    feed: FeedFormat::Clear,
                });
                known.name.clone_from(name);
            }
            Action::TenantSuspended { tenant } => self.set_state(tenant, TenantState::Suspended),
            Action::TenantResumed { tenant } => self.set_state(tenant, TenantState::Active),
            Action::TenantTerminated { tenant, purge_at_ms } => {
                self.set_state(tenant, TenantState::Terminated { purge_at_ms: *purge_at_ms });
            }
            Action::TenantPurged { tenant, .. } => {
                if let Some(known) = self.tenants.get_mut(tenant) {
                    known.state = TenantState::Purged;
                    known.feed = FeedFormat::Clear;
                }
                self.routes.retain(|_, route| route.tenant != *tenant);
            }
            Action::TenantFeedSet { tenant, feed } => {
                if let Some(known) = self.tenants.get_mut(tenant) {
                    known.feed = feed.clone();
                }
            }
            Action::AssetConnected { tenant, asset } => {
                // The first connection wins: the console refuses a second one, and of two that race the later one is void.
                self.routes
                    .entry(asset.clone())
                    .or_insert_with(|| Route { tenant: tenant.clone(), since: offset });
            }
            Action::AssetDisconnected { tenant, asset } => {
                if self.routes.get(asset).is_some_and(|route| route.tenant == *tenant) {
                    self.routes.remove(asset);
                }
            }
            Action::ErasureRequested { .. }
            | Action::SubjectShredded { .. }
            | Action::SubjectErased { .. }
            | Action::SubjectRestricted { .. }
            | Action::SubjectHeld { .. }
            | Action::SubjectCorrected { .. }
            | Action::CallbackReceived { .. }
            | Action::CallbackAnswered { .. } => self.people.apply(offset, record),
            Action::KeysRotated { level: KeyLevel::Data, .. } => self.data_keys = offset + 1,
            // Whoever remembers keys reads them again.
            Action::KeysRotated { .. } | Action::BackupRestored { .. } => self.people.evictions = offset + 1,
            Action::QuarantineRedriven { .. }
            | Action::HolesRerouted { .. }
            | Action::AssetTokenSet { .. }
            | Action::SubjectExported { .. }
            | Action::RetentionSwept { .. }
            | Action::BackupCreated { .. }
            | Action::BackupExpired { .. }
            | Action::ViewRebuilt { .. } => {}
        }
    }

    /// Counts a record this version cannot read as folded, so the position stays true.
    pub fn skip(&mut self, offset: u64) {
        self.position = self.position.max(offset + 1);
    }

    /// The active tenant that owns the first of `assets` that is connected, and that asset.
    pub fn route<'a>(&self, assets: &'a [Asset]) -> Option<(&'a Asset, &TenantId)> {
        let (asset, route) = assets.iter().find_map(|asset| Some((asset, self.routes.get(asset)?)))?;
        let active =
            self.tenants.get(&route.tenant).is_some_and(|tenant| tenant.state == TenantState::Active);
        active.then_some((asset, &route.tenant))
    }

    fn set_state(&mut self, tenant: &TenantId, state: TenantState) {
        if let Some(known) = self.tenants.get_mut(tenant) {
            // Nothing brings back what was destroyed.
            if known.state != TenantState::Purged {
                known.state = state;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(actions: Vec<Action>) -> ControlState {
        let mut state = ControlState::default();
        for (offset, action) in (0..).zip(actions) {
            state.apply(offset, &ControlRecord { at_ms: 0, actor: "admin".to_owned(), action });
        }
        state
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn added(name: &str) -> Action {
        Action::TenantAdded { tenant: tenant(name), name: name.to_owned() }
    }

    fn connected(name: &str, asset: &str) -> Action {
        Action::AssetConnected { tenant: tenant(name), asset: asset.parse().unwrap() }
    }

    #[track_caller]
    fn check(actions: Vec<Action>, assets: &[&str], expected: Option<(&str, &str)>) {
        let assets: Vec<Asset> = assets.iter().map(|asset| asset.parse().unwrap()).collect();
        let state = fold(actions);
        let found = state.route(&assets).map(|(asset, tenant)| (asset.to_string(), tenant.to_string()));
        assert_eq!(found, expected.map(|(asset, tenant)| (asset.to_owned(), tenant.to_owned())));
    }

    #[test]
    fn an_item_goes_to_the_owner_of_its_most_specific_connected_asset() {
        let two = || vec![added("a"), added("b"), connected("a", "waba:900"), connected("b", "whatsapp:111")];
        check(two(), &["whatsapp:111", "waba:900"], Some(("whatsapp:111", "b")));
        check(two(), &["whatsapp:112", "waba:900"], Some(("waba:900", "a")));
        check(two(), &["whatsapp:112", "waba:901"], None);
        check(two(), &["messenger:111"], None);
        check(two(), &[], None);
    }

    #[test]
    fn suspended_and_unknown_tenants_get_nothing() {
        let suspended = || {
            let suspend = Action::TenantSuspended { tenant: tenant("a") };
            vec![added("a"), connected("a", "messenger:2"), suspend]
        };
        check(suspended(), &["messenger:2"], None);
        let mut resumed = suspended();
        resumed.push(Action::TenantResumed { tenant: tenant("a") });
        check(resumed, &["messenger:2"], Some(("messenger:2", "a")));
        let mut renamed = suspended();
        renamed.push(added("a"));
        check(renamed, &["messenger:2"], None);
        check(vec![connected("a", "messenger:2")], &["messenger:2"], None);
    }

    #[test]
    fn of_two_connections_the_first_holds_until_its_owner_disconnects() {
        let disconnected = |name: &str| Action::AssetDisconnected {
            tenant: tenant(name),
            asset: "messenger:2".parse().unwrap(),
        };
        let both =
            || vec![added("a"), added("b"), connected("a", "messenger:2"), connected("b", "messenger:2")];
        check(both(), &["messenger:2"], Some(("messenger:2", "a")));
        let mut by_another = both();
        by_another.push(disconnected("b"));
        check(by_another, &["messenger:2"], Some(("messenger:2", "a")));
        let mut moved = both();
        moved.extend([disconnected("a"), connected("b", "messenger:2")]);
        check(moved, &["messenger:2"], Some(("messenger:2", "b")));
    }

    #[test]
    fn a_repeated_record_changes_nothing() {
        let mut state = fold(vec![added("a"), connected("a", "messenger:2")]);
        let before = state.clone();
        let record = ControlRecord {
            at_ms: 0,
            actor: "admin".to_owned(),
            action: Action::TenantSuspended { tenant: tenant("a") },
        };
        state.apply(1, &record);
        assert_eq!(state, before);
        state.skip(5);
        assert_eq!(state.position, 6);
    }

    #[test]
    fn records_survive_json() {
        let record = ControlRecord {
            at_ms: 7,
            actor: "admin".to_owned(),
            action: connected("a", "instagram:17841400000000001"),
        };
        let json = serde_json::to_string(&record).unwrap();
        let expected = r#"{"at_ms":7,"actor":"admin","action":"asset_connected","tenant":"a","asset":"instagram:17841400000000001"}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<ControlRecord>(&json).unwrap(), record);
    }
}
