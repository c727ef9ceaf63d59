//! The conversation view: who may read what, exactly-once offsets, order-free rows, and people who were forgotten.

use schemas::{AttachmentId, ConversationId, Field, FileState};
use store::{
    AttachmentChange, AttachmentName, AttachmentOutcome, ConversationChanges, DeletionChange, EditChange,
    Moved, OffsetMove, ReactionChange, SealedPart, StatusChange, ViewsDb, ViewsRole, WatermarkChange,
};

use crate::stage::{
    ROWS_EACH, ask, conversation, event, everything_of, key, message, person, stage, step, tenant, texts,
};

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
        "attachment",
        "forgotten",
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
    // The queue of files to fetch is the attachments worker's alone, and that sees nothing else.
    for table in ["attachment_job", "attachment_unsent"] {
        assert!(!ask("SELECT set_config('app.tenant', 'a', false)", &format!("SELECT FROM {table}")).0);
        assert!(stage.ask(&format!("SET ROLE tidings_attachments; SELECT count(*) FROM {table}")).is_some());
    }
    for table in tables.iter().filter(|table| **table != "forgotten") {
        let refused = stage.ask(&format!("SET ROLE tidings_attachments; SELECT FROM {table}"));
        assert_eq!(refused, None, "{table}");
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
        event: event(9),
        subject: Some(person(1)),
        content: format!(r#"{{"text":"{text}"}}"#).into_bytes(),
    };
    change(&|changes| message(changes, "a", 1, 10, "out"));
    change(&|changes| message(changes, "a", 2, 20, "out"));
    change(&|changes| message(changes, "a", 3, 30, "out"));
    change(&|changes| _ = changes.edits.insert(at(1), edit(1, "first edit")));
    change(&|changes| _ = changes.edits.insert(at(1), edit(2, "second edit")));
    change(&|changes| {
        _ = changes.deletions.insert(at(2), DeletionChange { subject: Some(person(1)), at_ms: 40 })
    });
    change(&|changes| _ = changes.edits.insert(at(2), edit(1, "too late")));
    change(&|changes| {
        _ = changes.statuses.insert(at(1), StatusChange { subject: Some(person(1)), rank: 3, failed: false })
    });
    change(&|changes| {
        _ = changes.statuses.insert(at(1), StatusChange { subject: None, rank: 1, failed: true })
    });
    change(&|changes| {
        _ = changes.statuses.insert(at(3), StatusChange { subject: Some(person(1)), rank: 0, failed: true })
    });
    change(&|changes| {
        _ = changes.statuses.insert(at(3), StatusChange { subject: Some(person(2)), rank: 1, failed: false })
    });
    change(&|changes| {
        changes.watermarks.insert(
            (tenant("a"), conversation(1), 2),
            WatermarkChange { subject: Some(person(1)), at_ms: 20 },
        );
    });
    // A file is named, failed, is stored after all; another one is never named.
    let file = |n: u8| (tenant("a"), AttachmentId::from_bytes([n; 16]));
    let became = |rank: i16, reason: Option<&str>, bytes: Option<i64>| AttachmentChange {
        subject: Some(person(1)),
        named: None,
        outcome: AttachmentOutcome { rank, bytes, media_type: None, reason: reason.map(Into::into) },
        at_ms: i64::from(rank),
    };
    change(&|changes| {
        let name = AttachmentName { message: key(3), event: event(3), position: 0, kind: "image".into() };
        let named =
            AttachmentChange { subject: Some(person(1)), named: Some(name), at_ms: 30, ..Default::default() };
        changes.attachments.insert(file(1), named);
    });
    change(&|changes| _ = changes.attachments.insert(file(1), became(1, Some("timeout"), None)));
    change(&|changes| _ = changes.attachments.insert(file(1), became(4, None, Some(9))));
    change(&|changes| _ = changes.attachments.insert(file(2), became(3, Some("too_large"), None)));
    let expected = ["second edit read", "(none) delivered deleted", "text 3 failed"];
    let mut offset = 0;
    let (url, writer, reader) = (&stage.url, &stage.writer, &stage.reader);
    for turn in 0..parts.len() {
        let empty = "TRUNCATE conversation, message, message_edit, message_deletion, status, watermark, attachment, projection_offset";
        assert!(stage.ask(empty).is_some());
        parts.rotate_left(turn + 1);
        // Each change twice, in this order.
        for changes in parts.iter().chain(parts.iter().rev()) {
            assert_eq!(
                writer.apply_conversation(&step(offset, offset + 1), changes).await.unwrap(),
                Moved::Applied
            );
            offset += 1;
        }
        assert_eq!(texts(reader, "a").await, expected, "turn {turn}");
        let rows = reader.messages(&tenant("a"), &[conversation(1)], 10, None).await.unwrap();
        let files: Vec<_> = rows.iter().flat_map(|row| &row.files).collect();
        assert_eq!(files.len(), 1, "turn {turn}");
        // One person's status stays theirs; of two people it is of several.
        let whose =
            ask(url, "SELECT string_agg(encode(subject_id, 'hex'), ' ' ORDER BY message_id) FROM status")
                .unwrap();
        assert_eq!(whose, format!("{} {}", "01".repeat(16), "00".repeat(16)), "turn {turn}");
        assert_eq!(
            (files[0].state, files[0].bytes, &files[0].reason),
            (Some(FileState::Stored), Some(9), &None)
        );
        let other = reader.file(&tenant("a"), file(2).1).await.unwrap().unwrap();
        assert_eq!((other.state, other.message), (Some(FileState::Refused), None));
        assert_eq!(other.reason.as_deref(), Some("too_large"));
        // What was deleted is not in the tables either, whichever came first.
        let contents = "SELECT string_agg(convert_from(content, 'UTF8'), ' ') FROM
            (SELECT content FROM message UNION ALL SELECT content FROM message_edit) x";
        let kept = ask(url, contents).unwrap();
        assert!(
            kept.contains("second edit") && !kept.contains("text 2") && !kept.contains("too late"),
            "{kept}"
        );
        offset = 0;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_comes_back_with_what_opens_it() {
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    everything_of(&mut changes, 7, 10);
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let part = |field| SealedPart {
        subject: Some(person(7)),
        event: event(7),
        field,
        bytes: br#"{"text":"x"}"#.to_vec(),
    };
    let acme = tenant("a");
    let shown = stage.reader.conversation(&acme, conversation(7)).await.unwrap().unwrap();
    assert_eq!((shown.subject, shown.contact), (Some(person(7)), Some(part(Field::Contact))));
    let message = stage.reader.messages(&acme, &[conversation(7)], 10, None).await.unwrap().remove(0);
    assert_eq!((message.content, message.edit), (Some(part(Field::Content)), Some(part(Field::Content))));
    assert_eq!(message.reactions[0].content, part(Field::Content));
    assert_eq!((message.files[0].subject, message.files[0].state), (Some(person(7)), None));
    let of = |n| stage.reader.conversations_of(&acme, person(n));
    assert_eq!(of(7).await.unwrap().len(), 1);
    assert_eq!(of(8).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_is_not_written_again() {
    let stage = stage().await;
    let keeper = ViewsDb::connect(&stage.url, ViewsRole::Keeper, 1).await.unwrap();
    let mut changes = ConversationChanges::default();
    for n in [7, 8] {
        everything_of(&mut changes, n, 10);
    }
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let (acme, rows_each) = (tenant("a"), ROWS_EACH);
    assert_eq!(keeper.rows_of(&acme, person(7)).await.unwrap(), rows_each);
    assert_eq!(keeper.forget(&acme, person(7)).await.unwrap(), rows_each);
    assert_eq!(keeper.forget(&acme, person(7)).await.unwrap(), 0);
    // Everything once more, as after a replay, and newer still.
    for (n, at_ms) in [(1, 10), (2, 20)] {
        let mut changes = ConversationChanges::default();
        everything_of(&mut changes, 7, at_ms);
        everything_of(&mut changes, 8, at_ms);
        stage.writer.apply_conversation(&step(n, n + 1), &changes).await.unwrap();
    }
    assert_eq!(keeper.rows_of(&acme, person(7)).await.unwrap(), 0);
    assert_eq!(keeper.rows_of(&acme, person(8)).await.unwrap(), rows_each);
    // The same subject of another tenant is somebody else.
    assert_eq!(
        keeper.not_forgotten(&[(acme.clone(), person(7)), (tenant("b"), person(7))]).await.unwrap(),
        [(tenant("b"), person(7))]
    );
    assert!(stage.reader.conversation(&acme, conversation(7)).await.unwrap().is_none());
    // Who only reads, or only writes what comes, forgets nobody.
    assert!(stage.reader.forget(&acme, person(8)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_conversations_are_one_a_persons_last_reaction_stands() {
    let stage = stage().await;
    let mut changes = ConversationChanges::default();
    for n in [7, 8] {
        everything_of(&mut changes, n, 10);
    }
    // Under their other subject they react anew to what they had reacted to, and then take that back.
    let acme = tenant("a");
    let before = changes.reactions.get_mut(&(acme.clone(), key(7), Some(person(7)))).unwrap();
    before.direction = "in";
    let other = (acme.clone(), key(7), Some(person(8)));
    let again = ReactionChange { at_ms: before.at_ms + 1, ..before.clone() };
    changes.reactions.insert(other.clone(), again.clone());
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    let shown = async |ids: &[ConversationId]| {
        let messages = stage.reader.messages(&acme, ids, 10, None).await.unwrap();
        let message = messages.into_iter().find(|message| message.id == key(7)).unwrap();
        message.reactions.iter().map(|one| one.at_ms).collect::<Vec<_>>()
    };
    assert_eq!(shown(&[conversation(7)]).await.len(), 2, "as long as they are two people");
    assert_eq!(shown(&[conversation(7), conversation(8)]).await, [again.at_ms]);
    let mut changes = ConversationChanges::default();
    changes.reactions.insert(other, ReactionChange { at_ms: again.at_ms + 1, content: None, ..again });
    stage.writer.apply_conversation(&step(1, 2), &changes).await.unwrap();
    assert_eq!(shown(&[conversation(7), conversation(8)]).await, Vec::<i64>::new());
}
