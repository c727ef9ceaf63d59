//! What a batch says of deliveries: which items became events, were applied, parked, or put into quarantine.
//!
//! A batch leaves one row behind, whatever it holds: the hot path of a projection writes no row a delivery. Folding makes
//! sense of them later, and is what readers wait for.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use schemas::{RawRef, TenantId};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::coverage::CoverageView;

/// Something about a delivery as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Whole {
    /// Nothing.
    #[default]
    No,
    /// It holds no item.
    Empty,
    /// It is in quarantine.
    Quarantined,
}

/// What a batch says about deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoverageChange {
    deliveries: BTreeMap<RawRef, Said>,
    /// Whose the routed items are; `deliveries` gets them when all of them are known.
    tenants: BTreeMap<TenantId, BTreeSet<(RawRef, u32)>>,
}

/// What a batch says of one delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) whole: Whole,
    /// How many items it holds, as far as they were told apart.
    pub(crate) count: u32,
    /// Items that are a tenant's, by its number.
    pub(crate) routed: Vec<(u32, u32)>,
    pub(crate) parked: BTreeSet<u32>,
    pub(crate) quarantined: BTreeSet<u32>,
    pub(crate) forgotten: BTreeSet<u32>,
}

/// A batch's row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// By number.
    pub(crate) tenants: Vec<String>,
    /// By partition and offset.
    pub(crate) deliveries: Vec<(u32, u64, Said)>,
}

impl CoverageChange {
    /// An item became an event of this tenant.
    pub fn routed(&mut self, tenant: &TenantId, raw: RawRef, index: u32, count: u32) {
        self.of(raw, count);
        match self.tenants.get_mut(tenant) {
            Some(items) => items.insert((raw, index)),
            None => self.tenants.entry(tenant.clone()).or_default().insert((raw, index)),
        };
    }

    /// An item is parked.
    pub fn parked(&mut self, raw: RawRef, index: u32, count: u32) {
        self.of(raw, count).parked.insert(index);
    }

    /// An item is in quarantine.
    pub fn quarantined(&mut self, raw: RawRef, index: u32, count: u32) {
        self.of(raw, count).quarantined.insert(index);
    }

    /// An item was dropped: its person was forgotten since it happened.
    pub fn forgotten(&mut self, raw: RawRef, index: u32, count: u32) {
        self.of(raw, count).forgotten.insert(index);
    }

    /// Something about the delivery as a whole.
    pub fn whole(&mut self, raw: RawRef, whole: Whole) {
        let said = self.of(raw, 0);
        said.whole = said.whole.max(whole);
    }

    fn of(&mut self, raw: RawRef, count: u32) -> &mut Said {
        let said = self.deliveries.entry(raw).or_default();
        said.count = said.count.max(count);
        said
    }

    fn marks(&self) -> Marks {
        let mut deliveries = self.deliveries.clone();
        for (number, items) in (0..).zip(self.tenants.values()) {
            for (raw, index) in items {
                deliveries.entry(*raw).or_default().routed.push((*index, number));
            }
        }
        Marks {
            tenants: self.tenants.keys().map(ToString::to_string).collect(),
            deliveries: deliveries.into_iter().map(|(raw, said)| (raw.partition, raw.offset, said)).collect(),
        }
    }
}

impl Marks {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged { table: "coverage_mark" })
    }
}

/// Leaves behind what a batch says.
pub(crate) async fn mark(
    transaction: &Transaction<'_>,
    view: CoverageView,
    change: &CoverageChange,
) -> Result<(), StoreError> {
    if change.deliveries.is_empty() {
        return Ok(());
    }
    let marks = postcard::to_allocvec(&change.marks())
        .map_err(|cause| StoreError::Refused { cause: format!("writing what a batch covers: {cause}") })?;
    let statement =
        transaction.prepare_cached("INSERT INTO coverage_mark (view, marks) VALUES ($1, $2)").await?;
    transaction.execute(&statement, &[&view.number(), &marks]).await?;
    Ok(())
}
