//! Transcripts: the page of a chat and day, as a browser reads it.

use std::fs;

use whatsapp_archiver::export::{Exporter, Format, Options};

use crate::export::{Exported, files_in, said, said_with};
use crate::export_manifest::read_manifest;

fn transcripts(messages: &[Exported], time_zone: chrono_tz::Tz) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let options = Options { time_zone, ..Options::new(Format::Html) };
    let mut exporter = Exporter::new(&options, folder.path()).unwrap();
    for message in messages {
        exporter.add(&message.item, &message.resolution, &message.message).unwrap();
    }
    exporter.finish().unwrap();
    folder
}

/// The only page but the index.
fn page(folder: &tempfile::TempDir) -> String {
    let pages = files_in(folder.path()).into_iter().filter(|path| path.extension().is_some_and(|it| it == "html"));
    let pages: Vec<_> = pages.filter(|path| path.file_name().unwrap() != "index.html").collect();
    let [page] = &pages[..] else { panic!("{pages:?}") };
    fs::read_to_string(page).unwrap()
}

#[test]
fn a_transcript_shows_a_chat_with_its_edits_deletions_reactions_and_files() {
    let reaction = r#","messageType":"EVENT","event":{"type":"Reaction","emoji":"👍","targetMessageId":"a","targetSender":{"value":"15550101"}}"#;
    let messages = [
        said_with(
            "a",
            "15550101",
            1,
            r#","text":"one","attachment":[{"name":"a b#.txt","contentType":"text/plain"}]"#,
            &[b"file"],
        ),
        said(
            "b",
            "15550100",
            2,
            r#","text":"an answer","quoted":{"messageId":"a","sender":{"value":"15550101"},"text":"one"}"#,
        ),
        said("r", "15550100", 3, reaction),
        said("EDIT-a-1", "15550101", 4, r#","originalMessageData":{"text":"two","previousText":"one"}"#),
        said("DELETE_FOR_ALL-b", "15550100", 5, ""),
    ];
    let folder = transcripts(&messages, chrono_tz::Tz::Europe__Berlin);
    let page = page(&folder);
    for shown in [
        "Friday, 21 November 2025, times in Europe/Berlin",
        ">09:01:00 CET</time>",
        "<div class=\"text\" dir=\"auto\">two</div>",
        "Edited 09:04:00 CET by <bdi>Ben</bdi>; before: <span class=\"old\" dir=\"auto\">one</span>",
        "class=\"out deleted\"",
        "Deleted: for everyone by Ana",
        "👍 <bdi>Ana</bdi>",
        "<div class=\"quote\" dir=\"auto\">one</div>",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    for message in &messages {
        let id = message.message.mail.message_id.local_part().to_owned();
        assert!(page.contains(&id), "{id} is not on the page");
    }
    let link = page.split("<a href=\"attachments/").nth(1).unwrap().split('"').next().unwrap();
    let path = percent_encoding::percent_decode_str(link).decode_utf8().unwrap().into_owned();
    assert_eq!(fs::read(folder.path().join("attachments").join(path)).unwrap(), b"file");
    let index = fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert!(index.contains("<td>2025-11-21</td>"), "{index}");
    let listed = read_manifest(folder.path());
    for file in files_in(folder.path()) {
        let path = file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        assert!(listed.iter().any(|row| row["path"] == path && !row["sha256"].is_empty()), "{path}");
    }
}

#[test]
fn a_hostile_message_is_only_text() {
    let hostile = r#","text":"<script>alert(1)</script><img src=http://x.example/y>","groupId":"1@g.us","groupName":"<b onclick=x>\"'","attachment":[{"name":"<svg onload=x>.svg","contentType":"image/svg+xml"}]"#;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    let page = page(&transcripts(&[said_with("a", "15550101", 1, hostile, &[svg])], chrono_tz::Tz::UTC));
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"), "{page}");
    for never in ["<script", "<img src=\"http", "<img src=http", "<svg", "<b onclick", "http://", "https://"] {
        let shown = page.replace("&#60;", "").replace("&lt;", "").replace("http://x.example/y", "");
        assert!(!shown.contains(never), "{never} is in {page}");
    }
    assert!(!page.contains("<img"), "no picture that can hold a script is shown");
    assert!(page.contains("default-src 'none'"));
}
