//! What becomes of a request: its status, its counter, and whether the connection goes on. Chosen here and nowhere else.

use hyper::StatusCode;

/// What became of a delivery, or of whatever came in place of one. The `outcome` label of `ingest_deliveries_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Durable in the log.
    Accepted,
    /// No such path.
    UnknownPath,
    /// No app of that name.
    UnknownApp,
    /// Neither GET nor POST.
    WrongMethod,
    /// Too many headers.
    TooManyHeaders,
    /// A target longer than any of ours.
    TooLongTarget,
    /// A `Content-Encoding`.
    Encoded,
    /// A transfer coding other than `chunked`.
    WrongTransfer,
    /// The trusted proxy does not vouch for the client's certificate.
    NotVouched,
    /// No `X-Hub-Signature-256`.
    Unsigned,
    /// A signature that is not `sha256=` and 64 hexadecimal digits, or more than one.
    MalformedSignature,
    /// A signature that no secret of the app gives.
    WrongSignature,
    /// A body over the limit.
    TooLarge,
    /// A body that broke off, or is not framed as HTTP has it.
    BrokenBody,
    /// A body that came too slowly.
    TooSlow,
    /// Too many bytes, or requests of one address, in progress.
    Overloaded,
    /// The app's secrets do not open.
    AppBroken,
    /// There is no key to seal it with.
    Unsealed,
    /// The log's queue is full.
    LogFull,
    /// The log is known to be away.
    LogAway,
    /// The log did not confirm in time, or failed.
    Unconfirmed,
    /// The record is larger than the log is set up for.
    LogRefused,
    /// The client left before the answer; what was handed to the log is still appended.
    Abandoned,
    /// The handler panicked.
    Panicked,
}

impl Outcome {
    /// Every outcome; a variant's place here is its number.
    pub(crate) const ALL: [Self; 24] = [
        Self::Accepted,
        Self::UnknownPath,
        Self::UnknownApp,
        Self::WrongMethod,
        Self::TooManyHeaders,
        Self::TooLongTarget,
        Self::Encoded,
        Self::WrongTransfer,
        Self::NotVouched,
        Self::Unsigned,
        Self::MalformedSignature,
        Self::WrongSignature,
        Self::TooLarge,
        Self::BrokenBody,
        Self::TooSlow,
        Self::Overloaded,
        Self::AppBroken,
        Self::Unsealed,
        Self::LogFull,
        Self::LogAway,
        Self::Unconfirmed,
        Self::LogRefused,
        Self::Abandoned,
        Self::Panicked,
    ];

    /// The outcome as its one word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::UnknownPath => "unknown_path",
            Self::UnknownApp => "unknown_app",
            Self::WrongMethod => "wrong_method",
            Self::TooManyHeaders => "too_many_headers",
            Self::TooLongTarget => "too_long_target",
            Self::Encoded => "encoded",
            Self::WrongTransfer => "wrong_transfer",
            Self::NotVouched => "not_vouched",
            Self::Unsigned => "unsigned",
            Self::MalformedSignature => "malformed_signature",
            Self::WrongSignature => "wrong_signature",
            Self::TooLarge => "too_large",
            Self::BrokenBody => "broken_body",
            Self::TooSlow => "too_slow",
            Self::Overloaded => "overloaded",
            Self::AppBroken => "app_broken",
            Self::Unsealed => "unsealed",
            Self::LogFull => "log_full",
            Self::LogAway => "log_away",
            Self::Unconfirmed => "unconfirmed",
            Self::LogRefused => "log_refused",
            Self::Abandoned => "abandoned",
            Self::Panicked => "panicked",
        }
    }

    /// The answer (`design.md` §7). Never a 4xx for our own trouble: Meta would not come again.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Accepted => StatusCode::OK,
            Self::UnknownPath | Self::UnknownApp => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooLongTarget => StatusCode::URI_TOO_LONG,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WrongTransfer | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::NotVouched | Self::Unsigned | Self::MalformedSignature | Self::WrongSignature => {
                StatusCode::UNAUTHORIZED
            }
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded
            | Self::AppBroken
            | Self::Unsealed
            | Self::LogFull
            | Self::LogAway
            | Self::Unconfirmed
            | Self::LogRefused
            | Self::Abandoned => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the answer's time says something of the edge: a stranger's 404 is quick, and a slow sender's 408 its own doing.
    pub(crate) fn is_timed(self) -> bool {
        self == Self::Accepted || self.status().is_server_error()
    }

    /// Whether the connection ends with this answer: what follows on it may not be where a request begins.
    pub(crate) const fn closes(self) -> bool {
        matches!(
            self,
            Self::TooManyHeaders
                | Self::TooLongTarget
                | Self::WrongTransfer
                | Self::TooLarge
                | Self::BrokenBody
                | Self::TooSlow
                | Self::Panicked
        )
    }
}

