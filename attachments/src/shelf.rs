//! Jobs that are due, as this process knows of them: not claimed yet, so another may be faster. Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use schemas::{AttachmentId, TenantId};
use store::DueJob;

use crate::lanes::LaneId;

/// So many of one asset are looked at, and twice as many known of.
pub(crate) const PER_ASSET: usize = 256;
/// So many are looked at in all.
pub(crate) const LIMIT: usize = 8_192;

/// Due jobs by whose they are, those that are due longest first.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    lanes: HashMap<LaneId, VecDeque<DueJob>>,
    known: HashSet<(TenantId, AttachmentId)>,
    /// Who has more in the queue than is here.
    more: HashSet<LaneId>,
    /// There are more than could be looked at.
    is_cut: bool,
}

impl Shelf {
    /// Everything that is due was looked at: what is here of it is all there is, but for what was left out.
    pub(crate) fn restock(&mut self, found: Vec<DueJob>) {
        self.more.clear();
        self.is_cut = false;
        self.add(found);
    }

    /// Adds those that are not here yet.
    pub(crate) fn add(&mut self, found: Vec<DueJob>) {
        self.is_cut |= found.len() >= LIMIT;
        let mut counts: HashMap<LaneId, usize> = HashMap::new();
        for job in found {
            let lane = (job.tenant.clone(), job.asset.clone());
            let count = counts.entry(lane.clone()).or_default();
            *count += 1;
            if *count >= PER_ASSET {
                self.more.insert(lane.clone());
            }
            let key = (job.tenant.clone(), job.attachment);
            if self.known.contains(&key) {
                continue;
            }
            let jobs = self.lanes.entry(lane.clone()).or_default();
            if jobs.len() < 2 * PER_ASSET {
                jobs.push_back(job);
                self.known.insert(key);
            } else {
                self.more.insert(lane);
            }
        }
    }

    /// Whether somebody has something in the queue and nothing here.
    pub(crate) fn is_dry(&self) -> bool {
        (self.is_cut && self.known.len() < LIMIT / 4)
            || self.more.iter().any(|lane| !self.lanes.contains_key(lane))
    }

    /// Whose jobs wait, and since when.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&LaneId, i64)> {
        self.lanes.iter().filter_map(|(lane, jobs)| Some((lane, jobs.front()?.due_ms)))
    }

    /// Takes the next one of theirs.
    pub(crate) fn take(&mut self, lane: &LaneId) -> Option<DueJob> {
        let jobs = self.lanes.get_mut(lane)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.lanes.remove(lane);
        }
        self.known.remove(&(job.tenant.clone(), job.attachment));
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(asset: &str, number: u8, due_ms: i64) -> DueJob {
        let attachment = AttachmentId::from_bytes([number; 16]);
        DueJob { tenant: "acme".parse().unwrap(), attachment, asset: Some(asset.parse().unwrap()), due_ms }
    }

    #[test]
    fn each_is_there_once_and_in_order() {
        let mut shelf = Shelf::default();
        let (first, second, other) =
            (job("whatsapp:1", 1, 5), job("whatsapp:1", 2, 6), job("whatsapp:2", 3, 7));
        let lane = |job: &DueJob| (job.tenant.clone(), job.asset.clone());
        shelf.add(vec![first.clone(), second.clone()]);
        shelf.add(vec![first.clone(), other.clone()]);
        assert_eq!(shelf.known.len(), 3);
        let mut waiting: Vec<_> = shelf.waiting().map(|(lane, since_ms)| (lane.clone(), since_ms)).collect();
        waiting.sort();
        assert_eq!(waiting, [(lane(&first), 5), (lane(&other), 7)]);
        assert_eq!(shelf.take(&lane(&first)), Some(first.clone()));
        assert_eq!(shelf.take(&lane(&first)), Some(second));
        assert_eq!(shelf.take(&lane(&first)), None);
        assert_eq!((shelf.take(&lane(&other)), shelf.known.len()), (Some(other), 0));
        // Once it is gone it may come again.
        shelf.add(vec![first]);
        assert_eq!(shelf.known.len(), 1);
    }

    #[test]
    fn it_knows_when_it_does_not_know_all() {
        let many = |from: usize, count: usize| {
            let numbered = |number: usize| {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&number.to_be_bytes());
                DueJob { attachment: AttachmentId::from_bytes(id), ..job("whatsapp:1", 0, 1) }
            };
            (from..from + count).map(numbered).collect::<Vec<_>>()
        };
        let lane = ("acme".parse().unwrap(), Some("whatsapp:1".parse().unwrap()));
        let mut shelf = Shelf::default();
        shelf.restock(many(0, PER_ASSET - 1));
        while shelf.take(&lane).is_some() {}
        assert!(!shelf.is_dry(), "that was all");
        shelf.restock(many(0, PER_ASSET));
        assert!(!shelf.is_dry(), "there is enough for now");
        // As many as may be known of, and one.
        shelf.add(many(PER_ASSET, PER_ASSET));
        shelf.add(many(2 * PER_ASSET, 1));
        assert_eq!(shelf.known.len(), 2 * PER_ASSET);
        while shelf.take(&lane).is_some() {}
        assert!(shelf.is_dry());
        shelf.restock(Vec::new());
        assert!(!shelf.is_dry());
    }
}
