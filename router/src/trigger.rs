//! What `control` asks the router to do again: items that a connect or the end of a suspension frees, and deliveries that an
//! operator names. Pure.

use std::collections::BTreeMap;

use schemas::{Action, Asset, ControlRecord, ControlState, Outcome, Pointer, RawRef, TenantId};

use crate::judge::Wanted;

/// Deliveries by position, and what is wanted of each.
pub(crate) type Named = BTreeMap<RawRef, Wanted>;

/// Everything that some records of `control` ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) triggers: Vec<Trigger>,
    /// Sent through again by an operator.
    pub(crate) redriven: Named,
    /// Missing behind the router's position.
    pub(crate) holes: Named,
}

impl Orders {
    pub(crate) fn add(&mut self, offset: u64, record: &ControlRecord) {
        let whole = |raw: &Vec<RawRef>| raw.iter().map(|raw| (*raw, Wanted::All { attempts: 0 })).collect();
        self.triggers.extend(Trigger::of(offset, record));
        match &record.action {
            Action::QuarantineRedriven { raw } => self.redriven.append(&mut whole(raw)),
            Action::HolesRerouted { raw } => self.holes.append(&mut whole(raw)),
            _ => {}
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.triggers.is_empty() && self.redriven.is_empty() && self.holes.is_empty()
    }

    /// Counts on from a pointer's attempts where its delivery is named.
    pub(crate) fn remember(&mut self, pointer: &Pointer) {
        for named in [&mut self.redriven, &mut self.holes] {
            if let Some(Wanted::All { attempts }) = named.get_mut(&pointer.raw) {
                *attempts = pointer.attempts.max(*attempts);
            }
        }
    }
}

/// Something in `control` that lets parked items flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// Its offset in `control`.
    at: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Connected(Asset),
    Resumed(TenantId),
}

impl Trigger {
    pub(crate) fn of(offset: u64, record: &ControlRecord) -> Option<Self> {
        let what = match &record.action {
            Action::AssetConnected { asset, .. } => What::Connected(asset.clone()),
            Action::TenantResumed { tenant } => What::Resumed(tenant.clone()),
            _ => return None,
        };
        Some(Self { at: offset, what })
    }

    /// Whether this pointer was judged before it and is about what it lets flow.
    fn frees(&self, pointer: &Pointer, assets: &[Asset], owner: &TenantId) -> bool {
        pointer.judged_at <= self.at
            && match &self.what {
                What::Connected(asset) => assets.contains(asset),
                What::Resumed(tenant) => tenant == owner,
            }
    }
}

/// Parked items to route again: items of each delivery, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed(pub(crate) BTreeMap<RawRef, Vec<u32>>);

impl Freed {
    /// Takes a pointer's items if they can be routed now and, where triggers are given, one of them frees it.
    pub(crate) fn consider(&mut self, pointer: &Pointer, state: &ControlState, triggers: Option<&[Trigger]>) {
        let Outcome::Parked { assets } = &pointer.outcome else { return };
        let Some((_, owner)) = state.route(assets) else { return };
        if triggers
            .is_some_and(|triggers| !triggers.iter().any(|trigger| trigger.frees(pointer, assets, owner)))
        {
            return;
        }
        let items = self.0.entry(pointer.raw).or_default();
        items.extend(&pointer.items);
        items.sort_unstable();
        items.dedup();
    }

    pub(crate) fn named(self) -> Named {
        self.0.into_iter().map(|(raw, items)| (raw, Wanted::Parked(items))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(offset: u64, asset: &str, judged_at: u64) -> Pointer {
        Pointer {
            raw: RawRef { partition: 0, offset },
            count: 3,
            items: vec![2, 0],
            outcome: Outcome::Parked { assets: vec![asset.parse().unwrap()] },
            attempts: 1,
            at_ms: 0,
            judged_at,
        }
    }

    #[test]
    fn a_connect_frees_what_was_judged_before_it() {
        let tenant: TenantId = "a".parse().unwrap();
        let asset: Asset = "messenger:1".parse().unwrap();
        let actions = [
            Action::TenantAdded { tenant: tenant.clone(), name: "A".into() },
            Action::AssetConnected { tenant, asset },
        ];
        let mut state = ControlState::default();
        let mut triggers = Vec::new();
        for (offset, action) in (0..).zip(actions) {
            let record = ControlRecord { at_ms: 0, actor: "admin".into(), action };
            state.apply(offset, &record);
            triggers.extend(Trigger::of(offset, &record));
        }
        let mut freed = Freed::default();
        freed.consider(&pointer(10, "messenger:1", 1), &state, Some(&triggers));
        freed.consider(&pointer(11, "messenger:1", 2), &state, Some(&triggers)); // judged with the connect in it
        freed.consider(&pointer(12, "messenger:2", 1), &state, Some(&triggers)); // another asset
        assert_eq!(
            freed.0.into_iter().collect::<Vec<_>>(),
            [(RawRef { partition: 0, offset: 10 }, vec![0, 2])]
        );

        // A late pointer is freed by the state alone.
        let mut freed = Freed::default();
        freed.consider(&pointer(11, "messenger:1", 1), &state, None);
        freed.consider(&pointer(12, "messenger:2", 1), &state, None);
        assert_eq!(freed.0.len(), 1);
    }

    #[test]
    fn a_named_delivery_goes_on_counting_its_attempts() {
        let at = |offset| RawRef { partition: 0, offset };
        let record = |action| ControlRecord { at_ms: 0, actor: "admin".into(), action };
        let mut orders = Orders::default();
        assert!(orders.is_empty());
        orders.add(7, &record(Action::QuarantineRedriven { raw: vec![at(3), at(1)] }));
        orders.add(8, &record(Action::HolesRerouted { raw: vec![at(2)] }));
        let mut earlier = pointer(3, "messenger:1", 0);
        for attempts in [2, 5, 4] {
            earlier.attempts = attempts;
            orders.remember(&earlier);
        }
        let all = |attempts| Wanted::All { attempts };
        assert_eq!(orders.redriven, Named::from([(at(1), all(0)), (at(3), all(5))]));
        assert_eq!(orders.holes, Named::from([(at(2), all(0))]));
        assert!(orders.triggers.is_empty() && !orders.is_empty());
    }

    #[test]
    fn the_end_of_a_suspension_frees_its_tenants_items_only() {
        let mut state = ControlState::default();
        let mut orders = Orders::default();
        let tenant = |name: &str| -> TenantId { name.parse().unwrap() };
        let connected = |name: &str, asset: &str| Action::AssetConnected {
            tenant: tenant(name),
            asset: asset.parse().unwrap(),
        };
        let actions = [
            Action::TenantAdded { tenant: tenant("a"), name: "A".into() },
            Action::TenantAdded { tenant: tenant("b"), name: "B".into() },
            connected("a", "messenger:1"),
            connected("b", "messenger:2"),
            Action::TenantSuspended { tenant: tenant("a") },
            Action::TenantResumed { tenant: tenant("a") },
        ];
        for (offset, action) in (0..).zip(actions) {
            let record = ControlRecord { at_ms: 0, actor: "admin".into(), action };
            state.apply(offset, &record);
            if offset == 5 {
                orders.add(offset, &record);
            }
        }
        let mut freed = Freed::default();
        freed.consider(&pointer(10, "messenger:1", 5), &state, Some(&orders.triggers));
        freed.consider(&pointer(11, "messenger:2", 5), &state, Some(&orders.triggers));
        assert_eq!(freed.named().into_keys().collect::<Vec<_>>(), [RawRef { partition: 0, offset: 10 }]);
    }
}
