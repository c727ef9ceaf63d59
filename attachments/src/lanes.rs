//! Whose turn it is: tenants go round, and a tenant's assets among themselves. An asset has a budget, one in trouble a small
//! one; all in trouble together never have more than half of what there is, nor has any tenant all of it. Pure.

use std::collections::HashMap;
use std::time::Duration;

use schemas::{Asset, TenantId};

use crate::job::millis;
use crate::patience::backoff;

/// An asset of a tenant; removals have none.
pub(crate) type LaneId = (TenantId, Option<Asset>);

/// An asset in trouble that was left alone for so many of its first rests is as good as new.
const FORGET: i64 = 100;
/// How long it is remembered whose turn it was.
const TURNS: Duration = Duration::from_secs(60);

/// How many jobs may be done at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) at_once: usize,
    pub(crate) per_tenant: usize,
    pub(crate) per_asset: usize,
}

/// What is known of every asset that is worked for, was lately, or is in trouble.
#[derive(Debug)]
pub(crate) struct Lanes {
    budget: Budget,
    rest: Duration,
    turns: u64,
    lanes: HashMap<LaneId, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    running: usize,
    /// Since the last success.
    failures: u32,
    rests_until_ms: i64,
    began_ms: i64,
    /// Its last turn's number.
    turn: u64,
}

impl Lanes {
    /// An asset rests so long at first when it has to.
    pub(crate) fn new(budget: Budget, rest: Duration) -> Self {
        Self { budget, rest, turns: 0, lanes: HashMap::new() }
    }

    /// Whose turn it is, among those for whom something waits since the given time; nobody when none of them may.
    pub(crate) fn next<'a>(
        &self,
        waiting: impl Iterator<Item = (&'a LaneId, i64)>,
        now_ms: i64,
    ) -> Option<LaneId> {
        let mut tenants: HashMap<&TenantId, (usize, u64)> = HashMap::new();
        let mut troubled = 0;
        for ((tenant, _), lane) in &self.lanes {
            let (running, turn) = tenants.entry(tenant).or_default();
            *running += lane.running;
            *turn = lane.turn.max(*turn);
            troubled += if lane.failures > 0 { lane.running } else { 0 };
        }
        let fresh = Lane::default();
        waiting
            .filter_map(|(id, since_ms)| {
                let lane = self.lanes.get(id).unwrap_or(&fresh);
                let (running, turn) = tenants.get(&id.0).copied().unwrap_or_default();
                let is_free = if lane.failures > 0 {
                    lane.running == 0 && troubled < (self.budget.at_once / 2).max(1)
                } else {
                    lane.running < self.budget.per_asset
                };
                let may = is_free && lane.rests_until_ms <= now_ms && running < self.budget.per_tenant;
                // Whoever has least, and of those whose turn was longest ago.
                may.then_some(((running, turn, lane.running, lane.turn, since_ms), id))
            })
            .min()
            .map(|(_, id)| id.clone())
    }

    /// A job of it begins.
    pub(crate) fn begin(&mut self, id: &LaneId, now_ms: i64) {
        self.turns += 1;
        let lane = self.lanes.entry(id.clone()).or_default();
        lane.running += 1;
        (lane.began_ms, lane.turn) = (now_ms, self.turns);
    }

    /// A job of it ended well, or with its own file to blame alone and for good.
    pub(crate) fn good(&mut self, id: &LaneId) {
        if let Some(lane) = self.end(id) {
            (lane.failures, lane.rests_until_ms) = (0, 0);
        }
    }

    /// A job of it ended for a reason that has nothing to do with it.
    pub(crate) fn neither(&mut self, id: &LaneId) {
        self.end(id);
    }

