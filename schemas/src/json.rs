//! A view over JSON text: [`Cursor`] checks it and finds members and elements in one pass without building a tree, [`Node`]
//! reads values leniently, because Meta's types drift (`meta-platform.md` §10.12) and user text may hold what other readers
//! refuse: lone surrogates, NUL, numbers beyond 64 bits.
//!
//! The grammar is exactly that of `serde_json`, which a property test holds it to; several times fewer instructions per byte
//! are the reason it exists. Nothing recurses, so depth costs no stack, and nothing panics: after a fault everything reads
//! as absent and the cursor stands at the end.

mod cursor;
mod node;
mod text;

pub(crate) use cursor::{Cursor, Repeated};
pub(crate) use node::Node;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;
    use proptest::prelude::*;

    fn node(text: &str) -> Node<'_> {
        Cursor::new(text).skip()
    }

    #[track_caller]
    fn check_grammar(text: &str) {
        let mut cursor = Cursor::new(text);
        cursor.skip();
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(text);
        assert_eq!(cursor.finish().is_ok(), expected.is_ok(), "{text:?} {expected:?}");
    }

    #[test]
    fn the_grammar_is_that_of_serde_json() {
        let texts = [
            "",
            " ",
            "1",
            "-",
            "-0",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E-9",
            "1e400",
            "+1",
            "true",
            "tru",
            "truex",
            "null ",
            "nul",
            "\"",
            "\"a",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12G4\"",
            "\"\\ud800\"",
            "\"\t\"",
            "\"\u{1f}\"",
            "\"\u{7f}\"",
            "[",
            "]",
            "[]",
            "[,]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,,2]",
            "[[],[]]",
            "[}",
            "{]",
            "{",
            "}",
            "{}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
            "{\"a\":1}}",
            "[1]]",
            "1 2",
            "[1]\u{b}",
            "\u{feff}1",
            "\u{a0}1",
        ];
        for text in texts {
            check_grammar(text);
        }
    }

    #[test]
    fn depth_ends_where_it_should_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let read = |text: &str| {
            let mut cursor = Cursor::new(text);
            cursor.skip();
            cursor.finish()
        };
        assert_eq!(read(&nested(127)), Ok(()));
        assert_eq!(read(&nested(128)), Err(Reason::TooDeep));
        assert_eq!(read(&nested(100_000)), Err(Reason::TooDeep));
        assert_eq!(read(&"{\"a\":".repeat(100_000)), Err(Reason::TooDeep));
    }

    #[test]
    fn members_are_found_whatever_stands_around_them() {
        let text = r#" { "a" : 1 , "b":{"a":"}","c":[1,{"a":2}]},"\u0061\u0062":"x\"]","n":null, "e":"" } "#;
        let [a, b, ab, n, e, z] = node(text).pick(["a", "b", "ab", "n", "e", "z"]);
        assert_eq!(a.unwrap().integer(), Some(1));
        assert_eq!(b.unwrap().text(), r#"{"a":"}","c":[1,{"a":2}]}"#);
        assert_eq!(ab.unwrap().owned().as_deref(), Some("x\"]"));
        assert!(n.is_none() && z.is_none());
        assert_eq!(e.unwrap().string(), None, "an empty string is absent");
        let elements: Vec<_> = node(r#"[ 1 ,"a,]" , [2,[3]],{} ]"#).elements().map(Node::text).collect();
        assert_eq!(elements, ["1", r#""a,]""#, "[2,[3]]", "{}"]);
        assert_eq!(node(r#"{"a":1,"a":2}"#).get("a").unwrap().integer(), Some(2), "the last counts");
    }

    #[test]
    fn strings_are_read_leniently() {
        for (written, read) in [
            (r#""plain""#, "plain"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e4 \ud83d\ude00 \u0000""#, "ä 😀 \0"),
            (r#""\ud83d x""#, "\u{fffd} x"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            assert_eq!(node(written).owned().as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn numbers_are_read_either_way() {
        for (written, read) in [
            ("1700000000", Some(1_700_000_000)),
            (r#""1700000000""#, Some(1_700_000_000)),
            ("1.7e9", Some(1_700_000_000)),
            ("-0", Some(0)),
            ("18446744073709551616", Some(i64::MAX)),
            ("1e400", None),
            (r#""soon""#, None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(node(written).integer(), read, "{written}");
        }
        assert_eq!(
            node("9007199254740993").scalar().as_deref(),
            Some("9007199254740993"),
            "ids lose no digit"
        );
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in "\\PC*", key in "\\PC{0,8}", number in any::<i64>()) {
            let value = serde_json::json!({ "before": [text, { key.clone(): number }], key.clone(): { "text": text } });
            let json = value.to_string();
            let read = node(&json).get(&key).and_then(|inner| inner.get("text"));
            let expected = value[&key]["text"].as_str().unwrap_or_default();
            prop_assert_eq!(read.and_then(Node::owned).unwrap_or_default(), expected);
        }

        #[test]
        fn accepts_what_serde_json_accepts(text in "[ \\[\\]{}\",:\\\\/0-9eE+.truefalsnb-]{0,24}") {
            check_grammar(&text);
        }

        #[test]
        fn accepts_what_serde_json_accepts_however_it_is_damaged(
            words in prop::collection::vec("\\PC{0,12}|[\u{0}-\u{30}]{0,12}", 1..4), at in any::<prop::sample::Index>(), byte in "[ -~]",
        ) {
            let mut text = serde_json::json!({ "a": words, "b": { "c": [1, -0.5e3, true, null, { }] } }).to_string();
            check_grammar(&text);
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &byte);
            }
            check_grammar(&text);
        }

        #[test]
        fn any_text_at_all_is_survived(text in "[\\[\\]{}\",:\\\\u0d8a é\u{1}]{0,60}") {
            let node = node(&text);
            let _ = (node.get("a").is_some(), node.string(), node.scalar(), node.integer(), node.holds_something());
            for element in node.elements().take(100) {
                let _ = element.owned();
            }
        }
    }
}
