//! Records of every version that was ever written, as they were written, and how they read today. `BLESS=1` adds files for
//! kinds and versions that have none, and writes anew how old ones read; the records themselves never change.

use std::collections::BTreeMap;

use schemas::{Event, Kind, SealedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents::{hold, pretty};
use crate::support::{examples, headers, here};

#[derive(Serialize, Deserialize)]
struct Golden {
    /// The record's headers, and its data in a feed.
    headers: BTreeMap<String, String>,
    value: Value,
    /// The type it has when it is written today, and its content.
    today: Today,
}

#[derive(Serialize, Deserialize)]
struct Today {
    #[serde(rename = "type")]
    kind: String,
    content: Value,
}

impl Golden {
    fn read(&self) -> Event {
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        Event::decode(header, self.value.to_string().as_bytes()).unwrap()
    }
}

fn today(event: &Event) -> Today {
    let encoded = event.encode();
    let data: Value = serde_json::from_slice(&encoded.value).unwrap();
    Today { kind: headers(&encoded)("ce_type").unwrap().to_owned(), content: data["content"].clone() }
}

#[test]
fn every_version_ever_written_is_read() {
    let examples = examples();
    for kind in Kind::ALL {
        for version in 1..=kind.version() {
            let path = here(&format!("golden/{}.v{version}.json", kind.as_str()));
            let mut golden: Golden = match std::fs::read_to_string(&path) {
                Ok(text) => serde_json::from_str(&text).unwrap(),
                Err(_) if version == kind.version() => {
                    let event = &examples[&kind];
                    let encoded = event.encode();
                    Golden {
                        headers: encoded.headers.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
                        value: serde_json::from_slice(&encoded.value).unwrap(),
                        today: today(event),
                    }
                }
                Err(error) => panic!("{}: {error}: a record of that version is missing", path.display()),
            };
            assert_eq!(golden.headers["ce_type"], format!("org.tidings.{}.v{version}", kind.as_str()));
            golden.today = today(&golden.read());
            hold(&path, &pretty(&serde_json::to_value(&golden).unwrap()));
        }
    }
}

#[test]
fn what_is_sealed_keeps_its_version_until_it_is_opened() {
    for kind in Kind::ALL {
        for version in 1..=kind.version() {
            let text =
                std::fs::read_to_string(here(&format!("golden/{}.v{version}.json", kind.as_str()))).unwrap();
            let golden: Golden = serde_json::from_str(&text).unwrap();
            let event = golden.read();
            // As it was sealed then: the content of that version, under that version's type.
            let mut sealed =
                event.seal(|_, bytes| Ok::<_, std::convert::Infallible>(bytes.to_vec())).unwrap();
            let mut content = golden.value["content"].clone();
            for beside in ["contact", "source"] {
                content.as_object_mut().unwrap().remove(beside);
            }
            sealed.content = content.to_string().into_bytes();
            sealed.version = version;
            let encoded = sealed.encode();
            assert_eq!(headers(&encoded)("ce_type"), golden.headers.get("ce_type").map(String::as_str));
            let again = SealedEvent::decode(headers(&encoded), &encoded.value).unwrap();
            assert_eq!(again, sealed);
            let opened = again.open(|_, bytes| Ok::<_, schemas::DecodeError>(bytes.to_vec())).unwrap();
            assert_eq!(opened, event, "{} version {version}", kind.as_str());
        }
    }
}
