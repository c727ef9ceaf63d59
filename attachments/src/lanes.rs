//! Who may be worked for now: an asset has a budget, one in trouble a small one, and all in trouble together never more than
//! half of what there is. Pure.

use std::collections::HashMap;
use std::time::Duration;

use schemas::{Asset, TenantId};
use store::BusyAsset;

use crate::job::millis;
use crate::patience::backoff;

/// An asset of a tenant; removals have none.
pub(crate) type LaneId = (TenantId, Option<Asset>);

/// An asset in trouble that was left alone for so many of its first rests is as good as new.
const FORGET: i64 = 100;
/// How long it is remembered whose turn it was.
const TURNS: Duration = Duration::from_secs(60);

/// What is known of every asset that is worked for or in trouble.
#[derive(Debug)]
pub(crate) struct Lanes {
    at_once: usize,
    per_asset: usize,
    rest: Duration,
    lanes: HashMap<LaneId, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    running: usize,
    /// Since the last success.
    failures: u32,
    rests_until_ms: i64,
    began_ms: i64,
}

impl Lanes {
    pub(crate) fn new(at_once: usize, per_asset: usize, rest: Duration) -> Self {
        Self { at_once, per_asset, rest, lanes: HashMap::new() }
    }

    /// A job of it begins.
    pub(crate) fn begin(&mut self, id: &LaneId, now_ms: i64) {
        let lane = self.lanes.entry(id.clone()).or_default();
        lane.running += 1;
        lane.began_ms = now_ms;
    }

