//! A delivery cut into its items: every message, status and change that Meta put into one body.
//!
//! One pass of [`crate::json`] checks the body and cuts the slices. Who an item is about is read when routing asks, what it
//! says by [`Item::into_event`]: an item that is parked costs neither.
//!
//! What becomes an item: each element of `messaging`, `standby`, `messages`, `statuses` and `message_echoes`; each `changes`
//! element of another field as a whole; and every list or object whose name is not known here, so that nothing Meta adds is
//! lost. An `entry` element that is no object, or belongs to an unknown `object`, is an item without an asset.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::json::{Cursor, Node};
use crate::reading::{Draft, Noted};
use crate::whatsapp::{Change, Origin};
use crate::{Asset, AssetKind, Channel, Identifier, Reason, Unread, public, time};

/// Meta's limit is 1000 updates; this only keeps a body of nothing but commas from becoming millions of records.
const MAX_ITEMS: usize = 50_000;

/// A delivery cut into its items.
#[derive(Debug)]
pub struct Split<'a> {
    /// The product; `None` for an `object` that is none of the three. Its items have no asset.
    pub channel: Option<Channel>,
    /// Its items, in a fixed order. None at all is a valid, empty delivery.
    pub items: Vec<Item<'a>>,
}

/// One message, status, change or whatever else stands by itself in a delivery.
pub struct Item<'a> {
    pub(crate) index: u32,
    pub(crate) assets: Arc<[Asset]>,
    pub(crate) entry_ms: Option<i64>,
    pub(crate) draft: Draft<'a>,
    noted: OnceLock<Noted<'a>>,
}

impl<'a> Item<'a> {
    /// Where it stands in the delivery, from 0.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The assets it belongs to, the most specific first: a WhatsApp number, then its business account. Empty when it
    /// names none that can be used: [`Reason::NoAsset`].
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// Every identifier of the one person it is about; empty when it is about nobody. Read at the first call.
    pub fn persons(&self) -> &[Identifier] {
        &self.noted().persons
    }

    /// When it happened by Meta's clock, Unix milliseconds; as the [`Event`](crate::Event) will have it, told without
    /// reading what it says.
    pub fn occurred_ms(&self, received_ms: i64) -> i64 {
        time::plausible([self.draft.at().and_then(time::millis), self.entry_ms], received_ms)
    }

    /// Whether it is of a history import.
    pub fn is_imported(&self) -> bool {
        self.draft.origin() == Origin::History
    }

    pub(crate) fn noted(&self) -> &Noted<'a> {
        self.noted.get_or_init(|| self.draft.note(&self.assets))
    }
}

impl std::fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item")
            .field("index", &self.index)
            .field("assets", &self.assets)
            .finish_non_exhaustive()
    }
}

/// Cuts a body into its items. Pure, in time and memory proportional to the body.
///
/// # Errors
/// A [`Reason`] when the body as a whole is unusable.
pub fn split(body: &[u8]) -> Result<Split<'_>, Reason> {
    if body.is_empty() {
        return Err(Reason::EmptyBody);
    }
    let text = simdutf8::basic::from_utf8(body).map_err(|_| Reason::NotJson)?;
    let mut splitter = Splitter::default();
    let mut objects = 0;
    let mut entries = 0;
    let mut postponed = None;
    let mut cursor = Cursor::new(text);
    let is_object = cursor.members(|cursor, name| match name.as_ref() {
        "object" => {
            objects += 1;
            splitter.object = cursor.skip().string();
        }
        "entry" => {
            entries += 1;
            if !matches!(cursor.peek(), Some(b'[' | b'n')) {
                splitter.is_envelope = false;
                cursor.skip();
            } else if objects > 0 {
                splitter.entries(cursor);
            } else {
                // Meta writes `object` first; when it comes later, the entries are looked at after it.
                postponed = Some(cursor.skip());
            }
        }
        _ => {
            cursor.skip();
        }
    });
    cursor.finish()?;
    if let Some(entries) = postponed {
        splitter.entries(&mut Cursor::new(entries.text()));
    }
    if !is_object || !splitter.is_envelope || splitter.object.is_none() || objects != 1 || entries > 1 {
        return Err(Reason::NotAnEnvelope);
    }
    if splitter.is_crowded || splitter.items.len() > MAX_ITEMS {
        return Err(Reason::TooManyItems);
    }
    Ok(Split { channel: splitter.channel(), items: splitter.items })
}

struct Splitter<'a> {
    object: Option<Cow<'a, str>>,
    is_envelope: bool,
    /// An entry holds more than is taken of a whole delivery.
    is_crowded: bool,
    items: Vec<Item<'a>>,
}

impl Default for Splitter<'_> {
    fn default() -> Self {
        Self { object: None, is_envelope: true, is_crowded: false, items: Vec::new() }
    }
}

/// What an entry holds, in the order it stands; its id may come after.
#[derive(Default)]
struct Entry<'a> {
    id: Option<Node<'a>>,
    id_repeated: bool,
    time: Option<Node<'a>>,
    direct_change: bool,
    pieces: Vec<Piece<'a>>,
}

