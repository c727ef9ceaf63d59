//! What one update changes for whoever looks at a conversation.

/// An update as the ledger keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Who it is about, as an index into the world's people.
    pub(crate) person: u32,
    /// What it calls them.
    pub(crate) names: Vec<String>,
    /// Meta's time of it, Unix milliseconds.
    pub(crate) at_ms: i64,
    /// Meta's id of the message that it is or is about; empty when there is none.
    pub(crate) meta_id: String,
    /// What it changes.
    pub(crate) effect: Effect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A message.
    Message { outbound: bool, says: Says },
    /// A button that opened or steered the conversation; a view may or may not show it as a message.
    Postback { says: Says },
    /// A message's new text.
    Edit { of: u32, text: String, revision: u32 },
    /// A message was taken back.
    Delete { of: u32 },
    /// The person's reaction to a message is now this.
    React { of: u32, emoji: Option<String> },
    /// The person got what the account had sent up to this time.
    Delivered { upto_ms: i64 },
    /// The person saw what the account had sent up to this time.
    Read { upto_ms: i64 },
    /// The person saw this message.
    Seen { of: u32 },
    /// A message came this far.
    Status { of: u32, to: Reach },
    /// Nothing that a view of the conversation shows.
    Nothing,
    /// It was signed with a wrong secret: it must not show anywhere.
    Forged,
}

/// How far an outbound message came. No word for it counts as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    Sent,
    Delivered,
    Read,
    /// It did not go through; told of messages that came no further than sent.
    Failed,
}

/// What a message says, as it should be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    /// Exactly this text, its marker included.
    Exactly(String),
    /// Whatever the view makes of it; the marker is in it if the view shows any of its words.
    Something,
}
