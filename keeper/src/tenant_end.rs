//! The end of a tenant, once its thirty days are over: keys first, then records, rows, objects and its feed, then a look
//! whether anything is left, then the certificate. Everything may be repeated; `control` says only that it is over, so what
//! was broken off is begun again from the start and finds less to do.

use std::collections::HashMap;
use std::time::Duration;

use schemas::{Action, Receipt, SubjectId, TenantId, TenantState};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::KeepError;
use crate::keeper::{Keeper, reached};
use crate::projected::{Ends, LOOK, PATIENCE};
use crate::retention::{Class, Turn};
use crate::scan::{Sample, bury, partitions, scan_tenant};

/// The projections whose rows are a tenant's.
const PROJECTIONS: [&str; 2] = ["conversation", "coverage"];
/// For how long a tenant rests whose end cannot come yet.
const REST: Duration = Duration::from_secs(10);
const WARN_EVERY: Duration = Duration::from_secs(60 * 60);

/// How far this process is with tenants that end. Forgotten with the process.
pub(crate) type Endings = HashMap<TenantId, Ending>;

/// How far it is with one.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Every process was told to forget the keys.
    told: bool,
    /// Where `events` ended when everything of it in there was covered by tombstones.
    buried: Option<Ends>,
    /// What was removed so far.
    receipt: Receipt,
    /// Some of what was sealed for its people.
    samples: Vec<Sample>,
    /// Not to be tried again before.
    rests: Option<Instant>,
    /// When somebody was last told that it waits for people to be released.
    warned: Option<Instant>,
}

