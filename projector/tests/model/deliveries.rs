//! Histories as Meta would deliver them: what people and businesses did, written as webhook bodies in any order, with
//! repeats, packed in any way.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use schemas::{Channel, EventContext, IdKey, RawPosition, RawRef, SealedEvent, SubjectId, TenantId, split};
use serde_json::{Value, json};

/// When everything arrives: after all of it happened.
pub(crate) const RECEIVED_MS: i64 = 1_700_000_900_000;
/// The business's number, page and account: one of each product.
const NUMBER: &str = "15550001111";

/// Something that happened, with the person it happened with and its place in time, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) channel: Channel,
    /// 1 or 2.
    pub(crate) person: u8,
    /// One of a few messages, or calls.
    pub(crate) message: u8,
    pub(crate) what: What,
    /// Its place in the history: no two deeds have one.
    pub(crate) at: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Received(Copy),
    Sent(Copy),
    /// With a time that cannot be.
    Timeless,
    Edited(u8),
    Deleted,
    Reacted(Option<&'static str>),
    Status(&'static str),
    Read,
    Delivered,
    Pressed,
    Control(u8),
    Call(&'static str),
    Wish(&'static str),
    NotKnown,
}

/// How the same message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Copy {
    Live,
    Standby,
    Imported(&'static str),
}

/// A history of up to `most` deeds.
pub(crate) fn history(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    let copy = prop_oneof![
        3 => Just(Copy::Live),
        1 => Just(Copy::Standby),
        1 => select(vec!["SENT", "DELIVERED", "READ", "PENDING", "ERROR"]).prop_map(Copy::Imported),
    ];
    let what = prop_oneof![
        4 => copy.clone().prop_map(What::Received),
        3 => copy.prop_map(What::Sent),
        1 => Just(What::Timeless),
        2 => (1..4_u8).prop_map(What::Edited),
        1 => Just(What::Deleted),
        2 => select(vec![Some("👍"), Some("🙏"), None]).prop_map(What::Reacted),
        4 => select(vec!["sent", "delivered", "read", "played", "failed"]).prop_map(What::Status),
        1 => Just(What::Read),
        1 => Just(What::Delivered),
        1 => Just(What::Pressed),
        1 => (1..4_u8).prop_map(What::Control),
        2 => select(vec!["connect", "terminate"]).prop_map(What::Call),
        1 => select(vec!["stop", "resume"]).prop_map(What::Wish),
        1 => Just(What::NotKnown),
    ];
    let channel = select(vec![Channel::Messenger, Channel::Instagram, Channel::Whatsapp, Channel::Whatsapp]);
    let deed = (channel, 1..3_u8, 0..6_u8, what);
    prop::collection::vec(deed, 1..most).prop_map(|deeds| {
        let numbered = (0..).zip(deeds);
        numbered
            .map(|(at, (channel, person, message, what))| Deed { channel, person, message, what, at })
            .filter(Deed::can_be)
            .collect()
    })
}

impl Deed {
    /// Not everything happens everywhere.
    fn can_be(&self) -> bool {
        match (&self.what, self.channel) {
            (What::Received(Copy::Imported(_)) | What::Sent(Copy::Imported(_)), channel) => {
                channel == Channel::Whatsapp
            }
            (What::Status(_) | What::Call(_) | What::Wish(_), channel) => channel == Channel::Whatsapp,
            (What::Read | What::Pressed, channel) => channel != Channel::Whatsapp,
            (What::Delivered, channel) => channel == Channel::Messenger,
            // Messenger has no unsend.
            (What::Deleted, channel) => channel != Channel::Messenger,
            _ => true,
        }
    }

    /// The id of the message it is about: one of the person's own, or one that was written to them.
    pub(crate) fn mid(&self) -> String {
        let side = match self.what {
            What::Sent(_) | What::Status(_) => "out",
            What::Pressed => "pressed",
            What::Call(_) => "call",
            What::Timeless => "timeless",
            _ => "in",
        };
        format!("{side}.{}.{}", self.person, self.message)
    }

    /// When it happened, Unix milliseconds; a message has one time, however it comes.
    pub(crate) fn at_ms(&self) -> i64 {
        let second = match self.what {
            What::Received(_) | What::Sent(_) | What::Pressed => i64::from(self.message),
            What::Timeless => return RECEIVED_MS,
            _ => 100 + i64::from(self.at),
        };
        (1_700_000_000 + second) * 1000
    }

    fn text(&self) -> String {
        match self.what {
            What::Edited(revision) => format!("text {} {revision} {}", self.mid(), self.at),
            _ => format!("text {}", self.mid()),
        }
    }

    /// The entry that delivers it.
    fn entry(&self) -> Value {
        match self.channel {
            Channel::Messenger => self.messaging("222"),
            Channel::Instagram => self.messaging("333"),
            Channel::Whatsapp => self.whatsapp(),
        }
    }

    fn messaging(&self, asset: &str) -> Value {
        let person = format!("700{}", self.person);
        let (mid, time) = (self.mid(), self.at_ms());
        let (from, to) =
            if matches!(self.what, What::Sent(_)) { (asset, &*person) } else { (&*person, asset) };
        let mut element = json!({ "sender": { "id": from }, "recipient": { "id": to }, "timestamp": time });
        let (name, said) = match self.what {
            What::Received(_) => ("message", json!({ "mid": mid, "text": self.text() })),
            What::Sent(_) => ("message", json!({ "mid": mid, "text": self.text(), "is_echo": true })),
            What::Timeless => {
                element["timestamp"] = json!(7);
                ("message", json!({ "mid": mid, "text": self.text() }))
            }
            What::Edited(revision) => (
                "message_edit",
                json!({ "mid": mid, "text": self.text(), "num_edit": u32::from(revision) * 100 + self.at }),
            ),
            What::Deleted => ("message", json!({ "mid": mid, "is_deleted": true })),
            What::Reacted(Some(emoji)) => {
                ("reaction", json!({ "mid": mid, "action": "react", "emoji": emoji }))
            }
            What::Reacted(None) => ("reaction", json!({ "mid": mid, "action": "unreact" })),
            What::Read if self.channel == Channel::Instagram => {
                ("read", json!({ "mid": format!("out.{}.{}", self.person, self.message) }))
            }
            What::Read => {
                ("read", json!({ "watermark": 1_700_000_000_000_i64 + i64::from(self.message) * 1000 }))
            }
            What::Delivered => {
                ("delivery", json!({ "watermark": 1_700_000_000_000_i64 + i64::from(self.message) * 1000 }))
            }
            What::Pressed => ("postback", json!({ "mid": mid, "title": self.text(), "payload": "P" })),
            What::Control(app) => ("pass_thread_control", json!({ "new_owner_app_id": app, "metadata": "" })),
            What::NotKnown => ("hologram", json!({ "id": self.at })),
            What::Status(_) | What::Call(_) | What::Wish(_) => unreachable!("of WhatsApp"),
        };
        element[name] = said;
        let list = match self.what {
            What::Received(Copy::Standby) | What::Sent(Copy::Standby) => "standby",
            _ => "messaging",
        };
        json!({ "id": asset, "time": time, list: [element] })
    }

    fn whatsapp(&self) -> Value {
        let (phone, user) = (format!("1555123000{}", self.person), format!("US.{}", self.person));
        let (mid, time) = (format!("wamid.{}", self.mid()), (self.at_ms() / 1000).to_string());
        let text = json!({ "body": self.text() });
        // Seen by number and user id, or by one of them.
        let person = match self.at % 3 {
            0 => json!({ "from": phone, "from_user_id": user }),
            1 => json!({ "from_user_id": user }),
            _ => json!({ "from": phone }),
        };
        let with = |mut message: Value, more: Value| {
            for (name, value) in more.as_object().unwrap() {
                message[name] = value.clone();
            }
            message
        };
        let message = |id: &str, kind: &str, body: Value| {
            with(person.clone(), json!({ "id": id, "timestamp": time, "type": kind, kind: body }))
        };
        let own = format!("wamid.{}.{}", self.mid(), self.at);
        let live = |list: &str, element: Value| ("messages", json!({ list: [element] }));
        let (field, mut value) = match self.what {
            What::Received(Copy::Live) => live("messages", message(&mid, "text", text)),
            What::Received(Copy::Standby) => {
                ("standby", json!({ "standby": { "messages": [message(&mid, "text", text)] } }))
            }
            What::Received(Copy::Imported(_)) => {
                let message =
                    json!({ "from": phone, "id": mid, "timestamp": time, "type": "text", "text": text });
                ("history", json!({ "history": [{ "threads": [{ "id": phone, "messages": [message] }] }] }))
            }
            What::Sent(Copy::Live) => {
                let echo = json!({ "from": NUMBER, "to": phone, "id": mid, "timestamp": time, "type": "text", "text": text });
                ("smb_message_echoes", json!({ "message_echoes": [echo] }))
            }
            What::Sent(Copy::Standby) => {
                let request = json!({ "to": phone, "type": "text", "text": text });
                let echo = json!({ "id": mid, "timestamp": time, "message": request });
                ("standby", json!({ "standby": { "message_echoes": [echo] } }))
            }
            What::Sent(Copy::Imported(status)) => {
                let message = json!({ "from": NUMBER, "to": phone, "id": mid, "timestamp": time, "type": "text", "text": text,
                    "history_context": { "status": status } });
                ("history", json!({ "history": [{ "threads": [{ "id": phone, "messages": [message] }] }] }))
            }
            What::Timeless => {
                live("messages", with(message(&mid, "text", text), json!({ "timestamp": "99999999999" })))
            }
            What::Edited(_) => {
                let edit = json!({ "original_message_id": mid, "message": { "type": "text", "text": text } });
                live("messages", message(&own, "edit", edit))
            }
            What::Deleted => live("messages", message(&own, "revoke", json!({ "original_message_id": mid }))),
            What::Reacted(emoji) => {
                let mut reaction = json!({ "message_id": mid });
                if let Some(emoji) = emoji {
                    reaction["emoji"] = json!(emoji);
                }
                live("messages", message(&own, "reaction", reaction))
            }
            What::Status(status) => live(
                "statuses",
                json!({ "id": mid, "status": status, "timestamp": time, "recipient_id": phone }),
            ),
            What::Control(app) => {
                return json!({ "id": "900", "changes": [{ "field": "messaging_handovers", "value": {
                    "recipient": { "phone_number_id": "111" }, "sender": { "phone_number": phone }, "type": "control_passed",
                    "timestamp": time, "control_passed": { "new_owner_app_id": app.to_string() } } }] });
            }
            What::Call(event) => {
                let call = json!({ "id": mid, "from": phone, "to": NUMBER, "event": event, "direction": "USER_INITIATED", "timestamp": time });
                ("calls", json!({ "calls": [call] }))
            }
            What::Wish(value) => {
                let wish = json!({ "wa_id": phone, "category": "marketing_messages", "value": value, "timestamp": self.at_ms() / 1000 });
                ("user_preferences", json!({ "user_preferences": [wish] }))
            }
            What::NotKnown => live("messages", message(&own, "hologram", json!({ "id": "1" }))),
            What::Read | What::Delivered | What::Pressed => unreachable!("not of WhatsApp"),
        };
        value["metadata"] = json!({ "display_phone_number": NUMBER, "phone_number_id": "111" });
        json!({ "id": "900", "changes": [{ "field": field, "value": value }] })
    }
}

/// How a history is delivered: the order, what comes again, and where one delivery ends.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    order: Vec<Index>,
    again: Vec<Index>,
    cuts: Vec<bool>,
}

pub(crate) fn course() -> impl Strategy<Value = Course> {
    let indices = |count| prop::collection::vec(any::<Index>(), count);
    (indices(64..65), indices(0..12), prop::collection::vec(any::<bool>(), 96))
        .prop_map(|(order, again, cuts)| Course { order, again, cuts })
}

impl Course {
    /// The bodies, one after the other.
    fn bodies(&self, deeds: &[Deed]) -> Vec<(Channel, Vec<u8>)> {
        let mut all: Vec<&Deed> = deeds.iter().collect();
        if !deeds.is_empty() {
            all.extend(self.again.iter().map(|again| again.get(deeds)));
        }
        for (at, swap) in self.order.iter().enumerate().take(all.len()) {
            let other = swap.index(all.len());
            all.swap(at, other);
        }
        let mut bodies = Vec::new();
        let mut open: Vec<(Channel, Vec<Value>)> = Vec::new();
        let mut close = |open: &mut Vec<(Channel, Vec<Value>)>| {
            for (channel, entries) in open.drain(..) {
                let object = match channel {
                    Channel::Messenger => "page",
                    Channel::Instagram => "instagram",
                    Channel::Whatsapp => "whatsapp_business_account",
                };
                let body = json!({ "object": object, "entry": entries });
                bodies.push((channel, body.to_string().into_bytes()));
            }
        };
        for (deed, cut) in all.into_iter().zip(self.cuts.iter().cycle()) {
            match open.iter_mut().find(|(channel, _)| *channel == deed.channel) {
                Some((_, entries)) => entries.push(deed.entry()),
                None => open.push((deed.channel, vec![deed.entry()])),
            }
            if *cut {
                close(&mut open);
            }
        }
        close(&mut open);
        bodies
    }

    /// The events of a history that is delivered so, as `events` would hold them but for the seal.
    pub(crate) fn events(&self, deeds: &[Deed]) -> Vec<SealedEvent> {
        let (tenant, id_key) = (tenant(), id_key());
        let mut events = Vec::new();
        for (offset, (_, body)) in (0..).zip(self.bodies(deeds)) {
            let split = split(&body).expect("a delivery");
            let count = u32::try_from(split.items.len()).expect("a few");
            for item in split.items {
                let asset = item.assets().last().expect("an asset").clone();
                // What the keyring would say: people are told by the last digit of any of their identifiers.
                let person = item.persons().first().and_then(|person| person.value.bytes().last());
                let context = EventContext {
                    tenant: &tenant,
                    asset: &asset,
                    id_key: &id_key,
                    subject: person.map(|digit| SubjectId::from_bytes([digit - b'0'; 16])),
                    received_ms: RECEIVED_MS,
                    raw: RawPosition { raw: RawRef { partition: 0, offset }, index: item.index(), count },
                };
                let event = item.into_event(&context);
                // The projector opens nothing, so nothing is sealed.
                events
                    .push(event.seal(|_, plain| Ok::<_, std::convert::Infallible>(plain.to_vec())).unwrap());
            }
        }
        events
    }
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().expect("a name")
}

pub(crate) fn id_key() -> IdKey {
    IdKey::new(&[7; 32])
}
