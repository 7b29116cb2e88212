//! Attachments: their bytes, and every way in which they fail.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::source::{AttachmentStream, Source as _, SourceError};

use super::{Bench, at};
use crate::servers::telemessage::{ArchivedItem, Fault, MediaFault};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 not really a picture";

/// A bench with one item that has a picture.
fn with_picture() -> Bench {
    let bench = Bench::new();
    bench.server.add([ArchivedItem::message(5, at(0)).attachment("a.jpg", "image/jpeg", JPEG)]);
    bench
}

/// A bench with one item that has a JSON file.
fn with_json(content: impl Into<bytes::Bytes>) -> Bench {
    let bench = Bench::new();
    let item = ArchivedItem::message(5, at(0));
    bench.server.add([item.attachment_without_digest("a.json", "Application/JSON; charset=utf-8", content)]);
    bench
}

async fn open(bench: &Bench) -> AttachmentStream {
    bench.source.attachment(ItemId(5), 0).await.unwrap()
}

async fn bytes_of(attachment: AttachmentStream) -> Vec<u8> {
    attachment.bytes.try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test]
async fn an_attachment_comes_with_its_length() {
    let bench = with_picture();
    let attachment = open(&bench).await;
    assert_eq!(attachment.length, Some(JPEG.len() as u64));
    assert!(attachment.suspected_error.is_none());
    assert_eq!(bytes_of(attachment).await, JPEG);
    assert_eq!(bench.server.requests()[0].accept_encoding, "identity");
}

#[tokio::test]
async fn a_large_attachment_comes_whole() {
    let bench = Bench::new();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    bench.server.add([ArchivedItem::message(5, at(0)).inline_attachment("a.txt", "text/plain", b"inline").attachment(
        "b.mp4",
        "video/mp4",
        large.clone(),
    )]);
    assert_eq!(bench.bytes(5, 1).await.unwrap(), large);
}

#[tokio::test]
async fn missing_media_can_trail_and_gone_media_cannot() {
    let bench = with_picture();
    for (fault, gone) in [
        (Fault::Status(404), false),
        (Fault::StatusAndCode(404, 48), false),
        (Fault::Status(410), true),
        (Fault::StatusAndCode(400, 48), true),
        (Fault::StatusAndCode(409, 49), true),
    ] {
        bench.server.fail_attachment(5, 0, fault.clone());
        let error = bench.bytes(5, 0).await.unwrap_err();
        let as_expected = match &error {
            SourceError::AttachmentNotFound(_) => !gone,
            SourceError::AttachmentGone(_) => gone,
            _ => false,
        };
        assert!(as_expected, "{fault:?}: {error}");
        assert!(error.to_string().contains("attachment 1 of item 5"), "{error}");
    }
    assert_eq!(bench.bytes(5, 0).await.unwrap(), JPEG);
    assert!(matches!(bench.bytes(5, 9).await.unwrap_err(), SourceError::AttachmentNotFound(_)));
}

