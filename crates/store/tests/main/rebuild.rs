//! A view made anew beside the one that is read: the same tables, readers that notice nothing, and people who stay forgotten.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schemas::TenantId;
use secrecy::{ExposeSecret, SecretString};
use store::{
    ConversationChanges, Moved, OffsetMove, Rebuild, RebuildWriter, TableDifference, ViewsDb, ViewsRole,
};
use testkit::Postgres;
use tokio_postgres::NoTls;

use crate::stage::{
    ROWS_EACH, Stage, ask, conversation, everything_of, message, person, stage, step, tenant, texts,
};

const TABLES: [&str; 9] = [
    "conversation",
    "contact",
    "watermark",
    "message",
    "message_edit",
    "message_deletion",
    "status",
    "reaction",
    "attachment",
];

async fn begin(url: &SecretString) -> Rebuild {
    Rebuild::begin(url, "events", 2).await.unwrap().expect("nobody else is at it")
}

/// Writes the same as the live projection did.
async fn write(writer: &RebuildWriter, place: (u64, u64), changes: &ConversationChanges) {
    let moved = writer.apply(&step(place.0, place.1), &[], |_| changes.clone()).await.unwrap();
    assert_eq!(moved, Moved::Applied);
}

fn differing(tables: &[TableDifference]) -> BTreeMap<&'static str, (u64, u64)> {
    let differs = tables.iter().filter(|table| table.differs > 0);
    differs.map(|table| (table.table, (table.differs, table.resealed))).collect()
}

