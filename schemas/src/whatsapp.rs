//! WhatsApp Cloud API: a change's value cut into messages, echoes and statuses, each with its person.

use std::borrow::Cow;
use std::sync::Arc;

use crate::json::{Cursor, Key, Node, Repeated};
use crate::reading::Draft;
use crate::split::asset;
use crate::{Asset, AssetKind, Channel, Identifier, IdentifierKind, Reason};

/// One `changes` element. For the other products only `whole` and `field` are filled.
pub(crate) struct Change<'a> {
    /// The element.
    pub(crate) whole: Node<'a>,
    /// Meta's name of the webhook field; absent when missing or named twice.
    pub(crate) field: Option<Cow<'a, str>>,
    metadata: Option<Node<'a>>,
    metadata_repeated: bool,
    recipient: Option<Node<'a>>,
    waba_info: Option<Node<'a>>,
    contacts: Option<Node<'a>>,
    value_is_object: bool,
    listed: Vec<(List, Node<'a>)>,
    others: Vec<(Key<'a>, Node<'a>)>,
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
            metadata_repeated: false,
            recipient: None,
            waba_info: None,
            contacts: None,
            value_is_object: false,
            listed: Vec::new(),
            others: Vec::new(),
        };
        let mut fields = 0;
        if cursor.enter(b'{') {
            while let Some(key) = cursor.key() {
                if key.is("field") {
                    change.field = cursor.skip().string();
                    fields += 1;
                } else if channel == Channel::Whatsapp && key.is("value") && cursor.enter(b'{') {
                    change.value_is_object = true;
                    change.value(cursor);
                } else {
                    cursor.skip();
                }
            }
        } else {
            cursor.skip();
        }
        if fields != 1 {
            change.field = None;
        }
        change.whole = cursor.since(start);
        change
    }

    /// The members of the value whose opening brace was just passed. `field` may come after it, so everything that any
    /// field may need is noted.
    fn value(&mut self, cursor: &mut Cursor<'a>) {
        while let Some(key) = cursor.key() {
            let list = [List::Messages, List::Echoes, List::Statuses].into_iter().find(|list| key.is(list.as_str()));
            if let Some(list) = list
                && cursor.enter(b'[')
            {
                while cursor.element() {
                    self.listed.push((list, cursor.skip()));
                }
                continue;
            }
            let node = cursor.skip();
            if key.is("metadata") {
                self.metadata_repeated |= self.metadata.replace(node).is_some();
            } else if key.is("recipient") {
                self.recipient = Some(node);
            } else if key.is("waba_info") {
                self.waba_info = Some(node);
            } else if key.is("contacts") {
                self.contacts = Some(node);
            } else if node.holds_something() {
                self.others.push((key, node));
            }
        }
    }

    /// The number, as exactly as it is told, then the business account (`meta-platform.md` §2.2). None when an id stands
    /// there twice: whose it is must not depend on the reader.
    pub(crate) fn assets(&self, waba: Option<&Asset>) -> Arc<[Asset]> {
        if self.metadata_repeated {
            return Arc::default();
        }
        let Ok(specific) = self.specific_asset() else { return Arc::default() };
        let waba = waba.filter(|waba| specific.as_ref() != Some(*waba)).cloned();
        match (specific, waba) {
            (Some(specific), Some(waba)) => Arc::new([specific, waba]),
            (Some(only), None) | (None, Some(only)) => Arc::new([only]),
            (None, None) => Arc::default(),
        }
    }

    fn specific_asset(&self) -> Result<Option<Asset>, Repeated> {
        let named = [
            (self.metadata, "phone_number_id", AssetKind::Whatsapp),
            (self.recipient, "phone_number_id", AssetKind::Whatsapp),
            (self.waba_info, "waba_id", AssetKind::Waba),
        ];
        for (holder, name, kind) in named {
            let Some(holder) = holder else { continue };
            if let Some(asset) = holder.only(name)?.and_then(|id| asset(kind, id)) {
                return Ok(Some(asset));
            }
        }
        Ok(None)
    }

    /// Hands every item of the change to `add`: messages, echoes and statuses one by one where their field is known, else
    /// the change as a whole.
    pub(crate) fn items(
        &self,
        waba: Option<&Asset>,
        mut add: impl FnMut(Vec<Identifier>, Draft<'a>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let expected: &[List] = match self.field.as_deref() {
            Some("messages") => &[List::Messages, List::Statuses],
            Some("smb_message_echoes") => &[List::Echoes],
            _ => &[],
        };
        if expected.is_empty() || !self.value_is_object {
            return add(Vec::new(), Draft::other(self.whole, self.field.clone()));
        }
        let contacts = Contacts::read(self.contacts);
        let business = self.metadata.and_then(|metadata| metadata.get("display_phone_number"));
        let business = business.and_then(Node::scalar).and_then(|number| phone(&number));
        for (list, node) in &self.listed {
            if !expected.contains(list) {
                add(Vec::new(), Draft::other(*node, Some(Cow::Borrowed(list.as_str()))))?;
                continue;
            }
            let person = match list {
                List::Messages => Person::of_message(*node, business.as_deref()),
                List::Echoes => Person::of_echo(*node),
                List::Statuses => Person::of_status(*node),
            };
            let contact = contacts.matching(&person);
            let persons = person.identifiers(contact, waba);
            let draft = Draft::Whatsapp {
                node: *node,
                list: *list,
                group: person.group,
                contact: contact.map(|contact| contact.node),
                from_business: person.from_business,
            };
            add(persons, draft)?;
        }
        for (key, node) in &self.others {
            add(Vec::new(), Draft::other(*node, Some(key.name())))?;
        }
        Ok(())
    }
}

