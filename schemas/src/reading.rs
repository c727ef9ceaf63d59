//! From an item to its event: who it is about, what it says, and the ids that follow from both.

use std::borrow::Cow;

use ring::digest;
use serde_json::value::RawValue;

use crate::content::{ContactProfile, Content, Unrecognized};
use crate::json::Node;
use crate::whatsapp::List;
use crate::whatsapp_person::{self, Contacts};
use crate::{
    Asset, Direction, Event, EventContext, EventId, IdKey, Identifier, Item, Kind, Source, messaging, time,
    whatsapp_message,
};

/// An item as it was cut.
pub(crate) enum Draft<'a> {
    /// An element of Messenger's or Instagram's `messaging` or `standby`.
    Messaging {
        node: Node<'a>,
        /// Another app owns the thread: not read, so that nobody answers twice (`meta-platform.md` §10.25).
        standby: bool,
    },
    /// An element of one of WhatsApp's lists, and what stood beside the lists.
    Whatsapp { node: Node<'a>, list: List, metadata: Option<Node<'a>>, contacts: Contacts<'a> },
    /// Anything else, kept as it is.
    Other { node: Node<'a>, field: Option<Cow<'a, str>> },
}

/// Who an item is about.
#[derive(Default)]
pub(crate) struct Noted<'a> {
    /// Every identifier of that person.
    pub(crate) persons: Vec<Identifier>,
    /// The business acted.
    pub(crate) from_business: bool,
    /// The WhatsApp group it happened in.
    pub(crate) group: Option<Cow<'a, str>>,
    /// The WhatsApp contact that matches the person.
    pub(crate) contact: Option<Node<'a>>,
}

/// What an item says, read.
pub(crate) struct Reading<'a> {
    pub(crate) kind: Kind,
    pub(crate) direction: Option<Direction>,
    pub(crate) content: Content,
    /// Meta's id of the message it is, or is about.
    pub(crate) message: Option<Cow<'a, str>>,
    /// What makes it this event and no other of its kind (`meta-platform.md` §4).
    pub(crate) natural_key: Vec<Cow<'a, str>>,
    /// Meta's time.
    pub(crate) at: Option<Node<'a>>,
    /// It cannot be shown outside a conversation.
    pub(crate) needs_conversation: bool,
}

/// How readers turn Meta's message ids into keys.
pub(crate) struct Keys<'a> {
    pub(crate) id_key: &'a IdKey,
    pub(crate) asset: &'a Asset,
}

impl Keys<'_> {
    pub(crate) fn message(&self, id: &str) -> crate::MessageKey {
        self.id_key.message(self.asset, id)
    }
}

impl<'a> Draft<'a> {
    pub(crate) const fn other(node: Node<'a>, field: Option<Cow<'a, str>>) -> Self {
        Self::Other { node, field }
    }

    const fn node(&self) -> Node<'a> {
        match self {
            Self::Messaging { node, .. } | Self::Whatsapp { node, .. } | Self::Other { node, .. } => *node,
        }
    }

    /// Meta's time of it.
    pub(crate) fn at(&self) -> Option<Node<'a>> {
        let node = self.node();
        node.get("timestamp").or_else(|| node.get("value")?.get("timestamp"))
    }

    pub(crate) fn note(&self, assets: &[Asset]) -> Noted<'a> {
        match self {
            Self::Messaging { node, .. } => messaging::note(*node, assets.first()),
            Self::Whatsapp { node, list, metadata, contacts } => {
                whatsapp_person::note(*node, *list, *metadata, contacts, assets.last())
            }
            Self::Other { .. } => Noted::default(),
        }
    }

    fn read(&self, from_business: bool, keys: &Keys<'_>) -> Option<Reading<'a>> {
        match self {
            Self::Messaging { standby: true, .. } | Self::Other { .. } => None,
            Self::Messaging { node, .. } => messaging::read(*node, from_business, keys),
            Self::Whatsapp { node, list: List::Statuses, .. } => whatsapp_message::read_status(*node),
            Self::Whatsapp { node, .. } => whatsapp_message::read(*node, from_business, keys),
        }
    }

    /// What cannot be read is kept. Its key is its exact text and, for a change, which carries no time of its own, the
    /// entry's time: the same change may truly happen twice.
    fn unrecognized(&self, entry_ms: Option<i64>) -> Reading<'a> {
        let node = self.node();
        let (field, entry_time) = match self {
            Self::Messaging { standby, .. } => {
                (Cow::Borrowed(if *standby { "standby" } else { "messaging" }), None)
            }
            Self::Whatsapp { list, .. } => (Cow::Borrowed(list.as_str()), None),
            Self::Other { field, .. } => (field.clone().unwrap_or_default(), entry_ms),
        };
        // An element with an id of its own is that element, however its other members drift between repeats.
        let [id, word, at] = match self {
            Self::Whatsapp { list: List::Statuses, .. } => node.pick(["id", "status", "timestamp"]),
            Self::Whatsapp { .. } => node.pick(["id", "type", "timestamp"]),
            _ => [None, None, self.at()],
        };
        let mut natural_key = vec![field.clone()];
        if let Some(id) = id.and_then(Node::scalar) {
            natural_key.extend([id, word.and_then(Node::scalar).unwrap_or_default()]);
        } else {
            natural_key.push(fingerprint(node).into());
            natural_key.extend(entry_time.map(|ms| Cow::Owned(ms.to_string())));
        }
        let field = (!field.is_empty()).then(|| field.into_owned());
        Reading {
            kind: Kind::Unrecognized,
            direction: None,
            content: Content::Unrecognized(Unrecognized { field }),
            message: None,
            natural_key,
            at,
            needs_conversation: false,
        }
    }
}

