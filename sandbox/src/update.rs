//! One update: what Meta would tell about one message, status or the like, before it is packed into a delivery.

use std::sync::Arc;

use crate::Json;

/// One update, with its number in the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) number: u32,
    pub(crate) place: Place,
    pub(crate) item: Arc<Json>,
}

/// Where in a delivery it belongs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// `entry[].messaging[]` of a page or Instagram account.
    Messaging { asset: String, at_ms: i64 },
    /// `entry[].changes[].value.messages[]`, `.statuses[]` or `.message_echoes[]`, with the contact that goes with it.
    Number {
        waba: String,
        phone_number_id: String,
        display: String,
        field: &'static str,
        list: &'static str,
        contact: Option<Arc<Json>>,
    },
    /// `entry[].changes[]` of a WhatsApp business account as a whole; the item is its `value`.
    Account { waba: String, field: &'static str, at_ms: i64 },
}
