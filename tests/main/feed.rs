//! A tenant's feed, read with the tools its owner would use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::broker::Broker;
use crate::rig::{Up, delivery, whatsapp};

const MESSAGES: usize = 40;

/// Python with the packages of `tests/feed/requirements.txt`; `make setup` makes it.
pub(crate) fn python() -> PathBuf {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    let python = std::env::var_os("TIDINGS_PYTHON").map_or_else(|| PathBuf::from(made), PathBuf::from);
    assert!(python.exists(), "{} is missing: run `make setup`", python.display());
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_python_read_a_feed_as_cloudevents() {
    let broker = Broker::start().await;
    let up = Up::start(&["--kafka", &broker.address]).await;
    up.admin.app(up.folder()).await;
    for (tenant, number) in [("mine", "111"), ("other", "222")] {
        up.admin.cli(&["tenant", "add", tenant, "--name", tenant]).await;
        up.admin.cli(&["asset", "connect", tenant, "whatsapp", number]).await;
    }
    let entries = (0..2 * MESSAGES).map(|i| {
        let number = ["111", "222"][i % 2];
        whatsapp(
            number,
            &format!("155501000{:02}", i % 7),
            &format!("wamid.FEED{i}"),
            &format!("hello {i} · ñ שלום 🙏"),
        )
    });
    assert_eq!(up.post(delivery(entries.collect())).await, 200);
    up.messages("mine", MESSAGES).await;

    let feed = up.admin.lines(&["tenant", "list"]).await;
    let feed =
        feed.iter().find(|tenant| tenant["id"] == "mine").unwrap()["feed"].as_str().unwrap().to_owned();
    let listed = by_id(up.admin.lines(&["event", "list", "mine"]).await);
    assert_eq!(listed.len(), MESSAGES);

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/feed/read.py");
    let python =
        run(Command::new(python()).args([script, &broker.address, &feed, &MESSAGES.to_string()])).await;
    let python = by_id(python.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    assert_eq!(python.len(), MESSAGES);
    for (id, event) in &python {
        let listed = &listed[id];
        for name in ["type", "source", "subject", "datacontenttype", "tenant", "rawposition", "data"] {
            assert_eq!(event[name], listed[name], "{name} of {id}");
        }
        assert_eq!(event["tenant"], "mine");
        let at = |event: &Value| event["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert_eq!(at(event), at(listed));
        assert!(event["type"].as_str().unwrap().starts_with("org.tidings."), "{}", event["type"]);
    }

    let count = MESSAGES.to_string();
    let kcat = run(Command::new("kcat").args([
        "-C",
        "-q",
        "-b",
        &broker.address,
        "-t",
        &feed,
        "-o",
        "beginning",
        "-e",
        "-c",
        &count,
        "-f",
        "%h\n",
    ]))
    .await;
    let ids: BTreeMap<&str, ()> = kcat
        .lines()
        .map(|headers| {
            let value = |name: &str| {
                headers.split(',').find_map(|header| header.strip_prefix(name)).unwrap_or_default()
            };
            assert_eq!(value("ce_specversion="), "1.0", "{headers}");
            assert_eq!(value("content-type="), "application/json", "{headers}");
            assert_eq!(value("ce_tenant="), "mine", "{headers}");
            (value("ce_id="), ())
        })
        .collect();
    assert!(ids.keys().copied().eq(listed.keys().map(String::as_str)), "kcat reads the same events");
    println!("promise=feed-cloudevents kcat={} python={} listed={}", ids.len(), python.len(), listed.len());
    up.stop().await;
}

fn by_id(events: Vec<Value>) -> BTreeMap<String, Value> {
    events.into_iter().map(|event| (event["id"].as_str().unwrap().to_owned(), event)).collect()
}

async fn run(command: &mut Command) -> String {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.expect("the tool is installed");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}
