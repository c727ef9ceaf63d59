//! What can go wrong with the store, by what a caller may do about it. No error holds a body, a key or a credential.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Wait and do the same again.
    Retry,
    /// Our mistake or somebody's decision: stop loudly, lose nothing.
    Stop,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is away, busy, or something was damaged or cut off on the way.
    #[error("the object store at {place} is away or busy: {cause}")]
    Unavailable {
        /// Where it should be.
        place: String,
        /// The code, or the last cause in the system's words.
        cause: String,
    },
    /// It does not let us.
    #[error("the object store at {place} refused to {doing}: {cause}")]
    Refused {
        /// Where it is.
        place: String,
        /// What was asked.
        doing: &'static str,
        /// The code.
        cause: String,
    },
    /// There is no such bucket.
    #[error("the object store at {place} has no bucket {bucket}")]
    NoBucket {
        /// Where it is.
        place: String,
        /// The bucket.
        bucket: String,
    },
    /// The settings cannot be right.
    #[error("the settings of the object store are wrong: {what}")]
    Config {
        /// What is wrong with them.
        what: String,
    },
    /// The key is not one of ours.
    #[error("this is no key for an object: {why}")]
    Key {
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than an object can hold.
    #[error("an object can hold {limit_bytes} bytes at most")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
}

impl BlobError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::Refused { .. }
            | Self::NoBucket { .. }
            | Self::Config { .. }
            | Self::Key { .. }
            | Self::TooLarge { .. } => Disposition::Stop,
        }
    }

    pub(crate) fn key(why: &'static str) -> Self {
        Self::Key { why }
    }
}

/// Why a stream was not stored. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E> {
    /// The stream itself failed.
    #[error("the source of the object failed")]
    Source(#[source] E),
    /// The store failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Where we put and get, for errors.
#[derive(Debug)]
pub(crate) struct Place {
    /// The endpoint, or AWS and the region.
    pub(crate) address: String,
    pub(crate) bucket: String,
}

impl Place {
    pub(crate) fn unavailable(&self, cause: impl Into<String>) -> BlobError {
        BlobError::Unavailable { place: self.address.clone(), cause: cause.into() }
    }

    pub(crate) fn refused(&self, doing: &'static str, cause: impl Into<String>) -> BlobError {
        BlobError::Refused { place: self.address.clone(), doing, cause: cause.into() }
    }

    pub(crate) fn no_bucket(&self) -> BlobError {
        BlobError::NoBucket { place: self.address.clone(), bucket: self.bucket.clone() }
    }

    /// `doing` completes "refused to …".
    pub(crate) fn failed<E>(&self, doing: &'static str, error: &SdkError<E, HttpResponse>) -> BlobError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ConstructionFailure(_) => self.unsent(doing, error),
            SdkError::TimeoutError(_) => self.unavailable("no answer in time"),
            SdkError::DispatchFailure(_) => self.unsent(doing, error),
            SdkError::ResponseError(_) => self.unavailable("its answer makes no sense"),
            SdkError::ServiceError(context) => {
                self.answered(doing, context.err().code(), context.raw().status().as_u16())
            }
            // Foreign and non-exhaustive: what it learns later is no proof of our mistake.
            _ => self.unavailable(last_words(error)),
        }
    }

    /// It never left, or nothing came back.
    fn unsent(&self, doing: &'static str, error: &(dyn Error + 'static)) -> BlobError {
        match find::<CredentialsError>(error) {
            Some(CredentialsError::CredentialsNotLoaded(_)) => {
                self.refused(doing, "no credentials were found")
            }
            Some(CredentialsError::InvalidConfiguration(_)) => {
                self.refused(doing, "the configuration of the credentials is wrong")
            }
            // What a provider of credentials says may quote what it was given.
            Some(_) => self.unavailable("the credentials could not be had"),
            None => self.unavailable(last_words(error)),
        }
    }

    /// Only the code goes into the error: a message may quote what was sent.
    fn answered(&self, doing: &'static str, code: Option<&str>, status: u16) -> BlobError {
        const PASSING: [&str; 14] = [
            "BadDigest",
            "BandwidthLimitExceeded",
            "ConditionalRequestConflict",
            "ExpiredToken",
            "IncompleteBody",
            "InternalError",
            "NoSuchUpload",
            "OperationAborted",
            "RequestLimitExceeded",
            "RequestTimeout",
            "ServiceUnavailable",
            "SlowDown",
            "Throttling",
            "XAmzContentSHA256Mismatch",
        ];
        let code = code.unwrap_or_default();
        if code == "NoSuchBucket" {
            return self.no_bucket();
        }
        if code.is_empty() && (200..300).contains(&status) {
            return self.unavailable("its answer makes no sense");
        }
        let words = match (code, status) {
            ("", 301 | 307) => format!("the bucket is in another region ({status})"),
            ("", _) => format!("status {status}"),
            _ => {
                let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
                format!("{code} ({status})")
            }
        };
        let passing = PASSING.contains(&code)
            || matches!(status, 408 | 425 | 429)
            || ((500..600).contains(&status) && status != 501);
        if passing { self.unavailable(words) } else { self.refused(doing, words) }
    }
}

/// Whether the answer was "there is no such operation here".
pub(crate) fn is_unknown<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("NotImplemented" | "MethodNotAllowed")) || matches!(status(error), Some(405 | 501))
}

pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The innermost cause: the system's or the TLS library's, such as "connection refused".
pub(crate) fn last_words(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: Option<&str>, status: u16, expected: (Disposition, &str)) {
        let place = Place { address: "http://s3.test".into(), bucket: "b".into() };
        let error = place.answered("read", code, status);
        assert_eq!((error.disposition(), error.to_string().as_str()), expected);
    }

    #[test]
    fn an_answer_says_whether_to_ask_again() {
        use Disposition::{Retry, Stop};
        let busy = "the object store at http://s3.test is away or busy: ";
        let refused = "the object store at http://s3.test refused to read: ";
        let said = |head: &str, tail: &str| format!("{head}{tail}");
        check(Some("SlowDown"), 503, (Retry, &said(busy, "SlowDown (503)")));
        check(Some("RequestTimeout"), 400, (Retry, &said(busy, "RequestTimeout (400)")));
        check(Some("NoSuchUpload"), 404, (Retry, &said(busy, "NoSuchUpload (404)")));
        check(None, 500, (Retry, &said(busy, "status 500")));
        // S3 can begin a completion with 200 and think better of it.
        check(Some("InternalError"), 200, (Retry, &said(busy, "InternalError (200)")));
        check(None, 200, (Retry, &said(busy, "its answer makes no sense")));
        check(None, 429, (Retry, &said(busy, "status 429")));
        check(Some("AccessDenied"), 403, (Stop, &said(refused, "AccessDenied (403)")));
        check(Some("SignatureDoesNotMatch"), 403, (Stop, &said(refused, "SignatureDoesNotMatch (403)")));
        check(Some("NotImplemented"), 501, (Stop, &said(refused, "NotImplemented (501)")));
        check(None, 301, (Stop, &said(refused, "the bucket is in another region (301)")));
        check(Some("<b> a\n@"), 400, (Stop, &said(refused, "ba (400)")));
        check(Some("NoSuchBucket"), 404, (Stop, "the object store at http://s3.test has no bucket b"));
    }
}
