//! `docs/events.md`: every kind, where it comes from and where it is seen; and what is left as it is, and why.

use std::fmt::Write as _;

use crate::contract::asyncapi::file;
use crate::{Channel, Kind, Unread, unread};

/// Where a kind comes from, and where it is seen.
struct Row {
    channels: &'static [Channel],
    wire: &'static str,
    view: &'static str,
}

const ALL: &[Channel] = &[Channel::Messenger, Channel::Instagram, Channel::Whatsapp];
const META: &[Channel] = &[Channel::Messenger, Channel::Instagram];
const MESSENGER: &[Channel] = &[Channel::Messenger];
const INSTAGRAM: &[Channel] = &[Channel::Instagram];
const WHATSAPP: &[Channel] = &[Channel::Whatsapp];
/// Kinds that no view shows.
const NONE: &str = "—";

const fn row(channels: &'static [Channel], wire: &'static str, view: &'static str) -> Row {
    Row { channels, wire, view }
}

const fn described(kind: Kind) -> Row {
    match kind {
        Kind::MessageReceived => row(
            ALL,
            "`messaging[].message`, `order`; WhatsApp `messages[]` of every type but those below, also in `standby` and `history`",
            "message, conversation, contact, attachment",
        ),
        Kind::MessageSent => row(
            ALL,
            "`message.is_echo`; WhatsApp `message_echoes[]` of `smb_message_echoes`, `standby` and `history`",
            "message, conversation, attachment",
        ),
        Kind::MessageEdited => row(ALL, "`message_edit`; WhatsApp type `edit`", "message"),
        Kind::MessageDeleted => row(
            &[Channel::Instagram, Channel::Whatsapp],
            "`message.is_deleted`; WhatsApp type `revoke`",
            "message",
        ),
        Kind::MessageReacted => row(ALL, "`reaction`; WhatsApp type `reaction`", "reaction"),
        Kind::MessageStatus => row(WHATSAPP, "`statuses[]`", "status"),
        Kind::ConversationRead => row(META, "`read.watermark`; Instagram `read.mid`", "watermark, status"),
        Kind::ConversationDelivered => row(MESSENGER, "`delivery`", "watermark, status"),
        Kind::PostbackReceived => {
            row(META, "`postback`; `template` (a coupon's click)", "message, conversation")
        }
        Kind::ReferralReceived => {
            row(META, "`referral`, with `lead` when a form was filled in", "conversation")
        }
        Kind::OptinReceived => row(META, "`optin`", "preference"),
        Kind::PreferenceChanged => row(WHATSAPP, "`user_preferences[]`", "preference"),
        Kind::FeedbackReceived => row(META, "`response_feedback`, `messaging_feedback`", NONE),
        Kind::ThreadControl => row(
            ALL,
            "`pass_`, `take_`, `request_thread_control`, `app_roles`; WhatsApp field `messaging_handovers`",
            "thread owner",
        ),
        Kind::CallUpdated => row(WHATSAPP, "`calls[]` and `statuses[]` of field `calls`", "call"),
        Kind::GroupUpdated => row(WHATSAPP, "`groups[]` of the fields `group_*_update`", NONE),
        Kind::ContactUpdated => row(WHATSAPP, "`state_sync[]` of field `smb_app_state_sync`", "address book"),
        Kind::IdentityChanged => row(
            WHATSAPP,
            "type `system`: `user_changed_number`, `user_changed_user_id`, `customer_identity_changed`; field `user_id_update`",
            "message, conversation",
        ),
        Kind::PersonMerged => row(
            ALL,
            "none: an event that names identifiers of two people, or `tidings person merge`",
            "conversations shown as one",
        ),
        Kind::PersonSplit => row(ALL, "none: `tidings person split`", "conversations shown apart"),
        Kind::AccountLinked => row(MESSENGER, "`account_linking`", NONE),
        Kind::ConversionDetected => row(WHATSAPP, "`automatic_events[]`", NONE),
        Kind::CommentChanged => {
            row(META, "field `feed`, item `comment`; Instagram fields `comments`, `live_comments`", NONE)
        }
        Kind::FeedChanged => row(MESSENGER, "field `feed`, every other item", NONE),
        Kind::MentionReceived => row(META, "field `mention`; Instagram field `mentions`", NONE),
        Kind::StoryInsights => row(INSTAGRAM, "field `story_insights`", NONE),
        Kind::TemplateUpdated => row(
            WHATSAPP,
            "fields `message_template_status_update`, `_quality_update`, `_components_update`, `template_category_update`, \
             `template_correct_category_detection`",
            "asset state",
        ),
        Kind::NumberUpdated => row(
            WHATSAPP,
            "fields `phone_number_quality_update`, `phone_number_name_update`, `business_username_updates`, `security`, \
             `account_settings_update`",
            "asset state",
        ),
        Kind::AccountUpdated => row(
            WHATSAPP,
            "fields `account_update`, `account_alerts`, `account_review_update`, `partner_solutions`, `payment_configuration_update`",
            "asset state",
        ),
        Kind::CapabilityUpdated => row(WHATSAPP, "field `business_capability_update`", "asset state"),
        Kind::FlowUpdated => row(WHATSAPP, "field `flows`", "asset state"),
        Kind::PolicyEnforced => row(MESSENGER, "`policy_enforcement`", "asset state"),
        Kind::AssetFailed => row(WHATSAPP, "`value.errors[]`", "asset state"),
        Kind::HistoryProgressed => row(WHATSAPP, "`history[].metadata`, `history[].errors[]`", "asset state"),
        Kind::AttachmentStored | Kind::AttachmentFailed => {
            row(ALL, "none: what became of a file", "attachment")
        }
        Kind::Unrecognized => row(ALL, "everything else", NONE),
    }
}

