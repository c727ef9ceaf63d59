//! Bringing one file from Meta into the store of objects.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use blob::{BlobStore, PutError};
use graph::{Graph, MediaRequest, MediaSource};
use keyring::{Keyring, KeyringError, SubjectKey};
use schemas::{Asset, AssetKind, Attachment, AttachmentId, Content, Field, SealedEvent};
use seal::StreamSealer;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::error::Trouble;
use crate::hold::Hold;
use crate::intake;
use crate::kept::{Kept, kept};
use crate::sealing::sealed;

/// An event older than this may be a repeat of one whose files are stored already.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// What bringing a file takes. Clones share everything.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(crate) graph: Graph,
    pub(crate) blobs: BlobStore,
    pub(crate) keyring: Keyring,
}

/// A file to bring.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) event: &'a SealedEvent,
    pub(crate) attachment: AttachmentId,
    /// It was tried before.
    pub(crate) is_repeated: bool,
    pub(crate) now_ms: i64,
}

/// The name of a file's object.
pub(crate) fn object_name(event: &SealedEvent, attachment: AttachmentId) -> String {
    let subject = event.subject.unwrap_or(store::NOBODY);
    format!("{}{attachment}", folder(&event.tenant, subject, intake::message(event)))
}

/// What the names of a message's objects begin with.
pub(crate) fn folder(
    tenant: &schemas::TenantId,
    subject: schemas::SubjectId,
    message: schemas::MessageKey,
) -> String {
    format!("attachments/{tenant}/{subject}/{message}/")
}

impl Fetcher {
    /// Brings the file. When this returns it is durable, sealed, and what was said of it; or nothing of it is there. When its
    /// person is forgotten meanwhile it ends, and leaves nothing that was not there before.
    pub(crate) async fn bring(
        &self,
        wish: Wish<'_>,
        hold: &mut Hold,
        key: &SubjectKey,
    ) -> Result<Kept, Trouble> {
        let cancel = CancellationToken::new();
        let mut bringing = pin!(self.transfer(wish, key, &cancel));
        tokio::select! {
            biased;
            done = &mut bringing => return done,
            () = hold.until_forgotten() => {}
        }
        // Not dropped: a request that is on its way to the store could still be done afterwards.
        cancel.cancel();
        let _ = bringing.await;
        Err(Trouble::Gone)
    }

    async fn transfer(
        &self,
        wish: Wish<'_>,
        key: &SubjectKey,
        cancel: &CancellationToken,
    ) -> Result<Kept, Trouble> {
        let Wish { event, attachment, .. } = wish;
        let file = file(event, attachment, key)?;
        let name = object_name(event, attachment);
        let age_ms = wish.now_ms.saturating_sub(event.occurred_ms);
        let is_fresh = age_ms < i64::try_from(FRESH.as_millis()).unwrap_or(i64::MAX);
        if wish.is_repeated || !is_fresh {
            let declared = file.mime_type.as_deref();
            if let Some(kept) = kept(&self.blobs, &name, key, attachment, declared, cancel).await? {
                return Ok(kept);
            }
        }
        let request = request(event, file)?;
        let token = match request.source {
            MediaSource::WhatsappId { .. } => self.token(event).await?,
            MediaSource::Url(_) => None,
        };
        let opening = self.graph.open(&request, token.as_ref());
        let download = cancel.run_until_cancelled(opening).await.ok_or(Trouble::Gone)??;
        let fetched = Arc::new(OnceLock::new());
        let (key, context) = key.file(attachment);
        let sealer = StreamSealer::new(&key, context).map_err(Trouble::Seal)?;
        let stream = sealed(download, sealer, fetched.clone(), cancel.clone());
        self.blobs.put_stream(&name, stream).await.map_err(|error| match error {
            PutError::Source(cause) => cause,
            PutError::Blob(cause) => Trouble::Blob(cause),
        })?;
        let fetched = fetched.get().expect("the stream ended without an error");
        Ok(Kept { bytes: fetched.bytes, media_type: fetched.media_type })
    }

    /// The token to ask with: the number's own, else that of what is connected, else the tenant's one business account's.
    async fn token(&self, event: &SealedEvent) -> Result<Option<SecretString>, KeyringError> {
        for asset in [&event.asset, &event.route] {
            if let Some(token) = self.keyring.token(&event.tenant, asset).await? {
                return Ok(Some(token));
            }
        }
        let mut accounts = self.keyring.db().token_assets(&event.tenant).await?;
        accounts.retain(|asset| asset.kind() == AssetKind::Waba);
        match accounts.as_slice() {
            [account] => self.keyring.token(&event.tenant, account).await,
            // Of several none is known to be the number's.
            _ => Ok(None),
        }
    }
}

/// The file as its message names it.
fn file(event: &SealedEvent, attachment: AttachmentId, key: &SubjectKey) -> Result<Attachment, Trouble> {
    let content = key.open(event.id, Field::Content, &event.content).map_err(Trouble::Content)?;
    let files = match Content::from_json(event.kind, &content)? {
        Content::Message(message) => message.attachments,
        Content::Edited(edited) => edited.attachments,
        // Nothing else names files.
        _ => Vec::new(),
    };
    files.into_iter().find(|file| file.id == Some(attachment)).ok_or(Trouble::NoPlace)
}

fn request(event: &SealedEvent, file: Attachment) -> Result<MediaRequest, Trouble> {
    let source = match (file.media_id, file.url) {
        (Some(media_id), _) => MediaSource::WhatsappId { media_id, phone_number_id: number(&event.asset) },
        (None, Some(url)) => MediaSource::Url(url),
        (None, None) => return Err(Trouble::NoPlace),
    };
    Ok(MediaRequest { source, declared_mime: file.mime_type, declared_sha256: file.sha256 })
}

/// The number that received it, when it is known.
fn number(asset: &Asset) -> Option<String> {
    (asset.kind() == AssetKind::Whatsapp).then(|| asset.id().to_owned())
}
