//! What a routed item is appended as: pure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use eventlog::{Header, MAX_RECORD_BYTES, Record, Topic, TopicPartition};
use schemas::{Encoded, EventContext, Item, Outcome, Pointer, Reason};

/// A topic to append to.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    pub(crate) topic: Topic,
    pub(crate) partitions: u32,
}

/// An item as its event: the record, and its places in `events` and in the tenant's feed. An item that cannot be written,
/// because it breaks our code or is larger than the log takes, is set aside alone.
pub(crate) fn write(
    item: Item<'_>,
    context: &EventContext<'_>,
    events: &Outlet,
    feed: &Outlet,
) -> Result<(Record, [TopicPartition; 2]), Reason> {
    let write = || {
        let event = item.into_event(context);
        let places = [events, feed]
            .map(|outlet| TopicPartition::new(&outlet.topic, event.partition(outlet.partitions)));
        (record(event.encode()), places)
    };
    let (record, places) = catch_unwind(AssertUnwindSafe(write)).map_err(|_| Reason::Crashed)?;
    if record.size_bytes() > MAX_RECORD_BYTES { Err(Reason::TooLarge) } else { Ok((record, places)) }
}

fn record(encoded: Encoded) -> Record {
    let headers = encoded.headers.into_iter().map(|(name, value)| Header::new(name, value)).collect();
    Record { key: Some(encoded.key), value: Some(encoded.value), headers }
}

/// A pointer as its record.
pub(crate) fn pointer_record(pointer: &Pointer) -> Record {
    let what = match &pointer.outcome {
        Outcome::Parked { assets } => assets.first().map_or_else(|| "parked".to_owned(), ToString::to_string),
        Outcome::Quarantined { reason } => reason.as_str().to_owned(),
        Outcome::Empty => "empty".to_owned(),
    };
    let value = serde_json::to_vec(pointer).expect("a pointer is plain data");
    Record {
        key: Some(Bytes::from(format!("{}/{what}", pointer.raw))),
        value: Some(value.into()),
        headers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use schemas::{IdKey, RawPosition, RawRef, TenantId, split};

    use super::*;

    fn body(text: &str) -> String {
        let message = |id: &str, text: &str| {
            format!(
                r#"{{"sender":{{"id":"77"}},"recipient":{{"id":"1"}},"timestamp":1700000000000,"message":{{"mid":"{id}","text":"{text}"}}}}"#
            )
        };
        let messages = [message("m1", "hi"), message("m2", text)].join(",");
        format!(r#"{{"object":"page","entry":[{{"id":"1","time":1700000000000,"messaging":[{messages}]}}]}}"#)
    }

    fn outlet(name: &str, partitions: u32) -> Outlet {
        Outlet { topic: Topic::new(name).unwrap(), partitions }
    }

    /// A record, its raw position and its places; or why there is none.
    type Written = Result<(Record, String, [TopicPartition; 2]), Reason>;

    /// What each item of the body becomes.
    fn written(body: &str, key: u8) -> Vec<Written> {
        let tenant: TenantId = "a".parse().unwrap();
        let asset = "messenger:1".parse().unwrap();
        let items = split(body.as_bytes()).unwrap().items;
        let count = u32::try_from(items.len()).unwrap();
        let write = |item: Item<'_>| {
            let context = EventContext {
                tenant: &tenant,
                asset: &asset,
                id_key: &IdKey::new(&[key; 32]),
                subject: None,
                received_ms: 1_700_000_000_500,
                raw: RawPosition { raw: RawRef { partition: 2, offset: 9 }, index: item.index(), count },
            };
            let (record, places) = write(item, &context, &outlet("events", 6), &outlet("inbox.a", 3))?;
            let position = record.header_str("ce_rawposition").unwrap().to_owned();
            Ok((record, position, places))
        };
        items.into_iter().map(write).collect()
    }

    #[test]
    fn an_item_is_one_record_for_two_places_and_the_same_each_time() {
        let first = written(&body("there"), 1);
        let positions: Vec<&str> = first.iter().map(|written| written.as_ref().unwrap().1.as_str()).collect();
        assert_eq!(positions, ["2:9:0/2", "2:9:1/2"]);
        for written in &first {
            let (_, _, [event, feed]) = written.as_ref().unwrap();
            assert_eq!((event.topic.as_str(), feed.topic.as_str()), ("events", "inbox.a"));
            assert!(event.partition < 6 && feed.partition < 3);
        }
        assert_eq!(first, written(&body("there"), 1), "written again, it is the same");
        let keys = |written: Vec<Result<(Record, String, _), Reason>>| -> Vec<_> {
            written.into_iter().map(|written| written.unwrap().0.key.unwrap()).collect()
        };
        assert_ne!(keys(first), keys(written(&body("there"), 2)), "another tenant's key gives other ids");
    }

    #[test]
    fn an_item_larger_than_the_log_takes_is_set_aside_alone() {
        let found = written(&body(&"x".repeat(4 * 1024 * 1024)), 1);
        assert!(found[0].is_ok());
        assert_eq!(found[1].as_ref().err(), Some(&Reason::TooLarge));
    }
}
