//! From an item to its event: who it is about, what it says, and the ids that follow from both.

use std::borrow::Cow;

use ring::digest;
use serde_json::value::RawValue;

use crate::content::{ContactProfile, Content, DeliveryStatus, Unread, Unrecognized};
use crate::json::Node;
use crate::whatsapp::{Around, Element, List, Origin};
use crate::{
    Asset, Direction, Event, EventContext, EventId, IdKey, Identifier, Item, Kind, Source, messaging, public,
    time, unread, whatsapp_account, whatsapp_message, whatsapp_notice, whatsapp_person,
};

/// An item as it was cut.
pub(crate) enum Draft<'a> {
    /// An element of Messenger's or Instagram's `messaging` or `standby`.
    Messaging { node: Node<'a>, origin: Origin },
    /// An element of one of WhatsApp's lists, and what stood around it.
    Whatsapp(Element<'a>),
    /// A change as a whole, about an account, a page or something public.
    Change { node: Node<'a>, field: Cow<'a, str>, value: Node<'a> },
    /// Anything else, kept as it is.
    Other { node: Node<'a>, field: Option<Cow<'a, str>>, reason: Unread, origin: Origin },
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
    /// What Meta tells of the person: the WhatsApp contact that matches.
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
    /// It cannot be shown outside a conversation.
    pub(crate) needs_conversation: bool,
    /// It is part of no conversation, whoever it is about.
    pub(crate) is_apart: bool,
}

impl<'a> Reading<'a> {
    pub(crate) const fn new(kind: Kind, content: Content, natural_key: Vec<Cow<'a, str>>) -> Self {
        Self {
            kind,
            direction: None,
            content,
            message: None,
            natural_key,
            needs_conversation: false,
            is_apart: false,
        }
    }
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
    pub(crate) const fn other(node: Node<'a>, field: Option<Cow<'a, str>>, reason: Unread) -> Self {
        Self::Other { node, field, reason, origin: Origin::Live }
    }

    const fn node(&self) -> Node<'a> {
        match self {
            Self::Messaging { node, .. }
            | Self::Whatsapp(Element { node, .. })
            | Self::Change { node, .. }
            | Self::Other { node, .. } => *node,
        }
    }

    /// What stands of its person around it, in the thread of a history.
    fn told_around(&self) -> Option<ContactProfile> {
        match self {
            Self::Whatsapp(Element { around: Around::Thread(thread), .. }) => thread.profile.clone(),
            _ => None,
        }
    }

    pub(crate) const fn origin(&self) -> Origin {
        match self {
            Self::Messaging { origin, .. }
            | Self::Whatsapp(Element { origin, .. })
            | Self::Other { origin, .. } => *origin,
            Self::Change { .. } => Origin::Live,
        }
    }

    /// Meta's time of it.
    pub(crate) fn at(&self) -> Option<Node<'a>> {
        match self {
            Self::Messaging { node, .. } => node.get("timestamp"),
            Self::Whatsapp(element) => element.at(),
            Self::Change { value, .. } => {
                // An edited comment bears the time of the edit beside its own.
                let [at, edited, created] = value.pick(["timestamp", "edited_time", "created_time"]);
                at.or(edited).or(created)
            }
            Self::Other { node, .. } => node.get("timestamp").or_else(|| node.get("value")?.get("timestamp")),
        }
    }

    pub(crate) fn note(&self, assets: &[Asset]) -> Noted<'a> {
        match self {
            Self::Messaging { node, .. } => messaging::note(*node, assets.first()),
            Self::Whatsapp(element) => whatsapp_person::note(element, assets.last()),
            Self::Change { value, .. } => public::note(*value, assets.first()),
            Self::Other { .. } => Noted::default(),
        }
    }

    fn read(&self, noted: &Noted<'a>, entry_ms: Option<i64>, keys: &Keys<'_>) -> Option<Reading<'a>> {
        let from_business = noted.from_business;
        match self {
            Self::Other { .. } => None,
            Self::Messaging { node, .. } => messaging::read(*node, from_business, keys),
            Self::Change { field, value, .. } => change(field, *value, entry_ms, from_business),
            Self::Whatsapp(element) => {
                let node = element.node;
                match element.list {
                    List::Messages | List::Echoes | List::Requests => {
                        whatsapp_message::read(element, from_business, keys)
                    }
                    List::Statuses => whatsapp_message::read_status(node),
                    List::Calls => whatsapp_notice::call(node, from_business),
                    List::CallStatuses => whatsapp_notice::call_status(node),
                    List::Preferences => whatsapp_notice::preference(node),
                    List::AddressBook => whatsapp_notice::address_book(node),
                    List::UserIds => whatsapp_notice::user_ids(node),
                    List::Conversions => whatsapp_notice::conversion(node),
                    List::Groups(side) => whatsapp_notice::group(node, side),
                    List::Participant(side) => whatsapp_notice::participant(node, &element.around, side),
                    List::Errors => whatsapp_notice::error(node, entry_ms),
                    List::Progress => whatsapp_notice::progress(node),
                    List::Declined => whatsapp_notice::declined(node, entry_ms),
                    List::Handover => whatsapp_notice::handover(node),
                }
            }
        }
    }

    /// What cannot be read is kept. Its key is its exact text and, for a change, which carries no time of its own, the
    /// entry's time: the same change may truly happen twice.
    fn unrecognized(&self, entry_ms: Option<i64>) -> Reading<'a> {
        let node = self.node();
        let (field, entry_time) = match self {
            Self::Messaging { origin: Origin::Standby, .. } => (Cow::Borrowed("standby"), None),
            Self::Messaging { .. } => (Cow::Borrowed("messaging"), None),
            Self::Whatsapp(Element { list: List::Handover, .. }) => {
                (Cow::Borrowed(List::Handover.as_str()), entry_ms)
            }
            Self::Whatsapp(element) => (Cow::Borrowed(element.list.as_str()), None),
            Self::Change { field, .. } => (field.clone(), entry_ms),
            Self::Other { field, .. } => (field.clone().unwrap_or_default(), entry_ms),
        };
        // An element with an id of its own is that element, however its other members drift between repeats.
        let [id, word] = match self {
            Self::Whatsapp(Element { list: List::Statuses, .. }) => node.pick(["id", "status"]),
            Self::Whatsapp(Element { list: List::Messages | List::Echoes | List::Requests, .. }) => {
                node.pick(["id", "type"])
            }
            _ => [None, None],
        };
        let mut natural_key = vec![field.clone()];
        if let Some(id) = id.and_then(Node::scalar) {
            natural_key.extend([id, word.and_then(Node::scalar).unwrap_or_default()]);
        } else {
            natural_key.push(fingerprint(node).into());
            natural_key.extend(entry_time.map(|ms| Cow::Owned(ms.to_string())));
        }
        let reason = self.unread(&field);
        let field = (!field.is_empty()).then(|| field.into_owned());
        let content = Content::Unrecognized(Unrecognized { field, reason });
        Reading::new(Kind::Unrecognized, content, natural_key)
    }

    /// Why it is not read.
    fn unread(&self, field: &str) -> Unread {
        let node = self.node();
        if let Some(named) = unread::NAMED.iter().find(|named| named.name == field) {
            return named.reason;
        }
        match self {
            Self::Other { reason, .. } => *reason,
            Self::Change { .. } => Unread::Unreadable,
            Self::Messaging { .. } => messaging::unread(node),
            Self::Whatsapp(Element { list: List::Messages | List::Echoes | List::Requests, .. }) => {
                let word = node.get("type").and_then(Node::string);
                match word {
                    Some(word) if !whatsapp_message::knows(&word) => Unread::Unknown,
                    _ => Unread::Unreadable,
                }
            }
            Self::Whatsapp(Element { list: List::Statuses, .. }) => {
                let word = node.get("status").and_then(Node::string);
                match word {
                    Some(word) if DeliveryStatus::from_word(&word).is_none() => Unread::Unknown,
                    _ => Unread::Unreadable,
                }
            }
            Self::Whatsapp(_) => Unread::Unreadable,
        }
    }
}

