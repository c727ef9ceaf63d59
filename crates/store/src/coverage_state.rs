//! Where a delivery's items are, as far as batches have said: a join of flags, so it knows no order and no repeats.

use crate::StoreError;
use crate::coverage::CoverageView;
use crate::coverage_mark::{Said, Whole};

const ROUTED: u8 = 1;
const PARKED: u8 = 2;
const QUARANTINED: u8 = 4;
const APPLIED: u8 = 8;
const FORGOTTEN: u8 = 16;
/// It is somewhere.
const SOMEWHERE: u8 = ROUTED | PARKED | QUARANTINED | FORGOTTEN;

/// One delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    whole: Whole,
    /// Flags of each item.
    items: Vec<u8>,
}

/// How many items are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) items: i64,
    pub(crate) routed: i64,
    pub(crate) unroutable: i64,
    pub(crate) quarantined: i64,
    pub(crate) forgotten: i64,
    pub(crate) projected: i64,
}

impl Counts {
    /// Counts what came, and takes back what went.
    pub(crate) fn change(&mut self, old: Self, new: Self) {
        self.items += new.items - old.items;
        self.routed += new.routed - old.routed;
        self.unroutable += new.unroutable - old.unroutable;
        self.quarantined += new.quarantined - old.quarantined;
        self.forgotten += new.forgotten - old.forgotten;
        self.projected += new.projected - old.projected;
    }
}

impl State {
    /// Adds what a batch said. Tells of each item, with its tenant's number, that no batch of this view had before.
    pub(crate) fn add(&mut self, view: CoverageView, said: &Said, mut is_new: impl FnMut(u32)) {
        self.whole = self.whole.max(said.whole);
        if self.items.len() < said.count as usize {
            self.items.resize(said.count as usize, 0);
        }
        let flag = match view {
            CoverageView::Outputs => ROUTED,
            CoverageView::Conversation => APPLIED,
        };
        for (index, tenant) in &said.routed {
            if let Some(item) = self.items.get_mut(*index as usize)
                && *item & flag == 0
            {
                *item |= flag;
                is_new(*tenant);
            }
        }
        let rest = [(&said.parked, PARKED), (&said.quarantined, QUARANTINED), (&said.forgotten, FORGOTTEN)];
        for (indexes, flag) in rest {
            for index in indexes {
                if let Some(item) = self.items.get_mut(*index as usize) {
                    *item |= flag;
                }
            }
        }
    }

    /// Each of its items is somewhere, or all of it is.
    pub(crate) fn is_accounted(&self) -> bool {
        let items = || self.items.iter().all(|item| item & SOMEWHERE != 0);
        self.whole > Whole::No || (!self.items.is_empty() && items())
    }

