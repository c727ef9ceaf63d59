//! Streams: sealed in chunks, so that their size is no matter, and whole or not at all (the STREAM construction).
//!
//! A chunk's nonce says which one it is and whether it is the last: none can be cut off, moved, repeated or added.
//! Push what arrives, pass on what comes out. At most one chunk is held.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::{Context, Key, SealError};

/// Plain bytes in every chunk but the last, which may have fewer.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// First bytes of every stream: the version of its form, and what it is.
const MAGIC: [u8; 4] = *b"\x01tds";
const PREFIX_LEN: usize = 7;
const HEAD_LEN: usize = MAGIC.len() + PREFIX_LEN;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + MAX_TAG_LEN;

/// How long a stream of so many plain bytes is once it is sealed.
pub const fn stream_bytes(plain_bytes: u64) -> u64 {
    let chunks = if plain_bytes == 0 { 1 } else { plain_bytes.div_ceil(CHUNK_BYTES as u64) };
    HEAD_LEN as u64 + plain_bytes + chunks * MAX_TAG_LEN as u64
}

/// Which chunks were sealed or opened so far, and with what.
struct Chunks {
    key: LessSafeKey,
    context: Context,
    prefix: [u8; PREFIX_LEN],
    /// The next one's number; `None` once there can be no other.
    next: Option<u32>,
}

impl Chunks {
    fn new(key: &Key, context: Context, prefix: [u8; PREFIX_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key is 32 bytes long");
        Self { key: LessSafeKey::new(key), context, prefix, next: Some(0) }
    }

    /// `prefix ‖ number ‖ 1 for the last chunk, else 0`.
    fn nonce(&self, number: u32, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let (prefix, rest) = nonce.split_at_mut(PREFIX_LEN);
        prefix.copy_from_slice(&self.prefix);
        let [a, b, c, d] = number.to_be_bytes();
        rest.copy_from_slice(&[a, b, c, d, u8::from(last)]);
        Nonce::assume_unique_for_key(nonce)
    }

    fn take(&mut self) -> Result<u32, SealError> {
        let number = self.next.ok_or(SealError::TooLong)?;
        self.next = number.checked_add(1);
        Ok(number)
    }

    /// Seals a chunk in its place and appends it.
    fn seal(&mut self, chunk: &mut [u8], last: bool, out: &mut Vec<u8>) -> Result<(), SealError> {
        let number = self.take()?;
        let aad = Aad::from(self.context.parts());
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(number, last), aad, chunk)
            .map_err(|_| SealError::Format)?;
        out.extend_from_slice(chunk);
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens a chunk in its place and appends what it held.
    fn open(&mut self, chunk: &mut [u8], last: bool, out: &mut Vec<u8>) -> Result<(), SealError> {
        let number = self.take()?;
        let aad = Aad::from(self.context.parts());
        let opened =
            self.key.open_in_place(self.nonce(number, last), aad, chunk).map_err(|_| SealError::Opens)?;
        out.extend_from_slice(opened);
        Ok(())
    }
}

/// Seals a stream.
pub struct StreamSealer {
    chunks: Chunks,
    held: Zeroizing<Vec<u8>>,
    started: bool,
}

impl StreamSealer {
    /// One stream for one context. The same key may seal other streams: each has random bytes of its own in front.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn new(key: &Key, context: Context) -> Result<Self, SealError> {
        let mut prefix = [0; PREFIX_LEN];
        SystemRandom::new().fill(&mut prefix).map_err(|_| SealError::Random)?;
        Ok(Self::with_prefix(key, context, prefix))
    }

    /// With random bytes that are given: for the published test vectors.
    pub(crate) fn with_prefix(key: &Key, context: Context, prefix: [u8; PREFIX_LEN]) -> Self {
        let held = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Self { chunks: Chunks::new(key, context, prefix), held, started: false }
    }

