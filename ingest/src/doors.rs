//! The apps that may deliver, as `control` has them now.
//!
//! A door whose new secrets do not open goes on with those it had: the root key was rotated and this process has not got
//! the edge key that goes with it yet. It is tried again until it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use anyhow::Context;
use schemas::{App, AppId, ControlState};
use seal::EdgeKey;
use tokio::sync::watch;
use tracing::{error, info};

use crate::door::{Door, DoorError};
use crate::metrics::Metrics;

/// Between two tries to open secrets that did not open. Nothing but a replaced edge key file changes the answer.
const RETRY: Duration = Duration::from_secs(1);

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
/// They are looked at again on the first request after a change and not only by the task that follows: whoever has just
/// added an app and was told so finds it here with the very next request.
pub(crate) struct Doors {
    control: watch::Receiver<Arc<ControlState>>,
    edge: Arc<EdgeKey>,
    metrics: Arc<Metrics>,
    open: RwLock<Open>,
}

struct Open {
    position: u64,
    apps: BTreeMap<AppId, App>,
    doors: HashMap<Box<str>, Entry>,
    /// When to try again what is locked; `None` when nothing is.
    retry: Option<Instant>,
}

#[derive(Clone)]
struct Entry {
    behind: Behind,
    fit: Fit,
}

/// How what is behind a name fits what `control` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It is that.
    Exact,
    /// What `control` says does not open here, yet.
    Locked,
    /// What `control` says cannot be used by anybody.
    Unusable,
}

impl Doors {
    /// Opens every app's secrets. Fails when one does not open, or is empty: better at the start than on a request.
    pub(crate) fn open(
        control: watch::Receiver<Arc<ControlState>>,
        edge: Arc<EdgeKey>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let state = control.borrow().clone();
        let mut doors = HashMap::new();
        for app in state.apps.values() {
            let door = Door::open(app, &edge).context("ingest cannot check this app's deliveries")?;
            doors.insert(app.id.as_str().into(), Entry::exact(door));
        }
        let open = Open { position: state.position, apps: state.apps.clone(), doors, retry: None };
        open.measure(&metrics);
        Ok(Self { control, edge, metrics, open: RwLock::new(open) })
    }

    /// What is behind this name now; `None` when there is no such app.
    pub(crate) fn find(&self, app: &str) -> Option<Behind> {
        let position = self.control.borrow().position;
        {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            if open.position >= position && !open.is_due() {
                return open.behind(app);
            }
        }
        self.renewed().behind(app)
    }

    /// Looks at changes when no request does: an app that is rotated twice before anybody asks for it has the secrets in
    /// between to go on with, and one that cannot be used is told of before Meta finds out.
    pub(crate) async fn follow(&self) {
        let mut control = self.control.clone();
        loop {
            match tokio::time::timeout(RETRY, control.changed()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) | Err(_) => drop(self.renewed()),
            }
        }
    }

    fn renewed(&self) -> RwLockWriteGuard<'_, Open> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let state = self.control.borrow().clone();
        if open.position < state.position {
            open.follow(&state, &self.edge);
            open.measure(&self.metrics);
        } else if open.is_due() {
            open.unlock(&self.edge);
            open.measure(&self.metrics);
        }
        open
    }
}

impl Open {
    fn behind(&self, app: &str) -> Option<Behind> {
        self.doors.get(app).map(|entry| entry.behind.clone())
    }

    fn is_due(&self) -> bool {
        self.retry.is_some_and(|at| Instant::now() >= at)
    }

    fn follow(&mut self, state: &ControlState, edge: &EdgeKey) {
        self.position = state.position;
        if self.apps == state.apps {
            return;
        }
        let mut doors = HashMap::with_capacity(state.apps.len());
        for (id, app) in &state.apps {
            let unchanged = self.apps.get(id) == Some(app);
            let entry = match self.doors.get(id.as_str()) {
                Some(entry) if unchanged => entry.clone(),
                before => Entry::reopened(app, edge, before),
            };
            doors.insert(id.as_str().into(), entry);
        }
        self.apps = state.apps.clone();
        self.doors = doors;
        self.set_retry();
    }

    /// Tries again what did not open.
    fn unlock(&mut self, edge: &EdgeKey) {
        for (id, app) in &self.apps {
            let locked = self.doors.get_mut(id.as_str()).filter(|entry| entry.fit == Fit::Locked);
            // What still does not was logged when it first did not.
            if let (Some(entry), Ok(door)) = (locked, Door::open(app, edge)) {
                info!(app = id.as_str(), "the secrets of app {id} open now; using them as they are");
                *entry = Entry::exact(door);
            }
        }
        self.set_retry();
    }

    fn set_retry(&mut self) {
        let locked = self.doors.values().any(|entry| entry.fit == Fit::Locked);
        self.retry = locked.then(|| Instant::now() + RETRY);
    }

    fn measure(&self, metrics: &Metrics) {
        let broken = self.doors.values().filter(|entry| entry.fit != Fit::Exact).count();
        metrics.apps.set(i64::try_from(self.doors.len()).unwrap_or(i64::MAX));
        metrics.apps_broken.set(i64::try_from(broken).unwrap_or(i64::MAX));
    }
}

impl Entry {
    fn exact(door: Door) -> Self {
        Self { behind: Behind::Door(Arc::new(door)), fit: Fit::Exact }
    }

