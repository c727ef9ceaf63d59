//! The apps that may deliver, with their secrets opened, as `control` has them now.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, ensure};
use bytes::Bytes;
use control::AppKeys;
use ring::hmac;
use ring::rand::SystemRandom;
use schemas::{App, AppId, ControlState};
use seal::RootKey;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tracing::{error, info};

use crate::metrics::Metrics;
use crate::signature::Keys;

/// One app's way in.
pub(crate) struct Door {
    /// The app's name, as raw records carry it.
    pub(crate) app: Bytes,
    /// What its deliveries are signed with.
    pub(crate) keys: Keys,
    tokens: Tokens,
}

/// An app's verify tokens. Compared by their HMACs under a random key, so time tells neither length nor content.
struct Tokens {
    key: hmac::Key,
    tags: Vec<hmac::Tag>,
}

impl Tokens {
    fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
        let tags = tokens.map(|token| hmac::sign(&key, token)).collect();
        Ok(Self { key, tags })
    }

    fn contain(&self, token: &[u8]) -> bool {
        // Every token is compared, whichever matches.
        self.tags
            .iter()
            .fold(false, |found, tag| hmac::verify(&self.key, token, tag.as_ref()).is_ok() | found)
    }
}

impl Door {
    fn open(app: &App, root: &RootKey) -> anyhow::Result<Self> {
        let keys = AppKeys::open(app, root)?;
        ensure!(!keys.secrets.is_empty(), "app {} has no secret", app.id);
        let secrets = keys.secrets.iter().map(|(role, secret)| (*role, secret.expose_secret()));
        let tokens = keys.verify_tokens.iter().map(ExposeSecret::expose_secret);
        ensure!(secrets.clone().all(|(_, secret)| !secret.is_empty()), "app {} has an empty secret", app.id);
        ensure!(tokens.clone().all(|token| !token.is_empty()), "app {} has an empty verify token", app.id);
        Ok(Self {
            app: Bytes::copy_from_slice(app.id.as_str().as_bytes()),
            keys: Keys::new(secrets),
            tokens: Tokens::new(tokens)?,
        })
    }

    /// Whether it is one of the app's verify tokens.
    pub(crate) fn knows(&self, token: &[u8]) -> bool {
        self.tokens.contain(token)
    }
}

/// What there is behind an app's name.
#[derive(Clone)]
pub(crate) enum Behind {
    /// The app.
    Door(Arc<Door>),
    /// An app whose secrets this process cannot use.
    Broken,
}

/// All doors, following `control`.
///
/// They are looked at again on the first request after a change and not by a task of their own: whoever has just added
/// an app and was told so finds it here with the very next request.
pub(crate) struct Doors {
    control: watch::Receiver<Arc<ControlState>>,
    root: Arc<RootKey>,
    metrics: Arc<Metrics>,
    open: RwLock<Open>,
}

struct Open {
    position: u64,
    apps: BTreeMap<AppId, App>,
    doors: HashMap<Box<str>, Behind>,
}

impl Doors {
    /// Opens every app's secrets. Fails when one does not open, or is empty: better at the start than on a request.
    pub(crate) fn open(
        control: watch::Receiver<Arc<ControlState>>,
        root: Arc<RootKey>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let state = control.borrow().clone();
        let mut doors = HashMap::new();
        for app in state.apps.values() {
            let door = Door::open(app, &root).context("ingest cannot check this app's deliveries")?;
            doors.insert(app.id.as_str().into(), Behind::Door(Arc::new(door)));
        }
        let open = Open { position: state.position, apps: state.apps.clone(), doors };
        open.measure(&metrics);
        Ok(Self { control, root, metrics, open: RwLock::new(open) })
    }

    /// What is behind this name now; `None` when there is no such app.
    pub(crate) fn find(&self, app: &str) -> Option<Behind> {
        let position = self.control.borrow().position;
        {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            if open.position >= position {
                return open.doors.get(app).cloned();
            }
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let state = self.control.borrow().clone();
        if open.position < state.position {
            open.follow(&state, &self.root);
            open.measure(&self.metrics);
        }
        open.doors.get(app).cloned()
    }
}

impl Open {
    fn follow(&mut self, state: &ControlState, root: &RootKey) {
        self.position = state.position;
        if self.apps == state.apps {
            return;
        }
        let mut doors = HashMap::with_capacity(state.apps.len());
        for (id, app) in &state.apps {
            let unchanged = self.apps.get(id) == Some(app);
            let behind = match self.doors.get(id.as_str()) {
                Some(behind) if unchanged => behind.clone(),
                _ => reopened(app, root),
            };
            doors.insert(id.as_str().into(), behind);
        }
        self.apps = state.apps.clone();
        self.doors = doors;
    }

