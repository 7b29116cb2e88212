//! Lines and columns of a text.

/// Tells the numbers of lines, for offsets that hardly ever go back.
pub(super) struct Places<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    /// The number of the line that begins at `offset`, from 1.
    pub(super) fn line_at(&mut self, offset: usize) -> usize {
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        while self.offset < offset
            && let Some(rest) = self.text.get(self.offset..)
        {
            self.offset += line_length(rest).max(1);
            self.line += 1;
        }
        self.line
    }
}

/// The length of the first line of `text` with its line end, in bytes.
pub(super) fn line_length(text: &str) -> usize {
    let content = text.find(['\r', '\n']).unwrap_or(text.len());
    let end = match text.get(content..) {
        Some(rest) if rest.starts_with("\r\n") => 2,
        Some("") | None => 0,
        Some(_) => 1,
    };
    content + end
}

/// How many bytes of line ends `text` begins with.
pub(super) fn line_breaks(text: &str) -> usize {
    text.len() - text.trim_start_matches(['\r', '\n']).len()
}

/// The column at which the `index`-th field of the line that `text` begins with has its first character, from 1: behind
/// blanks and a quotation mark.
pub(super) fn column(text: &str, separator: char, index: usize) -> usize {
    let mut field = 0;
    let mut column = 1;
    let mut quoted = false;
    // Nothing of the field was read yet; nothing but what stands before its first character.
    let (mut fresh, mut before) = (true, true);
    for character in text.chars() {
        let is_end = matches!(character, '\r' | '\n');
        let is_separator = character == separator && !quoted;
        before &= is_blank(character, separator) || character == '"';
        if is_end || (field == index && (is_separator || !before)) {
            return column;
        }
        column += 1;
        if is_separator {
            field += 1;
            (fresh, before) = (true, true);
            continue;
        }
        if character == '"' && (fresh || quoted) {
            quoted = !quoted;
        }
        fresh = false;
    }
    column
}

fn is_blank(character: char, separator: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{a0}') && character != separator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_way() {
        let text = "a\r\nb\rc\n\nd";
        let mut places = Places::new(text);
        for (character, line) in [('a', 1), ('b', 2), ('c', 3), ('d', 5), ('b', 2)] {
            assert_eq!(places.line_at(text.find(character).unwrap()), line, "{character}");
        }
    }

    #[test]
    fn columns_are_those_of_the_first_character_of_a_field() {
        for (line, index, expected) in [
            ("44,s@x", 0, 1),
            ("44,s@x", 1, 4),
            ("44,s@x", 2, 7),
            (" 44 , s@x", 0, 2),
            (" 44 , s@x", 1, 7),
            ("\"44\",\"s@x\"", 0, 2),
            ("\"44\",\"s@x\"", 1, 7),
            ("\"4,4\",s", 1, 7),
            ("\"4\"\"4\",s", 1, 8),
            ("é,s", 1, 3),
            (",s\nx", 0, 1),
            ("a\nb,c", 1, 2),
            (" \"", 1, 3),
            ("44, \"s@x\"", 1, 6),
            ("\"4\n4\",s", 1, 3),
        ] {
            assert_eq!(column(line, ',', index), expected, "{line} {index}");
        }
        assert_eq!(column("44\t s", '\t', 1), 5);
    }
}
