//! What the records of `control` fold into: who the tenants are, which assets are theirs, which apps may deliver, and what was
//! done about people.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::control::{Action, App, ControlRecord, FeedFormat, KeyLevel};
use crate::control_people::People;
use crate::{AppId, Asset, TenantId};

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
    /// Whose assets were before they were disconnected.
    pub past: HashMap<Asset, Vec<PastRoute>>,
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
    /// When it was connected, Unix milliseconds.
    pub since_ms: i64,
}

/// Whose an asset was, and when: from then, until before then, Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRoute {
    /// The owner then.
    pub tenant: TenantId,
    /// When it was connected.
    pub from_ms: i64,
    /// When it was disconnected.
    pub until_ms: i64,
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
                let is_theirs = |route: &Route| route.tenant == *tenant;
                let theirs: Vec<Asset> = self
                    .routes
                    .iter()
                    .filter(|(_, route)| is_theirs(route))
                    .map(|(asset, _)| asset.clone())
                    .collect();
                for asset in theirs {
                    self.disconnect(&asset, record.at_ms);
                }
            }
            Action::TenantFeedSet { tenant, feed } => {
                if let Some(known) = self.tenants.get_mut(tenant) {
                    known.feed = feed.clone();
                }
            }
            Action::AssetConnected { tenant, asset } => {
                // The first connection wins: the console refuses a second one, and of two that race the later one is void.
                self.routes.entry(asset.clone()).or_insert_with(|| Route {
                    tenant: tenant.clone(),
                    since: offset,
                    since_ms: record.at_ms,
                });
            }
            Action::AssetDisconnected { tenant, asset } => {
                if self.routes.get(asset).is_some_and(|route| route.tenant == *tenant) {
                    self.disconnect(asset, record.at_ms);
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
            // Whoever remembers keys, or who is whom, reads them again.
            Action::KeysRotated { .. }
            | Action::BackupRestored { .. }
            | Action::PeopleMerged { .. }
            | Action::PersonSplit { .. } => self.people.evictions = offset + 1,
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
        self.is_active(&route.tenant).then_some((asset, &route.tenant))
    }

    /// The active tenant whose these assets were at that time, and the asset that says so. What happened while one of them was
    /// somebody else's is that one's, or nobody's, and never the present owner's, however often it is routed again; what
    /// happened while they were nobody's is the present owner's.
    ///
    /// The time is asked for only where it matters.
    pub fn route_at<'a>(
        &self,
        assets: &'a [Asset],
        at_ms: impl Fn() -> i64,
    ) -> Option<(&'a Asset, &TenantId)> {
        for asset in assets {
            let then = self.past.get(asset).and_then(|past| {
                let at_ms = at_ms();
                past.iter().rfind(|past| (past.from_ms..past.until_ms).contains(&at_ms))
            });
            let owner =
                then.map(|past| &past.tenant).or_else(|| self.routes.get(asset).map(|route| &route.tenant));
            if let Some(owner) = owner {
                return self.is_active(owner).then_some((asset, owner));
            }
        }
        None
    }

    fn is_active(&self, tenant: &TenantId) -> bool {
        self.tenants.get(tenant).is_some_and(|tenant| tenant.state == TenantState::Active)
    }

    fn disconnect(&mut self, asset: &Asset, until_ms: i64) {
        if let Some(Route { tenant, since_ms, .. }) = self.routes.remove(asset) {
            let past = PastRoute { tenant, from_ms: since_ms, until_ms };
            self.past.entry(asset.clone()).or_default().push(past);
        }
    }

    /// Tenants of which nothing may be there any more, or soon: their time is over and nobody of them is held.
    pub fn ended(&self, now_ms: i64) -> impl Iterator<Item = &TenantId> {
        let holds = move |of: &TenantId| {
            self.people.held.iter().any(|((tenant, _), until_ms)| tenant == of && *until_ms > now_ms)
        };
        let is_over = move |tenant: &TenantId, state: TenantState| match state {
            TenantState::Active | TenantState::Suspended => false,
            TenantState::Terminated { purge_at_ms } => purge_at_ms <= now_ms && !holds(tenant),
            TenantState::Purged => true,
        };
        self.tenants.iter().filter(move |(id, tenant)| is_over(id, tenant.state)).map(|(id, _)| id)
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
    use crate::SubjectId;

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
    fn what_happened_while_it_was_anothers_is_never_the_new_owners() {
        let mut state = ControlState::default();
        let asset: Asset = "whatsapp:111".parse().unwrap();
        let disconnected = Action::AssetDisconnected { tenant: tenant("a"), asset: asset.clone() };
        let acts = [
            (10, added("a")),
            (10, added("b")),
            (100, connected("a", "whatsapp:111")),
            (200, disconnected),
            (300, connected("b", "whatsapp:111")),
        ];
        for (offset, (at_ms, action)) in (0..).zip(acts) {
            state.apply(offset, &ControlRecord { at_ms, actor: "admin".to_owned(), action });
        }
        let assets = [asset, "waba:900".parse().unwrap()];
        let owner = |state: &ControlState, at_ms| {
            state.route_at(&assets, || at_ms).map(|(_, tenant)| tenant.to_string())
        };
        // Before anybody had it, while nobody had it, and since: whoever has it now.
        for at_ms in [50, 99, 200, 250, 300, 999] {
            assert_eq!(owner(&state, at_ms).as_deref(), Some("b"), "{at_ms}");
        }
        for at_ms in [100, 150, 199] {
            assert_eq!(owner(&state, at_ms).as_deref(), Some("a"), "{at_ms}");
        }
        state.set_state(&tenant("a"), TenantState::Terminated { purge_at_ms: 1 });
        assert_eq!(owner(&state, 150), None, "nobody's, where its owner is gone");
        assert_eq!(owner(&state, 250).as_deref(), Some("b"));
    }

    #[test]
    fn a_tenant_has_ended_when_its_time_is_over_and_nobody_of_it_is_held() {
        let end = Action::TenantTerminated { tenant: tenant("a"), purge_at_ms: 10 };
        let mut state = fold(vec![added("a"), added("b"), end]);
        let ended = |state: &ControlState, now_ms| state.ended(now_ms).cloned().collect::<Vec<_>>();
        assert_eq!(ended(&state, 9), []);
        assert_eq!(ended(&state, 10), [tenant("a")]);
        let person = |name: &str| (tenant(name), SubjectId::from_bytes([1; 16]));
        state.people.held.extend([(person("a"), 15), (person("b"), 99)]);
        assert_eq!(ended(&state, 14), []);
        assert_eq!(ended(&state, 15), [tenant("a")]);
        state.set_state(&tenant("b"), TenantState::Purged);
        assert_eq!(ended(&state, 9), [tenant("b")]);
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
}
