//! What `control` says of people: who was forgotten, restricted, held or corrected. A person stands here as a random
//! subject; what an operator wrote of one stands here sealed for that one.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{Action, AppId, ControlRecord, ErasureId, SubjectId, TenantId};

/// A person of a tenant.
pub type Person = (TenantId, SubjectId);

/// Why a person is forgotten. A metric label and an audit word, so a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureReason {
    /// The person asked for it.
    Request,
    /// Meta passed on that the person asked for it.
    Meta,
    /// The person is under thirteen.
    Minor,
    /// Their tenant ended.
    Tenant,
}

impl ErasureReason {
    /// The reason as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Meta => "meta",
            Self::Minor => "minor",
            Self::Tenant => "tenant",
        }
    }
}

/// What an erasure has removed: the receipt, with nothing of the person in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Rows of the views.
    pub rows: u64,
    /// Objects of the store.
    pub objects: u64,
    /// Records of the log and the feed that were tombstoned.
    pub records: u64,
    /// Sealed records that were tried afterwards, and did not open.
    pub tried: u64,
    /// Nothing was found when everything was looked at again.
    pub verified: bool,
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureState {
    /// It is asked for.
    Requested,
    /// The person's keys are gone: whoever remembers them must forget them.
    Shredded,
    /// All of it is done.
    Done(Receipt),
}

impl ErasureState {
    /// The state as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Shredded => "shredded",
            Self::Done(_) => "done",
        }
    }
}

/// One person's erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Whose person it is.
    pub tenant: TenantId,
    /// The person.
    pub subject: SubjectId,
    /// Why.
    pub reason: ErasureReason,
    /// When it was asked for, Unix milliseconds.
    pub requested_ms: i64,
    /// When that state was reached, Unix milliseconds.
    pub at_ms: i64,
    /// How far it is.
    pub state: ErasureState,
}

/// What Meta called back about somebody who used the app (`meta-platform.md` §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackKind {
    /// Delete what there is of them.
    DataDeletion,
    /// They removed the app.
    Deauthorize,
}

impl CallbackKind {
    /// The kind as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DataDeletion => "data_deletion",
            Self::Deauthorize => "deauthorize",
        }
    }
}

/// A callback of Meta's, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The app it came for.
    pub app: AppId,
    /// What it asks.
    pub kind: CallbackKind,
    /// When it came, Unix milliseconds.
    pub at_ms: i64,
    /// The erasures it led to; `None` while nobody has looked.
    pub erasures: Option<Vec<ErasureId>>,
}

/// Everything `control` says of people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// Every erasure: the ledger that is replayed before anything restored is served.
    pub erasures: BTreeMap<ErasureId, Erasure>,
    /// Who was forgotten, or is about to be.
    pub forgotten: HashSet<Person>,
    /// The offset in `control` behind the last record that makes processes forget keys.
    pub evictions: u64,
    /// Whose content nobody may use although it is kept.
    pub restricted: HashSet<Person>,
    /// Who must not be forgotten, and until when, Unix milliseconds.
    pub held: HashMap<Person, i64>,
    /// What replaces the profile that Meta sends: sealed.
    pub corrections: HashMap<Person, String>,
    /// Meta's callbacks by confirmation code.
    pub callbacks: BTreeMap<String, Callback>,
}

impl People {
    /// Folds what the record at `offset` says of people.
    pub(crate) fn apply(&mut self, offset: u64, record: &ControlRecord) {
        let at_ms = record.at_ms;
        match &record.action {
            Action::ErasureRequested { erasure, tenant, subject, reason } => {
                self.erasures.entry(*erasure).or_insert_with(|| Erasure {
                    tenant: tenant.clone(),
                    subject: *subject,
                    reason: *reason,
                    requested_ms: at_ms,
                    at_ms,
                    state: ErasureState::Requested,
                });
            }
            Action::SubjectShredded { erasure, tenant, subject } => {
                let person = (tenant.clone(), *subject);
                self.restricted.remove(&person);
                self.held.remove(&person);
                self.corrections.remove(&person);
                self.forgotten.insert(person);
                self.evictions = offset + 1;
                self.reach(*erasure, at_ms, ErasureState::Shredded);
            }
            Action::SubjectErased { erasure, receipt, .. } => {
                self.reach(*erasure, at_ms, ErasureState::Done(*receipt));
            }
            Action::SubjectRestricted { tenant, subject, restricted } => {
                let person = (tenant.clone(), *subject);
                if *restricted && !self.forgotten.contains(&person) {
                    self.restricted.insert(person);
                } else {
                    self.restricted.remove(&person);
                }
            }
            Action::SubjectHeld { tenant, subject, until_ms } => {
                let person = (tenant.clone(), *subject);
                match until_ms {
                    Some(until_ms) => self.held.insert(person, *until_ms),
                    None => self.held.remove(&person),
                };
            }
            Action::SubjectCorrected { tenant, subject, sealed } => {
                let person = (tenant.clone(), *subject);
                if !self.forgotten.contains(&person) {
                    self.corrections.insert(person, sealed.clone());
                }
            }
            Action::CallbackReceived { app, kind, code } => {
                self.callbacks.entry(code.clone()).or_insert_with(|| Callback {
                    app: app.clone(),
                    kind: *kind,
                    at_ms,
                    erasures: None,
                });
            }
            Action::CallbackAnswered { code, erasures } => {
                // Of two who looked at once, the first has it: the other found less, or the same.
                if let Some(callback) = self.callbacks.get_mut(code)
                    && callback.erasures.is_none()
                {
                    callback.erasures = Some(erasures.clone());
                }
            }
            _ => {}
        }
    }

    /// What has to be said so that what holds of one of these subjects holds of all: they are one person.
    pub fn shared(&self, tenant: &TenantId, subjects: &[SubjectId]) -> Vec<Action> {
        let of = |subject: &SubjectId| (tenant.clone(), *subject);
        let mut actions = Vec::new();
        if subjects.iter().any(|subject| self.restricted.contains(&of(subject))) {
            let others = subjects.iter().filter(|subject| !self.restricted.contains(&of(subject)));
            actions.extend(others.map(|subject| Action::SubjectRestricted {
                tenant: tenant.clone(),
                subject: *subject,
                restricted: true,
            }));
        }
        let held = |subject: &SubjectId| self.held.get(&of(subject)).copied();
        if let Some(longest) = subjects.iter().filter_map(held).max() {
            let others = subjects.iter().filter(|subject| held(subject) != Some(longest));
            actions.extend(others.map(|subject| Action::SubjectHeld {
                tenant: tenant.clone(),
                subject: *subject,
                until_ms: Some(longest),
            }));
        }
        actions
    }

    fn reach(&mut self, erasure: ErasureId, at_ms: i64, state: ErasureState) {
        if let Some(known) = self.erasures.get_mut(&erasure)
            && !matches!(known.state, ErasureState::Done(_))
        {
            (known.state, known.at_ms) = (state, at_ms);
        }
    }

    /// Whether somebody is not to be forgotten now.
    pub fn is_held(&self, person: &Person, now_ms: i64) -> bool {
        self.held.get(person).is_some_and(|until| *until > now_ms)
    }

    /// The erasure of a person, if there is one that is not done.
    pub fn erasing(&self, tenant: &TenantId, subject: SubjectId) -> Option<ErasureId> {
        let open = |erasure: &Erasure| !matches!(erasure.state, ErasureState::Done(_));
        self.erasures
            .iter()
            .find(|(_, erasure)| erasure.tenant == *tenant && erasure.subject == subject && open(erasure))
            .map(|(id, _)| *id)
    }
}