    /// Of an app that has changed.
    fn reopened(app: &App, edge: &EdgeKey, before: Option<&Self>) -> Self {
        let id = app.id.as_str();
        let (cause, fit) = match Door::open(app, edge) {
            Ok(door) => {
                info!(app = id, "using the secrets of app {id} as they are now");
                return Self::exact(door);
            }
            Err(cause @ (DoorError::Locked(_) | DoorError::Random)) => (cause, Fit::Locked),
            Err(cause @ DoorError::Unusable { .. }) => (cause, Fit::Unusable),
        };
        let error = format!("{:#}", anyhow::Error::from(cause));
        match before {
            Some(Self { behind: Behind::Door(door), .. }) if fit == Fit::Locked => {
                error!(
                    app = id,
                    error,
                    "the secrets of app {id} were changed and do not open here; its deliveries are checked with the ones \
                     before until this process has the edge key that goes with the new ones"
                );
                Self { behind: Behind::Door(door.clone()), fit }
            }
            _ => {
                error!(
                    app = id,
                    error,
                    "the secrets of app {id} cannot be used; its deliveries are answered with 503 until that is put right"
                );
                Self { behind: Behind::Broken, fit }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use control::NewApp;
    use prometheus::Registry;
    use schemas::{Action, ControlRecord, SecretRole};
    use seal::RootKey;
    use secrecy::SecretString;

    use super::*;

    fn app(id: &str, secret: &str, token: &str, edge: &EdgeKey) -> App {
        let secrets = vec![(SecretRole::Current, SecretString::from(secret))];
        let verify_tokens = vec![SecretString::from(token)];
        NewApp { id: id.parse().unwrap(), verify_tokens, secrets }.seal(edge).unwrap()
    }

    struct Stage {
        edge: Arc<EdgeKey>,
        metrics: Arc<Metrics>,
        control: watch::Sender<Arc<ControlState>>,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                edge: Arc::new(RootKey::generate().unwrap().edge()),
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
            Doors::open(self.control.subscribe(), self.edge.clone(), self.metrics.clone())
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
        stage.act(Action::AppAdded(app("acme", "s", "first", &stage.edge)));
        assert_eq!(knows("acme", b"first"), Some(true));
        for wrong in [b"firs".as_slice(), b"first ", b"First", b"", &[b'f'; 100_000]] {
            assert_eq!(knows("acme", wrong), Some(false));
        }
        stage.act(Action::AppRotated(app("acme", "s", "second", &stage.edge)));
        assert_eq!((knows("acme", b"first"), knows("acme", b"second")), (Some(false), Some(true)));
        assert_eq!(stage.metrics.apps.get(), 1);
        stage.act(Action::AppRemoved { app: "acme".parse().unwrap() });
        assert!(doors.find("acme").is_none());
        assert_eq!(stage.metrics.apps.get(), 0);
    }

    #[test]
    fn an_unusable_app_is_refused_at_the_start_and_closed_later() {
        let stage = Stage::new();
        stage.act(Action::AppAdded(app("fine", "s", "t", &stage.edge)));
        let doors = stage.doors().unwrap();
        let other = RootKey::generate().unwrap().edge();
        for broken in [
            app("acme", "s", "t", &other),
            app("acme", "", "t", &stage.edge),
            app("acme", "s", "", &stage.edge),
            App { secrets: Vec::new(), ..app("acme", "s", "t", &stage.edge) },
        ] {
            stage.act(Action::AppAdded(broken));
            assert!(matches!(doors.find("acme"), Some(Behind::Broken)));
            assert!(matches!(doors.find("fine"), Some(Behind::Door(_))));
            assert_eq!(stage.metrics.apps_broken.get(), 1);
            let refusal = format!("{:#}", stage.doors().err().unwrap());
            assert!(refusal.contains("app acme"), "{refusal}");
        }
        stage.act(Action::AppRotated(app("acme", "s", "t", &stage.edge)));
        assert!(matches!(doors.find("acme"), Some(Behind::Door(_))));
        assert_eq!(stage.metrics.apps_broken.get(), 0);
    }

    #[test]
    fn what_does_not_open_yet_leaves_the_door_as_it_was_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let (root_file, edge_file) = (folder.path().join("root"), folder.path().join("edge"));
        let root = RootKey::load_or_create(&root_file).unwrap();
        root.edge().write(&edge_file).unwrap();
        let stage = Stage { edge: Arc::new(EdgeKey::load(&edge_file).unwrap()), ..Stage::new() };
        stage.act(Action::AppAdded(app("acme", "s", "first", &stage.edge)));
        let doors = stage.doors().unwrap();
        let knows = |token: &[u8]| match doors.find("acme") {
            Some(Behind::Door(door)) => door.knows(token),
            Some(Behind::Broken) | None => panic!("the door is gone"),
        };
        // The root is rotated and the app sealed anew; the edge key file is on its way.
        root.rotate().unwrap();
        stage.act(Action::AppRotated(app("acme", "s", "second", &root.edge())));
        assert_eq!((knows(b"first"), knows(b"second")), (true, false));
        assert_eq!(stage.metrics.apps_broken.get(), 1);
        // Whatever else happens in `control` changes nothing about it.
        stage.act(Action::AppAdded(app("other", "s", "t", &stage.edge)));
        assert_eq!((knows(b"first"), stage.metrics.apps_broken.get()), (true, 1));
        root.edge().write(&edge_file).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !knows(b"second") {
            assert!(Instant::now() < deadline, "the new edge key is never tried");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((knows(b"first"), stage.metrics.apps_broken.get()), (false, 0));
        // A door that never was has nothing to go on with, and nothing brings back what was removed.
        let foreign = RootKey::generate().unwrap().edge();
        stage.act(Action::AppRemoved { app: "acme".parse().unwrap() });
        assert!(doors.find("acme").is_none());
        stage.act(Action::AppAdded(app("acme", "s", "t", &foreign)));
        assert!(matches!(doors.find("acme"), Some(Behind::Broken)));
    }
}
