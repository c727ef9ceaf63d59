//! Messenger and Instagram Direct: the elements of `entry.messaging`, which the two products share (`meta-platform.md`
//! §3a, §3b).

use std::borrow::Cow;
use std::collections::HashSet;

use crate::content::{
    Attachment, Button, Content, Edited, FormAnswer, Location, MessageContent, Order, OrderItem, Postback,
    Reaction, Referral, ReplyTo, Unread, Watermark,
};
use crate::json::Node;
use crate::reading::{Keys, Noted, Reading, fingerprint};
use crate::{Asset, AssetKind, Direction, Identifier, IdentifierKind, Kind, messaging_notice, time, unread};

/// Who one element is about.
pub(crate) fn note<'a>(node: Node<'a>, asset: Option<&Asset>) -> Noted<'a> {
    let [sender, recipient, message] = node.pick(["sender", "recipient", "message"]);
    let id = |party: Option<Node<'a>>| party?.get("id").and_then(Node::scalar);
    let is_ours = |id: &str| asset.is_some_and(|asset| asset.id() == id);
    let sender_id = id(sender);
    let from_business = sender_id.as_deref().is_some_and(is_ours)
        || message.and_then(|message| message.get("is_echo")).is_some_and(Node::is_true);
    // Without a sender (policy notices) the recipient is meant, unless it is the business.
    let (person, person_id) =
        if from_business || sender.is_none() { (recipient, id(recipient)) } else { (sender, sender_id) };

    let mut persons = Vec::new();
    if let Some(id) = person_id.filter(|id| !is_ours(id)) {
        persons.push(scoped(asset, &id));
    }
    // A visitor of a checkbox or chat plugin is known by what the page called them, until they write (§3a).
    let [optin, prior] = node.pick(["optin", "prior_message"]);
    let called = [
        person.and_then(|person| person.get("user_ref")),
        optin.and_then(|optin| optin.get("user_ref")),
        prior.and_then(|prior| prior.get("identifier")),
    ];
    for user in called.into_iter().flatten().filter_map(Node::scalar) {
        persons.push(Identifier { kind: IdentifierKind::UserRef, value: with_scope(asset, &user) });
    }
    Noted { persons, from_business, ..Noted::default() }
}

/// A user's id, which is another one for every page and account (`meta-platform.md` §10.21).
pub(crate) fn scoped(asset: Option<&Asset>, id: &str) -> Identifier {
    let kind = match asset.map(Asset::kind) {
        Some(AssetKind::Instagram) => IdentifierKind::Igsid,
        _ => IdentifierKind::Psid,
    };
    Identifier { kind, value: with_scope(asset, id) }
}

fn with_scope(asset: Option<&Asset>, id: &str) -> String {
    asset.map_or_else(|| id.to_owned(), |asset| format!("{asset}/{id}"))
}

/// The members of an element that say what it is, but for the messages themselves and what is done to them.
const NOTICES: [&str; 7] = [
    "optin",
    "account_linking",
    "policy_enforcement",
    "response_feedback",
    "messaging_feedback",
    "order",
    "template",
];

const KNOWN: [&str; 7] = ["message", "message_edit", "reaction", "delivery", "read", "postback", "referral"];

/// Why an element is not read: whether anything in it is known.
pub(crate) fn unread(node: Node<'_>) -> Unread {
    let is_known = |name: &str| {
        KNOWN.contains(&name)
            || NOTICES.contains(&name)
            || messaging_notice::THREAD_CONTROL.iter().any(|(known, _)| *known == name)
    };
    let members = node.members();
    let named = members.iter().find_map(|(name, _)| unread::NAMED.iter().find(|named| named.name == name));
    match named {
        _ if members.iter().any(|(name, _)| is_known(name)) => Unread::Unreadable,
        Some(named) => named.reason,
        // Besides who, whom and when there is something with another name.
        None if members.len() > 3 => Unread::Unknown,
        None => Unread::Unreadable,
    }
}

