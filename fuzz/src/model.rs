//! A second reader of deliveries, on top of `serde_json`: it shares no line with `schemas::split` and knows no kind of event,
//! only the frame they stand in. By it a body is usable or not, nothing that stands in the frame is lost or doubled, and an
//! item belongs to what its own entry names.

use std::collections::HashMap;

use schemas::{Asset, AssetKind, Channel, Reason};
use serde::de::IgnoredAny;

use crate::json::{Members, elements, string};

/// As deep as a delivery may be nested.
const MAX_DEPTH: usize = 127;

/// The frame of a delivery.
pub struct Delivery<'a> {
    /// The product.
    pub channel: Option<Channel>,
    /// The text of `object`.
    pub object: &'a str,
    /// The text of every entry.
    pub entries: Vec<&'a str>,
}

impl<'a> Delivery<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// The reasons of which one has to be given when the body as a whole is unusable.
    pub fn read(body: &'a [u8]) -> Result<Self, &'static [Reason]> {
        if body.is_empty() {
            return Err(&[Reason::EmptyBody]);
        }
        let text = std::str::from_utf8(body).map_err(|_| [Reason::NotJson].as_slice())?;
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        match (is_json, depth(text) > MAX_DEPTH) {
            (true, false) => Self::open(text.trim_ascii()).ok_or(&[Reason::NotAnEnvelope]),
            (true, true) => Err(&[Reason::TooDeep]),
            (false, false) => Err(&[Reason::NotJson]),
            // Whichever of the two stands first.
            (false, true) => Err(&[Reason::NotJson, Reason::TooDeep]),
        }
    }

    fn open(text: &'a str) -> Option<Self> {
        let members = Members::of(text)?;
        let object = members.only("object")?;
        let channel = match string(object)?.as_slice() {
            b"" => return None,
            b"page" => Some(Channel::Messenger),
            b"instagram" => Some(Channel::Instagram),
            b"whatsapp_business_account" => Some(Channel::Whatsapp),
            _ => None,
        };
        let entries = match members.named("entry").as_slice() {
            [] | ["null"] => Vec::new(),
            [entries] => elements(entries)?,
            _ => return None,
        };
        Some(Self { channel, object, entries })
    }

    /// Whether these are items of it: everything that stands in the frame once, and nothing else.
    ///
    /// # Errors
    /// What is lost, doubled or made up.
    pub fn holds(&self, sources: &[&'a str]) -> Result<(), String> {
        let mut frame = Frame::default();
        for source in sources {
            *frame.found.entry(source).or_default() += 1;
        }
        for entry in &self.entries {
            match (self.channel, Members::of(entry)) {
                (Some(_), Some(members)) => frame.entry(entry, &members),
                _ => frame.item(entry, true),
            }
        }
        frame.verdict()
    }

    /// The assets that an item of this entry may belong to.
    pub fn assets(&self, entry: &str) -> Vec<Vec<Asset>> {
        let (Some(channel), Some(members)) = (self.channel, Members::of(entry)) else {
            return vec![Vec::new()];
        };
        let kind = match channel {
            Channel::Messenger => AssetKind::Messenger,
            Channel::Instagram => AssetKind::Instagram,
            Channel::Whatsapp => AssetKind::Waba,
        };
        let own: Vec<_> = members.only("id").and_then(|id| asset(kind, id)).into_iter().collect();
        let changes = members.named("changes").into_iter().filter_map(elements).flatten();
        let of_changes: Vec<_> = match channel {
            Channel::Whatsapp => changes.map(|change| change_assets(change, &own)).collect(),
            Channel::Messenger | Channel::Instagram => Vec::new(),
        };
        [vec![own], of_changes].concat()
    }
}

/// How often each text is an item, and how often it has to be and may be one. Items are told apart by their text only: of
/// what may be opened, the inside has to be there when the whole is not.
#[derive(Default)]
struct Frame<'a> {
    found: HashMap<&'a str, usize>,
    least: HashMap<&'a str, usize>,
    most: HashMap<&'a str, usize>,
}

