//! The keys that every tenant has from its first event on.

use std::fmt;

use ring::hmac;
use schemas::{Asset, IdKey, Identifier, SubjectId, TenantId};
use seal::{Context, Key, RootKey, SealError};
use secrecy::ExposeSecret;
use store::TenantKeyRow;
use zeroize::Zeroizing;

/// An identifier's HMAC under its tenant's pepper: what the keyring knows of it.
pub(crate) type Digest = [u8; 32];

/// What a user name's digest is keyed by: no kind of identifier has this name.
const USERNAME: &str = "username";
/// The same of a scope.
const SCOPE: &str = "scope";

/// A tenant's keys, opened. Cannot be printed.
pub struct TenantKeys {
    /// What event, message and conversation ids hang on. Never rotates.
    pub id_key: IdKey,
    pepper: hmac::Key,
    /// By generation, the newest last; at least one.
    generations: Vec<(u16, Key)>,
}

impl TenantKeys {
    pub(crate) fn digest(&self, identifier: &Identifier) -> Digest {
        self.keyed(identifier.kind.as_str(), &identifier.value)
    }

    /// The digest of the scope within which a person has one such identifier.
    pub(crate) fn scope(&self, scope: &str) -> Digest {
        self.keyed(SCOPE, scope)
    }

    /// The digest of a user name, which leads to people but makes nobody who they are.
    pub(crate) fn username(&self, name: &str) -> Digest {
        self.keyed(USERNAME, &name.to_lowercase())
    }

    fn keyed(&self, kind: &str, value: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.pepper);
        for part in [kind, value] {
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
        let fresh = |context: String| root.seal(&context, Key::generate()?.expose());
        Ok(TenantKeyRow {
            id_key: fresh(id_key_context(tenant))?,
            pepper: fresh(pepper_context(tenant))?,
            generations: vec![(1, fresh(key_context(tenant, 1))?)],
        })
    }

    /// A fresh key of a further generation, sealed for this tenant.
    pub(crate) fn generate_next(
        root: &RootKey,
        tenant: &TenantId,
        generation: u16,
    ) -> Result<String, SealError> {
        root.seal(&key_context(tenant, generation), Key::generate()?.expose())
    }

    pub(crate) fn open(root: &RootKey, tenant: &TenantId, row: &TenantKeyRow) -> Result<Self, SealError> {
        let bytes = |context: String, sealed: &str| open_bytes(root, &context, sealed);
        let id_key = bytes(id_key_context(tenant), &row.id_key)?;
        let pepper = bytes(pepper_context(tenant), &row.pepper)?;
        let generations = row
            .generations
            .iter()
            .map(|(generation, sealed)| {
                let key = Key::from_bytes(*bytes(key_context(tenant, *generation), sealed)?);
                Ok((*generation, key))
            })
            .collect::<Result<Vec<_>, SealError>>()?;
        if generations.is_empty() {
            return Err(SealError::Format);
        }
        Ok(Self {
            id_key: IdKey::new(&id_key),
            pepper: hmac::Key::new(hmac::HMAC_SHA256, &*pepper),
            generations,
        })
    }

    /// The same rows, sealed with the root key's newest generation.
    pub(crate) fn reseal(
        root: &RootKey,
        tenant: &TenantId,
        row: &TenantKeyRow,
    ) -> Result<TenantKeyRow, SealError> {
        let again =
            |context: String, sealed: &str| root.seal(&context, &*open_bytes(root, &context, sealed)?);
        Ok(TenantKeyRow {
            id_key: again(id_key_context(tenant), &row.id_key)?,
            pepper: again(pepper_context(tenant), &row.pepper)?,
            generations: row
                .generations
                .iter()
                .map(|(generation, sealed)| {
                    Ok((*generation, again(key_context(tenant, *generation), sealed)?))
                })
                .collect::<Result<_, SealError>>()?,
        })
    }

    /// The newest generation of the tenant's key.
    pub(crate) fn newest(&self) -> (u16, &Key) {
        self.generations.last().map(|(generation, key)| (*generation, key)).expect("checked when opened")
    }

    /// Whether one of these generations sealed this, by what it says of itself.
    pub(crate) fn has_sealed(&self, sealed: &[u8]) -> bool {
        seal::generation(sealed).is_some_and(|by| self.generation(by).is_ok())
    }

