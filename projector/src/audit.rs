//! The audit fold: every record of `control` is an entry, whoever wrote it and whatever version did.

use eventlog::Stored;
use schemas::{ControlRecord, TenantId};
use serde::Deserialize;
use store::NewAuditRow;

/// What every control record has, also one of a newer version.
#[derive(Deserialize)]
struct Head {
    at_ms: i64,
    actor: String,
    action: String,
    tenant: Option<TenantId>,
}

/// The entry of a record.
pub(crate) fn entry(stored: &Stored) -> NewAuditRow {
    let value = stored.record.value.as_deref().unwrap_or_default();
    let control_offset = stored.offset;
    if let Ok(record) = serde_json::from_slice::<ControlRecord>(value) {
        return NewAuditRow {
            tenant: record.action.tenant().cloned(),
            control_offset,
            at_ms: record.at_ms,
            actor: record.actor,
            action: record.action.as_str().to_owned(),
            target: record.action.target(),
        };
    }
    let head = serde_json::from_slice(value).unwrap_or_else(|_| Head {
        at_ms: stored.timestamp_ms,
        actor: "unknown".to_owned(),
        action: "unreadable".to_owned(),
        tenant: None,
    });
    NewAuditRow {
        tenant: head.tenant,
        control_offset,
        at_ms: head.at_ms,
        actor: head.actor,
        action: head.action,
        target: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eventlog::Record;

    use super::*;

    #[track_caller]
    fn check(value: &'static str, expected: (Option<&str>, &str, &str, &str)) {
        let record = Record { value: Some(Bytes::from_static(value.as_bytes())), ..Record::default() };
        let got = entry(&Stored { offset: 4, timestamp_ms: 9, record });
        assert_eq!(got.control_offset, 4);
        let got = (
            got.tenant.as_ref().map(TenantId::as_str),
            got.actor.as_str(),
            got.action.as_str(),
            got.target.as_str(),
        );
        assert_eq!(got, expected);
    }

    #[test]
    fn every_record_is_an_entry() {
        check(
            r#"{"at_ms":1,"actor":"admin","action":"asset_connected","tenant":"acme","asset":"whatsapp:1"}"#,
            (Some("acme"), "admin", "asset_connected", "asset whatsapp:1"),
        );
        // Of a newer version.
        check(
            r#"{"at_ms":1,"actor":"admin","action":"x","tenant":"acme"}"#,
            (Some("acme"), "admin", "x", ""),
        );
        check("{", (None, "unknown", "unreadable", ""));
    }
}
