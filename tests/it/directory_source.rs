//! The folder as a source.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use chrono::{TimeZone as _, Utc};
use futures_util::TryStreamExt as _;
use tempfile::TempDir;
use whatsapp_archiver::item::{ItemId, Product};
use whatsapp_archiver::source::directory::DirectorySource;
use whatsapp_archiver::source::{Cursor, Page, Source, SourceError};
use whatsapp_archiver::window::Window;

fn window() -> Window {
    Window {
        from: Utc.with_ymd_and_hms(2026, 11, 21, 2, 0, 0).unwrap(),
        to: Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap(),
    }
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), files);
    folder
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn source(folder: &TempDir) -> DirectorySource {
    DirectorySource::new(folder.path().to_owned(), 2)
}

async fn page(source: &DirectorySource, cursor: Cursor) -> Result<Page, SourceError> {
    source.page(window(), cursor, source.page_size()).await
}

fn items(page: &Page) -> Vec<String> {
    page.items.iter().map(|range| String::from_utf8_lossy(&page.body[range.clone()]).into_owned()).collect()
}

/// The items of all pages, and why the folder is refused after them.
async fn until_refused(source: &DirectorySource) -> (Vec<String>, SourceError) {
    let (mut read, mut cursor) = (Vec::new(), Cursor(0));
    loop {
        match page(source, cursor).await {
            Ok(page) => {
                assert!(!page.end && page.next > cursor, "it ends without a refusal");
                read.extend(items(&page));
                cursor = page.next;
            }
            Err(error) => return (read, error),
        }
    }
}

/// All pages from `cursor` on: each one's items. Fails where a cursor doesn't advance.
async fn pages_from(source: &DirectorySource, mut cursor: Cursor) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = page(source, cursor).await.unwrap();
        pages.push(items(&page));
        if page.end {
            return pages;
        }
        assert!(page.next > cursor, "{cursor} does not advance");
        cursor = page.next;
    }
}

async fn pages(folder: &TempDir) -> Vec<Vec<String>> {
    pages_from(&source(folder), Cursor(0)).await
}

