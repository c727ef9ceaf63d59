//! The path every delivery takes, whether it comes from `raw` for the first time or again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use control::{ControlPlane, Partitions, ensure_inbox};
use eventlog::{AppendError, EventLog, LogError, Record, Topic, TopicPartition};
use keyring::{Keyring, TenantKeys};
use schemas::{ControlState, EventContext, RawPosition, RawRef, Reason, SubjectId, TenantId, Topics};
use service::Clock;
use tokio::sync::OnceCell;

use crate::append::{Output, append_all};
use crate::error::RouteError;
use crate::judge::{Judged, Wanted, body, judge};
use crate::metrics::{Fate, Metrics};
use crate::plan::{Outlet, pointer_record, write};

/// A delivery and what is wanted of it.
pub(crate) struct Delivery {
    pub(crate) raw: RawRef,
    pub(crate) record: Record,
    pub(crate) wanted: Wanted,
}

/// What became of a batch, all of it durable.
pub(crate) struct Done {
    /// Of each delivery, in order.
    pub(crate) fates: Vec<Fate>,
    /// How many items became events.
    pub(crate) routed: u64,
    /// How long ago the last of them had arrived, milliseconds.
    pub(crate) age_ms: i64,
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
    events: Arc<OnceCell<Outlet>>,
    feeds: Arc<Mutex<HashMap<TenantId, Outlet>>>,
}

/// A tenant's keys and the way into its feed.
struct Home {
    keys: Arc<TenantKeys>,
    feed: Outlet,
}

impl Engine {
    pub(crate) fn new(
        log: EventLog,
        plane: ControlPlane,
        keyring: Keyring,
        topics: Topics,
        metrics: Metrics,
        clock: Clock,
        partitions: Partitions,
    ) -> Self {
        let (events, feeds) = Default::default();
        Self { log, plane, topics, metrics, clock, keyring, partitions, events, feeds }
    }

