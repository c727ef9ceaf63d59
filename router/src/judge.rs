//! What is to become of a delivery: pure, from its record and the control state.

use std::collections::BTreeMap;

use eventlog::Record;
use schemas::{Asset, ControlState, Item, Outcome, Pointer, RawRef, Reason, TenantId, raw_header, split};

/// Which items of a delivery are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: what cannot be routed gets a pointer.
    All {
        /// How often it was tried before.
        attempts: u32,
    },
    /// Items that were parked; the pointer there is stays as it is while they cannot be routed.
    Parked(Vec<u32>),
}

/// An item and whose it is.
pub(crate) struct Routed<'a> {
    pub(crate) item: Item<'a>,
    pub(crate) tenant: TenantId,
    pub(crate) asset: Asset,
}

/// What is to become of a delivery.
pub(crate) struct Judged<'a> {
    pub(crate) raw: RawRef,
    pub(crate) count: u32,
    pub(crate) received_ms: i64,
    pub(crate) routed: Vec<Routed<'a>>,
    pub(crate) pointers: Vec<Pointer>,
    stamp: Stamp,
}

/// What all pointers of one attempt share.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    attempts: u32,
    at_ms: i64,
    judged_at: u64,
}

impl<'a> Judged<'a> {
    fn new(raw: RawRef, wanted: &Wanted, state: &ControlState, now_ms: i64) -> Self {
        let attempts = match wanted {
            Wanted::All { attempts } => attempts.saturating_add(1),
            Wanted::Parked(_) => 1,
        };
        let stamp = Stamp { attempts, at_ms: now_ms, judged_at: state.position };
        Self { raw, count: 0, received_ms: now_ms, routed: Vec::new(), pointers: Vec::new(), stamp }
    }

    /// A delivery that cannot be read at all, for this reason.
    pub(crate) fn unread(
        raw: RawRef,
        wanted: &Wanted,
        state: &ControlState,
        now_ms: i64,
        reason: Reason,
    ) -> Self {
        let mut judged = Self::new(raw, wanted, state, now_ms);
        judged.quarantine(Vec::new(), reason);
        judged
    }

    /// Drops one item for good: its person was forgotten since it happened. All of them share a pointer.
    pub(crate) fn forget(&mut self, index: u32) {
        match self.pointers.iter_mut().find(|pointer| pointer.outcome == Outcome::Forgotten) {
            Some(pointer) => pointer.items.push(index),
            None => self.point(vec![index], Outcome::Forgotten),
        }
    }

    /// Quarantines one item; items of one reason share a pointer.
    pub(crate) fn set_aside(&mut self, index: u32, reason: Reason) {
        let same = |pointer: &&mut Pointer| {
            !pointer.items.is_empty() && pointer.outcome == Outcome::Quarantined { reason }
        };
        match self.pointers.iter_mut().find(same) {
            Some(pointer) if pointer.items.contains(&index) => {}
            Some(pointer) => pointer.items.push(index),
            None => self.quarantine(vec![index], reason),
        }
    }

    fn quarantine(&mut self, items: Vec<u32>, reason: Reason) {
        self.point(items, Outcome::Quarantined { reason });
    }

    fn point(&mut self, items: Vec<u32>, outcome: Outcome) {
        let Stamp { attempts, at_ms, judged_at } = self.stamp;
        self.pointers.push(Pointer {
            raw: self.raw,
            count: self.count,
            items,
            outcome,
            attempts,
            at_ms,
            judged_at,
        });
    }
}

