//! Forgetting what is remembered when `control` says so, and telling the database that it was.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use schemas::ControlState;
use service::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Keyring, KeyringError};

/// How often a holder says that it is there. Whoever was not seen for twice the time that memory is believed holds nothing.
const SAY: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

impl Keyring {
    /// Follows `control` until stopped: when somebody was forgotten, or keys were replaced, this process forgets what it
    /// remembers, waits until nothing of it is in use, and says so under the name `MEMBER/OWN`. No other process has that
    /// name, and no other that runs now has the member's: whatever one of that member remembered is gone.
    ///
    /// # Errors
    /// The database refuses us for good. That it is away is waited out.
    pub async fn attend(
        self,
        member: String,
        mut state: watch::Receiver<Arc<ControlState>>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<(), KeyringError> {
        let mut say = tokio::time::interval(SAY);
        say.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let member = format!("{member}/");
        let holder = own(&member)?;
        let mut succeeded = false;
        let mut evicted = state.borrow_and_update().people.evictions;
        loop {
            let wanted = state.borrow_and_update().people.evictions;
            if wanted > evicted {
                self.forget_while_there(&holder, &clock, evicted).await;
                evicted = wanted;
            }
            let said = async {
                if !succeeded {
                    self.db.succeed(&member, &holder).await?;
                }
                self.db.hold(&holder, clock.now_ms(), evicted).await
            };
            let pause = match said.await {
                Ok(()) => {
                    succeeded = true;
                    None
                }
                Err(cause) if cause.disposition() == store::Disposition::Retry => {
                    warn!(error = %cause, "the keyring does not answer");
                    Some(RETRY)
                }
                Err(cause) => return Err(cause.into()),
            };
            if let Some(pause) = pause {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = say.tick() => break,
                    changed = state.changed() => {
                        let gone = changed.is_err();
                        if gone || state.borrow_and_update().people.evictions > evicted {
                            if gone {
                                // Nobody follows control any more: only the stop can come.
                                stop.cancelled().await;
                            }
                            break;
                        }
                    }
                }
            }
            if stop.is_cancelled() {
                break;
            }
        }
        // What is in use still ends first: who is not there holds nothing.
        self.forget_while_there(&holder, &clock, evicted).await;
        // Best effort: a holder that is not seen any more is believed to be gone after a while.
        let _ = self.db.let_go(&holder).await;
        Ok(())
    }

    /// Forgets, which takes as long as the longest use of a key, and says meanwhile that this process is there: whoever waits
    /// for it must not take it for gone.
    async fn forget_while_there(&self, holder: &str, clock: &Clock, evicted: u64) {
        let mut forget = std::pin::pin!(self.forget());
        let mut say = tokio::time::interval(SAY);
        loop {
            tokio::select! {
                biased;
                () = &mut forget => return,
                _ = say.tick() => {
                    if let Err(cause) = self.db.hold(holder, clock.now_ms(), evicted).await {
                        warn!(error = %cause, "the keyring does not answer");
                    }
                }
            }
        }
    }
}

/// A name that no process had before.
fn own(member: &str) -> Result<String, KeyringError> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyringError::Random)?;
    Ok(format!("{member}{:016x}", u64::from_be_bytes(bytes)))
}
