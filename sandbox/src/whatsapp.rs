//! WhatsApp updates (`meta-platform.md` §3c.1).

use std::sync::Arc;

use rand::Rng;

use crate::effect::{Effect, Reach, Says};
use crate::json::object;
use crate::names::Names;
use crate::thread::{Message, Outgoing};
use crate::traffic::Scene;
use crate::update::{Place, Update};
use crate::{Json, Media, ids, text};

/// Something the person did: mostly a text.
pub(crate) fn message(scene: &mut Scene<'_>) -> Update {
    match scene.random.random_range(0..1000) {
        0..=59 => reaction(scene),
        60..=94 => edit(scene),
        95..=119 => revoke(scene),
        120..=159 => interactive(scene),
        160..=174 => button(scene),
        175..=189 => location(scene),
        190..=204 => contacts(scene),
        205..=211 => order(scene),
        212..=217 => system(scene),
        218..=225 => unsupported(scene),
        226..=299 => echo(scene),
        _ => plain(scene),
    }
}

/// A text, at times with the ad that led here, or as an answer to something.
pub(crate) fn plain(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let words = text::message(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let mut item = object([("text", object([("body", (&words).into())])), ("type", "text".into())]);
    if scene.random.random_ratio(1, 20)
        && let Some(answered) = scene.thread.pick(scene.random, |message| !message.meta_id.is_empty())
    {
        let context = object([("from", (&scene.account.number).into()), ("id", (&answered.meta_id).into())]);
        item = object([("context", context)])
            .with("text", object([("body", (&words).into())]))
            .with("type", "text");
    }
    if scene.random.random_ratio(1, 50) {
        item = item.with("referral", referral(scene));
    }
    say(scene, number, item, Says::Exactly(text::as_shown(&words)), true)
}

/// A file, with a caption when the type takes one.
pub(crate) fn media(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let (kind, mime) = [
        ("image", "image/jpeg"),
        ("image", "image/png"),
        ("video", "video/mp4"),
        ("audio", "audio/ogg"),
        ("document", "application/pdf"),
        ("sticker", "image/webp"),
    ][scene.random.random_range(0..6)];
    let media = Media::new(scene.random, mime);
    let mut body = object([
        ("mime_type", media.mime_type.into()),
        ("sha256", media.sha256_base64().into()),
        ("id", (&media.id).into()),
        (
            "url",
            format!(
                "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid={}&ext=1780000000&hash=ATt{}",
                media.id,
                media.sha256_hex()
            )
            .into(),
        ),
    ]);
    let mut says = Says::Something;
    match kind {
        "audio" => body = body.with("voice", scene.random.random_bool(0.8)),
        "sticker" => body = body.with("animated", false),
        _ => {
            if kind == "document" {
                body = body.with("filename", format!("lasku {}.pdf", scene.random.random_range(1..999)));
            }
            if scene.random.random_bool(0.6) {
                let words = text::message(scene.random, scene.person().tongue, &scene.ledger.marker(number));
                body = object([("caption", (&words).into())]).merge(body);
                says = Says::Exactly(text::as_shown(&words));
            }
        }
    }
    let item = Json::Object(vec![(kind, body), ("type", kind.into())]);
    say(scene, number, item, says, false)
}

/// A text that staff typed into the WhatsApp Business app (`meta-platform.md` §3c.2); statuses follow.
fn echo(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let words = text::message(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let at_ms = scene.thread.tick(scene.random, true);
    let meta_id = ids::wamid(scene.random, &scene.digits(), true);
    scene.thread.outbox.push_back(Outgoing { number: Some(number), meta_id: meta_id.clone(), stage: 0 });
    let says = Says::Exactly(text::as_shown(&words));
    scene.tell(number, at_ms, &meta_id, Effect::Message { outbound: true, says });
    let item = object([("from", (&scene.account.number).into())])
        .with_some("to", scene.names.id.as_ref())
        .with_some("to_user_id", scene.names.user_id.as_ref())
        .with("id", meta_id)
        .with("timestamp", (at_ms / 1000).to_string())
        .with("type", "text")
        .with("text", object([("body", words.into())]));
    let place = scene.place("smb_message_echoes", "message_echoes", false);
    Update { number, place, item: Arc::new(item) }
}

/// Statuses of messages that the account sent: `sent`, `delivered`, `read` and so on.
pub(crate) fn status(scene: &mut Scene<'_>) -> Update {
    const STAGES: [&str; 3] = ["sent", "delivered", "read"];
    let fresh = scene.thread.outbox.is_empty() || scene.random.random_bool(0.3);
    if fresh {
        let meta_id = ids::wamid(scene.random, &scene.digits(), true);
        scene.thread.outbox.push_back(Outgoing { number: None, meta_id, stage: 0 });
        if scene.thread.outbox.len() > 8 {
            scene.thread.outbox.pop_front();
        }
    }
    let nth = if fresh {
        scene.thread.outbox.len() - 1
    } else {
        scene.random.random_range(0..scene.thread.outbox.len())
    };
    let Outgoing { number: of, meta_id, stage } = scene.thread.outbox[nth].clone();
    let failed = stage == 0 && scene.random.random_ratio(1, 60);
    if failed || stage + 1 == STAGES.len() {
        scene.thread.outbox.remove(nth);
    } else {
        scene.thread.outbox[nth].stage += 1;
    }
    let at_ms = scene.thread.tick(scene.random, true);
    let status = if failed { "failed" } else { STAGES[stage] };
    if failed && scene.names.id.is_some() {
        // A failed status of a message to a number carries no user id; one to a user id has nothing else.
        scene.names.user_id = None;
    }
    let mut item = object([
        ("id", (&meta_id).into()),
        ("status", status.into()),
        ("timestamp", (at_ms / 1000).to_string().into()),
    ])
    .with_some("recipient_id", scene.names.id.as_ref())
    .with_some("recipient_user_id", scene.names.user_id.as_ref());
    if failed {
        let error = object([
            ("code", 131026.into()),
            ("title", "Message undeliverable".into()),
            ("message", "Message undeliverable".into()),
            ("error_data", object([("details", "Message Undeliverable.".into())])),
            ("href", "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/".into()),
        ]);
        item = item.with("errors", vec![error]);
    } else if status != "read" {
        item = item.with(
            "pricing",
            object([
                ("billable", true.into()),
                ("pricing_model", "PMP".into()),
                ("category", "service".into()),
                ("type", "regular".into()),
            ]),
        );
    }
    let number = scene.ledger.reserve();
    let reached = if failed { Reach::Failed } else { [Reach::Sent, Reach::Delivered, Reach::Read][stage] };
    let effect = of.map_or(Effect::Nothing, |of| Effect::Status { of, to: reached });
    scene.tell(number, at_ms, &meta_id, effect);
    let place = scene.place("messages", "statuses", false);
    Update { number, place, item: Arc::new(item) }
}

/// Something about the business account as a whole.
pub(crate) fn account_update(scene: &mut Scene<'_>) -> Update {
    let at_ms = scene.thread.tick(scene.random, true);
    let value = object([
        ("event", "APPROVED".into()),
        ("message_template_id", scene.random.random_range(10i64.pow(14)..10i64.pow(15)).into()),
        ("message_template_name", "opening_hours".into()),
        ("message_template_language", "en_US".into()),
        ("reason", "NONE".into()),
        ("message_template_category", "UTILITY".into()),
    ]);
    let number = scene.ledger.reserve();
    scene.names = Names::default();
    scene.tell(number, at_ms, "", Effect::Nothing);
    let waba = scene.account.waba.clone().unwrap_or_default();
    let place = Place::Account { waba, field: "message_template_status_update", at_ms };
    Update { number, place, item: Arc::new(value) }
}

fn reaction(scene: &mut Scene<'_>) -> Update {
    // Half of those who react twice change their mind instead of taking it back.
    let change = scene.random.random_bool(0.5);
    let picked = scene.thread.pick(scene.random, |_| true).map(|message| {
        message.reacted = !message.reacted || change;
        (message.number, message.meta_id.clone(), message.reacted)
    });
    let Some((of, about, reacts)) = picked else { return plain(scene) };
    let emoji = reacts.then(|| text::emoji(scene.random));
    let body = object([("message_id", about.into())]).with_some("emoji", emoji);
    act(scene, "reaction", body, Effect::React { of, emoji: emoji.map(str::to_owned) })
}

fn edit(scene: &mut Scene<'_>) -> Update {
    let picked = scene.thread.pick(scene.random, |message| message.text).map(|message| {
        message.edits += 1;
        (message.number, message.meta_id.clone(), message.marker.clone(), message.edits)
    });
    let Some((of, about, marker, revision)) = picked else { return plain(scene) };
    let words = text::message(scene.random, scene.person().tongue, &marker);
    let changed = object([("type", "text".into()), ("text", object([("body", (&words).into())]))]);
    let body = object([("original_message_id", about.into()), ("message", changed)]);
    act(scene, "edit", body, Effect::Edit { of, text: text::as_shown(&words), revision })
}

fn revoke(scene: &mut Scene<'_>) -> Update {
    let Some(message) = scene.thread.take(scene.random, |_| true) else { return plain(scene) };
    let body = object([("original_message_id", message.meta_id.into())]);
    act(scene, "revoke", body, Effect::Delete { of: message.number })
}

fn interactive(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let title = text::title(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let list = scene.random.random_bool(0.4);
    let (kind, reply) = if list {
        let reply = object([
            ("id", "row-7".into()),
            ("title", (&title).into()),
            ("description", "Thursday, 18:00 — side entrance".into()),
        ]);
        ("list_reply", reply)
    } else {
        ("button_reply", object([("id", "yes/1".into()), ("title", (&title).into())]))
    };
    let body = Json::Object(vec![("type", kind.into()), (kind, reply)]);
    say(
        scene,
        number,
        object([("interactive", body), ("type", "interactive".into())]),
        Says::Something,
        false,
    )
}

fn button(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let title = text::title(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let body = object([("payload", "CONFIRM".into()), ("text", title.into())]);
    say(scene, number, object([("button", body), ("type", "button".into())]), Says::Something, false)
}

fn location(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let body = object([
        ("latitude", Json::Degrees(scene.random.random_range(-80.0..80.0))),
        ("longitude", Json::Degrees(scene.random.random_range(-180.0..180.0))),
        ("name", format!("Side door {}", scene.ledger.marker(number)).into()),
    ]);
    say(scene, number, object([("location", body), ("type", "location".into())]), Says::Something, false)
}

fn contacts(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let name = format!("{} {}", crate::people::name(scene.random), scene.ledger.marker(number));
    let phone = object([("phone", "+1 555-010-0199".into()), ("type", "CELL".into())]);
    let card = object([
        ("name", object([("first_name", "Contact".into()), ("formatted_name", name.into())])),
        ("phones", vec![phone].into()),
    ]);
    say(
        scene,
        number,
        object([("contacts", vec![card].into()), ("type", "contacts".into())]),
        Says::Something,
        false,
    )
}

fn order(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let items = (0..scene.random.random_range(1..4)).map(|line| {
        object([
            ("product_retailer_id", format!("loaf-{line}").into()),
            ("quantity", scene.random.random_range(1i64..5).into()),
            ("item_price", Json::Int(4)),
            ("currency", "EUR".into()),
        ])
    });
    let items: Vec<Json> = items.collect();
    let words = format!("for pick-up {}", scene.ledger.marker(number));
    let body =
        object([("catalog_id", "4405552".into()), ("text", words.into()), ("product_items", items.into())]);
    say(scene, number, object([("order", body), ("type", "order".into())]), Says::Something, false)
}

fn system(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    if scene.user_ids_change && scene.names.user_id.is_some() && scene.random.random_bool(0.5) {
        return another_user_id(scene, number);
    }
    let words =
        format!("{} changed their security code {}", scene.person().name, scene.ledger.marker(number));
    let body = object([("body", words.into()), ("type", "customer_identity_changed".into())]);
    let identity = object([
        ("acknowledged", true.into()),
        ("created_timestamp", 1_780_000_000_000.into()),
        ("hash", "DF2lS5v2W6x=".into()),
    ]);
    let item = object([("system", body), ("identity", identity), ("type", "system".into())]);
    say(scene, number, item, Says::Something, false)
}

/// The person's user id is another from now on.
fn another_user_id(scene: &mut Scene<'_>, number: u32) -> Update {
    let fresh = format!("US.{}", ids::numeric(scene.random, 17));
    scene.thread.user_id = Some(fresh.clone());
    scene.names.previous = scene.names.user_id.replace(fresh);
    let words = format!("{} has a new user id {}", scene.person().name, scene.ledger.marker(number));
    let body = object([("body", words.into()), ("type", "user_changed_user_id".into())])
        .with_some("user_id", scene.names.user_id.as_ref())
        .with_some("previous_user_id", scene.names.previous.as_ref());
    say(scene, number, object([("system", body), ("type", "system".into())]), Says::Something, false)
}

fn unsupported(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let error = object([
        ("code", 131051.into()),
        ("title", "Message type unknown".into()),
        ("message", "Message type unknown".into()),
        ("error_data", object([("details", "Message type is currently not supported.".into())])),
    ]);
    let item = object([
        ("errors", vec![error].into()),
        ("unsupported", object([("type", "poll_creation".into())])),
        ("type", "unsupported".into()),
    ]);
    say(scene, number, item, Says::Something, false)
}

fn referral(scene: &mut Scene<'_>) -> Json {
    object([
        ("source_url", "https://fb.me/1a2b3c".into()),
        ("source_id", ids::numeric(scene.random, 18).into()),
        ("source_type", "ad".into()),
        ("headline", "Fresh every morning".into()),
        ("body", "Rye, wheat & sweet — come by!".into()),
        ("media_type", "image".into()),
        ("image_url", "https://scontent.xx.fbcdn.net/v/t45.1/ad.jpg".into()),
        ("ctwa_clid", "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwLF4XvnO2E4Nx0-eM-GABDLOPaOdRMv-_zfUQ2a".into()),
    ])
}

/// A message of the person's, remembered so that later updates can refer to it.
fn say(scene: &mut Scene<'_>, number: u32, body: Json, says: Says, text: bool) -> Update {
    let at_ms = scene.thread.tick(scene.random, true);
    let meta_id = ids::wamid(scene.random, &scene.digits(), false);
    if !scene.forged {
        scene.thread.remember(Message {
            number,
            meta_id: meta_id.clone(),
            marker: scene.ledger.marker(number),
            at_ms,
            outbound: false,
            text,
            edits: 0,
            reacted: false,
        });
    }
    finish(scene, number, at_ms, meta_id, body, Effect::Message { outbound: false, says })
}

/// Something done to an earlier message.
fn act(scene: &mut Scene<'_>, kind: &'static str, body: Json, effect: Effect) -> Update {
    let number = scene.ledger.reserve();
    let at_ms = scene.thread.tick(scene.random, true);
    let meta_id = ids::wamid(scene.random, &scene.digits(), false);
    finish(scene, number, at_ms, meta_id, Json::Object(vec![(kind, body), ("type", kind.into())]), effect)
}

fn finish(
    scene: &mut Scene<'_>,
    number: u32,
    at_ms: i64,
    meta_id: String,
    body: Json,
    effect: Effect,
) -> Update {
    scene.tell(number, at_ms, &meta_id, effect);
    let item = Json::Object(Vec::new())
        .with_some("from", scene.names.id.as_ref())
        .with_some("from_user_id", scene.names.user_id.as_ref())
        .with("id", meta_id)
        .with("timestamp", (at_ms / 1000).to_string())
        .merge(body);
    let place = scene.place("messages", "messages", true);
    Update { number, place, item: Arc::new(item) }
}