/// The one person an item is about, as the item itself tells.
#[derive(Default)]
struct Person<'a> {
    /// Phone numbers, mostly: what stands there may also be a user id (`meta-platform.md` §3c.5).
    numbers: [Option<Cow<'a, str>>; 2],
    user_ids: [Option<Cow<'a, str>>; 3],
    parent: Option<Cow<'a, str>>,
    group: Option<Cow<'a, str>>,
    from_business: bool,
}

impl<'a> Person<'a> {
    fn of_message(node: Node<'a>, business: Option<&str>) -> Self {
        let names = ["from", "from_user_id", "from_parent_user_id", "group_id", "system", "to"];
        let [from, user, parent, group, system, to] = node.pick(names);
        let from = from.and_then(Node::scalar);
        let group = group.and_then(Node::scalar);
        if let Some(from) = &from
            && let Some(business) = business
            && phone(from).as_deref() == Some(business)
        {
            // The business itself: an echo in the place of a message.
            let numbers = [to.and_then(Node::scalar), None];
            return Self { numbers, group, from_business: true, ..Self::default() };
        }
        let mut person = Self {
            numbers: [from, None],
            user_ids: [user.and_then(Node::scalar), None, None],
            parent: parent.and_then(Node::scalar),
            group,
            from_business: false,
        };
        if let Some(system) = system {
            // The old and the new number or user id are one person.
            let [wa_id, user, previous, parent] =
                system.pick(["wa_id", "user_id", "previous_user_id", "parent_user_id"]);
            let [_, number] = &mut person.numbers;
            *number = wa_id.and_then(Node::scalar);
            let [_, new, old] = &mut person.user_ids;
            *new = user.and_then(Node::scalar);
            *old = previous.and_then(Node::scalar);
            person.parent = person.parent.or_else(|| parent.and_then(Node::scalar));
        }
        person
    }

    fn of_echo(node: Node<'a>) -> Self {
        let [to, user, parent, group] = node.pick(["to", "to_user_id", "to_parent_user_id", "group_id"]);
        Self {
            numbers: [to.and_then(Node::scalar), None],
            user_ids: [user.and_then(Node::scalar), None, None],
            parent: parent.and_then(Node::scalar),
            group: group.and_then(Node::scalar),
            from_business: true,
        }
    }

    fn of_status(node: Node<'a>) -> Self {
        let [recipient, user, parent, kind, participant, participant_user, participant_parent] = node.pick([
            "recipient_id",
            "recipient_user_id",
            "recipient_parent_user_id",
            "recipient_type",
            "recipient_participant_id",
            "recipient_participant_user_id",
            "recipient_participant_parent_user_id",
        ]);
        let is_group = kind.and_then(Node::string).as_deref() == Some("group");
        let (number, user, parent, group) = if is_group {
            (participant, participant_user, participant_parent, recipient.and_then(Node::scalar))
        } else {
            (recipient, user, parent, None)
        };
        Self {
            numbers: [number.and_then(Node::scalar), None],
            user_ids: [user.and_then(Node::scalar), None, None],
            parent: parent.and_then(Node::scalar),
            group,
            from_business: false,
        }
    }

    /// Every identifier, each once: the item's own and those of the contact that matches it.
    fn identifiers(&self, contact: Option<&Contact<'a>>, waba: Option<&Asset>) -> Vec<Identifier> {
        let mut identifiers = Vec::new();
        let mut add = |identifier: Identifier| {
            if !identifiers.contains(&identifier) {
                identifiers.push(identifier);
            }
        };
        let contact_user = contact.and_then(|contact| contact.user_id.as_deref());
        for user in self.user_ids.iter().flatten().map(AsRef::as_ref).chain(contact_user) {
            add(user_id(user, waba));
        }
        let contact_number = contact.and_then(|contact| contact.wa_id.as_deref());
        for number in self.numbers.iter().flatten().map(AsRef::as_ref).chain(contact_number) {
            add(number_or_user(number, waba));
        }
        let contact_parent = contact.and_then(|contact| contact.parent.as_deref());
        for parent in self.parent.iter().map(AsRef::as_ref).chain(contact_parent) {
            add(Identifier { kind: IdentifierKind::ParentBsuid, value: parent.to_owned() });
        }
        identifiers
    }
}

/// The contacts of a value, found by user id, then by number, never by position (`meta-platform.md` §3c.1).
#[derive(Default)]
struct Contacts<'a> {
    contacts: Vec<Contact<'a>>,
    /// Sorted, so that a thousand messages with a thousand contacts stay quick.
    by_id: Vec<(Cow<'a, str>, usize)>,
}

struct Contact<'a> {
    node: Node<'a>,
    user_id: Option<Cow<'a, str>>,
    wa_id: Option<Cow<'a, str>>,
    parent: Option<Cow<'a, str>>,
}

