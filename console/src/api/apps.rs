//! Meta apps: who may deliver.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use control::{AppKeys, NewApp};
use schemas::{Action, App, AppId, ControlState, SecretRole};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::extract::{Given, Named};
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, AppAnswer, List, Removed, RotateApp};

/// Verify tokens and app secrets are short texts; anything longer is a mistake, such as the wrong file.
const MAX_SECRET_BYTES: usize = 512;

/// Lists the apps.
#[utoipa::path(get, path = "/v1/apps", tag = "apps", operation_id = "app_list",
    responses((status = 200, body = List<AppAnswer>), (status = 401, body = wire::Problem)))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<List<AppAnswer>> {
    Json(List { items: shared.plane.state().apps.values().map(answer).collect() })
}

/// Adds an app.
#[utoipa::path(post, path = "/v1/apps", tag = "apps", operation_id = "app_add", request_body = wire::NewApp,
    responses((status = 201, body = AppAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 409, body = wire::Problem), (status = 422, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Given(given): Given<wire::NewApp>,
) -> Result<(StatusCode, Json<AppAnswer>), Problem> {
    let state = shared.plane.caught_up().await?;
    if state.apps.contains_key(&given.id) {
        return Err(Problem::conflict(
            format!("there is an app {} already", given.id),
            format!(
                "`tidings app rotate {0}` changes its secrets; `tidings app remove {0}` removes it",
                given.id
            ),
        ));
    }
    let mut secrets = vec![(SecretRole::Current, given.secret)];
    secrets.extend(given.next_secret.map(|secret| (SecretRole::Next, secret)));
    secrets.extend(given.instagram_secret.map(|secret| (SecretRole::Instagram, secret)));
    let app = NewApp { id: given.id, verify_tokens: vec![given.verify_token], secrets };
    let state = shared.act(Action::AppAdded(seal(&shared, &app)?)).await?;
    Ok((StatusCode::CREATED, Json(shown(&state, &app.id)?)))
}

/// Replaces parts of an app's verify tokens and secrets; what is not given stays.
#[utoipa::path(post, path = "/v1/apps/{app}/rotate", tag = "apps", operation_id = "app_rotate", request_body = RotateApp,
    params(("app" = String, Path, description = "The app's name")),
    responses((status = 200, body = AppAnswer), (status = 400, body = wire::Problem), (status = 401, body = wire::Problem),
        (status = 404, body = wire::Problem), (status = 409, body = wire::Problem), (status = 422, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn rotate(
    State(shared): State<Shared>,
    Named(app): Named<AppId>,
    Given(change): Given<RotateApp>,
) -> Result<Json<AppAnswer>, Problem> {
    let state = shared.plane.caught_up().await?;
    let known = state.apps.get(&app).ok_or_else(|| no_such_app(&app))?;
    let rotated = rotated(&app, AppKeys::open(known, &shared.edge)?, change)?;
    let state = shared.act(Action::AppRotated(seal(&shared, &rotated)?)).await?;
    Ok(Json(shown(&state, &app)?))
}

/// Removes an app: what Meta delivers to it from here on is refused.
#[utoipa::path(delete, path = "/v1/apps/{app}", tag = "apps", operation_id = "app_remove",
    params(("app" = String, Path, description = "The app's name")),
    responses((status = 200, body = Removed), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn remove(
    State(shared): State<Shared>,
    Named(app): Named<AppId>,
) -> Result<Json<Removed>, Problem> {
    if !shared.plane.caught_up().await?.apps.contains_key(&app) {
        return Err(no_such_app(&app));
    }
    shared.act(Action::AppRemoved { app: app.clone() }).await?;
    Ok(Json(Removed { removed: format!("app {app}") }))
}

fn rotated(id: &AppId, keys: AppKeys, change: RotateApp) -> Result<NewApp, Problem> {
    let mut verify_tokens: Vec<SecretString> =
        keys.verify_tokens.into_iter().map(text).collect::<Result<_, _>>()?;
    let mut secrets: Vec<(SecretRole, SecretString)> = keys
        .secrets
        .into_iter()
        .map(|(role, secret)| Ok((role, text(secret)?)))
        .collect::<Result<_, Problem>>()?;
    if change.promote {
        if change.secret.is_some() {
            return Err(Problem::bad_request(
                "a new current secret and `promote` exclude each other",
                "either promote the next secret or give a current one",
            ));
        }
        let next = take(&mut secrets, SecretRole::Next).ok_or_else(|| {
            Problem::conflict(
                format!("app {id} has no next secret to promote"),
                "give it one first: `tidings app rotate APP --next-secret-file FILE`",
            )
        })?;
        put(&mut secrets, SecretRole::Current, next);
    }
    if let Some(token) = change.verify_token {
        // The one before stays valid, so that the change at Meta may come a little earlier or later.
        verify_tokens.truncate(1);
        verify_tokens.insert(0, token);
    }
    let given = [
        (SecretRole::Current, change.secret),
        (SecretRole::Next, change.next_secret),
        (SecretRole::Instagram, change.instagram_secret),
    ];
    for (role, secret) in given {
        if let Some(secret) = secret {
            put(&mut secrets, role, secret);
        }
    }
    Ok(NewApp { id: id.clone(), verify_tokens, secrets })
}

fn take(secrets: &mut Vec<(SecretRole, SecretString)>, role: SecretRole) -> Option<SecretString> {
    let at = secrets.iter().position(|(known, _)| *known == role)?;
    Some(secrets.remove(at).1)
}

fn put(secrets: &mut Vec<(SecretRole, SecretString)>, role: SecretRole, secret: SecretString) {
    take(secrets, role);
    secrets.push((role, secret));
    secrets.sort_by_key(|(role, _)| *role);
}

fn text(secret: SecretSlice<u8>) -> Result<SecretString, Problem> {
    String::from_utf8(secret.expose_secret().to_vec())
        .map(SecretString::from)
        .map_err(|_| Problem::conflict("a kept secret is not text", "remove the app and add it again"))
}

fn seal(shared: &Shared, app: &NewApp) -> Result<App, Problem> {
    let secrets = app.secrets.iter().map(|(_, secret)| secret);
    for secret in app.verify_tokens.iter().chain(secrets) {
        if !(1..=MAX_SECRET_BYTES).contains(&secret.expose_secret().len()) {
            return Err(Problem::bad_request(
                format!("a verify token or secret is 1 to {MAX_SECRET_BYTES} bytes long"),
                "give the value as Meta's app dashboard shows it",
            ));
        }
    }
    Ok(app.seal(&shared.edge)?)
}

fn shown(state: &ControlState, app: &AppId) -> Result<AppAnswer, Problem> {
    // Somebody else may have removed it in the meantime.
    state.apps.get(app).map(answer).ok_or_else(|| no_such_app(app))
}

fn answer(app: &App) -> AppAnswer {
    AppAnswer {
        id: app.id.clone(),
        path: format!("/webhooks/{}", app.id),
        secrets: app.secrets.iter().map(|secret| secret.role).collect(),
        verify_tokens: app.verify_tokens.len(),
    }
}

fn no_such_app(app: &AppId) -> Problem {
    Problem::not_found(format!("there is no app {app}"), "`tidings app list` shows the apps")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tokens: &[&str], secrets: &[(SecretRole, &str)]) -> AppKeys {
        let bytes = |text: &str| SecretSlice::from(text.as_bytes().to_vec());
        AppKeys {
            verify_tokens: tokens.iter().map(|token| bytes(token)).collect(),
            secrets: secrets.iter().map(|(role, secret)| (*role, bytes(secret))).collect(),
        }
    }

    #[track_caller]
    fn check(change: RotateApp, tokens: &[&str], secrets: &[(SecretRole, &str)]) {
        let before = keys(&["t2", "t1"], &[(SecretRole::Current, "c"), (SecretRole::Next, "n")]);
        let after = rotated(&"app".parse().unwrap(), before, change).unwrap();
        let got: Vec<&str> = after.verify_tokens.iter().map(|token| token.expose_secret()).collect();
        assert_eq!(got, tokens);
        let got: Vec<(SecretRole, &str)> =
            after.secrets.iter().map(|(role, secret)| (*role, secret.expose_secret())).collect();
        assert_eq!(got, secrets);
    }

    #[test]
    fn a_rotation_changes_what_is_given_and_nothing_else() {
        use SecretRole::{Current, Instagram, Next};
        let new = |text: &str| Some(SecretString::from(text));
        check(RotateApp::default(), &["t2", "t1"], &[(Current, "c"), (Next, "n")]);
        check(RotateApp { promote: true, ..RotateApp::default() }, &["t2", "t1"], &[(Current, "n")]);
        check(
            RotateApp { promote: true, next_secret: new("m"), ..RotateApp::default() },
            &["t2", "t1"],
            &[(Current, "n"), (Next, "m")],
        );
        check(
            RotateApp { verify_token: new("t3"), instagram_secret: new("i"), ..RotateApp::default() },
            &["t3", "t2"],
            &[(Current, "c"), (Next, "n"), (Instagram, "i")],
        );
    }

    #[test]
    fn there_has_to_be_something_to_promote() {
        let app = "app".parse().unwrap();
        let promote = || RotateApp { promote: true, ..RotateApp::default() };
        assert!(rotated(&app, keys(&["t"], &[(SecretRole::Current, "c")]), promote()).is_err());
        let both = RotateApp { secret: Some(SecretString::from("x")), ..promote() };
        assert!(rotated(&app, keys(&["t"], &[(SecretRole::Next, "n")]), both).is_err());
    }
}