/// Stands for an id where Meta gives none: the digest of the exact text.
pub(crate) fn fingerprint(node: Node<'_>) -> String {
    hex::encode(digest::digest(&digest::SHA256, node.text().as_bytes()))
}

impl Item<'_> {
    /// The event it is. What this version cannot read becomes [`Kind::Unrecognized`] with its exact slice: never an error.
    pub fn into_event(self, context: &EventContext<'_>) -> Event {
        let asset = self.assets.first().unwrap_or(context.asset).clone();
        let keys = Keys { id_key: context.id_key, asset: &asset };
        let noted = self.noted();
        let group = noted.group.as_deref();
        let nowhere = group.is_none() && noted.persons.is_empty();
        let reading = self
            .draft
            .read(noted.from_business, &keys)
            .filter(|reading| !(nowhere && reading.needs_conversation))
            .unwrap_or_else(|| self.draft.unrecognized(self.entry_ms));

        let parts: Vec<&[u8]> = reading.natural_key.iter().map(|part| part.as_bytes()).collect();
        let conversation = match (group, context.subject) {
            (Some(group), _) => Some(context.id_key.group_conversation(&asset, group)),
            (None, Some(subject)) => Some(context.id_key.conversation(&asset, subject)),
            (None, None) => None,
        };
        let id = context.id_key.event(reading.kind, &asset, &parts);
        let mut content = reading.content;
        name_files(&mut content, context.id_key, &asset, id);
        Event {
            id,
            kind: reading.kind,
            tenant: context.tenant.clone(),
            channel: asset.kind().channel(),
            route: context.asset.clone(),
            direction: reading.direction,
            conversation,
            subject: context.subject,
            message: reading.message.map(|id| keys.message(&id)),
            occurred_ms: time::plausible(
                [reading.at.and_then(time::millis), self.entry_ms],
                context.received_ms,
            ),
            received_ms: context.received_ms,
            raw: context.raw,
            imported: matches!(&self.draft, Draft::Other { field: Some(field), .. } if field == "history"),
            contact: noted.contact.and_then(profile),
            content,
            source: source(self.draft.node()),
            asset,
        }
    }
}

/// Gives every file that is to be fetched its id.
fn name_files(content: &mut Content, id_key: &IdKey, asset: &Asset, event: EventId) {
    let attachments = match content {
        Content::Message(message) => &mut message.attachments,
        Content::Edited(edited) => &mut edited.attachments,
        _ => return,
    };
    for (index, attachment) in attachments.iter_mut().enumerate().filter(|(_, one)| one.is_file()) {
        attachment.id = Some(id_key.attachment(asset, event, index));
    }
}

fn profile(contact: Node<'_>) -> Option<ContactProfile> {
    let [name, username] = contact.get("profile")?.pick(["name", "username"]);
    let profile =
        ContactProfile { name: name.and_then(Node::owned), username: username.and_then(Node::owned) };
    (profile != ContactProfile::default()).then_some(profile)
}

fn source(node: Node<'_>) -> Source {
    let raw =
        RawValue::from_string(node.text().to_owned()).or_else(|_| RawValue::from_string("null".to_owned()));
    Source::new(raw.expect("a slice of checked JSON, or else null, is JSON"))
}
