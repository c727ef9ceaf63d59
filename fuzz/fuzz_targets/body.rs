//! A body as Meta may send it, or anybody who found out a secret: cut into what it holds and nothing else, and every item an
//! event that survives being written, read, sealed and opened.

#![no_main]

use fuzz::model::Delivery;
use fuzz::place::{Place, RECEIVED_MS};
use fuzz::record;
use libfuzzer_sys::fuzz_target;
use schemas::{Event, Reason, shallow_partition, split};

/// As many items as a delivery may hold.
const MAX_ITEMS: usize = 50_000;
/// So many events of a body are written and read; those of a body with more say nothing new.
const CLOSELY: usize = 256;
/// So many entries of a body are sent again alone, unless it is one of the large ones.
const ALONE: usize = 8;
const LARGE: usize = 64 << 10;

fuzz_target!(|body: &[u8]| {
    let partition = shallow_partition(body, 6);
    assert!(partition < 6 && partition == shallow_partition(body, 6));
    match (split(body), Delivery::read(body)) {
        (Ok(split), Ok(delivery)) => {
            assert_eq!(split.channel, delivery.channel);
            drop(split);
            check(body, &delivery);
        }
        (Err(reason), Err(expected)) => {
            assert!(expected.contains(&reason), "{reason:?} instead of {expected:?}")
        }
        (Err(Reason::TooManyItems), Ok(_)) => {
            let commas = body.iter().filter(|byte| **byte == b',').count();
            assert!(commas >= MAX_ITEMS, "a small body is refused as one with too many items");
        }
        (Err(reason), Ok(_)) => panic!("refused as {reason:?}, although it can be cut"),
        (Ok(_), Err(expected)) => panic!("cut, although it is {expected:?}"),
    }
});

fn check(body: &[u8], delivery: &Delivery<'_>) {
    let all = events(body);
    assert!(all.len() <= MAX_ITEMS, "more items than there may be");
    assert!(all == events(body), "one body was read as two");
    let sources: Vec<_> = all.iter().map(|event| event.source.as_str()).collect();
    if let Err(fault) = delivery.holds(&sources) {
        panic!("{fault}");
    }
    all.iter().take(CLOSELY).for_each(record::check);
    if body.len() < LARGE {
        check_packing(delivery, &all);
    }
}

/// Every event of a body, in order.
fn events(body: &[u8]) -> Vec<Event> {
    let place = Place::default();
    let items = split(body).map(|split| split.items).unwrap_or_default();
    let count = u32::try_from(items.len()).expect("a few thousand");
    let mut events = Vec::with_capacity(items.len());
    for (index, item) in (0..).zip(items) {
        assert_eq!(item.index(), index, "items are counted from 0");
        let occurred_ms = item.occurred_ms(RECEIVED_MS);
        let event = place.event(item, count);
        assert_eq!(event.occurred_ms, occurred_ms, "an item tells another time than its event");
        events.push(event);
    }
    events
}

/// However Meta packs what it sends, the ids are the same, and what an item belongs to stands in its own entry.
fn check_packing(delivery: &Delivery<'_>, all: &[Event]) {
    let mut rest = all;
    for entry in delivery.entries.iter().take(ALONE) {
        let body = format!(r#"{{"object":{},"entry":[{entry}]}}"#, delivery.object);
        let alone = events(body.as_bytes());
        let (same, others) = rest.split_at_checked(alone.len()).expect("no more items than with the others");
        let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(&alone), ids(same), "an id depends on how a delivery is packed");
        rest = others;
        let assets = delivery.assets(entry);
        for item in split(body.as_bytes()).map(|split| split.items).unwrap_or_default() {
            assert!(assets.iter().any(|assets| assets == item.assets()), "an item of another's asset");
        }
    }
    assert!(rest.is_empty() || delivery.entries.len() > ALONE, "fewer items than with the others");
}
