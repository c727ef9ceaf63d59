//! Meta's callbacks (`meta-platform.md` §8): whom one is about is looked for among every tenant's people, and each that is
//! found is forgotten. Then it is forgotten too whom it was about.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use eventlog::{Record, Topic, TopicPartition};
use schemas::{Action, CallbackKind, ErasureId, ErasureReason, Identifier, IdentifierKind, TenantState};
use seal::SealError;
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::{error, info};

use crate::KeepError;
use crate::keeper::Keeper;
use crate::scan::read_range;

const TELL_AGAIN: Duration = Duration::from_secs(60 * 60);

impl Keeper {
    /// Answers every callback that nobody has looked at. Says whether there was any.
    pub(crate) async fn answer_callbacks(&self) -> Result<bool, KeepError> {
        let state = self.plane.state();
        let open: Vec<_> = state
            .people
            .callbacks
            .iter()
            .filter(|(_, callback)| callback.erasures.is_none())
            .map(|(code, callback)| (code.clone(), callback.clone()))
            .collect();
        if open.is_empty() {
            return Ok(false);
        }
        let asked = self.asked().await?;
        let kept_ms = i64::try_from(control::CALLBACKS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let mut answered = 0;
        let mut shut = 0;
        for (code, callback) in &open {
            let mut erasures = Vec::new();
            if callback.kind == CallbackKind::DataDeletion {
                let context = format!("callback/{}/{code}", callback.app);
                match asked.get(code).map(|user| self.root.edge().open(&context, user)) {
                    Some(Ok(user)) => {
                        let user = String::from_utf8_lossy(user.expose_secret()).into_owned();
                        erasures = self.request(&user).await?;
                    }
                    // It stays open: the key that opens it may come yet.
                    Some(Err(cause)) => {
                        shut += 1;
                        self.tell_shut(code, &cause);
                        continue;
                    }
                    // Somebody else answers it just now, or nobody did in all the time that its id is kept.
                    None if self.clock.now_ms().saturating_sub(callback.at_ms) < kept_ms => continue,
                    None => {
                        error!(
                            code,
                            "a request to be forgotten waited for too long: whom it is about is gone"
                        );
                    }
                }
            }
            info!(code, "a {} callback leads to {} erasures", callback.kind.as_str(), erasures.len());
            self.act(Action::CallbackAnswered { code: code.clone(), erasures }).await?;
            answered += 1;
        }
        self.metrics.callbacks_shut.set(shut);
        self.forget_answered(asked).await?;
        Ok(answered > 0)
    }

    /// Puts tombstones over whom callbacks were about that are answered. With every sweep too: the process may have ended in
    /// between, and a late repeat may have come.
    pub(crate) async fn forget_answered(&self, asked: HashMap<String, String>) -> Result<(), KeepError> {
        let state = self.plane.state();
        for code in asked.into_keys() {
            if state.people.callbacks.get(&code).is_some_and(|callback| callback.erasures.is_some()) {
                let gone = Record { key: Some(Bytes::from(code)), value: None, headers: Vec::new() };
                self.log.append(&self.asked_at()?, gone)?.await?;
            }
        }
        Ok(())
    }

    fn asked_at(&self) -> Result<TopicPartition, KeepError> {
        Ok(TopicPartition::new(&Topic::new(self.topics.callbacks())?, 0))
    }

    /// Whom callbacks are about, sealed, by their codes: those that nobody has looked at, and hardly any others.
    pub(crate) async fn asked(&self) -> Result<HashMap<String, String>, KeepError> {
        let at = self.asked_at()?;
        let bounds = self.log.bounds(&at).await?;
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).ok();
        let range = (bounds.earliest, bounds.end);
        let records = read_range(&self.log, &at, range, |stored| {
            Some((text(stored.record.key.as_ref()?)?, stored.record.value.as_ref().and_then(text)))
        });
        let mut asked = HashMap::new();
        for (code, user) in records.await? {
            match user {
                Some(user) => _ = asked.insert(code, user),
                None => _ = asked.remove(&code),
            }
        }
        Ok(asked)
    }

    /// Once, and again after a while.
    fn tell_shut(&self, code: &str, cause: &SealError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(code).is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
            told.insert(code.to_owned(), Instant::now());
            error!(error = %cause, code, "somebody asks to be forgotten, and whom it is about does not open: the root key file here is older than ingest's edge key file, or another one. It is tried again until it does");
        }
    }

    /// Asks for the erasure of everybody known by this id, at whichever tenant.
    async fn request(&self, user: &str) -> Result<Vec<ErasureId>, KeepError> {
        let state = self.plane.state();
        let mut erasures = Vec::new();
        for (tenant, known) in &state.tenants {
            if known.state == TenantState::Purged {
                continue;
            }
            let assets: Vec<_> = state
                .routes
                .iter()
                .filter(|(_, route)| route.tenant == *tenant)
                .map(|(asset, _)| asset.clone())
                .collect();
            // A tenant that never had an event has no keys, and nobody to look for.
            if self.keyring.db().tenant_keys(tenant).await?.is_none() {
                continue;
            }
            // Never as a phone number: an id of the app that looks like one would forget somebody else.
            let mut candidates = Identifier::candidates(user, &assets);
            candidates.retain(|candidate| candidate.kind != IdentifierKind::Phone);
            for subject in self.keyring.known(tenant, &candidates).await? {
                let erasure = match self.plane.state().people.erasing(tenant, subject) {
                    Some(erasure) => erasure,
                    None => {
                        let erasure = ErasureId::from_bytes(rand::random());
                        let (tenant, reason) = (tenant.clone(), ErasureReason::Meta);
                        self.act(Action::ErasureRequested { erasure, tenant, subject, reason }).await?;
                        erasure
                    }
                };
                erasures.push(erasure);
            }
        }
        Ok(erasures)
    }
}
