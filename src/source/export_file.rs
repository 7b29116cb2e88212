//! The items of an exported file, found by what it holds and not by its name: a list response, an array of `RawMessage`s, one of
//! them, or lines of any of these. The same for `convert` and for the folder as a source.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::page::split_export;

/// Where each item lies in a whole file.
///
/// # Errors
///
/// In words, why the file as a whole is refused.
pub(crate) fn split(body: &[u8]) -> Result<Vec<Range<usize>>, String> {
    if begins_with_lines(body) { Ok(split_lines(body)) } else { split_document(body) }
}

/// Where each item lies in a file that is one JSON document.
///
/// # Errors
///
/// As [`split`].
pub(crate) fn split_document(body: &[u8]) -> Result<Vec<Range<usize>>, String> {
    let (envelope, items) = split_export(body).map_err(|error| error.to_string())?;
    match envelope.and_then(|envelope| envelope.result_code).filter(|&code| code != 0) {
        Some(code) => Err(format!("it is an error response (resultCode {code}) and holds no items")),
        None => Ok(items),
    }
}

/// Whether a file is one of lines: its first line is a JSON value, or looks like an object, and there is another.
pub(crate) fn begins_with_lines(body: &[u8]) -> bool {
    let mut lines = body.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let (Some(first), Some(_)) = (lines.next(), lines.next()) else { return false };
    let first = without_mark(first).trim_ascii();
    let is_object = first.starts_with(b"{") && first.ends_with(b"}");
    is_object || serde_json::from_slice::<IgnoredAny>(first).is_ok()
}

/// Where each item lies in lines.
pub(crate) fn split_lines(body: &[u8]) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut start = 0;
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let end = start + line.len();
        items.extend(body.get(..end).into_iter().flat_map(|upto| items_of_line(upto, start)));
        start = end;
    }
    items
}

/// The items of the line of `body` that begins at `start`: without its line end, the space around it and a byte-order mark. One
/// item unless the line is blank or is itself a list.
pub(crate) fn items_of_line(body: &[u8], start: usize) -> Vec<Range<usize>> {
    let line = body.get(start..).unwrap_or_default();
    let bare = without_mark(line).trim_ascii_start();
    let from = start + (line.len() - bare.len());
    let bare = bare.trim_ascii_end();
    if bare.is_empty() {
        return Vec::new();
    }
    let may_be_list = bare.starts_with(b"[") || bare.windows(10).any(|part| part == b"\"messages\"");
    let list = may_be_list.then(|| split_document(bare).ok()).flatten();
    match list {
        Some(items) => items.into_iter().map(|item| from + item.start..from + item.end).collect(),
        None => std::iter::once(from..from + bare.len()).collect(),
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(body: &str) -> Vec<&str> {
        split(body.as_bytes()).unwrap().into_iter().map(|range| body.get(range).unwrap()).collect()
    }

    #[test]
    fn every_form_is_found_by_what_it_holds() {
        let (one, two) = (r#"{"id":1,"body":{}}"#, r#"{"id":2,"body":{}}"#);
        for body in [
            format!("[{one},\n{two}]"),
            format!("{one}\n{two}\n"),
            format!("\u{feff}{one}\r\n\r\n  {two}"),
            format!(r#"{{"resultCode":0,"messages":[{one},{two}]}}"#),
            format!("[{one}]\n[{two}]\n"),
            format!("{{\"resultCode\":0,\"messages\":[{one}]}}\n{two}"),
        ] {
            assert_eq!(items(&body), [one, two], "{body}");
        }
        assert_eq!(items("{\n \"id\": 1,\n \"body\": {}\n}\n"), ["{\n \"id\": 1,\n \"body\": {}\n}"]);
        assert_eq!(items("{\"id\":1}\nnot an item\n{\"id\":2}"), ["{\"id\":1}", "not an item", "{\"id\":2}"]);
    }

    #[test]
    fn a_file_is_refused_once_and_whole() {
        for (body, why) in [
            ("<html>\n</html>", "not JSON"),
            ("{\n \"id\": 1,\n", "cut short"),
            (r#"{"resultCode":301,"messages":null}"#, "resultCode 301"),
            ("", ""),
        ] {
            let refusal = split(body.as_bytes()).unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
    }
}
