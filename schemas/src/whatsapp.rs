//! WhatsApp Cloud API: a change cut into messages, echoes and statuses, and the assets it names.

use std::borrow::Cow;
use std::sync::Arc;

use crate::json::{Cursor, Node, Repeated};
use crate::reading::Draft;
use crate::split::asset;
use crate::whatsapp_field::{Cut, Shape, shape};
use crate::whatsapp_notice::Group;
use crate::whatsapp_person::{Contacts, Thread};
use crate::{Asset, AssetKind, Channel, Unread};

/// One `changes` element. For the other products only `whole` and `field` are filled.
pub(crate) struct Change<'a> {
    /// The element.
    pub(crate) whole: Node<'a>,
    /// What it says.
    pub(crate) value: Option<Node<'a>>,
    /// Meta's name of the webhook field; absent when missing or named twice.
    pub(crate) field: Option<Cow<'a, str>>,
    metadata: Option<Node<'a>>,
    /// The ids that tell the asset, the most specific first: of `metadata`, `recipient` and `waba_info`.
    named: [Option<Node<'a>>; 3],
    /// One of them stands there twice.
    ambiguous: bool,
    contacts: Option<Node<'a>>,
    listed: Vec<(List, Node<'a>)>,
    others: Vec<(Cow<'a, str>, Node<'a>)>,
    /// What holds something beside the value.
    beside: Vec<(Cow<'a, str>, Node<'a>)>,
}

/// What kind of element of a value an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// `messages`: what people write, and in a history also what the business wrote.
    Messages,
    /// `message_echoes`: what staff write in the WhatsApp Business app.
    Echoes,
    /// `message_echoes` of `standby`: what another app asked to be sent.
    Requests,
    /// `statuses`: how far what was sent has come.
    Statuses,
    /// `errors`: what goes wrong with the number.
    Errors,
    /// `calls`.
    Calls,
    /// `statuses` of `calls`.
    CallStatuses,
    /// `user_preferences`.
    Preferences,
    /// `state_sync`: the address book of the WhatsApp Business app.
    AddressBook,
    /// `user_id_update`.
    UserIds,
    /// `automatic_events`.
    Conversions,
    /// `groups`, and which side of them.
    Groups(&'static str),
    /// One of several participants that an element of `groups` names.
    Participant(&'static str),
    /// `history[].metadata`.
    Progress,
    /// `history[].errors`.
    Declined,
    /// A change of `messaging_handovers`.
    Handover,
}

impl List {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Echoes | Self::Requests => "message_echoes",
            Self::Statuses | Self::CallStatuses => "statuses",
            Self::Errors | Self::Declined => "errors",
            Self::Calls => "calls",
            Self::Preferences => "user_preferences",
            Self::AddressBook => "state_sync",
            Self::UserIds => "user_id_update",
            Self::Conversions => "automatic_events",
            Self::Groups(_) | Self::Participant(_) => "groups",
            Self::Progress => "metadata",
            Self::Handover => "messaging_handovers",
        }
    }
}

/// How an item came: what makes the same message another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// As it happened.
    Live,
    /// For another app to answer.
    Standby,
    /// In a history import.
    History,
}

impl Origin {
    /// What its natural key begins with; nothing of what came live.
    pub(crate) const fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Live => None,
            Self::Standby => Some("standby:"),
            Self::History => Some("history:"),
        }
    }
}

/// An element of a value, with what stood around it.
pub(crate) struct Element<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) list: List,
    pub(crate) origin: Origin,
    pub(crate) metadata: Option<Node<'a>>,
    pub(crate) contacts: Contacts<'a>,
    pub(crate) around: Around<'a>,
}

/// What an element stands in, read once for all that stand there.
#[derive(Clone)]
pub(crate) enum Around<'a> {
    /// The value, and nothing between.
    Value,
    /// The thread of a message of a history.
    Thread(Arc<Thread<'a>>),
    /// The group of a participant.
    Group(Arc<Group<'a>>),
}

impl<'a> Element<'a> {
    /// Meta's time of it.
    pub(crate) fn at(&self) -> Option<Node<'a>> {
        match (self.list, &self.around) {
            (List::AddressBook, _) => self.node.get("metadata")?.get("timestamp"),
            (List::Handover, _) => self.node.get("value")?.get("timestamp"),
            (_, Around::Group(group)) => group.at,
            _ => self.node.get("timestamp"),
        }
    }
}

impl<'a> Change<'a> {
    /// The element of `changes` that is next.
    pub(crate) fn read(cursor: &mut Cursor<'a>, channel: Channel) -> Self {
        let start = cursor.mark();
        let mut change = Self {
            whole: cursor.since(start),
            field: None,
            metadata: None,
            named: [None; 3],
            ambiguous: false,
            contacts: None,
            value: None,
            listed: Vec::new(),
            others: Vec::new(),
            beside: Vec::new(),
        };
        let (mut fields, mut values) = (0, 0);
        cursor.members(|cursor, name| match name.as_ref() {
            "field" => {
                change.field = cursor.skip().string();
                fields += 1;
            }
            "value" => {
                let start = cursor.mark();
                if channel == Channel::Whatsapp {
                    change.value(cursor);
                } else {
                    cursor.skip();
                }
                change.value = Some(cursor.since(start));
                values += 1;
            }
            _ => {
                let node = cursor.skip();
                if node.holds_something() {
                    change.beside.push((name, node));
                }
            }
        });
        if fields != 1 {
            change.field = None;
        }
        // Of two, neither is cut: the change is kept as it is.
        if values != 1 {
            change.value = None;
        }
        change.whole = cursor.since(start);
        change
    }

