//! A person who has several subjects has a conversation of each with the same asset; they are shown as one. What events have
//! said is one person decides, so that it is seen here when it is seen anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use keyring::TenantKeys;
use schemas::{Asset, ConversationId, SubjectId, TenantId};
use store::ConversationRow;

use crate::problem::Problem;
use crate::state::Shared;

/// Which conversations belong together.
pub(crate) struct Threads {
    /// Of every subject that is one of several, all of them, the smallest first.
    people: HashMap<SubjectId, Arc<[SubjectId]>>,
    keys: Option<Arc<TenantKeys>>,
}

impl Threads {
    /// What these conversations belong to.
    pub(crate) async fn of(
        shared: &Shared,
        tenant: &TenantId,
        rows: &[ConversationRow],
    ) -> Result<Self, Problem> {
        let subjects: BTreeSet<SubjectId> = rows.iter().filter_map(|row| row.subject).collect();
        let subjects: Vec<SubjectId> = subjects.into_iter().collect();
        let merged =
            if subjects.is_empty() { Vec::new() } else { shared.views.merged(tenant, &subjects).await? };
        let keys = if merged.is_empty() { None } else { Some(shared.keyring.tenant(tenant).await?) };
        Ok(Self { people: together(&merged), keys })
    }

    /// The conversations that are one with this one, itself among them.
    pub(crate) fn ids(&self, row: &ConversationRow) -> Vec<ConversationId> {
        let alone = || vec![row.id];
        let people = row.subject.and_then(|subject| self.people.get(&subject));
        let (Some(people), Some(keys), Ok(asset)) = (people, &self.keys, row.asset.parse::<Asset>()) else {
            return alone();
        };
        let ids: Vec<_> = people.iter().map(|subject| keys.id_key.conversation(&asset, *subject)).collect();
        // That of a group is nobody's own.
        if ids.contains(&row.id) { ids } else { alone() }
    }

    /// Conversations as they are shown: of those that are one, the one with the newest event stands for all.
    pub(crate) async fn joined(
        &self,
        shared: &Shared,
        tenant: &TenantId,
        rows: Vec<ConversationRow>,
    ) -> Result<Vec<ConversationRow>, Problem> {
        if self.people.is_empty() {
            return Ok(rows);
        }
        let mut joined = Vec::with_capacity(rows.len());
        for row in rows {
            let all = self.all(shared, tenant, &row).await?;
            let newest = all.iter().map(place).max();
            if newest.is_none_or(|newest| newest == place(&row)) {
                joined.push(join(row, all));
            }
        }
        Ok(joined)
    }

    /// One conversation with those that are one with it.
    pub(crate) async fn whole(
        &self,
        shared: &Shared,
        tenant: &TenantId,
        row: ConversationRow,
    ) -> Result<ConversationRow, Problem> {
        let all = self.all(shared, tenant, &row).await?;
        Ok(join(row, all))
    }

    /// In the order of [`Threads::ids`], those that there are.
    async fn all(
        &self,
        shared: &Shared,
        tenant: &TenantId,
        row: &ConversationRow,
    ) -> Result<Vec<ConversationRow>, Problem> {
        let ids = self.ids(row);
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            if id == row.id {
                all.push(row.clone());
            } else {
                all.extend(shared.views.conversation(tenant, id).await?);
            }
        }
        Ok(all)
    }
}

fn place(row: &ConversationRow) -> (i64, ConversationId) {
    (row.last_at_ms, row.id)
}

/// The first is what all are called by.
fn join(row: ConversationRow, all: Vec<ConversationRow>) -> ConversationRow {
    let mut all = all.into_iter();
    let Some(mut first) = all.next() else { return row };
    for other in all {
        first.messages += other.messages;
        first.last_at_ms = first.last_at_ms.max(other.last_at_ms);
        first.contact = first.contact.or(other.contact);
    }
    first
}

/// Who is one person with whom, by pairs that are.
fn together(merged: &[[SubjectId; 2]]) -> HashMap<SubjectId, Arc<[SubjectId]>> {
    let mut beside: BTreeMap<SubjectId, Vec<SubjectId>> = BTreeMap::new();
    for [one, other] in merged {
        beside.entry(*one).or_default().push(*other);
        beside.entry(*other).or_default().push(*one);
    }
    let mut people = HashMap::new();
    for start in beside.keys() {
        if people.contains_key(start) {
            continue;
        }
        let (mut all, mut next) = (BTreeSet::new(), vec![*start]);
        while let Some(subject) = next.pop() {
            if all.insert(subject) {
                next.extend(beside.get(&subject).into_iter().flatten());
            }
        }
        let all: Arc<[SubjectId]> = all.into_iter().collect();
        people.extend(all.iter().map(|subject| (*subject, all.clone())));
    }
    people
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_make_people() {
        let subject = |n: u8| SubjectId::from_bytes([n; 16]);
        let pair = |one, other| [subject(one), subject(other)];
        let people = together(&[pair(9, 4), pair(2, 1), pair(7, 9), pair(4, 9)]);
        let of = |n| people.get(&subject(n)).map(|all| all.to_vec());
        for n in [4, 7, 9] {
            assert_eq!(of(n), Some(vec![subject(4), subject(7), subject(9)]));
        }
        assert_eq!(of(2), Some(vec![subject(1), subject(2)]));
        assert_eq!(of(3), None);
    }
}
