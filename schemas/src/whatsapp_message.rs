//! What WhatsApp messages, echoes and statuses say (`meta-platform.md` §3c.1, §3c.2).

use std::borrow::Cow;

use crate::content::{
    Attachment, Button, ContactCard, Content, DeliveryStatus, Edited, IdentityChange, Location,
    MessageContent, Order, OrderItem, PlatformError, Pricing, Reaction, Referral, ReplyTo, Status,
};
use crate::json::Node;
use crate::reading::{Keys, Reading, fingerprint};
use crate::whatsapp::{Element, List, Origin};
use crate::{Direction, Kind};

/// The members that hold a message's body, each named like its type.
const BODIES: [&str; 17] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "button",
    "order",
    "system",
    "unsupported",
    "edit",
    "revoke",
    "template",
];

/// What a message or echo says; `None` when its type is not known, or its body is missing or not the only one.
pub(crate) fn read<'a>(element: &Element<'a>, from_business: bool, keys: &Keys<'_>) -> Option<Reading<'a>> {
    let node = element.node;
    let [id, word, request] = node.pick(["id", "type", "message"]);
    let id = id.and_then(Node::scalar).unwrap_or_else(|| fingerprint(node).into());
    // Another app's request to send says what was sent (`meta-platform.md` §3c.3).
    let (said, word) = match element.list {
        List::Requests => (request?, request?.get("type")),
        _ => (node, word),
    };
    let word = match word {
        Some(word) => word.string()?,
        // What is asked to be sent is a text unless it says something else.
        None if element.list == List::Requests => Cow::Borrowed("text"),
        None => return None,
    };
    let (name, body) = body(said, &word)?;

    let direction = if from_business { Direction::Out } else { Direction::In };
    let about = |kind, content, target| Reading {
        direction: Some(direction),
        message: Some(target),
        ..Reading::new(kind, content, vec![id.clone()])
    };
    if let Some(change) = (name == "system").then(|| identity(node, body)).flatten() {
        let reading = about(Kind::IdentityChanged, Content::Identity(change), id.clone());
        return Some(Reading { needs_conversation: true, ..reading });
    }
    Some(match name {
        "reaction" => {
            let [target, emoji] = body.pick(["message_id", "emoji"]);
            let content = Content::Reaction(Reaction { emoji: emoji.and_then(Node::owned) });
            let reading = about(Kind::MessageReacted, content, target?.scalar()?);
            Reading { needs_conversation: true, ..reading }
        }
        "edit" => {
            let [target, message] = body.pick(["original_message_id", "message"]);
            about(Kind::MessageEdited, Content::Edited(edited(message?)?), target?.scalar()?)
        }
        "revoke" => about(Kind::MessageDeleted, Content::Deleted, body.get("original_message_id")?.scalar()?),
        _ => {
            let kind = if from_business { Kind::MessageSent } else { Kind::MessageReceived };
            let mut content = message(said, name, body, from_business, keys)?;
            let context = (element.origin == Origin::History).then(|| node.get("history_context")).flatten();
            content.status = context.and_then(history_status);
            let mut reading = about(kind, Content::Message(content), id.clone());
            // Imported again when it has come further, it says something else.
            let status = context.and_then(|context| context.get("status")).and_then(Node::string);
            reading.natural_key.extend(status);
            if name == PLACEHOLDER {
                // The file comes by itself later, under the same id.
                reading.natural_key.push(Cow::Borrowed(PLACEHOLDER));
            }
            Reading { needs_conversation: true, ..reading }
        }
    })
}

/// Stands in a history for a file that is to come, or is too old to (`meta-platform.md` §3c.2).
pub(crate) const PLACEHOLDER: &str = "media_placeholder";

/// Types that say everything by themselves.
const BODILESS: [&str; 3] = ["unsupported", PLACEHOLDER, "request_welcome"];

/// Whether this version reads messages of this type: then one that cannot be read is a broken one.
pub(crate) fn knows(word: &str) -> bool {
    BODIES.contains(&word) || BODILESS.contains(&word)
}

/// The body of a message of this type, and the type as a word that is known.
fn body<'a>(node: Node<'a>, word: &str) -> Option<(&'static str, Node<'a>)> {
    let bodies = node.pick(BODIES);
    let mut present = BODIES.iter().zip(bodies).filter_map(|(name, body)| Some((*name, body?)));
    match (present.next(), present.next()) {
        (Some((name, body)), None) if name == word => Some((name, body)),
        // Its errors are all there is (`meta-platform.md` §3c.1).
        (None, None) => BODILESS.into_iter().find(|name| *name == word).map(|name| (name, node)),
        _ => None,
    }
}

