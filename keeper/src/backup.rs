//! Backups: both databases as they are at one moment, sealed with a key of their own, in the store of objects. Whoever
//! deletes that key has deleted the backup, wherever copies of it are.
//!
//! A monthly backup outlives what people may ask to be forgotten, so it holds no keys of theirs (`reliability.md` §0, 9).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use schemas::Action;
use seal::{Context, Key, SealError, StreamSealer};
use serde::{Deserialize, Serialize};
use store::{BackupError, Copied};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use crate::KeepError;
use crate::keeper::{Keeper, reached};
use crate::retention::{Class, Turn};

pub(crate) const BACKUPS: &str = "backups/";
const MANIFEST: &str = "manifest.json";
const PAGE: usize = 1_000;
/// Pieces between the database and the store.
const UNDER_WAY: usize = 8;
/// No manifest is longer.
const MANIFEST_BYTES: usize = 1 << 20;

/// How long a backup is kept, and with it what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Views and keyring, for a month.
    Daily,
    /// The views alone, for a year.
    Monthly,
}

impl BackupKind {
    /// The kind as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        }
    }

    const fn class(self) -> Class {
        match self {
            Self::Daily => Class::BackupDaily,
            Self::Monthly => Class::BackupMonthly,
        }
    }
}

impl std::str::FromStr for BackupKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "daily" => Ok(Self::Daily),
            "monthly" => Ok(Self::Monthly),
            _ => Err("a backup is daily or monthly".to_owned()),
        }
    }
}

/// What a backup holds of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPart {
    /// The version of its schema.
    pub schema: u32,
    /// Its length, sealed.
    pub bytes: u64,
    /// How many rows of each table.
    pub tables: BTreeMap<String, u64>,
}

/// A backup, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupInfo {
    /// Its id.
    pub id: String,
    /// What it holds and how long it is kept.
    pub kind: BackupKind,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
    /// When it is destroyed, Unix milliseconds.
    pub expires_ms: i64,
    /// The views.
    pub views: BackupPart,
    /// The keyring, in a daily one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<BackupPart>,
    /// The generations of the root key that its tenants' keys are sealed with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roots: BTreeSet<String>,
}

pub(crate) fn place(id: &str, name: &str) -> String {
    format!("{BACKUPS}{id}/{name}")
}

pub(crate) fn key_context(id: &str) -> String {
    format!("backup/{id}")
}

pub(crate) fn stream_context(id: &str, part: &str) -> Context {
    Context::new("backup").part(id).part(part)
}

impl Keeper {
    /// Makes a backup. Memory stays flat, and nothing waits for it.
    ///
    /// # Errors
    /// A database, the store of objects or the log does not answer.
    pub async fn backup_create(&self, kind: BackupKind) -> Result<BackupInfo, KeepError> {
        let created_ms = self.clock.now_ms();
        let at = jiff::Timestamp::from_millisecond(created_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        // In the order of their making, and no two alike.
        let id = format!(
            "{}-{}-{}",
            at.strftime("%Y%m%dT%H%M%SZ"),
            kind.as_str(),
            hex::encode(rand::random::<[u8; 4]>())
        );
        let key = Key::generate()?;
        let sealed = self.root.seal(&key_context(&id), key.expose())?;
        self.blobs.put(&place(&id, "key"), Bytes::from(sealed)).await?;
        reached("backup_key");
        let mut roots = BTreeSet::new();
        let keyring = match kind {
            // Before the views: whoever is in those is in the keyring, or was forgotten in between.
            BackupKind::Daily => {
                let db = self.keyring.db();
                roots.extend(self.used_by_tenants().await?);
                let copied = self.copy(&id, "keyring", &key, async |sink| db.copy_out(&sink).await).await?;
                // A rotation may have gone on meanwhile.
                roots.extend(self.used_by_tenants().await?);
                Some(copied)
            }
            BackupKind::Monthly => None,
        };
        let views = self.copy(&id, "views", &key, async |sink| self.views.copy_out(&sink).await).await?;
        reached("backup_copied");
        let expires_ms = created_ms.saturating_add(self.config.keep_ms(kind.class()));
        let info = BackupInfo { id, kind, created_ms, expires_ms, views, keyring, roots };
        let manifest = serde_json::to_vec(&info).expect("a manifest is plain data");
        // Last: without it, it is no backup.
        self.blobs.put(&place(&info.id, MANIFEST), Bytes::from(manifest)).await?;
        self.act(Action::BackupCreated { backup: info.id.clone() }).await?;
        info!(backup = info.id, "made the {} backup {}", kind.as_str(), info.id);
        Ok(info)
    }

    /// Every backup, the oldest first.
    ///
    /// # Errors
    /// The store of objects does not answer.
    pub async fn backup_list(&self) -> Result<Vec<BackupInfo>, KeepError> {
        let mut backups = Vec::new();
        for (id, _) in self.backup_ids().await? {
            backups.extend(self.manifest(&id).await?);
        }
        backups.sort_by(|one, other| (one.created_ms, &one.id).cmp(&(other.created_ms, &other.id)));
        Ok(backups)
    }

    /// A backup's manifest; `None` when there is none, or it is not finished.
    pub(crate) async fn manifest(&self, id: &str) -> Result<Option<BackupInfo>, KeepError> {
        let Some(text) = self.small(&place(id, MANIFEST), MANIFEST_BYTES).await? else { return Ok(None) };
        Ok(serde_json::from_slice::<BackupInfo>(&text).ok().filter(|info| info.id == id))
    }

    /// A small object, whole; `None` when there is none, or it is not small.
    pub(crate) async fn small(&self, key: &str, most_bytes: usize) -> Result<Option<Vec<u8>>, KeepError> {
        let Some(mut body) = self.blobs.get(key).await? else { return Ok(None) };
        let mut whole = Vec::new();
        while let Some(piece) = body.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() > most_bytes {
                return Ok(None);
            }
        }
        Ok(Some(whole))
    }

