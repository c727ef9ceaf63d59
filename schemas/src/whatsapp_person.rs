//! Who a WhatsApp item is about: its own ids, and those of the contact that matches (`meta-platform.md` §3c.1, §3c.5).

use std::borrow::Cow;
use std::sync::Arc;

use crate::json::Node;
use crate::reading::{Noted, profile};
use crate::whatsapp::{Around, Element, List};
use crate::{Asset, ContactProfile, Identifier, IdentifierKind};

/// Who an element is about.
pub(crate) fn note<'a>(element: &Element<'a>, waba: Option<&Asset>) -> Noted<'a> {
    let node = element.node;
    let mut person = match element.list {
        List::Messages => Person::of_message(node, element.metadata),
        List::Echoes => Person::of_echo(node),
        List::Requests => Person::of_request(node),
        List::Statuses | List::CallStatuses => Person::of_status(node),
        List::Calls => Person::of_call(node),
        List::Preferences => Person::of(node, &[WA_ID], &[USER_ID], PARENT),
        List::AddressBook => node
            .get("contact")
            .map(|contact| Person::of(contact, &["phone_number", WA_ID], &[USER_ID], PARENT))
            .unwrap_or_default(),
        List::UserIds => Person::of_user_ids(node),
        List::Groups(_) => Person {
            group: node.get("group_id").and_then(Node::scalar),
            ..participants(node).next().map(Person::of_participant).unwrap_or_default()
        },
        List::Participant(_) => Person::of_participant(node),
        List::Handover => node
            .get("value")
            .and_then(|value| value.get("sender"))
            .map(|sender| Person::of(sender, &["phone_number", WA_ID], &[USER_ID], PARENT))
            .unwrap_or_default(),
        List::Errors | List::Conversions | List::Progress | List::Declined => Person::default(),
    };
    match &element.around {
        Around::Value => {}
        Around::Thread(thread) => {
            person.from_business |= node.get("to").is_some() && thread.is_with_another(&person);
            person.join(&thread.person);
        }
        Around::Group(group) => person.group = group.id.and_then(Node::scalar),
    }
    let contact = element.contacts.matching(&person);
    Noted {
        persons: person.identifiers(contact.as_ref(), waba),
        from_business: person.from_business,
        group: person.group,
        contact: contact.map(|contact| contact.node),
    }
}

const WA_ID: &str = "wa_id";
const USER_ID: &str = "user_id";
const PARENT: &str = "parent_user_id";

