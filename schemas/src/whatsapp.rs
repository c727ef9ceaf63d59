//! WhatsApp Cloud API: a change cut into messages, echoes and statuses, and the assets it names.

use std::borrow::Cow;
use std::sync::Arc;

use crate::json::{Cursor, Node, Repeated};
use crate::reading::Draft;
use crate::split::asset;
use crate::whatsapp_person::Contacts;
use crate::{Asset, AssetKind, Channel};

/// One `changes` element. For the other products only `whole` and `field` are filled.
pub(crate) struct Change<'a> {
    /// The element.
    pub(crate) whole: Node<'a>,
    /// Meta's name of the webhook field; absent when missing or named twice.
    pub(crate) field: Option<Cow<'a, str>>,
    metadata: Option<Node<'a>>,
    /// The ids that tell the asset, the most specific first: of `metadata`, `recipient` and `waba_info`.
    named: [Option<Node<'a>>; 3],
    /// One of them stands there twice.
    ambiguous: bool,
    contacts: Option<Node<'a>>,
    value_is_object: bool,
    listed: Vec<(List, Node<'a>)>,
    others: Vec<(Cow<'a, str>, Node<'a>)>,
}

/// Which list of a value an item stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// `messages`: what people write.
    Messages,
    /// `message_echoes`: what staff write in the WhatsApp Business app.
    Echoes,
    /// `statuses`: how far what was sent has come.
    Statuses,
}

impl List {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Echoes => "message_echoes",
            Self::Statuses => "statuses",
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
            value_is_object: false,
            listed: Vec::new(),
            others: Vec::new(),
        };
        let mut fields = 0;
        cursor.members(|cursor, name| match name.as_ref() {
            "field" => {
                change.field = cursor.skip().string();
                fields += 1;
            }
            "value" if channel == Channel::Whatsapp => change.value_is_object = change.value(cursor),
            _ => {
                cursor.skip();
            }
        });
        if fields != 1 {
            change.field = None;
        }
        change.whole = cursor.since(start);
        change
    }

    /// The value that is next. `field` may come after it, so everything that any field may need is noted.
    fn value(&mut self, cursor: &mut Cursor<'a>) -> bool {
        cursor.members(|cursor, name| {
            let list = match name.as_ref() {
                "messages" => Some(List::Messages),
                "message_echoes" => Some(List::Echoes),
                "statuses" => Some(List::Statuses),
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
        })
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

    /// Hands every item of the change to `add`: messages, echoes and statuses one by one where their field is known, else
    /// the change as a whole.
    pub(crate) fn items(self, mut add: impl FnMut(Draft<'a>)) {
        let expected: &[List] = match self.field.as_deref() {
            Some("messages") => &[List::Messages, List::Statuses],
            Some("smb_message_echoes") => &[List::Echoes],
            _ => &[],
        };
        if expected.is_empty() || !self.value_is_object {
            return add(Draft::other(self.whole, self.field));
        }
        let contacts = Contacts::new(self.contacts, self.listed.len());
        for (list, node) in self.listed {
            if expected.contains(&list) {
                add(Draft::Whatsapp { node, list, metadata: self.metadata, contacts: contacts.clone() });
            } else {
                add(Draft::other(node, Some(Cow::Borrowed(list.as_str()))));
            }
        }
        for (name, node) in self.others {
            add(Draft::other(node, Some(name)));
        }
    }
}
