//! The projector's rebuild, as the console asks for it.

use std::sync::Arc;

use console::wire::Rebuilt;
use console::{RebuildRefusal, Rebuilder};
use control::ControlPlane;
use eventlog::EventLog;
use projector::{RebuildConfig, RebuildParts};
use schemas::{TenantState, Topics};
use secrecy::SecretString;

/// Makes the conversation view of this database anew from this log.
pub(crate) fn rebuilder(
    views: SecretString,
    log: EventLog,
    topics: Topics,
    plane: ControlPlane,
) -> Rebuilder {
    Rebuilder::new(move |dry_run| {
        let plane = plane.clone();
        let ended = move || {
            let state = plane.state();
            let gone = state.tenants.iter().filter(|(_, tenant)| tenant.state == TenantState::Purged);
            gone.map(|(tenant, _)| tenant.clone()).collect()
        };
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
