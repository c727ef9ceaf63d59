//! How something that was not read reads today: its slice, put back where it stood.
//!
//! What stood around it in its delivery (contacts, the business's number) is gone, so less may be known of it than if it
//! came today; its person is the one it was sealed for.

use crate::content::Content;
use crate::{AssetKind, Channel, Event, EventContext, IdKey, Unrecognized, split};

/// The events that this version makes of an `unrecognized` one: what it reads as, or the same again. Nothing of any other.
pub fn reparse(event: &Event, id_key: &IdKey) -> Vec<Event> {
    let Content::Unrecognized(unread) = &event.content else { return Vec::new() };
    let body = body(event, unread);
    let Ok(split) = split(body.as_bytes()) else { return Vec::new() };
    let context = |index| EventContext {
        tenant: &event.tenant,
        asset: &event.route,
        id_key,
        subject: event.subject,
        received_ms: event.received_ms,
        raw: crate::RawPosition { index, ..event.raw },
    };
    split
        .items
        .into_iter()
        .map(|item| {
            let context = context(item.index());
            item.into_event(&context)
        })
        .collect()
}

/// A delivery that holds the slice alone, as it stood in the one it came in.
fn body(event: &Event, unread: &Unrecognized) -> String {
    let slice = event.source.as_str();
    let id = quoted(event.asset.id());
    let time = event.occurred_ms / 1000;
    let field = unread.field.as_deref().unwrap_or_default();
    let is_change = |slice: &str| {
        let [field, value] = crate::json::Cursor::new(slice).skip().pick(["field", "value"]);
        field.is_some() && value.is_some()
    };
    let (object, entry) = match event.channel {
        Channel::Messenger | Channel::Instagram => {
            let object = if event.channel == Channel::Messenger { "page" } else { "instagram" };
            let entry = match field {
                "messaging" | "standby" => format!(r#""{field}":[{slice}]"#),
                // Of a change without a field there is nothing to say where it stood.
                "" => format!(r#""changes":[{slice}]"#),
                _ if is_change(slice) => format!(r#""changes":[{slice}]"#),
                name => format!("{}:{slice}", quoted(name)),
            };
            (object, entry)
        }
        Channel::Whatsapp => {
            let stands = field.is_empty() || is_change(slice);
            let change = if stands { slice.to_owned() } else { change(event, field, slice) };
            ("whatsapp_business_account", format!(r#""changes":[{change}]"#))
        }
    };
    // An entry is the business account's; of a number that is not known any more, and nothing hangs on it.
    let waba = [&event.route, &event.asset].into_iter().find(|asset| asset.kind() == AssetKind::Waba);
    let id = waba.map_or(id, |waba| quoted(waba.id()));
    format!(r#"{{"object":"{object}","entry":[{{"id":{id},"time":{time},{entry}}}]}}"#)
}

/// A WhatsApp change that holds the slice in the list it stood in.
fn change(event: &Event, list: &str, slice: &str) -> String {
    let metadata = match event.asset.kind() {
        AssetKind::Whatsapp => format!(r#""metadata":{{"phone_number_id":{}}},"#, quoted(event.asset.id())),
        _ => String::new(),
    };
    let element = format!("{}:[{slice}]", quoted(list));
    let member = || format!("{}:{slice}", quoted(list));
    let (field, held) = match list {
        "messages" | "message_echoes" | "statuses" if event.standby => {
            ("standby", format!(r#""standby":{{{element}}}"#))
        }
        _ if event.standby => ("standby", format!(r#""standby":{{{}}}"#, member())),
        "messages" | "message_echoes" if event.imported => ("history", element),
        "metadata" if event.imported => ("history", format!(r#""history":[{{"metadata":{slice}}}]"#)),
        "errors" | "threads" if event.imported => ("history", format!(r#""history":[{{{element}}}]"#)),
        "history" => ("history", element),
        "messages" | "statuses" | "errors" => ("messages", element),
        "message_echoes" => ("smb_message_echoes", element),
        "state_sync" => ("smb_app_state_sync", element),
        "calls" | "user_preferences" | "user_id_update" | "automatic_events" => (list, element),
        "groups" => ("group_status_update", element),
        // A member of a value, as it is.
        _ => ("messages", member()),
    };
    format!(r#"{{"field":"{field}","value":{{{metadata}{held}}}}}"#)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