    /// Nothing of it can change any more: it is empty, or every item was routed and applied, or dropped for good.
    pub(crate) fn is_settled(&self) -> bool {
        let done = ROUTED | APPLIED;
        match self.items.as_slice() {
            [] => self.whole == Whole::Empty,
            items => items.iter().all(|item| item & done == done || item & (FORGOTTEN | ROUTED) == FORGOTTEN),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        // Routed counts more than the rest, quarantine more than parked: what happened since wins.
        let of = |wanted: u8, but: u8| {
            self.items.iter().map(|item| i64::from(item & wanted != 0 && item & but == 0)).sum::<i64>()
        };
        let told_apart = self.items.iter().any(|item| item & SOMEWHERE != 0);
        // What cannot be read counts as one.
        let unread = i64::from(self.whole == Whole::Quarantined && !told_apart);
        Counts {
            items: if unread == 1 { 1 } else { i64::try_from(self.items.len()).unwrap_or(i64::MAX) },
            routed: of(ROUTED, 0),
            unroutable: of(PARKED, ROUTED | QUARANTINED | FORGOTTEN),
            quarantined: of(QUARANTINED, ROUTED | FORGOTTEN) + unread,
            forgotten: of(FORGOTTEN, ROUTED),
            projected: of(APPLIED, 0),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.items.len() + 1);
        bytes.push(self.whole as u8);
        bytes.extend_from_slice(&self.items);
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let (whole, items) = bytes.split_first().ok_or(StoreError::Damaged { table: "coverage" })?;
        let whole = [Whole::No, Whole::Empty, Whole::Quarantined].get(usize::from(*whole));
        let whole = *whole.ok_or(StoreError::Damaged { table: "coverage" })?;
        Ok(Self { whole, items: items.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(whole: Whole, count: u32, routed: &[u32], parked: &[u32], quarantined: &[u32]) -> Said {
        let routed = routed.iter().map(|index| (*index, 0)).collect();
        let set = |indexes: &[u32]| indexes.iter().copied().collect();
        let forgotten = Default::default();
        Said { whole, count, routed, parked: set(parked), quarantined: set(quarantined), forgotten }
    }

    /// (items, routed, unroutable, quarantined, projected), accounted, settled.
    #[track_caller]
    fn check(outputs: &[Said], applied: &[u32], counts: (i64, i64, i64, i64, i64), is: (bool, bool)) {
        // Whatever the order, and however often.
        for turn in 0..outputs.len().max(1) {
            let mut state = State::default();
            for said in outputs.iter().cycle().skip(turn).take(outputs.len() * 2) {
                state.add(CoverageView::Outputs, said, |_| {});
            }
            let count = outputs.iter().map(|said| said.count).max().unwrap_or(0);
            state.add(CoverageView::Conversation, &said(Whole::No, count, applied, &[], &[]), |_| {});
            let got = state.counts();
            assert_eq!(
                (got.items, got.routed, got.unroutable, got.quarantined, got.projected),
                counts,
                "{state:?}"
            );
            assert_eq!((state.is_accounted(), state.is_settled()), is, "{state:?}");
            assert_eq!(State::read(&state.write()).unwrap(), state);
        }
    }

    #[test]
    fn a_delivery_is_where_its_items_are() {
        use Whole::{Empty, No, Quarantined};
        check(&[], &[], (0, 0, 0, 0, 0), (false, false));
        check(&[said(Empty, 0, &[], &[], &[])], &[], (0, 0, 0, 0, 0), (true, true));
        check(&[said(No, 2, &[0], &[], &[])], &[], (2, 1, 0, 0, 0), (false, false));
        let both = [said(No, 2, &[0], &[], &[]), said(No, 2, &[1], &[], &[])];
        check(&both, &[], (2, 2, 0, 0, 0), (true, false));
        check(&both, &[1], (2, 2, 0, 0, 1), (true, false));
        check(&both, &[0, 1], (2, 2, 0, 0, 2), (true, true));
        check(&[said(No, 2, &[0], &[1], &[])], &[0], (2, 1, 1, 0, 1), (true, false));
        let redriven = [said(No, 2, &[0], &[1], &[]), said(No, 2, &[], &[], &[1])];
        check(&redriven, &[0], (2, 1, 0, 1, 1), (true, false));
        let connected = [said(No, 1, &[], &[0], &[]), said(No, 1, &[0], &[], &[])];
        check(&connected, &[0], (1, 1, 0, 0, 1), (true, true));
        let unread = [said(Quarantined, 0, &[], &[], &[])];
        check(&unread, &[], (1, 0, 0, 1, 0), (true, false));
        let read_since = [said(Quarantined, 0, &[], &[], &[]), said(No, 3, &[0, 1, 2], &[], &[])];
        check(&read_since, &[0, 1, 2], (3, 3, 0, 0, 3), (true, true));
        // Outside of what there is.
        check(&[said(No, 1, &[0, 7], &[9], &[8])], &[3], (1, 1, 0, 0, 0), (true, false));
    }

    #[test]
    fn what_was_dropped_for_good_is_accounted_for() {
        let mut dropped = said(Whole::No, 3, &[0], &[1], &[]);
        dropped.forgotten = [1, 2].into();
        let mut state = State::default();
        state.add(CoverageView::Outputs, &dropped, |_| {});
        let counts = state.counts();
        assert_eq!((counts.routed, counts.unroutable, counts.forgotten), (1, 0, 2));
        assert!(state.is_accounted() && !state.is_settled());
        state.add(CoverageView::Conversation, &said(Whole::No, 3, &[0], &[], &[]), |_| {});
        assert!(state.is_settled());
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut state = State::default();
        let mut told = Vec::new();
        let mut said = said(Whole::No, 2, &[0], &[], &[]);
        state.add(CoverageView::Outputs, &said, |tenant| told.push(tenant));
        said.routed = vec![(0, 4), (1, 5), (1, 6)];
        state.add(CoverageView::Outputs, &said, |tenant| told.push(tenant));
        state.add(CoverageView::Conversation, &said, |tenant| told.push(tenant));
        assert_eq!(told, [0, 5, 4, 5]);
    }

    #[test]
    fn what_is_not_ours_is_said() {
        assert!(State::read(&[]).is_err());
        assert!(State::read(&[3]).is_err());
    }
}
