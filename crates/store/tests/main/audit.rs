//! The audit view.

use store::{Moved, NewAuditRow, OffsetMove, verify_chain};

use crate::stage::{stage, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn audit_chains_hold_and_tampering_shows() {
    let stage = stage().await;
    let signer = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let entry = |offset: u64, tenant_name: Option<&str>| NewAuditRow {
        tenant: tenant_name.map(tenant),
        control_offset: offset,
        at_ms: 5,
        actor: "admin".into(),
        action: "tenant_added".into(),
        target: "tenant".into(),
    };
    for batch in 0..3 {
        let step = OffsetMove {
            projection: "audit",
            topic: "control",
            partition: 0,
            expected: batch * 3,
            next: batch * 3 + 3,
        };
        let entries =
            [entry(batch * 3, Some("a")), entry(batch * 3 + 1, None), entry(batch * 3 + 2, Some("a"))];
        assert_eq!(stage.writer.apply_audit(&step, &entries, &signer).await.unwrap(), Moved::Applied);
    }
    let entries = stage.reader.audit(Some(&tenant("a")), 1000, None).await.unwrap();
    let head = stage.reader.audit_head("a").await.unwrap();
    assert_eq!((entries.len(), stage.reader.audit(None, 1000, None).await.unwrap().len()), (6, 3));
    assert_eq!(verify_chain(&entries, head.as_ref(), None), Ok(()));
    let url = secrecy::ExposeSecret::expose_secret(&stage.url).to_owned();
    let tamper = "UPDATE audit_entry SET actor = 'nobody' WHERE tenant_id = 'a' AND sequence = 4";
    assert!(std::process::Command::new("psql").args([&url, "-Xqc", tamper]).status().unwrap().success());
    let entries = stage.reader.audit(Some(&tenant("a")), 1000, None).await.unwrap();
    assert!(verify_chain(&entries, head.as_ref(), None).is_err());
}
