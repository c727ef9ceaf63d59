//! Whose a message is when that is not as it should be. `docs/bad-input.md` names the classes, which the tests here begin with.

use schemas::{Action, Event, TenantId};

use crate::bad_input::became;
use crate::content::texts;
use crate::stage::{RECEIVED_MS, Stage, body, entry, entry_at, eventually, ids};

/// 68: one delivery of Meta's limit, each update another tenant's.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tenants_in_one_body_get_their_own_each() {
    const TENANTS: usize = 1_000;
    let stage = Stage::new().await;
    for number in 0..TENANTS {
        stage.tenant(&format!("t{number}")).await;
        stage.connect(&format!("t{number}"), &format!("whatsapp:{}", 5_000 + number)).await;
    }
    let running = stage.router();
    let entries: Vec<String> =
        (0..TENANTS).map(|n| entry(&(5_000 + n).to_string(), "15550001", &format!("wamid.{n}"))).collect();
    stage.deliver(0, &body(&entries)).await;
    eventually("all routed", async || stage.written().await >= TENANTS as u64).await;
    let mut events = stage.sealed().await;
    events.sort_by_key(|(_, event)| event.raw.index);
    let tenants: Vec<String> = events.iter().map(|(_, event)| event.tenant.to_string()).collect();
    assert_eq!(tenants, (0..TENANTS).map(|number| format!("t{number}")).collect::<Vec<_>>());
    for number in [0, 1, 500, TENANTS - 1] {
        let feed = stage.feed(&format!("t{number}")).await;
        assert_eq!(feed.len(), 1);
        assert_eq!(texts(&feed[0].1), [format!("hello wamid.{number}")]);
    }
    assert!(stage.pointers().await.is_empty());
    running.end().await;
    stage.end().await;
}

/// 69, 71, 72: no event and no row, but a pointer that says whose it would be.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_may_have_now_is_parked() {
    let stage = Stage::new().await;
    for (tenant, asset) in [
        ("alpha", "whatsapp:111"),
        ("beta", "whatsapp:222"),
        ("gamma", "whatsapp:333"),
        ("delta", "whatsapp:444"),
    ] {
        stage.tenant(tenant).await;
        stage.connect(tenant, asset).await;
    }
    let id = |name: &str| name.parse::<TenantId>().unwrap();
    stage.act(Action::AssetDisconnected { tenant: id("beta"), asset: "whatsapp:222".parse().unwrap() }).await;
    stage.act(Action::TenantSuspended { tenant: id("gamma") }).await;
    stage.act(Action::TenantTerminated { tenant: id("delta"), purge_at_ms: i64::MAX }).await;
    let running = stage.router();
    // As the dashboard's test button sends them.
    let sample = r#"{"object":"instagram","entry":[{"id":"0","time":1700000000,"changes":[{"field":"messages","value":{"sender":{"id":"12334"},"recipient":{"id":"23245"},"timestamp":"1527459824","message":{"mid":"random_mid","text":"random_text"}}}]}]}"#;
    let whatsapp_sample =
        body(&[entry("123456123", "16315551181", "ABGGFlA5Fpa")]).replace(r#""id":"900""#, r#""id":"0""#);
    let one = |number: &str| body(&[entry(number, "15550001", &format!("wamid.{number}"))]);
    let cases = [
        (69, sample.to_owned(), "[0] parked instagram:0"),
        (69, whatsapp_sample, "[0] parked whatsapp:123456123 waba:0"),
        (71, one("999"), "[0] parked whatsapp:999 waba:900"),
        (72, one("222"), "[0] parked whatsapp:222 waba:900"),
        (72, one("333"), "[0] parked whatsapp:333 waba:900"),
        (72, one("444"), "[0] parked whatsapp:444 waba:900"),
        (0, one("111"), "0 message.received"),
    ];
    let mut raws = Vec::new();
    for (_, body, _) in &cases {
        raws.push(stage.deliver(0, body).await);
    }
    eventually("all behind it", async || stage.committed().await == cases.len() as u64).await;
    let (events, pointers) = (stage.events().await, stage.pointers().await);
    for ((class, body, expected), raw) in cases.iter().zip(raws) {
        assert_eq!(became(raw, &events, &pointers), *expected, "class {class}: {body}");
    }
    assert_eq!(running.metric("router_items_total", "parked"), 6.0);
    assert_eq!(stage.written().await, 1);
    for tenant in ["beta", "gamma", "delta"] {
        assert!(stage.feed(tenant).await.is_empty(), "{tenant}");
    }
    running.end().await;
    stage.end().await;
}

