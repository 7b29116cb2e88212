//! Mutated items: whatever the bytes, reading and converting ends without a panic, and what comes out is clean.
//!
//! A plain loop, so that it needs no other toolchain. `docs/fuzzing.md` says how to run it for long.

use bytes::Bytes;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use whatsapp_archiver::convert::{StagedAttachment, convert};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::Item;
use whatsapp_archiver::item::read::{inline_contents, peek_id};
use whatsapp_archiver::resolution::Resolution;

use super::convert_golden::{folder, names, staged_at};
use super::convert_property::{check_html, check_lines_and_headers};

const SPLICES: &[&str] = &[
    "\\r\\nBcc: x@evil.example\\r\\n\\r\\n",
    "\\u0000",
    "\\ud800",
    "\\u202e",
    "\\u2028",
    "=?utf-8?Q?=0D=0A?=",
    "\":null,\"",
    "\"],[\"",
    "null",
    "-9223372036854775808",
    "1e308",
    "\u{feff}",
    "<script>",
    "a@b.example>, <",
    "--=_",
    "DELETE_FOR_ALL-",
    "EDIT-",
    "BEGIN:VCARD\nTEL;=:\nEND:VCARD",
    "EVENT",
];

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn mutated_items_convert_cleanly_or_not_at_all() {
    let rounds = number_from("WHATSAPP_ARCHIVER_FUZZ_ROUNDS", 3000);
    let seed = number_from("WHATSAPP_ARCHIVER_FUZZ_SEED", 1);
    let corpus: Vec<Vec<u8>> =
        names().iter().map(|name| std::fs::read(folder().join(format!("{name}.json"))).unwrap()).collect();
    let mut converted = 0_u64;
    for round in 0..rounds {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        key[8..16].copy_from_slice(&round.to_be_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
        let raw = mutated(&corpus, &mut rng);
        let result = std::panic::catch_unwind(|| check(&raw, round));
        let Ok(was_read) = result else {
            panic!("seed {seed}, round {round}: {}", String::from_utf8_lossy(&raw));
        };
        converted += u64::from(was_read);
    }
    assert!(
        converted * 4 > rounds,
        "only {converted} of {rounds} were items: the mutations are too wild to find anything"
    );
}

fn below(rng: &mut TestRng, end: usize) -> usize {
    usize::try_from(rng.next_u64()).unwrap() % end.max(1)
}

fn mutated(corpus: &[Vec<u8>], rng: &mut TestRng) -> Vec<u8> {
    let mut raw = corpus[below(rng, corpus.len())].clone();
    for _ in 0..=below(rng, 4) {
        let at = below(rng, raw.len());
        match below(rng, 12) {
            0 => raw[at] = rng.next_u32().to_be_bytes()[0],
            1 => {
                raw.remove(at);
            }
            2 => {
                let from = below(rng, raw.len());
                let piece: Vec<u8> = raw[from..].iter().take(1 + below(rng, 200)).copied().collect();
                raw.splice(at..at, piece);
            }
            3 => raw[at] = b"\"{}[],:\\0-"[below(rng, 10)],
            _ => {
                let texts = text_starts(&raw);
                let start = texts.get(below(rng, texts.len())).copied().unwrap_or(at);
                let splice = SPLICES[below(rng, SPLICES.len())];
                let times = if below(rng, 20) == 0 { 500 } else { 1 };
                raw.splice(start..start, splice.repeat(times).into_bytes());
            }
        }
        if raw.is_empty() {
            raw.push(b'{');
        }
    }
    raw
}

/// Where the texts of JSON begin: splicing there keeps it whole.
fn text_starts(json: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let (mut inside, mut escaped) = (false, false);
    for (at, &byte) in json.iter().enumerate() {
        if byte == b'"' && !escaped {
            inside = !inside;
            if inside {
                starts.push(at + 1);
            }
        }
        escaped = inside && byte == b'\\' && !escaped;
    }
    starts
}

/// Whether the bytes were an item.
fn check(raw: &[u8], round: u64) -> bool {
    let _ = (peek_id(raw), inline_contents(raw, |_, base64| base64.len()));
    let Ok(item) = Item::read(raw, staged_at()) else { return false };
    let attachment = |(index, declared): (usize, &_)| {
        let _: &whatsapp_archiver::item::AttachmentDeclaration = declared;
        let start = (usize::try_from(round).unwrap() + index) % raw.len();
        let bytes = Bytes::copy_from_slice(&raw[start..]);
        match round % 5 {
            0 => StagedAttachment::Missing { detail: String::from_utf8_lossy(&bytes).into_owned() },
            1 => StagedAttachment::Present {
                bytes: [b"BEGIN:VCARD\n", bytes.as_ref()].concat().into(),
                digest: Digest::of(&bytes),
            },
            2 => StagedAttachment::Present {
                bytes: [b"\xff\xd8\xff", bytes.as_ref()].concat().into(),
                digest: Digest::of(&bytes),
            },
            _ => StagedAttachment::Present { digest: Digest::of(&bytes), bytes },
        }
    };
    let staged: Vec<StagedAttachment> = item.attachments.iter().enumerate().map(attachment).collect();
    let message = convert(&item, &staged, &Resolution::default(), "whatsapp.invalid");
    check_lines_and_headers(message.mime());
    check_html(&message.mail.html);
    assert_eq!(message.mime(), convert(&item, &staged, &Resolution::default(), "whatsapp.invalid").mime());
    true
}