    fn measure(&self, metrics: &Metrics) {
        let broken = self.doors.values().filter(|behind| matches!(behind, Behind::Broken)).count();
        metrics.apps.set(i64::try_from(self.doors.len()).unwrap_or(i64::MAX));
        metrics.apps_broken.set(i64::try_from(broken).unwrap_or(i64::MAX));
    }
}

fn reopened(app: &App, root: &RootKey) -> Behind {
    match Door::open(app, root) {
        Ok(door) => {
            info!(app = app.id.as_str(), "using the secrets of app {} as they are now", app.id);
            Behind::Door(Arc::new(door))
        }
        Err(cause) => {
            error!(
                app = app.id.as_str(),
                error = format!("{cause:#}"),
                "the secrets of app {} cannot be used; its deliveries are answered with 503 until that is put right",
                app.id
            );
            Behind::Broken
        }
    }
}

#[cfg(test)]
mod tests {
    use control::NewApp;
    use prometheus::Registry;
    use schemas::{Action, ControlRecord, SecretRole};
    use secrecy::SecretString;

    use super::*;

    fn app(id: &str, secret: &str, token: &str, root: &RootKey) -> App {
        let secrets = vec![(SecretRole::Current, SecretString::from(secret))];
        let verify_tokens = vec![SecretString::from(token)];
        NewApp { id: id.parse().unwrap(), verify_tokens, secrets }.seal(root).unwrap()
    }

    struct Stage {
        root: Arc<RootKey>,
        metrics: Arc<Metrics>,
        control: watch::Sender<Arc<ControlState>>,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                root: Arc::new(RootKey::generate().unwrap()),
                metrics: Arc::new(Metrics::new(&Registry::new()).unwrap()),
                control: watch::Sender::new(Arc::default()),
            }
        }

        fn act(&self, action: Action) {
            self.control.send_modify(|state| {
                let state = Arc::make_mut(state);
                let record = ControlRecord { at_ms: 0, actor: "admin".into(), action };
                state.apply(state.position, &record);
            });
        }

        fn doors(&self) -> anyhow::Result<Doors> {
            Doors::open(self.control.subscribe(), self.root.clone(), self.metrics.clone())
        }
    }

    #[test]
    fn the_very_next_request_sees_a_change() {
        let stage = Stage::new();
        let doors = stage.doors().unwrap();
        let knows = |name: &str, token: &[u8]| match doors.find(name) {
            Some(Behind::Door(door)) => Some(door.knows(token)),
            Some(Behind::Broken) => None,
            None => None,
        };
        assert!(doors.find("acme").is_none());
        stage.act(Action::AppAdded(app("acme", "s", "first", &stage.root)));
        assert_eq!(knows("acme", b"first"), Some(true));
        for wrong in [b"firs".as_slice(), b"first ", b"First", b"", &[b'f'; 100_000]] {
            assert_eq!(knows("acme", wrong), Some(false));
        }
        stage.act(Action::AppRotated(app("acme", "s", "second", &stage.root)));
        assert_eq!((knows("acme", b"first"), knows("acme", b"second")), (Some(false), Some(true)));
        assert_eq!(stage.metrics.apps.get(), 1);
        stage.act(Action::AppRemoved { app: "acme".parse().unwrap() });
        assert!(doors.find("acme").is_none());
        assert_eq!(stage.metrics.apps.get(), 0);
    }

    #[test]
    fn an_unusable_app_is_refused_at_the_start_and_closed_later() {
        let stage = Stage::new();
        stage.act(Action::AppAdded(app("fine", "s", "t", &stage.root)));
        let doors = stage.doors().unwrap();
        let other = RootKey::generate().unwrap();
        for broken in [
            app("acme", "", "t", &stage.root),
            app("acme", "s", "", &stage.root),
            app("acme", "s", "t", &other),
            App { secrets: Vec::new(), ..app("acme", "s", "t", &stage.root) },
        ] {
            stage.act(Action::AppAdded(broken));
            assert!(matches!(doors.find("acme"), Some(Behind::Broken)));
            assert!(matches!(doors.find("fine"), Some(Behind::Door(_))));
            assert_eq!(stage.metrics.apps_broken.get(), 1);
            let refusal = format!("{:#}", stage.doors().err().unwrap());
            assert!(refusal.contains("app acme"), "{refusal}");
        }
        stage.act(Action::AppRotated(app("acme", "s", "t", &stage.root)));
        assert!(matches!(doors.find("acme"), Some(Behind::Door(_))));
        assert_eq!(stage.metrics.apps_broken.get(), 0);
    }
}
