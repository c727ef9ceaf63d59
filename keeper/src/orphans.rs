//! Files on both sides: objects that no message names are removed, and messages whose object is gone are counted.

use schemas::{AttachmentId, TenantId};
use tracing::info;

use crate::KeepError;
use crate::keeper::Keeper;
use crate::retention::Turn;

const ATTACHMENTS: &str = "attachments/";
const PAGE: usize = 1_000;

/// An object that is a file of a tenant.
struct File {
    key: String,
    modified_ms: i64,
    tenant: TenantId,
    id: AttachmentId,
}

/// `attachments/<tenant>/<subject>/<message>/<attachment>`.
fn file_of(key: &str) -> Option<(TenantId, AttachmentId)> {
    let mut parts = key.strip_prefix(ATTACHMENTS)?.split('/');
    let (tenant, _, _, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some((tenant.parse().ok()?, id.parse().ok()?))
}

impl Keeper {
    /// Removes objects from before this time that nobody needs. What is not as we write it stays.
    pub(crate) async fn orphans(&self, before_ms: i64, dry: bool) -> Result<Turn, KeepError> {
        // A view that is behind does not know yet what the newest objects are for.
        let events = self.topics.events();
        let ends = self.ends(&events).await?;
        if !self.has_read("conversation", &events, &ends, false).await? {
            info!("the conversation view is behind; objects that nobody needs go with the next sweep");
            return Ok(Turn::default());
        }
        let mut turn = Turn::default();
        // By tenant: what is stored, and what of it was found.
        let mut missing = 0;
        let mut of: Option<(TenantId, u64, u64)> = None;
        let mut after = None;
        loop {
            let page = self.blobs.list(ATTACHMENTS, after.clone(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let files: Vec<File> = page
                .into_iter()
                .filter_map(|object| {
                    let (tenant, id) = file_of(&object.key)?;
                    Some(File { key: object.key, modified_ms: object.modified_ms, tenant, id })
                })
                .collect();
            let named: Vec<_> = files.iter().map(|file| (file.tenant.clone(), file.id)).collect();
            let needed = self.views.needed(&named).await?;
            for file in &files {
                if needed.contains(&(file.tenant.clone(), file.id)) {
                    continue;
                }
                if file.modified_ms < before_ms {
                    turn.count += 1;
                    if !dry {
                        self.blobs.delete(&file.key).await?;
                        continue;
                    }
                }
                turn.oldest_ms = turn.oldest_ms.into_iter().chain([file.modified_ms]).min();
            }
            for some in files.chunk_by(|one, other| one.tenant == other.tenant) {
                let Some(tenant) = some.first().map(|file| file.tenant.clone()) else { continue };
                if of.as_ref().is_none_or(|(known, _, _)| *known != tenant) {
                    missing += self.settle(of.take(), before_ms).await?;
                    of = Some((tenant.clone(), self.views.stored_files(&tenant, before_ms).await?, 0));
                }
                let ids: Vec<AttachmentId> = some.iter().map(|file| file.id).collect();
                let found = self.views.stored_among(&tenant, before_ms, &ids).await?;
                of = of.map(|(tenant, stored, before)| (tenant, stored, before + found));
            }
        }
        missing += self.settle(of, before_ms).await?;
        missing += self.without_objects(before_ms).await?;
        self.metrics.missing.set(i64::try_from(missing).unwrap_or(i64::MAX));
        Ok(turn)
    }

    /// How many files of a tenant are said to be stored and were not found; those that went meanwhile left out.
    async fn settle(&self, of: Option<(TenantId, u64, u64)>, before_ms: i64) -> Result<u64, KeepError> {
        let Some((tenant, stored, found)) = of else { return Ok(0) };
        Ok(stored.min(self.views.stored_files(&tenant, before_ms).await?).saturating_sub(found))
    }

    /// How many files are said to be stored of tenants that have no object at all.
    async fn without_objects(&self, before_ms: i64) -> Result<u64, KeepError> {
        let mut missing = 0;
        for tenant in self.plane.state().tenants.keys() {
            let objects = self.blobs.list(&format!("{ATTACHMENTS}{tenant}/"), None, 1).await?;
            if objects.is_empty() {
                missing += self.views.stored_files(tenant, before_ms).await?;
            }
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_worker_writes_is_a_file() {
        let hex = "00112233445566778899aabbccddeeff";
        let (tenant, id) = file_of(&format!("attachments/acme/{hex}/{hex}/{hex}")).unwrap();
        assert_eq!((tenant.as_str(), id.to_string().as_str()), ("acme", hex));
        for other in [
            "attachments/acme/x",
            "attachments/acme/a/b/c",
            &format!("attachments/acme/{hex}/{hex}/{hex}/x"),
            "ledger/a",
        ] {
            assert!(file_of(other).is_none(), "{other}");
        }
    }
}