/// What one element says; `None` when it is nothing known, or two things at once.
pub(crate) fn read<'a>(node: Node<'a>, from_business: bool, keys: &Keys<'_>) -> Option<Reading<'a>> {
    let [sender, recipient, at, message, edit, reaction, delivery, read, postback, referral] = node.pick([
        "sender",
        "recipient",
        "timestamp",
        "message",
        "message_edit",
        "reaction",
        "delivery",
        "read",
        "postback",
        "referral",
    ]);
    let id = |party: Option<Node<'a>>| {
        let [id, user_ref] = party?.pick(["id", "user_ref"]);
        id.or(user_ref)?.scalar()
    };
    let element = Element {
        node,
        at,
        person: if from_business { id(recipient) } else { id(sender) }.unwrap_or_default(),
        actor: id(sender).unwrap_or_default(),
        direction: if from_business { Direction::Out } else { Direction::In },
    };
    match (message, edit, reaction, delivery, read, postback) {
        (Some(message), None, None, None, None, None) => element.message(message, referral, keys),
        (None, Some(edit), None, None, None, None) => element.edit(edit),
        (None, None, Some(reaction), None, None, None) => element.reaction(reaction),
        (None, None, None, Some(delivery), None, None) => element.delivery(delivery, keys),
        (None, None, None, None, Some(read), None) => element.seen(read, keys),
        (None, None, None, None, None, Some(postback)) => element.postback(postback),
        (None, None, None, None, None, None) => match referral {
            Some(referral) => element.referral(referral),
            None => element.notice(),
        },
        _ => None,
    }
}

/// What every kind of element has.
struct Element<'a> {
    node: Node<'a>,
    at: Option<Node<'a>>,
    person: Cow<'a, str>,
    actor: Cow<'a, str>,
    direction: Direction,
}