impl<'a> Contacts<'a> {
    fn read(node: Option<Node<'a>>) -> Self {
        let Some(node) = node else { return Self::default() };
        let mut read = Self::default();
        for node in node.elements() {
            let [user_id, wa_id, parent] = node.pick(["user_id", "wa_id", "parent_user_id"]);
            let contact = Contact {
                node,
                user_id: user_id.and_then(Node::scalar),
                wa_id: wa_id.and_then(Node::scalar),
                parent: parent.and_then(Node::scalar),
            };
            let at = read.contacts.len();
            read.by_id.extend([&contact.user_id, &contact.wa_id].into_iter().flatten().map(|id| (id.clone(), at)));
            read.contacts.push(contact);
        }
        read.by_id.sort_unstable();
        read
    }

    fn matching(&self, person: &Person<'_>) -> Option<&Contact<'a>> {
        // System messages name an old and a new id; the item's own come first.
        let ids = person.user_ids.iter().chain(&person.numbers).flatten();
        ids.into_iter().find_map(|id| {
            let at = self.by_id.partition_point(|(known, _)| known < id);
            let (known, contact) = self.by_id.get(at)?;
            if known == id { self.contacts.get(*contact) } else { None }
        })
    }
}

/// A user id, which is unique within one business portfolio only: scoped to the business account.
fn user_id(value: &str, waba: Option<&Asset>) -> Identifier {
    // The form that linked portfolios share is global (`meta-platform.md` §3c.5).
    if value.get(2..).is_some_and(|rest| rest.starts_with(".ENT.")) {
        return Identifier { kind: IdentifierKind::ParentBsuid, value: value.to_owned() };
    }
    Identifier { kind: IdentifierKind::Bsuid, value: scoped(value, waba) }
}

/// What stands where a phone number is expected.
fn number_or_user(value: &str, waba: Option<&Asset>) -> Identifier {
    if let Some(number) = phone(value) {
        return Identifier { kind: IdentifierKind::Phone, value: number };
    }
    let (country, rest) = value.split_at_checked(2).unwrap_or_default();
    if country.bytes().all(|byte| byte.is_ascii_uppercase()) && rest.starts_with('.') {
        return user_id(value, waba);
    }
    Identifier { kind: IdentifierKind::WhatsappUser, value: scoped(value, waba) }
}

fn scoped(value: &str, waba: Option<&Asset>) -> String {
    waba.map_or_else(|| value.to_owned(), |waba| format!("{waba}/{value}"))
}

/// A phone number in plain digits, whatever it is written with; `None` when it is no phone number.
fn phone(value: &str) -> Option<String> {
    let mut digits = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '0'..='9' => digits.push(character),
            // Arabic-Indic and Persian digits.
            '\u{660}'..='\u{669}' => digits.push(char::from_digit(character as u32 - 0x660, 10)?),
            '\u{6f0}'..='\u{6f9}' => digits.push(char::from_digit(character as u32 - 0x6f0, 10)?),
            '+' | ' ' | '-' | '(' | ')' | '.' | '\u{a0}' => {}
            _ => return None,
        }
    }
    (5..=20).contains(&digits.len()).then_some(digits)
}