/// What a change says as a whole. Meta gives none an id: field, time and text are its key (`meta-platform.md` §4).
fn change<'a>(
    field: &Cow<'a, str>,
    value: Node<'a>,
    entry_ms: Option<i64>,
    from_business: bool,
) -> Option<Reading<'a>> {
    if let Some((kind, content)) = whatsapp_account::read(field, value) {
        let mut key = vec![field.clone(), fingerprint(value).into()];
        key.extend(entry_ms.map(|ms| Cow::Owned(ms.to_string())));
        return Some(Reading { is_apart: true, ..Reading::new(kind, content, key) });
    }
    public::read(field, value, entry_ms, from_business)
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
            .read(noted, self.entry_ms, &keys)
            .filter(|reading| !(nowhere && reading.needs_conversation))
            .unwrap_or_else(|| self.draft.unrecognized(self.entry_ms));

        let origin = self.draft.origin();
        let prefix = origin.prefix().filter(|_| reading.kind != Kind::HistoryProgressed);
        let parts: Vec<&[u8]> = prefix
            .into_iter()
            .chain(reading.natural_key.iter().map(AsRef::as_ref))
            .map(str::as_bytes)
            .collect();
        let conversation = match (group, context.subject) {
            _ if reading.is_apart => None,
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
                [self.draft.at().and_then(time::millis), self.entry_ms],
                context.received_ms,
            ),
            received_ms: context.received_ms,
            raw: context.raw,
            imported: origin == Origin::History,
            standby: origin == Origin::Standby,
            contact: noted.contact.and_then(profile).or_else(|| self.draft.told_around()),
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

pub(crate) fn profile(contact: Node<'_>) -> Option<ContactProfile> {
    let [profile, beside] = contact.pick(["profile", "username"]);
    let [name, username] = profile.map_or([None; 2], |profile| profile.pick(["name", "username"]));
    let profile = ContactProfile {
        name: name.and_then(Node::owned),
        username: username.or(beside).and_then(Node::owned),
    };
    (profile != ContactProfile::default()).then_some(profile)
}

fn source(node: Node<'_>) -> Source {
    let raw =
        RawValue::from_string(node.text().to_owned()).or_else(|_| RawValue::from_string("null".to_owned()));
    Source::new(raw.expect("a slice of checked JSON, or else null, is JSON"))
}
