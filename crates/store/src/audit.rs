//! The audit view: per-tenant hash chains with signed heads, and the pure check that nobody changed them.

use deadpool_postgres::Transaction;
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use schemas::TenantId;

use crate::connect::tenant_transaction;
use crate::offset::{advance, big, unsigned};
use crate::{Moved, OffsetMove, StoreError, ViewsDb};

/// The chain of what concerns no tenant.
pub const PLATFORM_CHAIN: &str = "_platform";
/// The action of the entry that older ones were removed up to. It keeps its hash, so that the next one follows from it.
pub const AUDIT_PRUNED: &str = "audit_pruned";
/// The action of what the platform's chain says of removed entries.
const SWEPT: &str = "retention_swept";

/// The word that `control` has for the removal of a chain's entries up to this one.
pub(crate) fn anchor_word(chain: &str, sequence: u64, hash: &[u8; 32]) -> String {
    format!("audit:{chain}:{sequence}:{}", hex::encode(hash))
}

/// An entry as it is to be chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditRow {
    /// Whose chain; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// Where in `control` it stands.
    pub control_offset: u64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
}

/// An entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The chain: a tenant, or [`PLATFORM_CHAIN`].
    pub chain: String,
    /// Its place, from 0.
    pub sequence: u64,
    /// Where in `control` it stands.
    pub control_offset: u64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// Hash over this entry and the hash before it.
    pub hash: [u8; 32],
}

/// A chain's signed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The chain.
    pub chain: String,
    /// The last entry's place.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// Ed25519 key that signed.
    pub public_key: Vec<u8>,
    /// Signature over chain, place and hash.
    pub signature: Vec<u8>,
}

/// Why a chain is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// An entry is not there, or one too many is.
    #[error("entry {expected} is missing")]
    Gap {
        /// The place that should be next.
        expected: u64,
    },
    /// An entry's hash does not follow from it and the one before.
    #[error("entry {sequence} was changed, or one before it")]
    Hash {
        /// The first such place.
        sequence: u64,
    },
    /// There are entries and no head, or a head without its entry.
    #[error("the signed head does not stand at the last entry")]
    Head,
    /// The head's signature is not true.
    #[error("the head's signature is not true")]
    Signature,
}