impl<'a> Element<'a> {
    fn message(&self, message: Node<'a>, beside: Option<Node<'a>>, keys: &Keys<'_>) -> Option<Reading<'a>> {
        let [mid, is_deleted] = message.pick(["mid", "is_deleted"]);
        let mid = mid.and_then(Node::scalar);
        if is_deleted.is_some_and(Node::is_true) {
            let mid = mid?;
            return Some(self.reading(Kind::MessageDeleted, Content::Deleted, Some(mid.clone()), vec![mid]));
        }
        let mut content = content(message, keys)?;
        content.referral = content.referral.or_else(|| beside.and_then(referral_content));
        let kind = match self.direction {
            Direction::In => Kind::MessageReceived,
            Direction::Out => Kind::MessageSent,
        };
        let mid = mid.unwrap_or_else(|| fingerprint(self.node).into());
        let mut reading = self.reading(kind, Content::Message(content), Some(mid.clone()), vec![mid]);
        reading.needs_conversation = true;
        Some(reading)
    }

    fn edit(&self, edit: Node<'a>) -> Option<Reading<'a>> {
        let [mid, text, count] = edit.pick(["mid", "text", "num_edit"]);
        let mid = mid?.scalar()?;
        let revision = count.and_then(Node::integer).and_then(|count| u64::try_from(count).ok());
        let mut natural_key = vec![mid.clone()];
        natural_key.push(match revision {
            Some(revision) => Cow::Owned(revision.to_string()),
            None => fingerprint(self.node).into(),
        });
        let edited = Edited { text: text.and_then(Node::owned), revision, attachments: Vec::new() };
        Some(self.reading(Kind::MessageEdited, Content::Edited(edited), Some(mid), natural_key))
    }

    fn reaction(&self, reaction: Node<'a>) -> Option<Reading<'a>> {
        let [mid, action, word, emoji] = reaction.pick(["mid", "action", "reaction", "emoji"]);
        let mid = mid?.scalar()?;
        let action = action?.string()?;
        let emoji = match action.as_ref() {
            "react" => Some(emoji.and_then(Node::owned).or_else(|| word?.owned())?),
            "unreact" => None,
            _ => return None,
        };
        let natural_key = vec![mid.clone(), self.actor.clone(), action, self.time_text()];
        let mut reading =
            self.reading(Kind::MessageReacted, Content::Reaction(Reaction { emoji }), Some(mid), natural_key);
        reading.needs_conversation = true;
        Some(reading)
    }

    fn delivery(&self, delivery: Node<'a>, keys: &Keys<'_>) -> Option<Reading<'a>> {
        let [mids, watermark] = delivery.pick(["mids", "watermark"]);
        let messages =
            mids.map(|mids| mids.elements().filter_map(Node::scalar).map(|mid| keys.message(&mid)).collect());
        let content = Watermark {
            watermark_ms: watermark.and_then(time::millis),
            messages: messages.unwrap_or_default(),
        };
        self.watermark(Kind::ConversationDelivered, content, None)
    }

    /// Messenger sends a watermark, Instagram the message that was seen (`meta-platform.md` §10.30).
    fn seen(&self, read: Node<'a>, keys: &Keys<'_>) -> Option<Reading<'a>> {
        let [mid, watermark] = read.pick(["mid", "watermark"]);
        let mid = mid.and_then(Node::scalar);
        let messages = mid.iter().map(|mid| keys.message(mid)).collect();
        let content = Watermark { watermark_ms: watermark.and_then(time::millis), messages };
        self.watermark(Kind::ConversationRead, content, mid)
    }

    fn watermark(&self, kind: Kind, content: Watermark, mid: Option<Cow<'a, str>>) -> Option<Reading<'a>> {
        let detail = match (&mid, content.watermark_ms) {
            (Some(mid), _) => mid.clone(),
            (None, Some(watermark)) => Cow::Owned(watermark.to_string()),
            (None, None) if content.messages.is_empty() => return None,
            (None, None) => fingerprint(self.node).into(),
        };
        let natural_key = vec![self.person.clone(), detail];
        let mut reading = self.reading(kind, Content::Watermark(content), mid, natural_key);
        reading.needs_conversation = true;
        Some(reading)
    }

    fn postback(&self, postback: Node<'a>) -> Option<Reading<'a>> {
        let [mid, title, payload, referral] = postback.pick(["mid", "title", "payload", "referral"]);
        let mid = mid.and_then(Node::scalar);
        let natural_key = match &mid {
            Some(mid) => vec![mid.clone()],
            None => vec![self.person.clone(), self.time_text(), fingerprint(postback).into()],
        };
        let content = Postback {
            title: title.and_then(Node::owned),
            payload: payload.and_then(Node::owned),
            referral: referral.and_then(referral_content),
            coupon: None,
        };
        let mut reading = self.reading(Kind::PostbackReceived, Content::Postback(content), mid, natural_key);
        reading.needs_conversation = true;
        Some(reading)
    }

    /// What is none of the above: exactly one member has to say what it is.
    fn notice(&self) -> Option<Reading<'a>> {
        let mut told =
            NOTICES.iter().zip(self.node.pick(NOTICES)).filter_map(|(name, node)| Some((*name, node?)));
        let names = messaging_notice::THREAD_CONTROL.map(|(name, _)| name);
        let mut control = messaging_notice::THREAD_CONTROL
            .iter()
            .zip(self.node.pick(names))
            .filter_map(|((_, action), node)| Some((*action, node?)));
        match (told.next(), told.next(), control.next(), control.next()) {
            (None, None, Some((action, told)), None) => {
                let content = messaging_notice::thread_control(action, told)?;
                Some(self.by_text(Kind::ThreadControl, content, told, None))
            }
            (Some((name, told)), None, None, None) => self.told(name, told),
            _ => None,
        }
    }

    fn told(&self, name: &str, told: Node<'a>) -> Option<Reading<'a>> {
        let by_text = |kind, content| self.by_text(kind, content, told, None);
        Some(match name {
            "optin" => by_text(Kind::OptinReceived, messaging_notice::opt_in(told)?),
            "account_linking" => by_text(Kind::AccountLinked, messaging_notice::account_link(told)?),
            "policy_enforcement" => {
                let content = messaging_notice::policy(told)?;
                Reading { direction: None, is_apart: true, ..by_text(Kind::PolicyEnforced, content) }
            }
            "response_feedback" => {
                let content = messaging_notice::response_feedback(told)?;
                let message = told.get("mid").and_then(Node::scalar);
                self.by_text(Kind::FeedbackReceived, content, told, message)
            }
            "messaging_feedback" => by_text(Kind::FeedbackReceived, messaging_notice::survey(told)?),
            "order" => {
                let content = cart(told)?;
                let mid: Cow<'a, str> = fingerprint(self.node).into();
                let mut reading = self.reading(
                    Kind::MessageReceived,
                    Content::Message(content),
                    Some(mid.clone()),
                    vec![mid],
                );
                reading.needs_conversation = true;
                reading
            }
            "template" => {
                let [payload, coupon] =
                    told.pick(["payload", "coupon_code"]).map(|node| node.and_then(Node::owned));
                if payload.is_none() && coupon.is_none() {
                    return None;
                }
                let content = Postback { payload, coupon, ..Postback::default() };
                let mut reading = by_text(Kind::PostbackReceived, Content::Postback(content));
                reading.needs_conversation = true;
                reading
            }
            _ => return None,
        })
    }

    /// What has no id: who, when and the exact text are its key (`meta-platform.md` §4).
    fn by_text(
        &self,
        kind: Kind,
        content: Content,
        told: Node<'a>,
        message: Option<Cow<'a, str>>,
    ) -> Reading<'a> {
        let natural_key = vec![self.person.clone(), self.time_text(), fingerprint(told).into()];
        self.reading(kind, content, message, natural_key)
    }

    fn referral(&self, referral: Node<'a>) -> Option<Reading<'a>> {
        let mut content = referral_content(referral)?;
        let form = self.node.get("lead").and_then(|lead| lead.get("data"));
        content.answers = form.into_iter().flat_map(Node::elements).map(form_answer).collect();
        let natural_key = vec![self.person.clone(), self.time_text(), fingerprint(referral).into()];
        let mut reading = self.reading(Kind::ReferralReceived, Content::Referral(content), None, natural_key);
        reading.needs_conversation = true;
        Some(reading)
    }

    fn time_text(&self) -> Cow<'a, str> {
        self.at.and_then(Node::scalar).unwrap_or_default()
    }

    fn reading(
        &self,
        kind: Kind,
        content: Content,
        message: Option<Cow<'a, str>>,
        natural_key: Vec<Cow<'a, str>>,
    ) -> Reading<'a> {
        let direction = Some(self.direction);
        Reading { direction, message, ..Reading::new(kind, content, natural_key) }
    }
}

/// A message's content; `None` when it has none that is known.
fn content(message: Node<'_>, keys: &Keys<'_>) -> Option<MessageContent> {
    let [text, attachments, quick_reply, reply_to, referral, unsupported, app_id] = message.pick([
        "text",
        "attachments",
        "quick_reply",
        "reply_to",
        "referral",
        "is_unsupported",
        "app_id",
    ]);
    let text = text.and_then(Node::owned);
    let payload_of = |kind: &str| {
        let mut all = attachments.into_iter().flat_map(Node::elements);
        all.find(|one| one.get("type").and_then(Node::string).as_deref() == Some(kind))?.get("payload")
    };
    let detail = payload_of("appointment_booking").and_then(|booking| booking.get("status")?.owned());
    let location = payload_of("location").and_then(place);
    let attachments = attachments_of(attachments);
    let button = quick_reply.map(|reply| Button {
        kind: "quick_reply".to_owned(),
        title: text.clone(),
        payload: reply.get("payload").and_then(Node::owned),
    });
    let kind = match (&text, attachments.first()) {
        (Some(_), None) => "text".to_owned(),
        (_, Some(attachment)) => attachment.kind.clone(),
        (None, None) if unsupported.is_some_and(Node::is_true) => "unsupported".to_owned(),
        (None, None) => return None,
    };
    Some(MessageContent {
        kind,
        text,
        attachments,
        reply_to: reply_to.and_then(|reply_to| reply(reply_to, keys)),
        button,
        referral: referral.and_then(referral_content),
        detail,
        location,
        app_id: app_id.and_then(Node::scalar).map(Cow::into_owned),
        ..MessageContent::default()
    })
}

fn reply(node: Node<'_>, keys: &Keys<'_>) -> Option<ReplyTo> {
    let [mid, story] = node.pick(["mid", "story"]);
    let message = mid.and_then(Node::scalar).map(|mid| keys.message(&mid));
    let story_url = story.and_then(|story| story.get("url")).and_then(Node::owned);
    (message.is_some() || story_url.is_some()).then_some(ReplyTo { message, story_url })
}

/// The attachments, each post once: Instagram sends one as `share` and as `ig_post` while it moves from the former to the
/// latter (`meta-platform.md` §10.32), and Messenger sent stickers as image and sticker.
fn attachments_of(list: Option<Node<'_>>) -> Vec<Attachment> {
    let mut found: Vec<Attachment> =
        list.into_iter().flat_map(Node::elements).filter_map(attachment).collect();
    let newer: HashSet<(&str, String)> =
        found.iter().filter_map(|one| Some((older_kind(&one.kind)?, one.url.clone()?))).collect();
    found.retain(|one| one.url.as_ref().is_none_or(|url| !newer.contains(&(one.kind.as_str(), url.clone()))));
    found
}

/// What a kind of attachment was called before.
fn older_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "post" => Some("share"),
        "sticker" => Some("image"),
        _ => None,
    }
}

