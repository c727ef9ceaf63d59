//! Which store, and how to reach it.

use secrecy::SecretString;

/// Which bucket of which store, and how to reach it.
#[derive(Debug, Clone)]
pub struct BlobConfig {
    /// `http://host:port` or `https://host` of a store that speaks S3; `None` is AWS itself in `region`.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket; every object lives in this one.
    pub bucket: String,
    /// Access key and secret key; `None` is the default chain of AWS (environment, profile, web identity, instance role).
    pub credentials: Option<(String, SecretString)>,
    /// Whether the bucket is in the path and not in the host name. Servers other than AWS mostly want that.
    pub path_style: bool,
    /// What the store is asked to encrypt with, under whatever the caller sealed already.
    pub sse: Sse,
    /// Whether to make the bucket when it is missing.
    pub make_bucket: bool,
}

/// What the store encrypts an object with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    /// Nothing is asked for; the bucket's own default holds.
    None,
    /// The store's own keys (`AES256`).
    S3,
    /// A key of KMS (`aws:kms`), with a bucket key to spare requests.
    Kms {
        /// Its id, ARN or alias.
        key_id: String,
    },
}