/// The hash of an entry: SHA-256 over the hash before it (32 zeros at the beginning) and its fields, each with its length.
pub fn entry_hash(
    before: &[u8; 32],
    chain: &str,
    sequence: u64,
    control_offset: u64,
    at_ms: i64,
    fields: [&str; 3],
) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(b"tidings-audit-v1");
    part(before);
    part(chain.as_bytes());
    part(&sequence.to_be_bytes());
    part(&control_offset.to_be_bytes());
    part(&at_ms.to_be_bytes());
    for field in fields {
        part(field.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// What a head's signature covers.
fn head_message(chain: &str, sequence: u64, hash: &[u8; 32]) -> Vec<u8> {
    format!("tidings-audit-head-v1\n{chain}\n{sequence}\n{}\n", hex::encode(hash)).into_bytes()
}

/// Whether a chain is whole: entries without a gap, every hash true, the head at the last entry and truly signed. `key`,
/// where given, is the only key that may have signed. A chain whose older entries were removed goes on from the hash of the
/// last of them; [`ViewsDb::audit_chain`] gives that one only if the platform's chain says so too.
pub fn verify_chain(
    entries: &[AuditRow],
    head: Option<&AuditHead>,
    key: Option<&[u8]>,
) -> Result<(), AuditFault> {
    let anchor = entries.first().filter(|first| first.action == AUDIT_PRUNED);
    let mut before = anchor.map_or([0; 32], |anchor| anchor.hash);
    let first = anchor.map_or(0, |anchor| anchor.sequence.saturating_add(1));
    for (expected, entry) in (first..).zip(entries.iter().skip(usize::from(anchor.is_some()))) {
        if entry.sequence != expected {
            return Err(AuditFault::Gap { expected });
        }
        let fields = [entry.actor.as_str(), entry.action.as_str(), entry.target.as_str()];
        before = entry_hash(&before, &entry.chain, entry.sequence, entry.control_offset, entry.at_ms, fields);
        if before != entry.hash {
            return Err(AuditFault::Hash { sequence: expected });
        }
    }
    let (last, head) = match (entries.last(), head) {
        (None, None) => return Ok(()),
        (Some(last), Some(head)) => (last, head),
        _ => return Err(AuditFault::Head),
    };
    if (head.sequence, head.hash) != (last.sequence, last.hash) {
        return Err(AuditFault::Head);
    }
    if key.is_some_and(|key| key != head.public_key) {
        return Err(AuditFault::Signature);
    }
    UnparsedPublicKey::new(&ED25519, &head.public_key)
        .verify(&head_message(&head.chain, head.sequence, &head.hash), &head.signature)
        .map_err(|_| AuditFault::Signature)
}

impl ViewsDb {
    /// Chains a batch of entries, signs the heads, and moves the audit projection.
    pub async fn apply_audit(
        &self,
        step: &OffsetMove<'_>,
        entries: &[NewAuditRow],
        signer: &Ed25519KeyPair,
    ) -> Result<Moved, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        if !advance(&transaction, step).await? {
            return Ok(Moved::Conflict);
        }
        let mut chains: Vec<&str> = entries
            .iter()
            .map(|entry| entry.tenant.as_ref().map_or(PLATFORM_CHAIN, TenantId::as_str))
            .collect();
        chains.sort_unstable();
        chains.dedup();
        for chain in chains {
            let new = entries
                .iter()
                .filter(|entry| entry.tenant.as_ref().map_or(PLATFORM_CHAIN, TenantId::as_str) == chain);
            extend(&transaction, chain, new, signer).await?;
        }
        transaction.commit().await?;
        Ok(Moved::Applied)
    }

    /// A page of a chain, in order: at most so many entries, those after this place.
    pub async fn audit(
        &self,
        tenant: Option<&TenantId>,
        limit: u32,
        after: Option<u64>,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.entries(tenant.map_or(PLATFORM_CHAIN, TenantId::as_str), i64::from(limit), after).await
    }

    /// All entries of the chain of that name, in order. Where older ones were removed, the first one says so; one that says
    /// so and that the platform's chain knows nothing of is left out, and the chain has a gap.
    pub async fn audit_chain(&self, chain: &str) -> Result<Vec<AuditRow>, StoreError> {
        let mut entries = self.entries(chain, i64::MAX, None).await?;
        if let Some(first) = entries.first().filter(|first| first.action == AUDIT_PRUNED) {
            let of = format!(" of {}", anchor_word(chain, first.sequence, &first.hash));
            let mut connection = self.get().await?;
            let transaction = tenant_transaction(&mut connection, PLATFORM_CHAIN).await?;
            let known = transaction
                .query_one(
                    "SELECT EXISTS (SELECT FROM audit_entry WHERE tenant_id = $1 AND action = $2 AND right(target, length($3)) = $3)",
                    &[&PLATFORM_CHAIN, &SWEPT, &of],
                )
                .await?;
            if !known.get::<_, bool>(0) {
                entries.remove(0);
            }
        }
        Ok(entries)
    }

    async fn entries(
        &self,
        chain: &str,
        limit: i64,
        after: Option<u64>,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, chain).await?;
        let rows = transaction
            .query(
                "SELECT sequence, control_offset, at_ms, actor, action, target, hash FROM audit_entry
                 WHERE tenant_id = $1 AND ($2::bigint IS NULL OR sequence > $2) ORDER BY sequence LIMIT $3",
                &[&chain, &after.map(big), &limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    chain: chain.to_owned(),
                    sequence: unsigned(row.get(0)),
                    control_offset: unsigned(row.get(1)),
                    at_ms: row.get(2),
                    actor: row.get(3),
                    action: row.get(4),
                    target: row.get(5),
                    hash: hash(row.get(6))?,
                })
            })
            .collect()
    }

    /// A chain's signed head.
    pub async fn audit_head(&self, chain: &str) -> Result<Option<AuditHead>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, chain).await?;
        let row = transaction
            .query_opt(
                "SELECT sequence, hash, public_key, signature FROM audit_head WHERE tenant_id = $1",
                &[&chain],
            )
            .await?;
        row.map(|row| {
            Ok(AuditHead {
                chain: chain.to_owned(),
                sequence: unsigned(row.get(0)),
                hash: hash(row.get(1))?,
                public_key: row.get(2),
                signature: row.get(3),
            })
        })
        .transpose()
    }
}

pub(crate) fn hash(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged { table: "audit_entry" })
}

