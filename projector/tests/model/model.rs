//! What a history should be seen as, told as plainly as can be: from all that happened, without order, without ids, without
//! the fold. What the fold makes of any course of its delivery is held to it.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Asset, Channel, MessageContent, Postback, Reaction, SubjectId};
use serde_json::Value;
use store::{ConversationChanges, Side};

use crate::deliveries::{Copy, Deed, What, id_key};

/// A view, in words that both sides can be told in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Channel, person: when something last happened.
    conversations: BTreeMap<(Channel, u8), i64>,
    messages: BTreeMap<Place, Message>,
    /// The text now.
    edits: BTreeMap<Place, String>,
    deletions: BTreeSet<Place>,
    /// By whom; the emoji, or nothing once removed.
    reactions: BTreeMap<(Place, u8), Option<String>>,
    /// Rank, and whether it was reported failed.
    statuses: BTreeMap<Place, (i16, bool)>,
    watermarks: BTreeMap<(Channel, u8, i16), i64>,
    owners: BTreeMap<(Channel, u8), String>,
    calls: BTreeMap<Place, String>,
    wishes: BTreeMap<u8, String>,
}

/// A message: where, and Meta's id of it.
type Place = (Channel, String);

#[derive(Debug, PartialEq, Eq)]
struct Message {
    person: u8,
    at_ms: i64,
    direction: &'static str,
    text: String,
    imported: bool,
    standby: bool,
}

/// Keeps the better of two.
fn best<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, new: V, is_better: impl Fn(&V, &V) -> bool) {
    match map.get(&key) {
        Some(known) if !is_better(&new, known) => {}
        _ => _ = map.insert(key, new),
    }
}

/// Whether it was said later.
fn later<V>(new: &(u32, V), known: &(u32, V)) -> bool {
    new.0 > known.0
}

impl View {
    /// What all these deeds should be seen as.
    pub(crate) fn of(deeds: &[Deed]) -> Self {
        let mut view = Self::default();
        let mut edits: BTreeMap<Place, ((u8, u32), String)> = BTreeMap::new();
        let mut reactions = BTreeMap::new();
        let mut owners = BTreeMap::new();
        let mut calls = BTreeMap::new();
        let mut wishes = BTreeMap::new();
        for deed in deeds {
            let Deed { channel, person, at, .. } = *deed;
            let place = (channel, deed.mid());
            let mut reached = |place: Place, rank: i16, failed: bool| {
                let status = view.statuses.entry(place).or_default();
                *status = (status.0.max(rank), status.1 || failed);
            };
            match deed.what {
                What::Received(copy) | What::Sent(copy) => {
                    let is_ours = matches!(deed.what, What::Sent(_));
                    if let (true, Copy::Imported(status)) = (is_ours, copy) {
                        match status {
                            "SENT" => reached(place.clone(), 1, false),
                            "DELIVERED" => reached(place.clone(), 2, false),
                            "READ" => reached(place.clone(), 3, false),
                            "ERROR" => reached(place.clone(), 0, true),
                            _ => {}
                        }
                    }
                    let message = Message {
                        imported: matches!(copy, Copy::Imported(_)),
                        standby: copy == Copy::Standby,
                        ..message(deed, if is_ours { "out" } else { "in" })
                    };
                    best(&mut view.messages, place, message, |new, known| {
                        (new.imported, new.standby) < (known.imported, known.standby)
                    });
                }
                What::Timeless | What::Pressed => _ = view.messages.insert(place, message(deed, "in")),
                What::Edited(revision) => {
                    let text = format!("text {} {revision} {at}", deed.mid());
                    // WhatsApp counts no edits: the latest stands.
                    let revision = if channel == Channel::Whatsapp { 0 } else { revision };
                    best(&mut edits, place, ((revision, at), text), |new, known| new.0 > known.0);
                }
                What::Deleted => _ = view.deletions.insert(place),
                What::Reacted(emoji) => best(&mut reactions, (place, person), (at, emoji), later),
                What::Status(status) => {
                    let ranks = ["", "sent", "delivered", "read", "played"];
                    let rank = ranks.iter().position(|known| *known == status).unwrap_or(0);
                    reached(place, rank as i16, status == "failed");
                }
                What::Read if channel == Channel::Instagram => {
                    reached((channel, format!("out.{person}.{}", deed.message)), 3, false);
                }
                What::Read | What::Delivered => {
                    let rank = if deed.what == What::Read { 3 } else { 2 };
                    let mark = 1_700_000_000_000 + i64::from(deed.message) * 1000;
                    best(&mut view.watermarks, (channel, person, rank), mark, |new, known| new > known);
                }
                What::Control(app) => best(&mut owners, (channel, person), (at, app.to_string()), later),
                What::Call(event) => {
                    let rank = u32::from(event == "terminate") * 1000 + at;
                    best(&mut calls, place, (rank, event.to_owned()), later);
                }
                What::Wish(value) => best(&mut wishes, person, (at, value.to_owned()), later),
                What::NotKnown => {}
            }
            if matches!(
                deed.what,
                What::Received(_) | What::Sent(_) | What::Timeless | What::Pressed | What::Call(_)
            ) {
                best(&mut view.conversations, (channel, person), deed.at_ms(), |new, known| new > known);
            }
        }
        view.edits = edits.into_iter().map(|(place, (_, text))| (place, text)).collect();
        view.reactions =
            reactions.into_iter().map(|(who, (_, emoji))| (who, emoji.map(str::to_owned))).collect();
        view.owners = owners.into_iter().map(|(where_, (_, app))| (where_, app)).collect();
        view.calls = calls.into_iter().map(|(place, (_, state))| (place, state)).collect();
        view.wishes = wishes.into_iter().map(|(person, (_, value))| (person, value)).collect();
        view
    }

