//! What can go wrong with the keyring. No error holds an identifier or a key.

use schemas::TenantId;
use seal::SealError;
pub use store::Disposition;
use store::StoreError;

/// Why the keyring did not answer.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Its database did not do what it was asked.
    #[error("the keyring's database failed")]
    Store(#[from] StoreError),
    /// A tenant's keys do not open.
    #[error(
        "the keys of tenant {tenant} do not open; this process needs the root key they were made with (--root-key)"
    )]
    Keys {
        /// Whose.
        tenant: TenantId,
        /// Why.
        #[source]
        cause: SealError,
    },
    /// A tenant has no keys, and this process may not make any: nothing was ever sealed for it, or it is gone.
    #[error("tenant {tenant} has no keys")]
    NoKeys {
        /// Which.
        tenant: TenantId,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
    /// A person was asked for without any identifier.
    #[error("a person without any identifier cannot be looked up")]
    Nobody,
}

impl KeyringError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Store(cause) => cause.disposition(),
            Self::Keys { .. } | Self::NoKeys { .. } | Self::Random | Self::Nobody => Disposition::Stop,
        }
    }
}