enum Piece<'a> {
    Messaging { node: Node<'a>, origin: Origin },
    Change(Change<'a>),
    Other { node: Node<'a>, field: Cow<'a, str> },
}

impl<'a> Splitter<'a> {
    fn channel(&self) -> Option<Channel> {
        match self.object.as_deref()? {
            "page" => Some(Channel::Messenger),
            "instagram" => Some(Channel::Instagram),
            "whatsapp_business_account" => Some(Channel::Whatsapp),
            _ => None,
        }
    }

    /// Every entry of the array that is next; nothing when it is `null`.
    fn entries(&mut self, cursor: &mut Cursor<'a>) {
        if !cursor.enter_array() {
            cursor.skip();
            return;
        }
        let channel = self.channel();
        while cursor.element() {
            let start = cursor.mark();
            match channel {
                Some(channel) if cursor.peek() == Some(b'{') => {
                    let entry = Entry::read(cursor, channel);
                    self.entry(channel, entry, cursor.since(start));
                }
                _ => {
                    let node = cursor.skip();
                    self.add(&Arc::default(), None, Draft::other(node, None, Unread::Unknown));
                }
            }
        }
    }

    fn entry(&mut self, channel: Channel, entry: Entry<'a>, whole: Node<'a>) {
        self.is_crowded |= entry.pieces.len() > MAX_ITEMS;
        let kind = match channel {
            Channel::Messenger => AssetKind::Messenger,
            Channel::Instagram => AssetKind::Instagram,
            Channel::Whatsapp => AssetKind::Waba,
        };
        let id = if entry.id_repeated { None } else { entry.id };
        let asset = id.and_then(|id| asset(kind, id));
        let entry_ms = entry.time.and_then(time::millis);
        // The changes of WhatsApp name their own, more specific asset.
        let assets = OnceLock::new();
        let assets = || assets.get_or_init(|| asset.iter().cloned().collect::<Arc<[Asset]>>());
        if entry.direct_change {
            // Instagram's documentation shows `field` and `value` directly on the entry (`meta-platform.md` §2.1).
            let [field, value] = whole.pick(["field", "value"]);
            let draft = whole_change(whole, field.and_then(Node::string), value);
            self.add(assets(), entry_ms, draft);
        }
        for piece in entry.pieces {
            match piece {
                Piece::Messaging { node, origin } => {
                    self.add(assets(), entry_ms, Draft::Messaging { node, origin });
                }
                Piece::Change(change) if channel == Channel::Whatsapp => {
                    let assets = change.assets(asset.as_ref());
                    change.items(|draft| self.add(&assets, entry_ms, draft));
                }
                Piece::Change(change) => {
                    self.add(assets(), entry_ms, whole_change(change.whole, change.field, change.value));
                }
                Piece::Other { node, field } => {
                    self.add(assets(), entry_ms, Draft::other(node, Some(field), Unread::Unknown));
                }
            }
        }
    }

    /// One more than the limit is enough to know that it is passed.
    fn add(&mut self, assets: &Arc<[Asset]>, entry_ms: Option<i64>, draft: Draft<'a>) {
        if self.items.len() <= MAX_ITEMS
            && let Ok(index) = u32::try_from(self.items.len())
        {
            self.items.push(Item {
                index,
                assets: Arc::clone(assets),
                entry_ms,
                draft,
                noted: OnceLock::new(),
            });
        }
    }
}

impl<'a> Entry<'a> {
    /// The entry object that is next.
    fn read(cursor: &mut Cursor<'a>, channel: Channel) -> Self {
        let mut entry = Self::default();
        let mut values = Vec::new();
        cursor.members(|cursor, name| match name.as_ref() {
            "id" => entry.id_repeated |= entry.id.replace(cursor.skip()).is_some(),
            "time" => entry.time = Some(cursor.skip()),
            list @ ("messaging" | "standby") if cursor.enter_array() => {
                let origin = if list == "standby" { Origin::Standby } else { Origin::Live };
                while cursor.element() {
                    entry.add(Piece::Messaging { node: cursor.skip(), origin });
                }
            }
            "changes" if cursor.enter_array() => {
                while cursor.element() {
                    entry.add(Piece::Change(Change::read(cursor, channel)));
                }
            }
            "field" => {
                cursor.skip();
                entry.direct_change = true;
            }
            other => {
                let node = cursor.skip();
                if other == "value" {
                    values.push((name, node));
                } else if node.holds_something() {
                    entry.add(Piece::Other { node, field: name });
                }
            }
        });
        // A field beside it makes the entry a change, which has the value in it.
        for (field, node) in values {
            if !entry.direct_change && node.holds_something() {
                entry.add(Piece::Other { node, field });
            }
        }
        entry
    }

    /// One more than the limit is enough to know that it is passed.
    fn add(&mut self, piece: Piece<'a>) {
        if self.pieces.len() <= MAX_ITEMS {
            self.pieces.push(piece);
        }
    }
}

/// A change of Messenger or Instagram. What stands in the messaging list otherwise may come in this form too
/// (`meta-platform.md` §1.7, §3a).
fn whole_change<'a>(whole: Node<'a>, field: Option<Cow<'a, str>>, value: Option<Node<'a>>) -> Draft<'a> {
    let value = value.filter(|value| value.is_object());
    match (field, value) {
        (Some(field), Some(value)) if public::knows(&field) => Draft::Change { node: whole, field, value },
        (Some(field), Some(node)) if field.starts_with("messag") && node.get("recipient").is_some() => {
            Draft::Messaging { node, origin: Origin::Live }
        }
        (field, value) => {
            let known = field.as_deref().is_some_and(public::knows);
            let reason = if known && value.is_none() { Unread::Unreadable } else { Unread::Unknown };
            Draft::other(whole, field, reason)
        }
    }
}

/// The asset of an id, which Meta writes as string or number; `1.0` and `-0` are no ids.
pub(crate) fn asset(kind: AssetKind, id: Node<'_>) -> Option<Asset> {
    let plain = id.text().starts_with('"') || id.text().bytes().all(|byte| byte.is_ascii_digit());
    Asset::new(kind, &id.scalar().filter(|_| plain)?).ok()
}
