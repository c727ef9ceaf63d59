//! What a routed item is appended as: pure but for the randomness of seals.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use eventlog::Record;
use keyring::SubjectKey;
use publish::{FeedForm, Outlet, PublishError, Published, publish};
use schemas::{Event, EventContext, IdKey, Item, Kind, Outcome, PeopleSaid, Pointer, Reason, SubjectId};

/// An item's records, and the event that they are of.
pub(crate) type Written = (Published, Event);

/// How events of a person are written, and where.
pub(crate) struct Way<'a> {
    /// What seals them.
    pub(crate) key: &'a SubjectKey,
    /// How the tenant's feed is written.
    pub(crate) form: &'a FeedForm,
    /// Whether nobody may use them.
    pub(crate) is_restricted: bool,
    /// `events`.
    pub(crate) events: &'a Outlet,
    /// The tenant's feed.
    pub(crate) feed: &'a Outlet,
}

impl Way<'_> {
    fn publish(&self, event: &Event) -> Result<Published, PublishError> {
        publish(event, self.key, self.form, self.is_restricted, self.events, self.feed)
    }
}

/// An item as its event, sealed. An item that cannot be written, because it breaks our code or is larger than the log takes,
/// is set aside alone.
pub(crate) fn write(item: Item<'_>, context: &EventContext<'_>, way: &Way<'_>) -> Result<Written, Reason> {
    let write = || {
        let event = item.into_event(context);
        way.publish(&event).map(|published| (published, event))
    };
    match catch_unwind(AssertUnwindSafe(write)) {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(PublishError::TooLarge)) => Err(Reason::TooLarge),
        Ok(Err(PublishError::Seal(_) | PublishError::Feed(_))) | Err(_) => Err(Reason::Crashed),
    }
}

/// That those whom an event named are one person.
pub(crate) fn write_merge(
    event: &Event,
    [subject, other]: [SubjectId; 2],
    id_key: &IdKey,
    way: &Way<'_>,
) -> Result<Published, PublishError> {
    way.publish(&PeopleSaid::by(event).event(Kind::PersonMerged, [subject, other], subject, id_key))
}

