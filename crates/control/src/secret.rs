//! Apps' secrets on their way into `control`, sealed, and out of it, opened.

use schemas::{App, AppId, AppSecret, SecretRole};
use seal::{EdgeKey, SealError};
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
    /// Seals everything for `control`: ingest opens it, and holds no more than the edge key.
    pub fn seal(&self, edge: &EdgeKey) -> Result<App, SealError> {
        let verify_tokens = self
            .verify_tokens
            .iter()
            .map(|token| edge.seal(&token_context(&self.id), token.expose_secret().as_bytes()))
            .collect::<Result<_, _>>()?;
        let secrets = self
            .secrets
            .iter()
            .map(|(role, secret)| {
                let sealed =
                    edge.seal(&secret_context(&self.id, *role), secret.expose_secret().as_bytes())?;
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
    pub fn open(app: &App, edge: &EdgeKey) -> Result<Self, ControlError> {
        let failed = |cause| ControlError::Secrets { app: app.id.to_string(), cause };
        let verify_tokens = app
            .verify_tokens
            .iter()
            .map(|sealed| edge.open(&token_context(&app.id), sealed))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let secrets = app
            .secrets
            .iter()
            .map(|secret| {
                Ok((secret.role, edge.open(&secret_context(&app.id, secret.role), &secret.sealed)?))
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

#[cfg(test)]
mod tests {
    use seal::RootKey;

    use super::*;

    fn app(edge: &EdgeKey) -> App {
        let secrets = vec![
            (SecretRole::Current, SecretString::from("one")),
            (SecretRole::Instagram, SecretString::from("two")),
        ];
        let verify_tokens = vec![SecretString::from("token")];
        NewApp { id: "acme".parse().expect("a name"), verify_tokens, secrets }
            .seal(edge)
            .expect("random bytes")
    }

    #[test]
    fn an_apps_secrets_open_with_the_edge_key_they_were_sealed_with_for_that_app_and_role() {
        let root = RootKey::generate().expect("random bytes");
        let edge = root.edge();
        let sealed = app(&edge);
        let keys = AppKeys::open(&sealed, &edge).expect("they open");
        let secrets: Vec<_> =
            keys.secrets.iter().map(|(role, secret)| (*role, secret.expose_secret())).collect();
        assert_eq!(secrets, [(SecretRole::Current, b"one".as_slice()), (SecretRole::Instagram, b"two")]);
        assert_eq!(keys.verify_tokens[0].expose_secret(), b"token");

        let other = RootKey::generate().expect("random bytes").edge();
        let renamed = App { id: "other".parse().expect("a name"), ..sealed.clone() };
        let mut swapped = sealed.clone();
        swapped.secrets[0].role = SecretRole::Next;
        for (app, edge) in [(&sealed, &other), (&renamed, &edge), (&swapped, &edge)] {
            let refusal = AppKeys::open(app, edge).expect_err("it must not open");
            assert!(!refusal.is_passing());
            let text = refusal.to_string();
            assert!(text.contains("--edge-key") && text.contains("--root-key"), "{text}");
        }
    }
}