/// Judges a delivery by the control state.
pub(crate) fn judge<'a>(
    raw: RawRef,
    record: &Record,
    body: &'a [u8],
    wanted: &Wanted,
    state: &ControlState,
    now_ms: i64,
) -> Judged<'a> {
    let mut judged = Judged::new(raw, wanted, state, now_ms);
    let received_ms = record.header_str(raw_header::RECEIVED_AT).and_then(|ms| ms.parse().ok());
    let (Some(received_ms), Some(_)) = (received_ms, record.header(raw_header::APP)) else {
        judged.quarantine(Vec::new(), Reason::NotOurs);
        return judged;
    };
    judged.received_ms = received_ms;
    let items = match split(body) {
        Ok(split) => split.items,
        Err(reason) => {
            judged.quarantine(Vec::new(), reason);
            return judged;
        }
    };
    judged.count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    if items.is_empty() {
        judged.point(Vec::new(), Outcome::Empty);
    }
    let mut parked: BTreeMap<Vec<Asset>, Vec<u32>> = BTreeMap::new();
    let mut homeless = Vec::new();
    for item in items {
        if let Wanted::Parked(only) = wanted
            && only.binary_search(&item.index()).is_err()
        {
            continue;
        }
        // By Meta's time: what comes late, or again, is theirs whose the asset was. A history goes to whoever imports it.
        let at_ms = || if item.is_imported() { received_ms } else { item.occurred_ms(received_ms) };
        match state.route_at(item.assets(), at_ms) {
            Some((asset, tenant)) => {
                let (asset, tenant) = (asset.clone(), tenant.clone());
                judged.routed.push(Routed { item, tenant, asset });
            }
            None if item.assets().is_empty() => homeless.push(item.index()),
            None => parked.entry(item.assets().to_vec()).or_default().push(item.index()),
        }
    }
    if let Wanted::All { .. } = wanted {
        for (assets, items) in parked {
            judged.point(items, Outcome::Parked { assets });
        }
        if !homeless.is_empty() {
            judged.quarantine(homeless, Reason::NoAsset);
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eventlog::Header;
    use schemas::{Action, ControlRecord};

    use super::*;

    fn state(actions: Vec<Action>) -> ControlState {
        let mut state = ControlState::default();
        for (offset, action) in (0..).zip(actions) {
            state.apply(offset, &ControlRecord { at_ms: 0, actor: "admin".into(), action });
        }
        state
    }

    fn two_tenants() -> ControlState {
        let tenant = |name: &str| Action::TenantAdded { tenant: name.parse().unwrap(), name: name.into() };
        let connect = |name: &str, asset: &str| Action::AssetConnected {
            tenant: name.parse().unwrap(),
            asset: asset.parse().unwrap(),
        };
        state(vec![tenant("a"), tenant("b"), connect("a", "whatsapp:1"), connect("b", "waba:9")])
    }

    fn record(body: &str) -> Record {
        Record {
            key: None,
            value: Some(Bytes::copy_from_slice(body.as_bytes())),
            headers: vec![
                Header::new(raw_header::APP, "app"),
                Header::new(raw_header::RECEIVED_AT, "1700000000000"),
            ],
        }
    }

    fn entry(waba: &str, number: &str, id: &str) -> String {
        format!(
            r#"{{"id":"{waba}","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"{number}"}},"messages":[{{"from":"15550001","id":"{id}","timestamp":"1700000000","type":"text","text":{{"body":"hi"}}}}]}}}}]}}"#
        )
    }

    #[track_caller]
    fn check(body: &str, wanted: &Wanted, state: &ControlState, expected: &[&str]) {
        let record = record(body);
        let judged = judge(RawRef { partition: 0, offset: 7 }, &record, body.as_bytes(), wanted, state, 5);
        let mut seen: Vec<String> = judged
            .routed
            .iter()
            .map(|routed| {
                format!("{}/{} -> {} by {}", routed.item.index(), judged.count, routed.tenant, routed.asset)
            })
            .collect();
        seen.extend(judged.pointers.iter().map(|pointer| {
            let what = match &pointer.outcome {
                Outcome::Parked { assets } => {
                    format!("parked {}", assets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
                }
                Outcome::Quarantined { reason } => format!("quarantined {}", reason.as_str()),
                Outcome::Forgotten => "forgotten".into(),
                Outcome::Empty => "empty".into(),
            };
            format!("{:?}/{} {what} attempt {}", pointer.items, pointer.count, pointer.attempts)
        }));
        assert_eq!(seen, expected);
    }

    #[test]
    fn items_go_to_their_tenant_or_get_a_pointer() {
        let state = two_tenants();
        let all = Wanted::All { attempts: 0 };
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{},{},{},{}]}}"#,
            entry("9", "1", "w1"),
            entry("9", "2", "w2"),
            entry("8", "3", "w3"),
            entry("8", "3", "w4"),
        );
        check(
            &body,
            &all,
            &state,
            &["0/4 -> a by whatsapp:1", "1/4 -> b by waba:9", "[2, 3]/4 parked whatsapp:3,waba:8 attempt 1"],
        );
        // Only what was parked, and no new pointer for what still is.
        check(&body, &Wanted::Parked(vec![1, 2]), &state, &["1/4 -> b by waba:9"]);
        check(r#"{"object":"page","entry":[]}"#, &all, &state, &["[]/0 empty attempt 1"]);
        check("{", &Wanted::All { attempts: 2 }, &state, &["[]/0 quarantined not_json attempt 3"]);
        check("", &all, &state, &["[]/0 quarantined empty_body attempt 1"]);
    }

    #[test]
    fn a_suspended_tenants_items_are_parked() {
        let mut state = two_tenants();
        let record = ControlRecord {
            at_ms: 0,
            actor: "admin".into(),
            action: Action::TenantSuspended { tenant: "a".parse().unwrap() },
        };
        state.apply(4, &record);
        let body = format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, entry("9", "1", "w1"));
        check(&body, &Wanted::All { attempts: 0 }, &state, &["[0]/1 parked whatsapp:1,waba:9 attempt 1"]);
    }

    #[test]
    fn a_record_that_ingest_did_not_write_is_set_aside() {
        let mut record = record("{}");
        record.headers.clear();
        let raw = RawRef { partition: 0, offset: 7 };
        let judged = judge(raw, &record, b"{}", &Wanted::All { attempts: 0 }, &two_tenants(), 5);
        assert_eq!(judged.pointers[0].outcome, Outcome::Quarantined { reason: Reason::NotOurs });
        assert_eq!(judged.pointers[0].judged_at, 4);
    }

    #[test]
    fn items_set_aside_for_one_reason_share_a_pointer() {
        let state = two_tenants();
        let raw = RawRef { partition: 0, offset: 7 };
        let mut judged = Judged::new(raw, &Wanted::All { attempts: 1 }, &state, 5);
        judged.count = 9;
        for (index, reason) in
            [(4, Reason::TooLarge), (2, Reason::Crashed), (6, Reason::TooLarge), (4, Reason::TooLarge)]
        {
            judged.set_aside(index, reason);
        }
        let seen: Vec<_> = judged.pointers.into_iter().map(|p| (p.items, p.count, p.attempts)).collect();
        assert_eq!(seen, [(vec![4, 6], 9, 2), (vec![2], 9, 2)]);
    }

    #[test]
    fn what_is_dropped_for_good_shares_a_pointer_too() {
        let raw = RawRef { partition: 0, offset: 7 };
        let mut judged = Judged::new(raw, &Wanted::All { attempts: 0 }, &two_tenants(), 5);
        judged.count = 4;
        for index in [3, 1] {
            judged.forget(index);
        }
        judged.set_aside(2, Reason::TooLarge);
        let seen: Vec<_> = judged.pointers.into_iter().map(|p| (p.items, p.outcome)).collect();
        let quarantined = Outcome::Quarantined { reason: Reason::TooLarge };
        assert_eq!(seen, [(vec![3, 1], Outcome::Forgotten), (vec![2], quarantined)]);
    }

    #[test]
    fn a_delivery_that_breaks_our_code_is_quarantined_whole() {
        let raw = RawRef { partition: 0, offset: 7 };
        let judged = Judged::unread(raw, &Wanted::All { attempts: 0 }, &two_tenants(), 5, Reason::Crashed);
        assert_eq!(judged.pointers[0].outcome, Outcome::Quarantined { reason: Reason::Crashed });
        assert!(judged.pointers[0].items.is_empty() && judged.routed.is_empty());
    }
}
