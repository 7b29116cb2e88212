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
        "Deleted: <bdi>for everyone by Ana",
        "<bdi>👍</bdi> <bdi>Ana</bdi>",
        "<p class=\"faint\">Message <bdi>&#60;",
        "<p class=\"faint\">Edit 1 <bdi>&#60;",
        "<p class=\"faint\">Reaction <bdi>&#60;",
        "<p class=\"faint\">Deletion <bdi>&#60;",
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
fn calls_and_group_events_are_a_line_of_the_archive_s_own_words_in_which_each_name_keeps_its_number() {
    let people = r#","participantEnrichments":{"15550100":{"firstName":"יעל"},"15550101":{"firstName":"عمر"},"15550102":{"firstName":"Susan"}}"#;
    let call = format!(
        r#","messageType":"VOICE_CALL","groupId":"1@g.us","groupName":"فريق","callInfo":{{"callStatus":"2","callType":"VOICE"}}{people}"#
    );
    let event = |kind: &str| {
        format!(
            r#","messageType":"EVENT","groupId":"1@g.us","groupName":"فريق","event":{{"type":"{kind}","actor":{{"value":"15550101"}},"members":[{{"value":"15550100"}},{{"value":"15550102"}}]}}{people}"#
        )
    };
    let messages = [
        said("c", "15550101", 1, &call),
        said("d", "15550101", 2, &event("Create")),
        said("e", "15550101", 3, &event("Remove")),
    ];
    let page = page(&transcripts(&messages, chrono_tz::Tz::UTC));
    let person = |name: &str, number: &str| format!("\u{2068}{name}\u{2069} (\u{2068}+{number}\u{2069})");
    let (omar, yael) = (person("عمر", "15550101"), person("יעל", "15550100"));
    for shown in [
        format!("<div class=\"text\">Voice call, missed, from {omar} to "),
        format!("<div class=\"text\">{omar} created the group; members: {yael} and Susan (+15550102)"),
        format!("<div class=\"text\">{omar} removed {yael} and Susan (+15550102) from the group"),
        "<p class=\"faint\">Group <bdi>1@g.us</bdi></p>".to_owned(),
    ] {
        assert!(page.contains(&shown), "{shown} is not in {page}");
    }
    for repeated in ["Event: ", "By: ", "Members: ", "UTC to", "Event\n", "Removed from the group"] {
        assert!(!page.contains(repeated), "{repeated} is in {page}");
    }
    assert_eq!(page.matches("removed").count(), 1, "an event of two members is one line: {page}");
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
