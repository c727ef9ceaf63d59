//! What WhatsApp messages, echoes and statuses say (`meta-platform.md` §3c.1, §3c.2).

use std::borrow::Cow;

use crate::content::{
    Attachment, Button, ContactCard, Content, DeliveryStatus, Edited, Location, MessageContent, Order,
    OrderItem, PlatformError, Pricing, Reaction, Referral, ReplyTo, Status,
};
use crate::json::Node;
use crate::reading::{Keys, Reading, fingerprint};
use crate::{Direction, Kind};

/// The members that hold a message's body, each named like its type.
const BODIES: [&str; 16] = [
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
];

/// What a message or echo says; `None` when its type is not known, or its body is missing or not the only one.
pub(crate) fn read<'a>(node: Node<'a>, from_business: bool, keys: &Keys<'_>) -> Option<Reading<'a>> {
    let [id, word, at] = node.pick(["id", "type", "timestamp"]);
    let id = id.and_then(Node::scalar).unwrap_or_else(|| fingerprint(node).into());
    let word = word?.string()?;
    let bodies = node.pick(BODIES);
    let mut present = BODIES.iter().zip(bodies).filter_map(|(name, body)| Some((*name, body?)));
    let (name, body) = match (present.next(), present.next()) {
        (Some((name, body)), None) if name == word => (name, body),
        // Its errors are all there is (`meta-platform.md` §3c.1).
        (None, None) if word == "unsupported" => ("unsupported", node),
        _ => return None,
    };

    let direction = if from_business { Direction::Out } else { Direction::In };
    let natural_key = vec![id.clone()];
    let about = |kind, content, target| Reading {
        kind,
        direction: Some(direction),
        content,
        message: Some(target),
        natural_key,
        at,
        needs_conversation: false,
    };
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
            let content = Content::Message(message(node, name, body, keys)?);
            Reading { needs_conversation: true, ..about(kind, content, id) }
        }
    })
}

/// What a status says; `None` when it is none of the five.
pub(crate) fn read_status(node: Node<'_>) -> Option<Reading<'_>> {
    let [id, word, at, kind, participant, participant_user, errors, pricing, callback] = node.pick([
        "id",
        "status",
        "timestamp",
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
        kind: Kind::MessageStatus,
        direction: None,
        content: Content::Status(content),
        message: Some(id),
        natural_key,
        at,
        needs_conversation: false,
    })
}

fn message(node: Node<'_>, name: &str, body: Node<'_>, keys: &Keys<'_>) -> Option<MessageContent> {
    let [context, referral, errors] = node.pick(["context", "referral", "errors"]);
    let [answered, forwarded, often] =
        context.map_or([None; 3], |context| context.pick(["id", "forwarded", "frequently_forwarded"]));
    let mut content = MessageContent {
        kind: name.to_owned(),
        reply_to: answered
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
            let (button, text) = interactive(body)?;
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
    let [id, url, mime_type, sha256, filename, caption, voice] =
        body.pick(["id", "url", "mime_type", "sha256", "filename", "caption", "voice"]);
    Some(Attachment {
        id: None,
        kind: kind.to_owned(),
        media_id: id.and_then(scalar),
        url: url.and_then(Node::owned),
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

fn platform_errors(errors: Node<'_>) -> Vec<PlatformError> {
    let read = |error: Node<'_>| {
        let [code, title, message, data] = error.pick(["code", "title", "message", "error_data"]);
        let details = data.and_then(|data| data.get("details")).or(message);
        PlatformError {
            code: code.and_then(Node::integer),
            title: title.and_then(Node::owned),
            details: details.and_then(Node::owned),
        }
    };
    errors.elements().map(read).collect()
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}
