//! Where the events of the targets happen: one tenant, one key, and subjects made from the identifiers themselves.

use schemas::{
    Asset, AssetKind, Event, EventContext, IdKey, Identifier, Item, RawPosition, RawRef, SubjectId, TenantId,
};

/// When every delivery arrives.
pub const RECEIVED_MS: i64 = 1_780_000_060_000;

/// Everything that an item needs from its surroundings.
pub struct Place {
    tenant: TenantId,
    nowhere: Asset,
    id_key: IdKey,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            tenant: "alpha".parse().expect("a tenant id"),
            nowhere: Asset::new(AssetKind::Messenger, "nowhere").expect("an asset"),
            id_key: IdKey::new(&[7; 32]),
        }
    }
}

impl Place {
    /// The event of one of `count` items.
    pub fn event(&self, item: Item<'_>, count: u32) -> Event {
        // An item without an asset is parked and never gets here; it must not do harm all the same.
        let route = item.assets().last().unwrap_or(&self.nowhere).clone();
        let context = EventContext {
            tenant: &self.tenant,
            asset: &route,
            id_key: &self.id_key,
            subject: self.subject(item.persons()),
            received_ms: RECEIVED_MS,
            raw: RawPosition { raw: RawRef { partition: 2, offset: 40 }, index: item.index(), count },
        };
        item.into_event(&context)
    }

    /// A stand-in for the keyring: the first identifier decides.
    fn subject(&self, persons: &[Identifier]) -> Option<SubjectId> {
        let person = persons.first()?;
        Some(SubjectId::from_bytes(*self.id_key.message(&self.nowhere, &person.value).as_bytes()))
    }
}
