//! The views on a real PostgreSQL: who may read what, exactly-once offsets, order-free rows, the loss equation.

#![allow(clippy::unwrap_used, reason = "tests")]

use schemas::{ConversationId, EventId, MessageKey, RawRef, Reason, TenantId};
use secrecy::SecretString;
use store::{
    ConversationChange, ConversationChanges, CoverageChange, DeletionChange, EditChange, MessageChange,
    Moved, NewAuditRow, OffsetMove, QuarantineChange, RawProgress, StatusChange, TenantCoverage, ViewsDb,
    ViewsRole, WatermarkChange, Whole, verify_chain,
};
use testkit::Postgres;

struct Stage {
    _postgres: Postgres,
    url: SecretString,
    writer: ViewsDb,
    reader: ViewsDb,
}

async fn stage() -> Stage {
    let postgres = Postgres::start().await.unwrap();
    let url: SecretString = postgres.database().await.unwrap().into();
    store::migrate_views(&url).await.unwrap();
    let writer = ViewsDb::connect(&url, ViewsRole::Projector, 4).await.unwrap();
    let reader = ViewsDb::connect(&url, ViewsRole::Reader, 4).await.unwrap();
    Stage { _postgres: postgres, url, writer, reader }
}

impl Stage {
    /// How many rows the coverage table holds.
    async fn rows(&self) -> String {
        let url = secrecy::ExposeSecret::expose_secret(&self.url);
        let output = std::process::Command::new("psql")
            .args([url, "-XqtAc", "SELECT count(*) FROM coverage"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

const fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

const fn key(n: u8) -> MessageKey {
    MessageKey::from_bytes([n; 16])
}

fn step(expected: u64, next: u64) -> OffsetMove<'static> {
    OffsetMove { projection: "conversation", topic: "events", partition: 0, expected, next }
}

fn message(changes: &mut ConversationChanges, tenant_name: &str, n: u8, at_ms: i64, direction: &'static str) {
    let conversations = ConversationChange {
        channel: "whatsapp",
        asset: "whatsapp:1".into(),
        subject: None,
        last_at_ms: at_ms,
    };
    changes.conversations.insert((tenant(tenant_name), conversation(1)), conversations);
    let content = format!(r#"{{"kind":"text","text":"text {n}"}}"#);
    let change = MessageChange {
        imported: false,
        at_ms,
        event: EventId::from_bytes([n; 16]),
        conversation: conversation(1),
        direction,
        kind: "text".into(),
        content: content.into_bytes(),
    };
    changes.messages.insert((tenant(tenant_name), key(n)), change);
}

async fn texts(db: &ViewsDb, name: &str) -> Vec<String> {
    let rows = db.messages(&tenant(name), conversation(1), 1000, None).await.unwrap();
    let show = |row: &store::MessageRow| {
        let status = row.status.map_or("-", |status| status.as_str());
        format!(
            "{} {status} {}",
            row.text.as_deref().unwrap_or("(none)"),
            if row.deleted { "deleted" } else { "" }
        )
    };
    rows.iter().map(|row| show(row).trim_end().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_one_tenant_and_writes_nothing() {
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    message(&mut changes, "a", 1, 10, "in");
    message(&mut changes, "b", 2, 20, "in");
    assert_eq!(stage.writer.apply_conversation(&step(0, 2), &changes).await.unwrap(), Moved::Applied);
    assert_eq!(texts(&stage.reader, "a").await, ["text 1 -"]);
    assert_eq!(texts(&stage.reader, "b").await, ["text 2 -"]);
    assert_eq!(texts(&stage.reader, "c").await, [""; 0]);
    assert_eq!(stage.reader.conversations(&tenant("a"), 10, None).await.unwrap().len(), 1);
    let refused = stage.reader.apply_conversation(&step(2, 3), &changes).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");

    // The database itself refuses, whatever a query forgets: no tenant set is an error or nothing, another tenant nothing.
    let ask = |setting: &str, sql: &str| {
        let url = secrecy::ExposeSecret::expose_secret(&stage.url).to_owned();
        let script = format!("SET ROLE tidings_reader; {setting}; {sql}");
        let output = std::process::Command::new("psql").args([&url, "-XqtAc", &script]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let tables = [
        "conversation",
        "contact",
        "message",
        "message_edit",
        "message_deletion",
        "reaction",
        "status",
        "watermark",
        "audit_entry",
        "audit_head",
    ];
    for table in tables {
        let count = format!("SELECT count(*) FROM {table}");
        assert!(!ask("SELECT 1", &count).0, "{table} without a tenant");
        assert_eq!(
            ask("SELECT set_config('app.tenant', '', false)", &count).1,
            "\n0".trim_start(),
            "{table}"
        );
        let (_, foreign) = ask(
            "SELECT set_config('app.tenant', 'b', false)",
            &format!("SELECT count(*) FROM {table} WHERE tenant_id = 'a'"),
        );
        assert_eq!(foreign.lines().last(), Some("0"), "{table}");
    }
    // Every table that names a tenant is under forced row-level security, and nothing in the schema goes around it.
    let gaps = "SELECT string_agg(c.relname, ',') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relkind = 'r' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)";
    let url = secrecy::ExposeSecret::expose_secret(&stage.url).to_owned();
    let output = std::process::Command::new("psql").args([&url, "-XqtAc", gaps]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_offset_move_together_and_once() {
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    message(&mut changes, "a", 1, 10, "in");
    // Two projectors with the same batch: one applies, the other learns of it.
    let batch = step(0, 5);
    let (first, second) = tokio::join!(
        stage.writer.apply_conversation(&batch, &changes),
        stage.writer.apply_conversation(&batch, &changes),
    );
    let mut outcomes = [first.unwrap(), second.unwrap()];
    outcomes.sort_by_key(|moved| *moved == Moved::Conflict);
    assert_eq!(outcomes, [Moved::Applied, Moved::Conflict]);
    assert_eq!(stage.writer.offset("conversation", "events", 0).await.unwrap(), Some(5));
    assert_eq!(stage.writer.offset("conversation", "events", 1).await.unwrap(), None);
    assert_eq!(stage.writer.apply_conversation(&step(4, 9), &changes).await.unwrap(), Moved::Conflict);
    // Whoever comes from further along after a crash took back the first batches must not leave them out.
    let lost = OffsetMove { partition: 1, ..step(4, 9) };
    assert_eq!(stage.writer.apply_conversation(&lost, &changes).await.unwrap(), Moved::Conflict);
    assert_eq!(stage.writer.offset("conversation", "events", 1).await.unwrap(), None);
    // Retention may have removed what a place would begin with.
    assert_eq!(stage.writer.begin_offset("conversation", "events", 1, 4).await.unwrap(), 4);
    assert_eq!(stage.writer.begin_offset("conversation", "events", 1, 7).await.unwrap(), 4);
    assert_eq!(stage.writer.apply_conversation(&lost, &changes).await.unwrap(), Moved::Applied);
    assert_eq!(texts(&stage.reader, "a").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_do_not_depend_on_the_order_of_changes() {
    let stage = stage().await;
    let mut parts = Vec::new();
    let mut change = |fill: &dyn Fn(&mut ConversationChanges)| {
        let mut changes = ConversationChanges::default();
        fill(&mut changes);
        parts.push(changes);
    };
    let at = |n: u8| (tenant("a"), key(n));
    let edit = |revision: i64, text: &str| EditChange {
        revision,
        at_ms: 50,
        event: EventId::from_bytes([9; 16]),
        content: format!(r#"{{"text":"{text}"}}"#).into_bytes(),
    };
    change(&|changes| message(changes, "a", 1, 10, "out"));
    change(&|changes| message(changes, "a", 2, 20, "out"));
    change(&|changes| message(changes, "a", 3, 30, "out"));
    change(&|changes| _ = changes.edits.insert(at(1), edit(1, "first edit")));
    change(&|changes| _ = changes.edits.insert(at(1), edit(2, "second edit")));
    change(&|changes| _ = changes.deletions.insert(at(2), DeletionChange { at_ms: 40 }));
    change(&|changes| _ = changes.edits.insert(at(2), edit(1, "too late")));
    change(&|changes| _ = changes.statuses.insert(at(1), StatusChange { rank: 3, failed: false }));
    change(&|changes| _ = changes.statuses.insert(at(1), StatusChange { rank: 1, failed: true }));
    change(&|changes| _ = changes.statuses.insert(at(3), StatusChange { rank: 0, failed: true }));
    change(&|changes| _ = changes.statuses.insert(at(3), StatusChange { rank: 1, failed: false }));
    change(&|changes| {
        changes.watermarks.insert((tenant("a"), conversation(1), 2), WatermarkChange { at_ms: 20 });
    });
    let expected = ["second edit read", "(none) delivered deleted", "text 3 failed"];
    let mut offset = 0;
    for turn in 0..parts.len() {
        let url: SecretString = stage._postgres.database().await.unwrap().into();
        store::migrate_views(&url).await.unwrap();
        let writer = ViewsDb::connect(&url, ViewsRole::Projector, 2).await.unwrap();
        parts.rotate_left(turn + 1);
        // Each change twice, in this order.
        for changes in parts.iter().chain(parts.iter().rev()) {
            assert_eq!(
                writer.apply_conversation(&step(offset, offset + 1), changes).await.unwrap(),
                Moved::Applied
            );
            offset += 1;
        }
        let reader = ViewsDb::connect(&url, ViewsRole::Reader, 2).await.unwrap();
        assert_eq!(texts(&reader, "a").await, expected, "turn {turn}");
        offset = 0;
    }
    // What was deleted is not in the tables either, whichever came first.
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_equation_adds_up() {
    let stage = stage().await;
    let raw = |offset| RawRef { partition: 0, offset };
    let (one, other) = (tenant("one"), tenant("other"));
    let mut at = 0;
    let mut cover = async |change: CoverageChange, quarantine: &[QuarantineChange]| {
        let step =
            OffsetMove { projection: "coverage", topic: "events", partition: 0, expected: at, next: at + 1 };
        assert_eq!(stage.writer.apply_coverage(&step, &change, quarantine).await.unwrap(), Moved::Applied);
        at += 1;
    };
    // 0: two items, routed in two batches. 1: three items, one parked. 2: not readable. 3: empty. 4: nothing known. 5: routed.
    let mut change = CoverageChange::default();
    change.routed(&one, raw(0), 0, 2);
    change.routed(&one, raw(1), 0, 3);
    change.routed(&other, raw(1), 2, 3);
    change.routed(&one, raw(5), 0, 1);
    cover(change, &[]).await;
    let mut change = CoverageChange::default();
    change.routed(&one, raw(0), 1, 2);
    change.parked(raw(1), 1, 3);
    change.whole(raw(2), Whole::Quarantined);
    change.whole(raw(3), Whole::Empty);
    let pointer = QuarantineChange { raw: raw(2), reason: Reason::NotJson, attempts: 1, at_ms: 7 };
    cover(change, std::slice::from_ref(&pointer)).await;

    let progress = [RawProgress { partition: 0, committed: 6, end: 7 }];
    for round in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        let coverage = stage.reader.coverage(&progress).await.unwrap();
        assert_eq!(
            (coverage.received, coverage.items, coverage.routed),
            (7, 7, 5),
            "round {round}: {coverage:?}"
        );
        assert_eq!((coverage.unroutable, coverage.quarantined), (1, 1));
        assert_eq!(coverage.items, coverage.routed + coverage.unroutable + coverage.quarantined);
        assert_eq!((coverage.missing_count, coverage.missing.as_slice()), (1, &[raw(4)][..]));
    }
    assert_eq!(stage.reader.unfolded_coverage().await.unwrap(), None);
    assert_eq!(stage.reader.quarantine().await.unwrap().len(), 1);

    // The hole is filled, the parked item and the unreadable delivery are routed; a repeat of what is folded is nothing new.
    let mut change = CoverageChange::default();
    change.routed(&one, raw(4), 0, 1);
    change.routed(&one, raw(1), 1, 3);
    change.routed(&one, raw(2), 0, 1);
    change.routed(&one, raw(0), 0, 2);
    cover(change, &[]).await;
    for round in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        let coverage = stage.reader.coverage(&progress).await.unwrap();
        assert_eq!((coverage.items, coverage.routed), (8, 8), "round {round}: {coverage:?}");
        assert_eq!((coverage.unroutable, coverage.quarantined, coverage.missing_count), (0, 0, 0));
    }
    assert_eq!(stage.reader.quarantine().await.unwrap(), []);
    // Nothing leaves before it was applied; a parked delivery that came late does not hold up the others. Five are left.
    assert_eq!(stage.reader.coverage(&progress).await.unwrap().projected, 0);
    assert_eq!(stage.rows().await, "5");
    let mut changes = ConversationChanges::default();
    for (offset, index, count) in [(0, 0, 2), (0, 1, 2), (4, 0, 1), (5, 0, 1), (1, 0, 3)] {
        changes.applied.routed(&one, raw(offset), index, count);
    }
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    for _ in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        assert_eq!(stage.reader.coverage(&progress).await.unwrap().projected, 5);
    }
    // What is left: two of three items of the second delivery, and the third delivery.
    assert_eq!(stage.rows().await, "2");
    let mut changes = ConversationChanges::default();
    for (offset, index, count) in [(1, 1, 3), (1, 2, 3), (2, 0, 1), (0, 0, 2), (5, 0, 1)] {
        let whose = if (offset, index) == (1, 2) { &other } else { &one };
        changes.applied.routed(whose, raw(offset), index, count);
    }
    stage.writer.apply_conversation(&step(1, 2), &changes).await.unwrap();
    let mut change = CoverageChange::default();
    change.parked(raw(1), 1, 3);
    change.routed(&one, raw(5), 0, 1);
    cover(change, &[]).await;
    for _ in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        let coverage = stage.reader.coverage(&progress).await.unwrap();
        assert_eq!((coverage.items, coverage.routed, coverage.projected), (8, 8, 8));
        // Each item once, however often it came and in whichever of its batches.
        let of = |tenant: &TenantId, items| TenantCoverage {
            tenant: tenant.clone(),
            routed: items,
            projected: items,
        };
        assert_eq!(coverage.tenants, [of(&one, 7), of(&other, 1)]);
    }
    assert_eq!(stage.rows().await, "0");
}

/// Repeats of what is leaving, or has left, come while others fold: nothing is counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn folding_while_batches_come_counts_everything_once() {
    const DELIVERIES: u64 = 400;
    const MARKERS: u64 = 4;
    const ROUNDS: u64 = 5;
    let stage = std::sync::Arc::new(stage().await);
    let raw = |offset| RawRef { partition: 0, offset };
    // Each marker reads a partition of its own; all of them bring all deliveries again and again, some far behind others.
    let mut markers = tokio::task::JoinSet::new();
    for marker in 0..MARKERS {
        let stage = stage.clone();
        markers.spawn(async move {
            let partition = u32::try_from(marker).unwrap();
            let at = |projection, expected| OffsetMove {
                projection,
                topic: "events",
                partition,
                expected,
                next: expected + 1,
            };
            let mut number = 0;
            for round in 0..ROUNDS {
                for first in (0..DELIVERIES).step_by(10) {
                    let mut change = CoverageChange::default();
                    for offset in first..first + 10 {
                        // Of three items one is this marker's own; the last marker repeats everybody's.
                        let whole = marker + 1 == MARKERS && round > 0;
                        for index in (0..3).filter(|index| whole || u64::from(*index) == marker % 3) {
                            change.routed(&tenant("one"), raw(offset), index, 3);
                        }
                    }
                    let changes = ConversationChanges { applied: change.clone(), ..Default::default() };
                    let moved = stage.writer.apply_conversation(&at("conversation", number), &changes).await;
                    assert_eq!(moved.unwrap(), Moved::Applied);
                    let moved = stage.writer.apply_coverage(&at("coverage", number), &change, &[]).await;
                    assert_eq!(moved.unwrap(), Moved::Applied);
                    number += 1;
                }
            }
        });
    }
    let folding = async {
        while !markers.is_empty() || stage.reader.unfolded_coverage().await.unwrap().is_some() {
            // Two at once: one of them has nothing to do.
            let both = tokio::join!(stage.writer.fold_coverage(), stage.writer.fold_coverage());
            both.0.and(both.1).unwrap();
            while let Some(ended) = markers.try_join_next() {
                ended.unwrap();
            }
        }
    };
    let limit = std::time::Duration::from_secs(120);
    tokio::time::timeout(limit, folding).await.expect("everything is folded in the end");
    assert_eq!(stage.rows().await, "0", "everything has left");
    let progress = [RawProgress { partition: 0, committed: DELIVERIES, end: DELIVERIES }];
    let coverage = stage.reader.coverage(&progress).await.unwrap();
    let items = 3 * DELIVERIES;
    assert_eq!((coverage.items, coverage.routed, coverage.projected), (items, items, items));
    assert_eq!(coverage.missing_count, 0);
    let counted = TenantCoverage { tenant: tenant("one"), routed: items, projected: items };
    assert_eq!(coverage.tenants, [counted]);
}

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

#[tokio::test(flavor = "multi_thread")]
async fn many_migrate_at_once_and_a_newer_schema_is_refused() {
    let stage = stage().await;
    let url: SecretString = stage._postgres.database().await.unwrap().into();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { store::migrate_views(&url).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let db = ViewsDb::connect(&url, ViewsRole::Reader, 1).await.unwrap();
    db.check_schema().await.unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&url).to_owned();
    assert!(
        std::process::Command::new("psql")
            .args([&text, "-Xqc", "UPDATE schema_version SET version = 99"])
            .status()
            .unwrap()
            .success()
    );
    let refused = db.check_schema().await.unwrap_err().to_string();
    assert!(refused.contains("99") && refused.contains("update this program"), "{refused}");
    assert!(store::migrate_views(&url).await.is_err());
    // Errors do not repeat the address, which may hold a password.
    let wrong: SecretString = "postgres://user:hunter2@:::".to_owned().into();
    let refused = store::migrate_views(&wrong).await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
}
