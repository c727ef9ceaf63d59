//! Packing updates into the body of one delivery: entries by asset, changes by number and list (`meta-platform.md` §2.1).

use std::sync::Arc;

use crate::json::object;
use crate::update::{Place, Update};
use crate::{Channel, Json};

/// The body that tells these updates, all of one channel. Neighbours that belong together share an entry or a change, so
/// the same updates in another order make another body.
pub(crate) fn pack(channel: Channel, updates: &[Update]) -> String {
    let mut entries: Vec<(String, Entry)> = Vec::new();
    for update in updates {
        let id = match &update.place {
            Place::Messaging { asset, .. } => asset,
            Place::Number { waba, .. } | Place::Account { waba, .. } => waba,
        };
        match entries.last_mut() {
            Some((last, entry)) if last == id => entry.add(update),
            _ => {
                let mut entry = Entry::default();
                entry.add(update);
                entries.push((id.clone(), entry));
            }
        }
    }
    let entries: Vec<Json> = entries.into_iter().map(|(id, entry)| entry.finish(id)).collect();
    let mut body = String::with_capacity(1024);
    object([("object", channel.object().into()), ("entry", entries.into())]).write(&mut body);
    body
}

#[derive(Default)]
struct Entry {
    time: Option<i64>,
    messaging: Vec<Json>,
    changes: Vec<Change>,
}

enum Change {
    Number { place: Place, contacts: Vec<Arc<Json>>, items: Vec<Json> },
    Account(Json),
}

impl Entry {
    fn add(&mut self, update: &Update) {
        let item = Json::clone(&update.item);
        match &update.place {
            Place::Messaging { at_ms, .. } => {
                self.time = Some(at_ms + 320);
                self.messaging.push(item);
            }
            Place::Account { field, at_ms, .. } => {
                self.time = Some(at_ms / 1000);
                self.changes.push(Change::Account(object([("field", (*field).into()), ("value", item)])));
            }
            Place::Number { contact, .. } => {
                if let Some(Change::Number { place, contacts, items }) = self.changes.last_mut()
                    && same_list(place, &update.place)
                {
                    items.push(item);
                    contacts.extend(contact.clone());
                    return;
                }
                self.changes.push(Change::Number {
                    place: update.place.clone(),
                    contacts: contact.iter().cloned().collect(),
                    items: vec![item],
                });
            }
        }
    }

    fn finish(self, id: String) -> Json {
        let mut entry = object([("id", id.into())]).with_some("time", self.time);
        if !self.messaging.is_empty() {
            entry = entry.with("messaging", self.messaging);
        }
        if !self.changes.is_empty() {
            entry = entry.with("changes", self.changes.into_iter().map(Change::finish).collect::<Vec<_>>());
        }
        entry
    }
}

impl Change {
    fn finish(self) -> Json {
        match self {
            Self::Account(change) => change,
            Self::Number {
                place: Place::Number { phone_number_id, display, field, list, .. },
                contacts,
                items,
            } => {
                let metadata = object([
                    ("display_phone_number", display.into()),
                    ("phone_number_id", phone_number_id.into()),
                ]);
                let mut value = object([("messaging_product", "whatsapp".into()), ("metadata", metadata)]);
                if !contacts.is_empty() {
                    let mut seen: Vec<Arc<Json>> = Vec::with_capacity(contacts.len());
                    for contact in contacts {
                        if !seen.contains(&contact) {
                            seen.push(contact);
                        }
                    }
                    value =
                        value.with("contacts", seen.iter().map(|one| Json::clone(one)).collect::<Vec<_>>());
                }
                object([("value", value.with(list, items)), ("field", field.into())])
            }
            Self::Number { .. } => Json::Null,
        }
    }
}

fn same_list(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (
            Place::Number { phone_number_id, list, .. },
            Place::Number { phone_number_id: other_id, list: other_list, .. },
        ) => phone_number_id == other_id && list == other_list,
        _ => false,
    }
}
