//! The OpenAPI document as something to hold answers against.

use hyper::StatusCode;
use serde_json::Value;

pub(crate) struct Contract(Value);

impl Contract {
    pub(crate) fn new() -> Self {
        Self(serde_json::to_value(console::openapi()).unwrap())
    }

    /// Every operation as `method path`.
    pub(crate) fn operations(&self) -> impl Iterator<Item = String> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
    }

    /// Panics unless the document promises this answer to this request. Returns the operation.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, path: &str, status: StatusCode, body: &str) -> String {
        let template = self.template(path);
        let operation = &self.0["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not in the document");
        let promised = &operation["responses"][status.as_str()];
        assert!(
            promised.is_object(),
            "{method} {path} answered {status}, which the document does not promise: {body}"
        );
        for (media, content) in promised["content"].as_object().into_iter().flatten() {
            if media == "application/json" {
                let value: Value = serde_json::from_str(body).unwrap();
                self.fits(&content["schema"], &value, &format!("{method} {path} {status}"));
            }
        }
        format!("{method} {template}")
    }

    #[track_caller]
    fn template(&self, path: &str) -> &str {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (asked, known): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
            asked.len() == known.len() && asked.iter().zip(&known).all(|(a, k)| a == k || k.starts_with('{'))
        };
        let mut fitting: Vec<&str> = self.0["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|known| fits(known))
            .collect();
        fitting.sort_by_key(|template| template.matches('{').count());
        fitting.first().unwrap_or_else(|| panic!("{path} is not in the document"))
    }

    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value, at: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let schema = self.0.pointer(reference.strip_prefix('#').unwrap()).unwrap();
            return self.fits(schema, value, at);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fits(part, value, at);
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(types.contains(&kind), "{at}: {kind} where the document says {types:?}");
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(&schema["items"], element, &format!("{at}[{index}]"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(value.get(name).is_some(), "{at}: {name} is missing");
        }
        for (name, field) in value.as_object().into_iter().flatten() {
            self.fits(&schema["properties"][name], field, &format!("{at}.{name}"));
        }
    }
}