    /// Routes deliveries. Returns when everything they become is durable; on an error, doing it again is harmless.
    pub(crate) async fn route(&self, deliveries: &[Delivery]) -> Result<Done, RouteError> {
        let began = Instant::now();
        let state = self.plane.state();
        let now_ms = self.clock.now_ms();
        let bodies: Vec<Bytes> = deliveries.iter().map(|delivery| body(&delivery.record)).collect();
        let mut judged: Vec<Judged<'_>> = deliveries
            .iter()
            .zip(&bodies)
            .map(|(delivery, body)| self.judge(delivery, body, &state, now_ms))
            .collect();
        let homes = self.homes(&judged).await?;
        let subjects = self.subjects(&judged).await?;
        let events = self.events().await?;

        let mut outputs = Vec::new();
        let mut surroundings = homes.iter().zip(subjects);
        for (number, delivery) in judged.iter_mut().enumerate() {
            // The surroundings last: an iterator that ends first must not have taken one of the other.
            for (routed, (home, subject)) in
                std::mem::take(&mut delivery.routed).into_iter().zip(&mut surroundings)
            {
                let index = routed.item.index();
                let context = EventContext {
                    tenant: &routed.tenant,
                    asset: &routed.asset,
                    id_key: &home.keys.id_key,
                    subject,
                    received_ms: delivery.received_ms,
                    raw: RawPosition { raw: delivery.raw, index, count: delivery.count },
                };
                match write(routed.item, &context, events, &home.feed) {
                    Ok((record, places)) => {
                        let of = Some((number, index));
                        outputs.extend(places.map(|at| Output { at, record: record.clone(), of }));
                    }
                    Err(reason) => {
                        if reason == Reason::Crashed {
                            self.metrics.crashes.inc();
                        }
                        delivery.set_aside(index, reason);
                    }
                }
            }
        }
        let written = outputs.len() / 2;
        let refused: BTreeSet<(usize, u32)> =
            append_all(&self.log, outputs).await?.into_iter().filter_map(|output| output.of).collect();
        for (number, index) in &refused {
            if let Some(delivery) = judged.get_mut(*number) {
                delivery.set_aside(*index, Reason::TooLarge);
            }
        }
        self.point(&judged).await?;

        let routed = (written - refused.len()) as u64;
        self.metrics.routed(routed);
        self.metrics.batch_seconds.observe(began.elapsed().as_secs_f64());
        let received_ms = judged.last().map_or(now_ms, |delivery| delivery.received_ms);
        let fate = |delivery: &Judged<'_>| {
            delivery.pointers.iter().map(|pointer| Fate::of(&pointer.outcome)).max().unwrap_or(Fate::Routed)
        };
        Ok(Done {
            fates: judged.iter().map(fate).collect(),
            routed,
            age_ms: self.clock.now_ms().saturating_sub(received_ms).max(0),
        })
    }

    fn judge<'a>(
        &self,
        delivery: &'a Delivery,
        body: &'a [u8],
        state: &ControlState,
        now_ms: i64,
    ) -> Judged<'a> {
        let read = || judge(delivery.raw, &delivery.record, body, &delivery.wanted, state, now_ms);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            self.metrics.crashes.inc();
            Judged::crashed(delivery.raw, &delivery.wanted, state, now_ms)
        })
    }

    /// Appends every pointer of these deliveries.
    async fn point(&self, judged: &[Judged<'_>]) -> Result<(), RouteError> {
        let at = TopicPartition::new(&Topic::new(self.topics.quarantine())?, 0);
        let pointers = || judged.iter().flat_map(|delivery| &delivery.pointers);
        let outputs = pointers()
            .map(|pointer| Output { at: at.clone(), record: pointer_record(pointer), of: None })
            .collect();
        if let Some(refused) = append_all(&self.log, outputs).await?.first() {
            // There is nowhere left to note it: stop rather than pass over it.
            return Err(AppendError::TooLarge { size_bytes: refused.record.size_bytes() }.into());
        }
        pointers().for_each(|pointer| self.metrics.pointer(pointer));
        Ok(())
    }

    /// The home of each routed item, in order.
    async fn homes(&self, judged: &[Judged<'_>]) -> Result<Vec<Arc<Home>>, RouteError> {
        let mut known: BTreeMap<&TenantId, Arc<Home>> = BTreeMap::new();
        let mut homes = Vec::new();
        for item in judged.iter().flat_map(|delivery| &delivery.routed) {
            let home = match known.get(&item.tenant) {
                Some(home) => home.clone(),
                None => {
                    let keys = self.keyring.tenant(&item.tenant).await?;
                    let home = Arc::new(Home { keys, feed: self.feed(&item.tenant).await? });
                    known.insert(&item.tenant, home.clone());
                    home
                }
            };
            homes.push(home);
        }
        Ok(homes)
    }

    /// Whom each routed item is about, in order; one call for all.
    async fn subjects(&self, judged: &[Judged<'_>]) -> Result<Vec<Option<SubjectId>>, RouteError> {
        let items = || judged.iter().flat_map(|delivery| &delivery.routed);
        let people: Vec<_> = items()
            .filter(|routed| !routed.item.persons().is_empty())
            .map(|routed| (routed.tenant.clone(), routed.item.persons().to_vec()))
            .collect();
        let mut found =
            if people.is_empty() { Vec::new() } else { self.keyring.subjects(&people).await? }.into_iter();
        Ok(items().map(|routed| if routed.item.persons().is_empty() { None } else { found.next() }).collect())
    }

    async fn events(&self) -> Result<&Outlet, LogError> {
        self.events.get_or_try_init(async || self.outlet(Topic::new(self.topics.events())?).await).await
    }

    async fn outlet(&self, topic: Topic) -> Result<Outlet, LogError> {
        let partitions = self.log.partitions(&topic).await?.ok_or_else(|| LogError::Fatal {
            cause: format!("there is no topic {topic}; `tidings up` or any role makes it when it starts"),
        })?;
        Ok(Outlet { topic, partitions })
    }

    async fn feed(&self, tenant: &TenantId) -> Result<Outlet, LogError> {
        let known = self.feeds.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        if let Some(outlet) = known {
            return Ok(outlet);
        }
        let topic = ensure_inbox(&self.log, &self.topics, tenant, self.partitions).await?;
        let outlet = self.outlet(topic).await?;
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), outlet.clone());
        Ok(outlet)
    }
}
