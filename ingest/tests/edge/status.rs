//! The status page of a data deletion: what it says, and to whom it says nothing.

use schemas::{Action, ErasureId, ErasureReason, Receipt, SubjectId, TenantId};

use crate::callbacks::{callback, signed_request};
use crate::client::{Answer, exchange, request};
use crate::stage::{SECRET, Stage};

const PAYLOAD: &str = r#"{"algorithm":"HMAC-SHA256","issued_at":1780000000,"user_id":"10150000000000001"}"#;

impl Stage {
    async fn page(&self, code: &str, accept: &str) -> Answer {
        let bytes =
            request(&format!("GET /callbacks/meta/status/{code}"), &[format!("Accept: {accept}")], b"");
        let mut answers = exchange(self.address, &bytes).await;
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        for header in [
            "cache-control: no-store\r\n",
            "x-content-type-options: nosniff\r\n",
            "x-robots-tag: noindex\r\n",
            "referrer-policy: no-referrer\r\n",
            "content-security-policy: default-src 'none'; style-src 'sha256-",
        ] {
            assert!(answer.head.contains(header), "{}", answer.head);
        }
        for personal in ["10150000000000001", "alpha", &"03".repeat(16)] {
            assert!(!answer.body.contains(personal), "{}", answer.body);
        }
        answer
    }
}

#[tokio::test]
async fn it_says_how_far_the_deletion_is() {
    let stage = Stage::new().await;
    let code = stage.confirmed(&callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD))).await;
    let check = async |state: &str, title: &str| {
        let page = stage.page(&code, "text/html,application/xhtml+xml,*/*;q=0.8").await;
        assert_eq!(page.status, 200);
        assert!(page.head.contains("content-type: text/html; charset=utf-8\r\n"), "{}", page.head);
        assert!(page.body.contains(&format!("<h2>{title}</h2>")), "{}", page.body);
        assert!(page.body.contains(&code) && page.body.contains("noindex"), "{}", page.body);
        for outside in ["http:", "https:", "src=", "href=", "<script"] {
            assert!(!page.body.contains(outside), "{outside}");
        }
        let json = stage.page(&code, "application/json").await;
        assert_eq!(json.status, 200);
        assert!(json.head.contains("content-type: application/json\r\n"), "{}", json.head);
        let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!((json["state"].as_str(), json["confirmation_code"].as_str()), (Some(state), Some(&*code)));
        assert_eq!(json["received_at"].as_str().unwrap().len(), "2026-07-14".len());
        assert_eq!(json["done_at"].is_string(), state == "done");
        assert_eq!(stage.metric("ingest_callback_status_total", Some(state)), 2.0);
    };
    check("received", "Received").await;

    let (tenant, subject): (TenantId, _) = ("alpha".parse().unwrap(), SubjectId::from_bytes([3; 16]));
    let erasure = ErasureId::from_bytes([9; 16]);
    let reason = ErasureReason::Meta;
    stage.act(Action::ErasureRequested { erasure, tenant: tenant.clone(), subject, reason }).await;
    stage.act(Action::CallbackAnswered { code: code.clone(), erasures: vec![erasure] }).await;
    check("in_progress", "In progress").await;
    let until_ms = Some(i64::MAX);
    stage.act(Action::SubjectHeld { tenant: tenant.clone(), subject, until_ms }).await;
    check("on_hold", "On hold").await;
    stage.act(Action::SubjectHeld { tenant: tenant.clone(), subject, until_ms: None }).await;
    stage.act(Action::SubjectErased { erasure, tenant, subject, receipt: Receipt::default() }).await;
    check("done", "Done").await;

    let another = signed_request(SECRET, &PAYLOAD.replace("1780000000", "1780000001"));
    let code = stage.confirmed(&callback("acme/data-deletion", &another)).await;
    stage.act(Action::CallbackAnswered { code: code.clone(), erasures: Vec::new() }).await;
    let page = stage.page(&code, "text/html").await;
    assert!(page.status == 200 && page.body.contains("<h2>Nothing found</h2>"), "{}", page.body);
}

#[tokio::test]
async fn an_unknown_code_is_404_and_says_what_to_do() {
    let stage = Stage::new().await;
    let unknown = "0".repeat(32);
    let codes = [&*unknown, "x", "data-deletion", "%3Cscript%3E", "..%2f..", &"a".repeat(5000)];
    for code in codes {
        let page = stage.page(code, "text/html").await;
        assert_eq!(page.status, 404);
        assert!(page.body.contains("Look whether the address is complete"), "{}", page.body);
        assert!(code == "x" || !page.body.contains(code), "{code}");
        let json = stage.page(code, "application/json").await;
        let body: serde_json::Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!((json.status, body["state"].as_str()), (404, Some("unknown")));
    }
    assert_eq!(stage.metric("ingest_callback_status_total", Some("unknown")), 2.0 * codes.len() as f64);
    let post =
        exchange(stage.address, &request(&format!("POST /callbacks/meta/status/{unknown}"), &[], b"x")).await;
    assert_eq!(post[0].status, 405);
    assert!(post[0].head.contains("allow: get\r\n"), "{}", post[0].head);
    let deeper =
        exchange(stage.address, &request(&format!("GET /callbacks/meta/status/{unknown}/x"), &[], b"")).await;
    assert_eq!(deeper[0].status, 404);
}