impl<'a> Frame<'a> {
    fn entry(&mut self, whole: &'a str, members: &Members<'a>) {
        let must = self.opens(whole, true);
        // `field` and `value` may stand on the entry itself: then it is the change as a whole, or its value.
        let is_change = !must && !members.named("field").is_empty();
        for (name, value) in &members.0 {
            if !is_change || name != b"value" {
                self.member(name, value, true);
            }
        }
    }

    fn member(&mut self, name: &[u8], value: &'a str, must: bool) {
        match (name, elements(value), Members::of(value)) {
            // What stands beside items and tells more of them.
            (b"id" | b"time" | b"field" | b"context" | b"contacts", ..) => self.item(value, false),
            (b"metadata" | b"recipient" | b"waba_info", ..) => self.item(value, false),
            (b"changes" | b"history" | b"threads" | b"groups", Some(list), _) => {
                let must = self.opens(value, must);
                list.into_iter().for_each(|element| self.framing_element(name, element, must));
            }
            (_, Some(list), _) => {
                let must = self.opens(value, must);
                list.into_iter().for_each(|element| self.item(element, must));
            }
            (b"value" | b"standby", _, Some(members)) => {
                let must = self.opens(value, must);
                members.0.into_iter().for_each(|(name, value)| self.member(&name, value, must));
            }
            (_, _, Some(members)) if !members.0.is_empty() => self.item(value, must),
            _ => {}
        }
    }

    fn framing_element(&mut self, list: &[u8], element: &'a str, must: bool) {
        let members = Members::of(element).filter(|members| {
            list != b"changes" || members.named("value").into_iter().any(|value| Members::of(value).is_some())
        });
        match members {
            Some(members) => {
                let must = self.opens(element, must);
                members.0.into_iter().for_each(|(name, value)| self.member(&name, value, must));
            }
            None => self.item(element, must),
        }
    }

    /// Something that is an item or else opened; tells whether all of its inside has to be there.
    fn opens(&mut self, whole: &'a str, must: bool) -> bool {
        self.item(whole, false);
        must && !self.found.contains_key(whole)
    }

    fn item(&mut self, text: &'a str, must: bool) {
        *self.most.entry(text).or_default() += 1;
        *self.least.entry(text).or_default() += usize::from(must);
    }

    fn verdict(&self) -> Result<(), String> {
        let of = |counts: &HashMap<&str, usize>, text| counts.get(text).copied().unwrap_or_default();
        for (text, least) in &self.least {
            let found = of(&self.found, text);
            if found < *least {
                return Err(format!("{found} of {least} items are there: {text:.200}"));
            }
        }
        for (text, found) in &self.found {
            let most = of(&self.most, text);
            if *found > most {
                return Err(format!("{found} items are there of {most}: {text:.200}"));
            }
        }
        Ok(())
    }
}

/// The most specific first; none when an id that tells one stands there twice.
fn change_assets(change: &str, waba: &[Asset]) -> Vec<Asset> {
    let values = Members::of(change).unwrap_or_default().named("value");
    let values: Vec<_> = values.into_iter().filter_map(Members::of).collect();
    let mut specific = None;
    for (place, wanted, kind) in [
        ("metadata", "phone_number_id", AssetKind::Whatsapp),
        ("recipient", "phone_number_id", AssetKind::Whatsapp),
        ("waba_info", "waba_id", AssetKind::Waba),
    ] {
        let places = values.iter().flat_map(|value| value.named(place)).filter_map(Members::of);
        match places.flat_map(|place| place.named(wanted)).collect::<Vec<_>>().as_slice() {
            [] => {}
            [id] => specific = specific.or_else(|| asset(kind, id)),
            _ => return Vec::new(),
        }
    }
    let others = waba.iter().filter(|waba| specific.as_ref() != Some(*waba)).cloned();
    specific.iter().cloned().chain(others).collect()
}

/// Ids are strings, or numbers without sign, point and exponent.
fn asset(kind: AssetKind, id: &str) -> Option<Asset> {
    let id = match string(id) {
        Some(id) => String::from_utf8(id).ok()?,
        None if id.bytes().all(|byte| byte.is_ascii_digit()) => id.to_owned(),
        None => return None,
    };
    Asset::new(kind, &id).ok()
}

/// The deepest nesting of JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'"' => in_string = !in_string,
            b'\\' if in_string => escaped = true,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
