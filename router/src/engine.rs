//! The path every delivery takes, whether it comes from `raw` for the first time or again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use control::{ControlPlane, Partitions};
use eventlog::{AppendError, EventLog, Record, Topic, TopicPartition};
use keyring::{Keyring, KeyringError, Known, Person, SubjectKey, TenantKeys, Whom};
use publish::{FeedForm, Outlet, Outlets, Published};
use schemas::{ControlState, EventContext, RawPosition, RawRef, Reason, SubjectId, TenantId, Topics};
use seal::RootKey;
use service::Clock;
use tracing::warn;

use crate::append::{Output, append_all};
use crate::error::RouteError;
use crate::judge::{Judged, Wanted, judge};
use crate::metrics::{Fate, Metrics};
use crate::plan::{Way, pointer_record, write, write_merge};
use crate::unseal::{Body, Unsealer};

/// Who acts when nobody asked.
const ACTOR: &str = "platform";

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
    unsealer: Unsealer,
    outlets: Outlets,
}

/// A tenant's keys and the way into its feed.
struct Home {
    keys: Arc<TenantKeys>,
    feed: Outlet,
    form: FeedForm,
}

/// Who a routed item is about.
enum About {
    /// Somebody, or nobody: their key seals it.
    Key(Subject, Arc<SubjectKey>),
    /// Somebody who was forgotten since.
    Forgotten,
}

/// Somebody or nobody, and who else turned out to be the same person.
struct Subject {
    id: Option<SubjectId>,
    same: Vec<SubjectId>,
}

impl Subject {
    fn all(&self) -> impl Iterator<Item = SubjectId> {
        self.id.into_iter().chain(self.same.iter().copied())
    }

    fn pairs(&self) -> impl Iterator<Item = [SubjectId; 2]> {
        self.id.iter().flat_map(|id| self.same.iter().map(|other| [*id, *other]))
    }
}

impl Engine {
    #[expect(clippy::too_many_arguments, reason = "every part it is given, by name")]
    pub(crate) fn new(
        log: EventLog,
        plane: ControlPlane,
        keyring: Keyring,
        root: Arc<RootKey>,
        topics: Topics,
        metrics: Metrics,
        clock: Clock,
        partitions: Partitions,
    ) -> Self {
        let outlets = Outlets::new(log.clone(), topics.clone(), partitions);
        Self { log, plane, topics, metrics, clock, keyring, unsealer: Unsealer::new(root), outlets }
    }

