//! `manifest.csv` of an export: every file with its digest, every message in it, and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::export::{Exporter, Format, MANIFEST, Options, Row};

use crate::export::{Exported, files_in, said};

type Line = BTreeMap<String, String>;

pub(crate) fn read_manifest(folder: &Path) -> Vec<Line> {
    let bytes = fs::read(folder.join(MANIFEST)).unwrap();
    csv::Reader::from_reader(bytes.as_slice()).deserialize().map(Result::unwrap).collect()
}

fn export_in(options: &Options, messages: &[Exported], left_out: &[Row]) -> (tempfile::TempDir, Digest) {
    let folder = tempfile::TempDir::new().unwrap();
    let mut exporter = Exporter::new(options, folder.path()).unwrap();
    for message in messages {
        exporter.add(&message.item, &message.resolution, &message.message).unwrap();
    }
    for row in left_out {
        exporter.leave_out(row).unwrap();
    }
    let manifest = exporter.finish().unwrap().manifest;
    (folder, manifest)
}

#[test]
fn the_manifest_has_every_message_and_the_digest_of_every_file() {
    let messages = [
        said("a", "15550101", 1, r#","text":"one""#),
        said("b", "15550100", 2, r#","text":"two","attachment":[{"name":"=x.pdf"}]"#),
        said("a", "15550101", 1, r#","text":"one","threadID":"the capture of another owner""#),
        said("c", "15550101", 24 * 60, r#","text":"three""#),
    ];
    let left_out = Row { item: "7".to_owned(), problem: Some("=damaged".to_owned()), ..Row::default() };
    for format in Format::ALL {
        let (folder, digest) = export_in(&Options::new(format), &messages, std::slice::from_ref(&left_out));
        assert_eq!(Digest::of(&fs::read(folder.path().join(MANIFEST)).unwrap()), digest);
        let rows = read_manifest(folder.path());
        // The list of transcripts has no message in it.
        assert_eq!(rows.len(), if format == Format::Html { 6 } else { 5 }, "{}: {rows:?}", format.name());
        for (row, message) in rows.iter().zip(&messages) {
            assert_eq!(row["message_id"], message.message.mail.message_id.to_string());
            assert_eq!(row["sent"].parse::<chrono::DateTime<chrono::Utc>>().unwrap(), message.item.time.at);
            assert_eq!((row["item"].as_str(), row["owner"].as_str()), ("1", "15550100"));
            let file = fs::read(folder.path().join(&row["path"])).unwrap();
            assert_eq!((&row["sha256"], &row["bytes"]), (&Digest::of(&file).to_string(), &file.len().to_string()));
        }
        assert!(rows[1]["problem"].contains("=x.pdf"), "{:?}", rows[1]);
        assert_eq!((rows[4]["item"].as_str(), rows[4]["path"].as_str()), ("7", ""));
        assert_eq!(rows[4]["problem"], "'=damaged", "no formula");
        for file in files_in(folder.path()) {
            let path = file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
            assert!(rows.iter().any(|row| row["path"] == path), "{path} is not in the manifest");
        }
    }
}

#[test]
fn days_begin_in_the_time_zone_of_the_export() {
    // Sent at 23:30 and 00:30 in London's summer: 22:30 and 23:30 in UTC.
    let evening = -153 * 24 * 60 + 14 * 60;
    let messages = [said("a", "15550101", evening + 30, ""), said("b", "15550101", evening + 90, "")];
    for message in &messages {
        assert_eq!(message.item.time.at.date_naive(), messages[0].item.time.at.date_naive());
    }
    for format in [Format::Eml, Format::Rsmf] {
        let days = |time_zone| {
            let (folder, _) = export_in(&Options { time_zone, ..Options::new(format) }, &messages, &[]);
            let below = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
            let days = files_in(folder.path()).iter().map(|path| below(path)[..10].to_owned()).collect::<BTreeSet<_>>();
            days.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(days(chrono_tz::Tz::UTC), ["2025-06-21"], "{}", format.name());
        assert_eq!(days(chrono_tz::Tz::Europe__London), ["2025-06-21", "2025-06-22"], "{}", format.name());
    }
}
