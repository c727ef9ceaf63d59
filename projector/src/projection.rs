//! The three projections: what each reads, how its records fold, and which transaction applies them.

use std::sync::Arc;

use eventlog::{Stored, Topic};
use ring::signature::Ed25519KeyPair;
use schemas::{Pointer, RawPosition, SealedEvent, TenantId};
use store::{
    ConversationChanges, CoverageChange, Moved, NewAuditRow, OffsetMove, QuarantineChange, StoreError,
    ViewsDb,
};
use tracing::error;

use crate::metrics::Metrics;
use crate::{audit, cover, fold};

/// A projection.
#[derive(Clone)]
pub(crate) enum Projection {
    /// `events` to conversations.
    Conversation { events: Topic },
    /// `events` and `quarantine` to the loss equation.
    Coverage { events: Topic, quarantine: Topic },
    /// `control` to audit chains.
    Audit { control: Topic, signer: Arc<Ed25519KeyPair> },
}

/// What a batch of records changes.
pub(crate) enum Changes {
    Conversation {
        changes: Box<ConversationChanges>,
        /// When the oldest of the deliveries arrived, Unix milliseconds.
        received_ms: Option<i64>,
    },
    Coverage {
        change: CoverageChange,
        quarantine: Vec<QuarantineChange>,
    },
    Audit(Vec<NewAuditRow>),
}

impl Projection {
    /// Its name: in the offsets, in metrics, and after `projector-` its group.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Conversation { .. } => "conversation",
            Self::Coverage { .. } => "coverage",
            Self::Audit { .. } => "audit",
        }
    }

    pub(crate) fn topics(&self) -> Vec<Topic> {
        match self {
            Self::Conversation { events } => vec![events.clone()],
            Self::Coverage { events, quarantine } => vec![events.clone(), quarantine.clone()],
            Self::Audit { control, .. } => vec![control.clone()],
        }
    }

    /// Folds records of one topic. What this version cannot read is counted and passed over: the loss equation shows it.
    pub(crate) fn fold(&self, topic: &Topic, records: &[Stored], metrics: &Metrics) -> Changes {
        // Tombstones remove events from the log; what they did to the views is undone by erasure itself.
        let live = records.iter().filter(|stored| stored.record.value.is_some());
        let unreadable = |stored: &Stored, cause: &dyn std::fmt::Display| {
            metrics.unreadable.with_label_values(&[self.name()]).inc();
            error!(topic = %topic, offset = stored.offset, error = %cause, "a record cannot be read by this version; update the projector and rebuild the {} view", self.name());
        };
        match self {
            Self::Conversation { .. } => {
                let mut changes = Box::<ConversationChanges>::default();
                let mut received_ms = None;
                for stored in live {
                    let value = stored.record.value.as_deref().unwrap_or_default();
                    match SealedEvent::decode(|name| stored.record.header_str(name), value) {
                        Ok(event) => {
                            received_ms = Some(received_ms.unwrap_or(i64::MAX).min(event.received_ms));
                            fold::add(&mut changes, event);
                        }
                        Err(cause) => unreadable(stored, &cause),
                    }
                }
                Changes::Conversation { changes, received_ms }
            }
            Self::Coverage { quarantine: pointers, .. } => {
                let mut change = CoverageChange::default();
                let mut quarantine = Vec::new();
                for stored in live {
                    if topic == pointers {
                        let value = stored.record.value.as_deref().unwrap_or_default();
                        match serde_json::from_slice::<Pointer>(value) {
                            Ok(pointer) => cover::pointer(&mut change, &mut quarantine, &pointer),
                            Err(cause) => unreadable(stored, &cause),
                        }
                    } else {
                        let header = |name| stored.record.header_str(name).unwrap_or_default();
                        let tenant = header("ce_tenant").parse::<TenantId>();
                        // What Tidings itself says of an item is not that item.
                        if schemas::is_ours(|name| stored.record.header_str(name)) {
                            continue;
                        }
                        match (tenant, header("ce_rawposition").parse::<RawPosition>()) {
                            (Ok(tenant), Ok(position)) => cover::event(&mut change, &tenant, position),
                            (Err(cause), _) => unreadable(stored, &cause),
                            (_, Err(cause)) => unreadable(stored, &cause),
                        }
                    }
                }
                Changes::Coverage { change, quarantine }
            }
            Self::Audit { .. } => Changes::Audit(live.map(audit::entry).collect()),
        }
    }

    /// Applies what a batch changes and moves the offset, in one transaction.
    pub(crate) async fn apply(
        &self,
        db: &ViewsDb,
        step: &OffsetMove<'_>,
        changes: &Changes,
    ) -> Result<Moved, StoreError> {
        match (self, changes) {
            (_, Changes::Conversation { changes, .. }) => db.apply_conversation(step, changes).await,
            (_, Changes::Coverage { change, quarantine }) => {
                db.apply_coverage(step, change, quarantine).await
            }
            (Self::Audit { signer, .. }, Changes::Audit(entries)) => {
                db.apply_audit(step, entries, signer).await
            }
            (Self::Conversation { .. } | Self::Coverage { .. }, Changes::Audit(_)) => {
                unreachable!("only the audit projection folds audit entries")
            }
        }
    }
}
