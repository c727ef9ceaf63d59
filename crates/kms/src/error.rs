//! What can go wrong between a root key file and KMS. No error says anything of a key but its name.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use seal::SealError;

type Cause = Box<dyn Error + Send + Sync>;

/// Why the root key could not be had from its file and KMS.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// The file: missing, readable by others, or none.
    #[error(transparent)]
    Root(SealError),
    /// A line that is not of the form this crate writes.
    #[error("a line of the root key file is not `tidings-root-kms-v1:`, a region, a key and base64")]
    Line,
    /// A name of a region or key that cannot be one.
    #[error("a region is like `us-west-2`, a key is a key id, an alias or an ARN of that region")]
    Name,
    /// A key in a region that this deployment does not use.
    #[error("the root key is wrapped in region {region}; this deployment uses {only} only")]
    Region {
        /// Where the key is.
        region: String,
        /// Where it has to be.
        only: String,
    },
    /// No credentials were found.
    #[error(
        "no AWS credentials were found; give this process a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials(#[source] Cause),
    /// KMS does not let these credentials use the key.
    #[error("AWS KMS does not allow this; the role needs kms:Decrypt to start, kms:Encrypt to rotate")]
    Denied(#[source] Cause),
    /// KMS has the key no more, or it is disabled, or not for encrypting.
    #[error("AWS KMS cannot use the key that the root key is wrapped with")]
    Key(#[source] Cause),
    /// What stands in the file was not wrapped by this key, or was changed.
    #[error(
        "AWS KMS does not unwrap the root key: wrapped with another key, or changed; restore the file from your backup"
    )]
    Ciphertext(#[source] Cause),
    /// KMS does not answer, has too much to do or failed.
    #[error("AWS KMS did not answer, as often as it was tried")]
    Away(#[source] Cause),
    /// KMS refused for a reason not known here.
    #[error("AWS KMS refused")]
    Refused(#[source] Cause),
    /// KMS answered with something else than a root secret.
    #[error("AWS KMS gave no root secret")]
    Answer,
}

impl KmsError {
    /// Whether the same may go well later. No `_` arm: a new variant has to be classified here.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Root(_)
            | Self::Line
            | Self::Name
            | Self::Region { .. }
            | Self::Credentials(_)
            | Self::Denied(_)
            | Self::Key(_)
            | Self::Ciphertext(_)
            | Self::Refused(_)
            | Self::Answer => false,
        }
    }

    /// What a call came to nothing for.
    pub(crate) fn of<E, R>(error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let Some(code) = error.as_service_error().map(|answer| answer.code().unwrap_or_default().to_owned())
        else {
            let cause: Cause = error.into();
            return if is_credentials(&*cause) { Self::Credentials(cause) } else { Self::Away(cause) };
        };
        let cause = error.into();
        match code.as_str() {
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired"
            | "UnrecognizedClientException" => Self::Denied(cause),
            "InvalidCiphertextException" | "IncorrectKeyException" => Self::Ciphertext(cause),
            "DisabledException"
            | "InvalidArnException"
            | "InvalidKeyUsageException"
            | "KMSInvalidStateException"
            | "NotFoundException" => Self::Key(cause),
            "DependencyTimeoutException"
            | "InternalFailure"
            | "KMSInternalException"
            | "KeyUnavailableException"
            | "LimitExceededException"
            | "RequestLimitExceeded"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "" => Self::Away(cause),
            _ => Self::Refused(cause),
        }
    }
}

impl From<SealError> for KmsError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Wrap(cause) => match cause.downcast::<Self>() {
                Ok(error) => *error,
                Err(cause) => Self::Refused(cause),
            },
            error => Self::Root(error),
        }
    }
}

fn is_credentials(error: &(dyn Error + 'static)) -> bool {
    error.is::<CredentialsError>() || error.source().is_some_and(is_credentials)
}
