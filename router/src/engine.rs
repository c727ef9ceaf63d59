//! The path every delivery takes, whether it comes from `raw` for the first time or again.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use control::{ControlPlane, Partitions, ensure_inbox};
use eventlog::{EventLog, Header, LogError, MAX_RECORD_BYTES, Record, Topic, TopicPartition};
use keyring::{Keyring, TenantKeys};
use schemas::{
    ControlState, Encoded, EventContext, Outcome, Pointer, RawPosition, RawRef, Reason, SubjectId, TenantId, Topics,
};
use service::Clock;

use crate::append::append_all;
use crate::error::RouteError;
use crate::judge::{Judged, Wanted, body, crashed, judge};
use crate::metrics::Metrics;

/// A delivery and what is wanted of it.
pub(crate) struct Delivery {
    pub(crate) raw: RawRef,
    pub(crate) record: Record,
    pub(crate) wanted: Wanted,
}

/// Routes deliveries. Clones share everything.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) topics: Topics,
    pub(crate) metrics: Metrics,
    clock: Clock,
    keyring: Keyring,
    partitions: Partitions,
    inboxes: Arc<Mutex<HashMap<TenantId, Outlet>>>,
}

/// A topic to append to.
#[derive(Clone)]
struct Outlet {
    topic: Topic,
    partitions: u32,
}

impl Engine {
    pub(crate) fn new(
        log: EventLog, plane: ControlPlane, keyring: Keyring, topics: Topics, metrics: Metrics, clock: Clock,
        partitions: Partitions,
    ) -> Self {
        Self { log, plane, topics, metrics, clock, keyring, partitions, inboxes: Arc::default() }
    }

    /// Routes deliveries; returns how many items became events, all of it durable.
    pub(crate) async fn route(&self, deliveries: &[Delivery]) -> Result<usize, RouteError> {
        let began = Instant::now();
        let state = self.plane.state();
        let now_ms = self.clock.now_ms();
        let bodies: Vec<Bytes> = deliveries.iter().map(|delivery| body(&delivery.record)).collect();
        let mut judged = Vec::with_capacity(deliveries.len());
        let mut pointers = Vec::new();
        for (delivery, body) in deliveries.iter().zip(&bodies) {
            match self.judge(delivery, body, &state, now_ms) {
                Ok(found) => judged.push(found),
                Err(pointer) => pointers.push(pointer),
            }
        }
        let keys = self.keys(&judged).await?;
        let subjects = self.subjects(&judged).await?;

        let events = self.outlet(Topic::new(self.topics.events())?).await?;
        let mut outputs = Vec::new();
        let mut routed = 0;
        let mut subjects = subjects.into_iter();
        for delivery in judged {
            self.metrics.lag_ms.set(now_ms.saturating_sub(delivery.received_ms).max(0));
            pointers.extend(delivery.pointers);
            let count = delivery.count;
            for item in delivery.routed {
                let subject = if item.item.persons().is_empty() { None } else { subjects.next() };
                let Some(keys) = keys.get(&item.tenant) else { continue };
                let index = item.item.index();
                let context = EventContext {
                    tenant: &item.tenant,
                    asset: &item.asset,
                    id_key: &keys.id_key,
                    subject,
                    received_ms: delivery.received_ms,
                    raw: RawPosition { raw: delivery.raw, index, count },
                };
                let made = catch_unwind(AssertUnwindSafe(|| {
                    let event = item.item.into_event(&context);
                    (event.partition(events.partitions), event.encode(), event)
                }));
                let aside = |reason| Pointer {
                    raw: delivery.raw,
                    count,
                    items: vec![index],
                    outcome: Outcome::Quarantined { reason },
                    attempts: 1,
                    at_ms: now_ms,
                    judged_at: state.position,
                };
                let Ok((partition, encoded, event)) = made else {
                    self.metrics.crashes.inc();
                    pointers.push(aside(Reason::Crashed));
                    continue;
                };
                let record = record(encoded);
                if record.size_bytes() > MAX_RECORD_BYTES {
                    pointers.push(aside(Reason::TooLarge));
                    continue;
                }
                let inbox = self.inbox(&item.tenant).await?;
                let feed = TopicPartition::new(&inbox.topic, event.partition(inbox.partitions));
                outputs.push((TopicPartition::new(&events.topic, partition), record.clone()));
                outputs.push((feed, record));
                routed += 1;
            }
        }
        let quarantine = TopicPartition::new(&Topic::new(self.topics.quarantine())?, 0);
        for pointer in &pointers {
            self.count(pointer);
            outputs.push((quarantine.clone(), pointer_record(pointer)));
        }
        append_all(&self.log, outputs).await?;
        self.metrics.items.with_label_values(&["routed"]).inc_by(routed as u64);
        self.metrics.batch_seconds.observe(began.elapsed().as_secs_f64());
        Ok(routed)
    }