    /// Every backup there is anything of, finished or not, and when the newest of its objects was stored.
    pub(crate) async fn backup_ids(&self) -> Result<BTreeMap<String, i64>, KeepError> {
        let mut ids: BTreeMap<String, i64> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.blobs.list(BACKUPS, after.clone(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(ids) };
            after = Some(last.key.clone());
            for object in page {
                let Some((id, _)) = object.key.strip_prefix(BACKUPS).and_then(|rest| rest.split_once('/'))
                else {
                    continue;
                };
                let newest = ids.entry(id.to_owned()).or_insert(object.modified_ms);
                *newest = object.modified_ms.max(*newest);
            }
        }
    }

    /// Destroys backups of a kind that were made before this time.
    pub(crate) async fn expire_backups(
        &self,
        kind: BackupKind,
        before_ms: i64,
        dry: bool,
    ) -> Result<Turn, KeepError> {
        let now_ms = self.steady.now_ms();
        let mut turn = Turn::default();
        for info in self.backup_list().await?.into_iter().filter(|info| info.kind == kind) {
            // As its manifest promised, or sooner.
            if info.created_ms > before_ms && info.expires_ms > now_ms {
                turn.oldest_ms = turn.oldest_ms.into_iter().chain([info.created_ms]).min();
                continue;
            }
            turn.count += 1;
            if dry {
                turn.oldest_ms = turn.oldest_ms.into_iter().chain([info.created_ms]).min();
                continue;
            }
            self.blobs.delete(&place(&info.id, "key")).await?;
            reached("backup_expired");
            for part in ["keyring", "views"] {
                self.blobs.delete(&place(&info.id, part)).await?;
            }
            self.act(Action::BackupExpired { backup: info.id.clone() }).await?;
            self.blobs.delete_prefix(&place(&info.id, "")).await?;
        }
        Ok(turn)
    }

    /// Destroys what was begun before this time and has no manifest.
    pub(crate) async fn expire_unfinished(&self, before_ms: i64, dry: bool) -> Result<Turn, KeepError> {
        let mut turn = Turn::default();
        for (id, newest_ms) in self.backup_ids().await? {
            if self.manifest(&id).await?.is_some() {
                continue;
            }
            if newest_ms >= before_ms {
                turn.oldest_ms = turn.oldest_ms.into_iter().chain([newest_ms]).min();
                continue;
            }
            turn.count += 1;
            if !dry {
                self.blobs.delete(&place(&id, "key")).await?;
                self.blobs.delete_prefix(&place(&id, "")).await?;
            }
        }
        Ok(turn)
    }

    /// Copies one database into the store, sealed on the way.
    async fn copy(
        &self,
        id: &str,
        part: &str,
        key: &Key,
        copy_out: impl AsyncFnOnce(mpsc::Sender<Bytes>) -> Result<Copied, BackupError>,
    ) -> Result<BackupPart, KeepError> {
        let (sink, pieces) = mpsc::channel(UNDER_WAY);
        let (is_whole, whole) = oneshot::channel();
        let sealer = StreamSealer::new(key, stream_context(id, part))?;
        let object = place(id, part);
        let putting = self.blobs.put_stream(&object, sealed(sealer, pieces, whole));
        let copying = async {
            let copied = copy_out(sink).await;
            if copied.is_ok() {
                // Whoever puts it may have failed: that is told below.
                let _ = is_whole.send(());
            }
            copied
        };
        let (copied, put) = tokio::join!(copying, putting);
        match (copied, put) {
            (Ok(copied), Ok(bytes)) => Ok(BackupPart { schema: copied.schema, bytes, tables: copied.tables }),
            (Err(BackupError::Unread), Err(blob::PutError::Blob(cause)))
            | (Ok(_), Err(blob::PutError::Blob(cause))) => Err(cause.into()),
            (Err(cause), _) => Err(cause.into()),
            (Ok(_), Err(blob::PutError::Source(cause))) => Err(cause.unwrap_or(SealError::CutShort).into()),
        }
    }
}

/// The pieces, sealed. Ends with an error unless the copy is said to be whole.
fn sealed(
    sealer: StreamSealer,
    pieces: mpsc::Receiver<Bytes>,
    whole: oneshot::Receiver<()>,
) -> impl Stream<Item = Result<Bytes, Option<SealError>>> + Send {
    let state = Some((sealer, pieces, whole));
    stream::try_unfold(state, |state| async move {
        let Some((mut sealer, mut pieces, whole)) = state else { return Ok(None) };
        while let Some(piece) = pieces.recv().await {
            let out = sealer.push(&piece).map_err(Some)?;
            if !out.is_empty() {
                return Ok(Some((Bytes::from(out), Some((sealer, pieces, whole)))));
            }
        }
        whole.await.map_err(|_| None)?;
        Ok(Some((Bytes::from(sealer.finish().map_err(Some)?), None)))
    })
}