/// The products it comes through.
pub const fn channels(kind: Kind) -> &'static [Channel] {
    described(kind).channels
}

/// The page.
pub fn events_page() -> String {
    let mut page = String::from(
        "# Events\n\n\
         Every kind of event: what it is, through which product it comes, what of Meta's it is made of, the JSON Schema of its data, \
         and the view that shows it. This page is written by `BLESS=1 cargo test -p schemas`; a test holds it to the code. How a \
         record looks is in [schemas/README.md](../schemas/README.md), an example of each kind in \
         [schemas/examples](../schemas/examples).\n\n\
         Everything under `standby` (another app answers) has `standby: true`, everything of a history import `imported: true`; it is \
         an event of its own beside the live one of the same message, and the view shows the message once.\n\n\
         | kind | what it is | channels | of Meta's | schema | view |\n|---|---|---|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let Row { channels, wire, view } = described(kind);
        let channels: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
        let schema = file(kind);
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {wire} | [{schema}](../schemas/json/{schema}) | {view} |",
            kind.as_str(),
            kind.meaning(),
            channels.join(", "),
        );
    }
    page.push_str(
        "\n## What stays `unrecognized`\n\n\
         Nothing is dropped: what this version does not read is an event too, with its exact text as `source`, and \
         `tidings event reparse` shows how it reads today. `reason` says why it is not read:\n\n",
    );
    for reason in Unread::ALL {
        let why = match reason {
            Unread::Unknown => "its name is not known to this version",
            Unread::Undocumented => "its name is known, but no description or sample of it was seen",
            Unread::Unreadable => "it is known, but a part is missing, doubled or of another type",
            Unread::Valueless => "it says that something changed, but not what it is now",
        };
        let _ = writeln!(page, "- `{}`: {why}", reason.as_str());
    }
    page.push_str(
        "\nKnown by name and left as they are on purpose:\n\n| Meta's name | reason | because |\n|---|---|---|\n",
    );
    for named in &unread::NAMED {
        let _ = writeln!(page, "| `{}` | `{}` | {} |", named.name, named.reason.as_str(), named.because);
    }
    page.push_str(
        "\nNot known by any name, because their shapes were never described where we could read: Page Integrity events and \
         Messenger calling (2026), recordings, transcriptions and voice mail of WhatsApp calls. They arrive as `unknown`.\n",
    );
    page
}