/// A shopping cart: `products[]`, `note`.
fn cart(order: Node<'_>) -> Option<MessageContent> {
    let [products, note] = order.pick(["products", "note"]);
    let item = |product: Node<'_>| {
        let [id, retailer, quantity, price, currency] = product
            .pick(["id", "retailer_id", "quantity", "unit_price", "currency"])
            .map(|node| node.and_then(scalar));
        OrderItem { product: retailer.or(id), quantity, price, currency }
    };
    let items: Vec<_> = products?.elements().map(item).collect();
    (!items.is_empty()).then(|| MessageContent {
        kind: "order".to_owned(),
        text: note.and_then(Node::owned),
        order: Some(Order { catalog_id: None, items }),
        ..MessageContent::default()
    })
}

/// A place as it was sent before Messenger took that out: `coordinates{lat, long}`.
fn place(payload: Node<'_>) -> Option<Location> {
    let [latitude, longitude] = payload.get("coordinates")?.pick(["lat", "long"]);
    let within = |node: Option<Node<'_>>, most: f64| node?.float().filter(|degrees| degrees.abs() <= most);
    Some(Location {
        latitude: within(latitude, 90.0)?,
        longitude: within(longitude, 180.0)?,
        ..Location::default()
    })
}

fn form_answer(node: Node<'_>) -> FormAnswer {
    let [question, answer] = node.pick(["question", "answer"]).map(|node| node.and_then(scalar));
    FormAnswer { question, answer }
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}