/// What became of a handshake. The `outcome` label of `ingest_handshakes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// The token is one of ours: the challenge goes back.
    Accepted,
    /// The token is not one of ours.
    WrongToken,
    /// Not a handshake as Meta sends it.
    Malformed,
}

impl Greeting {
    /// Every outcome; a variant's place here is its number.
    pub(crate) const ALL: [Self; 3] = [Self::Accepted, Self::WrongToken, Self::Malformed];

    /// The outcome as its one word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::WrongToken => "wrong_token",
            Self::Malformed => "malformed",
        }
    }

    /// The answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Accepted => StatusCode::OK,
            Self::WrongToken => StatusCode::FORBIDDEN,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }
}

/// What became of one of Meta's privacy callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    /// It is written down.
    Received,
    /// It was written down before.
    Repeated,
    /// Not a signed request as Meta sends it.
    Malformed,
    /// Signed in a way that is not known here.
    WrongAlgorithm,
    /// A signature that no secret of the app gives.
    WrongSignature,
    /// Not read, or not written down: as a delivery would not be.
    Refused(Outcome),
}

impl From<Outcome> for Called {
    fn from(outcome: Outcome) -> Self {
        Self::Refused(outcome)
    }
}

impl Called {
    /// Every word of [`Called::as_str`]: the `outcome` label of `ingest_callbacks_total`.
    pub(crate) const WORDS: [&'static str; 8] = [
        "received",
        "repeated",
        "malformed",
        "wrong_algorithm",
        "wrong_signature",
        "refused",
        "failed",
        "abandoned",
    ];

    /// The outcome as its one word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Repeated => "repeated",
            Self::Malformed => "malformed",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongSignature => "wrong_signature",
            Self::Refused(Outcome::Abandoned) => "abandoned",
            Self::Refused(outcome) if outcome.status().is_server_error() => "failed",
            Self::Refused(_) => "refused",
        }
    }

    /// The answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Received | Self::Repeated => StatusCode::OK,
            Self::Malformed | Self::WrongAlgorithm | Self::WrongSignature => StatusCode::BAD_REQUEST,
            Self::Refused(outcome) => outcome.status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcomes_place_is_its_number() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number, "{outcome:?}");
        }
        for (number, greeting) in Greeting::ALL.into_iter().enumerate() {
            assert_eq!(greeting as usize, number, "{greeting:?}");
        }
    }

    #[test]
    fn a_callback_has_a_word_whatever_becomes_of_it() {
        use Called::{Malformed, Received, Refused, Repeated, WrongAlgorithm, WrongSignature};
        let refused = Outcome::ALL.map(Refused);
        for called in
            [Received, Repeated, Malformed, WrongAlgorithm, WrongSignature].into_iter().chain(refused)
        {
            assert!(Called::WORDS.contains(&called.as_str()), "{called:?}");
        }
        assert_eq!(Refused(Outcome::TooLarge).as_str(), "refused");
        assert_eq!(Refused(Outcome::Unconfirmed).as_str(), "failed");
    }
}