async fn extend(
    transaction: &Transaction<'_>,
    chain: &str,
    entries: impl Iterator<Item = &NewAuditRow>,
    signer: &Ed25519KeyPair,
) -> Result<(), StoreError> {
    let head = transaction
        .query_opt("SELECT sequence, hash FROM audit_head WHERE tenant_id = $1 FOR UPDATE", &[&chain])
        .await?;
    let (mut sequence, mut before) = match &head {
        Some(row) => (unsigned(row.get(0)) + 1, hash(row.get(1))?),
        None => (0, [0; 32]),
    };
    let first = sequence;
    let (mut offsets, mut at, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut actors, mut actions, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let fields = [entry.actor.as_str(), entry.action.as_str(), entry.target.as_str()];
        before = entry_hash(&before, chain, sequence, entry.control_offset, entry.at_ms, fields);
        offsets.push(big(entry.control_offset));
        at.push(entry.at_ms);
        actors.push(fields[0]);
        actions.push(fields[1]);
        targets.push(fields[2]);
        hashes.push(before.to_vec());
        sequence += 1;
    }
    if hashes.is_empty() {
        return Ok(());
    }
    transaction
        .execute(
            "INSERT INTO audit_entry (tenant_id, sequence, control_offset, at_ms, actor, action, target, hash)
             SELECT $1, $2 + n - 1, o, a, w, d, t, h
             FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bytea[]) WITH ORDINALITY AS e (o, a, w, d, t, h, n)",
            &[&chain, &big(first), &offsets, &at, &actors, &actions, &targets, &hashes],
        )
        .await?;
    let last = sequence - 1;
    let signature = signer.sign(&head_message(chain, last, &before));
    transaction
        .execute(
            "INSERT INTO audit_head (tenant_id, sequence, hash, public_key, signature) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant_id) DO UPDATE
             SET sequence = excluded.sequence, hash = excluded.hash, public_key = excluded.public_key, signature = excluded.signature",
            &[&chain, &big(last), &before.as_slice(), &signer.public_key().as_ref(), &signature.as_ref()],
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64, signer: &Ed25519KeyPair) -> (Vec<AuditRow>, AuditHead) {
        let mut before = [0; 32];
        let entries: Vec<AuditRow> = (0..count)
            .map(|sequence| {
                let at_ms = i64::try_from(sequence).unwrap();
                before = entry_hash(
                    &before,
                    "acme",
                    sequence,
                    sequence,
                    at_ms,
                    ["admin", "tenant_added", "tenant acme"],
                );
                AuditRow {
                    chain: "acme".into(),
                    sequence,
                    control_offset: sequence,
                    at_ms,
                    actor: "admin".into(),
                    action: "tenant_added".into(),
                    target: "tenant acme".into(),
                    hash: before,
                }
            })
            .collect();
        let head = AuditHead {
            chain: "acme".into(),
            sequence: count - 1,
            hash: before,
            public_key: signer.public_key().as_ref().to_vec(),
            signature: signer.sign(&head_message("acme", count - 1, &before)).as_ref().to_vec(),
        };
        (entries, head)
    }

    #[test]
    fn every_kind_of_tampering_is_seen() {
        let signer = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let (entries, head) = chain(5, &signer);
        assert_eq!(verify_chain(&entries, Some(&head), None), Ok(()));
        assert_eq!(verify_chain(&[], None, None), Ok(()));

        let mut edited = entries.clone();
        edited[2].target = "tenant other".into();
        assert_eq!(verify_chain(&edited, Some(&head), None), Err(AuditFault::Hash { sequence: 2 }));
        let mut removed = entries.clone();
        removed.remove(1);
        assert_eq!(verify_chain(&removed, Some(&head), None), Err(AuditFault::Gap { expected: 1 }));
        assert_eq!(verify_chain(&entries[..4], Some(&head), None), Err(AuditFault::Head));
        assert_eq!(verify_chain(&[], Some(&head), None), Err(AuditFault::Head));
        assert_eq!(verify_chain(&entries, None, None), Err(AuditFault::Head));

        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let (_, forged) = chain(5, &other);
        let known = signer.public_key().as_ref();
        assert_eq!(verify_chain(&entries, Some(&forged), Some(known)), Err(AuditFault::Signature));
        let mut unsigned = head;
        unsigned.signature[0] ^= 1;
        assert_eq!(verify_chain(&entries, Some(&unsigned), None), Err(AuditFault::Signature));
    }

    #[test]
    fn a_chain_goes_on_from_where_its_older_entries_were_removed() {
        let signer = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let (entries, head) = chain(5, &signer);
        for removed in 0..5 {
            let mut left = entries[removed..].to_vec();
            left[0].action = AUDIT_PRUNED.into();
            left[0].target.clear();
            assert_eq!(verify_chain(&left, Some(&head), None), Ok(()), "{removed}");
            let mut moved = left.clone();
            moved[0].sequence += 1;
            let mut forged = left.clone();
            forged[0].hash[0] ^= 1;
            let next = removed as u64 + 1;
            let (gap, hash) = if removed == 4 {
                (AuditFault::Head, AuditFault::Head)
            } else {
                (AuditFault::Gap { expected: next + 1 }, AuditFault::Hash { sequence: next })
            };
            assert_eq!(verify_chain(&moved, Some(&head), None), Err(gap));
            assert_eq!(verify_chain(&forged, Some(&head), None), Err(hash));
        }
        // Anywhere but in front it is an entry like any other, and not a true one.
        let mut inside = entries.clone();
        inside[2].action = AUDIT_PRUNED.into();
        assert_eq!(verify_chain(&inside, Some(&head), None), Err(AuditFault::Hash { sequence: 2 }));
        // Without one, a chain begins at its beginning.
        assert_eq!(verify_chain(&entries[1..], Some(&head), None), Err(AuditFault::Gap { expected: 0 }));
    }
}
