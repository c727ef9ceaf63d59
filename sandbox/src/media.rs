//! Media that the simulated Meta holds. A file is worked out from its id, so nothing is stored and every process agrees.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use ring::digest;

/// A file that somebody sent.
#[derive(Debug, Clone)]
pub struct Media {
    /// WhatsApp's media id, or the asset id in a CDN address.
    pub id: String,
    /// What it is declared to be.
    pub mime_type: &'static str,
    /// Its content.
    pub bytes: Bytes,
}

const TYPES: &[(&str, &[u8])] = &[
    ("image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("video/mp4", b"\0\0\0\x18ftypmp42"),
    ("audio/ogg; codecs=opus", b"OggS\0\x02"),
    ("application/pdf", b"%PDF-1.7\n"),
    ("image/webp", b"RIFF\0\0\0\0WEBP"),
];

impl Media {
    /// The file of this id: up to 24 KB that begin as their type does. `None` when it is no id of a file.
    pub fn of(id: &str) -> Option<Self> {
        let number: u64 = id.parse().ok()?;
        let (mime_type, magic) = TYPES[(number % TYPES.len() as u64) as usize];
        let mut random = StdRng::seed_from_u64(number);
        let mut bytes = magic.to_vec();
        let rest = random.random_range(1024..24 * 1024);
        bytes.resize(magic.len() + rest, 0);
        random.fill_bytes(&mut bytes[magic.len()..]);
        Some(Self { id: id.to_owned(), mime_type, bytes: bytes.into() })
    }

    /// A new file of the type that begins so.
    pub(crate) fn new(random: &mut StdRng, mime_type: &str) -> Self {
        let types = TYPES.len() as u64;
        let kind = TYPES.iter().position(|(known, _)| known.starts_with(mime_type)).unwrap_or(0) as u64;
        let number = random.random_range(10u64.pow(15)..10u64.pow(16) - types);
        let id = (number - number % types + kind).to_string();
        Self::of(&id).expect("a number is an id")
    }

    /// Its SHA-256, in base64 as a webhook has it.
    pub fn sha256_base64(&self) -> String {
        STANDARD.encode(digest::digest(&digest::SHA256, &self.bytes))
    }

    /// Its SHA-256, in hexadecimal as the Graph API has it.
    pub fn sha256_hex(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, &self.bytes))
    }
}