/// The one person an item is about, as the item itself tells.
#[derive(Default)]
struct Person<'a> {
    /// Phone numbers, mostly: what stands there may also be a user id (`meta-platform.md` §3c.5).
    numbers: [Option<Cow<'a, str>>; 2],
    user_ids: [Option<Cow<'a, str>>; 3],
    parents: [Option<Cow<'a, str>>; 2],
    group: Option<Cow<'a, str>>,
    from_business: bool,
}

impl<'a> Person<'a> {
    fn of_message(node: Node<'a>, metadata: Option<Node<'a>>) -> Self {
        let names = ["from", "from_user_id", "from_parent_user_id", "group_id", "system", "to"];
        let [from, user, parent, group, system, to] = node.pick(names);
        let from = from.and_then(Node::scalar);
        let group = group.and_then(Node::scalar);
        let business =
            metadata.and_then(|metadata| metadata.get("display_phone_number")).and_then(Node::scalar);
        if let (Some(from), Some(business)) = (&from, &business)
            && same_number(from, business)
        {
            // The business itself: an echo in the place of a message.
            let numbers = [to.and_then(Node::scalar), None];
            return Self { numbers, group, from_business: true, ..Self::default() };
        }
        let mut person = Self {
            numbers: [from, None],
            user_ids: [user.and_then(Node::scalar), None, None],
            parents: [parent.and_then(Node::scalar), None],
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
            let [_, second] = &mut person.parents;
            *second = parent.and_then(Node::scalar);
        }
        person
    }

    /// Whoever these members name.
    fn of(node: Node<'a>, numbers: &[&str], users: &[&str], parent: &str) -> Self {
        let id = |name: &&str| node.get(name).and_then(Node::scalar);
        let mut numbers = numbers.iter().filter_map(id);
        let mut users = users.iter().filter_map(id);
        Self {
            numbers: [numbers.next(), numbers.next()],
            user_ids: [users.next(), users.next(), None],
            parents: [id(&parent), None],
            ..Self::default()
        }
    }

    /// A call, whoever rang.
    fn of_call(node: Node<'a>) -> Self {
        let by_business =
            node.get("direction").and_then(Node::string).as_deref() == Some("BUSINESS_INITIATED");
        let person = if by_business {
            Self::of(node, &["to"], &["to_user_id"], "to_parent_user_id")
        } else {
            Self::of(node, &["from"], &["from_user_id"], "from_parent_user_id")
        };
        Self { from_business: by_business, ..person }
    }

    /// What another app asked to be sent: to whom, beside the request or in it.
    fn of_request(node: Node<'a>) -> Self {
        let outer = Self::of_echo(node);
        let Some(request) = node.get("message") else { return outer };
        let inner = Self::of(request, &["to"], &["recipient", "to_user_id"], "to_parent_user_id");
        let [to, _] = outer.numbers;
        let [user, ..] = outer.user_ids;
        let ([outer_parent, _], [inner_parent, _]) = (outer.parents, inner.parents);
        let [inner_to, _] = inner.numbers;
        let [recipient, inner_user, _] = inner.user_ids;
        Self {
            numbers: [to, inner_to],
            user_ids: [user, recipient, inner_user],
            parents: [outer_parent, inner_parent],
            group: outer.group,
            from_business: true,
        }
    }

    /// One person's ids before and now.
    fn of_user_ids(node: Node<'a>) -> Self {
        let [wa_id, user, parent] = node.pick([WA_ID, USER_ID, PARENT]);
        let change = |ids: Option<Node<'a>>| {
            let ids = ids.filter(|ids| ids.is_object())?;
            Some(ids.pick(["current", "previous"]).map(|id| id.and_then(Node::scalar)))
        };
        let [current, previous] = change(user).unwrap_or_else(|| [user.and_then(Node::scalar), None]);
        let [parent_now, parent_before] =
            change(parent).unwrap_or_else(|| [parent.and_then(Node::scalar), None]);
        Self {
            numbers: [wa_id.and_then(Node::scalar), None],
            user_ids: [current, previous, None],
            parents: [parent_now, parent_before],
            ..Self::default()
        }
    }

    fn of_participant(node: Node<'a>) -> Self {
        Self::of(node, &[WA_ID, "input"], &[USER_ID], PARENT)
    }

    /// A message of a history: whoever the thread is with, whoever wrote. Its number is the thread's, because the one that
    /// wrote may be the business's, written in another way than its own.
    fn join(&mut self, thread: &Self) {
        if let [Some(theirs), _] = &thread.numbers {
            self.numbers = [Some(theirs.clone()), None];
        }
        let ([user, ..], [theirs, ..]) = (&mut self.user_ids, &thread.user_ids);
        if user.is_none() {
            user.clone_from(theirs);
        }
        let ([parent, _], [theirs, _]) = (&mut self.parents, &thread.parents);
        if parent.is_none() {
            parent.clone_from(theirs);
        }
    }

    fn of_echo(node: Node<'a>) -> Self {
        let [to, user, parent, group] = node.pick(["to", "to_user_id", "to_parent_user_id", "group_id"]);
        Self {
            numbers: [to.and_then(Node::scalar), None],
            user_ids: [user.and_then(Node::scalar), None, None],
            parents: [parent.and_then(Node::scalar), None],
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
            parents: [parent.and_then(Node::scalar), None],
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
        for parent in self.parents.iter().flatten().map(AsRef::as_ref).chain(contact_parent) {
            add(Identifier { kind: IdentifierKind::ParentBsuid, value: parent.to_owned() });
        }
        identifiers
    }
}

/// Whom a thread of a history is with.
pub(crate) struct Thread<'a> {
    person: Person<'a>,
    /// What they call themselves.
    pub(crate) profile: Option<ContactProfile>,
}

impl<'a> Thread<'a> {
    pub(crate) fn read(thread: Node<'a>) -> Self {
        let [id, context] = thread.pick(["id", "context"]);
        let mut person =
            context.map(|context| Person::of(context, &[WA_ID], &[USER_ID], PARENT)).unwrap_or_default();
        let [number, _] = &mut person.numbers;
        *number = number.take().or_else(|| id?.scalar());
        Self { person, profile: context.and_then(profile) }
    }

    /// Whether a message in it was written by somebody else than it is with.
    fn is_with_another(&self, writer: &Person<'_>) -> bool {
        match (&self.person.numbers, &writer.numbers) {
            ([Some(theirs), _], [Some(from), _]) => !same_number(theirs, from),
            _ => false,
        }
    }
}

/// Where a group's update names people.
pub(crate) const PARTICIPANTS: [&str; 5] =
    ["participants", "added_participants", "removed_participants", "failed_participants", "join_requests"];

/// Everybody whom an element of `groups` names, however often a list stands there.
pub(crate) fn participants(group: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    let lists = group.members().into_iter().filter(|(name, _)| PARTICIPANTS.contains(&name.as_ref()));
    lists.flat_map(|(_, list)| list.elements())
}

/// The participants, when there are several.
pub(crate) fn several(group: Node<'_>) -> Option<Vec<Node<'_>>> {
    let people: Vec<_> = participants(group).collect();
    (people.len() > 1).then_some(people)
}

/// The contacts of a value, found by user id, then by number, never by position (`meta-platform.md` §3c.1).
#[derive(Clone)]
pub(crate) enum Contacts<'a> {
    /// Looked through anew for each of a few items.
    Listed(Option<Node<'a>>),
    /// Sorted once, so that a thousand messages with a thousand contacts stay quick.
    Sorted(Arc<[(Cow<'a, str>, Contact<'a>)]>),
}

/// One contact.
#[derive(Clone)]
pub(crate) struct Contact<'a> {
    node: Node<'a>,
    user_id: Option<Cow<'a, str>>,
    wa_id: Option<Cow<'a, str>>,
    parent: Option<Cow<'a, str>>,
}

impl<'a> Contact<'a> {
    fn read(node: Node<'a>) -> Self {
        let [user_id, wa_id, parent] =
            node.pick(["user_id", "wa_id", "parent_user_id"]).map(|id| id.and_then(Node::scalar));
        Self { node, user_id, wa_id, parent }
    }

    fn ids(&self) -> impl Iterator<Item = &Cow<'a, str>> {
        [&self.user_id, &self.wa_id].into_iter().flatten()
    }
}

