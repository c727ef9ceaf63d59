//! Opening what the views hold sealed, for a tenant that may read it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use keyring::{Keyring, KeyringError, Lease, SubjectKey};
use schemas::{SubjectId, TenantId};
use store::SealedPart;
use zeroize::Zeroizing;

/// The keys of some people of one tenant.
///
/// While it is there, nobody is told that this process has forgotten them: not for longer than a request takes.
pub(crate) struct Opener {
    _in_use: Lease,
    keys: HashMap<Option<SubjectId>, Arc<SubjectKey>>,
}

impl Opener {
    /// The keys that these parts need; one round trip.
    pub(crate) async fn of<'a>(
        keyring: &Keyring,
        tenant: &TenantId,
        subjects: impl IntoIterator<Item = &'a Option<SubjectId>>,
    ) -> Result<Self, KeyringError> {
        let in_use = keyring.lease().await;
        let wanted: HashSet<Option<SubjectId>> = subjects.into_iter().copied().collect();
        let wanted: Vec<(TenantId, Option<SubjectId>)> =
            wanted.into_iter().map(|subject| (tenant.clone(), subject)).collect();
        let keys = if wanted.is_empty() { Vec::new() } else { keyring.keys(&wanted).await? };
        let found = wanted.into_iter().zip(keys);
        Ok(Self {
            _in_use: in_use,
            keys: found.filter_map(|((_, subject), key)| Some((subject, key?))).collect(),
        })
    }

    /// What a part says; `None` when its person was forgotten, or it is not what was sealed.
    pub(crate) fn open(&self, part: &SealedPart) -> Option<Zeroizing<Vec<u8>>> {
        self.keys.get(&part.subject)?.open(part.event, part.field, &part.bytes).ok()
    }

    /// The tenant's own key, for what is about nobody.
    pub(crate) fn own_key(&self) -> Option<&SubjectKey> {
        self.keys.get(&None).map(AsRef::as_ref)
    }

    /// A person's key.
    pub(crate) fn key(&self, subject: SubjectId) -> Option<&SubjectKey> {
        self.keys.get(&Some(subject)).map(AsRef::as_ref)
    }
}
