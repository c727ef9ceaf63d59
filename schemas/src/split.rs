//! A delivery cut into its items: every message, status and change that Meta put into one body.
//!
//! `serde_json` checks the body once; after that slices are cut by [`crate::json`], and of each item only what routing
//! needs is read. What an item says is read by [`Item::into_event`]. Nothing recurses, so depth costs no stack.
//!
//! What becomes an item: each element of `messaging`, `standby`, `messages`, `statuses` and `message_echoes`; each `changes`
//! element of another field as a whole; and every list or object whose name is not known here, so that nothing Meta adds is
//! lost. An `entry` element that is no object, or belongs to an unknown `object`, is an item without an asset.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::json::{Cursor, Key, Node};
use crate::reading::Draft;
use crate::whatsapp::Change;
use crate::{Asset, AssetKind, Channel, Identifier, Reason, messaging, time};

/// The deepest nesting that is read: what readers of JSON commonly take. In an event an item stands no deeper than here.
const MAX_DEPTH: usize = 127;
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
    pub(crate) persons: Vec<Identifier>,
    pub(crate) entry_ms: Option<i64>,
    pub(crate) draft: Draft<'a>,
}

impl Item<'_> {
    /// Where it stands in the delivery, from 0.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The assets it belongs to, the most specific first: a WhatsApp number, then its business account. Empty when it
    /// names none that can be used: [`Reason::NoAsset`].
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// Every identifier of the one person it is about; empty when it is about nobody.
    pub fn persons(&self) -> &[Identifier] {
        &self.persons
    }
}

impl std::fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("index", &self.index).field("assets", &self.assets).finish_non_exhaustive()
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
    let text = std::str::from_utf8(body).map_err(|_| Reason::NotJson)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Reason::NotJson)?;

    let mut cursor = Cursor::new(text);
    let mut splitter = Splitter::default();
    let mut object = None;
    let mut postponed = None;
    let mut entry_seen = false;
    if !cursor.enter(b'{') {
        return Err(Reason::NotAnEnvelope);
    }
    while let Some(key) = cursor.key() {
        if key.is("object") {
            let word = cursor.skip().string();
            if object.is_some() || word.is_none() {
                return Err(Reason::NotAnEnvelope);
            }
            object = word;
            splitter.channel = object.as_deref().and_then(channel);
        } else if key.is("entry") {
            if std::mem::replace(&mut entry_seen, true) || !matches!(cursor.peek(), Some(b'[' | b'n')) {
                return Err(Reason::NotAnEnvelope);
            }
            if object.is_some() {
                splitter.entries(&mut cursor)?;
            } else {
                // Meta writes `object` first; when it comes later, the entries are looked at after it.
                postponed = Some(cursor.skip());
            }
        } else {
            cursor.skip();
        }
    }
    if object.is_none() {
        return Err(Reason::NotAnEnvelope);
    }
    if let Some(entries) = postponed {
        splitter.entries(&mut Cursor::new(entries.text()))?;
    }
    if cursor.deepest() > MAX_DEPTH {
        return Err(Reason::TooDeep);
    }
    Ok(Split { channel: splitter.channel, items: splitter.items })
}

fn channel(object: &str) -> Option<Channel> {
    match object {
        "page" => Some(Channel::Messenger),
        "instagram" => Some(Channel::Instagram),
        "whatsapp_business_account" => Some(Channel::Whatsapp),
        _ => None,
    }
}

