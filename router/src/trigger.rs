//! What lets parked items flow: a connect, or the end of a suspension. Pure.

use std::collections::BTreeMap;

use schemas::{Action, Asset, ControlRecord, ControlState, Outcome, Pointer, RawRef, TenantId};

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
        if triggers.is_some_and(|triggers| !triggers.iter().any(|trigger| trigger.frees(pointer, assets, owner))) {
            return;
        }
        let items = self.0.entry(pointer.raw).or_default();
        items.extend(&pointer.items);
        items.sort_unstable();
        items.dedup();
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
        assert_eq!(freed.0.into_iter().collect::<Vec<_>>(), [(RawRef { partition: 0, offset: 10 }, vec![0, 2])]);

        // A late pointer is freed by the state alone.
        let mut freed = Freed::default();
        freed.consider(&pointer(11, "messenger:1", 1), &state, None);
        freed.consider(&pointer(12, "messenger:2", 1), &state, None);
        assert_eq!(freed.0.len(), 1);
    }
}
