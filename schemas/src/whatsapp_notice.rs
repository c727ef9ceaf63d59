//! What WhatsApp tells about people and conversations beside messages: calls, preferences, the address book, identities,
//! groups, who answers (`meta-platform.md` §3c.1–§3c.5).

use std::borrow::Cow;

use crate::content::{
    AddressBookEntry, AssetErrors, Call, Content, Conversion, GroupUpdate, HistoryProgress, IdentityChange,
    Owner, Preference, ThreadControl,
};
use crate::json::Node;
use crate::reading::{Reading, fingerprint};
use crate::whatsapp::Around;
use crate::whatsapp_message::platform_errors;
use crate::{Direction, Kind, time, whatsapp_person};

/// A call, at one of its turns (`meta-platform.md` §4: id and event).
pub(crate) fn call(node: Node<'_>, from_business: bool) -> Option<Reading<'_>> {
    let [id, event, status, began, ended, seconds, callback, errors] = node.pick([
        "id",
        "event",
        "status",
        "start_time",
        "end_time",
        "duration",
        "biz_opaque_callback_data",
        "errors",
    ]);
    let (id, event) = (id?.scalar()?, event?.string()?);
    let content = Call {
        state: event.to_lowercase(),
        outcome: status.and_then(Node::string).map(|status| status.to_lowercase()),
        started_ms: began.and_then(time::millis),
        ended_ms: ended.and_then(time::millis),
        seconds: seconds.and_then(Node::integer),
        callback_data: callback.and_then(Node::owned),
        errors: errors.map(platform_errors).unwrap_or_default(),
    };
    let direction = if from_business { Direction::Out } else { Direction::In };
    Some(Reading {
        direction: Some(direction),
        message: Some(id.clone()),
        ..Reading::new(Kind::CallUpdated, Content::Call(content), vec![id, event])
    })
}

/// Whether a call of ours rings, was taken or not (`meta-platform.md` §3c.1: not to be mixed with statuses of messages).
pub(crate) fn call_status(node: Node<'_>) -> Option<Reading<'_>> {
    let [id, status, callback, errors] = node.pick(["id", "status", "biz_opaque_callback_data", "errors"]);
    let (id, status) = (id?.scalar()?, status?.string()?);
    let content = Call {
        state: status.to_lowercase(),
        callback_data: callback.and_then(Node::owned),
        errors: errors.map(platform_errors).unwrap_or_default(),
        ..Call::default()
    };
    Some(Reading {
        message: Some(id.clone()),
        ..Reading::new(Kind::CallUpdated, Content::Call(content), vec![id, status])
    })
}

pub(crate) fn preference(node: Node<'_>) -> Option<Reading<'_>> {
    let [wa_id, user, category, value, detail, signup, at] =
        node.pick(["wa_id", "user_id", "category", "value", "detail", "signup_id", "timestamp"]);
    let (category, value) = (category?.string()?, value?.string()?);
    let content = Preference {
        category: category.clone().into_owned(),
        value: value.clone().into_owned(),
        detail: detail.and_then(Node::owned),
        signup_id: signup.and_then(Node::scalar).map(Cow::into_owned),
    };
    let who = user.or(wa_id).and_then(Node::scalar).unwrap_or_default();
    let when = at.and_then(Node::scalar).unwrap_or_default();
    Some(Reading {
        direction: Some(Direction::In),
        ..Reading::new(
            Kind::PreferenceChanged,
            Content::Preference(content),
            vec![who, category, value, when],
        )
    })
}

/// An entry of the address book was added, changed or removed: the business's own doing, and no part of a conversation.
pub(crate) fn address_book(node: Node<'_>) -> Option<Reading<'_>> {
    let [contact, action] = node.pick(["contact", "action"]);
    let [name, first_name, username] =
        contact?.pick(["full_name", "first_name", "username"]).map(|node| node.and_then(Node::owned));
    let content = AddressBookEntry { action: action.and_then(Node::owned), name, first_name, username };
    Some(Reading {
        direction: Some(Direction::Out),
        is_apart: true,
        ..Reading::new(Kind::ContactUpdated, Content::AddressBook(content), vec![fingerprint(node).into()])
    })
}

/// `user_id_update`: documented in June 2026, out of the documents since August (`meta-platform.md` §3c.4).
pub(crate) fn user_ids(node: Node<'_>) -> Option<Reading<'_>> {
    let [user, wa_id, detail] = node.pick(["user_id", "wa_id", "detail"]);
    let user = user?;
    let [now, before] = if user.is_object() {
        user.pick(["current", "previous"]).map(|id| id.and_then(Node::owned))
    } else {
        [Some(user.scalar()?.into_owned()), None]
    };
    let content = IdentityChange {
        change: "user_id".to_owned(),
        text: detail.and_then(Node::owned),
        number: wa_id.and_then(Node::scalar).map(Cow::into_owned),
        user_id: now,
        previous_user_id: before,
        ..IdentityChange::default()
    };
    let key = vec![fingerprint(node).into()];
    Some(Reading::new(Kind::IdentityChanged, Content::Identity(content), key))
}

pub(crate) fn conversion(node: Node<'_>) -> Option<Reading<'_>> {
    let [id, name, click, data] = node.pick(["id", "event_name", "ctwa_clid", "custom_data"]);
    let (id, name) = (id?.scalar()?, name?.string()?);
    let [currency, amount] = data.map_or([None; 2], |data| data.pick(["currency", "value"]));
    let content = Conversion {
        name: name.clone().into_owned(),
        click_id: click.and_then(Node::owned),
        currency: currency.and_then(Node::owned),
        amount: amount.and_then(Node::scalar).map(Cow::into_owned),
    };
    Some(Reading {
        message: Some(id.clone()),
        ..Reading::new(Kind::ConversionDetected, Content::Conversion(content), vec![id, name])
    })
}

/// The longest text of a group that each of its participants' events repeats, in bytes: many times a long one would be a
/// thousand times the delivery.
const LONGEST_REPEATED: usize = 256;

/// What the events of a group's participants share.
pub(crate) struct Group<'a> {
    pub(crate) id: Option<Node<'a>>,
    pub(crate) at: Option<Node<'a>>,
    kind: Option<Node<'a>>,
    request: Option<Node<'a>>,
    reason: Option<Node<'a>>,
}

impl<'a> Group<'a> {
    pub(crate) fn read(group: Node<'a>) -> Self {
        let [id, at, kind, request, reason] =
            group.pick(["group_id", "timestamp", "type", "request_id", "reason"]);
        Self { id, at, kind, request, reason }
    }

    /// What tells this update from another one, and then whom or what it is about: the same alone or among others.
    fn key(&self, change: &str, about: Node<'_>) -> Vec<Cow<'a, str>> {
        let told = [self.id, self.kind, self.at, self.request].map(|node| node.and_then(Node::scalar));
        let told = told.into_iter().map(Option::unwrap_or_default);
        [change.to_owned().into(), fingerprint(about).into()].into_iter().chain(told).collect()
    }
}

/// Value sets of groups are not documented well enough to be closed: Meta's words are kept (`meta-platform.md` §11).
pub(crate) fn group<'a>(node: Node<'a>, change: &str) -> Option<Reading<'a>> {
    let head = Group::read(node);
    head.id?.scalar()?;
    let [subject, description, link, errors] = node.pick(["subject", "description", "invite_link", "errors"]);
    let content = GroupUpdate {
        change: change.to_owned(),
        kind: head.kind.and_then(scalar),
        subject: subject.and_then(scalar),
        description: description.and_then(scalar),
        invite_link: link.and_then(scalar),
        request_id: head.request.and_then(scalar),
        reason: head.reason.and_then(scalar),
        errors: errors.map(platform_errors).unwrap_or_default(),
    };
    let about = whatsapp_person::participants(node).next().unwrap_or(node);
    let key = head.key(change, about);
    Some(Reading::new(Kind::GroupUpdated, Content::Group(content), key))
}

/// One of several participants: what is said of the group as a whole stands beside it, but for what tells what happened.
pub(crate) fn participant<'a>(node: Node<'a>, around: &Around<'a>, change: &str) -> Option<Reading<'a>> {
    let Around::Group(head) = around else { return None };
    head.id?.scalar()?;
    let short =
        |node: Option<Node<'_>>| node.filter(|node| node.text().len() <= LONGEST_REPEATED).and_then(scalar);
    let content = GroupUpdate {
        change: change.to_owned(),
        kind: short(head.kind),
        request_id: short(head.request),
        reason: short(head.reason),
        errors: node.get("errors").map(platform_errors).unwrap_or_default(),
        ..GroupUpdate::default()
    };
    Some(Reading::new(Kind::GroupUpdated, Content::Group(content), head.key(change, node)))
}

/// An error of the number as a whole. Without a time of its own, the same words again are the same event, unless the entry
/// tells another time.
pub(crate) fn error(node: Node<'_>, entry_ms: Option<i64>) -> Option<Reading<'_>> {
    let content = AssetErrors { errors: vec![platform_error(node)?] };
    let mut key = vec![fingerprint(node).into()];
    key.extend(entry_ms.map(|ms| Cow::Owned(ms.to_string())));
    Some(Reading::new(Kind::AssetFailed, Content::Errors(content), key))
}

pub(crate) fn progress(node: Node<'_>) -> Option<Reading<'_>> {
    let [phase, chunk, percent] =
        node.pick(["phase", "chunk_order", "progress"]).map(|node| node.and_then(Node::integer));
    let content = HistoryProgress { phase, chunk, percent, errors: Vec::new() };
    (content != HistoryProgress::default()).then(|| {
        let key = vec![fingerprint(node).into()];
        Reading::new(Kind::HistoryProgressed, Content::History(content), key)
    })
}

/// The owner of the number does not share their history, or it cannot be had.
pub(crate) fn declined(node: Node<'_>, entry_ms: Option<i64>) -> Option<Reading<'_>> {
    let content = HistoryProgress { errors: vec![platform_error(node)?], ..HistoryProgress::default() };
    let mut key = vec![fingerprint(node).into()];
    key.extend(entry_ms.map(|ms| Cow::Owned(ms.to_string())));
    Some(Reading::new(Kind::HistoryProgressed, Content::History(content), key))
}

fn platform_error(node: Node<'_>) -> Option<crate::PlatformError> {
    let error = crate::whatsapp_message::platform_error(node);
    (error != crate::PlatformError::default()).then_some(error)
}

/// `messaging_handovers`: the new owner is told; `previous_*` is who lost control (`meta-platform.md` §3c.3).
pub(crate) fn handover(change: Node<'_>) -> Option<Reading<'_>> {
    let value = change.get("value")?;
    let [word, sender, at] = value.pick(["type", "sender", "timestamp"]);
    let word = word?.string()?;
    let action = word.strip_prefix("control_")?;
    let told = value.get(&word)?;
    let names = [
        "previous_owner_app_id",
        "previous_owner_role",
        "previous_owner_app_role",
        "new_owner_app_id",
        "new_owner_role",
        "metadata",
    ];
    let [app, role, app_role, new_app, new_role, metadata] =
        told.pick(names).map(|node| node.and_then(Node::scalar).map(Cow::into_owned));
    let summary = told.get("conversation_context").and_then(|context| context.get("summary"));
    let owner = |owner: Owner| (owner != Owner::default()).then_some(owner);
    let content = ThreadControl {
        action: action.to_owned(),
        previous_owner: owner(Owner { app_id: app, role, app_role }),
        new_owner: owner(Owner { app_id: new_app, role: new_role, app_role: None }),
        metadata,
        summary: summary.and_then(|summary| summary.get("text")).and_then(Node::owned),
        ..ThreadControl::default()
    };
    let who = sender.and_then(|sender| {
        ["user_id", "wa_id", "phone_number"].iter().find_map(|name| sender.get(name)?.scalar())
    });
    let when = at.and_then(Node::scalar).unwrap_or_default();
    let key = vec![who.unwrap_or_default(), word.clone(), when];
    Some(Reading {
        needs_conversation: true,
        ..Reading::new(Kind::ThreadControl, Content::Thread(content), key)
    })
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}
