//! What Tidings itself says of people: that two subjects are one person, or are not after all. Random ids are all there is
//! in it.

use crate::content::{Content, PersonLink};
use crate::{Asset, Event, EventId, IdKey, Kind, RawPosition, Source, SubjectId, TenantId};

/// Where and when something is said of people.
#[derive(Debug, Clone, Copy)]
pub struct PeopleSaid<'a> {
    /// Whose people they are.
    pub tenant: &'a TenantId,
    /// Where they were named, or one of their assets.
    pub asset: &'a Asset,
    /// The connected asset that led to the tenant.
    pub route: &'a Asset,
    /// When they were named by Meta's clock, or the operator said so, Unix milliseconds.
    pub at_ms: i64,
    /// When that arrived, Unix milliseconds.
    pub received_ms: i64,
    /// Which part of which delivery named them.
    pub raw: RawPosition,
    /// Why it is said: what is said again for the same reason is the same event.
    pub cause: &'a [u8],
    /// How it is known: [`PersonLink::PAYLOAD`] or [`PersonLink::OPERATOR`].
    pub evidence: &'a str,
}

impl<'a> PeopleSaid<'a> {
    /// Because of this event, which named both.
    pub fn by(event: &'a Event) -> Self {
        Self {
            tenant: &event.tenant,
            asset: &event.asset,
            route: &event.route,
            at_ms: event.occurred_ms,
            received_ms: event.received_ms,
            raw: event.raw,
            cause: event.id.as_bytes(),
            evidence: PersonLink::PAYLOAD,
        }
    }

    /// `person.merged` or `person.split` of these two, in either order; to be sealed for `of`, one of them.
    pub fn event(&self, kind: Kind, [one, other]: [SubjectId; 2], of: SubjectId, id_key: &IdKey) -> Event {
        let (into, from) = if one < other { (one, other) } else { (other, one) };
        Event {
            id: self.id(kind, into, from, id_key),
            kind,
            tenant: self.tenant.clone(),
            channel: self.asset.kind().channel(),
            asset: self.asset.clone(),
            route: self.route.clone(),
            direction: None,
            conversation: None,
            subject: Some(of),
            message: None,
            occurred_ms: self.at_ms,
            received_ms: self.received_ms,
            raw: self.raw,
            imported: false,
            standby: false,
            contact: None,
            content: Content::Link(PersonLink { into, from, evidence: self.evidence.to_owned() }),
            source: nothing(),
        }
    }

    fn id(&self, kind: Kind, into: SubjectId, from: SubjectId, id_key: &IdKey) -> EventId {
        id_key.event(kind, self.asset, &[into.as_bytes(), from.as_bytes(), self.cause])
    }
}

/// Meta wrote nothing of it.
fn nothing() -> Source {
    serde_json::from_str("null").expect("null is JSON")
}
