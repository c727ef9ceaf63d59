//! Messenger and Instagram updates (`meta-platform.md` §3a, §3b).

use std::sync::Arc;

use rand::Rng;

use crate::effect::{Effect, Says};
use crate::json::object;
use crate::thread::Message;
use crate::traffic::Scene;
use crate::update::{Place, Update};
use crate::{Channel, Json, Media, ids, text};

/// Most edits Meta allows.
const EDITS: u32 = 5;

/// Something that happened in the conversation: mostly a text, from either side.
pub(crate) fn item(scene: &mut Scene<'_>) -> Update {
    match scene.random.random_range(0..1000) {
        0..=239 => echo(scene),
        240..=299 => reaction(scene),
        300..=349 => edit(scene),
        350..=389 if scene.account.channel == Channel::Instagram => unsend(scene),
        350..=409 if scene.account.channel == Channel::Messenger => delivery(scene),
        410..=489 => read(scene),
        490..=529 => postback(scene),
        530..=544 => referral(scene),
        _ => plain(scene),
    }
}

/// A text of the person's.
pub(crate) fn plain(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let words = text::message(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let mut body = object([("text", (&words).into())]);
    if scene.random.random_ratio(1, 15)
        && let Some(answered) = scene.thread.pick(scene.random, |_| true)
    {
        body = body.with("reply_to", object([("mid", (&answered.meta_id).into())]));
    }
    if scene.random.random_ratio(1, 30) {
        body = body.with("quick_reply", object([("payload", "PICKUP\\/THU".into())]));
    }
    say(scene, number, body, false, Says::Exactly(text::as_shown(&words)), true)
}

/// A file of the person's; such messages have no text.
pub(crate) fn attachment(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let (kind, mime) = [
        ("image", "image/jpeg"),
        ("video", "video/mp4"),
        ("audio", "audio/ogg"),
        ("file", "application/pdf"),
    ][scene.random.random_range(0..4)];
    let media = Media::new(scene.random, mime);
    let host = match (scene.media_base, scene.account.channel) {
        (Some(base), _) => format!("{base}/cdn/"),
        (None, Channel::Instagram) => "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=".to_owned(),
        (None, _) => "https://scontent.xx.fbcdn.net/v/t1.15752-9/".to_owned(),
    };
    let and = if scene.media_base.is_some() { '?' } else { '&' };
    let url = format!(
        "{host}{}{and}signature=Ab{}&oh=03_Q7cD2AG{}&oe=6A1B2C3D&_nc_ht=scontent.xx&_nc_cat=107&ccb=1-7&dl=1",
        media.id,
        media.sha256_hex(),
        media.sha256_hex()
    );
    let attachment = object([("type", kind.into()), ("payload", object([("url", url.into())]))]);
    say(scene, number, object([("attachments", vec![attachment].into())]), false, Says::Something, false)
}

fn echo(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let words = text::message(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let mut body = object([("is_echo", true.into())]);
    if scene.random.random_bool(0.6) {
        body = body.with("app_id", 263_902_037_430_900);
    }
    let body = body.with("text", &words);
    say(scene, number, body, true, Says::Exactly(text::as_shown(&words)), true)
}

fn reaction(scene: &mut Scene<'_>) -> Update {
    let picked = scene.thread.pick(scene.random, |_| true).map(|message| {
        let undo = message.reacted;
        message.reacted = !undo;
        (message.number, message.meta_id.clone(), undo)
    });
    let Some((of, mid, undo)) = picked else { return plain(scene) };
    let body = object([("mid", (&mid).into())]);
    let (body, emoji) = if undo {
        (body.with("action", "unreact"), None)
    } else {
        let emoji = text::emoji(scene.random);
        (body.with("action", "react").with("reaction", "other").with("emoji", emoji), Some(emoji.to_owned()))
    };
    happen(scene, "reaction", body, &mid, Effect::React { of, emoji })
}

fn edit(scene: &mut Scene<'_>) -> Update {
    let picked =
        scene.thread.pick(scene.random, |message| message.text && !message.outbound && message.edits < EDITS);
    let Some((of, mid, marker, revision)) = picked.map(|message| {
        message.edits += 1;
        (message.number, message.meta_id.clone(), message.marker.clone(), message.edits)
    }) else {
        return plain(scene);
    };
    let words = text::message(scene.random, scene.person().tongue, &marker);
    let body =
        object([("mid", (&mid).into()), ("text", (&words).into()), ("num_edit", i64::from(revision).into())]);
    happen(scene, "message_edit", body, &mid, Effect::Edit { of, text: text::as_shown(&words), revision })
}

fn unsend(scene: &mut Scene<'_>) -> Update {
    let Some(message) = scene.thread.take(scene.random, |message| !message.outbound) else {
        return plain(scene);
    };
    let body = object([("mid", (&message.meta_id).into()), ("is_deleted", true.into())]);
    happen(scene, "message", body, &message.meta_id, Effect::Delete { of: message.number })
}

fn delivery(scene: &mut Scene<'_>) -> Update {
    let Some((mid, upto_ms)) = newest_outbound(scene) else { return plain(scene) };
    let body = object([("mids", vec![mid.into()].into()), ("watermark", upto_ms.into())]);
    happen(scene, "delivery", body, "", Effect::Delivered { upto_ms })
}

fn read(scene: &mut Scene<'_>) -> Update {
    if scene.account.channel == Channel::Instagram {
        let picked = scene.thread.pick(scene.random, |message| message.outbound);
        let Some((of, mid)) = picked.map(|message| (message.number, message.meta_id.clone())) else {
            return plain(scene);
        };
        return happen(scene, "read", object([("mid", (&mid).into())]), &mid, Effect::Seen { of });
    }
    let Some((_, upto_ms)) = newest_outbound(scene) else { return plain(scene) };
    happen(scene, "read", object([("watermark", upto_ms.into())]), "", Effect::Read { upto_ms })
}

fn newest_outbound(scene: &Scene<'_>) -> Option<(String, i64)> {
    let newest = scene.thread.recent.iter().rfind(|message| message.outbound)?;
    Some((newest.meta_id.clone(), newest.at_ms))
}

fn postback(scene: &mut Scene<'_>) -> Update {
    let number = scene.ledger.reserve();
    let title = text::title(scene.random, scene.person().tongue, &scene.ledger.marker(number));
    let mid = mid(scene);
    let body = object([("mid", (&mid).into()), ("title", title.into()), ("payload", "OPENING_HOURS".into())]);
    finish(scene, number, "postback", body, &mid, false, Effect::Postback { says: Says::Something })
}

fn referral(scene: &mut Scene<'_>) -> Update {
    let body =
        object([("ref", "poster-7".into()), ("source", "SHORTLINK".into()), ("type", "OPEN_THREAD".into())]);
    happen(scene, "referral", body, "", Effect::Nothing)
}

fn mid(scene: &mut Scene<'_>) -> String {
    match scene.account.channel {
        Channel::Instagram => ids::instagram_mid(scene.random, &scene.account.id, &scene.digits()),
        _ => ids::messenger_mid(scene.random),
    }
}

/// A message, remembered so that later updates can refer to it.
fn say(scene: &mut Scene<'_>, number: u32, body: Json, outbound: bool, says: Says, text: bool) -> Update {
    let mid = mid(scene);
    let body = object([("mid", (&mid).into())]).merge(body);
    let update = finish(scene, number, "message", body, &mid, outbound, Effect::Message { outbound, says });
    if !scene.forged {
        scene.thread.remember(Message {
            number,
            meta_id: mid,
            marker: scene.ledger.marker(number),
            at_ms: scene.thread.clock_ms,
            outbound,
            text,
            edits: 0,
            reacted: false,
        });
    }
    update
}

/// Something the person did that is no message.
fn happen(scene: &mut Scene<'_>, key: &'static str, body: Json, about: &str, effect: Effect) -> Update {
    let number = scene.ledger.reserve();
    finish(scene, number, key, body, about, false, effect)
}

fn finish(
    scene: &mut Scene<'_>,
    number: u32,
    key: &'static str,
    body: Json,
    meta_id: &str,
    outbound: bool,
    effect: Effect,
) -> Update {
    let at_ms = scene.thread.tick(scene.random, false);
    scene.tell(number, at_ms, meta_id, effect);
    let person = object([("id", scene.digits().into())]);
    let asset = object([("id", (&scene.account.id).into())]);
    let (sender, recipient) = if outbound { (asset, person) } else { (person, asset) };
    let item =
        object([("sender", sender), ("recipient", recipient), ("timestamp", at_ms.into())]).with(key, body);
    let place = Place::Messaging { asset: scene.account.id.clone(), at_ms };
    Update { number, place, item: Arc::new(item) }
}
