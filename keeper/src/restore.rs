//! Filling the databases from a backup. Whoever was forgotten since it was made is forgotten in the same transaction that
//! brings its rows, so that nobody ever sees them; then everybody is told, and the barrier is gone through once more.

use std::collections::HashMap;

use bytes::Bytes;
use futures::StreamExt;
use schemas::{Action, ErasureState, SubjectId, TenantId};
use seal::{Context, Key, SealError, StreamOpener};
use secrecy::ExposeSecret;
use serde::Serialize;
use store::{BackupError, KeyTwice, KeyringLedger, LogBounds, RestoredKeyring, RestoredViews, ViewsLedger};
use tokio::sync::mpsc;
use tracing::info;

use crate::KeepError;
use crate::backup::{BackupInfo, key_context, place, stream_context};
use crate::barrier::barrier;
use crate::keeper::{Keeper, reached};
use crate::reseal::KEY_BYTES;
use crate::scan::{Held, bury, partitions};

const UNDER_WAY: usize = 8;

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The backup.
    pub backup: String,
    /// Rows of the views that came in.
    pub rows: u64,
    /// People who are known again, because the keyring had lost them.
    pub people: u64,
    /// People of the backup who had been forgotten since: of them nothing came back.
    pub forgotten: u64,
}

impl Keeper {
    /// Fills the views from a backup, and adds to the keyring whom it has lost. Everything may go on meanwhile: readers wait
    /// for a moment, and the projectors go on from where the backup's rows end.
    ///
    /// # Errors
    /// There is no such backup, it has expired, it is of another version; or something does not answer. Nothing of it is
    /// seen then, or it is done again without harm.
    pub async fn backup_restore(&self, id: &str) -> Result<RestoreReport, KeepError> {
        let none = || KeepError::NoBackup { backup: id.to_owned() };
        let info = self.manifest(id).await?.ok_or_else(none)?;
        let key = self.backup_key(id).await?;
        let keyring = match &info.keyring {
            Some(_) => self.restore_keyring(&info, &key).await?,
            None => RestoredKeyring::default(),
        };
        reached("restored_keyring");
        let views = self.restore_views(&info, &key).await?;
        reached("restored_views");
        // Whatever anybody remembers may be what was before.
        self.act(Action::BackupRestored { backup: id.to_owned() }).await?;
        self.wake(id).await?;
        barrier(self).await?;
        self.evicted().await?;
        let forgotten = views.people.max(keyring.forgotten);
        info!(backup = id, rows = views.rows, forgotten, "restored the backup {id}");
        Ok(RestoreReport { backup: id.to_owned(), rows: views.rows, people: keyring.people, forgotten })
    }

    /// Makes projectors look where they are: one that has nothing to do would not notice that it was set back. A tombstone
    /// over nothing changes nothing, and compaction removes it.
    async fn wake(&self, id: &str) -> Result<(), KeepError> {
        let mut held = Held::default();
        for at in partitions(&self.log, &self.topics.events()).await? {
            let key = Bytes::from(format!("restored/{id}/{}", hex::encode(rand::random::<[u8; 8]>())));
            held.records.entry(at).or_default().insert(key);
        }
        bury(&self.log, &held).await
    }

    /// A backup's key.
    async fn backup_key(&self, id: &str) -> Result<Key, KeepError> {
        let text = self.small(&place(id, "key"), KEY_BYTES).await?;
        let text = text.ok_or_else(|| KeepError::BackupClosed { backup: id.to_owned() })?;
        let text = std::str::from_utf8(&text).map_err(|_| SealError::Format)?;
        Ok(Key::from_slice(self.root.open(&key_context(id), text)?.expose_secret())?)
    }

    async fn restore_views(&self, info: &BackupInfo, key: &Key) -> Result<RestoredViews, KeepError> {
        let (sink, pieces) = mpsc::channel(UNDER_WAY);
        let reading = self.read(&info.id, "views", key, sink);
        let filling = self.views.copy_in(pieces, || self.views_ledger());
        settled(tokio::join!(reading, filling))
    }

