//! `tidings conversation`: who wrote with a tenant, and what.

use clap::{Args, Subcommand};
use console::wire::{Conversation, Message};
use schemas::TenantId;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings conversation list acme
  tidings conversation show acme 0f3a…             # an id of that list
  tidings conversation list acme --json | jq -r .id";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConversationArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: ConversationCommand,
}

#[derive(Debug, Subcommand)]
enum ConversationCommand {
    /// List a tenant's conversations, the latest first
    List {
        /// The tenant
        tenant: TenantId,
        /// Only this many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show who answers in a conversation, and its calls
    State {
        /// The tenant
        tenant: TenantId,
        /// The conversation's id
        id: String,
    },
    /// Show the messages of a conversation, in order
    Show {
        /// The tenant
        tenant: TenantId,
        /// The conversation's id
        id: String,
    },
}

pub(crate) async fn run(args: ConversationArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        ConversationCommand::List { tenant, limit } => {
            let path = ["tenants", tenant.as_str(), "conversations"];
            let conversations: Vec<Conversation> = client.pages(&path, limit.unwrap_or(usize::MAX)).await?;
            print::list(
                as_json,
                &conversations,
                "no conversations yet",
                ["id", "channel", "contact", "messages", "last"],
                |c| [c.id.clone(), c.channel.clone(), who(c), c.messages.to_string(), print::at(&c.last_at)],
            )
        }
        ConversationCommand::State { tenant, id } => {
            let path = ["tenants", tenant.as_str(), "conversations", &id, "state"];
            print::standing(as_json, client.get(&path, &[]).await?, "nothing else is known of it")
        }
        ConversationCommand::Show { tenant, id } => {
            let path = ["tenants", tenant.as_str(), "conversations", &id, "messages"];
            let messages: Vec<Message> = client.pages(&path, usize::MAX).await?;
            print::list(
                as_json,
                &messages,
                "no messages in it",
                ["at", "", "kind", "text", "status", "reactions"],
                |m| [print::at(&m.at), arrow(m).to_owned(), m.kind.clone(), text(m), status(m), reactions(m)],
            )
        }
    }
}

fn who(conversation: &Conversation) -> String {
    let contact = &conversation.contact;
    let named = contact.name.clone().or_else(|| contact.username.as_ref().map(|name| format!("@{name}")));
    named.or_else(|| contact.subject.clone()).unwrap_or_default()
}

fn arrow(message: &Message) -> &'static str {
    if message.direction == "in" { "→" } else { "←" }
}

fn text(message: &Message) -> String {
    let mut text = message.text.clone().unwrap_or_default();
    if message.deleted {
        text = "(deleted)".to_owned();
    } else if message.edited {
        text.push_str(" (edited)");
    }
    for attachment in &message.attachments {
        // A file says how far it is until it is there.
        let state = attachment.state.as_deref().filter(|state| *state != "stored");
        text.push_str(&format!(
            " [{}{}]",
            attachment.kind,
            state.map(|state| format!(", {state}")).unwrap_or_default()
        ));
    }
    text
}

fn status(message: &Message) -> String {
    message.status.clone().unwrap_or_default()
}

fn reactions(message: &Message) -> String {
    message.reactions.iter().map(|reaction| reaction.emoji.as_str()).collect::<Vec<_>>().join(" ")
}
