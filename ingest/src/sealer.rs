//! The key that bodies are sealed with: fresh every hour, and at once when an operator asks for fresh keys.
//!
//! It is made here and sent along, wrapped, with every body; once it is replaced nobody but the holder of the root key
//! opens what it sealed. When no fresh one can be had, the one before goes on for a day (`reliability.md` §4a 19).

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use schemas::ControlState;
use seal::{Cipher, Context, DataKey, SealError};
use service::Clock;
use tokio::sync::watch;
use tracing::{error, warn};

use crate::metrics::Metrics;

const MINUTE_MS: i64 = 60_000;
/// How long a key seals.
const LIFE_MS: i64 = 60 * MINUTE_MS;
/// How long it seals when no fresh one can be made.
const LONGEST_LIFE_MS: i64 = 24 * LIFE_MS;
/// Between two looks whether the key is still to be used, without a request that asks.
const LOOK: Duration = Duration::from_secs(60);

/// Makes a fresh key.
type Make = Box<dyn Fn() -> Result<DataKey, SealError> + Send + Sync>;

/// Seals bodies.
pub(crate) struct Sealer {
    control: watch::Receiver<Arc<ControlState>>,
    make: Make,
    metrics: Arc<Metrics>,
    current: RwLock<Arc<Current>>,
    /// When making a key last failed. Held by whoever makes one.
    failed_ms: Mutex<Option<i64>>,
}

struct Current {
    cipher: Cipher,
    wrapped: Bytes,
    made_ms: i64,
    /// The requests for fresh keys that had been made before.
    asked: u64,
}

/// A body as `raw` keeps it.
pub(crate) struct Sealed {
    /// The body, sealed.
    pub(crate) value: Bytes,
    /// The key it is sealed with, wrapped.
    pub(crate) key: Bytes,
}

/// There is no key to seal with any more, or no random bytes. Logged where it was found out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsealed;

impl Current {
    fn new(key: DataKey, made_ms: i64, asked: u64) -> Self {
        Self { cipher: key.cipher, wrapped: Bytes::from(key.wrapped), made_ms, asked }
    }

    fn is_fresh(&self, now_ms: i64, asked: u64) -> bool {
        // A little before it was made is another thread's clock; much before is a clock that was set back.
        let age = now_ms.saturating_sub(self.made_ms);
        self.asked >= asked && (-MINUTE_MS..LIFE_MS).contains(&age)
    }
}

impl Sealer {
    /// Makes the first key.
    pub(crate) fn new(
        make: impl Fn() -> Result<DataKey, SealError> + Send + Sync + 'static,
        control: watch::Receiver<Arc<ControlState>>,
        metrics: Arc<Metrics>,
        now_ms: i64,
    ) -> Result<Self, SealError> {
        let asked = control.borrow().data_keys;
        let current = Current::new(make()?, now_ms, asked);
        metrics.data_keys.inc();
        Ok(Self {
            control,
            make: Box::new(make),
            metrics,
            current: RwLock::new(Arc::new(current)),
            failed_ms: Mutex::default(),
        })
    }

    /// Seals a body that arrived for this app.
    pub(crate) fn seal(&self, app: &[u8], body: &[u8], now_ms: i64) -> Result<Sealed, Unsealed> {
        let current = self.key(now_ms)?;
        let value = current.cipher.seal(&Context::new("raw").part(app), body).map_err(|cause| {
            error!(error = %cause, "a delivery could not be sealed; it is answered with 503");
            Unsealed
        })?;
        Ok(Sealed { value: Bytes::from(value), key: current.wrapped.clone() })
    }

    /// Replaces the key in time even when nothing comes, so that an idle process forgets what it sealed, too.
    pub(crate) async fn follow(&self, clock: &Clock) {
        loop {
            tokio::time::sleep(LOOK).await;
            // Without a key, the next request finds out as well.
            let _: Result<_, Unsealed> = self.key(clock.now_ms());
        }
    }

    fn key(&self, now_ms: i64) -> Result<Arc<Current>, Unsealed> {
        let asked = self.control.borrow().data_keys;
        let current = self.current();
        if current.is_fresh(now_ms, asked) { Ok(current) } else { self.renew(now_ms, asked) }
    }

    fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn renew(&self, now_ms: i64, asked: u64) -> Result<Arc<Current>, Unsealed> {
        let mut failed_ms = self.failed_ms.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have made it while this one waited.
        let current = self.current();
        if current.is_fresh(now_ms, asked) {
            return Ok(current);
        }
        let age_ms = now_ms.saturating_sub(current.made_ms);
        let lives = age_ms < LONGEST_LIFE_MS;
        let rests = failed_ms.is_some_and(|at| (0..MINUTE_MS).contains(&now_ms.saturating_sub(at)));
        if !rests {
            match (self.make)() {
                Ok(key) => {
                    let fresh = Arc::new(Current::new(key, now_ms, asked));
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
                    *failed_ms = None;
                    self.metrics.data_keys.inc();
                    return Ok(fresh);
                }
                Err(cause) => {
                    *failed_ms = Some(now_ms);
                    self.metrics.data_key_failures.inc();
                    let minutes = age_ms / MINUTE_MS;
                    if lives {
                        warn!(error = %cause, minutes, "no fresh data key could be made; the one before goes on for a day at most");
                    } else {
                        error!(error = %cause, minutes, "no data key could be made for a day; deliveries are answered with 503");
                    }
                }
            }
        }
        if lives { Ok(current) } else { Err(Unsealed) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use prometheus::Registry;
    use schemas::{Action, ControlRecord, KeyLevel};
    use seal::RootKey;

    use super::*;

    struct Stage {
        root: Arc<RootKey>,
        failing: Arc<AtomicBool>,
        control: watch::Sender<Arc<ControlState>>,
        metrics: Arc<Metrics>,
        sealer: Sealer,
    }

    impl Stage {
        fn new() -> Self {
            let root = Arc::new(RootKey::generate().unwrap());
            let failing = Arc::new(AtomicBool::new(false));
            let control = watch::Sender::new(Arc::default());
            let metrics = Arc::new(Metrics::new(&Registry::new()).unwrap());
            let make = {
                let (edge, failing) = (root.edge(), failing.clone());
                move || if failing.load(Ordering::Relaxed) { Err(SealError::Random) } else { edge.data_key() }
            };
            let sealer = Sealer::new(make, control.subscribe(), metrics.clone(), 0).unwrap();
            Self { root, failing, control, metrics, sealer }
        }

        /// The wrapped key of a body that was sealed then, and opens.
        #[track_caller]
        fn sealed(&self, minutes: i64) -> Bytes {
            let sealed = self.sealer.seal(b"acme", b"body", minutes * MINUTE_MS).unwrap();
            let key = self.root.data_key(std::str::from_utf8(&sealed.key).unwrap()).unwrap();
            let open = |app: &str| key.cipher(0).open(&Context::new("raw").part(app), &sealed.value);
            assert_eq!(open("acme").unwrap().as_slice(), b"body");
            assert!(open("other").is_err(), "it opens for its own app only");
            sealed.key
        }

        fn ask(&self, level: KeyLevel) {
            self.control.send_modify(|state| {
                let state = Arc::make_mut(state);
                let action = Action::KeysRotated { level, tenant: None };
                state.apply(state.position, &ControlRecord { at_ms: 0, actor: "admin".into(), action });
            });
        }
    }

    #[test]
    fn a_key_lives_an_hour_or_until_fresh_ones_are_asked_for() {
        let stage = Stage::new();
        let first = stage.sealed(0);
        assert_eq!(stage.sealed(59), first);
        let second = stage.sealed(60);
        assert_ne!(second, first);
        assert_eq!(stage.sealed(119), second);
        stage.ask(KeyLevel::Root);
        stage.ask(KeyLevel::Tenant);
        assert_eq!(stage.sealed(119), second);
        stage.ask(KeyLevel::Data);
        let third = stage.sealed(119);
        assert_ne!(third, second);
        assert_eq!(stage.sealed(178), third);
        // A clock a moment behind makes no key, one that was set back by hours does not keep one for hours.
        assert_eq!(stage.sealed(118), third);
        let fourth = stage.sealed(-600);
        assert_ne!(fourth, third);
        assert_eq!((stage.metrics.data_keys.get(), stage.metrics.data_key_failures.get()), (4, 0));
    }

    #[test]
    fn without_a_fresh_key_the_one_before_goes_on_for_a_day() {
        let stage = Stage::new();
        let first = stage.sealed(0);
        stage.failing.store(true, Ordering::Relaxed);
        for _ in 0..10 {
            assert_eq!(stage.sealed(60), first);
        }
        assert_eq!(stage.metrics.data_key_failures.get(), 1, "tried once a minute");
        assert_eq!(stage.sealed(61), first);
        assert_eq!(stage.metrics.data_key_failures.get(), 2);
        assert_eq!(stage.sealed(24 * 60 - 1), first);
        assert_eq!(stage.sealer.seal(b"acme", b"body", 24 * 60 * MINUTE_MS).err(), Some(Unsealed));
        stage.failing.store(false, Ordering::Relaxed);
        let second = stage.sealed(24 * 60 + 1);
        assert_ne!(second, first);
        // Asked for while none can be made: taken up as soon as one can.
        stage.failing.store(true, Ordering::Relaxed);
        stage.ask(KeyLevel::Data);
        assert_eq!(stage.sealed(24 * 60 + 2), second);
        stage.failing.store(false, Ordering::Relaxed);
        assert_eq!(stage.sealed(24 * 60 + 2), second, "not within the minute");
        assert_ne!(stage.sealed(24 * 60 + 3), second);
    }

    #[test]
    fn many_threads_make_one_key() {
        let stage = Stage::new();
        stage.ask(KeyLevel::Data);
        let mut keys: Vec<Bytes> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| stage.sealed(1))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        keys.dedup();
        assert_eq!((keys.len(), stage.metrics.data_keys.get()), (1, 2));
    }
}
