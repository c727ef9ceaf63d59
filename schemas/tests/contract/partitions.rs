//! Where records go: one conversation, one partition; and all partitions are used.

use schemas::shallow_partition;

use crate::support::events;

fn body(page: usize, person: usize, text: &str) -> Vec<u8> {
    format!(
        r#"{{"object":"page","entry":[{{"id":"{page}","time":1,"messaging":[{{"sender":{{"id":"9{person}"}},"recipient":{{"id":"{page}"}},"timestamp":1780000000123,"message":{{"mid":"m_{person}_{text}","text":"{text}"}}}}]}}]}}"#
    )
    .into_bytes()
}

fn status(person: usize, word: &str) -> Vec<u8> {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"900","changes":[{{"value":{{"metadata":{{"phone_number_id":"111"}},"statuses":[{{"id":"wamid.{person}{word}","status":"{word}","timestamp":"1780000000","recipient_id":"1555{person}"}}]}},"field":"messages"}}]}}]}}"#
    )
    .into_bytes()
}

#[test]
fn a_conversation_keeps_its_partition_and_all_partitions_are_used() {
    let mut raw = [0; 6];
    let mut routed = [0; 6];
    for person in 0..600 {
        let hi = body(2, person, "hi");
        let partition = shallow_partition(&hi, 6);
        assert_eq!(partition, shallow_partition(&body(2, person, "again"), 6));
        raw[partition as usize] += 1;
        assert_eq!(
            shallow_partition(&status(person, "sent"), 6),
            shallow_partition(&status(person, "read"), 6)
        );
        let first = events(&hi)[0].partition(6);
        assert_eq!(first, events(&body(2, person, "again"))[0].partition(6));
        routed[first as usize] += 1;
    }
    for counts in [raw, routed] {
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }
}

#[test]
fn an_echo_goes_where_the_person_does() {
    let echo = br#"{"object":"page","entry":[{"id":"2","time":1,"messaging":[{"sender":{"id":"2"},"recipient":{"id":"97"},"message":{"mid":"m_e","is_echo":true,"text":"x"}}]}]}"#;
    assert_eq!(shallow_partition(echo, 64), shallow_partition(&body(2, 7, "x"), 64));
}

#[test]
fn partitions_never_change() {
    let partitions: Vec<_> = (0..8).map(|person| shallow_partition(&body(2, person, "x"), 6)).collect();
    assert_eq!(partitions, [2, 2, 5, 0, 5, 2, 5, 3]);
}

#[test]
fn what_is_not_json_has_a_partition_too() {
    let used: std::collections::BTreeSet<_> =
        (0..200).map(|i| shallow_partition(format!("<{i}>").as_bytes(), 6)).collect();
    assert_eq!(used.len(), 6);
    for odd in [
        "",
        "\"",
        "\"object",
        "\"object\":",
        "\"object\":\"page\",\"id\":",
        "\\",
        "\"\\",
        "{\"object\":\"page\",\"entry\":[{\"id\":12",
    ] {
        assert!(shallow_partition(odd.as_bytes(), 6) < 6);
    }
    assert_eq!(shallow_partition(b"x", 0), 0);
}
