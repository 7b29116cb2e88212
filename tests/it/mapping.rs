//! The mapping file as administrators save it: what is accepted, and what is said of what isn't.

use proptest::prelude::*;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::{Identifier, PhoneNumber};
use whatsapp_archiver::resolve::mapping::{MAX_BYTES, Mapping, Severity};

const HEADER: &str = "External User ID,Microsoft 365 User Mailbox";

fn read(file: impl AsRef<[u8]>) -> Mapping {
    let (mapping, warnings) =
        Mapping::read(file.as_ref(), "mapping.csv").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(warnings, []);
    mapping
}

fn warnings(file: &str) -> Vec<String> {
    let (_, warnings) = Mapping::read(file.as_bytes(), "mapping.csv").unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    warnings.iter().map(ToString::to_string).collect()
}

fn problems(file: impl AsRef<[u8]>) -> String {
    Mapping::read(file.as_ref(), "mapping.csv").unwrap_err().to_string()
}

fn address<'a>(mapping: &'a Mapping, number: &str) -> Option<&'a str> {
    let number = Identifier::Number(PhoneNumber::read(number).unwrap());
    mapping.holder(&number, "2026-11-15T00:00:00Z".parse().unwrap()).map(|holder| holder.address)
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
}

#[test]
fn telemessages_own_form() {
    let file = format!("{HEADER}\n445204334324,susan@contoso.example\n15550100,Bo@contoso.example\n");
    let mapping = read(&file);
    assert_eq!(mapping.len(), 2);
    assert_eq!(address(&mapping, "+445204334324"), Some("susan@contoso.example"));
    assert_eq!(address(&mapping, "00445204334324"), Some("susan@contoso.example"));
    assert_eq!(address(&mapping, "15550100"), Some("Bo@contoso.example"));
    for other in ["5204334324", "05204334324", "4452043343240", "44520433432", "1", "44520433432444520433432444"] {
        assert_eq!(address(&mapping, other), None, "{other}");
    }
    assert_eq!(mapping.sha256(), Digest::of(file.as_bytes()));
}

#[test]
fn whatever_a_spreadsheet_saves() {
    let lines = [HEADER, "445204334324,susan@contoso.example", "+1 (555) 010-0123,bo@contoso.example"];
    let comma = lines.join("\n");
    let quoted =
        comma.replace("445204334324", "\"445204334324\"").replace("susan@contoso.example", "\"susan@contoso.example\"");
    let blanks = comma.replace(',', " , ");
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("LF", comma.clone().into()),
        ("CRLF", lines.join("\r\n").into()),
        ("CR", lines.join("\r").into()),
        ("semicolons", comma.replace(',', ";").into()),
        ("tabs", comma.replace(',', "\t").into()),
        ("UTF-8 with a mark", format!("\u{feff}{comma}\r\n").into()),
        ("UTF-16 LE", utf16(&comma.replace(',', "\t"), u16::to_le_bytes)),
        ("UTF-16 BE", utf16(&comma, u16::to_be_bytes)),
        ("quotes", quoted.clone().into()),
        ("blanks and quotes", quoted.replace(',', ", ").into()),
        ("blanks", blanks.into()),
        ("empty lines", format!("\n\n{}\n\n,\n", comma.replace('\n', "\n\n")).into()),
        ("another case", comma.replace(HEADER, " external user id ,MICROSOFT 365 USER MAILBOX").into()),
        ("empty columns", comma.replace('\n', ",,\n").into()),
    ];
    for (form, file) in forms {
        let (mapping, warnings) =
            Mapping::read(&file, "mapping.csv").unwrap_or_else(|problems| panic!("{form}: {problems}"));
        assert_eq!(warnings, [], "{form}");
        assert_eq!(mapping.len(), 2, "{form}");
        assert_eq!(address(&mapping, "445204334324"), Some("susan@contoso.example"), "{form}");
        assert_eq!(address(&mapping, "15550100123"), Some("bo@contoso.example"), "{form}");
    }
}

#[test]
fn columns_are_found_by_name_and_others_are_only_mentioned() {
    let file = "Name;Microsoft 365 User Mailbox;External User ID\nBerg, Susan;susan@contoso.example;445204334324\n";
    assert_eq!(warnings(file), ["mapping.csv:1:1: warning: the column `Name` is not used"]);
    let latin1 = b"Name;Microsoft 365 User Mailbox;External User ID\nJos\xe9;jose@contoso.example;445204334324\n";
    let (mapping, _) = Mapping::read(latin1, "mapping.csv").unwrap();
    assert_eq!(address(&mapping, "445204334324"), Some("jose@contoso.example"));
}

