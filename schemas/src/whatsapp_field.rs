//! WhatsApp's webhook fields other than `messages`: which lists each holds, and so what becomes an item
//! (`meta-platform.md` §3c.2–§3c.4).

use std::borrow::Cow;
use std::sync::Arc;

use crate::Unread;
use crate::json::Node;
use crate::reading::Draft;
use crate::whatsapp::{Around, Element, List, Origin};
use crate::whatsapp_notice::Group;
use crate::whatsapp_person::{self, Contacts, Thread};

/// How a field is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each element of these lists of the value is an item.
    Lists(&'static [(&'static str, List)]),
    /// What stands in `value.standby`, by other lists.
    Standby,
    /// Messages of before, in threads.
    History,
    /// The change as a whole is one item, about somebody.
    Person(List),
    /// The change as a whole is one item, about the account, a number or a template.
    Account,
}

/// How this field is cut; `None` when it is not known.
pub(crate) fn shape(field: &str) -> Option<Shape> {
    Some(match field {
        "messages" => Shape::Lists(&[
            ("messages", List::Messages),
            ("statuses", List::Statuses),
            ("errors", List::Errors),
        ]),
        "smb_message_echoes" => Shape::Lists(&[("message_echoes", List::Echoes)]),
        "smb_app_state_sync" => Shape::Lists(&[("state_sync", List::AddressBook)]),
        "user_preferences" => Shape::Lists(&[("user_preferences", List::Preferences)]),
        "user_id_update" => Shape::Lists(&[("user_id_update", List::UserIds)]),
        "automatic_events" => Shape::Lists(&[("automatic_events", List::Conversions)]),
        "calls" => Shape::Lists(&[
            ("calls", List::Calls),
            ("statuses", List::CallStatuses),
            ("errors", List::Errors),
        ]),
        "group_lifecycle_update" => Shape::Lists(&[("groups", List::Groups("lifecycle"))]),
        "group_participants_update" => Shape::Lists(&[("groups", List::Groups("participants"))]),
        "group_settings_update" => Shape::Lists(&[("groups", List::Groups("settings"))]),
        "group_status_update" => Shape::Lists(&[("groups", List::Groups("status"))]),
        "standby" => Shape::Standby,
        "history" => Shape::History,
        "messaging_handovers" => Shape::Person(List::Handover),
        _ if crate::whatsapp_account::knows(field) => Shape::Account,
        _ => return None,
    })
}

/// A value being cut into items.
pub(crate) struct Cut<'a, 'f> {
    pub(crate) metadata: Option<Node<'a>>,
    pub(crate) add: &'f mut dyn FnMut(Draft<'a>),
}

