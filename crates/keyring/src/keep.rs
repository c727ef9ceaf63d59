//! Destroying, replacing and keeping: what the keeper and the console do with keys.

use schemas::{Asset, SubjectId, TenantId};
use seal::SealError;
use secrecy::{ExposeSecret, SecretString};
use store::{KeyringDb, SubjectKeyRow};

use crate::tenant_keys::TenantKeys;
use crate::{Keyring, KeyringError};

/// How many people's keys are sealed again at once.
const SOME: i64 = 1_000;

impl Keyring {
    /// The database, for what needs no key.
    pub const fn db(&self) -> &KeyringDb {
        &self.db
    }

    /// Forgets a person: identifiers become tombstones of that time, keys go. Answers how many keys went. The processes
    /// that remember them have to be told.
    ///
    /// # Errors
    /// The database is away, or this process may not.
    pub async fn shred(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        erased_ms: i64,
    ) -> Result<u64, KeyringError> {
        Ok(self.db.shred(tenant, subject, erased_ms).await?)
    }

    /// Keeps an asset's access token.
    ///
    /// # Errors
    /// The database is away, or this process may not.
    pub async fn set_token(
        &self,
        tenant: &TenantId,
        asset: &Asset,
        token: &SecretString,
        at_ms: i64,
    ) -> Result<(), KeyringError> {
        let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
        // The key that it is sealed with must not be retired in between.
        let _in_use = self.lease().await;
        let keys = self.tenant(tenant).await?;
        let sealed = keys.seal_token(tenant, asset, token.expose_secret().as_bytes()).map_err(wrong)?;
        Ok(self.db.put_token(tenant, asset, &sealed, at_ms).await?)
    }

    /// An asset's access token.
    ///
    /// # Errors
    /// The database is away, or the token does not open.
    pub async fn token(
        &self,
        tenant: &TenantId,
        asset: &Asset,
    ) -> Result<Option<SecretString>, KeyringError> {
        let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
        let Some(sealed) = self.db.token(tenant, asset).await? else { return Ok(None) };
        let keys = self.tenant_for(tenant, &sealed).await?;
        let token = keys.open_token(tenant, asset, &sealed).map_err(wrong)?;
        let text = std::str::from_utf8(&token).map_err(|_| wrong(SealError::Format))?;
        Ok(Some(SecretString::from(text)))
    }

    /// Gives a tenant a fresh key and seals its people's keys with it; then the old one goes. Can be broken off and begun
    /// again. Answers how many keys were sealed again. Tokens have to be set again by their owner when `token` no longer
    /// opens, so they are sealed again too.
    ///
    /// # Errors
    /// The database is away, or keys do not open.
    pub async fn rotate_tenant(&self, tenant: &TenantId) -> Result<u64, KeyringError> {
        let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
        let row = self.db.tenant_keys(tenant).await?;
        let row = row.ok_or_else(|| KeyringError::NoKeys { tenant: tenant.clone() })?;
        let newest = row.generations.last().map_or(0, |(generation, _)| *generation);
        let next = newest.checked_add(1).ok_or_else(|| wrong(SealError::Format))?;
        let sealed = TenantKeys::generate_next(&self.root, tenant, next).map_err(wrong)?;
        self.db.add_tenant_key(tenant, next, &sealed).await?;
        self.forget().await;
        let keys = self.tenant(tenant).await?;
        for asset in self.db.token_assets(tenant).await? {
            if let Some(before) = self.db.token(tenant, &asset).await? {
                let token = keys.open_token(tenant, &asset, &before).map_err(wrong)?;
                let sealed = keys.seal_token(tenant, &asset, &token).map_err(wrong)?;
                // One that was set meanwhile stays.
                self.db.reseal_token(tenant, &asset, &before, &sealed).await?;
            }
        }
        let mut resealed = 0;
        let mut after = None;
        loop {
            let rows = self.db.keys_of(tenant, after, SOME).await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.subject, last.generation));
            let mut again = Vec::with_capacity(rows.len());
            for row in rows {
                let SubjectKeyRow { tenant, subject, generation, sealed } = row;
                let key = keys.open_subject(&tenant, subject, generation, &sealed).map_err(wrong)?;
                let sealed = keys.seal_subject(&tenant, subject, generation, &key).map_err(wrong)?;
                again.push(SubjectKeyRow { tenant, subject, generation, sealed });
            }
            resealed += self.db.reseal_subjects(&again).await?;
        }
        Ok(resealed)
    }

    /// Destroys the generations of a tenant's key that seal nothing any more. Everybody has to have forgotten them first:
    /// a process that knows the old one only would seal for people with it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn retire_tenant(&self, tenant: &TenantId) -> Result<u64, KeyringError> {
        let Some(row) = self.db.tenant_keys(tenant).await? else { return Ok(0) };
        let mut after = None;
        let mut used = std::collections::BTreeSet::new();
        loop {
            let rows = self.db.keys_of(tenant, after, SOME).await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.subject, last.generation));
            used.extend(rows.iter().filter_map(|row| seal::generation(&row.sealed)));
        }
        for asset in self.db.token_assets(tenant).await? {
            used.extend(self.db.token(tenant, &asset).await?.and_then(|sealed| seal::generation(&sealed)));
        }
        let mut retired = 0;
        let newest = row.generations.last().map(|(generation, _)| *generation);
        for (generation, _) in row.generations {
            if Some(generation) != newest && !used.contains(&generation) {
                self.db.drop_tenant_key(tenant, generation).await?;
                retired += 1;
            }
        }
        Ok(retired)
    }

    /// Seals every tenant's keys with the root key's newest generation. Can be broken off and begun again. Answers how many
    /// tenants there were.
    ///
    /// # Errors
    /// The database is away, or keys do not open.
    pub async fn reseal_tenants(&self) -> Result<u64, KeyringError> {
        let mut done = 0;
        for tenant in self.db.tenants().await? {
            let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
            let Some(row) = self.db.tenant_keys(&tenant).await? else { continue };
            let again = TenantKeys::reseal(&self.root, &tenant, &row).map_err(wrong)?;
            self.db.reseal_tenant(&tenant, &again).await?;
            done += 1;
        }
        Ok(done)
    }
}