    fn generation(&self, wanted: u16) -> Result<&Key, SealError> {
        let found = self.generations.iter().find(|(generation, _)| *generation == wanted);
        found.map(|(_, key)| key).ok_or(SealError::Opens)
    }

    /// A person's key, sealed.
    pub(crate) fn seal_subject(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        generation: u16,
        key: &Key,
    ) -> Result<Vec<u8>, SealError> {
        let (newest, by) = self.newest();
        by.cipher(newest).seal(&subject_context(tenant, subject, generation), key.expose())
    }

    /// A person's key, opened.
    pub(crate) fn open_subject(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        generation: u16,
        sealed: &[u8],
    ) -> Result<Key, SealError> {
        let by = seal::generation(sealed).ok_or(SealError::Format)?;
        let context = subject_context(tenant, subject, generation);
        Key::from_slice(&self.generation(by)?.cipher(by).open(&context, sealed)?)
    }

    /// An asset's access token, sealed.
    pub(crate) fn seal_token(
        &self,
        tenant: &TenantId,
        asset: &Asset,
        token: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (newest, by) = self.newest();
        by.derive("token").cipher(newest).seal(&token_context(tenant, asset), token)
    }

    /// An asset's access token, opened.
    pub(crate) fn open_token(
        &self,
        tenant: &TenantId,
        asset: &Asset,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let by = seal::generation(sealed).ok_or(SealError::Format)?;
        self.generation(by)?.derive("token").cipher(by).open(&token_context(tenant, asset), sealed)
    }
}

impl fmt::Debug for TenantKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKeys(…)")
    }
}

fn open_bytes(root: &RootKey, context: &str, sealed: &str) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let opened = root.open(context, sealed)?;
    let bytes: [u8; 32] = opened.expose_secret().try_into().map_err(|_| SealError::Format)?;
    Ok(Zeroizing::new(bytes))
}

fn id_key_context(tenant: &TenantId) -> String {
    format!("tenant/{tenant}/id-key")
}

fn pepper_context(tenant: &TenantId) -> String {
    format!("tenant/{tenant}/lookup-pepper")
}

fn key_context(tenant: &TenantId, generation: u16) -> String {
    format!("tenant/{tenant}/key/{generation}")
}

fn subject_context(tenant: &TenantId, subject: SubjectId, generation: u16) -> Context {
    Context::new("subject-key").part(tenant.as_str()).part(subject.as_bytes()).part(generation.to_be_bytes())
}

fn token_context(tenant: &TenantId, asset: &Asset) -> Context {
    Context::new("asset-token").part(tenant.as_str()).part(asset.to_string())
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
        assert_eq!(keys.username("Sheena"), keys.username("sheena"));
        assert_eq!(format!("{keys:?}"), "TenantKeys(…)");
    }

    #[test]
    fn a_persons_key_opens_for_that_person_with_every_generation_of_the_tenants() {
        let root = RootKey::generate().unwrap();
        let acme: TenantId = "acme".parse().unwrap();
        let (one, two) = (SubjectId::from_bytes([1; 16]), SubjectId::from_bytes([2; 16]));
        let mut row = TenantKeys::generate(&root, &acme).unwrap();
        let before = TenantKeys::open(&root, &acme, &row).unwrap();
        let key = Key::generate().unwrap();
        let sealed = before.seal_subject(&acme, one, 1, &key).unwrap();
        row.generations.push((2, TenantKeys::generate_next(&root, &acme, 2).unwrap()));
        let after = TenantKeys::open(&root, &acme, &row).unwrap();
        assert_eq!(after.newest().0, 2);
        assert_eq!(after.open_subject(&acme, one, 1, &sealed).unwrap().expose(), key.expose());
        for (subject, generation) in [(two, 1), (one, 2)] {
            assert!(after.open_subject(&acme, subject, generation, &sealed).is_err());
        }
        let asset: Asset = "whatsapp:1".parse().unwrap();
        let token = before.seal_token(&acme, &asset, b"EAAG").unwrap();
        assert_eq!(after.open_token(&acme, &asset, &token).unwrap().as_slice(), b"EAAG");
        assert!(after.open_token(&acme, &"whatsapp:2".parse().unwrap(), &token).is_err());
    }
}