#[test]
fn every_problem_is_reported_at_once_by_line_and_column() {
    let file = format!(
        "{HEADER}\r\n\
         4.45E+11,susan@contoso.example\r\n\
         445204334324,susan@contoso.example\r\n\
         44520433O324,susan@contoso.example\r\n\
         123456,susan@contoso.example\r\n\
         1234567890123456,susan@contoso.example\r\n\
         15550101,Susan <susan@contoso.example>\r\n\
         15550102,susan@contoso\r\n\
         15550103,\r\n\
         ,susan@contoso.example\r\n\
         \r\n\
         +44 520 433 4324,bo@contoso.example\r\n\
         445204334324,SUSAN@contoso.example\r\n\
         15550104,a@contoso.example,b@contoso.example\r\n\
         15550105,\"bo@contoso.example\r\n\
         05204334324,susan@contoso.example\r\n"
    );
    let reported = problems(&file);
    let expected = [
        "mapping.csv:2:1: error: a spreadsheet turned the number into the form 4.45E+11, which lost digits: make the column text, then enter the number again",
        "mapping.csv:4:9: error: `O` is a letter: write digits, such as 445204334324",
        "mapping.csv:5:1: error: a number with its country's code has 7 to 15 digits, this one has 6",
        "mapping.csv:6:1: error: a number with its country's code has 7 to 15 digits, this one has 16",
        "mapping.csv:7:10: error: not an e-mail address, because it has more than the address itself: write it like susan@contoso.example",
        "mapping.csv:8:10: error: not an e-mail address, because its domain has no dot: write it like susan@contoso.example",
        "mapping.csv:9:10: error: no mailbox is given: write its address, such as susan@contoso.example, or take the line away",
        "mapping.csv:10:1: error: no number is given: write it with its country's code, such as 445204334324",
        "mapping.csv:12:1: error: +4•••••4324 has another address on line 3: keep one of the two lines",
        "mapping.csv:13:1: warning: +4•••••4324 has this address on line 3 already",
        "mapping.csv:14:28: error: more fields than the header has columns: a field with `,` in it needs quotation marks around it",
        "mapping.csv:15:10: error: a quotation mark is not closed on this line: close it, or take it away",
        "mapping.csv:16:1: warning: the number begins with 0, which no number with its country's code does: it will match only the same digits",
    ];
    let reported: Vec<&str> = reported.lines().collect();
    assert_eq!(reported, expected);
}

#[test]
fn warnings_do_not_stop_a_file() {
    let file =
        format!("{HEADER}\n05204334324,a@contoso.example\n15550100,b@contoso.example\n+15550100,B@contoso.example\n");
    let (mapping, warnings) = Mapping::read(file.as_bytes(), "mapping.csv").unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(mapping.len(), 2);
    assert_eq!(address(&mapping, "15550100"), Some("b@contoso.example"));
    assert_eq!(address(&mapping, "05204334324"), Some("a@contoso.example"));
    assert_eq!(address(&mapping, "5204334324"), None);
    assert_eq!(self::warnings(HEADER), ["mapping.csv:1:1: warning: no number is mapped"]);
}

#[test]
fn blanks_in_a_header_are_one_blank_and_the_separator_line_is_skipped() {
    let values = "4915550199,susan@contoso.example\n";
    for header in [
        "External  User ID,Microsoft 365  User  Mailbox\n",
        "External\u{a0}User\u{2007}ID,\u{3000}Microsoft 365\u{b}User\u{202f}Mailbox \r\n",
        "\u{200e}External\tUser ID,Microsoft\u{a0}\u{a0}365 User\u{200b} Mailbox\n",
        "sep=,\nExternal User ID,Microsoft 365 User Mailbox\n",
        "\"SEP=;\"\r\n\r\nExternal User ID,Microsoft 365 User Mailbox\r\n",
    ] {
        let mapping = read(format!("{header}{values}"));
        assert_eq!(address(&mapping, "4915550199"), Some("susan@contoso.example"), "{header:?}");
    }
    let reported = problems(format!("sep=;\n{}\n49;x\n", HEADER.replace(',', ";")));
    assert!(reported.starts_with("mapping.csv:3:1: error"), "{reported}");
}