#[derive(Default)]
struct Splitter<'a> {
    channel: Option<Channel>,
    items: Vec<Item<'a>>,
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
    Messaging(Node<'a>),
    Standby(Node<'a>),
    Change(Change<'a>),
    Other(Key<'a>, Node<'a>),
}

impl<'a> Splitter<'a> {
    /// Every entry of the array that is next; nothing when it is `null`.
    fn entries(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Reason> {
        if !cursor.enter(b'[') {
            cursor.skip();
            return Ok(());
        }
        while cursor.element() {
            let start = cursor.mark();
            match self.channel {
                Some(channel) if cursor.peek() == Some(b'{') => {
                    let entry = Entry::read(cursor, channel);
                    self.entry(channel, &entry, cursor.since(start))?;
                }
                _ => {
                    let node = cursor.skip();
                    self.add(Arc::default(), Vec::new(), None, Draft::other(node, None))?;
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, channel: Channel, entry: &Entry<'a>, whole: Node<'a>) -> Result<(), Reason> {
        let kind = match channel {
            Channel::Messenger => AssetKind::Messenger,
            Channel::Instagram => AssetKind::Instagram,
            Channel::Whatsapp => AssetKind::Waba,
        };
        let id = if entry.id_repeated { None } else { entry.id };
        let asset = id.and_then(|id| asset(kind, id));
        let assets: Arc<[Asset]> = asset.iter().cloned().collect();
        let entry_ms = entry.time.and_then(time::millis);
        if entry.direct_change {
            // Instagram's documentation shows `field` and `value` directly on the entry (`meta-platform.md` §2.1).
            let field = whole.get("field").and_then(Node::string);
            self.add(Arc::clone(&assets), Vec::new(), entry_ms, Draft::other(whole, field))?;
        }
        for piece in &entry.pieces {
            match piece {
                Piece::Messaging(node) | Piece::Standby(node) => {
                    let standby = matches!(piece, Piece::Standby(_));
                    let (persons, draft) = messaging::draft(*node, channel, asset.as_ref(), standby);
                    self.add(Arc::clone(&assets), persons, entry_ms, draft)?;
                }
                Piece::Change(change) if channel == Channel::Whatsapp => {
                    let assets = change.assets(asset.as_ref());
                    change.items(asset.as_ref(), |persons, draft| {
                        self.add(Arc::clone(&assets), persons, entry_ms, draft)
                    })?;
                }
                Piece::Change(change) => {
                    let draft = Draft::other(change.whole, change.field.clone());
                    self.add(Arc::clone(&assets), Vec::new(), entry_ms, draft)?;
                }
                Piece::Other(key, node) => {
                    self.add(Arc::clone(&assets), Vec::new(), entry_ms, Draft::other(*node, Some(key.name())))?;
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        assets: Arc<[Asset]>,
        persons: Vec<Identifier>,
        entry_ms: Option<i64>,
        draft: Draft<'a>,
    ) -> Result<(), Reason> {
        if self.items.len() >= MAX_ITEMS {
            return Err(Reason::TooManyItems);
        }
        let index = u32::try_from(self.items.len()).map_err(|_| Reason::TooManyItems)?;
        self.items.push(Item { index, assets, persons, entry_ms, draft });
        Ok(())
    }
}

impl<'a> Entry<'a> {
    /// The entry object that is next.
    fn read(cursor: &mut Cursor<'a>, channel: Channel) -> Self {
        let mut entry = Self::default();
        cursor.enter(b'{');
        while let Some(key) = cursor.key() {
            if key.is("id") {
                entry.id_repeated |= entry.id.replace(cursor.skip()).is_some();
            } else if key.is("time") {
                entry.time = Some(cursor.skip());
            } else if key.is("messaging") && cursor.enter(b'[') {
                while cursor.element() {
                    entry.pieces.push(Piece::Messaging(cursor.skip()));
                }
            } else if key.is("standby") && cursor.enter(b'[') {
                while cursor.element() {
                    entry.pieces.push(Piece::Standby(cursor.skip()));
                }
            } else if key.is("changes") && cursor.enter(b'[') {
                while cursor.element() {
                    entry.pieces.push(Piece::Change(Change::read(cursor, channel)));
                }
            } else if key.is("field") {
                cursor.skip();
                entry.direct_change = true;
            } else {
                let node = cursor.skip();
                if node.holds_something() && !(entry.direct_change && key.is("value")) {
                    entry.pieces.push(Piece::Other(key, node));
                }
            }
        }
        entry
    }
}

/// The asset of an id, which Meta writes as string or number; `1.0` and `-0` are no ids.
pub(crate) fn asset(kind: AssetKind, id: Node<'_>) -> Option<Asset> {
    let plain = id.text().starts_with('"') || id.text().bytes().all(|byte| byte.is_ascii_digit());
    Asset::new(kind, &id.scalar().filter(|_| plain)?).ok()
}
