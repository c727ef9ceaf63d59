//! What a console needs to be told.

use std::time::Duration;

use control::Partitions;
use secrecy::SecretString;

use crate::rebuild::Rebuilder;

/// A console's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whoever shows this token may do everything. 1 to 512 characters; make it random.
    pub token: SecretString,
    /// How many partitions the feed of a new tenant is made with. Default: [`Partitions::default`].
    pub partitions: Partitions,
    /// How long `verify` waits for the views to reach what the log held when it was asked. Default: 5 s.
    pub settle: Duration,
    /// The Ed25519 public key that audit heads have to be signed with. Default: none; then a head counts as true when it
    /// is signed with the key it names, which whoever can write the views could replace.
    pub audit_public_key: Option<Vec<u8>>,
    /// What makes the conversation view anew. Default: nothing does, and whoever asks is told so.
    pub rebuild: Option<Rebuilder>,
}

impl Config {
    /// The default settings behind this token.
    pub fn new(token: SecretString) -> Self {
        Self {
            token,
            partitions: Partitions::default(),
            settle: Duration::from_secs(5),
            audit_public_key: None,
            rebuild: None,
        }
    }
}