    /// Routes deliveries. Returns when everything they become is durable; on an error, doing it again is harmless.
    pub(crate) async fn route(&self, deliveries: &[Delivery]) -> Result<Done, RouteError> {
        let began = Instant::now();
        // Until all of it is durable: who is forgotten meanwhile is forgotten after it.
        let _lease = self.keyring.lease().await;
        let state = self.plane.state();
        let now_ms = self.clock.now_ms();
        let bodies = deliveries
            .iter()
            .map(|delivery| self.unsealer.body(&delivery.record))
            .collect::<Result<Vec<Body>, _>>()?;
        let mut judged: Vec<Judged<'_>> = deliveries
            .iter()
            .zip(&bodies)
            .map(|(delivery, body)| self.judge(delivery, body, &state, now_ms))
            .collect();
        let homes = self.homes(&judged, &state).await?;
        let about = self.about(&judged).await?;
        let events = self.outlets.events().await?;

        let mut outputs = Vec::new();
        let mut written = 0;
        let mut names = Vec::new();
        let mut merges: BTreeSet<(TenantId, Vec<SubjectId>)> = BTreeSet::new();
        let mut surroundings = homes.iter().zip(about);
        for (number, delivery) in judged.iter_mut().enumerate() {
            // The surroundings last: an iterator that ends first must not have taken one of the other.
            for (routed, (home, about)) in
                std::mem::take(&mut delivery.routed).into_iter().zip(&mut surroundings)
            {
                let index = routed.item.index();
                let About::Key(subject, key) = about else {
                    delivery.forget(index);
                    continue;
                };
                let context = EventContext {
                    tenant: &routed.tenant,
                    asset: &routed.asset,
                    id_key: &home.keys.id_key,
                    subject: subject.id,
                    received_ms: delivery.received_ms,
                    raw: RawPosition { raw: delivery.raw, index, count: delivery.count },
                };
                let mut subjects = subject.all();
                let is_restricted = subjects
                    .any(|subject| state.people.restricted.contains(&(routed.tenant.clone(), subject)));
                let way = Way { key: &key, form: &home.form, is_restricted, events, feed: &home.feed };
                match write(routed.item, &context, &way) {
                    Ok((published, event)) => {
                        written += 1;
                        let output = |published: Published, of| {
                            [published.event, published.feed].map(|(at, record)| Output { at, record, of })
                        };
                        outputs.extend(output(published, Some((number, index))));
                        if !subject.same.is_empty()
                            && merges.insert((routed.tenant.clone(), subject.all().collect()))
                        {
                            for pair in subject.pairs() {
                                let merge = write_merge(&event, pair, &home.keys.id_key, &way)?;
                                outputs.extend(output(merge, None));
                            }
                        }
                        let username = event.contact.and_then(|contact| contact.username);
                        if let (Some(subject), Some(name)) = (subject.id, username) {
                            names.push((routed.tenant, subject, name));
                        }
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
        if !names.is_empty() {
            self.keyring.hint(&names).await?;
        }
        let refused: BTreeSet<(usize, u32)> =
            append_all(&self.log, outputs).await?.into_iter().filter_map(|output| output.of).collect();
        for (number, index) in &refused {
            if let Some(delivery) = judged.get_mut(*number) {
                delivery.set_aside(*index, Reason::TooLarge);
            }
        }
        self.point(&judged).await?;
        for (tenant, subjects) in merges {
            self.merge(&tenant, &subjects).await?;
        }

        let routed = written - refused.len() as u64;
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
        body: &'a Body,
        state: &ControlState,
        now_ms: i64,
    ) -> Judged<'a> {
        let unread = |reason| Judged::unread(delivery.raw, &delivery.wanted, state, now_ms, reason);
        let body = match body {
            Ok(body) => body,
            Err(reason) => return unread(*reason),
        };
        let read = || judge(delivery.raw, &delivery.record, body, &delivery.wanted, state, now_ms);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            self.metrics.crashes.inc();
            unread(Reason::Crashed)
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
    async fn homes(&self, judged: &[Judged<'_>], state: &ControlState) -> Result<Vec<Arc<Home>>, RouteError> {
        let mut known: BTreeMap<&TenantId, Arc<Home>> = BTreeMap::new();
        let mut homes = Vec::new();
        for item in judged.iter().flat_map(|delivery| &delivery.routed) {
            let home = match known.get(&item.tenant) {
                Some(home) => home.clone(),
                None => {
                    let keys = self.keyring.tenant(&item.tenant).await?;
                    let format = state.tenants.get(&item.tenant).map(|tenant| &tenant.feed);
                    let form = format.map(FeedForm::of).transpose()?.unwrap_or(FeedForm::Clear);
                    let feed = self.outlets.feed(&item.tenant).await?;
                    let home = Arc::new(Home { keys, feed, form });
                    known.insert(&item.tenant, home.clone());
                    home
                }
            };
            homes.push(home);
        }
        Ok(homes)
    }

    /// Makes people one, now that everybody can read that they are. What holds of one of their subjects holds of all.
    async fn merge(&self, tenant: &TenantId, subjects: &[SubjectId]) -> Result<(), RouteError> {
        let mut all = BTreeSet::new();
        for subject in subjects {
            all.extend(self.keyring.db().same_person(tenant, *subject).await.map_err(KeyringError::from)?);
        }
        let all: Vec<SubjectId> = all.into_iter().collect();
        if self.keyring.db().are_kept_apart(tenant, &all).await.map_err(KeyringError::from)? {
            warn!(tenant.id = %tenant, "people whom an operator keeps apart were named together by several deliveries at once");
            return Ok(());
        }
        self.share(tenant, &all).await?;
        if self.keyring.merge(tenant, &all).await? {
            self.metrics.merges.inc();
            // What was said of one of them in between.
            self.share(tenant, &all).await?;
        }
        Ok(())
    }

    async fn share(&self, tenant: &TenantId, subjects: &[SubjectId]) -> Result<(), RouteError> {
        for action in self.plane.caught_up().await?.people.shared(tenant, subjects) {
            self.plane.act(self.clock.now_ms(), ACTOR, action).await?;
        }
        Ok(())
    }

    /// Whom each routed item is about, and what seals it, in order; one call each for all.
    async fn about(&self, judged: &[Judged<'_>]) -> Result<Vec<About>, RouteError> {
        let items = || {
            judged
                .iter()
                .flat_map(|delivery| delivery.routed.iter().map(|routed| (routed, delivery.received_ms)))
        };
        let people: Vec<Person> = items()
            .filter(|(routed, _)| !routed.item.persons().is_empty())
            .map(|(routed, received_ms)| Person {
                tenant: routed.tenant.clone(),
                identifiers: routed.item.persons().to_vec(),
                occurred_ms: routed.item.occurred_ms(received_ms),
            })
            .collect();
        let mut found =
            if people.is_empty() { Vec::new() } else { self.keyring.subjects(&people).await? }.into_iter();
        let known: Vec<Option<Known>> = items()
            .map(|(routed, _)| if routed.item.persons().is_empty() { None } else { found.next() })
            .collect();
        let owners: Vec<(TenantId, Option<SubjectId>)> = items()
            .zip(&known)
            .map(|((routed, _), known)| {
                let subject = known.as_ref().and_then(|known| match known.whom {
                    Whom::Subject(subject) => Some(subject),
                    Whom::Forgotten => None,
                });
                (routed.tenant.clone(), subject)
            })
            .collect();
        let keys = self.keyring.keys(&owners).await?;
        known
            .into_iter()
            .zip(owners)
            .zip(keys)
            .map(|((known, (_, id)), key)| match known {
                Some(Known { whom: Whom::Forgotten, .. }) => Ok(About::Forgotten),
                known => {
                    let same = known.map(|known| known.same).unwrap_or_default();
                    key.map(|key| About::Key(Subject { id, same }, key)).ok_or(RouteError::Forgotten)
                }
            })
            .collect()
    }
}
