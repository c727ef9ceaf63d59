//! The two keys that every tenant has from its first event on.

use std::fmt;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use schemas::{IdKey, Identifier, TenantId};
use seal::{RootKey, SealError};
use secrecy::ExposeSecret;
use store::TenantKeyRow;
use zeroize::Zeroizing;

/// An identifier's HMAC under its tenant's pepper: what the keyring knows of it.
pub(crate) type Digest = [u8; 32];

/// A tenant's keys, opened. Cannot be printed.
pub struct TenantKeys {
    /// What event, message and conversation ids hang on. Never rotates.
    pub id_key: IdKey,
    pepper: hmac::Key,
}

impl TenantKeys {
    pub(crate) fn digest(&self, identifier: &Identifier) -> Digest {
        let mut context = hmac::Context::with_key(&self.pepper);
        for part in [identifier.kind.as_str(), identifier.value.as_str()] {
            // A length before every part: a kind and a value never run into one another.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Fresh keys, sealed for this tenant.
    pub(crate) fn generate(root: &RootKey, tenant: &TenantId) -> Result<TenantKeyRow, SealError> {
        let fresh = |context: String| {
            let mut key = Zeroizing::new([0; 32]);
            SystemRandom::new().fill(&mut *key).map_err(|_| SealError::Random)?;
            root.seal(&context, &*key)
        };
        Ok(TenantKeyRow { id_key: fresh(id_key_context(tenant))?, pepper: fresh(pepper_context(tenant))? })
    }

    pub(crate) fn open(root: &RootKey, tenant: &TenantId, row: &TenantKeyRow) -> Result<Self, SealError> {
        let open = |context: String, sealed: &str| {
            let opened = root.open(&context, sealed)?;
            let bytes: [u8; 32] = opened.expose_secret().try_into().map_err(|_| SealError::Format)?;
            Ok::<_, SealError>(Zeroizing::new(bytes))
        };
        let id_key = open(id_key_context(tenant), &row.id_key)?;
        let pepper = open(pepper_context(tenant), &row.pepper)?;
        Ok(Self { id_key: IdKey::new(&id_key), pepper: hmac::Key::new(hmac::HMAC_SHA256, &*pepper) })
    }
}

impl fmt::Debug for TenantKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKeys(…)")
    }
}

fn id_key_context(tenant: &TenantId) -> String {
    format!("tenant/{tenant}/id-key")
}

fn pepper_context(tenant: &TenantId) -> String {
    format!("tenant/{tenant}/lookup-pepper")
}

#[cfg(test)]
mod tests {
    use schemas::IdentifierKind;

    use super::*;

    #[test]
    fn keys_open_for_their_tenant_only_and_digests_keep_kinds_apart() {
        let root = RootKey::generate().unwrap();
        let (acme, other): (TenantId, TenantId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let row = TenantKeys::generate(&root, &acme).unwrap();
        let keys = TenantKeys::open(&root, &acme, &row).unwrap();
        assert!(matches!(TenantKeys::open(&root, &other, &row), Err(SealError::Opens)));
        assert!(TenantKeys::open(&RootKey::generate().unwrap(), &acme, &row).is_err());

        let of = |kind, value: &str| keys.digest(&Identifier { kind, value: value.to_owned() });
        let phone = of(IdentifierKind::Phone, "15550001");
        assert_eq!(phone, of(IdentifierKind::Phone, "15550001"));
        assert_ne!(phone, of(IdentifierKind::Bsuid, "15550001"));
        assert_ne!(phone, of(IdentifierKind::Phone, "15550002"));
        assert_eq!(format!("{keys:?}"), "TenantKeys(…)");
    }
}
