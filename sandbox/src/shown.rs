//! What a system shows, in a form that belongs to nobody: filled from a command line, an HTTP API or a database.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that is shown, by tenant.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Each tenant's conversations.
    pub tenants: BTreeMap<String, Vec<ShownConversation>>,
}

/// A conversation as it is shown.
#[derive(Debug, Clone, Default)]
pub struct ShownConversation {
    /// `messenger`, `instagram` or `whatsapp`.
    pub channel: String,
    /// Meta's id of the account it is with.
    pub asset: String,
    /// Its messages, in the order they are shown.
    pub messages: Vec<ShownMessage>,
}

/// A message as it is shown.
#[derive(Debug, Clone, Default)]
pub struct ShownMessage {
    /// Its text, if it has one.
    pub text: Option<String>,
    /// Whether the account sent it.
    pub outbound: bool,
    /// Its time, Unix milliseconds.
    pub at_ms: i64,
    /// How far it came: `sent`, `delivered`, `read`, …
    pub status: Option<String>,
    /// The emoji it was given.
    pub reactions: Vec<String>,
}

impl ShownConversation {
    /// From a line of `conversation list --json`: `channel` and `asset`. The messages are added by the caller. `None` when
    /// a field is missing.
    pub fn from_json(line: &Value) -> Option<Self> {
        let asset = line.get("asset")?;
        let asset = asset.as_str().or_else(|| asset.get("id")?.as_str())?;
        // Some write an account as `whatsapp:1234`.
        let asset = asset.rsplit_once(':').map_or(asset, |(_, id)| id);
        let channel = line.get("channel")?.as_str()?;
        Some(Self { channel: channel.to_owned(), asset: asset.to_owned(), messages: Vec::new() })
    }
}

impl ShownMessage {
    /// From a line of `conversation show --json`: `direction`, `text`, `at` (RFC 3339, or Unix milliseconds), `status`,
    /// `reactions` (words, or objects with `emoji`). `None` when a field is missing.
    pub fn from_json(line: &Value) -> Option<Self> {
        let at = line.get("at")?;
        let at_ms = match at.as_i64() {
            Some(at_ms) => at_ms,
            None => at.as_str()?.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
        };
        let reactions = line.get("reactions").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            text: line.get("text").and_then(Value::as_str).map(str::to_owned),
            outbound: line.get("direction")?.as_str()? == "out",
            at_ms,
            status: line.get("status").and_then(Value::as_str).map(str::to_owned),
            reactions: reactions
                .filter_map(|one| one.as_str().or_else(|| one.get("emoji")?.as_str()))
                .map(str::to_owned)
                .collect(),
        })
    }
}
