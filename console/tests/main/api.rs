//! Operating through the API: every route, its refusals, and what it leaves in `control`.

use std::time::Duration;

use eventlog::{Topic, TopicPartition};
use http_body_util::BodyExt;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::contract::Contract;
use crate::rig::{Rig, TOKEN};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_guarded_and_answers_as_described() {
    let rig = Rig::start().await;
    for operation in Contract::new().operations() {
        let (method, path) = operation.split_once(' ').unwrap();
        for token in [None, Some("wrong"), Some("")] {
            let response = rig.send(method, path, token, None).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{operation}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
        }
    }

    let app = rig
        .done("POST", "/v1/apps", Some(json!({"id": "main", "verify_token": "tok", "secret": "s3cret-one"})))
        .await;
    assert_eq!(
        app,
        json!({"id": "main", "path": "/webhooks/main", "secrets": ["current"], "verify_tokens": 1})
    );
    let app = rig.done("POST", "/v1/apps/main/rotate", Some(json!({"next_secret": "s3cret-two"}))).await;
    assert_eq!(app["secrets"], json!(["current", "next"]));
    let app = rig
        .done("POST", "/v1/apps/main/rotate", Some(json!({"promote": true, "verify_token": "tok2"})))
        .await;
    assert_eq!((&app["secrets"], &app["verify_tokens"]), (&json!(["current"]), &json!(2)));
    assert_eq!(rig.done("GET", "/v1/apps", None).await["items"], json!([app]));

    for tenant in ["acme", "other"] {
        let body = json!({"id": tenant, "name": "Acme Relief"});
        assert_eq!(rig.ask("POST", "/v1/tenants", Some(body)).await.0, StatusCode::CREATED);
    }
    let renamed = json!({"id": "acme", "name": "Acme"});
    assert_eq!(rig.ask("POST", "/v1/tenants", Some(renamed)).await.0, StatusCode::OK);
    let feed = Topic::new("inbox.acme").unwrap();
    assert_eq!(rig.log.partitions(&feed).await.unwrap(), Some(3));
    assert_eq!(rig.done("POST", "/v1/tenants/acme/suspend", None).await["state"], "suspended");
    assert_eq!(rig.done("POST", "/v1/tenants/acme/resume", None).await["state"], "active");

    let asset = rig.done("PUT", "/v1/tenants/acme/assets/whatsapp/111", None).await;
    assert_eq!(asset, json!({"tenant": "acme", "channel": "whatsapp", "id": "111", "asset": "whatsapp:111"}));
    assert_eq!(rig.done("GET", "/v1/assets?tenant=acme", None).await["items"], json!([asset]));
    assert_eq!(rig.done("GET", "/v1/assets?tenant=other", None).await["items"], json!([]));
    let tenants = rig.done("GET", "/v1/tenants", None).await;
    assert_eq!(tenants["items"][0]["name"], "Acme");
    assert_eq!(tenants["items"][0]["assets"], 1);
    let state = rig.done("GET", "/v1/tenants/acme/assets/whatsapp/111/state", None).await;
    assert_eq!(state["items"], json!([]), "Meta has said nothing of it");
    rig.done("DELETE", "/v1/tenants/acme/assets/whatsapp/111", None).await;

    let token = json!({"access_token": "EAAG4711"});
    let answer = rig.done("PUT", "/v1/tenants/acme/assets/whatsapp/111/token", Some(token)).await;
    assert!(!answer.to_string().contains("4711"));
    let feed = rig.done("PUT", "/v1/tenants/acme/feed", Some(json!({"format": "clear"}))).await;
    assert_eq!((&feed["feed"], &feed["format"]), (&json!("inbox.acme"), &json!("clear")));
    let ending = rig.done("POST", "/v1/tenants/other/terminate", Some(json!({"days": 3}))).await;
    assert_eq!(ending["state"], "terminated");
    assert!(ending["purge_at"].is_string());
    assert_eq!(rig.ask("POST", "/v1/tenants/other/suspend", None).await.0, StatusCode::CONFLICT);
    assert_eq!(rig.done("POST", "/v1/tenants/other/resume", None).await["state"], "active");

    let person = "/v1/tenants/acme/people/00000000000000000000000000000001";
    assert_eq!(rig.done("GET", "/v1/tenants/acme/people?value=1", None).await["items"], json!([]));
    for (what, body) in [
        ("erase", json!({})),
        ("correct", json!({"name": "x"})),
        ("restrict", json!({"restricted": true})),
        ("hold", json!({"days": 1})),
        ("merge", json!({"with": "00000000000000000000000000000002"})),
        ("split", json!({})),
    ] {
        assert_eq!(rig.ask("POST", &format!("{person}/{what}"), Some(body)).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(rig.ask("GET", &format!("{person}/export"), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.done("GET", "/v1/erasures", None).await["items"], json!([]));
    let nothing = "/v1/erasures/00000000000000000000000000000001";
    assert_eq!(rig.ask("GET", nothing, None).await.0, StatusCode::NOT_FOUND);
    let no_conversation = "/v1/tenants/acme/conversations/00000000000000000000000000000001/state";
    assert_eq!(rig.ask("GET", no_conversation, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask("GET", "/v1/tenants/acme/events/reparse", None).await.0, StatusCode::OK);
    let no_file = "/v1/tenants/acme/attachments/00000000000000000000000000000001";
    assert_eq!(rig.ask("GET", no_file, None).await.0, StatusCode::NOT_FOUND);

    assert!(!rig.done("GET", "/v1/retention", None).await["items"].as_array().unwrap().is_empty());
    rig.done("POST", "/v1/retention/sweep", Some(json!({"dry_run": true}))).await;
    let backup = rig.done("POST", "/v1/backups", Some(json!({}))).await;
    assert_eq!(rig.done("GET", "/v1/backups", None).await["items"], json!([backup]));
    let restore = format!("/v1/backups/{}/restore", backup["backup"].as_str().unwrap());
    assert_eq!(rig.done("POST", &restore, None).await["backup"], backup["backup"]);
    for level in ["data", "tenant", "root"] {
        let done = rig.done("POST", "/v1/keys/rotate", Some(json!({"level": level}))).await;
        assert_eq!(done["level"], level);
    }
    let wrong = rig.ask("POST", "/v1/keys/rotate", Some(json!({"level": "all"}))).await;
    assert_eq!(wrong.0, StatusCode::BAD_REQUEST);
    let (status, problem) = rig.ask("POST", "/v1/views/conversation/rebuild", Some(json!({}))).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(rig.done("POST", "/v1/replay", Some(json!({"all": true}))).await["replayed"], 0);

    assert_eq!(rig.done("GET", "/v1/tenants/acme/conversations", None).await["items"], json!([]));
    let nobody = "/v1/tenants/acme/conversations/00000000000000000000000000000000";
    assert_eq!(rig.ask("GET", nobody, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask("GET", &format!("{nobody}/messages"), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.done("GET", "/v1/tenants/acme/events", None).await, "");
    assert_eq!(rig.ask("GET", "/v1/tenants/nobody/events/follow", None).await.0, StatusCode::NOT_FOUND);

    assert_eq!(rig.done("GET", "/v1/quarantine", None).await["items"], json!([]));
    assert_eq!(rig.ask("GET", "/v1/quarantine/0:7", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.done("POST", "/v1/quarantine/redrive", Some(json!({"all": true}))).await["redriven"], 0);

    rig.done("GET", "/v1/audit", None).await;
    rig.done("GET", "/v1/tenants/acme/audit", None).await;
    assert_eq!(rig.done("GET", "/v1/audit/verify", None).await["ok"], true);
    assert_eq!(rig.done("GET", "/v1/affected?since=1970-01-01T00:00:00Z", None).await["items"], json!([]));
    let people = "/v1/tenants/acme/affected?since=1970-01-01T00:00:00Z";
    assert_eq!(rig.done("GET", people, None).await["items"], json!([]));
    assert_eq!(rig.done("GET", "/v1/verify", None).await["holes"], 0);
    let status = rig.done("GET", "/v1/status", None).await;
    assert_eq!((&status["ready"], &status["tenants"], &status["apps"]), (&json!(true), &json!(2), &json!(1)));
    rig.done("DELETE", "/v1/apps/main", None).await;

    assert_eq!(rig.never_asked(), Vec::<String>::new());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do_and_change_nothing() {
    let rig = Rig::start().await;
    rig.done("POST", "/v1/tenants", Some(json!({"id": "acme", "name": "Acme"}))).await;
    rig.done("POST", "/v1/tenants", Some(json!({"id": "other", "name": "Other"}))).await;
    rig.done("PUT", "/v1/tenants/acme/assets/messenger/222", None).await;
    rig.done("POST", "/v1/apps", Some(json!({"id": "main", "verify_token": "t", "secret": "s"}))).await;
    let before = rig.plane.state().position;

    let app = |secret: &str| Some(json!({"id": "second", "verify_token": "t", "secret": secret}));
    let refused: Vec<(&str, &str, Option<Value>, u16, &str)> = vec![
        (
            "PUT",
            "/v1/tenants/other/assets/messenger/222",
            None,
            409,
            "messenger:222 is connected to tenant acme",
        ),
        ("PUT", "/v1/tenants/nobody/assets/messenger/1", None, 404, "there is no tenant nobody"),
        ("PUT", "/v1/tenants/acme/assets/telegram/1", None, 400, "an asset is one of"),
        ("PUT", "/v1/tenants/acme/assets/messenger/a%20b", None, 400, "an asset id is"),
        ("DELETE", "/v1/tenants/other/assets/messenger/222", None, 404, "not connected to tenant other"),
        (
            "POST",
            "/v1/apps",
            Some(json!({"id": "main", "verify_token": "t", "secret": "s"})),
            409,
            "there is an app main",
        ),
        ("POST", "/v1/apps", app(""), 400, "1 to 512 bytes"),
        ("POST", "/v1/apps", app(&"x".repeat(513)), 400, "1 to 512 bytes"),
        (
            "POST",
            "/v1/apps",
            Some(json!({"id": "No", "verify_token": "t", "secret": "hush"})),
            422,
            "does not have the form",
        ),
        ("POST", "/v1/apps/main/rotate", Some(json!({"promote": true})), 409, "no next secret"),
        ("POST", "/v1/apps/nothing/rotate", Some(json!({})), 404, "there is no app nothing"),
        ("DELETE", "/v1/apps/nothing", None, 404, "there is no app nothing"),
        ("POST", "/v1/tenants", Some(json!({"id": "x", "name": "\u{7}"})), 400, "printable"),
        ("POST", "/v1/tenants", Some(json!({"id": "x/y", "name": "X"})), 422, "does not have the form"),
        ("POST", "/v1/tenants/nobody/suspend", None, 404, "there is no tenant nobody"),
        ("GET", "/v1/tenants/acme/conversations?limit=0", None, 400, "a page is"),
        ("GET", "/v1/tenants/acme/conversations?after=x", None, 400, "after"),
        ("GET", "/v1/tenants/acme/conversations/zz", None, 400, "conversation id"),
        ("POST", "/v1/quarantine/redrive", Some(json!({"ids": ["0:1"]})), 404, "0:1 is not in quarantine"),
        ("POST", "/v1/quarantine/redrive", Some(json!({})), 400, "either some `ids` or `all`"),
    ];
    for (method, path, body, status, words) in refused {
        let (got, problem) = rig.ask(method, path, body).await;
        assert_eq!(got.as_u16(), status, "{method} {path}: {problem}");
        assert!(problem["error"].as_str().unwrap().contains(words), "{method} {path}: {problem}");
        assert!(!problem["help"].as_str().unwrap().is_empty(), "{method} {path}");
        assert!(!problem.to_string().contains("hush"), "a body was quoted: {problem}");
    }
    assert_eq!(rig.plane.caught_up().await.unwrap().position, before, "a refusal wrote to control");

    // Outside /v1, and what is no route, in the same form.
    for (method, path, status) in [("GET", "/", 404), ("GET", "/v1/nothing", 404), ("PATCH", "/v1/apps", 405)]
    {
        let response = rig.send(method, path, Some(TOKEN), None).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(serde_json::from_slice::<Value>(&body).unwrap()["help"].is_string());
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_before_the_forgotten_are_forgotten_here() {
    let rig = Rig::start().await;
    // As before the ledger was gone through: the gate of the views is closed.
    let gate = rig.readiness.gate("console-views");
    let status = async |path: &str, token| rig.send("GET", path, token, None).await.status();
    for path in
        ["/v1/tenants", "/v1/tenants/acme/conversations", "/v1/tenants/acme/people?value=1", "/v1/erasures"]
    {
        assert_eq!(status(path, Some(TOKEN)).await, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(status(path, None).await, StatusCode::UNAUTHORIZED, "{path}: not even that is told");
    }
    assert_eq!(status("/v1/status", Some(TOKEN)).await, StatusCode::OK);
    gate.open();
    assert_eq!(status("/v1/tenants", Some(TOKEN)).await, StatusCode::OK);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ending_tenant_gets_nothing_new_and_an_ended_one_never_comes_back() {
    let rig = Rig::start().await;
    crate::views::tenant(&rig).await;
    let conflict = async |method: &str, path: &str, body: Option<serde_json::Value>| {
        let (status, answer) = rig.ask(method, &format!("/v1/tenants/acme/{path}"), body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{path}: {answer}");
    };
    let token = || Some(json!({"access_token": "EAAB"}));
    rig.done("POST", "/v1/tenants/acme/terminate", Some(json!({"days": 30}))).await;
    conflict("PUT", "assets/whatsapp/111", None).await;
    conflict("PUT", "assets/whatsapp/111/token", token()).await;
    rig.done("POST", "/v1/tenants/acme/resume", None).await;
    rig.done("PUT", "/v1/tenants/acme/assets/whatsapp/111", None).await;
    // Its time is over the moment it is said: whether its keys are gone already is chance.
    rig.done("POST", "/v1/tenants/acme/terminate", Some(json!({"days": 0}))).await;
    conflict("POST", "resume", None).await;
    conflict("PUT", "assets/whatsapp/111/token", token()).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_again_is_done_once() {
    let rig = Rig::start().await;
    let tenant = || Some(json!({"id": "acme", "name": "Acme"}));
    rig.done("POST", "/v1/tenants", tenant()).await;
    rig.done("PUT", "/v1/tenants/acme/assets/waba/9", None).await;
    rig.done("POST", "/v1/tenants/acme/suspend", None).await;
    let before = rig.plane.state().position;
    rig.done("POST", "/v1/tenants", tenant()).await;
    rig.done("PUT", "/v1/tenants/acme/assets/waba/9", None).await;
    rig.done("POST", "/v1/tenants/acme/suspend", None).await;
    assert_eq!(rig.plane.caught_up().await.unwrap().position, before);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_go_into_the_log_sealed_and_never_come_out() {
    let rig = Rig::start().await;
    let body = json!({"id": "main", "verify_token": "tok-4711", "secret": "hush-4711", "instagram_secret": "gram-4711"});
    let answer = rig.done("POST", "/v1/apps", Some(body)).await;
    assert!(!answer.to_string().contains("4711"));
    let control = TopicPartition::new(&Topic::new(rig.topics.control()).unwrap(), 0);
    let records = rig.log.reader(&control, 0).await.unwrap().next(10, Duration::from_secs(5)).await.unwrap();
    assert_eq!(records.len(), 1);
    let text = String::from_utf8(records[0].record.value.clone().unwrap().to_vec()).unwrap();
    assert!(text.contains("app_added") && !text.contains("4711"), "{text}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_and_the_document_are_in_the_open() {
    let rig = Rig::start().await;
    for (path, holds) in [
        ("/metrics", "console_requests_total"),
        ("/healthz", "alive"),
        ("/readyz", "ready"),
        ("/openapi.json", "\"/v1/verify\""),
    ] {
        let response = rig.send("GET", path, None, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(holds), "{path}");
    }
    rig.stop().await;
}