    /// A job of it failed. Says whether that is new.
    pub(crate) fn bad(&mut self, id: &LaneId) -> bool {
        let Some(lane) = self.end(id) else { return false };
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

    /// Forgets what is of no use any more.
    pub(crate) fn tidy(&mut self, now_ms: i64) {
        let forget_ms = millis(self.rest).saturating_mul(FORGET);
        self.lanes.retain(|_, lane| {
            let since_ms = now_ms.saturating_sub(lane.began_ms.max(lane.rests_until_ms));
            lane.running > 0 || since_ms < if lane.failures > 0 { forget_ms } else { millis(TURNS) }
        });
    }

    fn end(&mut self, id: &LaneId) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(id)?;
        lane.running = lane.running.saturating_sub(1);
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    /// `tenant/asset`.
    fn lane(name: &str) -> LaneId {
        let (tenant, asset) = name.split_once('/').unwrap();
        (tenant.parse().unwrap(), Some(format!("whatsapp:{asset}").parse().unwrap()))
    }

    struct Test(Lanes);

    impl Test {
        fn new(at_once: usize, per_tenant: usize, per_asset: usize) -> Self {
            Self(Lanes::new(Budget { at_once, per_tenant, per_asset }, REST))
        }

        /// Whose turn it is among these, who have waited for the longer the earlier they stand; it begins.
        #[track_caller]
        fn turn(&mut self, waiting: &[&str], now_ms: i64, expected: Option<&str>) {
            let lanes: Vec<LaneId> = waiting.iter().map(|name| lane(name)).collect();
            let next = self.0.next(lanes.iter().zip(0..), now_ms);
            assert_eq!(next, expected.map(lane), "among {waiting:?}");
            if let Some(next) = next {
                self.0.begin(&next, now_ms);
            }
        }

        #[track_caller]
        fn turns(&mut self, waiting: &[&str], expected: &[&str]) {
            for one in expected {
                self.turn(waiting, 0, Some(one));
            }
            self.turn(waiting, 0, None);
        }
    }

    #[test]
    fn tenants_go_round_and_their_assets_among_themselves() {
        let waiting = ["a/1", "a/2", "b/1", "c/1"];
        let mut test = Test::new(99, 99, 2);
        test.turns(&waiting, &["a/1", "b/1", "c/1", "a/2", "b/1", "c/1", "a/1", "a/2"]);
        // Whose jobs end is no matter: the turns are remembered.
        let mut test = Test::new(99, 99, 2);
        for expected in ["a/1", "b/1", "a/2", "b/1", "a/1"] {
            test.turn(&["a/1", "a/2", "b/1"], 0, Some(expected));
            test.0.good(&lane(expected));
        }
    }

    #[test]
    fn a_tenant_has_a_budget_too() {
        let mut test = Test::new(99, 3, 2);
        test.turns(&["a/1", "a/2", "b/1"], &["a/1", "b/1", "a/2", "b/1", "a/1"]);
        test.0.good(&lane("a/1"));
        test.turns(&["a/1", "a/2", "b/1"], &["a/2"]);
    }

    #[test]
    fn one_in_trouble_is_tried_one_by_one_until_something_goes_well() {
        let one = lane("a/1");
        let mut test = Test::new(8, 8, 2);
        test.turn(&["a/1"], 0, Some("a/1"));
        assert!(test.0.bad(&one));
        test.turns(&["a/1"], &["a/1"]);
        assert!(!test.0.bad(&one), "that is known");
        test.turns(&["a/1"], &["a/1"]);
        test.0.neither(&one);
        test.turns(&["a/1"], &["a/1"]);
        test.0.good(&one);
        test.turns(&["a/1"], &["a/1", "a/1"]);
    }

    #[test]
    fn one_that_rests_is_left_alone_until_then() {
        let one = lane("a/1");
        let mut test = Test::new(8, 8, 2);
        test.turn(&["a/1"], 0, Some("a/1"));
        test.0.bad(&one);
        test.0.rest(&one, Some(Duration::from_secs(90)), 0);
        test.turn(&["a/1"], 89_999, None);
        test.turn(&["a/1", "a/2"], 89_999, Some("a/2"));
        test.turn(&["a/1"], 90_000, Some("a/1"));
        test.0.bad(&one);
        test.0.rest(&one, None, 90_000);
        test.turn(&["a/1"], 119_999, None);
        test.turn(&["a/1"], 150_000, Some("a/1"));
    }

    #[test]
    fn all_in_trouble_have_half_at_most() {
        let names = ["a/1", "b/1", "c/1", "d/1", "e/1"];
        let mut test = Test::new(4, 4, 2);
        for name in names {
            test.turn(&[name], 0, Some(name));
            test.0.bad(&lane(name));
        }
        test.turns(&names, &["a/1", "b/1"]);
        test.0.bad(&lane("a/1"));
        test.turns(&names, &["c/1"]);
        test.turn(&["f/1"], 0, Some("f/1"));
    }

    #[test]
    fn what_is_of_no_use_is_forgotten() {
        let mut test = Test::new(8, 8, 2);
        test.turn(&["a/1"], 0, Some("a/1"));
        test.turn(&["b/1"], 0, Some("b/1"));
        test.turn(&["c/1"], 0, Some("c/1"));
        test.0.good(&lane("a/1"));
        test.0.bad(&lane("b/1"));
        let mut check = |now_ms, left| {
            test.0.tidy(now_ms);
            assert_eq!(test.0.lanes.len(), left, "at {now_ms}");
        };
        check(59_999, 3);
        check(60_000, 2);
        check(2_999_999, 2);
        check(3_000_000, 1);
    }
}
