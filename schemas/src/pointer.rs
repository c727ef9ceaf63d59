//! Records of the `quarantine` topic: what became of raw items that did not become events. A pointer never holds content.

use serde::{Deserialize, Serialize};

use crate::{Asset, RawRef};

/// Why items of one delivery are not in `events`, and where to find them while `raw` keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The delivery.
    pub raw: RawRef,
    /// How many items the delivery holds; 0 when it could not be read or holds none.
    pub count: u32,
    /// Which of its items this pointer is about; empty when it is about the whole delivery.
    pub items: Vec<u32>,
    /// What became of them.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How often they have been tried.
    pub attempts: u32,
    /// When this was decided, Unix milliseconds.
    pub at_ms: i64,
    /// The `control` position (offset of the next record not yet folded) this was judged by.
    pub judged_at: u64,
}

/// What became of raw items that are not events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// No active tenant owns the asset; connecting it (or resuming the tenant) re-routes them.
    Parked {
        /// The assets that would own these items, the most specific first.
        assets: Vec<Asset>,
    },
    /// The body, or an item of it, is unusable. `tidings quarantine redrive` tries again.
    Quarantined {
        /// Why.
        reason: Reason,
    },
    /// They are of a person who was forgotten since they happened: Meta's repeats, or ours. Dropped for good.
    Forgotten,
    /// A valid delivery that holds no item, such as an empty `entry`.
    Empty,
}

/// Why something is in quarantine. A metric label, so a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The body is empty.
    EmptyBody,
    /// Not JSON, cut short, followed by something else, or not UTF-8.
    NotJson,
    /// JSON, but not an object with `object` and `entry` as Meta sends it.
    NotAnEnvelope,
    /// An entry whose id is missing or unusable: no asset can be told.
    NoAsset,
    /// Nested deeper than is safe to read.
    TooDeep,
    /// More items than any delivery of Meta's holds, by far.
    TooManyItems,
    /// The record is larger than the log takes.
    TooLarge,
    /// The raw record lacks the headers that ingest always writes.
    NotOurs,
    /// Its seal does not open: the record was changed since ingest wrote it, or somebody else did.
    Unopenable,
    /// Reading it failed again and again.
    Crashed,
}

impl Reason {
    /// Every reason, for metrics and documentation.
    pub const ALL: [Self; 10] = [
        Self::EmptyBody,
        Self::NotJson,
        Self::NotAnEnvelope,
        Self::NoAsset,
        Self::TooDeep,
        Self::TooManyItems,
        Self::TooLarge,
        Self::NotOurs,
        Self::Unopenable,
        Self::Crashed,
    ];

    /// The reason as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyBody => "empty_body",
            Self::NotJson => "not_json",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::NoAsset => "no_asset",
            Self::TooDeep => "too_deep",
            Self::TooManyItems => "too_many_items",
            Self::TooLarge => "too_large",
            Self::NotOurs => "not_ours",
            Self::Unopenable => "unopenable",
            Self::Crashed => "crashed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_survive_json() {
        let pointer = |outcome| Pointer {
            raw: RawRef { partition: 1, offset: 9 },
            count: 3,
            items: vec![0, 2],
            outcome,
            attempts: 1,
            at_ms: 7,
            judged_at: 4,
        };
        let parked = Outcome::Parked { assets: vec!["waba:900".parse().unwrap()] };
        let mut outcomes: Vec<_> =
            Reason::ALL.into_iter().map(|reason| Outcome::Quarantined { reason }).collect();
        outcomes.extend([parked, Outcome::Forgotten, Outcome::Empty]);
        for outcome in outcomes {
            let pointer = pointer(outcome);
            let json = serde_json::to_string(&pointer).unwrap();
            assert_eq!(serde_json::from_str::<Pointer>(&json).unwrap(), pointer);
            if let Outcome::Quarantined { reason } = &pointer.outcome {
                assert!(json.contains(&format!(r#""reason":"{}""#, reason.as_str())), "one word everywhere");
            }
        }
    }
}
