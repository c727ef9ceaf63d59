//! Where events are appended: topics with their partitions, made or looked up once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use control::{Partitions, ensure_inbox};
use eventlog::{EventLog, LogError, Topic};
use schemas::{TenantId, Topics};
use tokio::sync::OnceCell;

/// A topic to append to.
#[derive(Debug, Clone)]
pub struct Outlet {
    /// The topic.
    pub topic: Topic,
    /// How many partitions it has.
    pub partitions: u32,
}

/// The outlets of a deployment. Clones share what they found.
#[derive(Clone)]
pub struct Outlets {
    log: EventLog,
    topics: Topics,
    partitions: Partitions,
    events: Arc<OnceCell<Outlet>>,
    feeds: Arc<Mutex<HashMap<TenantId, Outlet>>>,
}

impl Outlets {
    /// The outlets on this log. A feed that is not there yet is made with that many partitions.
    pub fn new(log: EventLog, topics: Topics, partitions: Partitions) -> Self {
        Self { log, topics, partitions, events: Arc::default(), feeds: Arc::default() }
    }

    /// `events`.
    ///
    /// # Errors
    /// The log is away, or there is no such topic.
    pub async fn events(&self) -> Result<&Outlet, LogError> {
        self.events.get_or_try_init(async || self.outlet(Topic::new(self.topics.events())?).await).await
    }

    /// A tenant's feed; made when it is not there.
    ///
    /// # Errors
    /// The log is away.
    pub async fn feed(&self, tenant: &TenantId) -> Result<Outlet, LogError> {
        let known = self.feeds.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        if let Some(outlet) = known {
            return Ok(outlet);
        }
        let topic = ensure_inbox(&self.log, &self.topics, tenant, self.partitions).await?;
        let outlet = self.outlet(topic).await?;
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), outlet.clone());
        Ok(outlet)
    }

    async fn outlet(&self, topic: Topic) -> Result<Outlet, LogError> {
        let partitions = self.log.partitions(&topic).await?.ok_or_else(|| LogError::Fatal {
            cause: format!("there is no topic {topic}; `tidings up` or any role makes it when it starts"),
        })?;
        Ok(Outlet { topic, partitions })
    }
}
