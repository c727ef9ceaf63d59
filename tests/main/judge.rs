//! Reading through the command line what is shown, and the sentence on it.

use std::sync::Arc;

use futures::StreamExt;
use sandbox::{Ledger, Shown, ShownConversation, ShownMessage, Verdict, World};
use serde_json::Value;

use crate::plan::Plan;
use crate::rig::Admin;

/// How many commands run at a time.
const AT_A_TIME: usize = 4;

/// Everything that is shown.
pub(crate) async fn shown(admin: &Admin, world: &World) -> Shown {
    let mut shown = Shown::default();
    for organisation in world.organisations() {
        let tenant = organisation.tenant.as_str();
        let listed = admin.lines(&["conversation", "list", tenant]).await;
        let all = futures::stream::iter(listed)
            .map(async |line| {
                let mut one = ShownConversation::from_json(&line)
                    .unwrap_or_else(|| panic!("not a conversation: {line}"));
                let messages =
                    admin.lines(&["conversation", "show", tenant, line["id"].as_str().unwrap()]).await;
                let read = |line: &Value| {
                    ShownMessage::from_json(line).unwrap_or_else(|| panic!("not a message: {line}"))
                };
                one.messages = messages.iter().map(read).collect();
                one
            })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        shown.tenants.insert(tenant.to_owned(), all);
    }
    shown
}

/// Waits until all is settled, compares, prints the line of the promise, and insists.
pub(crate) async fn judge(
    promise: &str,
    plan: Plan,
    admin: &Admin,
    ledger: &Arc<Ledger>,
    world: &World,
    kills: &str,
) {
    let equation = admin.settled(300).await;
    let verdict: Verdict = ledger.compare(&shown(admin, world).await);
    let count = |name: &str| equation[name].as_u64().unwrap_or_else(|| panic!("{name} in {equation}"));
    println!(
        "promise={promise} seed={} {verdict} {kills} received={} items={} routed={} unroutable={} quarantined={} projected={} pending={} holes={}",
        plan.seed,
        count("received"),
        count("items"),
        count("routed"),
        count("unroutable"),
        count("quarantined"),
        count("projected"),
        count("pending"),
        count("holes"),
    );
    if !verdict.is_good() || count("holes") + count("pending") > 0 {
        let path =
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{promise}-{}.jsonl", plan.seed));
        ledger.write(std::io::BufWriter::new(std::fs::File::create(&path).unwrap())).unwrap();
        println!("the ledger is in {}", path.display());
    }
    assert_eq!(count("holes"), 0, "{equation}");
    assert_eq!(count("pending"), 0, "{equation}");
    assert_eq!(count("items"), count("routed") + count("unroutable") + count("quarantined"), "{equation}");
    assert_eq!(count("routed"), count("projected"), "{equation}");
    assert_eq!(verdict.sent, verdict.acknowledged);
    assert!(verdict.is_good(), "{verdict}\n{}", verdict.findings.join("\n"));
    assert!(verdict.joined > 0, "nobody was called by different names: {verdict}");
    let audit = admin.lines(&["audit", "verify"]).await;
    assert_eq!(audit[0]["ok"], true, "{audit:?}");
}