/// A pointer as its record.
pub(crate) fn pointer_record(pointer: &Pointer) -> Record {
    let what = match &pointer.outcome {
        Outcome::Parked { assets } => assets.first().map_or_else(|| "parked".to_owned(), ToString::to_string),
        Outcome::Quarantined { reason } => reason.as_str().to_owned(),
        Outcome::Forgotten => "forgotten".to_owned(),
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
    use std::sync::Arc;

    use eventlog::{Topic, TopicPartition};
    use keyring::Keyring;
    use schemas::{FeedFormat, RawPosition, RawRef, SealedEvent, TenantId, split};
    use store::{KeyringDb, KeyringRole};
    use testkit::Postgres;

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

    fn tenant() -> TenantId {
        "a".parse().unwrap()
    }

    /// The tenant's own key.
    async fn key() -> Arc<SubjectKey> {
        let postgres = Postgres::start().await.unwrap();
        let url = postgres.database().await.unwrap().into();
        store::migrate_keyring(&url).await.unwrap();
        let db = KeyringDb::connect(&url, KeyringRole::Router, 1).await.unwrap();
        let keyring = Keyring::new(db, Arc::new(seal::RootKey::generate().unwrap()));
        keyring.keys(&[(tenant(), None)]).await.unwrap().remove(0).unwrap()
    }

    /// What each item of the body becomes, with an id-key of these bytes.
    fn written(body: &str, id_key: u8, key: &SubjectKey, form: &FeedForm) -> Vec<Result<Published, Reason>> {
        let (tenant, asset) = (tenant(), "messenger:1".parse().unwrap());
        let items = split(body.as_bytes()).unwrap().items;
        let count = u32::try_from(items.len()).unwrap();
        let write = |item: Item<'_>| {
            let context = EventContext {
                tenant: &tenant,
                asset: &asset,
                id_key: &IdKey::new(&[id_key; 32]),
                subject: None,
                received_ms: 1_700_000_000_500,
                raw: RawPosition { raw: RawRef { partition: 2, offset: 9 }, index: item.index(), count },
            };
            let (events, feed) = (&outlet("events", 6), &outlet("inbox.a", 3));
            let way = Way { key, form, is_restricted: id_key == 3, events, feed };
            write(item, &context, &way).map(|(published, _)| published)
        };
        items.into_iter().map(write).collect()
    }

    fn opened(record: &Record, key: &SubjectKey) -> Event {
        let value = record.value.as_ref().unwrap();
        let sealed = SealedEvent::decode(|name| record.header_str(name), value).unwrap();
        let open = |field, bytes: &[u8]| {
            Ok::<_, schemas::DecodeError>(key.open(sealed.id, field, bytes).unwrap().to_vec())
        };
        sealed.open(open).unwrap()
    }

    fn clear(record: &Record) -> Event {
        Event::decode(|name| record.header_str(name), record.value.as_ref().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_item_is_a_sealed_record_and_one_for_its_feed_and_the_same_each_time() {
        let key = key().await;
        let of = |id_key| -> Vec<Published> {
            written(&body("there"), id_key, &key, &FeedForm::Clear).into_iter().map(Result::unwrap).collect()
        };
        let first = of(1);
        let positions: Vec<&str> =
            first.iter().map(|written| written.event.1.header_str("ce_rawposition").unwrap()).collect();
        assert_eq!(positions, ["2:9:0/2", "2:9:1/2"]);
        let places = |written: &Published| -> [TopicPartition; 2] {
            [written.event.0.clone(), written.feed.0.clone()]
        };
        for written in &first {
            let [event, feed] = places(written);
            assert_eq!((event.topic.as_str(), feed.topic.as_str()), ("events", "inbox.a"));
            assert!(event.partition < 6 && feed.partition < 3);
            assert_eq!(opened(&written.event.1, &key), clear(&written.feed.1), "both say the same");
            assert_eq!(written.event.1.key, written.feed.1.key);
            assert!(written.feed.1.header("ce_restricted").is_none());
        }
        // Written again, it is the same: but for the seal, which no two times is.
        for (once, again) in first.iter().zip(of(1)) {
            assert_eq!((places(once), &once.feed), (places(&again), &again.feed));
            assert_eq!(
                (&once.event.1.key, &once.event.1.headers),
                (&again.event.1.key, &again.event.1.headers)
            );
            assert_eq!(opened(&once.event.1, &key), opened(&again.event.1, &key));
            assert_ne!(once.event.1.value, again.event.1.value);
        }
        let keys = |written: &[Published]| -> Vec<_> {
            written.iter().map(|written| written.event.1.key.clone().unwrap()).collect()
        };
        assert_ne!(keys(&first), keys(&of(2)), "another tenant's key gives other ids");
        let restricted = of(3);
        assert!(restricted.iter().all(|written| written.feed.1.header_str("ce_restricted") == Some("true")));
    }

    #[tokio::test]
    async fn a_feed_for_a_public_key_says_nothing_in_clear() {
        let key = key().await;
        let private = josekit::jwk::Jwk::generate_ec_key(josekit::jwk::alg::ec::EcCurve::P256).unwrap();
        let jwk = private.to_public_key().unwrap().to_string();
        let form = FeedForm::of(&FeedFormat::Jwe { jwk }).unwrap();
        let written = written(&body("a word that is not to be seen"), 1, &key, &form).remove(1).unwrap();
        let (event, feed) = (written.event.1, written.feed.1);
        assert_eq!(feed.header_str("content-type"), Some("application/jose"));
        assert_eq!(feed.header_str("ce_id"), event.header_str("ce_id"));
        for record in [&event, &feed] {
            assert!(!String::from_utf8_lossy(record.value.as_ref().unwrap()).contains("word"));
        }
        let compact = std::str::from_utf8(feed.value.as_ref().unwrap()).unwrap();
        let decrypter = josekit::jwe::ECDH_ES.decrypter_from_jwk(&private).unwrap();
        let (json, _) = josekit::jwe::deserialize_compact(compact, &decrypter).unwrap();
        let read = Event::decode(|name| feed.header_str(name), &json).unwrap();
        assert_eq!(read, opened(&event, &key));
    }

    #[tokio::test]
    async fn an_item_larger_than_the_log_takes_is_set_aside_alone() {
        let found = written(&body(&"x".repeat(4 * 1024 * 1024)), 1, &*key().await, &FeedForm::Clear);
        assert!(found[0].is_ok());
        assert_eq!(found[1].as_ref().err(), Some(&Reason::TooLarge));
    }
}
