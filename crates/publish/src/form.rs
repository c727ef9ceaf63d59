//! The form of a tenant's feed, ready to use.

use std::sync::Arc;

use schemas::FeedFormat;
use seal::{FeedKey, FeedKeyError};

/// How a tenant's feed is written.
#[derive(Clone)]
pub enum FeedForm {
    /// As JSON that whoever may read the topic can read.
    Clear,
    /// As JWE that only the tenant can open.
    Jwe(Arc<FeedKey>),
}

/// A tenant's public key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the public key of the tenant's feed cannot be used")]
pub struct FormError(#[from] FeedKeyError);

impl FeedForm {
    /// The form that a tenant chose.
    ///
    /// # Errors
    /// Its public key cannot be used. It was checked when it was set, so that is a newer version's.
    pub fn of(format: &FeedFormat) -> Result<Self, FormError> {
        match format {
            FeedFormat::Clear => Ok(Self::Clear),
            FeedFormat::Jwe { jwk } => Ok(Self::Jwe(Arc::new(FeedKey::parse(jwk)?))),
        }
    }
}