/// 73: by the connection at Meta's time. What happened while it was alpha's never comes to beta: not late, not again.
#[tokio::test(flavor = "multi_thread")]
async fn an_asset_that_moves_takes_nothing_of_before_along() {
    let stage = Stage::new().await;
    let id = |name: &str| name.parse::<TenantId>().unwrap();
    let asset = || "whatsapp:111".parse().unwrap();
    let hour = |hours: i64| RECEIVED_MS - hours * 3_600_000;
    stage.tenant("alpha").await;
    stage.tenant("beta").await;
    stage.act_at(hour(9), Action::AssetConnected { tenant: id("alpha"), asset: asset() }).await;
    let running = stage.router();
    let at =
        |name: &str, hours| entry_at("111", "15550001", &format!("wamid.{name}"), name, hour(hours) / 1_000);
    let first = stage.deliver(0, &body(&[at("before", 5)])).await;
    eventually("routed", async || stage.written().await == 1).await;
    stage.act_at(hour(4), Action::AssetDisconnected { tenant: id("alpha"), asset: asset() }).await;
    stage.deliver(0, &body(&[at("between", 3)])).await;
    eventually("parked", async || stage.pointers().await.len() == 1).await;
    stage.act_at(hour(2), Action::AssetConnected { tenant: id("beta"), asset: asset() }).await;
    // What nobody had comes to whoever has it now; what was written before the move and comes late does not.
    stage.deliver(0, &body(&[at("late", 6), at("after", 1)])).await;
    eventually("routed", async || ids(&stage.events().await).len() == 4).await;
    // And again, as when a hole is closed.
    stage.act(Action::HolesRerouted { raw: vec![first] }).await;
    eventually("routed again", async || stage.feed("alpha").await.len() == 3).await;
    let said = |feed: &[(u32, Event)]| -> Vec<String> {
        let mut said: Vec<String> =
            feed.iter().flat_map(|(_, event)| texts(event)).map(str::to_owned).collect();
        said.sort();
        said
    };
    let (alpha, beta) = (stage.feed("alpha").await, stage.feed("beta").await);
    assert_eq!(said(&alpha), ["before", "before", "late"]);
    assert_eq!(said(&beta), ["after", "between"]);
    assert_eq!(ids(&alpha).len(), 2, "again is the same");
    // One person at two organisations is two people.
    assert!(beta.iter().all(
        |(_, event)| event.subject != alpha[0].1.subject && event.conversation != alpha[0].1.conversation
    ));
    running.end().await;
    stage.end().await;
}

/// 74, 75: the first connection holds; of number and business account the number says whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_asset_that_two_name_is_the_first_ones_and_a_number_goes_before_its_account() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.tenant("beta").await;
    stage.connect("alpha", "whatsapp:111").await;
    stage.connect("alpha", "waba:900").await;
    // As it would be if two connects raced past the console, which refuses the second.
    stage.connect("beta", "whatsapp:111").await;
    stage.connect("beta", "waba:901").await;
    let running = stage.router();
    let under = |account: &str, number: &str| {
        entry(number, "15550001", &format!("wamid.{account}.{number}"))
            .replace(r#""id":"900""#, &format!(r#""id":"{account}""#))
    };
    let entries = [("900", "111"), ("901", "111"), ("900", "112"), ("901", "112")];
    stage.deliver(0, &body(&entries.map(|(account, number)| under(account, number)))).await;
    eventually("routed", async || stage.written().await == 4).await;
    let owner = |feed: Vec<(u32, Event)>| {
        let mut places: Vec<u32> = feed.iter().map(|(_, event)| event.raw.index).collect();
        places.sort_unstable();
        places
    };
    assert_eq!(owner(stage.feed("alpha").await), [0, 1, 2]);
    assert_eq!(owner(stage.feed("beta").await), [3]);
    running.end().await;
    stage.end().await;
}
