//! A member's client, and another one after the brokers took it for two.
//!
//! A member that lost its broker joins again, and at times what it had sent before is answered afterwards: the broker sees two
//! of one name and shuts one out, which is ourselves. To librdkafka that is the end of the client (its issue 3437); another
//! client may go on. If there really are two of the name, it happens again soon, and then it is the end for us too.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::{debug, warn};

use super::rebalance::Member;
use super::{context, error};
use crate::{LogError, Topic};

/// Two of one name meet again within this time, however they are restarted.
const AGAIN: Duration = Duration::from_secs(5 * 60);

pub(super) type Client = BaseConsumer<Context>;

/// What one client of a member calls.
pub(super) struct Context {
    member: Arc<Member>,
    /// The member has another client: this one has nothing to say any more.
    over: AtomicBool,
}

impl Deref for Context {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(error = %error, "Kafka consumer: {reason}");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &Client, what: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if self.over.load(Ordering::Acquire) {
            // Its partitions went when it was shut out, and may be the next client's by now.
            let nothing = TopicPartitionList::new();
            let _: Result<(), KafkaError> = match what {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => client.incremental_assign(&nothing),
                _ => client.incremental_unassign(partitions),
            };
            return;
        }
        self.member.rebalance(client, what, partitions);
    }
}

/// A member of a group for as long as it is wanted, by one client after another.
pub(super) struct Membership {
    settings: ClientConfig,
    topics: Vec<Topic>,
    member: Arc<Member>,
    client: RwLock<Arc<Client>>,
    shut_out: Mutex<Option<Instant>>,
}

impl Membership {
    pub(super) fn new(settings: ClientConfig, topics: Vec<Topic>, member: Member) -> Result<Self, LogError> {
        let member = Arc::new(member);
        let client = RwLock::new(Arc::new(join(&settings, &topics, &member)?));
        Ok(Self { settings, topics, member, client, shut_out: Mutex::new(None) })
    }

    /// The client of now. Whoever keeps it for long keeps it from closing.
    pub(super) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn member(&self) -> &Member {
        &self.member
    }

    /// Whether this says that we were shut out, for the first time in a while: then another client may help.
    pub(super) fn is_over(&self, cause: &KafkaError) -> bool {
        if cause.rdkafka_error_code() != Some(Code::FencedInstanceId) {
            return false;
        }
        let mut last = self.shut_out.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        last.replace(now).is_none_or(|last| now.duration_since(last) >= AGAIN)
    }

    /// Joins with another client. What was assigned is lost, and assigned anew.
    pub(super) fn again(&self, client: Arc<Client>) -> Result<(), LogError> {
        warn!("a group took this member for two of one name and shut it out; it joins again");
        client.context().over.store(true, Ordering::Release);
        self.member.lose();
        let fresh = Arc::new(join(&self.settings, &self.topics, &self.member)?);
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        // Closes it, unless a commit is still under way.
        drop(client);
        Ok(())
    }
}

fn join(settings: &ClientConfig, topics: &[Topic], member: &Arc<Member>) -> Result<Client, LogError> {
    let context = Context { member: member.clone(), over: AtomicBool::new(false) };
    let mut client =
        Client::from_config_and_context(settings, context).map_err(|cause| error::log(&cause))?;
    let waker = member.shared.clone();
    client.set_nonempty_callback(move || waker.wake());
    let topics: Vec<&str> = topics.iter().map(Topic::as_str).collect();
    client.subscribe(&topics).map_err(|cause| error::log(&cause))?;
    Ok(client)
}
