//! One delivery of a thousand updates, three megabytes, three tenants, one of them not connected yet.

use crate::rig::{Up, delivery, whatsapp};

const UPDATES: usize = 1000;
const TENANTS: [(&str, &str); 3] = [("alpha", "111"), ("beta", "222"), ("gamma", "333")];

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_batch_is_split_and_a_late_asset_gets_its_share() {
    let up = Up::start(&[]).await;
    up.admin.app(up.folder()).await;
    for (tenant, number) in TENANTS {
        up.admin.cli(&["tenant", "add", tenant, "--name", tenant]).await;
        if tenant != "gamma" {
            up.admin.cli(&["asset", "connect", tenant, "whatsapp", number]).await;
        }
    }
    let entries = (0..UPDATES).map(|i| {
        let text = format!("update {i} {}", "x".repeat(2700));
        whatsapp(TENANTS[i % 3].1, &format!("1555200{i:04}"), &format!("wamid.BATCH{i}"), &text)
    });
    let body = delivery(entries.collect());
    let bytes = body.len();
    assert!((2_900_000..4_194_304).contains(&bytes), "{bytes} bytes");
    assert_eq!(up.post(body).await, 200);

    let equation = up.admin.settled(90).await;
    let expected = |nth: usize| (0..UPDATES).filter(|i| i % 3 == nth).count();
    assert_eq!(equation["items"], UPDATES, "{equation}");
    assert_eq!(equation["routed"], expected(0) + expected(1), "{equation}");
    assert_eq!(equation["unroutable"], expected(2), "{equation}");
    for (nth, (tenant, _)) in TENANTS.iter().enumerate().take(2) {
        check(&up, tenant, nth, expected(nth)).await;
    }

    up.admin.cli(&["asset", "connect", "gamma", "whatsapp", "333"]).await;
    check(&up, "gamma", 2, expected(2)).await;
    let equation = up.admin.settled(60).await;
    assert_eq!(equation["routed"], UPDATES, "{equation}");
    assert_eq!(equation["unroutable"], 0, "{equation}");
    assert_eq!(equation["projected"], UPDATES, "{equation}");
    assert_eq!(equation["holes"], 0, "{equation}");
    println!("promise=whole-batch updates={UPDATES} bytes={bytes} tenants=3 lost=0 connected_late=333");
    up.stop().await;
}

#[track_caller]
fn number(text: &str) -> usize {
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A tenant shows exactly its own updates. The list is enough for how many, some conversations for what.
async fn check(up: &Up, tenant: &str, nth: usize, count: usize) {
    let listed = crate::process::until(&format!("{count} conversations of {tenant}"), 60, async || {
        let listed = up.admin.lines(&["conversation", "list", tenant]).await;
        (listed.len() >= count).then_some(listed)
    })
    .await;
    assert_eq!(listed.len(), count, "{tenant}");
    assert!(listed.iter().all(|conversation| conversation["messages"] == 1), "{tenant}");
    for conversation in listed.iter().step_by(25) {
        let shown =
            up.admin.lines(&["conversation", "show", tenant, conversation["id"].as_str().unwrap()]).await;
        assert_eq!(number(shown[0]["text"].as_str().unwrap()) % 3, nth, "another tenant's message");
    }
}
