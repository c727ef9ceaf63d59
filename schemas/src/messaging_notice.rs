//! What Messenger and Instagram tell beside messages: opt-ins, who answers, feedback, linked accounts, policy
//! (`meta-platform.md` §3a).

use std::borrow::Cow;

use crate::content::{
    AccountLink, AppRoles, Content, Feedback, FeedbackAnswer, OptIn, Owner, PolicyNotice, ThreadControl,
};
use crate::json::Node;
use crate::time;

/// One of the old checkbox says no more than where it stood.
pub(crate) fn opt_in(optin: Node<'_>) -> Option<Content> {
    let names = [
        "type",
        "notification_messages_status",
        "title",
        "payload",
        "ref",
        "notification_messages_token",
        "token_expiry_timestamp",
        "notification_messages_frequency",
        "notification_messages_timezone",
    ];
    let [kind, status, title, payload, reference, token, expires, frequency, timezone] = optin.pick(names);
    let content = OptIn {
        kind: kind.and_then(Node::owned),
        status: status.and_then(Node::string).map(|status| match status.as_ref() {
            "STOP NOTIFICATIONS" => "stopped".to_owned(),
            "RESUME NOTIFICATIONS" => "resumed".to_owned(),
            other => other.to_owned(),
        }),
        title: title.and_then(Node::owned),
        payload: payload.and_then(Node::owned),
        reference: reference.and_then(Node::owned),
        token: token.and_then(Node::owned),
        token_expires_ms: expires.and_then(time::millis),
        frequency: frequency.and_then(Node::owned),
        timezone: timezone.and_then(Node::owned),
    };
    let says_something = content != OptIn::default() || optin.get("user_ref").is_some();
    says_something.then_some(Content::OptIn(content))
}

/// The member of a messaging element that tells who answers.
pub(crate) const THREAD_CONTROL: [(&str, &str); 4] = [
    ("pass_thread_control", "passed"),
    ("take_thread_control", "taken"),
    ("request_thread_control", "requested"),
    ("app_roles", "roles"),
];

/// Who answers from now on, or asks to. App ids are strings or numbers.
pub(crate) fn thread_control(action: &str, told: Node<'_>) -> Option<Content> {
    if !told.is_object() {
        return None;
    }
    let owner = |name: &str| {
        let app_id = told.get(name).and_then(scalar)?;
        Some(Owner { app_id: Some(app_id), ..Owner::default() })
    };
    let mut content = ThreadControl {
        action: action.to_owned(),
        previous_owner: owner("previous_owner_app_id"),
        new_owner: owner("new_owner_app_id"),
        requested_owner: owner("requested_owner_app_id"),
        metadata: told.get("metadata").and_then(Node::owned),
        ..ThreadControl::default()
    };
    if action == "roles" {
        let role = |(app, roles): (Cow<'_, str>, Node<'_>)| AppRoles {
            app_id: app.into_owned(),
            roles: roles.elements().filter_map(Node::owned).collect(),
        };
        content = ThreadControl { action: action.to_owned(), ..ThreadControl::default() };
        content.roles = told.members().into_iter().map(role).collect();
    }
    Some(Content::Thread(content))
}

pub(crate) fn account_link(linking: Node<'_>) -> Option<Content> {
    Some(Content::AccountLink(AccountLink { status: linking.get("status")?.owned()? }))
}

pub(crate) fn policy(notice: Node<'_>) -> Option<Content> {
    let [action, reason] = notice.pick(["action", "reason"]);
    Some(Content::Policy(PolicyNotice { action: action?.owned()?, reason: reason.and_then(Node::owned) }))
}

/// What they thought of one answer; the message is named beside.
pub(crate) fn response_feedback(feedback: Node<'_>) -> Option<Content> {
    let word = feedback.get("feedback")?.owned()?;
    let rating = match word.as_str() {
        "Good response" => "good".to_owned(),
        "Bad response" => "bad".to_owned(),
        _ => word,
    };
    Some(Content::Feedback(Feedback { rating: Some(rating), answers: Vec::new() }))
}

/// The answers of a survey: `feedback_screens[]{questions{id: {type, payload, follow_up{payload}}}}`.
pub(crate) fn survey(feedback: Node<'_>) -> Option<Content> {
    let screens = feedback.get("feedback_screens")?;
    let mut answers = Vec::new();
    for questions in screens.elements().filter_map(|screen| screen.get("questions")) {
        for (question, told) in questions.members() {
            let [kind, answer, follow_up] = told.pick(["type", "payload", "follow_up"]);
            answers.push(FeedbackAnswer {
                question: question.into_owned(),
                kind: kind.and_then(Node::owned),
                answer: answer.and_then(scalar),
                follow_up: follow_up.and_then(|more| more.get("payload")).and_then(scalar),
            });
        }
    }
    (!answers.is_empty()).then_some(Content::Feedback(Feedback { rating: None, answers }))
}

fn scalar(node: Node<'_>) -> Option<String> {
    node.scalar().map(Cow::into_owned)
}
