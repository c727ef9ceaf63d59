//! Apps and their secrets change while the edge runs.

use control::NewApp;
use schemas::{Action, SecretRole};
use seal::EdgeKey;

use crate::client::{delivery, request, sign, signed, status};
use crate::stage::{BODY, INSTAGRAM, NEXT, OTHER, SECRET, Stage, acme, until};

#[tokio::test]
async fn a_rotation_takes_effect_with_the_next_request() {
    let stage = Stage::new().await;
    let check = async |secret: &str, expected: u16| {
        assert_eq!(status(stage.address, &delivery(secret, BODY)).await, expected, "{secret}");
    };
    let rotate = async |secrets: &[(SecretRole, &str)], token: &str| {
        stage.act(Action::AppRotated(acme(secrets, &[token]).seal(&stage.key).unwrap())).await;
    };
    let greet = async |token: &str| {
        let line = format!("GET /webhooks/acme?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}");
        status(stage.address, &request(&line, &[], b"")).await
    };
    for secret in [SECRET, NEXT, INSTAGRAM] {
        check(secret, 200).await;
    }
    assert_eq!(greet("second").await, 200);
    // What was next is current now; the one before is no longer taken (class 28).
    rotate(&[(SecretRole::Current, NEXT), (SecretRole::Next, "after")], "fresh").await;
    check(SECRET, 401).await;
    check(INSTAGRAM, 401).await;
    check(NEXT, 200).await;
    check("after", 200).await;
    assert_eq!((greet("second").await, greet("fresh").await), (403, 200));
    rotate(&[(SecretRole::Current, "after")], "fresh").await;
    check(NEXT, 401).await;
    check("after", 200).await;
    stage.act(Action::AppRemoved { app: "acme".parse().unwrap() }).await;
    check("after", 404).await;
    assert_eq!(greet("fresh").await, 404);
}

#[tokio::test]
async fn an_app_whose_secrets_cannot_be_used_is_503_and_the_others_go_on() {
    let stage = Stage::new().await;
    let foreign = seal::RootKey::generate().unwrap().edge();
    let fresh = |secret: &str, key: &EdgeKey| {
        let app =
            NewApp { id: "fresh".parse().unwrap(), ..acme(&[(SecretRole::Current, secret)], &["token"]) };
        Action::AppAdded(app.seal(key).unwrap())
    };
    for (number, action) in [fresh(SECRET, &foreign), fresh("", &stage.key)].into_iter().enumerate() {
        stage.act(action).await;
        assert_eq!(status(stage.address, &signed("/webhooks/fresh", &sign(SECRET, BODY), BODY)).await, 503);
        let other = signed("/webhooks/other", &sign(OTHER, BODY), BODY);
        assert_eq!(status(stage.address, &other).await, 200);
        assert_eq!(stage.outcome("app_broken"), number as f64 + 1.0);
    }
    // An app that had secrets, and has none any more.
    let emptied = acme(&[(SecretRole::Current, "")], &["token"]).seal(&stage.key).unwrap();
    stage.act(Action::AppRotated(emptied)).await;
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 503);
}

/// The root key was rotated, and this process does not have the edge key that goes with it yet.
#[tokio::test]
async fn an_app_whose_new_secrets_do_not_open_goes_on_with_those_it_had() {
    let stage = Stage::new().await;
    let foreign = seal::RootKey::generate().unwrap().edge();
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    let rotated = acme(&[(SecretRole::Current, "after")], &["token"]);
    stage.act(Action::AppRotated(rotated.seal(&foreign).unwrap())).await;
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    assert_eq!(status(stage.address, &delivery("after", BODY)).await, 401);
    assert_eq!(stage.metric("ingest_apps_broken", None), 1.0);
    stage.act(Action::AppRotated(rotated.seal(&stage.key).unwrap())).await;
    assert_eq!(status(stage.address, &delivery("after", BODY)).await, 200);
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 401);
    assert_eq!(stage.metric("ingest_apps_broken", None), 0.0);
}

#[tokio::test]
async fn an_app_that_cannot_be_used_is_told_of_before_anybody_comes() {
    let stage = Stage::new().await;
    let foreign = seal::RootKey::generate().unwrap().edge();
    let app = acme(&[(SecretRole::Current, SECRET)], &["token"]);
    stage.act(Action::AppRotated(app.seal(&foreign).unwrap())).await;
    until("it is told of", || stage.metric("ingest_apps_broken", None) == 1.0).await;
}
