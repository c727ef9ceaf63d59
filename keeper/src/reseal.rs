//! What the root key has sealed outside the keyring: apps' secrets in `control`, and backups' keys.

use bytes::Bytes;
use control::{AppKeys, NewApp};
use eventlog::{Stored, Topic, TopicPartition};
use schemas::{Action, App, ControlRecord};
use seal::{EdgeKey, SealError};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::KeepError;
use crate::backup::{key_context, place};
use crate::keeper::{ACTOR, Keeper};
use crate::scan::read_range;

/// A sealed key is a line of text.
pub(crate) const KEY_BYTES: usize = 4_096;

impl Keeper {
    /// Seals the secrets of every app again whose are not sealed with the newest edge key.
    pub(crate) async fn reseal_apps(&self) -> Result<u64, KeepError> {
        let edge = self.root.edge();
        let newest = edge.key_ids().into_iter().next();
        let mut done = 0;
        for id in self.plane.state().apps.keys() {
            // As late as can be: an operator may be at it.
            let state = self.plane.caught_up().await?;
            let Some(app) = state.apps.get(id) else { continue };
            if texts(app).all(|text| seal::key_id(text) == newest.as_deref()) {
                continue;
            }
            self.reseal_app(&edge, app.clone(), state.position).await?;
            done += 1;
        }
        Ok(done)
    }

    /// Writes an app anew, as it was at this position. Of two that change it the other one is right.
    async fn reseal_app(&self, edge: &EdgeKey, app: App, position: u64) -> Result<(), KeepError> {
        let (mut app, mut position) = (app, position);
        loop {
            let again = sealed_again(edge, &app)?;
            let (_, offset) = self.plane.act(self.clock.now_ms(), ACTOR, Action::AppRotated(again)).await?;
            let at = TopicPartition::new(&Topic::new(self.topics.control())?, 0);
            let said = |stored: &Stored| {
                let value = stored.record.value.as_deref().unwrap_or_default();
                match serde_json::from_slice::<ControlRecord>(value).ok()?.action {
                    Action::AppAdded(other) | Action::AppRotated(other) if other.id == app.id => {
                        Some(Some(other))
                    }
                    Action::AppRemoved { app: removed } if removed == app.id => Some(None),
                    _ => None,
                }
            };
            let between = read_range(&self.log, &at, (position, offset), said).await?.pop();
            match between {
                None => return Ok(()),
                Some(None) => return Ok(self.act(Action::AppRemoved { app: app.id }).await?),
                Some(Some(other)) => (app, position) = (other, offset + 1),
            }
        }
    }

    /// Seals the key of every backup again whose is not sealed with the root key's newest generation.
    pub(crate) async fn reseal_backups(&self) -> Result<u64, KeepError> {
        let newest = self.root.key_ids().into_iter().next();
        let mut done = 0;
        for (id, _) in self.backup_ids().await? {
            let object = place(&id, "key");
            let Some(text) = self.small(&object, KEY_BYTES).await? else { continue };
            let text = std::str::from_utf8(&text).map_err(|_| SealError::Format)?;
            if seal::key_id(text) == newest.as_deref() {
                continue;
            }
            let context = key_context(&id);
            let key = self.root.open(&context, text)?;
            let again = self.root.seal(&context, key.expose_secret())?;
            self.blobs.put(&object, Bytes::from(again)).await?;
            done += 1;
        }
        Ok(done)
    }
}

/// Everything that is sealed in an app's record.
pub(crate) fn texts(app: &App) -> impl Iterator<Item = &str> {
    let tokens = app.verify_tokens.iter().map(String::as_str);
    tokens.chain(app.secrets.iter().map(|secret| secret.sealed.as_str()))
}

fn sealed_again(edge: &EdgeKey, app: &App) -> Result<App, KeepError> {
    let text = |bytes: &SecretSlice<u8>| {
        std::str::from_utf8(bytes.expose_secret()).map(SecretString::from).map_err(|_| SealError::Format)
    };
    let keys = AppKeys::open(app, edge)?;
    let verify_tokens = keys.verify_tokens.iter().map(text).collect::<Result<_, _>>()?;
    let secrets = keys
        .secrets
        .iter()
        .map(|(role, secret)| Ok((*role, text(secret)?)))
        .collect::<Result<_, SealError>>()?;
    Ok(NewApp { id: app.id.clone(), verify_tokens, secrets }.seal(edge)?)
}
