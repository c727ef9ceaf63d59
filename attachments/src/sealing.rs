//! A file on its way through the seal. Its last sealed bytes come out only after all of it was checked, so that whoever stores
//! the stream whole or not at all stores nothing that is not what was said of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::Stream;
use graph::{Download, Fetched};
use seal::StreamSealer;
use tokio_util::sync::CancellationToken;

use crate::error::Trouble;

/// The rest of a file.
struct Rest {
    download: Download,
    sealer: StreamSealer,
}

/// The file, sealed. What is known of it once it has come whole is in `fetched`. Ends with an error when cancelled.
pub(crate) fn sealed(
    download: Download,
    sealer: StreamSealer,
    fetched: Arc<OnceLock<Fetched>>,
    cancel: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Trouble>> + Send {
    futures::stream::try_unfold(Some(Rest { download, sealer }), move |rest| {
        let (fetched, cancel) = (fetched.clone(), cancel.clone());
        async move {
            let Some(mut rest) = rest else { return Ok(None) };
            loop {
                let piece = cancel.run_until_cancelled(rest.download.next()).await.ok_or(Trouble::Gone)??;
                let Some(piece) = piece else { break };
                let out = rest.sealer.push(&piece).map_err(Trouble::Seal)?;
                if !out.is_empty() {
                    return Ok(Some((Bytes::from(out), Some(rest))));
                }
            }
            let found = rest.download.finish()?;
            let last = rest.sealer.finish().map_err(Trouble::Seal)?;
            // Only this stream sets it, and only here.
            let _ = fetched.set(found);
            Ok(Some((Bytes::from(last), None)))
        }
    })
}