#[tokio::test]
async fn other_statuses_mean_what_they_mean_for_the_list() {
    let bench = with_picture();
    bench.server.fail_attachment(5, 0, Fault::RetryAfter(429, "7".to_owned()));
    let error = bench.bytes(5, 0).await.unwrap_err();
    let seven = Some(Duration::from_secs(7));
    assert!(matches!(error, SourceError::Throttled { after, .. } if after == seven), "{error:?}");
    for status in [401, 403] {
        bench.server.fail_attachment(5, 0, Fault::Status(status));
        assert!(matches!(bench.bytes(5, 0).await.unwrap_err(), SourceError::Refused { .. }));
    }
    for fault in [Fault::Status(500), Fault::Status(503), Fault::Drop] {
        bench.server.fail_attachment(5, 0, fault.clone());
        let error = bench.bytes(5, 0).await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable(_)), "{fault:?}: {error}");
    }
    bench.server.fail_attachment(5, 0, Fault::Status(204));
    assert!(matches!(bench.bytes(5, 0).await.unwrap_err(), SourceError::Unexpected(_)));
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_has_another_length_is_an_error() {
    let bench = with_picture();
    for fault in [MediaFault::BreakOff, MediaFault::LengthOff(1)] {
        bench.server.fail_attachment(5, 0, fault.clone());
        let error = bench.bytes(5, 0).await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable(_)), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn silence_is_an_error_too() {
    let bench = Bench::impatient();
    bench.server.add([ArchivedItem::message(5, at(0)).attachment("a.jpg", "image/jpeg", JPEG)]);
    for fault in [MediaFault::Answer(Fault::Silence), MediaFault::Stall] {
        bench.server.fail_attachment(5, 0, fault.clone());
        let error = bench.bytes(5, 0).await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable(_)), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn wrong_bytes_are_handed_on_for_the_digest_to_judge() {
    let bench = with_picture();
    bench.server.fail_attachment(5, 0, MediaFault::WrongBytes);
    let wrong = bench.bytes(5, 0).await.unwrap();
    assert_eq!(wrong.len(), JPEG.len());
    assert_ne!(wrong, JPEG);
    assert_eq!(bench.bytes(5, 0).await.unwrap(), JPEG);
}

#[tokio::test]
async fn an_envelope_in_place_of_the_bytes_is_a_suspicion() {
    let bench = with_picture();
    let suspicion = async |fault: Fault| {
        bench.server.fail_attachment(5, 0, fault);
        open(&bench).await.suspected_error.expect("a suspicion")
    };
    assert!(matches!(suspicion(Fault::Code(48)).await, SourceError::AttachmentGone(_)));
    assert!(matches!(suspicion(Fault::WrappedCode(49)).await, SourceError::AttachmentGone(_)));
    assert!(matches!(suspicion(Fault::Code(301)).await, SourceError::Refused { .. }));
    assert!(matches!(suspicion(Fault::Code(306)).await, SourceError::Throttled { after: None, .. }));
    assert!(matches!(suspicion(Fault::Code(400)).await, SourceError::Unavailable(_)));
    assert!(matches!(suspicion(Fault::Code(7)).await, SourceError::Unexpected(_)));

    bench.server.fail_attachment(5, 0, Fault::Code(48));
    let attachment = open(&bench).await;
    assert!(bytes_of(attachment).await.starts_with(b"{\"resultCode\":48"), "the bytes are there all the same");
}

#[tokio::test]
async fn a_json_attachment_is_an_attachment() {
    let long = format!(r#"{{"resultCode":48,"padding":"{}"}}"#, "x".repeat(100_000));
    for innocent in [r#"{"a":1}"#, r#"{"resultCode":0}"#, "[1,2", "", r#"[{"resultCode":48},{}]"#, long.as_str()] {
        let bench = with_json(innocent.to_owned());
        let attachment = open(&bench).await;
        assert!(attachment.suspected_error.is_none(), "{:.40}: {:?}", innocent, attachment.suspected_error);
        assert_eq!(attachment.length, Some(innocent.len() as u64));
        assert_eq!(bytes_of(attachment).await, innocent.as_bytes());
    }
    let bench = with_json(r#"{"resultCode":48}"#);
    let attachment = open(&bench).await;
    assert!(attachment.suspected_error.is_some());
    assert_eq!(bytes_of(attachment).await, br#"{"resultCode":48}"#);
}

#[tokio::test]
async fn a_json_attachment_that_breaks_off_is_an_error() {
    let bench = with_json(r#"{"resultCode":48}"#);
    bench.server.fail_attachment(5, 0, MediaFault::BreakOff);
    let attachment = open(&bench).await;
    assert!(attachment.suspected_error.is_none(), "half an envelope is none");
    assert!(attachment.bytes.try_collect::<Vec<_>>().await.is_err());
}
