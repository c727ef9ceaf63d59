//! The audit's beginning moves on. What is removed of a chain is written to `control` first, with the hash that the rest goes
//! on from: the platform's chain, signed as it is, then says where each chain may begin, and nothing else may.

use std::time::Duration;

use eventlog::{Topic, TopicPartition};
use schemas::Action;
use store::AuditAnchor;
use tokio::time::Instant;
use tracing::info;

use crate::KeepError;
use crate::keeper::Keeper;
use crate::retention::{Class, Turn};

const AUDIT: &str = "audit";
const PROJECTED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

impl Keeper {
    /// Removes entries from before this time. Chains stay whole, and heads as they are.
    pub(crate) async fn prune_audit(&self, before_ms: i64, dry: bool) -> Result<Turn, KeepError> {
        let mut due = Vec::new();
        for chain in self.views.audit_chains().await? {
            due.extend(self.views.audit_due(&chain, before_ms).await?);
        }
        let count = due.iter().map(|anchor| anchor.entries).sum();
        if dry {
            return Ok(Turn { oldest_ms: self.views.oldest_audit().await?, count });
        }
        // A chain that nothing was added to for long keeps its place; what says so in the platform's must not grow too old.
        let stale_ms = self.steady.now_ms().saturating_sub(self.config.keep_ms(Class::Audit) / 2);
        for anchor in self.views.audit_anchors().await? {
            if anchor.at_ms < stale_ms && due.iter().all(|other| other.chain != anchor.chain) {
                due.push(anchor);
            }
        }
        let mut removed = 0;
        if self.announce(&mut due).await? {
            for anchor in &due {
                if self.views.prune_audit(anchor).await? {
                    removed += anchor.entries;
                }
            }
        }
        Ok(Turn { oldest_ms: self.views.oldest_audit().await?, count: removed })
    }

    /// Writes where these chains are to begin. False when the platform's chain does not say so in time: then nothing may be
    /// removed yet, and the next sweep tries again.
    async fn announce(&self, anchors: &mut [AuditAnchor]) -> Result<bool, KeepError> {
        let mut last = None;
        for anchor in anchors {
            anchor.at_ms = self.clock.now_ms();
            let action = Action::RetentionSwept { class: anchor.word(), count: anchor.entries };
            last = Some(self.plane.act(anchor.at_ms, crate::keeper::ACTOR, action).await?.1);
        }
        let Some(last) = last else { return Ok(true) };
        let control = TopicPartition::new(&Topic::new(self.topics.control())?, 0);
        let until = Instant::now() + PROJECTED_WITHIN;
        loop {
            let read = self.views.offset(AUDIT, control.topic.as_str(), control.partition).await?;
            if read.is_some_and(|next| next > last) {
                return Ok(true);
            }
            if Instant::now() >= until {
                info!("the audit view is behind; its old entries go with the next sweep");
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