impl Keeper {
    /// Destroys everything of every tenant whose time is over. People who are held keep their tenant until they are released.
    /// Answers how many ended.
    ///
    /// # Errors
    /// Something does not answer, or something is left.
    pub async fn purge_due(&self) -> Result<u64, KeepError> {
        // One at a time: an operator's sweep and the keeper's own would certify twice.
        let mut endings = self.endings.lock().await;
        let now_ms = self.steady.now_ms();
        let state = self.plane.state();
        endings.retain(|tenant, _| {
            state
                .tenants
                .get(tenant)
                .is_some_and(|known| matches!(known.state, TenantState::Terminated { .. }))
        });
        let mut ended = 0;
        let mut held = 0;
        let mut failed = None;
        for (tenant, known) in &state.tenants {
            let TenantState::Terminated { purge_at_ms } = known.state else { continue };
            if purge_at_ms > now_ms {
                continue;
            }
            let holds = state.people.held.iter().filter(|((of, _), until)| of == tenant && **until > now_ms);
            let people = holds.count();
            let ending = endings.entry(tenant.clone()).or_default();
            if people > 0 {
                held += 1;
                if ending.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    ending.warned = Some(Instant::now());
                    warn!(tenant.id = %tenant, people, "the time of tenant {tenant} is over, but people of it are held: it ends when they are released");
                }
                continue;
            }
            if ending.rests.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            ending.rests = Some(Instant::now() + REST);
            match self.end(tenant, ending).await {
                Ok(done) => ended += u64::from(done),
                // One tenant's trouble is not another's.
                Err(cause) => {
                    warn!(tenant.id = %tenant, error = %cause, "tenant {tenant} could not be ended now");
                    failed.get_or_insert(cause);
                }
            }
        }
        self.metrics.purges_held.set(held);
        failed.map_or(Ok(ended), Err)
    }

    /// Tenants whose end is due, and how long the longest has been waiting for it.
    pub(crate) async fn ended_tenants(&self, dry: bool) -> Result<Turn, KeepError> {
        let now_ms = self.steady.now_ms();
        let waiting = || {
            let state = self.plane.state();
            let times = state.tenants.values().filter_map(|tenant| match tenant.state {
                TenantState::Terminated { purge_at_ms } => Some(purge_at_ms),
                TenantState::Active | TenantState::Suspended | TenantState::Purged => None,
            });
            times.collect::<Vec<i64>>()
        };
        let count = if dry {
            waiting().iter().filter(|purge_at_ms| **purge_at_ms <= now_ms).count() as u64
        } else {
            self.purge_due().await?
        };
        let oldest_ms = waiting().into_iter().min().map(|at_ms| at_ms - self.config.keep_ms(Class::Tenant));
        Ok(Turn { oldest_ms, count })
    }

    /// One tenant. False when it has to wait for somebody else.
    async fn end(&self, tenant: &TenantId, ending: &mut Ending) -> Result<bool, KeepError> {
        let keyring = self.keyring.db();
        keyring.shred_tenant(tenant).await?;
        reached("tenant_shredded");
        if !ending.told {
            let action =
                Action::KeysRotated { level: schemas::KeyLevel::Tenant, tenant: Some(tenant.clone()) };
            self.act(action).await?;
            ending.told = true;
        }
        self.evicted().await?;
        reached("tenant_evicted");

        let events = self.topics.events();
        if ending.buried.is_none() {
            for at in partitions(&self.log, &events).await? {
                let wanted = self.config.tries.saturating_sub(ending.samples.len());
                let held = scan_tenant(&self.log, &at, tenant, wanted).await?;
                bury(&self.log, &held).await?;
                ending.receipt.records += held.count();
                ending.samples.extend(held.samples);
            }
            ending.buried = Some(self.ends(&events).await?);
            reached("tenant_records");
        }
        // What a projection has not read yet would become rows after they were removed.
        let ends = ending.buried.clone().unwrap_or_default();
        if !self.projected(&events, &ends).await? {
            info!(tenant.id = %tenant, "the end of tenant {tenant} waits for the projector");
            return Ok(false);
        }
        ending.receipt.rows += self.views.forget_tenant(tenant).await?;
        reached("tenant_rows");
        ending.receipt.objects += self.blobs.delete_prefix(&format!("attachments/{tenant}/")).await?;
        reached("tenant_objects");
        for at in partitions(&self.log, &self.topics.inbox(tenant)).await? {
            let bounds = self.log.bounds(&at).await?;
            ending.receipt.records += bounds.end.saturating_sub(bounds.earliest);
            self.log.truncate(&at).await?;
        }
        reached("tenant_feed");
        if let Err(left) = self.look(tenant, ending).await? {
            // What came in between is looked for from the start.
            ending.buried = None;
            return Err(KeepError::TenantLeft { tenant: tenant.clone(), left });
        }
        reached("tenant_verified");
        let tried = ending.samples.len() as u64;
        let receipt = Receipt { tried, verified: true, ..ending.receipt };
        self.act(Action::TenantPurged { tenant: tenant.clone(), receipt }).await?;
        info!(tenant.id = %tenant, "nothing of tenant {tenant} is left");
        Ok(true)
    }

    /// Looks for anything that is left.
    async fn look(&self, tenant: &TenantId, ending: &Ending) -> Result<Result<(), String>, KeepError> {
        let keyring = self.keyring.db();
        let rows = self.views.rows_of_tenant(tenant).await?;
        let objects = self.blobs.list(&format!("attachments/{tenant}/"), None, 1).await?.len();
        let keys = usize::from(keyring.tenant_keys(tenant).await?.is_some())
            + keyring.people(tenant, None, 1).await?.len()
            + keyring.token_assets(tenant).await?.len();
        let mut subjects: Vec<Option<SubjectId>> =
            ending.samples.iter().map(|sample| sample.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let opened = self.opened(tenant, &subjects, &ending.samples).await?;
        let mut records = 0;
        for at in partitions(&self.log, &self.topics.events()).await? {
            records += scan_tenant(&self.log, &at, tenant, 0).await?.count();
        }
        for at in partitions(&self.log, &self.topics.inbox(tenant)).await? {
            let bounds = self.log.bounds(&at).await?;
            records += bounds.end.saturating_sub(bounds.earliest);
        }
        if rows == 0 && objects == 0 && keys == 0 && opened == 0 && records == 0 {
            return Ok(Ok(()));
        }
        Ok(Err(format!(
            "{rows} rows, {objects} objects, {keys} keys, {records} records, {opened} of them open"
        )))
    }

    /// Waits a moment until the projections have read this far, and what they said of deliveries is summed up.
    async fn projected(&self, events: &str, ends: &Ends) -> Result<bool, KeepError> {
        for projection in PROJECTIONS {
            if !self.has_read(projection, events, ends, true).await? {
                return Ok(false);
            }
        }
        let Some((_, last)) = self.views.unfolded_coverage().await? else { return Ok(true) };
        let until = Instant::now() + PATIENCE;
        while self.views.unfolded_coverage().await?.is_some_and(|(first, _)| first <= last) {
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(true)
    }
}
