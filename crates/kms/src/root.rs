//! Root keys from files that KMS has a part in.

use std::path::Path;
use std::sync::Arc;

use seal::{RootKey, SealError};
use zeroize::Zeroizing;

use crate::aws::AwsWrap;
use crate::line::{KeyName, Line};
use crate::{KmsError, Options};

/// Reads a root key file, in clear or wrapped: KMS is asked only for what it wrapped. A wrapped key is rotated with the
/// key of KMS that its newest wrapped generation names.
///
/// # Errors
/// The file is no root key file, KMS does not unwrap what is in it, or is away.
pub async fn load_root(path: &Path, options: Options) -> Result<RootKey, KmsError> {
    let path = path.to_owned();
    blocking(move || {
        let Some(name) = newest_name(&path)? else { return Ok(RootKey::load(&path)?) };
        Ok(RootKey::load_with(&path, Arc::new(AwsWrap { name, options }))?)
    })
    .await
}

/// Wraps a root key file with a key of KMS: a new file when there is none, else every generation in it that stands there
/// in clear. The keys stay the same.
///
/// # Errors
/// As [`load_root`], and when KMS does not wrap, or the file cannot be written.
pub async fn wrap_root(path: &Path, region: &str, key: &str, options: Options) -> Result<RootKey, KmsError> {
    let name = KeyName::new(region, key)?;
    let path = path.to_owned();
    blocking(move || Ok(RootKey::wrap_with(&path, Arc::new(AwsWrap { name, options }))?)).await
}

/// The key of KMS that the first wrapped line names.
fn newest_name(path: &Path) -> Result<Option<KeyName>, KmsError> {
    // Only looked through here: whether others can read it, and what else is in it, is for `seal` to say.
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|cause| SealError::File { path: path.display().to_string(), cause })?;
    let wrapped = text.lines().map(str::trim_end).find(|line| Line::is(line));
    wrapped.map(|line| Line::parse(line).map(|line| line.name)).transpose()
}

async fn blocking(
    work: impl FnOnce() -> Result<RootKey, KmsError> + Send + 'static,
) -> Result<RootKey, KmsError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| Err(KmsError::Away(cause.into())))
}
