//! The text of an HTML body, as a digest that survives a mailbox's tidying: Exchange rewrites the head, adds `meta`
//! elements, and changes white space and the spelling of entities; the words stay.

use crate::digest::{Digest, Digester};

/// The digest of the words of `html`: what stands outside of tags, comments, head, style and script, entities decoded,
/// white space left out.
pub(crate) fn digest(html: &str) -> Digest {
    let (mut words, mut endless) = (Words::default(), Endless::default());
    let mut rest = html;
    while let Some((text, markup)) = before_markup(rest) {
        words.take(text);
        rest = if markup.starts_with('&') {
            let (decoded, after) = entity(markup);
            words.take(decoded.encode_utf8(&mut [0; 4]));
            after
        } else if begins_tag(markup) {
            after_tag(markup, &mut endless)
        } else {
            words.take("<");
            after(markup, 1)
        };
    }
    words.take(rest);
    words.finish()
}

/// The text before the first `<` or `&`, and what follows from there on.
fn before_markup(html: &str) -> Option<(&str, &str)> {
    let at = html.bytes().position(|byte| matches!(byte, b'<' | b'&'))?;
    html.split_at_checked(at)
}

/// What counts, digested piece by piece: a digester that is given single words takes longer than all the rest.
#[derive(Default)]
struct Words {
    piece: String,
    digester: Digester,
}

impl Words {
    const PIECE: usize = 8 * 1024;

    fn take(&mut self, text: &str) {
        for word in text.split(|character: char| character.is_whitespace() || character == '\u{feff}') {
            self.piece.push_str(word);
            if self.piece.len() >= Self::PIECE {
                self.digester.update(self.piece.as_bytes());
                self.piece.clear();
            }
        }
    }

    fn finish(mut self) -> Digest {
        self.digester.update(self.piece.as_bytes());
        self.digester.finish()
    }
}

fn after(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

fn begins_tag(text: &str) -> bool {
    after(text, 1)
        .starts_with(|character: char| character.is_ascii_alphabetic() || matches!(character, '/' | '!' | '?'))
}

/// The names of elements whose text doesn't count.
const SILENT: [&str; 4] = ["head", "style", "script", "title"];

/// Which of them have no end in what is left, so that it isn't searched for one at each of their beginnings.
type Endless = [bool; SILENT.len()];

/// What follows the tag, comment or silent element that `text` begins with.
fn after_tag<'a>(text: &'a str, endless: &mut Endless) -> &'a str {
    if let Some(comment) = text.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, rest)| rest);
    }
    let Some((tag, rest)) = text.split_once('>') else { return "" };
    let name = after(tag, 1);
    let name = name.split_once(|character: char| !character.is_ascii_alphanumeric()).map_or(name, |(name, _)| name);
    let silent = SILENT.iter().zip(endless).find(|(silent, _)| silent.eq_ignore_ascii_case(name));
    let Some((name, is_endless)) = silent.filter(|(_, is_endless)| !**is_endless) else { return rest };
    after_element(rest, name).unwrap_or_else(|| {
        *is_endless = true;
        rest
    })
}

/// What follows the end tag of `name`, where there is one.
fn after_element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let ends = |(at, _): &(usize, &str)| {
        let tag = after(text, at + 2);
        tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let (at, _) = text.match_indices("</").find(ends)?;
    Some(after(text, at).split_once('>').map_or("", |(_, rest)| rest))
}

/// The character that an entity stands for, and what follows; `&` itself where it is none.
fn entity(text: &str) -> (char, &str) {
    let plain = ('&', after(text, 1));
    let Some(end) = text.bytes().take(12).position(|byte| byte == b';') else { return plain };
    let name = text.get(1..end).unwrap_or_default();
    let character = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => name.strip_prefix('#').and_then(|number| {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }),
    };
    character.map_or(plain, |character| (character, after(text, end + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidying_changes_nothing() {
        let ours = "<!DOCTYPE html>\n<html><head><title>T</title><style>p{}</style></head><body><p>a &lt; b &amp; \"c\"&nbsp;\u{1f44b}</p>\n</body></html>";
        let tidied = "<html><HEAD>\r\n<meta charset=\"utf-8\"></HEAD><body>\r\n<!-- x --><p dir='ltr'>a &lt; b\r\n&amp; &quot;c&quot;&#160;&#x1F44B;</p></body></html>";
        assert_eq!(digest(ours), digest(tidied));
    }

    #[test]
    fn pieces_are_digested_as_one_text() {
        let words = "a&lt;é\u{1f44b}x".repeat(3000);
        let spaced = words.replace('x', "x \n\u{a0}");
        assert_eq!(digest(&spaced), Digest::of("a<é\u{1f44b}x".repeat(3000).as_bytes()));
    }

    #[test]
    fn a_changed_word_changes_it() {
        assert_ne!(digest("<p>ten</p>"), digest("<p>tan</p>"));
        assert_ne!(digest("<p>a < b</p>"), digest("<p>a b</p>"));
        assert_eq!(digest("<p>a & b</p>"), digest("<p>a &amp; b</p>"));
    }

    #[test]
    fn broken_html_ends() {
        for html in ["<", "<p", "<!--", "<style>", "&", "&#", "&#x110000;", "<head>é", "&é;", "</"] {
            digest(html);
        }
        // In time that is proportional to its length.
        let heads = "<head>".repeat(1_000_000);
        assert_eq!(digest(&format!("{heads}a<title>b</title>c")), Digest::of(b"ac"));
    }
}