    fn judge<'a>(
        &self, delivery: &'a Delivery, body: &'a [u8], state: &ControlState, now_ms: i64,
    ) -> Result<Judged<'a>, Pointer> {
        let read = || judge(delivery.raw, &delivery.record, body, &delivery.wanted, state, now_ms);
        catch_unwind(AssertUnwindSafe(read)).map_err(|_| {
            self.metrics.crashes.inc();
            crashed(delivery.raw, &delivery.wanted, state, now_ms)
        })
    }

    async fn keys(&self, judged: &[Judged<'_>]) -> Result<HashMap<TenantId, Arc<TenantKeys>>, RouteError> {
        let mut keys = HashMap::new();
        for item in judged.iter().flat_map(|delivery| &delivery.routed) {
            if !keys.contains_key(&item.tenant) {
                keys.insert(item.tenant.clone(), self.keyring.tenant(&item.tenant).await?);
            }
        }
        Ok(keys)
    }

    /// The subject of each item that is about somebody, in order.
    async fn subjects(&self, judged: &[Judged<'_>]) -> Result<Vec<SubjectId>, RouteError> {
        let people: Vec<_> = judged
            .iter()
            .flat_map(|delivery| &delivery.routed)
            .filter(|routed| !routed.item.persons().is_empty())
            .map(|routed| (routed.tenant.clone(), routed.item.persons().to_vec()))
            .collect();
        if people.is_empty() { Ok(Vec::new()) } else { Ok(self.keyring.subjects(&people).await?) }
    }

    async fn outlet(&self, topic: Topic) -> Result<Outlet, LogError> {
        let partitions = self.log.partitions(&topic).await?.ok_or_else(|| LogError::Fatal {
            cause: format!("there is no topic {topic}; `tidings up` or any role makes it when it starts"),
        })?;
        Ok(Outlet { topic, partitions })
    }

    async fn inbox(&self, tenant: &TenantId) -> Result<Outlet, LogError> {
        let known = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        if let Some(outlet) = known {
            return Ok(outlet);
        }
        let topic = ensure_inbox(&self.log, &self.topics, tenant, self.partitions).await?;
        let outlet = self.outlet(topic).await?;
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), outlet.clone());
        Ok(outlet)
    }

    fn count(&self, pointer: &Pointer) {
        match &pointer.outcome {
            Outcome::Parked { .. } => {
                self.metrics.items.with_label_values(&["parked"]).inc_by(pointer.items.len() as u64);
            }
            Outcome::Quarantined { reason } => {
                self.metrics.items.with_label_values(&["quarantined"]).inc_by(pointer.items.len().max(1) as u64);
                self.metrics.quarantined.with_label_values(&[reason.as_str()]).inc();
            }
            Outcome::Empty => {}
        }
    }
}

fn record(encoded: Encoded) -> Record {
    let headers = encoded.headers.into_iter().map(|(name, value)| Header::new(name, value)).collect();
    Record { key: Some(encoded.key), value: Some(encoded.value), headers }
}

fn pointer_record(pointer: &Pointer) -> Record {
    let what = match &pointer.outcome {
        Outcome::Parked { assets } => assets.first().map_or_else(|| "parked".to_owned(), ToString::to_string),
        Outcome::Quarantined { reason } => reason.as_str().to_owned(),
        Outcome::Empty => "empty".to_owned(),
    };
    let value = serde_json::to_vec(pointer).expect("a pointer is plain data");
    Record { key: Some(Bytes::from(format!("{}/{what}", pointer.raw))), value: Some(value.into()), headers: Vec::new() }
}