#[tokio::test]
async fn files_are_read_in_the_order_of_their_names() {
    let folder = folder(&[
        ("b.jsonl", b"{\"id\":3}\r\n\n  {\"id\":4} \n{\"id\":5}"),
        ("a.json", br#"{"resultCode":0,"timeStamp":1,"messages":[{"id":1},{"id":2}]}"#),
        ("c.json", br#"[{"id":6,"body":{}}]"#),
        ("d.JSON", br#"{"id":7,"body":{}}"#),
        (".hidden.json", b"not read"),
        ("notes.txt", b"not read"),
        ("attachments/1/0-a.json", b"not read"),
    ]);
    let expected = [
        vec![r#"{"id":1}"#, r#"{"id":2}"#],
        vec![r#"{"id":3}"#, r#"{"id":4}"#],
        vec![r#"{"id":5}"#],
        vec![r#"{"id":6,"body":{}}"#],
        vec![r#"{"id":7,"body":{}}"#],
    ];
    assert_eq!(pages(&folder).await, expected);
    assert_eq!(pages(&folder).await, expected, "every run reads every file");
    let first = page(&source(&folder), Cursor(0)).await.unwrap();
    assert_eq!(first.body, fs::read(folder.path().join("a.json")).unwrap());
}

#[tokio::test]
async fn a_run_goes_on_where_it_stopped() {
    let folder = folder(&[("a.jsonl", b"1\n2\n3\n4\n5\n"), ("b.json", br#"{"id":6}"#)]);
    let stopped = page(&source(&folder), Cursor(0)).await.unwrap();
    // Another process takes it up, which has not seen the folder before.
    let rest = pages_from(&source(&folder), stopped.next).await;
    assert_eq!(rest, [vec!["3", "4"], vec!["5"], vec![r#"{"id":6}"#]]);
}

#[tokio::test]
async fn a_file_that_is_added_meanwhile_moves_no_cursor() {
    let folder = folder(&[("b.jsonl", b"1\n2\n3\n"), ("c.jsonl", b"4\n")]);
    let source = source(&folder);
    let first = page(&source, Cursor(0)).await.unwrap();
    write(folder.path(), &[("a.jsonl", b"0\n")]);
    assert_eq!(pages_from(&source, first.next).await, [["3"], ["4"]]);
    assert_eq!(pages_from(&source, Cursor(0)).await.concat(), ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_file_that_changes_between_pages_gives_no_half_line() {
    let folder = folder(&[("a.jsonl", b"{\"id\":1}\n{\"id\":2}\n"), ("b.jsonl", b"{\"id\":3}\n")]);
    let stopped = source(&folder).page(window(), Cursor(0), 1).await.unwrap();
    fs::write(folder.path().join("a.jsonl"), b"{\"id\":1,\"late\":true}\n{\"id\":2}\n").unwrap();
    assert_eq!(pages_from(&source(&folder), stopped.next).await.concat(), [r#"{"id":2}"#, r#"{"id":3}"#]);
    fs::write(folder.path().join("a.jsonl"), b"1\n").unwrap();
    assert_eq!(pages_from(&source(&folder), stopped.next).await.concat(), [r#"{"id":3}"#]);
    assert_eq!(pages_from(&source(&folder), Cursor(0)).await.concat(), ["1", r#"{"id":3}"#]);
}

#[tokio::test]
async fn a_file_that_has_gone_is_passed_over() {
    let folder = folder(&[("a.json", b"[1]"), ("b.jsonl", b"2\n"), ("c.json", b"[3]")]);
    let source = source(&folder);
    let first = page(&source, Cursor(0)).await.unwrap();
    fs::remove_file(folder.path().join("b.jsonl")).unwrap();
    assert_eq!(pages_from(&source, first.next).await.concat(), ["3"]);
}

#[tokio::test]
async fn an_empty_folder_is_the_end() {
    for folder in [folder(&[]), folder(&[("a.jsonl", b""), ("b.jsonl", b"\n \r\n")])] {
        assert!(pages(&folder).await.concat().is_empty());
        source(&folder).log_in().await.unwrap();
    }
    let only = folder(&[("a.json", b"[]")]);
    let beyond = page(&source(&only), Cursor(i64::MAX)).await.unwrap();
    assert!(beyond.end && beyond.items.is_empty());
}

#[tokio::test]
async fn a_line_that_is_no_item_fails_alone() {
    let folder = folder(&[("a.jsonl", b"\xef\xbb\xbf{\"id\":1}\n{\"id\":\n\xff\xfe\n{\"id\":2}\n")]);
    let read = pages(&folder).await.concat();
    assert_eq!(read, [r#"{"id":1}"#, r#"{"id":"#, "\u{fffd}\u{fffd}", r#"{"id":2}"#]);
    let first = page(&source(&folder), Cursor(0)).await.unwrap();
    assert_eq!(first.items[0], 3..11);
}

#[tokio::test]
async fn a_page_of_lines_is_bounded_by_its_bytes() {
    let line = format!("{}\n", "x".repeat(3 << 20));
    let folder = folder(&[("a.jsonl", line.repeat(7).as_bytes())]);
    let source = DirectorySource::new(folder.path().to_owned(), 500);
    let sizes: Vec<usize> = pages_from(&source, Cursor(0)).await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 1]);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_one_malformed_item() {
    const LONGEST: usize = 64 << 20;
    let long = format!("{{\"id\":2,\"text\":\"{}\"}}", "x".repeat(LONGEST));
    let whole = format!("{{\"id\":3,\"text\":\"{}\"}}", "y".repeat(40 << 20));
    let folder = folder(&[("a.jsonl", format!("{{\"id\":1}}\n{long}\n{whole}\n{{\"id\":4}}\n{long}").as_bytes())]);
    let source = DirectorySource::new(folder.path().to_owned(), 500);
    let pages = pages_from(&source, Cursor(0)).await;
    let lengths: Vec<Vec<usize>> = pages.iter().map(|page| page.iter().map(String::len).collect()).collect();
    assert_eq!(lengths, [vec![8], vec![64 << 10], vec![whole.len()], vec![8], vec![64 << 10]]);
    assert!(pages[1][0].starts_with(r#"{"id":2,"#) && pages[4][0].starts_with(r#"{"id":2,"#));
}

#[tokio::test]
async fn the_line_after_the_longest_one_is_not_lost() {
    let longest = "x".repeat(64 << 20);
    let folder = folder(&[("a.jsonl", format!("{longest}\n1\n").as_bytes())]);
    let read = pages(&folder).await.concat();
    assert_eq!(read.iter().map(String::len).collect::<Vec<_>>(), [64 << 20, 1]);
}

#[tokio::test]
async fn a_file_that_cannot_be_split_says_which_and_what_to_do() {
    for (content, advice) in
        [(&b"{\"messages\":[{\"id\":1},"[..], "cut short"), (b"\xff\xfe{\0}\0", "UTF-16"), (b"<html>", "not JSON")]
    {
        let folder = folder(&[("a.json", b"[1]"), ("b.json", content), ("c.json", b"[3]")]);
        let (read, error) = until_refused(&source(&folder)).await;
        assert_eq!(read, ["1", "3"], "those after it are read");
        assert!(matches!(&error, SourceError::Contract(_)), "refused once, not asked for again: {error}");
        assert!(error.to_string().contains("b.json") && error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn an_exported_error_is_not_taken_for_an_empty_export() {
    let folder = folder(&[("a.json", br#"[{"resultCode":301,"resultDescription":"x","messages":null}]"#)]);
    let (_, error) = until_refused(&source(&folder)).await;
    assert!(matches!(&error, SourceError::Contract(detail) if detail.contains("301")), "{error}");
}

#[tokio::test]
async fn a_file_over_the_cap_is_unreadable() {
    let big = |megabytes: usize| format!("[\"{}\"]", "x".repeat(megabytes << 20));
    let folder = folder(&[("a.json", big(33).as_bytes()), ("b.json", big(65).as_bytes())]);
    let source = source(&folder);
    let error = page(&source, Cursor(0)).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::PageUnreadable { detail, .. } if detail.contains("an item a line")),
        "{error}"
    );
    let alone = source.page(window(), Cursor(0), 1).await.unwrap();
    assert_eq!(alone.items.len(), 1);
    let refused = source.page(window(), alone.next, 1).await.unwrap();
    assert!(refused.items.is_empty() && !refused.end);
    let error = source.page(window(), refused.next, 1).await.unwrap_err();
    assert!(matches!(error, SourceError::Contract(_)), "{error}");
}

#[tokio::test]
async fn what_a_file_holds_decides_how_it_is_read() {
    let (one, two) = (r#"{"id":1,"body":{}}"#, r#"{"id":2,"body":{}}"#);
    for (name, content) in [
        ("a.jsonl", format!("[{one},\n {two}]")),
        ("a.json", format!("{one}\n{two}\n")),
        ("a.jsonl", format!("{{\n\"resultCode\": 0,\n\"messages\": [\n{one},\n{two}]\n}}\n")),
        ("a.json", format!("[{one}]\r\n[{two}]\r\n")),
    ] {
        let folder = folder(&[(name, content.as_bytes())]);
        assert_eq!(pages(&folder).await.concat(), [one, two], "{name}: {content}");
    }
    let broken = folder(&[("a.jsonl", b"{\n \"id\": 1,\n \"body\": {\n")]);
    let (_, error) = until_refused(&source(&broken)).await;
    assert!(matches!(&error, SourceError::Contract(why) if why.contains("a.jsonl")), "{error}");
}

#[tokio::test]
async fn what_is_not_read_is_named() {
    let others: [(&str, &[u8]); 5] = [
        ("2026-11/b.json", b"[2]"),
        (".c.json", b"[3]"),
        ("d.json.gz", b"x"),
        ("e.json:Zone.Identifier", b"x"),
        ("attachments/1/0-f", b"x"),
    ];
    let with_items = folder(&others);
    write(with_items.path(), &[("a.json", b"[1]")]);
    let readable = source(&with_items);
    assert_eq!(pages_from(&readable, Cursor(0)).await.concat(), ["1"]);
    let named = readable.passed_over().await;
    assert_eq!(named.len(), 4, "{named:?}");
    for (name, _) in &others[..4] {
        let name = name.split('/').next().unwrap();
        assert!(named.iter().any(|entry| entry.starts_with(&format!("{name} ("))), "{name}: {named:?}");
    }
    // Where nothing can be read there is no complete run.
    let unreadable = folder(&others);
    let nothing = source(&unreadable);
    for error in [nothing.log_in().await.unwrap_err(), page(&nothing, Cursor(0)).await.unwrap_err()] {
        assert!(matches!(&error, SourceError::Contract(why) if why.contains("d.json.gz")), "{error}");
    }
}

#[tokio::test]
async fn a_folder_that_is_missing_says_so() {
    let folder = folder(&[("a.json", b"[1]")]);
    for path in [folder.path().join("missing"), folder.path().join("a.json")] {
        let source = DirectorySource::new(path, 2);
        for error in [source.log_in().await.unwrap_err(), page(&source, Cursor(0)).await.unwrap_err()] {
            assert!(matches!(&error, SourceError::Unavailable(advice) if advice.contains("source.path")), "{error}");
        }
        let error = source.attachment(ItemId(1), 0).await.err().unwrap();
        assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    }
}

async fn attachment(source: &DirectorySource, item: i64, index: usize) -> Result<(Option<u64>, Vec<u8>), SourceError> {
    let stream = source.attachment(ItemId(item), index).await?;
    let bytes: Vec<bytes::Bytes> = stream.bytes.try_collect().await?;
    Ok((stream.length, bytes.concat()))
}

#[tokio::test]
async fn attachments_are_found_by_item_and_index() {
    let large = vec![7; 3 << 20];
    let folder = folder(&[
        ("attachments/1/0-photo of Ana (1).jpg", b"photo"),
        ("attachments/1/1-", b""),
        ("attachments/1/10-ten", b"ten"),
        ("attachments/12/0-large", &large),
    ]);
    let source = source(&folder);
    assert_eq!(attachment(&source, 1, 0).await.unwrap(), (Some(5), b"photo".to_vec()));
    assert_eq!(attachment(&source, 1, 1).await.unwrap(), (Some(0), vec![]));
    assert_eq!(attachment(&source, 1, 10).await.unwrap(), (Some(3), b"ten".to_vec()));
    assert_eq!(attachment(&source, 12, 0).await.unwrap(), (Some(3 << 20), large));
    for (item, index) in [(1, 2), (2, 0), (-1, 0)] {
        let error = attachment(&source, item, index).await.unwrap_err();
        assert!(matches!(error, SourceError::AttachmentGone(_)), "{error}");
    }
}

#[tokio::test]
async fn one_of_several_files_is_never_guessed() {
    let folder = folder(&[("attachments/1/0-a", b"a"), ("attachments/1/0-b", b"b")]);
    let error = attachment(&source(&folder), 1, 0).await.unwrap_err();
    assert!(matches!(&error, SourceError::AttachmentGone(advice) if advice.contains("leave one")), "{error}");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_read() {
    let outside = folder(&[("secret.json", b"[1]"), ("1/0-secret", b"secret")]);
    let linked = folder(&[("a.json", b"[2]"), ("attachments/2/1-x", b"x")]);
    symlink(outside.path().join("secret.json"), linked.path().join("b.json")).unwrap();
    fs::create_dir(linked.path().join("c.json")).unwrap();
    symlink(outside.path().join("1"), linked.path().join("attachments/1")).unwrap();
    symlink(outside.path().join("1/0-secret"), linked.path().join("attachments/2/0-x")).unwrap();
    assert_eq!(pages(&linked).await, [["2"]]);
    for item in [1, 2] {
        let error = attachment(&source(&linked), item, 0).await.unwrap_err();
        assert!(matches!(error, SourceError::AttachmentGone(_)), "{error}");
    }

    let folder = folder(&[]);
    symlink(outside.path(), folder.path().join("attachments")).unwrap();
    assert!(matches!(attachment(&source(&folder), 1, 0).await, Err(SourceError::AttachmentGone(_))));
}

#[tokio::test]
async fn items_of_other_products_are_left_out_here_as_they_are_at_the_service() {
    let folder = folder(&[
        (
            "a.json",
            br#"[{"id":1,"sourceType":"WHATSAPP_ARCHIVER"},{"id":2,"sourceType":"WHATSAPP_CLOUD_ARCHIVER"},{"id":3}]"#,
        ),
        (
            "b.jsonl",
            b"{\"id\":4,\"sourceType\":\"WHATSAPP_CLOUD_ARCHIVER\"}\n{\"id\":5,\"sourceType\":\"OTHER\"}\nno JSON",
        ),
    ]);
    let phone = source(&folder).of_products(vec![Product::PhoneArchiver]);
    let found: Vec<String> = pages_from(&phone, Cursor(0)).await.concat();
    let expected =
        [r#"{"id":1,"sourceType":"WHATSAPP_ARCHIVER"}"#, r#"{"id":3}"#, r#"{"id":5,"sourceType":"OTHER"}"#, "no JSON"];
    assert_eq!(found, expected, "what names no known product may be what is looked for");
    // A rebuild of the ledger finds the same items in what was staged.
    let staged = page(&phone, Cursor(0)).await.unwrap();
    assert_eq!(phone.split(&staged.body).unwrap(), staged.items);
}
