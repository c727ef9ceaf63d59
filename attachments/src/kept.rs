//! A file that is in the store already: stored before a crash, or named again by a repeat of its event. Meta may have it no
//! longer; it is not lost.

use blob::BlobStore;
use futures::StreamExt;
use keyring::SubjectKey;
use schemas::AttachmentId;
use seal::StreamOpener;
use tokio_util::sync::CancellationToken;

use crate::error::Trouble;

/// How much of a file's beginning tells what it is.
const HEAD: usize = 64 * 1024;

/// What is known of a file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) bytes: u64,
    pub(crate) media_type: &'static str,
}

/// Looks whether the object is there and opens, to its end. What does not open is as good as not there: it is fetched again
/// and replaced.
pub(crate) async fn kept(
    blobs: &BlobStore,
    name: &str,
    key: &SubjectKey,
    attachment: AttachmentId,
    declared: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Option<Kept>, Trouble> {
    let Some(mut object) = blobs.get(name).await? else { return Ok(None) };
    let (key, context) = key.file(attachment);
    let mut opener = StreamOpener::new(&key, context);
    let (mut bytes, mut head) = (0, Vec::new());
    let mut take = |plain: &[u8]| {
        bytes += plain.len() as u64;
        let wanted = (HEAD - head.len()).min(plain.len());
        head.extend_from_slice(plain.get(..wanted).unwrap_or_default());
    };
    while let Some(piece) = object.next().await {
        if cancel.is_cancelled() {
            return Err(Trouble::Gone);
        }
        match opener.push(&piece?) {
            Ok(plain) => take(&plain),
            Err(_) => return Ok(None),
        }
    }
    match opener.finish() {
        Ok(plain) => take(&plain),
        Err(_) => return Ok(None),
    }
    Ok(Some(Kept { bytes, media_type: graph::judge(&head, declared).media_type }))
}
