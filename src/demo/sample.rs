//! One conversation, as a person would read it.

use std::fmt::Write as _;

use console::wire::{Conversation, Message};

use crate::cli::{Failure, plain};
use crate::demo::paint::{Canvas, Ink};
use crate::demo::{Stage, gather};

const LINES: usize = 9;
const WIDTH: usize = 66;

/// A conversation that has a bit of everything.
pub(crate) async fn conversation(stage: &Stage, canvas: &Canvas) -> Result<String, Failure> {
    let mut best: Option<(usize, &str, Conversation, Vec<Message>)> = None;
    for organisation in stage.world.organisations() {
        for conversation in gather::conversations(stage, &organisation.tenant).await?.into_iter().take(12) {
            let messages = gather::messages(stage, &organisation.tenant, &conversation.id).await?;
            let score = score(&conversation, tail(&messages));
            if best.as_ref().is_none_or(|(most, ..)| *most < score) {
                best = Some((score, &organisation.name, conversation, messages));
            }
        }
    }
    let Some((_, organisation, conversation, messages)) = best else { return Ok(String::new()) };
    let mut out = String::new();
    let contact = &conversation.contact;
    let who =
        contact.name.clone().or_else(|| contact.username.clone()).unwrap_or_else(|| "somebody".to_owned());
    let title = format!("{} with {organisation} on {}", plain(&who), conversation.channel);
    let _ = writeln!(out, "  {}  {}", canvas.ink(Ink::Bold, title), canvas.ink(Ink::Dim, &conversation.id));
    for message in tail(&messages) {
        let arrow = if message.direction == "in" { "▸" } else { "      ◂" };
        let _ = writeln!(out, "  {} {arrow} {}", canvas.ink(Ink::Dim, time(message)), words(message, canvas));
    }
    Ok(out)
}

fn tail(messages: &[Message]) -> &[Message] {
    messages.get(messages.len().saturating_sub(LINES)..).unwrap_or(messages)
}

fn score(conversation: &Conversation, messages: &[Message]) -> usize {
    let has = |holds: &dyn Fn(&Message) -> bool| usize::from(messages.iter().any(holds));
    messages.len()
        + 3 * usize::from(conversation.contact.name.is_some())
        + 4 * has(&|message| message.direction == "out")
        + 2 * has(&|message| message.edited)
        + 2 * has(&|message| message.deleted)
        + 2 * has(&|message| !message.reactions.is_empty())
        + 2 * has(&|message| !message.attachments.is_empty())
}

fn time(message: &Message) -> String {
    message.at.get(11..16).unwrap_or_default().to_owned()
}

fn words(message: &Message, canvas: &Canvas) -> String {
    let text = plain(message.text.as_deref().unwrap_or_default());
    let mut words: String = text.chars().take(WIDTH).collect();
    if text.chars().nth(WIDTH).is_some() {
        words.push('…');
    }
    let mut notes: Vec<String> = message.attachments.iter().map(|one| format!("[{}]", one.kind)).collect();
    if message.deleted {
        notes.push("(taken back)".to_owned());
    } else if words.is_empty() && notes.is_empty() {
        notes.push(format!("({})", message.kind));
    }
    notes.extend(message.edited.then(|| "(edited)".to_owned()));
    notes.extend(message.status.as_ref().map(|status| format!("✓ {status}")));
    let reactions: String = message.reactions.iter().map(|one| plain(&one.emoji)).collect();
    let notes = if notes.is_empty() { String::new() } else { canvas.ink(Ink::Dim, notes.join(" ")) };
    [words, reactions, notes].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
