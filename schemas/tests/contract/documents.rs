//! The examples in `README.md` are what the code writes.

use std::path::Path;

use schemas::{Event, Kind, structured};

use crate::support::{about_file, events, headers};

/// One payload for each kind of Meta's, and which of its events is the example.
const EXAMPLES: [(&str, usize); 11] = [
    ("whatsapp/media", 0),
    ("messenger/echo", 0),
    ("messenger/edit", 0),
    ("instagram/echo_edit_unsend", 2),
    ("whatsapp/reaction", 0),
    ("whatsapp/statuses", 0),
    ("messenger/receipts", 2),
    ("messenger/receipts", 0),
    ("messenger/postback_and_referral", 0),
    ("messenger/postback_and_referral", 2),
    ("messenger/unrecognized", 0),
];

#[test]
fn examples_are_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shown: Vec<Event> = Vec::new();
    for (name, index) in EXAMPLES {
        let body = std::fs::read(folder.join("fixtures").join(name).with_extension("json")).unwrap();
        // Compact, as Meta sends it.
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        shown.push(events(body.to_string().as_bytes()).remove(index));
    }
    // What becomes of the first one's file.
    let last = shown.len() - 1;
    shown.splice(
        last..last,
        [Kind::AttachmentStored, Kind::AttachmentFailed].map(|kind| about_file(&shown[0], kind)),
    );
    assert_eq!(shown.iter().map(|event| event.kind).collect::<Vec<_>>(), Kind::ALL);
    let mut examples = String::new();
    for event in shown {
        let encoded = event.encode();
        let json = structured(headers(&encoded), &encoded.value).unwrap();
        let pretty: serde_json::Value = serde_json::from_str(&json).unwrap();
        let data = serde_json::to_string_pretty(&pretty["data"]).unwrap();
        examples.push_str(&format!("### `{}`\n\n```json\n{data}\n```\n\n", event.kind.as_str()));
    }

    let path = folder.join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("<!-- examples -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of examples -->").unwrap();
    let expected = format!("{before}<!-- examples -->\n{examples}<!-- end of examples -->{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    } else {
        assert!(
            readme == expected,
            "README.md has other examples than the code writes: BLESS=1 cargo test -p schemas"
        );
    }
}
