//! What WhatsApp tells a business about itself: templates, numbers, accounts, capabilities, forms (`meta-platform.md`
//! §3c.4). One change is one event.

use std::borrow::Cow;

use crate::Kind;
use crate::content::{
    AccountUpdate, CapabilityUpdate, Content, FlowUpdate, NumberUpdate, Restriction, TemplateUpdate,
};
use crate::json::Node;
use crate::time;

/// Whether this field is one of them.
pub(crate) fn knows(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// The fields that are.
pub(crate) const FIELDS: [&str; 18] = [
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "template_correct_category_detection",
    "phone_number_quality_update",
    "phone_number_name_update",
    "business_username_updates",
    "security",
    "account_settings_update",
    "account_update",
    "account_alerts",
    "account_review_update",
    "partner_solutions",
    "payment_configuration_update",
    "business_capability_update",
    "flows",
    "phone_number_settings_update",
];

/// What such a change says; `None` when nothing of what it should say is there.
pub(crate) fn read(field: &str, value: Node<'_>) -> Option<(Kind, Content)> {
    Some(match field {
        "message_template_status_update" => template("status", value, |update| {
            let [event, info, other, rejection] =
                value.pick(["event", "disable_info", "other_info", "rejection_info"]);
            update.current = event.and_then(scalar);
            update.effective_ms = info.and_then(|info| info.get("disable_date")).and_then(time::millis);
            update.reason = update.reason.take().filter(|reason| reason != "NONE");
            let [title, description] = other
                .map_or([None; 2], |other| other.pick(["title", "description"]))
                .map(|n| n.and_then(scalar));
            let [why, advice] = rejection
                .map_or([None; 2], |rejection| rejection.pick(["reason", "recommendation"]))
                .map(|n| n.and_then(scalar));
            update.reason = update.reason.take().or(title).or(why);
            update.text = description.or(advice);
        })?,
        "message_template_quality_update" => template("quality", value, |update| {
            let [now, before] = value.pick(["new_quality_score", "previous_quality_score"]);
            update.current = now.and_then(scalar);
            update.previous = before.and_then(scalar);
        })?,
        "message_template_components_update" => template("components", value, |update| {
            update.text = value.get("message_template_element").and_then(scalar);
        })?,
        "template_category_update" | "template_correct_category_detection" => {
            template("category", value, |update| {
                let names =
                    ["new_category", "correct_category", "previous_category", "category_update_timestamp"];
                let [now, to_come, before, at] = value.pick(names);
                update.current = now.or(to_come).and_then(scalar);
                update.previous = before.and_then(scalar);
                update.effective_ms = at.and_then(time::millis);
            })?
        }
        "phone_number_quality_update" => number("quality", value, &["event"])?,
        "phone_number_name_update" => number("name", value, &["decision"])?,
        "business_username_updates" => number("username", value, &["status"])?,
        "security" => number("security", value, &["event"])?,
        "account_settings_update" | "phone_number_settings_update" => {
            number("settings", value, &["event", "type"])?
        }
        "account_update" => (Kind::AccountUpdated, Content::Account(account(value)?)),
        "account_alerts" => (Kind::AccountUpdated, Content::Account(alert(value)?)),
        "account_review_update" => {
            let current = Some(value.get("decision").and_then(scalar)?);
            (Kind::AccountUpdated, Content::Account(AccountUpdate { current, ..side("review") }))
        }
        "partner_solutions" => {
            let [event, solution, status] =
                value.pick(["event", "solution_id", "solution_status"]).map(|node| node.and_then(scalar));
            let update =
                AccountUpdate { event, current: status, entity: Some(solution?), ..side("solution") };
            (Kind::AccountUpdated, Content::Account(update))
        }
        "payment_configuration_update" => {
            let [name, status, provider] = value
                .pick(["configuration_name", "status", "provider_name"])
                .map(|node| node.and_then(scalar));
            let update =
                AccountUpdate { current: Some(status?), entity: name, text: provider, ..side("payment") };
            (Kind::AccountUpdated, Content::Account(update))
        }
        "business_capability_update" => {
            let [daily, older, business, account] = value
                .pick([
                    "max_daily_conversations_per_business",
                    "max_daily_conversation_per_phone",
                    "max_phone_numbers_per_business",
                    "max_phone_numbers_per_waba",
                ])
                .map(|node| node.and_then(scalar));
            let update = CapabilityUpdate {
                daily_conversations: daily.or(older),
                numbers_per_business: business,
                numbers_per_account: account,
            };
            (update != CapabilityUpdate::default())
                .then_some((Kind::CapabilityUpdated, Content::Capability(update)))?
        }
        "flows" => {
            let [event, flow, now, alert, before, text] = value
                .pick(["event", "flow_id", "new_status", "alert_state", "old_status", "message"])
                .map(|node| node.and_then(scalar));
            let update = FlowUpdate {
                event: Some(event?),
                flow_id: flow,
                current: now.or(alert),
                previous: before,
                text: text.or_else(|| value.get("warning").and_then(scalar)),
            };
            (Kind::FlowUpdated, Content::Flow(update))
        }
        _ => return None,
    })
}

fn template(
    change: &str,
    value: Node<'_>,
    fill: impl FnOnce(&mut TemplateUpdate),
) -> Option<(Kind, Content)> {
    let [id, name, language, category, reason] = value
        .pick([
            "message_template_id",
            "message_template_name",
            "message_template_language",
            "message_template_category",
            "reason",
        ])
        .map(|node| node.and_then(scalar));
    if id.is_none() && name.is_none() {
        return None;
    }
    let mut update = TemplateUpdate {
        change: change.to_owned(),
        template_id: id,
        name,
        // Written either way (`meta-platform.md` §10.14).
        language: language.map(|language| language.replace('-', "_")),
        category,
        reason,
        ..TemplateUpdate::default()
    };
    fill(&mut update);
    Some((Kind::TemplateUpdated, Content::Template(update)))
}

fn number(change: &str, value: Node<'_>, current: &[&str]) -> Option<(Kind, Content)> {
    let [number, limit, daily, before, name, username, reason] = value
        .pick([
            "display_phone_number",
            "current_limit",
            "max_daily_conversations_per_business",
            "old_limit",
            "requested_verified_name",
            "username",
            "rejection_reason",
        ])
        .map(|node| node.and_then(scalar));
    let current = current.iter().find_map(|name| value.get(name)).and_then(scalar);
    if number.is_none() && current.is_none() {
        return None;
    }
    let update = NumberUpdate {
        change: change.to_owned(),
        number,
        current,
        limit: daily.or(limit),
        previous_limit: before,
        name: name.or(username),
        reason,
    };
    Some((Kind::NumberUpdated, Content::Number(update)))
}

fn side(change: &str) -> AccountUpdate {
    AccountUpdate { change: change.to_owned(), ..AccountUpdate::default() }
}

fn account(value: Node<'_>) -> Option<AccountUpdate> {
    let names = [
        "event",
        "violation_info",
        "restriction_info",
        "ban_info",
        "waba_info",
        "disconnection_info",
        "country",
        "volume_tier_info",
    ];
    let [event, violation, restrictions, ban, waba, disconnection, country, tier] = value.pick(names);
    let inner = |node: Option<Node<'_>>, name: &str| node.and_then(|node| node.get(name)).and_then(scalar);
    let restriction = |node: Node<'_>| {
        let [kind, until] = node.pick(["restriction_type", "expiration"]);
        Restriction { kind: kind.and_then(scalar), until_ms: until.and_then(time::millis) }
    };
    Some(AccountUpdate {
        event: Some(event.and_then(scalar)?),
        current: inner(ban, "waba_ban_state").or_else(|| inner(tier, "tier")),
        reason: inner(violation, "violation_type").or_else(|| inner(disconnection, "reason")),
        text: country.and_then(scalar),
        entity: inner(waba, "waba_id"),
        restrictions: restrictions.into_iter().flat_map(Node::elements).map(restriction).collect(),
        ..side("account")
    })
}

fn alert(value: Node<'_>) -> Option<AccountUpdate> {
    let [entity, info] = value.pick(["entity_id", "alert_info"]);
    // Older deliveries have the alert's members beside the entity.
    let [severity, status, kind, text] = info
        .unwrap_or(value)
        .pick(["alert_severity", "alert_status", "alert_type", "alert_description"])
        .map(|node| node.and_then(scalar));
    Some(AccountUpdate {
        event: Some(kind?),
        current: status,
        severity,
        text,
        entity: entity.and_then(scalar),
        ..side("alert")
    })
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}
