//! The configuration as a JSON schema, for editors and linters: every section, key, form and default from the one
//! declaration, and the descriptions from the comments of the example.

use serde_json::{Map, Value as Json, json};

use super::document;
use super::example::EXAMPLE;
use super::schema::{Condition, Key, SectionSchema, Shape};
use super::sections::SECTIONS;

/// A duration, as a regular expression.
const DURATION: &str = " *([0-9]+ *(ms|s|m|min|h|d|w) *)+";

/// The schema, draft 7.
pub fn json_schema() -> Json {
    let sections: Map<String, Json> = SECTIONS.iter().map(|schema| (schema.name.to_owned(), section(schema))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of whatsapp-archiver",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

fn section(schema: &SectionSchema) -> Json {
    let comments = Comments::of(schema.name);
    let keys: Map<String, Json> =
        schema.keys.iter().map(|key| (key.name.to_owned(), describe(key, comments.of_key(key.name)))).collect();
    let conditional = schema.keys.iter().filter(|key| !key.only.is_empty());
    let needs: Map<String, Json> = conditional.map(|key| (key.name.to_owned(), conditions(schema, key.only))).collect();
    json!({
        "type": "object",
        "description": comments.header,
        "additionalProperties": false,
        "properties": keys,
        "dependencies": needs,
    })
}

/// What must hold where a key is set. A choice that is not written stands for its first name.
fn conditions(schema: &SectionSchema, only: &[Condition]) -> Json {
    let is_default = |condition: &Condition| match schema.key(condition.key).map(|key| key.shape) {
        Some(Shape::Choice(names)) => names().first() == Some(&condition.value),
        _ => false,
    };
    let chosen: Map<String, Json> = only.iter().map(|it| (it.key.to_owned(), json!({ "const": it.value }))).collect();
    let written: Vec<&str> = only.iter().filter(|it| !is_default(it)).map(|it| it.key).collect();
    json!({ "properties": chosen, "required": written })
}

fn describe(key: &Key, comment: Option<&str>) -> Json {
    let mut described = form(key.shape);
    let default = match key.shape {
        Shape::Choice(names) => names().first().map(|name| json!(name)),
        _ => key.default.and_then(document::stated).and_then(|value| value.to_json()),
    };
    if let Some(entries) = described.as_object_mut() {
        entries.extend(comment.map(|comment| ("description".to_owned(), json!(comment))));
        entries.extend(default.map(|default| ("default".to_owned(), default)));
    }
    described
}

fn form(shape: Shape) -> Json {
    let origin = |name: &str| {
        json!({ "type": "object", "required": [name], "additionalProperties": false,
                "properties": { name: { "type": "string", "minLength": 1 } } })
    };
    match shape {
        Shape::Text | Shape::TimeOfDay | Shape::Instant => json!({ "type": "string" }),
        Shape::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Duration => json!({ "type": "string", "pattern": format!("^{DURATION}$") }),
        Shape::DurationOrForever => json!({ "type": "string", "pattern": format!("^({DURATION}|forever)$") }),
        Shape::Percent => json!({ "type": "string", "pattern": "^(100|[0-9]{1,2}) *%$" }),
        Shape::Size => json!({ "type": ["string", "integer"], "minimum": 1 }),
        Shape::List(names) => {
            json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": names() } })
        }
        Shape::Secret => json!({ "oneOf": [origin("env"), origin("file")] }),
        Shape::Choice(names) => json!({ "enum": names() }),
    }
}

/// The comments of one section of the example.
struct Comments {
    header: String,
    /// Each key with the comment before it; keys that follow one another share it.
    keys: Vec<(&'static str, String)>,
}

impl Comments {
    fn of(section: &str) -> Self {
        let header = format!("[{section}]");
        let (mut comment, mut header_comment, mut keys) = (Vec::new(), String::new(), Vec::new());
        let (mut within, mut after_key) = (false, false);
        for line in EXAMPLE.lines() {
            let bare = line.strip_prefix('#');
            if line.starts_with('[') {
                within = line == header;
                if within {
                    header_comment = comment.join("\n");
                }
                comment.clear();
            } else if let Some(key) = setting(bare.unwrap_or(line)) {
                if within {
                    keys.push((key, comment.join("\n")));
                }
                after_key = true;
            } else if let Some(words) =
                bare.and_then(|words| words.strip_prefix(' ')).filter(|it| !it.starts_with("---"))
            {
                if std::mem::take(&mut after_key) {
                    comment.clear();
                }
                comment.push(words);
            } else {
                comment.clear();
            }
        }
        Self { header: header_comment, keys }
    }

    fn of_key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| *key == name).map(|(_, comment)| comment.as_str()).filter(|it| !it.is_empty())
    }
}

/// The key that a line sets; explanations begin with a space.
fn setting(line: &str) -> Option<&str> {
    let key = line.split_once(" = ")?.0;
    let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!key.is_empty() && key.bytes().all(usual)).then_some(key)
}
