//! A person's key in hand while their file is on its way.
//!
//! Whoever forgets a person waits until no process has their key in use. A file takes minutes, so that wait must not be for
//! its end: a fetch lets go again and again for a moment, and a fetch for somebody who is to be forgotten ends. It never lets
//! go with the key of somebody of whom it could know that they are forgotten.

use std::sync::Arc;
use std::time::Duration;

use control::ControlPlane;
use keyring::{Keyring, KeyringError, Lease, SubjectKey};
use schemas::{ControlState, SubjectId, TenantId};
use tokio::sync::watch;

/// How long it holds on before it lets go: as long as whoever forgets anybody may have to wait for it.
const HOLD: Duration = Duration::from_millis(200);

/// A person's key, or that of a tenant itself, in use.
pub(crate) struct Hold {
    keyring: Keyring,
    state: watch::Receiver<Arc<ControlState>>,
    owner: (TenantId, Option<SubjectId>),
    /// There but for the moments of letting go.
    lease: Option<Lease>,
}

impl Hold {
    /// Takes the key in hand; `None` when its owner was forgotten.
    pub(crate) async fn take(
        keyring: &Keyring,
        plane: &ControlPlane,
        tenant: &TenantId,
        subject: Option<SubjectId>,
    ) -> Result<Option<(Self, Arc<SubjectKey>)>, KeyringError> {
        let (keyring, state) = (keyring.clone(), plane.watch());
        let mut hold = Self { keyring, state, owner: (tenant.clone(), subject), lease: None };
        Ok(hold.renew().await?.map(|key| (hold, key)))
    }

    /// Returns when the owner is forgotten, with the hold on the key that was begun with. May be dropped at any await.
    pub(crate) async fn until_forgotten(&mut self) {
        loop {
            // What is said while nobody looks is seen at the latest then.
            let told = tokio::time::timeout(HOLD, self.state.changed()).await;
            if let Ok(Err(_)) = told {
                // Nobody follows control any more: the process is stopping.
                std::future::pending::<()>().await;
            }
            // A keyring that does not answer now is asked again in a moment, and before anything is said.
            if self.is_forgotten() || matches!(self.renew().await, Ok(None)) {
                return;
            }
        }
    }

    /// The key, if it may still be used; from here on it stays in hand.
    pub(crate) async fn confirm(&mut self) -> Result<Option<Arc<SubjectKey>>, KeyringError> {
        if self.is_forgotten() { Ok(None) } else { self.renew().await }
    }

    fn is_forgotten(&self) -> bool {
        let (tenant, subject) = &self.owner;
        subject
            .is_some_and(|subject| self.state.borrow().people.forgotten.contains(&(tenant.clone(), subject)))
    }

    /// Lets go and takes the key in hand again.
    async fn renew(&mut self) -> Result<Option<Arc<SubjectKey>>, KeyringError> {
        self.lease = None;
        // Kept without a key too: what was begun with the old one has to end before anybody is told that it is forgotten.
        self.lease = Some(self.keyring.lease().await);
        Ok(self.keyring.keys(std::slice::from_ref(&self.owner)).await?.pop().flatten())
    }
}
