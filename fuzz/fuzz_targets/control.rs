//! The `control` topic, a record a line: what can be read can be written and read again, and what the records fold into keeps
//! its promises whatever they say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{Action, Asset, ControlRecord, ControlState, Pointer, TenantState};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let records: Vec<_> = input.split(|byte| *byte == b'\n').map(read).collect();
    let state = folded(&records, ControlState::default());
    assert_eq!(state.position, records.len() as u64);
    assert_eq!(folded(&records, state.clone()), state, "a record that is folded in again changes something");
    for (asset, route) in &state.routes {
        check_route(&state, asset, &records);
        assert!(route.since < state.position);
    }
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(pointer) = serde_json::from_slice::<Pointer>(line) {
            let json = serde_json::to_vec(&pointer).expect("plain values serialize");
            assert_eq!(serde_json::from_slice::<Pointer>(&json).expect("what was written is read"), pointer);
        }
    }
});

/// A record, if it is one.
fn read(line: &[u8]) -> Option<ControlRecord> {
    let record: ControlRecord = serde_json::from_slice(line).ok()?;
    let json = serde_json::to_value(&record).expect("plain values serialize");
    assert_eq!(
        json.get("action").and_then(Value::as_str),
        Some(record.action.as_str()),
        "one word everywhere"
    );
    assert_eq!(serde_json::from_value::<ControlRecord>(json).expect("what was written is read"), record);
    // An audit entry is one line of text that shows no secret.
    let target = record.action.target();
    if let Action::AppAdded(app) | Action::AppRotated(app) = &record.action {
        assert_eq!(target, format!("app {}", app.id));
    }
    Some(record)
}

/// Folds record by record, and looks at what each one changes.
fn folded(records: &[Option<ControlRecord>], mut state: ControlState) -> ControlState {
    for (offset, record) in (0..).zip(records) {
        let before = state.clone();
        match record {
            Some(record) => state.apply(offset, record),
            None => state.skip(offset),
        }
        for (id, tenant) in &before.tenants {
            let purged = |tenant: &schemas::Tenant| tenant.state == TenantState::Purged;
            assert!(
                !purged(tenant) || state.tenants.get(id).is_some_and(purged),
                "a purged tenant came back"
            );
        }
        let people = &state.people;
        assert!(before.people.forgotten.is_subset(&people.forgotten), "somebody was remembered again");
        for person in &people.forgotten {
            assert!(!people.restricted.contains(person) && !people.corrections.contains_key(person));
        }
        for (asset, route) in &before.routes {
            let now = state.routes.get(asset);
            assert!(now.is_none_or(|now| now == route), "an asset changed hands without being disconnected");
        }
        for (id, erasure) in &before.people.erasures {
            let now = people.erasures.get(id).expect("an erasure is never forgotten");
            assert_eq!((&now.tenant, now.subject), (&erasure.tenant, erasure.subject));
        }
    }
    state
}

/// An asset leads to the active tenant that has it, and nowhere else.
fn check_route(state: &ControlState, asset: &Asset, records: &[Option<ControlRecord>]) {
    let Some((found, tenant)) = state.route(std::slice::from_ref(asset)) else { return };
    assert_eq!(found, asset);
    let owner = state.tenants.get(tenant).expect("a tenant that was added");
    assert_eq!(owner.state, TenantState::Active);
    let connects = |record: &ControlRecord| matches!(&record.action, Action::AssetConnected { tenant: by, asset: which } if by == tenant && which == asset);
    assert!(records.iter().flatten().any(connects), "an asset leads to who never connected it");
}
