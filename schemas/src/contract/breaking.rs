//! Whether a changed schema breaks somebody: whoever reads a feed today, or Tidings itself reading what it wrote before.

use serde_json::Value;

/// How deep schemas are compared; ours are a handful of levels deep.
const DEEPEST: usize = 32;

/// What of the change from one schema to the other breaks somebody: a sentence for each, naming the field and what to do.
/// Nothing when the change is safe, such as a new field that may be absent.
pub fn breaking(old: &Value, new: &Value) -> Vec<String> {
    let title = old.get("title").and_then(Value::as_str).unwrap_or("?").to_owned();
    let mut compared = Comparison { old, new, title, found: Vec::new() };
    compared.object(old, new, "", 0);
    compared.found
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    title: String,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn say(&mut self, path: &str, what: &str, because: &str) {
        let field = if path.is_empty() { "the data itself" } else { path };
        self.found.push(format!(
            "{}: `{field}` {what}: {because}. Undo it, or give the kind its next version (src/kind.rs), a step from this one \
             (src/upcast.rs) and keep this schema beside the new one",
            self.title
        ));
    }

    fn object(&mut self, old: &'a Value, new: &'a Value, path: &str, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let (old, new) = (definition(self.old, old), definition(self.new, new));
        self.same(old, new, path, "type", "readers and records of before have the other one");
        self.same(
            old,
            new,
            path,
            "pattern",
            "what matched before need not match now, or the other way round",
        );
        self.same(old, new, path, "format", "what fitted before need not fit now, or the other way round");
        self.words(old, new, path);
        let (was_required, is_required) = (required(old), required(new));
        for (name, before) in properties(old) {
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let Some(now) = new.get("properties").and_then(|properties| properties.get(name)) else {
                self.say(&inner, "is gone", "readers may rely on it");
                continue;
            };
            match (was_required.contains(&name.as_str()), is_required.contains(&name.as_str())) {
                (true, false) => self.say(&inner, "may be absent now", "readers rely on its being there"),
                (false, true) => self.say(&inner, "must be there now", "records of before lack it"),
                _ => {}
            }
            self.object(before, now, &inner, depth + 1);
        }
        for name in is_required {
            if old.get("properties").and_then(|properties| properties.get(name)).is_none() {
                let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                self.say(&inner, "is new and must be there", "records of before lack it");
            }
        }
        for (list, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
            if let (Some(before), Some(now)) = (old.get(list), new.get(list)) {
                self.object(before, now, &format!("{path}{suffix}"), depth + 1);
            }
        }
    }

    fn same(&mut self, old: &Value, new: &Value, path: &str, member: &str, because: &str) {
        let show = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), ToString::to_string);
        if old.get(member) != new.get(member) {
            let what =
                format!("has another {member} ({}, was {})", show(new.get(member)), show(old.get(member)));
            self.say(path, &what, because);
        }
    }

    /// The words that may stand there, if they are a closed set.
    fn words(&mut self, old: &Value, new: &Value, path: &str) {
        let (before, now) = (words(old), words(new));
        for word in &before {
            if !now.contains(word) {
                self.say(path, &format!("is never {word} any more"), "records of before may hold it");
            }
        }
        for word in &now {
            if !before.contains(word) {
                self.say(path, &format!("may be {word} now"), "readers know the former words only");
            }
        }
    }
}

/// What a reference leads to.
fn definition<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let path = schema.get("$ref").and_then(Value::as_str);
    path.and_then(|path| document.pointer(path.strip_prefix('#')?)).unwrap_or(schema)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn required(schema: &Value) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `enum`, `const`, or a choice of constants.
fn words(schema: &Value) -> Vec<String> {
    let choices = ["enum", "oneOf", "anyOf"].iter().filter_map(|list| schema.get(list)?.as_array()).flatten();
    let constants = choices.flat_map(|choice| match choice {
        Value::Object(_) => words(choice),
        word => vec![word.to_string()],
    });
    constants.chain(schema.get("const").map(ToString::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::contract::schema;
    use serde_json::json;

    /// Changes one place of a real schema; what is said of it.
    #[track_caller]
    fn check(kind: Kind, pointer: &str, change: impl FnOnce(&mut Value), expected: &[&str]) {
        let old = schema(kind);
        let mut new = old.clone();
        change(new.pointer_mut(pointer).unwrap());
        let found = breaking(&old, &new);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
        // The other way round is another change.
        assert!(breaking(&old, &old).is_empty());
    }

    fn members(value: &mut Value) -> &mut serde_json::Map<String, Value> {
        value.as_object_mut().unwrap()
    }

    #[test]
    fn what_is_safe_says_nothing() {
        let content = "/properties/content/properties";
        check(
            Kind::MessageReceived,
            content,
            |all| _ = members(all).insert("new".into(), json!({"type": "string"})),
            &[],
        );
        check(
            Kind::MessageReceived,
            "",
            |all| _ = members(all).insert("description".into(), json!("other words")),
            &[],
        );
    }

    #[test]
    fn what_breaks_a_reader_or_a_record_names_the_field_and_what_to_do() {
        let content = "/properties/content/properties";
        let gone = "message.received: `content.text` is gone: readers may rely on it. Undo it, or give the kind its next version";
        check(Kind::MessageReceived, content, |all| _ = members(all).shift_remove("text"), &[gone]);
        check(
            Kind::MessageReceived,
            &format!("{content}/text"),
            |text| *text = json!({"type": "integer"}),
            &["`content.text` has another type (\"integer\", was \"string\")"],
        );
        check(
            Kind::MessageReceived,
            "/properties/content/required",
            |all| all.as_array_mut().unwrap().push(json!("text")),
            &["`content.text` must be there now: records of before lack it"],
        );
        check(
            Kind::MessageReceived,
            "/required",
            |all| all.as_array_mut().unwrap().retain(|name| name != "asset"),
            &["`asset` may be absent now: readers rely on its being there"],
        );
        check(
            Kind::Unrecognized,
            "/properties/content/required",
            |all| all.as_array_mut().unwrap().push(json!("why")),
            &["`content.why` is new and must be there: records of before lack it"],
        );
        check(
            Kind::AttachmentStored,
            "/properties/content/properties/attachment/pattern",
            |pattern| *pattern = json!("^x$"),
            &["`content.attachment` has another pattern"],
        );
    }

    #[test]
    fn words_and_what_references_lead_to_are_compared_too() {
        let status = "/$defs/DeliveryStatus/oneOf";
        check(
            Kind::MessageStatus,
            status,
            |all| all.as_array_mut().unwrap().push(json!({"type": "string", "const": "seen"})),
            &["`content.status` may be \"seen\" now: readers know the former words only"],
        );
        check(
            Kind::MessageStatus,
            status,
            |all| all.as_array_mut().unwrap().truncate(4),
            &["`content.status` is never \"failed\" any more: records of before may hold it"],
        );
        check(
            Kind::MessageReceived,
            "/$defs/Attachment/properties",
            |all| _ = members(all).shift_remove("url"),
            &["`content.attachments[].url` is gone"],
        );
    }
}
