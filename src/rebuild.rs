//! The projector's rebuild, as the console asks for it.

use std::sync::Arc;

use console::wire::Rebuilt;
use console::{RebuildRefusal, Rebuilder};
use control::ControlPlane;
use eventlog::EventLog;
use projector::{RebuildConfig, RebuildParts};
use schemas::Topics;
use secrecy::SecretString;
use service::Clock;

/// Makes the conversation view of this database anew from this log.
pub(crate) fn rebuilder(
    views: SecretString,
    log: EventLog,
    topics: Topics,
    plane: ControlPlane,
    clock: Clock,
) -> Rebuilder {
    Rebuilder::new(move |dry_run| {
        let (plane, clock) = (plane.clone(), clock.clone());
        let ended = move || plane.state().ended(clock.now_ms()).cloned().collect();
        let parts = RebuildParts {
            views: views.clone(),
            log: log.clone(),
            topics: topics.clone(),
            ended: Arc::new(ended),
        };
        Box::pin(async move {
            let config = RebuildConfig { dry_run, ..RebuildConfig::default() };
            let done = projector::rebuild(&parts, &config, |_| {}).await.map_err(|cause| {
                if cause.is_passing() {
                    RebuildRefusal::Away(cause.into())
                } else {
                    RebuildRefusal::Conflict(format!("{:#}", anyhow::Error::from(cause)))
                }
            })?;
            Ok(Rebuilt {
                view: "conversation".to_owned(),
                read: done.read,
                unreadable: done.unreadable,
                rows: done.rows,
                differs: done.differs,
                resealed: done.resealed,
                switched: done.switched,
                seconds: done.seconds,
            })
        })
    })
}
