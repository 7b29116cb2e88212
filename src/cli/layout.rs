//! Text and tables that fit where they are shown: a terminal's width, `COLUMNS`, or whole for a program that reads them.

use std::io::IsTerminal as _;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

/// The width of a terminal that doesn't say how wide it is, in columns.
const DEFAULT_WIDTH: u16 = 80;

/// Nothing is made narrower than this: a word a line helps nobody.
const MIN_WIDTH: u16 = 40;

/// Whether lines may be as long as they are.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Wide {
    /// Don't wrap or shorten lines to fit the terminal
    #[arg(long)]
    wide: bool,
}

/// How wide what is printed may be; nothing where it is printed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width(Option<u16>);

impl Wide {
    pub(super) fn width(self) -> Width {
        if self.wide { Width(None) } else { Width::of_output() }
    }
}

impl Width {
    /// The width of standard output. `COLUMNS` counts before what a terminal says; other output is printed whole.
    pub(super) fn of_output() -> Self {
        let stated = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
        let out = std::io::stdout();
        let terminal = || {
            let size = rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col);
            out.is_terminal().then(|| size.filter(|columns| *columns > 0).unwrap_or(DEFAULT_WIDTH))
        };
        Self(stated.filter(|columns| *columns > 0).or_else(terminal).map(|columns| columns.max(MIN_WIDTH)))
    }

    /// How many columns there are; nothing where what is printed is whole.
    pub(super) fn columns(self) -> Option<u16> {
        self.0
    }

    /// Whether something of so many columns fits.
    pub(super) fn fits(self, columns: u16) -> bool {
        self.0.is_none_or(|width| columns <= width)
    }

    /// An empty table of this width at most: long cells wrap in their column.
    pub(super) fn table(self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        if let Some(width) = self.0 {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table
    }

    /// Lines, the long ones wrapped between words and continued `indent` columns from the left. Lines of tables stay.
    pub(super) fn wrap(self, text: &str, indent: usize) -> String {
        let Some(width) = self.0.map(usize::from) else { return text.to_owned() };
        let mut wrapped = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            if line.starts_with(is_of_table) {
                wrapped.push_str(line);
            } else {
                wrap_line(line, width, indent, &mut wrapped);
            }
            wrapped.push_str(end);
        }
        wrapped
    }
}

/// Whether a character draws a table.
fn is_of_table(character: char) -> bool {
    ('\u{2500}'..='\u{257f}').contains(&character)
}

fn wrap_line(line: &str, width: usize, indent: usize, out: &mut String) {
    let mut column = 0;
    // Blanks stand between words as they came, so that columns stay where they are.
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if column > indent && column + length > width {
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        }
        out.push_str(word);
        column += word.chars().count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_wrap_below_their_text() {
        let text =
            "mailbox         not ok: the mailbox of ana@contoso.example is full (since yesterday)\nHeld items      0\n";
        let wrapped = Width(Some(40)).wrap(text, 16);
        assert_eq!(
            wrapped,
            "mailbox         not ok: the mailbox of\n                ana@contoso.example is\n                full \
             (since yesterday)\nHeld items      0\n"
        );
        assert!(wrapped.lines().all(|line| line.chars().count() <= 40));
        assert_eq!(Width(None).wrap(text, 16), text);
    }

    #[test]
    fn lines_of_tables_stay_and_those_beside_them_wrap() {
        let mut table = Width(None).table();
        table.set_header(["Items", "Count"]).add_row(["a name that is as long as it is and longer than that", "1"]);
        let text = format!("Error    {}\n{table}\n", "the mailbox is full ".repeat(6));
        let wrapped = Width(Some(50)).wrap(&text, 9);
        assert!(wrapped.ends_with(&format!("{table}\n")), "{wrapped}");
        let beside = wrapped.lines().take_while(|line| !line.starts_with(is_of_table));
        assert!(beside.clone().count() > 1 && beside.clone().all(|line| line.chars().count() <= 50), "{wrapped}");
    }

    #[test]
    fn a_word_longer_than_the_line_is_left_whole() {
        let long = "x".repeat(60);
        assert_eq!(Width(Some(40)).wrap(&long, 8), long);
        assert_eq!(Width(Some(40)).wrap(&format!("error   {long} y"), 8), format!("error   {long}\n        y"));
    }

    #[test]
    fn a_table_fits_its_width_and_loses_nothing() {
        let mut table = Width(Some(80)).table();
        let detail = "the mailbox refuses the message: 552 5.2.2 the quota of this mailbox is exceeded, ask its owner";
        table.set_header(["Rows", "Mailbox", "Why", "Detail", "Items"]);
        table.add_row(["1234", "ana.lima@contoso.example", "mailbox_rejected", detail, "918273, 918274, 918275"]);
        let shown = table.to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        for word in detail.split(' ') {
            assert!(shown.contains(word), "{word} in\n{shown}");
        }
    }
}