#[test]
fn a_column_s_name_shows_neither_numbers_nor_control_characters() {
    let file = format!("{HEADER}\u{b}4915550199,+49 1555\u{a0}0198\u{1b}[2J\n15550100,a@contoso.example\n");
    let reported = Mapping::read(file.as_bytes(), "m").unwrap_err().to_string();
    assert!(reported.contains("the column `Microsoft 365 User Mailbox •••••` is not used"), "{reported}");
    assert!(
        !reported.contains("4915550199") && !reported.contains("0198") && !reported.contains('\u{1b}'),
        "{reported}"
    );
}

#[test]
fn numbers_that_look_right_are_doubted_where_they_are_perhaps_not() {
    let mapping = |lines: &[&str]| warnings(&format!("{HEADER}\n{}\n", lines.join("\n")));
    for (line, part) in [
        ("49155500000,a@contoso.example", "ends in 5 zeros"),
        ("49 0 15550199,a@contoso.example", "the country's code 49"),
        ("525512345678,a@contoso.example", "Mexican"),
        ("5215512345678,a@contoso.example", "Mexican"),
        ("554191234567,a@contoso.example", "Brazilian"),
        ("541123456789,a@contoso.example", "Argentinian"),
    ] {
        let reported = mapping(&[line]);
        assert!(
            reported.len() == 1 && reported[0].starts_with("mapping.csv:2:1: warning") && reported[0].contains(part),
            "{reported:?}"
        );
    }
    let both = ["525512345678,a@contoso.example", "5215512345678,A@contoso.example"];
    assert_eq!(mapping(&both), <[String; 0]>::default());
    let two = ["525512345678,a@contoso.example", "5215512345678,b@contoso.example"];
    assert_eq!(mapping(&two).len(), 2);
}

#[test]
fn a_header_that_is_missing_or_wrong() {
    for (file, expected) in [
        (
            "",
            vec![
                "1:1: error: the header is missing: the first line must be `External User ID,Microsoft 365 User Mailbox`",
            ],
        ),
        (
            "\n \n",
            vec![
                "1:1: error: the header is missing: the first line must be `External User ID,Microsoft 365 User Mailbox`",
            ],
        ),
        (
            "445204334324;susan@contoso.example\n4x;bo@contoso.example\n",
            vec![
                "1:1: error: the header is missing: the first line must be `External User ID;Microsoft 365 User Mailbox`",
                "2:2: error: `x` is a letter: write digits, such as 445204334324",
            ],
        ),
        (
            "Phone,Mail\n445204334324,susan\n",
            vec![
                "1:1: error: this is not the header: the first line must be `External User ID,Microsoft 365 User Mailbox`",
                "2:14: error: not an e-mail address, because it has no `@`: write it like susan@contoso.example",
            ],
        ),
        (
            "External User ID,Mailbox\n445204334324,susan\n",
            vec![
                "1:1: error: the column `Microsoft 365 User Mailbox` is missing from the header",
                "1:18: warning: the column `Mailbox` is not used",
                "2:14: error: not an e-mail address, because it has no `@`: write it like susan@contoso.example",
            ],
        ),
        (
            "External User ID,Microsoft 365 User Mailbox,external user id\n445204334324,susan@contoso.example,\n",
            vec!["1:45: error: the column `external user id` is there twice"],
        ),
    ] {
        let reported = problems(file);
        let reported: Vec<&str> = reported.lines().map(|line| line.strip_prefix("mapping.csv:").unwrap()).collect();
        assert_eq!(reported, expected, "{file}");
    }
}

#[test]
fn without_a_header_lines_in_another_order_are_one_error() {
    let file = "Susan;+445204334324;susan@contoso.example\n".repeat(50);
    let reported = problems(&file);
    let reported: Vec<&str> = reported.lines().collect();
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(reported[0].contains("the first line must be"), "{reported:?}");
    assert!(reported[1].contains("further errors are not shown"), "{reported:?}");
    // Where most lines fit, the others are named.
    let file = "445204334324,susan@contoso.example\n".repeat(50) + &"4x,bo@contoso.example\n".repeat(5);
    assert_eq!(problems(&file).matches("is a letter").count(), 5);
}