/// What a system message tells of a person's identity; `None` of any other.
fn identity(node: Node<'_>, body: Node<'_>) -> Option<IdentityChange> {
    let [text, word, wa_id, user, previous] =
        body.pick(["body", "type", "wa_id", "user_id", "previous_user_id"]).map(|node| node.and_then(scalar));
    let change = match word.as_deref()? {
        "user_changed_number" => "number",
        "user_changed_user_id" => "user_id",
        "customer_identity_changed" => "device",
        _ => return None,
    };
    let before = node.get("from").and_then(scalar).filter(|_| change == "number" && wa_id.is_some());
    Some(IdentityChange {
        change: change.to_owned(),
        text,
        number: wa_id,
        previous_number: before,
        user_id: user,
        previous_user_id: previous,
    })
}

/// How far an imported message had come.
fn history_status(context: Node<'_>) -> Option<DeliveryStatus> {
    match context.get("status")?.string()?.as_ref() {
        "SENT" => Some(DeliveryStatus::Sent),
        "DELIVERED" => Some(DeliveryStatus::Delivered),
        "READ" => Some(DeliveryStatus::Read),
        "PLAYED" => Some(DeliveryStatus::Played),
        "ERROR" => Some(DeliveryStatus::Failed),
        _ => None,
    }
}