/// Everything that makes a table what it is, as text.
fn definition(url: &SecretString, schema: &str) -> String {
    let list: Vec<String> = TABLES.iter().map(|table| format!("'{schema}.{table}'::regclass")).collect();
    let sql = format!(
        "WITH t AS (SELECT unnest(ARRAY[{}]) AS id)
         SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
             SELECT relname::text || ' ' || relrowsecurity || relforcerowsecurity || coalesce(reloptions::text, '') || relowner::regrole
                 || (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(relacl) x) AS line
             FROM pg_class JOIN t ON id = oid
             UNION ALL SELECT relname::text || attnum || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull || attstorage::text
             FROM pg_attribute JOIN t ON id = attrelid JOIN pg_class c ON c.oid = id WHERE attnum > 0
             UNION ALL SELECT conname || ' ' || pg_get_constraintdef(o.oid) FROM pg_constraint o JOIN t ON id = conrelid
             UNION ALL SELECT replace(pg_get_indexdef(indexrelid), '{schema}.', '') FROM pg_index JOIN t ON id = indrelid
             UNION ALL SELECT relname::text || ' ' || polname || polcmd::text || polpermissive || polroles::regrole[]::text
                 || coalesce(pg_get_expr(polqual, polrelid), '') || coalesce(pg_get_expr(polwithcheck, polrelid), '')
             FROM pg_policy JOIN t ON id = polrelid JOIN pg_class c ON c.oid = id) x",
        list.join(",")
    );
    ask(url, &sql).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_the_place_is_defined_as_what_was_there_and_says_what_the_log_says() {
    let stage = stage().await;
    let before = definition(&stage.url, "public");
    assert!(before.contains("tidings_keeper") && before.contains("fillfactor"), "{before}");
    let mut changes = ConversationChanges::default();
    for n in [7, 8] {
        everything_of(&mut changes, n, 10);
        message(&mut changes, "b", n, 10, "in");
    }
    stage.writer.apply_conversation(&step(0, 5), &changes).await.unwrap();
    // The live view is wrong: a row too many, one too few, one that is another, one that is only sealed otherwise.
    for wrong in [
        "INSERT INTO conversation VALUES ('a', '\\x01', 'whatsapp', 'whatsapp:9', NULL, 1)",
        "DELETE FROM contact WHERE subject_id = '\\x07070707070707070707070707070707'",
        "UPDATE message SET at_ms = 11 WHERE tenant_id = 'b' AND event_id = '\\x07070707070707070707070707070707'",
        "UPDATE reaction SET content = 'x' WHERE message_id = '\\x08080808080808080808080808080808'",
    ] {
        assert!(stage.ask(wrong).is_some());
    }
    let mut turn = begin(&stage.url).await;
    assert!(Rebuild::begin(&stage.url, "events", 1).await.unwrap().is_none(), "one at a time");
    assert_eq!(definition(&stage.url, "rebuild"), before);
    write(&turn.writer(), (0, 5), &changes).await;
    turn.prepare().await.unwrap();
    let look = turn.hold().await.unwrap().look().await.unwrap();
    // What comes after the look does not disturb it.
    let mut later = ConversationChanges::default();
    everything_of(&mut later, 9, 10);
    stage.writer.apply_conversation(&step(5, 6), &later).await.unwrap();
    let tables = look.compare().await.unwrap();
    assert_eq!(
        differing(&tables),
        BTreeMap::from([
            ("conversation", (1, 0)),
            ("contact", (1, 0)),
            ("message", (1, 0)),
            ("reaction", (1, 1)),
        ])
    );
    let rows: BTreeMap<_, _> = tables.iter().map(|table| (table.table, table.rows)).collect();
    assert_eq!((rows["conversation"], rows["message"], rows["watermark"]), (3, 4, 2));

    write(&turn.writer(), (5, 6), &later).await;
    assert!(turn.hold().await.unwrap().switch(2_000).await.unwrap());
    drop(turn);
    assert_eq!(definition(&stage.url, "public"), before);
    let left = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('rebuild', 'retired')";
    assert_eq!(stage.ask(left).unwrap(), "0");
    assert_eq!(
        stage.ask("SELECT string_agg(projection, '') FROM projection_offset").unwrap(),
        "conversation"
    );
    assert_eq!(
        stage.ask("SELECT count(*), count(*) FILTER (WHERE asset = 'whatsapp:9') FROM conversation").unwrap(),
        "4|0"
    );
    assert_eq!(stage.ask("SELECT count(*) FROM contact").unwrap(), "3");
    // Who writes and who reads does so as before.
    assert_eq!(texts(&stage.reader, "b").await, ["text 7 -", "text 8 -"]);
    message(&mut later, "b", 9, 20, "out");
    assert_eq!(stage.writer.apply_conversation(&step(6, 7), &later).await.unwrap(), Moved::Applied);
    assert_eq!(texts(&stage.reader, "b").await.len(), 3);
    assert!(stage.reader.apply_conversation(&step(7, 8), &later).await.is_err());
    // What a rebuild applies is never counted as applied.
    assert_eq!(stage.ask("SELECT count(*) FROM coverage_mark").unwrap(), "0");

    // And again: now they are the same.
    let mut turn = begin(&stage.url).await;
    for (place, changes) in [((0, 5), &changes), ((5, 7), &later)] {
        write(&turn.writer(), place, changes).await;
    }
    let tables = turn.hold().await.unwrap().look().await.unwrap().compare().await.unwrap();
    assert_eq!(differing(&tables), BTreeMap::new());
    turn.discard().await.unwrap();
    assert_eq!(stage.ask(left).unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_was_or_begins_anew() {
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    message(&mut changes, "a", 1, 10, "in");
    stage.writer.apply_conversation(&step(0, 9), &changes).await.unwrap();
    let place = |turn: &BTreeMap<u32, u64>| turn.get(&0).copied();
    let turn = begin(&stage.url).await;
    write(&turn.writer(), (0, 4), &changes).await;
    let again = turn.writer().apply(&step(0, 4), &[], |_| panic!("it is not there any more")).await;
    assert_eq!(again.unwrap(), Moved::Conflict);
    drop(turn);
    // Broken off: goes on.
    let turn = wait_for_turn(&stage).await;
    assert_eq!(place(&turn.places().await.unwrap()), Some(4));
    assert_eq!(place(&turn.live_places().await.unwrap()), Some(9));
    assert_eq!(turn.writer().live_place(0).await.unwrap(), 9);
    drop(turn);
    // Of another version, ahead of the live view as after a restore, or of another topic: begins anew.
    for change in [
        "UPDATE rebuild.origin SET made_by = 'another'",
        "UPDATE projection_offset SET next = 3 WHERE projection = 'conversation'",
        "UPDATE projection_offset SET topic = 'other' WHERE projection = 'conversation-rebuild'",
    ] {
        assert!(stage.ask(change).is_some());
        let turn = wait_for_turn(&stage).await;
        assert_eq!(place(&turn.places().await.unwrap()), None, "{change}");
        assert_eq!(stage.ask("SELECT count(*) FROM rebuild.message").unwrap(), "0");
        write(&turn.writer(), (0, 4), &changes).await;
        drop(turn);
        stage.ask("UPDATE projection_offset SET next = 9 WHERE projection = 'conversation'").unwrap();
    }
}

/// A session that has just ended holds its lock for a moment.
async fn wait_for_turn(stage: &Stage) -> Rebuild {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(turn) = Rebuild::begin(&stage.url, "events", 2).await.unwrap() {
            return turn;
        }
        assert!(Instant::now() < end, "the turn is never free");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_forgotten_meanwhile_is_forgotten_in_both() {
    let stage = stage().await;
    let keeper = ViewsDb::connect(&stage.url, ViewsRole::Keeper, 2).await.unwrap();
    let (a, b) = (tenant("a"), tenant("b"));
    let mut changes = ConversationChanges::default();
    for n in [6, 7, 8, 9] {
        everything_of(&mut changes, n, 10);
    }
    message(&mut changes, "b", 1, 10, "in");
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let mut turn = begin(&stage.url).await;
    // One before anything is written beside, one after; one tenant that ends.
    keeper.forget(&a, person(7)).await.unwrap();
    let people = [(a.clone(), person(6)), (a.clone(), person(7)), (b.clone(), person(7))];
    let (writer, whole) = (turn.writer(), step(0, 1));
    let moved = writer.apply(&whole, &people, |forgotten| {
        assert_eq!(forgotten.iter().cloned().collect::<Vec<_>>(), [(a.clone(), person(7))]);
        changes.clone()
    });
    assert_eq!(moved.await.unwrap(), Moved::Applied);
    keeper.forget(&a, person(8)).await.unwrap();
    keeper.forget_tenant(&b).await.unwrap();
    let mut held = turn.hold().await.unwrap();
    held.leave_out(&[]).await.unwrap();
    let tables = held.look().await.unwrap().compare().await.unwrap();
    assert_eq!(differing(&tables), BTreeMap::new());
    assert!(turn.hold().await.unwrap().switch(2_000).await.unwrap());
    for (n, rows) in [(6, ROWS_EACH), (7, 0), (8, 0), (9, ROWS_EACH)] {
        assert_eq!(keeper.rows_of(&a, person(n)).await.unwrap(), rows, "person {n}");
    }
    assert_eq!(keeper.rows_of_tenant(&b).await.unwrap(), 0);
    // After the switch there is nothing beside, and forgetting is as before.
    assert_eq!(keeper.forget(&a, person(9)).await.unwrap(), ROWS_EACH);
    // A tenant may be left out that the log still speaks of.
    drop(turn);
    let mut turn = wait_for_turn(&stage).await;
    write(&turn.writer(), (0, 1), &changes).await;
    let mut held = turn.hold().await.unwrap();
    held.leave_out(std::slice::from_ref(&b)).await.unwrap();
    assert!(held.switch(2_000).await.unwrap());
    assert_eq!(keeper.rows_of_tenant(&b).await.unwrap(), 0);
    assert_eq!(keeper.rows_of(&a, person(6)).await.unwrap(), ROWS_EACH);
}

/// Readers with statements that they prepared long ago, in transactions of several statements, while tables change places
/// again and again.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_outlive_the_switch_and_no_reader_fails() {
    const SWITCHES: usize = 5;
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    for n in 1..=20 {
        message(&mut changes, "a", n, i64::from(n), "in");
    }
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (url, stop) = (stage.url.clone(), stop.clone());
        readers.spawn(async move {
            let (mut client, connection) = tokio_postgres::connect(url.expose_secret(), NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute("SET ROLE tidings_reader; SET app.tenant = 'a'").await.unwrap();
            let of = "WHERE tenant_id = 'a' AND conversation_id = $1";
            let conversations = client.prepare(&format!("SELECT * FROM conversation {of}")).await.unwrap();
            let messages =
                client.prepare(&format!("SELECT * FROM message {of} ORDER BY at_ms")).await.unwrap();
            let id = conversation(1).as_bytes().to_vec();
            let (mut reads, mut longest) = (0_u64, Duration::ZERO);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let began = Instant::now();
                let transaction = client.build_transaction().read_only(true).start().await.unwrap();
                assert_eq!(transaction.query(&conversations, &[&id]).await.unwrap().len(), 1);
                assert_eq!(transaction.query(&messages, &[&id]).await.unwrap().len(), 20);
                transaction.commit().await.unwrap();
                longest = longest.max(began.elapsed());
                reads += 1;
            }
            (reads, longest)
        });
    }
    let reader = stage.reader.clone();
    let stopped = stop.clone();
    let shown = tokio::spawn(async move {
        let mut reads = 0_u64;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(texts(&reader, "a").await.len(), 20);
            reads += 1;
        }
        reads
    });
    let mut tries = 0;
    for place in 1..=SWITCHES as u64 {
        let mut turn = wait_for_turn(&stage).await;
        write(&turn.writer(), (0, place), &changes).await;
        turn.prepare().await.unwrap();
        loop {
            tries += 1;
            if turn.hold().await.unwrap().switch(50).await.unwrap() {
                break;
            }
        }
        drop(turn);
        // The live projection's own statements too.
        assert_eq!(
            stage.writer.apply_conversation(&step(place, place + 1), &changes).await.unwrap(),
            Moved::Applied
        );
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut reads = shown.await.unwrap();
    let mut longest = Duration::ZERO;
    while let Some(reader) = readers.join_next().await {
        let (each, slowest) = reader.unwrap();
        assert!(each > 0);
        reads += each;
        longest = longest.max(slowest);
    }
    println!(
        "promise=switch switches={SWITCHES} tries={tries} reads={reads} failed_reads=0 longest_read_ms={}",
        longest.as_millis()
    );
}

/// Tables in use, as by a backup, are not waited for at the cost of readers.
#[tokio::test(flavor = "multi_thread")]
async fn tables_in_use_are_left_alone() {
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    message(&mut changes, "a", 1, 10, "in");
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let mut turn = begin(&stage.url).await;
    write(&turn.writer(), (0, 1), &changes).await;
    let (client, connection) = tokio_postgres::connect(stage.url.expose_secret(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE attachment IN ACCESS SHARE MODE").await.unwrap();
    assert!(!turn.hold().await.unwrap().switch(20).await.unwrap());
    // Nothing has changed, nobody is held up any more, and it can be tried again.
    assert_eq!(texts(&stage.reader, "a").await.len(), 1);
    assert_eq!(stage.writer.apply_conversation(&step(1, 2), &changes).await.unwrap(), Moved::Applied);
    write(&turn.writer(), (1, 2), &changes).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert!(turn.hold().await.unwrap().switch(2_000).await.unwrap());
    assert_eq!(texts(&stage.reader, "a").await.len(), 1);
}

/// In production the tables belong to somebody who is no superuser, and row-level security holds for them too.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_further_rights_can_do_it() {
    let postgres = Postgres::start().await.unwrap();
    let superuser: SecretString = postgres.database().await.unwrap().into();
    let created = "CREATE ROLE app LOGIN NOSUPERUSER CREATEROLE";
    assert!(ask(&superuser, created).is_some());
    assert!(ask(&superuser, "CREATE DATABASE apps OWNER app").is_some());
    // Of two settings of one name the later one holds.
    let url: SecretString = format!("{} user=app dbname=apps", superuser.expose_secret()).into();
    store::migrate_views(&url).await.unwrap();
    assert_eq!(
        ask(&url, "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user").unwrap(),
        "app|f"
    );
    let writer = ViewsDb::connect(&url, ViewsRole::Projector, 2).await.unwrap();
    let reader = ViewsDb::connect(&url, ViewsRole::Reader, 2).await.unwrap();
    let keeper = ViewsDb::connect(&url, ViewsRole::Keeper, 2).await.unwrap();
    let before = definition(&url, "public");
    let mut changes = ConversationChanges::default();
    everything_of(&mut changes, 7, 10);
    everything_of(&mut changes, 8, 10);
    message(&mut changes, "b", 1, 10, "in");
    writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let mut turn = begin(&url).await;
    write(&turn.writer(), (0, 1), &changes).await;
    keeper.forget(&tenant("a"), person(7)).await.unwrap();
    turn.prepare().await.unwrap();
    let mut held = turn.hold().await.unwrap();
    let rest = OffsetMove { expected: 1, next: 2, ..step(1, 2) };
    held.apply(&rest, &[], |_| ConversationChanges::default()).await.unwrap();
    let ended: [TenantId; 1] = [tenant("b")];
    held.leave_out(&ended).await.unwrap();
    let tables = held.look().await.unwrap().compare().await.unwrap();
    assert_eq!(differing(&tables), BTreeMap::from([("conversation", (1, 0)), ("message", (1, 0))]));
    assert!(tables.iter().any(|table| table.table == "message" && table.rows == 1));
    assert!(turn.hold().await.unwrap().switch(2_000).await.unwrap());
    assert_eq!(definition(&url, "public"), before);
    assert_eq!(reader.conversations(&tenant("a"), 10, None).await.unwrap().len(), 1);
    assert_eq!(keeper.rows_of(&tenant("a"), person(8)).await.unwrap(), ROWS_EACH);
    assert_eq!(keeper.rows_of(&tenant("a"), person(7)).await.unwrap(), 0);
}
