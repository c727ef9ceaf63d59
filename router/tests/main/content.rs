//! What people write, whatever somebody may take it for. `docs/bad-input.md` names the classes, which the rows here begin with.

use eventlog::Record;
use schemas::{Content, Event};
use serde_json::{Value, json};

use crate::stage::{Stage, body, eventually};

/// The text of a message, if it has one.
pub(crate) fn texts(event: &Event) -> Vec<&str> {
    let Content::Message(content) = &event.content else { return Vec::new() };
    content.text.iter().map(String::as_str).collect()
}

/// Texts that somebody may take for something else than a text.
fn inert() -> Vec<(u8, String)> {
    let mut texts = vec![
        (82, "x".repeat(64 * 1024)),
        (82, "👨‍👩‍👧‍👦".repeat(500)),
        (82, "photo\u{202e}gnp.exe \u{2066}\u{2067}".to_owned()),
        (82, format!("z{}", "\u{0337}\u{0353}".repeat(200))),
        (82, "\u{200b}\u{200d}\u{2060}\u{feff}\u{00ad}".to_owned()),
        (82, "e\u{301} é \u{1f3f4}\u{e0067}\u{e007f} \u{fdd0} \u{10ffff}".to_owned()),
    ];
    let lines =
        |class: u8, lines: &[&str]| lines.iter().map(|line| (class, (*line).to_owned())).collect::<Vec<_>>();
    texts.extend(lines(
        83,
        &[
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "</title><svg onload=alert(1)>",
            "javascript:alert(1)",
            "=cmd|' /C calc'!A0",
            "+1-2",
            "-2+3",
            "@SUM(1+1)",
            "\t=1",
            "a,\"b\"\"c\",d",
        ],
    ));
    texts.extend(lines(
        84,
        &[
            "'; DROP TABLE message; --",
            "\\'; SELECT pg_sleep(9) --",
            "*)(uid=*))(|(uid=*",
            "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> %s%n%x",
            "${jndi:ldap://127.0.0.1/a}",
            "hello\r\n2026-01-01T00:00:00Z ERROR made up",
            "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m",
            "$(reboot) `reboot` ; reboot | reboot & reboot",
            "../../../../etc/passwd",
            "tidings.tenant=beta",
            "\"},\"tenant\":\"beta\",{\"",
        ],
    ));
    texts.extend(lines(
        85,
        &["4111 1111 1111 1111 12/29 123", "378282246310005", "078-05-1120", "GB82 WEST 1234 5698 7654 32"],
    ));
    texts
}

/// As text, name and user name: read as they were written, and in clear nowhere but in the feed.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_passed_on_as_it_is_and_sealed_like_any_text() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.tenant("beta").await;
    stage.connect("alpha", "whatsapp:111").await;
    let running = stage.router();
    let texts_sent = inert();
    for (number, (_, text)) in texts_sent.iter().enumerate() {
        let person = format!("1555300{number:04}");
        let value = json!({
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": "1", "phone_number_id": "111" },
            "contacts": [{ "profile": { "name": text, "username": text }, "wa_id": person }],
            "messages": [{ "from": person, "id": format!("wamid.{number}"), "timestamp": "1700000000", "type": "text",
                "text": { "body": text } }],
        });
        let entry = json!({ "id": "900", "changes": [{ "field": "messages", "value": value }] });
        stage.deliver(0, &body(&[entry.to_string()])).await;
    }
    eventually("all routed", async || stage.written().await == texts_sent.len() as u64).await;
    let mut feed = stage.feed("alpha").await;
    feed.sort_by_key(|(_, event)| event.raw.raw.offset);
    for ((class, text), (_, event)) in texts_sent.iter().zip(&feed) {
        assert_eq!(texts(event), [text], "class {class}");
        let contact = event.contact.as_ref().unwrap();
        assert_eq!(
            (contact.name.as_ref(), contact.username.as_ref()),
            (Some(text), Some(text)),
            "class {class}"
        );
        let source: Value = serde_json::from_str(event.source.as_str()).unwrap();
        assert_eq!(source["text"]["body"], text.as_str(), "class {class}");
        assert_eq!(event.tenant.as_str(), "alpha");
    }
    assert!(stage.feed("beta").await.is_empty());
    let holds = |records: &[(u32, Record)], text: &str| {
        let json = serde_json::to_string(text).unwrap();
        let forms = [text.as_bytes(), json.trim_matches('"').as_bytes()];
        records.iter().any(|(_, record)| {
            let headers = record.headers.iter().map(|header| header.value.as_ref());
            let parts = [&record.key, &record.value].into_iter().flatten().map(AsRef::as_ref).chain(headers);
            parts.into_iter().any(|part: &[u8]| {
                forms.iter().any(|form| part.windows(form.len()).any(|window| window == *form))
            })
        })
    };
    let feed = stage.records(stage.topics.inbox(&"alpha".parse().unwrap())).await;
    let at_rest = [stage.topics.raw(), stage.topics.events(), stage.topics.quarantine()];
    for topic in at_rest {
        let records = stage.records(topic.clone()).await;
        // The shortest stand somewhere by chance.
        for (class, text) in texts_sent.iter().filter(|(_, text)| text.len() > 6) {
            assert!(holds(&feed, text), "class {class}: this would find it");
            assert!(!holds(&records, text), "class {class} in {topic}");
        }
    }
    println!("promise=inert-content texts={} changed=0 in_clear=0", texts_sent.len());
    running.end().await;
    stage.end().await;
}