impl<'a> Cut<'a, '_> {
    /// Cuts the elements of known lists out of this object; what else holds something is kept as it is.
    pub(crate) fn lists(&mut self, value: Node<'a>, lists: &[(&str, List)], origin: Origin) {
        let members = value.members();
        let contacts = members.iter().rev().find(|(name, _)| name == "contacts").map(|(_, node)| *node);
        let contacts = Contacts::new(contacts, usize::MAX);
        for (name, node) in members {
            let list = lists.iter().find(|(known, _)| *known == name).map(|(_, list)| *list);
            match list {
                Some(list) if node.is_array() => self.elements(node, list, origin, &contacts, &Around::Value),
                Some(_) => self.other(name, node, origin, Unread::Unreadable),
                None if matches!(name.as_ref(), "metadata" | "contacts") => {}
                None => self.other(name, node, origin, Unread::Unknown),
            }
        }
    }

    fn elements(
        &mut self,
        array: Node<'a>,
        list: List,
        origin: Origin,
        contacts: &Contacts<'a>,
        around: &Around<'a>,
    ) {
        for node in array.elements() {
            self.element(node, list, origin, contacts, around);
        }
    }

    fn element(
        &mut self,
        node: Node<'a>,
        list: List,
        origin: Origin,
        contacts: &Contacts<'a>,
        around: &Around<'a>,
    ) {
        if let List::Groups(side) = list
            && let Some(people) = whatsapp_person::several(node)
        {
            return self.several(node, side, people, origin, contacts);
        }
        let (metadata, contacts) = (self.metadata, contacts.clone());
        let around = around.clone();
        (self.add)(Draft::Whatsapp(Element { node, list, origin, metadata, contacts, around }));
    }

    /// Several participants are several people: each has an item of their own, sealed for them alone. What else the group
    /// holds stands by itself.
    fn several(
        &mut self,
        group: Node<'a>,
        side: &'static str,
        people: Vec<Node<'a>>,
        origin: Origin,
        contacts: &Contacts<'a>,
    ) {
        let around = Around::Group(Arc::new(Group::read(group)));
        for person in people {
            self.element(person, List::Participant(side), origin, contacts, &around);
        }
        for (name, node) in group.members() {
            match name.as_ref() {
                name if node.is_array() && whatsapp_person::PARTICIPANTS.contains(&name) => {}
                "errors" if node.is_array() => {
                    self.elements(node, List::Errors, origin, contacts, &Around::Value)
                }
                _ => self.other(name, node, origin, Unread::Unknown),
            }
        }
    }

    fn other(&mut self, name: Cow<'a, str>, node: Node<'a>, origin: Origin, reason: Unread) {
        if node.holds_something() {
            self.kept(name, node, origin, reason);
        }
    }

    fn kept(&mut self, name: Cow<'a, str>, node: Node<'a>, origin: Origin, reason: Unread) {
        (self.add)(Draft::Other { node, field: Some(name), reason, origin });
    }

    /// `value.standby{messages[], message_echoes[], statuses[]}` (`meta-platform.md` §3c.3).
    pub(crate) fn standby(&mut self, value: Node<'a>) {
        const LISTS: [(&str, List); 3] =
            [("messages", List::Messages), ("message_echoes", List::Requests), ("statuses", List::Statuses)];
        for (name, node) in value.members() {
            match name.as_ref() {
                "standby" if node.is_object() => self.lists(node, &LISTS, Origin::Standby),
                "metadata" => {}
                _ => self.other(name, node, Origin::Standby, Unread::Unknown),
            }
        }
    }

    /// `value.history[]{metadata, threads[]{messages[]}, errors[]}`, and the files' own posts, with `messages[]` and
    /// `message_echoes[]` beside it (`meta-platform.md` §3c.2).
    pub(crate) fn history(&mut self, value: Node<'a>) {
        let contacts = Contacts::new(value.get("contacts"), usize::MAX);
        for (name, node) in value.members() {
            match name.as_ref() {
                "history" if node.is_array() => {
                    for piece in node.elements() {
                        self.piece_of_history(piece, &contacts);
                    }
                }
                "messages" if node.is_array() => {
                    self.elements(node, List::Messages, Origin::History, &contacts, &Around::Value)
                }
                "message_echoes" if node.is_array() => {
                    self.elements(node, List::Echoes, Origin::History, &contacts, &Around::Value);
                }
                "metadata" | "contacts" => {}
                _ => self.other(name, node, Origin::History, Unread::Unknown),
            }
        }
    }

    fn piece_of_history(&mut self, piece: Node<'a>, contacts: &Contacts<'a>) {
        if !piece.is_object() {
            return self.kept(Cow::Borrowed("history"), piece, Origin::History, Unread::Unreadable);
        }
        for (name, node) in piece.members() {
            match name.as_ref() {
                "metadata" if node.is_object() => {
                    self.element(node, List::Progress, Origin::History, contacts, &Around::Value);
                }
                "errors" if node.is_array() => {
                    self.elements(node, List::Declined, Origin::History, contacts, &Around::Value)
                }
                "threads" if node.is_array() => {
                    for thread in node.elements() {
                        self.thread(thread, contacts);
                    }
                }
                _ => self.other(name, node, Origin::History, Unread::Unknown),
            }
        }
    }

    fn thread(&mut self, thread: Node<'a>, contacts: &Contacts<'a>) {
        if !thread.is_object() {
            return self.kept(Cow::Borrowed("threads"), thread, Origin::History, Unread::Unreadable);
        }
        let around = Around::Thread(Arc::new(Thread::read(thread)));
        for (name, node) in thread.members() {
            match name.as_ref() {
                "messages" if node.is_array() => {
                    self.elements(node, List::Messages, Origin::History, contacts, &around);
                }
                "id" | "context" => {}
                _ => self.other(name, node, Origin::History, Unread::Unknown),
            }
        }
    }
}
