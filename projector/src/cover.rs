//! The coverage fold: which items of which deliveries reached `events` and `quarantine`. Positions only; nothing is decoded.

use schemas::{Outcome, Pointer, RawPosition, TenantId};
use store::{CoverageChange, QuarantineChange, Whole};

/// An item became an event of this tenant.
pub(crate) fn event(change: &mut CoverageChange, tenant: &TenantId, position: RawPosition) {
    change.routed(tenant, position.raw, position.index, position.count);
}

/// What a pointer says. Adds to `quarantine` what an operator should see there.
pub(crate) fn pointer(
    change: &mut CoverageChange,
    quarantine: &mut Vec<QuarantineChange>,
    pointer: &Pointer,
) {
    let items = || {
        let all = if pointer.items.is_empty() { 0..pointer.count } else { 0..0 };
        pointer.items.iter().copied().chain(all).filter(|index| *index < pointer.count)
    };
    match &pointer.outcome {
        Outcome::Parked { .. } => items().for_each(|index| change.parked(pointer.raw, index, pointer.count)),
        Outcome::Forgotten => items().for_each(|index| change.forgotten(pointer.raw, index, pointer.count)),
        Outcome::Empty => change.whole(pointer.raw, Whole::Empty),
        Outcome::Quarantined { reason } => {
            if pointer.count == 0 {
                change.whole(pointer.raw, Whole::Quarantined);
            } else {
                items().for_each(|index| change.quarantined(pointer.raw, index, pointer.count));
            }
            quarantine.push(QuarantineChange {
                raw: pointer.raw,
                reason: *reason,
                attempts: pointer.attempts,
                at_ms: pointer.at_ms,
            });
        }
    }
}
