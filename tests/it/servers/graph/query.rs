//! The query options of `OData`, as far as they are used: `$filter`, `$select`, `$top`, `$skip`.

use serde_json::{Map, Value, json};

use super::http::{Answer, Request};

/// The property and the value of a filter of the form `name eq 'value'`.
pub(super) fn equality(filter: &str) -> Option<(String, String)> {
    let (name, literal) = filter.split_once(" eq ")?;
    Some((name.trim().to_owned(), unquote(literal.trim())?))
}

/// The value of an `OData` literal.
pub(super) fn unquote(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    // A single quote inside must be doubled.
    let single = inner.replace("''", "").contains('\'');
    (!single).then(|| inner.replace("''", "'"))
}

/// One page of a list, with a link to the next.
pub(super) fn page(request: &Request, origin: &str, items: Vec<Value>) -> Answer {
    let number = |name: &str| request.query(name).and_then(|text| text.parse::<usize>().ok());
    let top = number("$top").unwrap_or(10).min(1_000);
    let skip = number("$skip").unwrap_or(0);
    let more = items.len() > skip + top;
    let value: Vec<Value> = items.into_iter().skip(skip).take(top).map(|item| select(request, item)).collect();
    let mut body = json!({ "value": value });
    if more {
        let mut url = reqwest::Url::parse(&format!("{origin}{}", request.path)).unwrap();
        for (name, value) in request.query.iter().filter(|(name, _)| name != "$skip") {
            url.query_pairs_mut().append_pair(name, value);
        }
        url.query_pairs_mut().append_pair("$skip", &(skip + top).to_string());
        body["@odata.nextLink"] = url.as_str().into();
    }
    Answer::json(200, &body)
}

/// The selected fields of an object, and what was expanded.
pub(super) fn select(request: &Request, item: Value) -> Value {
    let Some(selected) = request.query("$select") else { return item };
    let Value::Object(fields) = item else { return item };
    let wanted = |name: &str| {
        name == "id"
            || name.starts_with('@')
            || name == "singleValueExtendedProperties"
            || selected.split(',').any(|known| known == name)
    };
    Value::Object(fields.into_iter().filter(|(name, _)| wanted(name)).collect::<Map<_, _>>())
}
