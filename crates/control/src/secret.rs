//! Apps' secrets on their way into `control`, sealed, and out of it, opened.

use schemas::{App, AppId, AppSecret, SecretRole};
use seal::{RootKey, SealError};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::ControlError;

/// An app as an operator gives it, in clear.
#[derive(Debug)]
pub struct NewApp {
    /// Its name.
    pub id: AppId,
    /// Its verify tokens.
    pub verify_tokens: Vec<SecretString>,
    /// Its secrets.
    pub secrets: Vec<(SecretRole, SecretString)>,
}

impl NewApp {
    /// Seals everything for `control`.
    pub fn seal(&self, root: &RootKey) -> Result<App, SealError> {
        let verify_tokens = self
            .verify_tokens
            .iter()
            .map(|token| root.seal(&token_context(&self.id), token.expose_secret().as_bytes()))
            .collect::<Result<_, _>>()?;
        let secrets = self
            .secrets
            .iter()
            .map(|(role, secret)| {
                let sealed =
                    root.seal(&secret_context(&self.id, *role), secret.expose_secret().as_bytes())?;
                Ok(AppSecret { role: *role, sealed })
            })
            .collect::<Result<_, SealError>>()?;
        Ok(App { id: self.id.clone(), verify_tokens, secrets })
    }
}

/// An app's secrets, opened: what ingest checks with.
#[derive(Debug)]
pub struct AppKeys {
    /// Any of these answers a handshake.
    pub verify_tokens: Vec<SecretSlice<u8>>,
    /// Any of these may have signed.
    pub secrets: Vec<(SecretRole, SecretSlice<u8>)>,
}

impl AppKeys {
    /// Opens what [`NewApp::seal`] sealed.
    pub fn open(app: &App, root: &RootKey) -> Result<Self, ControlError> {
        let failed = |cause| ControlError::Secrets { app: app.id.to_string(), cause };
        let verify_tokens = app
            .verify_tokens
            .iter()
            .map(|sealed| root.open(&token_context(&app.id), sealed))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let secrets = app
            .secrets
            .iter()
            .map(|secret| {
                Ok((secret.role, root.open(&secret_context(&app.id, secret.role), &secret.sealed)?))
            })
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(Self { verify_tokens, secrets })
    }
}

fn token_context(app: &AppId) -> String {
    format!("app/{app}/verify-token")
}

fn secret_context(app: &AppId, role: SecretRole) -> String {
    format!("app/{app}/secret/{}", role.as_str())
}