#[test]
fn what_is_no_text_is_refused_as_a_whole() {
    for (file, part) in [
        (b"PK\x03\x04\x14\x00".to_vec(), "workbook"),
        ("External User ID".encode_utf16().flat_map(u16::to_le_bytes).collect(), "NUL bytes"),
        (vec![b'1'; MAX_BYTES + 1], "larger than"),
    ] {
        let reported = problems(&file);
        assert!(reported.starts_with("mapping.csv:1:1: error: ") && reported.contains(part), "{reported}");
    }
}

#[test]
fn quotation_marks_can_not_make_checking_endless() {
    let file = format!("{HEADER}\n{}", "\"a\",\"\n".repeat(20_000));
    let reported = problems(&file);
    assert!(reported.contains("mapping.csv:2:5: error: a quotation mark is not closed"), "{}", &reported[..200]);
    assert!(reported.ends_with("error: too many quotation marks are not closed: checking ends here"));
}

#[test]
fn the_number_of_lines_and_of_problems_is_bounded() {
    let file = format!("{HEADER}\n{}{}", "\n".repeat(1_999_990), "x,y\n".repeat(20));
    let reported = problems(&file);
    assert_eq!(reported.lines().count(), 2 * 9 + 1);
    assert!(reported.ends_with("mapping.csv:2000001:1: error: the file has more than 2000000 lines"), "{reported}");

    let file = format!("{HEADER}\n{}", "x,y\n".repeat(6_000));
    let found = Mapping::read(file.as_bytes(), "mapping.csv").unwrap_err();
    assert_eq!((found.in_order().len(), found.omitted()), (10_000, 2_000));
}

#[test]
fn a_bank_full_of_numbers() {
    use std::fmt::Write as _;
    let mut file = format!("{HEADER}\r\n");
    for number in 0..100_000_u64 {
        write!(file, "{},person{number}@contoso.example\r\n", 15_550_000_101 + number * 7).unwrap();
    }
    // A few end in five zeros, which is a warning.
    let (mapping, _) = Mapping::read(file.as_bytes(), "mapping.csv").unwrap();
    assert_eq!(mapping.len(), 100_000);
    for number in [0, 1, 49_999, 99_999] {
        let found = address(&mapping, &(15_550_000_101_u64 + number * 7).to_string()).unwrap();
        assert_eq!(found, format!("person{number}@contoso.example"));
    }
    assert_eq!(address(&mapping, "15550000102"), None);
}

proptest! {
    /// What is written is found, and nothing else, in whatever order and form.
    #[test]
    fn what_is_written_is_found(
        numbers in prop::collection::btree_set("[1-9][0-9]{6,14}", 1..30),
        others in prop::collection::vec("[1-9][0-9]{6,14}", 1..10),
        separator in prop::sample::select(vec![',', ';', '\t']),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        plus in any::<bool>(),
        backwards in any::<bool>(),
    ) {
        let mut lines: Vec<String> = numbers
            .iter()
            .map(|number| format!("{}{number}{separator}n{number}@contoso.example", if plus { "+" } else { "" }))
            .collect();
        if backwards {
            lines.reverse();
        }
        lines.insert(0, HEADER.replace(',', &separator.to_string()));
        let (mapping, _) = Mapping::read(lines.join(line_end).as_bytes(), "mapping.csv").unwrap();
        prop_assert_eq!(mapping.len(), numbers.len());
        for number in numbers.iter().chain(&others) {
            let expected = numbers.contains(number).then(|| format!("n{number}@contoso.example"));
            prop_assert_eq!(address(&mapping, number).map(str::to_owned), expected);
        }
    }

    /// No file is too strange to be answered, and every problem is somewhere in the file.
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for file in [bytes.clone(), [HEADER.as_bytes(), b"\n", &bytes].concat()] {
            let reported = match Mapping::read(&file, "m") {
                Ok((_, warnings)) => warnings,
                Err(problems) => problems.in_order(),
            };
            let lines = file.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() + 1;
            for problem in reported {
                prop_assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem}");
            }
        }
    }

    /// Any table-like text is answered, too, and the columns are within their lines.
    #[test]
    fn columns_lie_within_their_lines(lines in prop::collection::vec("[0-9xé@., \";]{0,20}", 0..12)) {
        let file = format!("{HEADER}\n{}\n", lines.join("\n"));
        if let Err(problems) = Mapping::read(file.as_bytes(), "m") {
            for problem in problems.in_order() {
                let line = file.lines().nth(problem.line - 1).unwrap_or_default();
                prop_assert!(problem.column <= line.chars().count() + 1, "{problem} in {line:?}");
            }
        }
    }
}
