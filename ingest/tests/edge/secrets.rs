//! Apps and their secrets change while the edge runs.

use schemas::{Action, SecretRole};

use crate::client::{delivery, request, status};
use crate::stage::{BODY, INSTAGRAM, NEXT, SECRET, Stage, acme};

#[tokio::test]
async fn a_rotation_takes_effect_with_the_next_request() {
    let stage = Stage::new().await;
    let check = async |secret: &str, expected: u16| {
        assert_eq!(status(stage.address, &delivery(secret, BODY)).await, expected, "{secret}");
    };
    let rotate = async |secrets: &[(SecretRole, &str)], token: &str| {
        stage.act(Action::AppRotated(acme(secrets, &[token]).seal(&stage.root).unwrap())).await;
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
async fn an_app_whose_secrets_do_not_open_is_503_and_the_others_go_on() {
    let stage = Stage::new().await;
    let foreign = seal::RootKey::generate().unwrap();
    for (secret, root) in [(SECRET, &foreign), ("", &*stage.root)] {
        let app = acme(&[(SecretRole::Current, secret)], &["token"]).seal(root).unwrap();
        stage.act(Action::AppRotated(app)).await;
        assert_eq!(status(stage.address, &delivery(secret, BODY)).await, 503);
        let other =
            crate::client::signed("/webhooks/other", &crate::client::sign(crate::stage::OTHER, BODY), BODY);
        assert_eq!(status(stage.address, &other).await, 200);
    }
    assert_eq!(stage.outcome("app_broken"), 2.0);
}