    /// The value that is next. `field` may come after it, so everything that any field may need is noted.
    fn value(&mut self, cursor: &mut Cursor<'a>) {
        cursor.members(|cursor, name| {
            let list = match name.as_ref() {
                "messages" => Some(List::Messages),
                "message_echoes" => Some(List::Echoes),
                "statuses" => Some(List::Statuses),
                "errors" => Some(List::Errors),
                _ => None,
            };
            if let Some(list) = list
                && cursor.enter_array()
            {
                while cursor.element() {
                    self.listed.push((list, cursor.skip()));
                }
                return;
            }
            let start = cursor.mark();
            let [metadata, recipient, waba_info] = &mut self.named;
            let named = match name.as_ref() {
                "metadata" => Some((metadata, "phone_number_id")),
                "recipient" => Some((recipient, "phone_number_id")),
                "waba_info" => Some((waba_info, "waba_id")),
                _ => None,
            };
            if let Some((place, wanted)) = named {
                match cursor.only(wanted) {
                    Ok(Some(id)) => self.ambiguous |= place.replace(id).is_some(),
                    Ok(None) => {}
                    Err(Repeated) => self.ambiguous = true,
                }
                if name == "metadata" {
                    self.metadata = Some(cursor.since(start));
                }
                return;
            }
            let node = cursor.skip();
            if name == "contacts" {
                self.contacts = Some(node);
            } else if node.holds_something() {
                self.others.push((name, node));
            }
        });
    }

    /// The number, as exactly as it is told, then the business account (`meta-platform.md` §2.2). None when an id stands
    /// there twice: whose it is must not depend on the reader.
    pub(crate) fn assets(&self, waba: Option<&Asset>) -> Arc<[Asset]> {
        if self.ambiguous {
            return Arc::default();
        }
        let [metadata, recipient, waba_info] = self.named;
        let number = |id: Option<Node<'a>>| id.and_then(|id| asset(AssetKind::Whatsapp, id));
        let specific =
            number(metadata).or_else(|| number(recipient)).or_else(|| asset(AssetKind::Waba, waba_info?));
        let waba = waba.filter(|waba| specific.as_ref() != Some(*waba)).cloned();
        match (specific, waba) {
            (Some(specific), Some(waba)) => Arc::new([specific, waba]),
            (Some(only), None) | (None, Some(only)) => Arc::new([only]),
            (None, None) => Arc::default(),
        }
    }

    /// Hands every item of the change to `add`: elements one by one where their field is known, else the change as a whole.
    pub(crate) fn items(self, mut add: impl FnMut(Draft<'a>)) {
        let shape = self.field.as_deref().and_then(shape);
        let Some((shape, value)) = shape.zip(self.value.filter(|value| value.is_object())) else {
            let reason = if shape.is_some() { Unread::Unreadable } else { Unread::Unknown };
            return add(Draft::Other { node: self.whole, field: self.field, reason, origin: Origin::Live });
        };
        if matches!(shape, Shape::Lists(_) | Shape::Standby | Shape::History) {
            for (name, node) in self.beside.iter().cloned() {
                add(Draft::other(node, Some(name), Unread::Unknown));
            }
        }
        match shape {
            // What comes most was listed while it was checked.
            Shape::Lists([("messages", _), ..]) => {
                self.listed_items(&[List::Messages, List::Statuses, List::Errors], add)
            }
            Shape::Lists([("message_echoes", _)]) => self.listed_items(&[List::Echoes], add),
            Shape::Person(list) => {
                let contacts = Contacts::new(self.contacts, 1);
                let (node, metadata) = (self.whole, self.metadata);
                add(Draft::Whatsapp(Element {
                    node,
                    list,
                    origin: Origin::Live,
                    metadata,
                    contacts,
                    around: Around::Value,
                }));
            }
            Shape::Account => {
                add(Draft::Change { node: self.whole, field: self.field.unwrap_or_default(), value })
            }
            Shape::Lists(lists) => self.cut(&mut add).lists(value, lists, Origin::Live),
            Shape::Standby => self.cut(&mut add).standby(value),
            Shape::History => self.cut(&mut add).history(value),
        }
    }

    fn cut<'f>(&self, add: &'f mut impl FnMut(Draft<'a>)) -> Cut<'a, 'f> {
        Cut { metadata: self.metadata, add }
    }

    fn listed_items(self, expected: &[List], mut add: impl FnMut(Draft<'a>)) {
        let contacts = Contacts::new(self.contacts, self.listed.len());
        for (list, node) in self.listed {
            add(if expected.contains(&list) {
                let (metadata, contacts) = (self.metadata, contacts.clone());
                let (origin, around) = (Origin::Live, Around::Value);
                Draft::Whatsapp(Element { node, list, origin, metadata, contacts, around })
            } else {
                Draft::other(node, Some(Cow::Borrowed(list.as_str())), Unread::Unreadable)
            });
        }
        for (name, node) in self.others {
            add(Draft::other(node, Some(name), Unread::Unknown));
        }
    }
}