fn attachment(node: Node<'_>) -> Option<Attachment> {
    let [word, payload, url, title] = node.pick(["type", "payload", "url", "title"]);
    let word = word?.string()?;
    let kind = match word.as_ref() {
        "file" => "document",
        "fallback" => "share",
        "ig_reel" => "reel",
        "ig_post" => "post",
        other => other,
    };
    // Of an old `fallback` address and title may stand on the attachment itself; a shared product has its title further in.
    let [inner_url, inner_title, product] =
        payload.map_or([None; 3], |payload| payload.pick(["url", "title", "product"]));
    let product = product.and_then(|product| product.get("elements")?.elements().next()?.get("title"));
    Some(Attachment {
        kind: kind.to_owned(),
        url: inner_url.or(url).and_then(Node::owned),
        title: inner_title.or(title).or(product).and_then(Node::owned),
        ..Attachment::default()
    })
}

fn referral_content(node: Node<'_>) -> Option<Referral> {
    if !node.holds_something() || !node.is_object() {
        return None;
    }
    let [reference, source, kind, ad_id, url, context, product] =
        node.pick(["ref", "source", "type", "ad_id", "referer_uri", "ads_context_data", "product"]);
    let [title, in_context] =
        context.map_or([None, None], |context| context.pick(["ad_title", "product_id"]));
    let product = product.and_then(|product| product.get("id")).or(in_context);
    Some(Referral {
        reference: reference.and_then(Node::owned),
        origin: source.and_then(Node::owned),
        kind: kind.and_then(Node::owned),
        ad_id: ad_id.and_then(Node::scalar).map(Cow::into_owned),
        url: url.and_then(Node::owned),
        title: title.and_then(Node::owned),
        product_id: product.and_then(Node::scalar).map(Cow::into_owned),
        ..Referral::default()
    })
}
