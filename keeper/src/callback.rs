//! Meta's callbacks (`meta-platform.md` §8): whom one is about is looked for among every tenant's people, and each that is
//! found is forgotten.

use schemas::{Action, CallbackKind, ErasureId, ErasureReason, Identifier, TenantState};
use secrecy::ExposeSecret;
use tracing::{info, warn};

use crate::KeepError;
use crate::keeper::Keeper;

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
        for (code, callback) in &open {
            let mut erasures = Vec::new();
            if callback.kind == CallbackKind::DataDeletion {
                let context = format!("callback/{}/{code}", callback.app);
                match self.root.edge().open(&context, &callback.user) {
                    Ok(user) => {
                        let user = String::from_utf8_lossy(user.expose_secret()).into_owned();
                        erasures = self.request(&user).await?;
                    }
                    Err(cause) => warn!(error = %cause, code, "whom a callback is about does not open"),
                }
            }
            info!(code, "a {} callback leads to {} erasures", callback.kind.as_str(), erasures.len());
            self.act(Action::CallbackAnswered { code: code.clone(), erasures }).await?;
        }
        Ok(!open.is_empty())
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
            for subject in self.keyring.known(tenant, &Identifier::candidates(user, &assets)).await? {
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
