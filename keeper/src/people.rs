//! Making people one, and taking them apart, because an operator said so. Everybody can read it before it holds, as with what
//! payloads tell.

use std::collections::BTreeSet;

use publish::{FeedForm, Published, publish};
use schemas::{Asset, Kind, PeopleSaid, PersonLink, RawPosition, SubjectId, TenantId};

use crate::KeepError;
use crate::keeper::Keeper;

impl Keeper {
    /// Makes two people one, whatever was said of them before; it is said at `asset`, one of theirs. Doing it again is
    /// harmless.
    ///
    /// # Errors
    /// The log, the keyring or the control plane is away, or one of them was forgotten.
    pub async fn merge_people(
        &self,
        tenant: &TenantId,
        [one, other]: [SubjectId; 2],
        asset: &Asset,
    ) -> Result<(), KeepError> {
        let _lease = self.keyring.lease().await;
        let mut all = BTreeSet::new();
        for subject in [one, other] {
            all.extend(self.keyring.db().same_person(tenant, subject).await?);
        }
        let all: Vec<SubjectId> = all.into_iter().collect();
        self.say(tenant, asset, &[(Kind::PersonMerged, [one, other])]).await?;
        self.share(tenant, &all).await?;
        self.keyring.db().merge_people(tenant, &all, true).await?;
        // What was said of one of them in between.
        self.share(tenant, &all).await
    }

    /// Takes a subject out of the person it is of, for good: no payload brings them together again. Answers whether it was
    /// one of several.
    ///
    /// # Errors
    /// As [`Keeper::merge_people`].
    pub async fn split_person(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        asset: &Asset,
    ) -> Result<bool, KeepError> {
        let _lease = self.keyring.lease().await;
        let same = self.keyring.db().same_person(tenant, subject).await?;
        let others: Vec<SubjectId> = same.into_iter().filter(|other| *other != subject).collect();
        let Some((first, rest)) = others.split_first() else { return Ok(false) };
        let apart = others.iter().map(|other| (Kind::PersonSplit, [subject, *other]));
        // What held the others together may have been this one.
        let together = rest.iter().map(|other| (Kind::PersonMerged, [*first, *other]));
        let said: Vec<_> = apart.chain(together).collect();
        self.say(tenant, asset, &said).await?;
        self.keyring.db().split_person(tenant, subject).await?;
        Ok(true)
    }

    async fn share(&self, tenant: &TenantId, subjects: &[SubjectId]) -> Result<(), KeepError> {
        for action in self.plane.caught_up().await?.people.shared(tenant, subjects) {
            self.act(action).await?;
        }
        Ok(())
    }

    async fn say(
        &self,
        tenant: &TenantId,
        asset: &Asset,
        said: &[(Kind, [SubjectId; 2])],
    ) -> Result<(), KeepError> {
        let keys = self.keyring.tenant(tenant).await?;
        let state = self.plane.state();
        let format = state.tenants.get(tenant).map(|tenant| &tenant.feed);
        let form = format.map(FeedForm::of).transpose()?.unwrap_or(FeedForm::Clear);
        let now_ms = self.clock.now_ms();
        let by = PeopleSaid {
            tenant,
            asset,
            route: asset,
            at_ms: now_ms,
            received_ms: now_ms,
            raw: RawPosition::NOWHERE,
            cause: &now_ms.to_be_bytes(),
            evidence: PersonLink::OPERATOR,
        };
        let (events, feed) = (self.outlets.events().await?, self.outlets.feed(tenant).await?);
        for (kind, pair) in said {
            let [of, _] = *pair;
            let key = self.keyring.keys(&[(tenant.clone(), Some(of))]).await?.pop().flatten();
            let key = key.ok_or(KeepError::Gone)?;
            let is_restricted =
                pair.iter().any(|subject| state.people.restricted.contains(&(tenant.clone(), *subject)));
            let event = by.event(*kind, *pair, of, &keys.id_key);
            let Published { event, feed } = publish(&event, &key, &form, is_restricted, events, &feed)?;
            for (at, record) in [event, feed] {
                self.log.append(&at, record)?.await?;
            }
        }
        Ok(())
    }
}