/// What a status says; `None` when it is none of the five.
pub(crate) fn read_status(node: Node<'_>) -> Option<Reading<'_>> {
    let [id, word, kind, participant, participant_user, errors, pricing, callback] = node.pick([
        "id",
        "status",
        "recipient_type",
        "recipient_participant_id",
        "recipient_participant_user_id",
        "errors",
        "pricing",
        "biz_opaque_callback_data",
    ]);
    let id = id?.scalar()?;
    let word = word?.string()?;
    let status = DeliveryStatus::from_word(&word)?;
    let mut natural_key = vec![id.clone(), word];
    if kind.and_then(Node::string).as_deref() == Some("group") {
        natural_key.extend(participant.or(participant_user).and_then(Node::scalar));
    }
    let content = Status {
        status,
        errors: errors.map(platform_errors).unwrap_or_default(),
        pricing: pricing.map(pricing_content),
        callback_data: callback.and_then(Node::owned),
    };
    Some(Reading {
        message: Some(id),
        ..Reading::new(Kind::MessageStatus, Content::Status(content), natural_key)
    })
}

fn message(
    node: Node<'_>,
    name: &str,
    body: Node<'_>,
    from_business: bool,
    keys: &Keys<'_>,
) -> Option<MessageContent> {
    let [context, referral, errors] = node.pick(["context", "referral", "errors"]);
    let [answered, asked, forwarded, often] = context
        .map_or([None; 4], |context| context.pick(["id", "message_id", "forwarded", "frequently_forwarded"]));
    let mut content = MessageContent {
        kind: name.to_owned(),
        reply_to: answered
            .or(asked)
            .and_then(Node::scalar)
            .map(|id| ReplyTo { message: Some(keys.message(&id)), story_url: None }),
        forwarded: [forwarded, often].into_iter().flatten().any(Node::is_true),
        referral: referral.map(referral_content),
        errors: errors.map(platform_errors).unwrap_or_default(),
        ..MessageContent::default()
    };
    match name {
        "text" => content.text = Some(body.get("body")?.owned()?),
        "image" | "video" | "audio" | "document" | "sticker" => {
            let attachment = media(name, body)?;
            content.text = attachment.caption.clone();
            content.attachments.push(attachment);
        }
        "location" => {
            let location = location(body)?;
            content.text = location.name.clone().or_else(|| location.address.clone());
            content.location = Some(location);
        }
        "contacts" => {
            content.cards = body.elements().map(card).collect();
            let names: Vec<_> = content.cards.iter().filter_map(|card| card.name.clone()).collect();
            content.text = (!names.is_empty()).then(|| names.join(", "));
        }
        "interactive" => {
            let (button, text) = if from_business { offered(body) } else { interactive(body)? };
            content.text = text;
            content.button = button;
        }
        "button" => {
            let [payload, text] = body.pick(["payload", "text"]).map(|node| node.and_then(Node::owned));
            content.text = text.clone();
            content.button = Some(Button { kind: "button".to_owned(), title: text, payload });
        }
        "order" => {
            let [catalog, text, items] = body.pick(["catalog_id", "text", "product_items"]);
            content.text = text.and_then(Node::owned);
            content.order = Some(Order {
                catalog_id: catalog.and_then(scalar),
                items: items.into_iter().flat_map(Node::elements).map(order_item).collect(),
            });
        }
        "system" => {
            let [text, detail] = body.pick(["body", "type"]).map(|node| node.and_then(Node::owned));
            content.text = text;
            content.detail = detail;
        }
        "template" => content.detail = Some(body.get("name").and_then(scalar)?),
        // `unsupported`: what it was, when Meta tells; with no body `node` is the message, whose type says nothing more.
        _ => content.detail = body.get("type").and_then(Node::owned).filter(|detail| detail != name),
    }
    Some(content)
}

fn edited(message: Node<'_>) -> Option<Edited> {
    let word = message.get("type")?.string()?;
    let body = message.get(&word)?;
    Some(match word.as_ref() {
        "text" => Edited { text: Some(body.get("body")?.owned()?), ..Edited::default() },
        "image" | "video" | "audio" | "document" | "sticker" => {
            let attachment = media(&word, body)?;
            Edited { text: attachment.caption.clone(), revision: None, attachments: vec![attachment] }
        }
        _ => return None,
    })
}

fn media(kind: &str, body: Node<'_>) -> Option<Attachment> {
    if !body.is_object() {
        return None;
    }
    let [id, url, link, mime_type, sha256, filename, caption, voice] =
        body.pick(["id", "url", "link", "mime_type", "sha256", "filename", "caption", "voice"]);
    Some(Attachment {
        id: None,
        kind: kind.to_owned(),
        media_id: id.and_then(scalar),
        url: url.or(link).and_then(Node::owned),
        mime_type: mime_type.and_then(Node::owned),
        sha256: sha256.and_then(Node::owned),
        filename: filename.and_then(Node::owned),
        caption: caption.and_then(Node::owned),
        title: None,
        voice: voice.is_some_and(Node::is_true),
    })
}

fn location(body: Node<'_>) -> Option<Location> {
    let [latitude, longitude, name, address] = body.pick(["latitude", "longitude", "name", "address"]);
    Some(Location {
        latitude: latitude?.float().filter(|degrees| degrees.abs() <= 90.0)?,
        longitude: longitude?.float().filter(|degrees| degrees.abs() <= 180.0)?,
        name: name.and_then(Node::owned),
        address: address.and_then(Node::owned),
    })
}

fn card(node: Node<'_>) -> ContactCard {
    let [name, phones] = node.pick(["name", "phones"]);
    let phones = phones.into_iter().flat_map(Node::elements);
    ContactCard {
        name: name.and_then(|name| name.get("formatted_name")).and_then(Node::owned),
        phones: phones.filter_map(|phone| phone.get("phone")).filter_map(scalar).collect(),
    }
}

/// What the business offers to press, as the text that stands above it.
fn offered(body: Node<'_>) -> (Option<Button>, Option<String>) {
    interactive(body)
        .unwrap_or_else(|| (None, body.get("body").and_then(|body| body.get("text")).and_then(Node::owned)))
}

/// The reply and its text. The reply may be missing beside an error (`meta-platform.md` §3c.1).
fn interactive(body: Node<'_>) -> Option<(Option<Button>, Option<String>)> {
    let word = body.get("type")?.string()?;
    let inner = body.get(&word);
    let [id, title, name, text, response, answers] = inner
        .map_or([None; 6], |inner| inner.pick(["id", "title", "name", "body", "response", "response_json"]))
        .map(|node| node.and_then(Node::owned));
    let (kind, title, payload) = match word.as_ref() {
        "button_reply" => ("button", title, id),
        "list_reply" => ("list", title, id),
        "nfm_reply" => ("form", text.or(name), answers),
        "call_permission_reply" => ("call_permission", response.clone(), response),
        _ => return None,
    };
    let button = inner.map(|_| Button { kind: kind.to_owned(), title: title.clone(), payload });
    Some((button, title))
}

fn order_item(node: Node<'_>) -> OrderItem {
    let names = ["product_retailer_id", "quantity", "item_price", "currency"];
    let [product, quantity, price, currency] = node.pick(names).map(|node| node.and_then(scalar));
    OrderItem { product, quantity, price, currency }
}

fn referral_content(node: Node<'_>) -> Referral {
    let [url, id, kind, headline, body, click] = node
        .pick(["source_url", "source_id", "source_type", "headline", "body", "ctwa_clid"])
        .map(|node| node.and_then(scalar));
    Referral {
        origin: kind,
        ad_id: id,
        url,
        title: headline,
        text: body,
        click_id: click,
        ..Referral::default()
    }
}

fn pricing_content(node: Node<'_>) -> Pricing {
    let [billable, model, kind, category] = node.pick(["billable", "pricing_model", "type", "category"]);
    Pricing {
        billable: billable.and_then(Node::boolean),
        model: model.and_then(Node::owned),
        kind: kind.and_then(Node::owned),
        category: category.and_then(Node::owned),
    }
}

pub(crate) fn platform_errors(errors: Node<'_>) -> Vec<PlatformError> {
    errors.elements().map(platform_error).collect()
}

pub(crate) fn platform_error(error: Node<'_>) -> PlatformError {
    let [code, title, message, data] = error.pick(["code", "title", "message", "error_data"]);
    let details = data.and_then(|data| data.get("details")).or(message);
    PlatformError {
        code: code.and_then(Node::integer),
        title: title.and_then(Node::owned),
        details: details.and_then(Node::owned),
    }
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}