    /// A job of it ended well, or with its own file to blame alone and for good.
    pub(crate) fn good(&mut self, id: &LaneId) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.running = lane.running.saturating_sub(1);
            (lane.failures, lane.rests_until_ms) = (0, 0);
        }
    }

    /// A job of it ended for a reason that has nothing to do with it.
    pub(crate) fn neither(&mut self, id: &LaneId) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.running = lane.running.saturating_sub(1);
        }
    }

    /// A job of it failed. Says whether that is new.
    pub(crate) fn bad(&mut self, id: &LaneId) -> bool {
        let Some(lane) = self.lanes.get_mut(id) else { return false };
        lane.running = lane.running.saturating_sub(1);
        lane.failures = lane.failures.saturating_add(1);
        lane.failures == 1
    }

    /// All of it rests: at least so long when that was said, else longer each time.
    pub(crate) fn rest(&mut self, id: &LaneId, after: Option<Duration>, now_ms: i64) {
        let longest = self.rest * 10;
        if let Some(lane) = self.lanes.get_mut(id) {
            let rest = after.unwrap_or_else(|| backoff(self.rest, longest, lane.failures));
            lane.rests_until_ms = lane.rests_until_ms.max(now_ms.saturating_add(millis(rest)));
        }
    }

    /// What a claim has to know of them.
    pub(crate) fn busy(&mut self, now_ms: i64) -> Vec<BusyAsset> {
        let forget_ms = millis(self.rest).saturating_mul(FORGET);
        self.lanes.retain(|_, lane| {
            let since_ms = now_ms.saturating_sub(lane.began_ms.max(lane.rests_until_ms));
            lane.running > 0 || since_ms < if lane.failures > 0 { forget_ms } else { millis(TURNS) }
        });
        let troubled: usize =
            self.lanes.values().filter(|lane| lane.failures > 0).map(|lane| lane.running).sum();
        let mut left = (self.at_once / 2).max(1).saturating_sub(troubled);
        let mut lanes: Vec<(&LaneId, &Lane)> = self.lanes.iter().collect();
        // Those whose turn was longest ago first.
        lanes.sort_by_key(|(_, lane)| lane.began_ms);
        lanes
            .into_iter()
            .map(|((tenant, asset), lane)| {
                let room = if lane.rests_until_ms > now_ms {
                    0
                } else if lane.failures > 0 {
                    let room = 1_usize.saturating_sub(lane.running).min(left);
                    left -= room;
                    room
                } else {
                    self.per_asset.saturating_sub(lane.running)
                };
                let (running, served_ms) = (lane.running, lane.began_ms);
                BusyAsset { tenant: tenant.clone(), asset: asset.clone(), running, served_ms, room }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    fn lane(asset: &str) -> LaneId {
        ("acme".parse().unwrap(), Some(asset.parse().unwrap()))
    }

    #[track_caller]
    fn check(lanes: &mut Lanes, now_ms: i64, expected: &[(&str, usize, usize)]) {
        let mut found: Vec<(String, usize, usize)> = lanes
            .busy(now_ms)
            .into_iter()
            .map(|one| (one.asset.unwrap().id().to_owned(), one.running, one.room))
            .collect();
        found.sort();
        let expected: Vec<_> =
            expected.iter().map(|(id, running, room)| ((*id).to_owned(), *running, *room)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_asset_has_a_budget() {
        let mut lanes = Lanes::new(8, 2, REST);
        let one = lane("whatsapp:1");
        lanes.begin(&one, 0);
        check(&mut lanes, 0, &[("1", 1, 1)]);
        lanes.begin(&one, 0);
        check(&mut lanes, 0, &[("1", 2, 0)]);
        lanes.good(&one);
        lanes.good(&one);
        check(&mut lanes, 59_999, &[("1", 0, 2)]);
        check(&mut lanes, 60_000, &[]);
    }

    #[test]
    fn one_in_trouble_is_tried_one_by_one_until_something_goes_well() {
        let mut lanes = Lanes::new(8, 2, REST);
        let one = lane("whatsapp:1");
        lanes.begin(&one, 0);
        assert!(lanes.bad(&one));
        check(&mut lanes, 0, &[("1", 0, 1)]);
        lanes.begin(&one, 0);
        check(&mut lanes, 0, &[("1", 1, 0)]);
        assert!(!lanes.bad(&one), "that is known");
        lanes.begin(&one, 0);
        lanes.neither(&one);
        check(&mut lanes, 0, &[("1", 0, 1)]);
        lanes.begin(&one, 0);
        lanes.good(&one);
        check(&mut lanes, 0, &[("1", 0, 2)]);
    }

    #[test]
    fn one_that_rests_is_left_alone_until_then() {
        let mut lanes = Lanes::new(8, 2, REST);
        let one = lane("whatsapp:1");
        lanes.begin(&one, 0);
        lanes.bad(&one);
        lanes.rest(&one, Some(Duration::from_secs(90)), 0);
        check(&mut lanes, 89_999, &[("1", 0, 0)]);
        check(&mut lanes, 90_000, &[("1", 0, 1)]);
        lanes.rest(&one, None, 90_000);
        check(&mut lanes, 104_000, &[("1", 0, 0)]);
        check(&mut lanes, 120_000, &[("1", 0, 1)]);
        // Long after, it is like any other.
        check(&mut lanes, 120_000 + 100 * 30_000, &[]);
    }

    #[test]
    fn all_in_trouble_have_half_at_most() {
        let mut lanes = Lanes::new(4, 2, REST);
        let ids: Vec<LaneId> = (1..=5).map(|n| lane(&format!("whatsapp:{n}"))).collect();
        for (at_ms, id) in (0..).zip(&ids) {
            lanes.begin(id, at_ms);
            lanes.bad(id);
        }
        // Whose turn was longest ago.
        check(&mut lanes, 9, &[("1", 0, 1), ("2", 0, 1), ("3", 0, 0), ("4", 0, 0), ("5", 0, 0)]);
        lanes.begin(&ids[0], 10);
        lanes.begin(&ids[1], 11);
        check(&mut lanes, 12, &[("1", 1, 0), ("2", 1, 0), ("3", 0, 0), ("4", 0, 0), ("5", 0, 0)]);
        lanes.bad(&ids[0]);
        check(&mut lanes, 13, &[("1", 0, 0), ("2", 1, 0), ("3", 0, 1), ("4", 0, 0), ("5", 0, 0)]);
    }
}
