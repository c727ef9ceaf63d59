//! A file on its way: counted, hashed and recognised as it passes. One piece is in memory at a time, and the beginning.

use bytes::Bytes;
use http::header;
use reqwest::Response;
use ring::digest::{Context, SHA256};
use tokio::time::{Instant, timeout_at};

use crate::request::digest;
use crate::sniff::HEAD;
use crate::{MediaError, Verdict, answer, judge};

/// A file on its way. Take every piece with [`Download::next`], then [`Download::finish`]: before that nothing is sure.
pub struct Download {
    response: Response,
    deadline: Instant,
    cap: u64,
    claims: Claims,
    /// Whether HTTP itself tells the end of the file from the end of the connection.
    is_framed: bool,
    state: State,
    received: u64,
    hash: Context,
    head: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

/// What was said of a file beforehand.
pub(crate) struct Claims {
    pub(crate) media_type: Option<String>,
    pub(crate) digests: Vec<[u8; 32]>,
    pub(crate) bytes: Option<u64>,
}

/// A file that came whole and is what was said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// What it may be shown as: a type of the allow-list, or [`crate::OPAQUE`].
    pub media_type: &'static str,
    /// Whether its bytes are of the type it was declared to be, if any.
    pub declared_matches: bool,
}

impl Claims {
    /// These and what the Graph API says. The webhook's type goes first; every digest has to be right.
    pub(crate) fn and(mut self, described: answer::Description) -> Self {
        self.media_type = self.media_type.or(described.mime_type);
        self.digests.extend(described.sha256.as_deref().and_then(digest));
        self.bytes = described.file_size;
        self
    }
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Download {
    /// Checks what the headers tell.
    pub(crate) fn begin(
        response: Response,
        mut claims: Claims,
        cap: u64,
        deadline: Instant,
    ) -> Result<Self, MediaError> {
        let headers = response.headers();
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        if headers.contains_key(header::CONTENT_ENCODING)
            || !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(MediaError::Encoded);
        }
        let said = headers.get(header::CONTENT_TYPE).and_then(|said| said.to_str().ok());
        claims.media_type = claims.media_type.or_else(|| said.map(str::to_owned));
        let length = if is_chunked { None } else { response.content_length() };
        if length.max(claims.bytes).is_some_and(|bytes| bytes > cap) {
            return Err(MediaError::TooLarge);
        }
        if let (Some(length), Some(declared)) = (length, claims.bytes)
            && length != declared
        {
            return Err(if length == 0 { MediaError::Empty } else { MediaError::SizeMismatch });
        }
        let is_framed = is_chunked || length.is_some();
        claims.bytes = claims.bytes.or(length);
        Ok(Self {
            response,
            deadline,
            cap,
            claims,
            is_framed,
            state: State::Open,
            received: 0,
            hash: Context::new(&SHA256),
            head: Vec::new(),
        })
    }

    /// Its length as declared, for whoever plans its parts.
    pub fn declared_bytes(&self) -> Option<u64> {
        self.claims.bytes
    }

    /// The next piece, `None` at the end. After an error there is no more to be had.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MediaError> {
        match self.state {
            State::Open => {}
            State::Ended => return Ok(None),
            State::Failed => return Err(MediaError::Broken),
        }
        // Until this piece is known to be good.
        self.state = State::Failed;
        let chunk = timeout_at(self.deadline, self.response.chunk()).await;
        let Some(chunk) = chunk.map_err(|_| MediaError::Timeout)?? else {
            self.state = State::Ended;
            return Ok(None);
        };
        self.received = self.received.saturating_add(chunk.len() as u64);
        if self.received > self.cap {
            return Err(MediaError::TooLarge);
        }
        if self.claims.bytes.is_some_and(|declared| self.received > declared) {
            return Err(MediaError::SizeMismatch);
        }
        self.hash.update(&chunk);
        let wanted = HEAD.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(chunk.get(..wanted).unwrap_or_default());
        self.state = State::Open;
        Ok(Some(chunk))
    }

    /// Whether all of it came and is what was said of it, and what it may be shown as.
    pub fn finish(self) -> Result<Fetched, MediaError> {
        if self.state != State::Ended {
            return Err(MediaError::Truncated);
        }
        let is_short = self.claims.bytes.is_some_and(|declared| self.received < declared);
        if is_short && !self.is_framed {
            return Err(MediaError::Truncated);
        }
        if self.received == 0 {
            return Err(MediaError::Empty);
        }
        if is_short {
            return Err(MediaError::SizeMismatch);
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        if self.claims.digests.iter().any(|declared| *declared != sha256) {
            // Without a length, a part of the file looks like a file.
            let is_whole = self.is_framed || self.claims.bytes.is_some();
            return Err(if is_whole { MediaError::Sha256Mismatch } else { MediaError::Truncated });
        }
        let Verdict { media_type, declared_matches } = judge(&self.head, self.claims.media_type.as_deref());
        Ok(Fetched { bytes: self.received, sha256, media_type, declared_matches })
    }
}