    /// Takes more of the stream and gives what is sealed by now, which may be nothing.
    ///
    /// # Errors
    /// The stream has become too long: 2^32 chunks, 256 TiB.
    pub fn push(&mut self, mut plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut out = self.head(plain.len());
        while !plain.is_empty() {
            // A full chunk waits for a byte after it: before that, it may be the last one.
            if self.held.len() == CHUNK_BYTES {
                self.chunks.seal(&mut self.held, false, &mut out)?;
                self.held.clear();
            }
            let wanted = CHUNK_BYTES - self.held.len();
            self.held.extend_from_slice(fill(&mut plain, wanted));
        }
        Ok(out)
    }

    /// Gives the rest. Without it the stream does not open.
    ///
    /// # Errors
    /// The stream has become too long.
    pub fn finish(mut self) -> Result<Vec<u8>, SealError> {
        let mut out = self.head(0);
        self.chunks.seal(&mut self.held, true, &mut out)?;
        Ok(out)
    }

    fn head(&mut self, coming: usize) -> Vec<u8> {
        let chunks = (self.held.len() + coming) / CHUNK_BYTES;
        let mut out = Vec::with_capacity(HEAD_LEN + (chunks + 1) * MAX_TAG_LEN + coming + self.held.len());
        if !std::mem::replace(&mut self.started, true) {
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&self.chunks.prefix);
        }
        out
    }
}

/// Opens a stream. Gives out nothing that was not checked; that nothing is missing is known after
/// [`StreamOpener::finish`] only.
pub struct StreamOpener {
    chunks: Chunks,
    state: State,
    held: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its first bytes have not all come.
    Head,
    Chunks,
    /// It failed, and will again.
    Failed,
}

impl StreamOpener {
    /// Of the stream that was sealed with this key for this context.
    pub fn new(key: &Key, context: Context) -> Self {
        let held = Zeroizing::new(Vec::with_capacity(SEALED_CHUNK_BYTES));
        Self { chunks: Chunks::new(key, context, [0; PREFIX_LEN]), state: State::Head, held }
    }

    /// Takes more of the stream and gives what is opened by now, which may be nothing.
    ///
    /// # Errors
    /// It is no sealed stream, was sealed with another key or for another context, or was changed. It fails from then
    /// on.
    pub fn push(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let answer = self.take(sealed);
        if answer.is_err() {
            self.state = State::Failed;
            self.held.clear();
        }
        answer
    }

    fn take(&mut self, mut sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        match self.state {
            State::Head => {
                let wanted = HEAD_LEN - self.held.len();
                self.held.extend_from_slice(fill(&mut sealed, wanted));
                if self.held.len() < HEAD_LEN {
                    return Ok(Vec::new());
                }
                let prefix = self.held.strip_prefix(&MAGIC).ok_or(SealError::Format)?;
                self.chunks.prefix.copy_from_slice(prefix);
                self.held.clear();
                self.state = State::Chunks;
            }
            State::Chunks => {}
            State::Failed => return Err(SealError::Opens),
        }
        let mut out = Vec::with_capacity(self.held.len() + sealed.len());
        while !sealed.is_empty() {
            // A full chunk waits for a byte after it, as it did when it was sealed.
            if self.held.len() == SEALED_CHUNK_BYTES {
                self.chunks.open(&mut self.held, false, &mut out)?;
                self.held.clear();
            }
            let wanted = SEALED_CHUNK_BYTES - self.held.len();
            self.held.extend_from_slice(fill(&mut sealed, wanted));
        }
        Ok(out)
    }

    /// Gives the rest, once nothing more comes.
    ///
    /// # Errors
    /// The last chunk did not come, or as [`StreamOpener::push`].
    pub fn finish(mut self) -> Result<Vec<u8>, SealError> {
        if self.state == State::Failed {
            return Err(SealError::Opens);
        }
        if self.state == State::Head || self.held.len() < MAX_TAG_LEN {
            return Err(SealError::CutShort);
        }
        let mut out = Vec::with_capacity(self.held.len());
        self.chunks.open(&mut self.held, true, &mut out)?;
        Ok(out)
    }
}

/// The first of these bytes, at most so many; they are gone from there.
fn fill<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (now, later) = bytes.split_at(bytes.len().min(most));
    *bytes = later;
    now
}
