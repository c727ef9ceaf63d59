//! Posting deliveries as Meta does: over kept connections, concurrently, and again until the answer is 200.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::work::{Job, Next, Work};
use crate::{Delivery, Ledger, Progress, RetryPolicy};

/// How fast fresh deliveries go out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Every connection sends its next one when it has its answer (closed loop).
    AsFastAsAnswered,
    /// This many a second, whatever the answers do (open loop).
    PerSecond(f64),
}

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The webhook's address, such as `http://127.0.0.1:8080/webhooks/acme`.
    pub target: Uri,
    /// Most requests at a time.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
    /// When again.
    pub retry: RetryPolicy,
    /// Longest wait for an answer before the connection is given up. Meta waits 5 s.
    pub patience: Duration,
    /// Most deliveries that wait to go out again before no fresh ones are taken.
    pub most_waiting: usize,
}

impl SenderConfig {
    /// 16 connections, as fast as answered, Meta's patience.
    pub fn new(target: Uri) -> Self {
        Self {
            target,
            connections: 16,
            pace: Pace::AsFastAsAnswered,
            retry: RetryPolicy::default(),
            patience: Duration::from_secs(5),
            most_waiting: 512,
        }
    }
}

/// Why sending stopped early.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A delivery could not be put into a request: the target is no HTTP address.
    #[error("the target is not an http:// address")]
    Target(#[source] http::Error),
    /// A task broke.
    #[error("a sending task broke")]
    Task(#[source] tokio::task::JoinError),
}

/// Posts deliveries.
pub struct Sender {
    config: SenderConfig,
    ledger: Arc<Ledger>,
    progress: Arc<Progress>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Sender {
    /// A sender that keeps this ledger.
    pub fn new(config: SenderConfig, ledger: Arc<Ledger>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.patience));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(config.connections)
            .build(connector);
        Self { config, ledger, progress: Arc::default(), client }
    }

    /// Its counters, to watch while it runs.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Sends everything, each delivery until it is answered as it should be. When `stop` is cancelled, no more fresh ones go
    /// out; when `give_up` is, it ends with what is not acknowledged left so.
    pub async fn run(
        self,
        deliveries: impl Iterator<Item = Delivery> + Send + 'static,
        stop: CancellationToken,
        give_up: CancellationToken,
    ) -> Result<(), SendError> {
        let desk = Arc::new(Desk {
            work: Mutex::new(Work::new(Box::new(deliveries), self.config.pace, self.config.most_waiting)),
            answered: Notify::new(),
            stop,
        });
        let sender = Arc::new(self);
        let mut workers = JoinSet::new();
        for _ in 0..sender.config.connections.max(1) {
            let (sender, desk, give_up) = (sender.clone(), desk.clone(), give_up.clone());
            workers.spawn(async move {
                tokio::select! {
                    ended = sender.work(&desk) => ended,
                    () = give_up.cancelled() => Ok(()),
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended.map_err(SendError::Task)??;
        }
        Ok(())
    }

    async fn work(&self, desk: &Desk) -> Result<(), SendError> {
        while let Some(job) = desk.take().await {
            let request = self.request(&job.delivery)?;
            self.ledger.sent(&job.delivery);
            Progress::count(&self.progress.attempts, 1);
            Progress::count(&self.progress.retries, u64::from(job.failed > 0));
            match self.post(request).await {
                Some(StatusCode::OK) if !job.delivery.forged => {
                    self.acknowledged(&job);
                    desk.finished();
                }
                Some(StatusCode::UNAUTHORIZED) if job.delivery.forged => {
                    Progress::count(&self.progress.refused, 1);
                    desk.finished();
                }
                answer => {
                    let counter = match answer {
                        None => &self.progress.unanswered,
                        Some(StatusCode::SERVICE_UNAVAILABLE) => &self.progress.unavailable,
                        Some(_) => &self.progress.other,
                    };
                    Progress::count(counter, 1);
                    let wait = self.config.retry.wait(job.failed + 1);
                    desk.failed(job, Instant::now() + wait);
                }
            }
        }
        Ok(())
    }

    fn request(&self, delivery: &Delivery) -> Result<Request<Full<Bytes>>, SendError> {
        Request::post(&self.config.target)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "*/*")
            .header(header::USER_AGENT, "facebookexternalua")
            .header("x-hub-signature-256", &delivery.signature)
            .body(Full::new(delivery.body.clone()))
            .map_err(SendError::Target)
    }

    /// The answer, or `None` when there was none: the delivery may have arrived all the same.
    async fn post(&self, request: Request<Full<Bytes>>) -> Option<StatusCode> {
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let status = response.status();
            // Read to the end, so the connection can be used again; the status alone is the answer.
            let _ = response.into_body().collect().await;
            Some(status)
        };
        timeout(self.config.patience, exchange).await.ok().flatten()
    }

    fn acknowledged(&self, job: &Job) {
        self.ledger.acknowledged(&job.delivery);
        self.progress.took(job.due.elapsed());
        Progress::count(&self.progress.acknowledged, 1);
        if job.delivery.repeat {
            Progress::count(&self.progress.repeats, 1);
        } else {
            Progress::count(&self.progress.updates, job.delivery.updates.len() as u64);
        }
    }
}

/// Where the workers get their jobs.
struct Desk {
    work: Mutex<Work>,
    answered: Notify,
    stop: CancellationToken,
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self) -> Option<Box<Job>> {
        loop {
            // Registered before looking, so that an answer in between is not missed.
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            let next = {
                let mut work = self.work();
                if self.stop.is_cancelled() {
                    work.end();
                }
                work.next(Instant::now())
            };
            match next {
                Next::Send(job) => return Some(job),
                Next::Done => {
                    self.answered.notify_waiters();
                    return None;
                }
                Next::At(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = &mut answered => {}
                    () = self.stopped() => {}
                },
                Next::Later => tokio::select! {
                    () = answered => {}
                    () = self.stopped() => {}
                },
            }
        }
    }

    /// Cancelled just now; pending for ever when it was before, for then the work knows.
    async fn stopped(&self) {
        if self.stop.is_cancelled() {
            std::future::pending::<()>().await;
        }
        self.stop.cancelled().await;
    }

    fn finished(&self) {
        self.work().finished();
        self.answered.notify_waiters();
    }

    fn failed(&self, job: Box<Job>, at: Instant) {
        self.work().failed(job, at);
        self.answered.notify_waiters();
    }
}
