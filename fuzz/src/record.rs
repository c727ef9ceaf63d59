//! Records: how they are written as inputs, and what has to hold of every event that is made into one.

use std::fmt::Display;

use schemas::{
    AddressBookEntry, Attachment, Call, ContactProfile, Content, DecodeError, Edited, Encoded, Event, Facts,
    Field, IdentityChange, Kind, MessageContent, OptIn, Postback, Preference, Reaction, SealedEvent, Source,
    Status, ThreadControl, structured,
};

/// A record as an input: a `name: value` line for every header, an empty line, the value.
pub struct Record<'a> {
    headers: Vec<(&'a str, &'a str)>,
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads an input; `None` when its headers are not UTF-8, as those of the log always are.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
        let head = std::str::from_utf8(input.get(..end)?).ok()?;
        let headers = head.lines().filter_map(|line| line.split_once(": ")).collect();
        Some(Self { headers, value: input.get(end + 2..).unwrap_or_default() })
    }

    /// The header of this name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Writes a record down as an input.
pub fn input<N: Display, V: Display>(headers: impl IntoIterator<Item = (N, V)>, value: &[u8]) -> Vec<u8> {
    let lines: String = headers.into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    [lines.as_bytes(), b"\n", value].concat()
}

/// A header lookup over what `encode` made.
pub fn headers<'a>(encoded: &'a Encoded) -> impl Fn(&str) -> Option<&'a str> {
    |name| encoded.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

/// Written and read in either form, and opened again, it is the same event; sealed it shows nothing of what it says.
pub fn check(event: &Event) {
    let clear = event.encode();
    let read = Event::decode(headers(&clear), &clear.value).expect("what was written is read");
    assert!(read == *event, "another event was read than was written");

    let json = structured(headers(&clear), &clear.value).expect("a whole record");
    let value = std::str::from_utf8(&clear.value).expect("JSON is text");
    assert!(json.ends_with(&format!(r#","data":{value}}}"#)), "the data is not embedded as it is");

    if event.kind == Kind::Unrecognized {
        check_version_1(event, &clear);
    }

    let sealed = seal(event);
    assert_eq!(sealed.facts, Facts::of(event));
    assert_eq!(sealed.partition(6), event.partition(6));
    check_sealed(&sealed);
    let opened = sealed.open(|_, plain| Ok::<_, DecodeError>(plain.to_vec())).expect("what was sealed opens");
    assert!(opened == *event, "another event was opened than was sealed");

    let (dark, blank) = (darkened(event).encode(), darkened(&blank(event)).encode());
    assert_eq!(dark.headers, blank.headers, "a header depends on what the event says");
    assert!(dark.value == blank.value, "something beside the seals depends on what the event says");
}

/// Whatever its source holds, what version 1 left unread stays readable: it said the same, but for the reason.
fn check_version_1(event: &Event, clear: &Encoded) {
    let written_by_1 = |name: &str| match name {
        "ce_type" => Some("org.tidings.unrecognized.v1"),
        _ => headers(clear)(name),
    };
    let read = Event::decode(written_by_1, &clear.value).expect("what version 1 wrote is read");
    assert!(read == *event, "another event was read than version 1 wrote");
}

/// Written and read it is the same sealed event.
pub fn check_sealed(sealed: &SealedEvent) {
    let encoded = sealed.encode();
    let read = SealedEvent::decode(headers(&encoded), &encoded.value).expect("what was written is read");
    assert!(read == *sealed, "another sealed event was read than was written");
}

/// A seal that hides nothing.
fn seal(event: &Event) -> SealedEvent {
    event.seal(|_, plain| Ok::<_, DecodeError>(plain.to_vec())).expect("this seal does not fail")
}

/// A seal that hides everything: every field becomes its own name.
fn darkened(event: &Event) -> SealedEvent {
    event
        .seal(|field: Field, _| Ok::<_, DecodeError>(field.as_str().into()))
        .expect("this seal does not fail")
}

/// The same event saying something else: all that may stand in clear is left as it is. No `_` arm: a new content has to be
/// classified here.
fn blank(event: &Event) -> Event {
    let content = match &event.content {
        Content::Message(message) => Content::Message(MessageContent {
            kind: message.kind.clone(),
            text: other(),
            attachments: blank_files(&message.attachments),
            status: message.status,
            ..MessageContent::default()
        }),
        Content::Edited(edited) => Content::Edited(Edited {
            text: other(),
            revision: edited.revision,
            attachments: blank_files(&edited.attachments),
        }),
        Content::Reaction(reaction) => {
            Content::Reaction(Reaction { emoji: reaction.emoji.as_ref().and_then(|_| other()) })
        }
        Content::Status(status) => Content::Status(Status {
            status: status.status,
            errors: Vec::new(),
            pricing: None,
            callback_data: other(),
        }),
        Content::OptIn(optin) => {
            Content::OptIn(OptIn { kind: optin.kind.clone(), title: other(), ..OptIn::default() })
        }
        Content::Preference(preference) => Content::Preference(Preference {
            category: preference.category.clone(),
            detail: other(),
            ..Preference::default()
        }),
        Content::Thread(thread) => Content::Thread(ThreadControl {
            action: thread.action.clone(),
            summary: other(),
            ..ThreadControl::default()
        }),
        Content::Call(call) => {
            Content::Call(Call { state: call.state.clone(), callback_data: other(), ..Call::default() })
        }
        Content::AddressBook(entry) => Content::AddressBook(AddressBookEntry {
            action: entry.action.clone(),
            name: other(),
            ..AddressBookEntry::default()
        }),
        Content::Postback(_) => Content::Postback(Postback { title: other(), ..Postback::default() }),
        Content::Identity(_) => {
            Content::Identity(IdentityChange { text: other(), ..IdentityChange::default() })
        }
        // Nothing of these stands in clear.
        Content::Deleted
        | Content::Referral(_)
        | Content::Feedback(_)
        | Content::Group(_)
        | Content::AccountLink(_)
        | Content::Conversion(_)
        | Content::Comment(_)
        | Content::Feed(_)
        | Content::Mention(_)
        | Content::Insights(_)
        | Content::Unrecognized(_) => Content::Deleted,
        // And nothing in these is of the person.
        Content::Watermark(_)
        | Content::Link(_)
        | Content::Template(_)
        | Content::Number(_)
        | Content::Account(_)
        | Content::Capability(_)
        | Content::Flow(_)
        | Content::Policy(_)
        | Content::Errors(_)
        | Content::History(_)
        | Content::File(_) => event.content.clone(),
    };
    let contact =
        event.contact.as_ref().map(|_| ContactProfile { name: other(), ..ContactProfile::default() });
    let source: Source = serde_json::from_str("null").expect("JSON");
    Event { content, contact, source, ..event.clone() }
}

fn blank_files(attachments: &[Attachment]) -> Vec<Attachment> {
    let blank = |one: &Attachment| Attachment {
        id: one.id,
        kind: one.kind.clone(),
        url: other(),
        ..Attachment::default()
    };
    attachments.iter().map(blank).collect()
}

fn other() -> Option<String> {
    Some("something else".to_owned())
}