    /// What the fold says, in the same words. Ids are known by trying all there may be.
    pub(crate) fn folded(changes: &ConversationChanges, deeds: &[Deed]) -> Self {
        let places = places(deeds);
        let people = people();
        let place = |key: &schemas::MessageKey| places[key].clone();
        let whom = |key: &schemas::ConversationId| people[key];
        let text = |bytes: &[u8], member: &str| -> Option<String> {
            serde_json::from_slice::<Value>(bytes).unwrap()[member].as_str().map(str::to_owned)
        };
        let standing = |side| changes.standing.iter().filter(move |((_, key), _)| key.side == side);
        let conversation =
            |holder: &[u8]| whom(&schemas::ConversationId::from_bytes(holder.try_into().unwrap()));
        Self {
            conversations: changes
                .conversations
                .iter()
                .map(|((_, key), row)| (whom(key), row.last_at_ms))
                .collect(),
            messages: changes
                .messages
                .iter()
                .map(|((_, key), row)| {
                    assert_eq!(row.subject.unwrap().as_bytes()[0], whom(&row.conversation).1);
                    let said = match row.kind.as_str() {
                        "postback" => serde_json::from_slice::<Postback>(&row.content).unwrap().title,
                        _ => serde_json::from_slice::<MessageContent>(&row.content).unwrap().text,
                    };
                    let message = Message {
                        person: whom(&row.conversation).1,
                        at_ms: row.at_ms,
                        direction: row.direction,
                        text: said.unwrap(),
                        imported: row.imported,
                        standby: row.standby,
                    };
                    (place(key), message)
                })
                .collect(),
            edits: changes
                .edits
                .iter()
                .map(|((_, key), row)| (place(key), text(&row.content, "text").unwrap()))
                .collect(),
            deletions: changes.deletions.keys().map(|(_, key)| place(key)).collect(),
            reactions: changes
                .reactions
                .iter()
                .map(|((_, key, actor), row)| {
                    let emoji = row
                        .content
                        .as_deref()
                        .map(|content| serde_json::from_slice::<Reaction>(content).unwrap().emoji.unwrap());
                    ((place(key), actor.unwrap().as_bytes()[0]), emoji)
                })
                .collect(),
            statuses: changes
                .statuses
                .iter()
                .map(|((_, key), row)| (place(key), (row.rank, row.failed)))
                .collect(),
            watermarks: changes
                .watermarks
                .iter()
                .map(|((_, key, rank), row)| {
                    let (channel, person) = whom(key);
                    ((channel, person, *rank), row.at_ms)
                })
                .collect(),
            owners: standing(Side::Thread)
                .map(|((_, key), row)| {
                    let content: Value = serde_json::from_slice(&row.content).unwrap();
                    (conversation(&key.holder), content["new_owner"]["app_id"].as_str().unwrap().to_owned())
                })
                .collect(),
            calls: standing(Side::Call)
                .map(|((_, key), row)| {
                    let call = schemas::MessageKey::from_bytes(key.holder.as_slice().try_into().unwrap());
                    (place(&call), text(&row.content, "state").unwrap())
                })
                .collect(),
            wishes: standing(Side::Preference)
                .map(|((_, key), row)| (key.holder[0], text(&row.content, "value").unwrap()))
                .collect(),
        }
    }
}

fn message(deed: &Deed, direction: &'static str) -> Message {
    Message {
        person: deed.person,
        at_ms: deed.at_ms(),
        direction,
        text: format!("text {}", deed.mid()),
        imported: false,
        standby: false,
    }
}

fn asset(channel: Channel) -> Asset {
    let name = match channel {
        Channel::Messenger => "messenger:222",
        Channel::Instagram => "instagram:333",
        Channel::Whatsapp => "whatsapp:111",
    };
    name.parse().unwrap()
}

/// Every message that a history may speak of, by its key.
fn places(deeds: &[Deed]) -> BTreeMap<schemas::MessageKey, Place> {
    let id_key = id_key();
    let named = deeds.iter().map(|deed| (deed.channel, deed.mid()));
    let seen = deeds.iter().map(|deed| (deed.channel, format!("out.{}.{}", deed.person, deed.message)));
    let key = |(channel, mid): Place| {
        let id = if channel == Channel::Whatsapp { format!("wamid.{mid}") } else { mid.clone() };
        (id_key.message(&asset(channel), &id), (channel, mid))
    };
    named.chain(seen).map(key).collect()
}

/// Every conversation there may be.
fn people() -> BTreeMap<schemas::ConversationId, (Channel, u8)> {
    let id_key = id_key();
    let channels = [Channel::Messenger, Channel::Instagram, Channel::Whatsapp];
    let all = channels.into_iter().flat_map(|channel| [(channel, 1), (channel, 2)]);
    all.map(|(channel, person)| {
        (id_key.conversation(&asset(channel), SubjectId::from_bytes([person; 16])), (channel, person))
    })
    .collect()
}