    async fn restore_keyring(&self, info: &BackupInfo, key: &Key) -> Result<RestoredKeyring, KeepError> {
        let (sink, pieces) = mpsc::channel(UNDER_WAY);
        let reading = self.read(&info.id, "keyring", key, sink);
        let db = self.keyring.db();
        let filling = db.copy_in(pieces, || self.keyring_ledger(), |twice| self.is_same(twice));
        settled(tokio::join!(reading, filling))
    }

    /// Opens one part, piece by piece.
    async fn read(
        &self,
        id: &str,
        part: &str,
        key: &Key,
        sink: mpsc::Sender<Bytes>,
    ) -> Result<(), KeepError> {
        let context: Context = stream_context(id, part);
        let body = self.blobs.get(&place(id, part)).await?;
        let mut body = body.ok_or_else(|| KeepError::NoBackup { backup: id.to_owned() })?;
        let mut opener = StreamOpener::new(key, context);
        while let Some(piece) = body.next().await {
            let opened = opener.push(&piece?)?;
            if !opened.is_empty() && sink.send(Bytes::from(opened)).await.is_err() {
                // Whoever fills says why it takes no more.
                return Ok(());
            }
        }
        let _ = sink.send(Bytes::from(opener.finish()?)).await;
        Ok(())
    }

    /// Whom the views must not show again, and what the log holds now.
    async fn views_ledger(&self) -> Result<ViewsLedger, KeepError> {
        let state = self.plane.caught_up().await?;
        let mut log = Vec::new();
        for topic in [self.topics.events(), self.topics.quarantine(), self.topics.control()] {
            for at in partitions(&self.log, &topic).await? {
                let bounds = self.log.bounds(&at).await?;
                log.push(LogBounds {
                    topic: topic.clone(),
                    partition: at.partition,
                    earliest: bounds.earliest,
                    end: bounds.end,
                });
            }
        }
        let people = state.people.forgotten.iter().cloned().collect();
        let tenants = state.ended(self.steady.now_ms()).cloned().collect();
        Ok(ViewsLedger { people, tenants, log })
    }

    /// Whom the keyring must not know again.
    async fn keyring_ledger(&self) -> Result<KeyringLedger, KeepError> {
        let state = self.plane.caught_up().await?;
        let now_ms = self.clock.now_ms();
        let mut people: HashMap<(TenantId, SubjectId), i64> = HashMap::new();
        for erasure in state.people.erasures.values() {
            let person = (erasure.tenant.clone(), erasure.subject);
            let is_open = erasure.state == ErasureState::Requested;
            // Their keys may be gone already although nobody was told yet.
            if is_open && state.people.is_held(&person, now_ms) {
                continue;
            }
            let at_ms = people.entry(person).or_insert(erasure.at_ms);
            *at_ms = erasure.at_ms.max(*at_ms);
        }
        for person in &state.people.forgotten {
            people.entry(person.clone()).or_insert(now_ms);
        }
        let people = people.into_iter().map(|((tenant, subject), at_ms)| (tenant, subject, at_ms)).collect();
        let tenants = state.ended(self.steady.now_ms()).cloned().collect();
        Ok(KeyringLedger { people, tenants })
    }

    fn is_same(&self, twice: &KeyTwice) -> bool {
        let context = format!("tenant/{}/{}", twice.tenant, twice.key);
        let open = |sealed: &str| self.root.open(&context, sealed);
        match (open(&twice.copied), open(&twice.present)) {
            (Ok(one), Ok(other)) => one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

/// What filling came to, or why reading failed, which then is the reason.
fn settled<T>((read, filled): (Result<(), KeepError>, Result<T, BackupError>)) -> Result<T, KeepError> {
    match (read, filled) {
        (_, Ok(filled)) => Ok(filled),
        (Err(cause), Err(BackupError::Damaged)) => Err(cause),
        (_, Err(cause)) => Err(cause.into()),
    }
}
