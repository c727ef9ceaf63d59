//! Reading through the admin API what is shown.

use console::wire::{Conversation, Message};
use sandbox::{Shown, ShownConversation, ShownMessage};

use crate::cli::Failure;
use crate::demo::Stage;

/// An organisation in two numbers.
pub(crate) struct Summary {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) conversations: u64,
    pub(crate) messages: u64,
}

/// Every organisation in two numbers.
pub(crate) async fn summaries(stage: &Stage) -> Result<Vec<Summary>, Failure> {
    let mut summaries = Vec::new();
    for organisation in stage.world.organisations() {
        let all = conversations(stage, &organisation.tenant).await?;
        summaries.push(Summary {
            tenant: organisation.tenant.clone(),
            name: organisation.name.clone(),
            conversations: all.len() as u64,
            messages: all.iter().map(|one| one.messages).sum(),
        });
    }
    Ok(summaries)
}

/// All conversations of a tenant, the latest first.
pub(crate) async fn conversations(stage: &Stage, tenant: &str) -> Result<Vec<Conversation>, Failure> {
    stage.client.pages(&["tenants", tenant, "conversations"], usize::MAX).await
}

/// The messages of a conversation, in order.
pub(crate) async fn messages(stage: &Stage, tenant: &str, id: &str) -> Result<Vec<Message>, Failure> {
    stage.client.pages(&["tenants", tenant, "conversations", id, "messages"], usize::MAX).await
}

/// Everything that is shown, for the ledger to judge.
pub(crate) async fn shown(stage: &Stage) -> Result<Shown, Failure> {
    let mut shown = Shown::default();
    for organisation in stage.world.organisations() {
        let mut all = Vec::new();
        for conversation in conversations(stage, &organisation.tenant).await? {
            let messages = messages(stage, &organisation.tenant, &conversation.id).await?;
            let json = serde_json::to_value(&conversation).map_err(anyhow::Error::from)?;
            let mut one = ShownConversation::from_json(&json).unwrap_or_default();
            for message in messages {
                let json = serde_json::to_value(&message).map_err(anyhow::Error::from)?;
                // A message that cannot be read has no marker, so it counts as invented.
                one.messages.push(ShownMessage::from_json(&json).unwrap_or_default());
            }
            all.push(one);
        }
        shown.tenants.insert(organisation.tenant.clone(), all);
    }
    Ok(shown)
}