impl<'a> Contacts<'a> {
    pub(crate) fn new(node: Option<Node<'a>>, items: usize) -> Self {
        match node {
            Some(node) if items > 8 => {
                let contacts = node.elements().map(Contact::read);
                let by_id = contacts.flat_map(|contact| {
                    contact.ids().map(|id| (id.clone(), contact.clone())).collect::<Vec<_>>()
                });
                let mut sorted: Vec<_> = by_id.collect();
                // Stable: of several with one id the first counts, as in the list.
                sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
                Self::Sorted(sorted.into())
            }
            node => Self::Listed(node),
        }
    }

    fn matching(&self, person: &Person<'_>) -> Option<Contact<'a>> {
        let mut ids = person.user_ids.iter().chain(&person.numbers).flatten();
        match self {
            Self::Listed(node) => {
                let node = (*node)?;
                ids.find_map(|id| {
                    node.elements().map(Contact::read).find(|contact| contact.ids().any(|known| known == id))
                })
            }
            Self::Sorted(sorted) => ids.find_map(|id| {
                let at = sorted.partition_point(|(known, _)| known < id);
                sorted.get(at).filter(|(known, _)| known == id).map(|(_, contact)| contact.clone())
            }),
        }
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

/// Whether two ways of writing are one phone number. The usual cases compare nothing but text.
fn same_number(one: &str, other: &str) -> bool {
    let is_plain = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
    one == other
        || (!(is_plain(one) && is_plain(other)) && phone(one).is_some_and(|one| phone(other) == Some(one)))
}

/// A phone number in plain digits, whatever it is written with; `None` when it is no phone number.
pub(crate) fn phone(value: &str) -> Option<String> {
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
