//! What becomes of a signed body that is not as it should be. `docs/bad-input.md` names the classes, which the rows here begin
//! with.

use eventlog::{Header, Record};
use schemas::{Event, Outcome, Pointer, RawRef, raw_header};
use seal::{Context, DataKey};

use crate::stage::{RECEIVED_MS, Stage, body, entry, eventually, ids, sealed};

/// A delivery of whatever bytes, as ingest writes it.
fn delivery(key: &DataKey, body: &[u8]) -> Record {
    let value = key.cipher.seal(&Context::new("raw").part("app"), body).unwrap();
    Record { value: Some(value.into()), ..sealed(key, "app", "") }
}

/// What became of a delivery, in a line: its events by their place, then its pointers.
pub(crate) fn became(raw: RawRef, events: &[(u32, Event)], pointers: &[Pointer]) -> String {
    let of_it = events.iter().map(|(_, event)| event).filter(|event| event.raw.raw == raw);
    let mut events: Vec<(u32, &str)> = of_it.map(|event| (event.raw.index, event.kind.as_str())).collect();
    events.sort_unstable();
    let events = events.into_iter().map(|(index, kind)| format!("{index} {kind}"));
    let pointers = pointers.iter().filter(|pointer| pointer.raw == raw).map(|pointer| {
        let what = match &pointer.outcome {
            Outcome::Parked { assets } => {
                format!("parked {}", assets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            }
            Outcome::Quarantined { reason } => format!("quarantined {}", reason.as_str()),
            Outcome::Forgotten => "forgotten".to_owned(),
            Outcome::Empty => "empty".to_owned(),
        };
        format!("{:?} {what}", pointer.items)
    });
    events.chain(pointers).collect::<Vec<_>>().join(", ")
}

/// A class, a body, and what becomes of it.
type Case = (u8, Vec<u8>, &'static str);

/// Routes each body with a good one behind it, which nothing may happen to. Alpha has `messenger:222` and `whatsapp:111`.
async fn check(cases: &[Case]) {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    for asset in ["messenger:222", "whatsapp:111"] {
        stage.connect("alpha", asset).await;
    }
    let running = stage.router();
    let key = stage.root.edge().data_key().unwrap();
    let mut raws = Vec::new();
    for (number, (_, bytes, _)) in cases.iter().enumerate() {
        let bad = stage.put(0, delivery(&key, bytes)).await;
        let good = stage.deliver(0, &body(&[entry("111", "15550001", &format!("wamid.good{number}"))])).await;
        raws.push((bad, good));
    }
    eventually("all behind it", async || stage.committed().await == 2 * cases.len() as u64).await;
    let (events, pointers) = (stage.events().await, stage.pointers().await);
    for ((class, bytes, expected), (bad, good)) in cases.iter().zip(raws) {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(became(bad, &events, &pointers), *expected, "class {class}: {shown:.300}");
        assert_eq!(
            became(good, &events, &pointers),
            "0 message.received",
            "behind class {class}: {shown:.300}"
        );
    }
    running.end().await;
    stage.end().await;
}

/// A page's delivery with these elements of `messaging`.
fn page(elements: &str) -> String {
    format!(r#"{{"object":"page","entry":[{{"id":"222","time":1700000000000,"messaging":[{elements}]}}]}}"#)
}

/// One element: a message with this id, and its text as it is written.
fn said(mid: &str, text: &str) -> String {
    format!(
        r#"{{"sender":{{"id":"7001"}},"recipient":{{"id":"222"}},"timestamp":1700000000000,"message":{{"mid":"{mid}","text":{text}}}}}"#
    )
}

/// A page's delivery with one message, and this in the place of the page's id.
fn from_page(id: &str) -> String {
    page(&said("m_1", r#""x""#)).replace(r#""id":"222","time""#, &format!(r#"{id}"time""#))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_quarantined_whole() {
    let good = page(&said("m_1", r#""x""#));
    let with = |text: &str| good.replace(r#""text":"x""#, &format!(r#""text":{text}"#));
    let bytes = |text: &[u8]| {
        let (before, after) = good.split_once(r#"x"}"#).unwrap();
        [before.as_bytes(), text, br#""}"#, after.as_bytes()].concat()
    };
    let quarantined = |class: u8, bodies: Vec<Vec<u8>>| {
        bodies.into_iter().map(move |body| (class, body, "[] quarantined not_json"))
    };
    let texts = |bodies: &[&str]| bodies.iter().map(|body| body.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut cases = vec![(32, Vec::new(), "[] quarantined empty_body")];
    cases.extend(quarantined(
        37,
        texts(&["no", "<html><p>502</p></html>", "<?xml version=\"1.0\"?><a/>", " ", "\0"]),
    ));
    cases.extend(quarantined(
        38,
        texts(&["{", "[", "\"", "{\"object\":", &good[..good.len() - 1], &good[..good.len() / 2]]),
    ));
    cases.extend(quarantined(
        39,
        texts(&[&format!("{good}x"), &format!("{good}{good}"), &format!("{good}\0"), &format!("{good}]")]),
    ));
    cases.extend(quarantined(40, texts(&[&format!("\u{feff}{good}")])));
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Cut off, stray, overlong, a surrogate, beyond the last character.
    let broken = [b"\xff".as_slice(), b"\x80", b"\xc3", b"\xc0\xaf", b"\xed\xa0\xbd", b"\xf5\x80\x80\x80"];
    cases.extend(quarantined(41, broken.map(bytes).to_vec()));
    cases.extend(quarantined(41, vec![utf16]));
    cases.extend(quarantined(44, [b"\n".as_slice(), b"\t", b"\x01", b"\x1f", b"\0"].map(bytes).to_vec()));
    let written = [
        "NaN",
        "Infinity",
        "-Infinity",
        "'x'",
        "x",
        "undefined",
        "\"x\" /* y */",
        "\"x\" // y\n",
        "\"\\x41\"",
        "0x1f",
        "+1",
        ".5",
        "01",
    ];
    let written = written.map(|text| if text == "01" { (47, text) } else { (49, text) });
    cases.extend(
        written.into_iter().flat_map(|(class, text)| quarantined(class, vec![with(text).into_bytes()])),
    );
    cases.extend(quarantined(49, texts(&[&good.replace('"', "'"), &good.replace("}]}]}", "},]}]}")])));
    check(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_deeper_than_127_is_quarantined_whole() {
    // The value of `x` is at depth 6.
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 5), "]".repeat(depth - 5));
        page(&said("m_1", r#""x""#))
            .replace(r#""sender""#, &format!(r#""x":{open}1{close},"sender""#))
            .into_bytes()
    };
    let too_deep = "[] quarantined too_deep";
    check(&[
        (45, nested(127), "0 message.received"),
        (45, nested(128), too_deep),
        (45, nested(100_000), too_deep),
        (45, b"[".repeat(1_000_000), too_deep),
        (45, b"{\"a\":".repeat(600_000), too_deep),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_envelope_is_quarantined_whole() {
    let good = page(&said("m_1", r#""x""#));
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |class: u8, body: &str| cases.push((class, body.into(), "[] quarantined not_an_envelope"));
    // A name that says where everything goes stands twice, once in disguise.
    for name in [
        r#""object":"page""#,
        r#""obj\u0065ct":"page""#,
        r#""object":"instagram""#,
        r#""entry":[]"#,
        r#""\u0065ntry":[]"#,
    ] {
        add(46, &good.replacen('{', &format!("{{{name},"), 1));
        add(46, &format!("{},{name}}}", &good[..good.len() - 1]));
    }
    for top in ["[]", &format!("[{good}]"), "null", "0", "-1.5e3", "true", "\"page\"", "{}"] {
        add(48, top);
    }
    let entry = |value: &str| format!(r#"{{"object":"page","entry":{value}}}"#);
    for value in ["{}", r#"{"id":"222","messaging":[]}"#, "\"222\"", "222", "true"] {
        add(53, &entry(value));
    }
    for object in ["1", "null", "[]", "{}", "\"\""] {
        add(53, &good.replacen("\"page\"", object, 1));
    }
    check(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_id_is_none_is_quarantined_item_by_item() {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |class: u8, body: String, expected| cases.push((class, body.into_bytes(), expected));
    let no_asset = "[0] quarantined no_asset";
    for id in [r#""id":"222","id":"222","#, r#""id":"222","\u0069d":"333","#] {
        add(46, from_page(id), no_asset);
    }
    let numbers = body(&[entry("111", "15550001", "wamid.1")]);
    for twice in [
        r#""phone_number_id":"111","phone_number_id":"111""#,
        r#""phone_number_id":"111","phone_n\u0075mber_id":"112""#,
    ] {
        add(46, numbers.replace(r#""phone_number_id":"111""#, twice), no_asset);
    }
    for id in ["1e400", "1e2", "-0", "-222", "222.0", "true", "{}", "[\"222\"]"] {
        add(47, from_page(&format!(r#""id":{id},"#)), no_asset);
    }
    // As written, to the last digit, and nobody has connected it.
    add(47, from_page(r#""id":9223372036854775808,"#), "[0] parked messenger:9223372036854775808");
    add(47, from_page(r#""id":18446744073709551616,"#), "[0] parked messenger:18446744073709551616");
    add(47, from_page(r#""id":222,"#), "0 message.received");
    // Each entry of an object that nobody knows, whatever stands in it.
    let unknown =
        r#"{"object":"hologram","entry":[{"id":"222","changes":[]},{"id":"222","messaging":[{}]},7]}"#;
    add(51, unknown.to_owned(), "[0, 1, 2] quarantined no_asset");
    for id in
        ["", r#""id":"","#, r#""id":null,"#, r#""id":"22 2","#, r#""id":"222\u0000","#, r#""id":"../222","#]
    {
        add(54, from_page(id), no_asset);
    }
    add(54, from_page(&format!(r#""id":"{}","#, "2".repeat(65))), no_asset);
    add(54, from_page(&format!(r#""id":{},"#, "2".repeat(100_000))), no_asset);
    add(54, r#"{"object":"page","entry":[7,null,"222",[]]}"#.to_owned(), "[0, 1, 2, 3] quarantined no_asset");
    // An entry beside it is not touched.
    let two = page(&said("m_2", r#""x""#)).replace(r#""entry":["#, r#""entry":[{"messaging":[{}]},"#);
    add(54, two, "1 message.received, [0] quarantined no_asset");
    check(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_nothing_is_an_empty_delivery() {
    let entry = |rest: &str| format!(r#"{{"object":"page"{rest}}}"#).into_bytes();
    check(&[
        (52, entry(""), "[] empty"),
        (52, entry(r#","entry":null"#), "[] empty"),
        (52, entry(r#","entry":[]"#), "[] empty"),
        (52, entry(r#","entry":[{"id":"222","time":1}]"#), "[] empty"),
        (52, entry(r#","entry":[{"id":"222","messaging":[],"changes":null}]"#), "[] empty"),
        (51, br#"{"object":"hologram"}"#.to_vec(), "[] empty"),
    ])
    .await;
}

/// What can be told apart is one event each, however odd it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_inside_is_kept() {
    let text = |text: &str| page(&said("m_1", text)).into_bytes();
    let received = "0 message.received";
    let mut cases: Vec<Case> = vec![
        (42, text(r#""a\ud83d b""#), received),
        (42, text(r#""a\ude00 b""#), received),
        (42, text(r#""\ude00\ud83d""#), received),
        (42, text(r#""\ud83d\ud83d\ude00""#), received),
        (43, text(r#""a\u0000b""#), received),
        (43, text(r#""\u0000""#), received),
        (46, text(r#""first","text":"last""#), received),
        (46, text(r#""first","t\u0065xt":"last""#), received),
    ];
    // In a name that nobody asks for, too.
    for name in [r"\ud83d", r"\u0000"] {
        let named = page(&said("m_1", r#""x""#)).replace(r#""sender""#, &format!(r#""{name}":1,"sender""#));
        cases.push((43, named.into_bytes(), received));
    }
    let changes = |value: &str| {
        let changes = format!(r#"{{"field":"messages","value":{value}}}"#);
        let entry = format!(r#"{{"id":"222","time":1700000000,"changes":[{changes}]}}"#);
        format!(r#"{{"object":"page","entry":[{entry}]}}"#).into_bytes()
    };
    for value in ["null", "[]", "[1]", "\"x\"", "7", "true"] {
        cases.push((57, changes(value), "0 unrecognized"));
    }
    check(&cases).await;
}

/// 36: minutes and days later, and beside something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_the_same_event_whenever_it_comes() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    stage.connect("alpha", "messenger:222").await;
    let running = stage.router();
    let old = [
        body(&[entry("111", "15550001", "wamid.a")]),
        page(&said("m_1", r#""x""#)),
        // Without an id of its own, and of a kind that nobody knows.
        page(&said("m_1", r#""x""#).replace(r#""mid":"m_1","#, "")),
        page(r#"{"sender":{"id":"7001"},"recipient":{"id":"222"},"timestamp":1700000000000,"hologram":{}}"#),
    ];
    let minute = 60 * 1000;
    for after_ms in [0, minute, 8 * minute, 24 * 60 * minute, 7 * 24 * 60 * minute] {
        for body in &old {
            let mut record = stage.delivery(body);
            record.headers.retain(|header| header.name != raw_header::RECEIVED_AT);
            record.headers.push(Header::new(raw_header::RECEIVED_AT, (RECEIVED_MS + after_ms).to_string()));
            stage.put(0, record).await;
        }
    }
    stage
        .deliver(0, &body(&[entry("111", "15550001", "wamid.b"), entry("111", "15550001", "wamid.a")]))
        .await;
    eventually("all routed", async || stage.written().await == 22).await;
    assert_eq!(ids(&stage.events().await).len(), old.len() + 1);
    running.end().await;
    stage.end().await;
}
