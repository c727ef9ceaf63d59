//! What is sent is what Tidings reads: every update is one item, of an asset, about at most one person, and nothing of what
//! this version means to read is left unrecognized.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sandbox::{Ledger, Mix, Secret, Traffic, TrafficConfig, World, WorldConfig};
use schemas::{EventContext, EventId, IdKey, Kind, RawPosition, RawRef, split};

#[test]
fn every_update_is_one_item() {
    let world = Arc::new(World::new(WorldConfig::default()));
    let ledger = Arc::new(Ledger::new(world.clone()));
    let config = TrafficConfig {
        mix: Mix::LIVELY,
        repeats: 0.2,
        disorder: 40,
        partly_named: 0.5,
        ..TrafficConfig::new(11, 20_000, 1_780_000_000_000, Secret::new(b"s"))
    };
    let (key, tenant) = (IdKey::new(&[7; 32]), "acme".parse().unwrap());
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    let mut events: BTreeMap<&str, HashSet<EventId>> = BTreeMap::new();
    for delivery in Traffic::new(world, ledger, config) {
        let split = split(&delivery.body).unwrap();
        assert_eq!(split.items.len(), delivery.updates());
        let count = split.items.len() as u32;
        for item in split.items {
            let asset = item.assets()[0].clone();
            let somebody = !item.persons().is_empty();
            let context = EventContext {
                tenant: &tenant,
                asset: &asset,
                id_key: &key,
                subject: somebody.then(|| schemas::SubjectId::from_bytes([1; 16])),
                received_ms: 0,
                raw: RawPosition { raw: RawRef { partition: 0, offset: 0 }, index: item.index(), count },
            };
            let event = item.into_event(&context);
            assert_ne!(event.kind, Kind::Unrecognized, "what is sent is read");
            let word = event.kind.as_str();
            *told.entry(word).or_default() += usize::from(!delivery.repeat);
            events.entry(word).or_default().insert(event.id);
        }
    }
    let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| told.contains_key(kind.as_str())).collect();
    assert!(kinds.len() >= 11 && !kinds.iter().any(|kind| kind.is_ours()), "{kinds:?}");
    for kind in kinds {
        let (told, events) = (told[kind.as_str()], events[kind.as_str()].len());
        // People look at a conversation twice: the same watermark is the same event.
        let repeatable = matches!(kind, Kind::ConversationRead | Kind::ConversationDelivered);
        assert!(
            events == told || repeatable && events < told,
            "{}: {told} told, {events} events",
            kind.as_str()
        );
    }
}
