//! What can go wrong with a fetch, and what can be done about it. No error has an address, an id or a token in it: causes
//! of the HTTP client are sorted here and left behind, because they name what was asked.

use std::error::Error;
use std::time::Duration;

use crate::UrlError;
use crate::resolve::NotPublic;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The address of another Graph API.
    #[error("the Graph API's address is not of the form https://host or http://host:port")]
    Base(#[source] UrlError),
    /// The version.
    #[error("the Graph API's version is not of the form v25.0")]
    Version,
    /// TLS, most likely the system's certificates.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// Why a file is not had.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Its address is not one that is asked.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Its host has an address inside.
    #[error("the host has an address that is not public")]
    NotPublic,
    /// Redirected to where nothing is asked.
    #[error("a redirect leads where nothing is asked")]
    Redirect(#[source] UrlError),
    /// Redirected without an end, or without a place.
    #[error("redirects lead nowhere")]
    RedirectLost,
    /// Its id has characters that no id has.
    #[error("the media id is malformed")]
    BadId,
    /// Larger than the cap.
    #[error("the file is larger than the cap")]
    TooLarge,
    /// Its length is not the declared one.
    #[error("the file's length is not the declared one")]
    SizeMismatch,
    /// Its SHA-256 is not the declared one.
    #[error("the file's SHA-256 is not the declared one")]
    Sha256Mismatch,
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It comes compressed, which was not asked for: what would be counted is not what would come out.
    #[error("the answer is encoded")]
    Encoded,
    /// It is not there any more, or never was.
    #[error("the file is not there any more")]
    Expired,
    /// There is no such object, or this token does not see it: Graph says the same of both (`meta-platform.md` §6, 100/33).
    #[error("there is no such file, or this token does not see it (code {code:?})")]
    NotVisible {
        /// Graph's code.
        code: Option<i64>,
    },
    /// There is no token to ask with.
    #[error("there is no access token")]
    NoToken,
    /// The token or the account is refused: a person has to act.
    #[error("the access token or the account is refused (code {code:?})")]
    Unauthorized {
        /// Graph's code.
        code: Option<i64>,
    },
    /// Too many calls.
    #[error("too many calls (code {code:?})")]
    RateLimited {
        /// Graph's code.
        code: Option<i64>,
        /// How long to wait, when that was said.
        after: Option<Duration>,
    },
    /// Refused for another reason, which will hold.
    #[error("the request is refused (status {status}, code {code:?})")]
    RequestRefused {
        /// HTTP's status.
        status: u16,
        /// Graph's code.
        code: Option<i64>,
    },
    /// Their trouble, which may pass.
    #[error("the server has trouble (status {status}, code {code:?})")]
    ServerTrouble {
        /// HTTP's status.
        status: u16,
        /// Graph's code.
        code: Option<i64>,
        /// How long to wait, when that was said.
        after: Option<Duration>,
    },
    /// An answer of another form than the Graph API's.
    #[error("the answer is not understood (status {status})")]
    Unexpected {
        /// HTTP's status.
        status: u16,
    },
    /// No name, no route or no TLS.
    #[error("the server cannot be reached")]
    Unreachable,
    /// Nothing came for too long, or all of it took too long.
    #[error("the server is too slow")]
    Timeout,
    /// The connection ended before the file did.
    #[error("the connection broke")]
    Broken,
    /// Fewer bytes than declared, and nothing that says whether more were meant to come.
    #[error("the file ends too early")]
    Truncated,
}

/// What can be done about a [`MediaError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaDisposition {
    /// Try again, not before this long when that was said, for as long as the file may live.
    Retry {
        /// How long to wait.
        after: Option<Duration>,
    },
    /// Never to be had; the word says why.
    Refused(&'static str),
    /// Gone.
    Expired,
    /// Ask nothing more with this token until a person has acted; the file may still be had then.
    Unauthorized,
}

impl MediaError {
    /// What can be done.
    pub fn disposition(&self) -> MediaDisposition {
        match self {
            Self::Url(_)
            | Self::NotPublic
            | Self::Redirect(_)
            | Self::RedirectLost
            | Self::BadId
            | Self::TooLarge
            | Self::SizeMismatch
            | Self::Sha256Mismatch
            | Self::Empty
            | Self::Encoded
            | Self::RequestRefused { .. } => MediaDisposition::Refused(self.reason()),
            Self::Expired => MediaDisposition::Expired,
            Self::NoToken | Self::Unauthorized { .. } => MediaDisposition::Unauthorized,
            Self::RateLimited { after, .. } | Self::ServerTrouble { after, .. } => {
                MediaDisposition::Retry { after: *after }
            }
            // Somebody may give the token its permission while the file lives.
            Self::NotVisible { .. } => MediaDisposition::Retry { after: None },
            Self::Unexpected { .. } | Self::Unreachable | Self::Timeout | Self::Broken | Self::Truncated => {
                MediaDisposition::Retry { after: None }
            }
        }
    }

    /// Its word for a state column.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Url(error) => error.reason(),
            Self::NotPublic => "not_public_address",
            Self::Redirect(_) | Self::RedirectLost => "redirect",
            Self::BadId => "bad_media_id",
            Self::TooLarge => "too_large",
            Self::SizeMismatch => "size_mismatch",
            Self::Sha256Mismatch => "sha256_mismatch",
            Self::Empty => "empty",
            Self::Encoded => "encoded",
            Self::Expired => "expired",
            Self::NotVisible { .. } => "not_visible",
            Self::NoToken => "no_token",
            Self::Unauthorized { .. } => "unauthorized",
            Self::RateLimited { .. } => "rate_limited",
            Self::RequestRefused { .. } => "request_refused",
            Self::ServerTrouble { .. } => "server_trouble",
            Self::Unexpected { .. } => "unexpected_answer",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Broken => "connection_broken",
            Self::Truncated => "truncated",
        }
    }
}

impl From<reqwest::Error> for MediaError {
    fn from(error: reqwest::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if inner.is::<NotPublic>() {
                return Self::NotPublic;
            }
            cause = inner.source();
        }
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Unreachable
        } else {
            Self::Broken
        }
    }
}
