//! What every staging area must do, whatever it is made of: one suite, run against each.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::{TimeZone as _, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use whatsapp_archiver::digest::{Digest, Digester};
use whatsapp_archiver::item::ItemKey;
use whatsapp_archiver::source::Cursor;
use whatsapp_archiver::staging::{BlobName, ByteStream, StagedStream, Staging, StagingError};
use whatsapp_archiver::window::Window;

/// One test for each rule, against the staging area that the expression makes for it. The expression's value may hold
/// what must live as long as the area, as the second part of a pair.
macro_rules! staging_contract {
    ($make:expr) => {
        crate::staging_contract::staging_contract!(
            $make;
            what_is_put_is_got,
            the_same_again_is_a_success_and_other_bytes_are_a_conflict,
            what_is_missing_is_not_found,
            a_blob_over_the_limit_is_too_large,
            a_range_is_a_part_and_never_less,
            a_stream_is_put_whole,
            a_stream_over_the_limit_leaves_nothing,
            a_stream_that_breaks_leaves_nothing,
            the_same_stream_again_is_a_success_and_another_a_conflict,
            a_large_stream_arrives_without_being_held,
            one_of_many_puts_at_once_wins,
            one_of_many_streams_at_once_wins,
            a_listing_is_sorted_and_knows_sizes,
            a_copy_outlives_its_original,
            a_copy_never_overwrites,
            what_is_removed_is_gone_and_its_name_free,
            every_name_can_be_put,
            preparing_again_changes_nothing,
        );
    };
    ($make:expr; $($rule:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let (staging, _alive) = $make.await;
                crate::staging_contract::$rule(staging).await;
            }
        )+
    };
}
pub(crate) use staging_contract;

type Shared = Arc<dyn Staging>;

const LIMIT: u64 = 1 << 20;

fn name(text: &str) -> BlobName {
    BlobName::parse(text).unwrap()
}

fn pieces(pieces: &[&'static [u8]]) -> ByteStream<std::io::Error> {
    stream::iter(pieces.to_vec()).map(|piece| Ok(Bytes::from_static(piece))).boxed()
}

/// A stream of `megabytes` MiB that is made while it is read.
fn generated(megabytes: u64) -> ByteStream<std::io::Error> {
    stream::iter(0..megabytes * 4).map(|number| Ok(generated_piece(number))).boxed()
}

fn generated_piece(number: u64) -> Bytes {
    let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.iter().copied().cycle().take(1 << 18).collect::<BytesMut>().freeze()
}

async fn read_all(stream: ByteStream<StagingError>) -> Vec<u8> {
    let read: BytesMut = stream.try_collect().await.unwrap();
    read.to_vec()
}

pub(crate) async fn what_is_put_is_got(staging: Shared) {
    for (blob, content) in [("a/text", &b"\0\xff text"[..]), ("a/empty", b""), ("top", b"x")] {
        let blob = name(blob);
        staging.put(&blob, Bytes::from_static(content)).await.unwrap();
        assert_eq!(staging.get(&blob, LIMIT).await.unwrap(), content);
        assert_eq!(read_all(staging.open(&blob).await.unwrap()).await, content);
    }
}

pub(crate) async fn the_same_again_is_a_success_and_other_bytes_are_a_conflict(staging: Shared) {
    let blob = name("a/page.json");
    for _ in 0..2 {
        staging.put(&blob, Bytes::from_static(b"first")).await.unwrap();
    }
    for other in [&b"other"[..], b"firs", b"first!", b""] {
        let refused = staging.put(&blob, Bytes::copy_from_slice(other)).await;
        assert!(matches!(refused, Err(StagingError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(staging.get(&blob, LIMIT).await.unwrap(), "first");
}

pub(crate) async fn what_is_missing_is_not_found(staging: Shared) {
    staging.put(&name("a/there"), Bytes::from_static(b"x")).await.unwrap();
    for missing in [name("a/missing"), name("b/c/missing"), name("a")] {
        let errors = [
            staging.get(&missing, LIMIT).await.unwrap_err(),
            staging.get_range(&missing, 0..1).await.unwrap_err(),
            staging.copy(&missing, &name("copy")).await.unwrap_err(),
        ];
        // Something that isn't a blob may be in the place of "a".
        let expected = |error: &StagingError| match error {
            StagingError::NotFound { .. } => true,
            StagingError::Refused(_) => missing.as_str() == "a",
            _ => false,
        };
        assert!(errors.iter().all(expected), "{errors:?}");
        let opened = match staging.open(&missing).await {
            Ok(stream) => stream.try_collect::<BytesMut>().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(expected(&opened.unwrap_err()));
    }
    staging.remove(&name("b/missing")).await.unwrap();
    assert_eq!(staging.list("").await.unwrap(), [(name("a/there"), 1)]);
}

pub(crate) async fn a_blob_over_the_limit_is_too_large(staging: Shared) {
    let blob = name("a/blob");
    staging.put(&blob, Bytes::from_static(b"12345")).await.unwrap();
    assert_eq!(staging.get(&blob, 5).await.unwrap(), "12345");
    for limit in [4, 1, 0] {
        let refused = staging.get(&blob, limit).await;
        assert!(
            matches!(refused, Err(StagingError::TooLarge { limit: reported, .. }) if reported == limit),
            "{refused:?}"
        );
    }
}

pub(crate) async fn a_range_is_a_part_and_never_less(staging: Shared) {
    let blob = name("a/blob");
    staging.put(&blob, Bytes::from_static(b"0123456789")).await.unwrap();
    for (range, part) in [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (4..4, ""), (10..10, "")] {
        assert_eq!(staging.get_range(&blob, range).await.unwrap(), part);
    }
    for beyond in [0..11, 9..11, 10..11, 50..60] {
        let refused = staging.get_range(&blob, beyond).await;
        assert!(matches!(refused, Err(StagingError::Damaged { .. })), "{refused:?}");
    }
}

pub(crate) async fn a_stream_is_put_whole(staging: Shared) {
    for (blob, parts) in [("a/0", &[&b"one"[..], b"", b"two"][..]), ("a/1", &[]), ("a/2", &[b""])] {
        let (blob, content) = (name(blob), parts.concat());
        let staged = staging.put_stream(&blob, pieces(parts), content.len() as u64).await.unwrap();
        assert_eq!(staged, StagedStream { length: content.len() as u64, digest: Digest::of(&content) });
        assert_eq!(staging.get(&blob, LIMIT).await.unwrap(), content);
    }
}

pub(crate) async fn a_stream_over_the_limit_leaves_nothing(staging: Shared) {
    let blob = name("a/blob");
    let refused = staging.put_stream(&blob, pieces(&[b"123", b"45"]), 4).await;
    assert!(matches!(refused, Err(StagingError::TooLarge { limit: 4, .. })), "{refused:?}");
    // Beyond one block, where some of it is on its way already.
    let refused = staging.put_stream(&blob, generated(20), 18 << 20).await;
    assert!(matches!(refused, Err(StagingError::TooLarge { .. })), "{refused:?}");
    assert_eq!(staging.list("").await.unwrap(), []);
    staging.put_stream(&blob, pieces(&[b"1234"]), 4).await.unwrap();
}

pub(crate) async fn a_stream_that_breaks_leaves_nothing(staging: Shared) {
    let blob = name("a/blob");
    for megabytes in [0, 20] {
        let broken = stream::once(async { Err(std::io::Error::other("the line went dead")) });
        let refused = staging.put_stream(&blob, generated(megabytes).chain(broken).boxed(), u64::MAX).await;
        assert!(matches!(refused, Err(StagingError::StreamBroken { .. })), "{refused:?}");
        assert!(matches!(staging.get(&blob, LIMIT).await, Err(StagingError::NotFound { .. })));
    }
    assert_eq!(staging.list("").await.unwrap(), []);
}

pub(crate) async fn the_same_stream_again_is_a_success_and_another_a_conflict(staging: Shared) {
    let blob = name("a/blob");
    let put = |parts: &'static [&'static [u8]]| staging.put_stream(&blob, pieces(parts), LIMIT);
    assert_eq!(put(&[b"one", b"two"]).await.unwrap(), put(&[b"onetwo"]).await.unwrap());
    let refused = put(&[b"onetwO"]).await;
    assert!(matches!(refused, Err(StagingError::Conflict { .. })), "{refused:?}");
    staging.put(&blob, Bytes::from_static(b"onetwo")).await.unwrap();
    assert_eq!(staging.get(&blob, LIMIT).await.unwrap(), "onetwo");
}

pub(crate) async fn a_large_stream_arrives_without_being_held(staging: Shared) {
    const MEGABYTES: u64 = 40;
    let blob = name("a/large");
    let mut digester = Digester::default();
    (0..MEGABYTES * 4).for_each(|number| digester.update(&generated_piece(number)));
    let whole = StagedStream { length: MEGABYTES << 20, digest: digester.finish() };
    assert_eq!(staging.put_stream(&blob, generated(MEGABYTES), MEGABYTES << 20).await.unwrap(), whole);

    let mut read = Digester::default();
    let mut largest = 0;
    let mut stream = staging.open(&blob).await.unwrap();
    while let Some(piece) = stream.try_next().await.unwrap() {
        largest = largest.max(piece.len());
        read.update(&piece);
    }
    assert_eq!(read.finish(), whole.digest);
    assert!(largest <= 16 << 20, "{largest}");
    let middle = staging.get_range(&blob, 20 << 20..(20 << 20) + 10).await.unwrap();
    assert_eq!(middle, generated_piece(80).slice(..10));
}

pub(crate) async fn one_of_many_puts_at_once_wins(staging: Shared) {
    let blob = name("a/raced");
    let racers = (0..8_u8).map(|racer| {
        let (staging, blob) = (Arc::clone(&staging), blob.clone());
        tokio::spawn(async move { staging.put(&blob, vec![racer / 4; 1000].into()).await })
    });
    let won = outcomes(racers.collect()).await;
    let content = staging.get(&blob, LIMIT).await.unwrap();
    assert_eq!(won, (0..8).map(|racer| racer / 4 == content[0]).collect::<Vec<_>>());
    assert_eq!(content, vec![content[0]; 1000]);
}

pub(crate) async fn one_of_many_streams_at_once_wins(staging: Shared) {
    let blob = name("a/raced");
    let racers = (0..4_u8).map(|racer| {
        let (staging, blob) = (Arc::clone(&staging), blob.clone());
        let stream = stream::iter(0..10).map(move |_| Ok(Bytes::from(vec![racer / 2; 1 << 20]))).boxed();
        tokio::spawn(async move { staging.put_stream(&blob, stream, u64::MAX).await.map(drop) })
    });
    let won = outcomes(racers.collect()).await;
    let content = staging.get(&blob, 10 << 20).await.unwrap();
    assert_eq!(won, (0..4).map(|racer| racer / 2 == content[0]).collect::<Vec<_>>());
    assert_eq!(content, vec![content[0]; 10 << 20]);
}

/// Which racers had a success.
async fn outcomes(racers: Vec<tokio::task::JoinHandle<Result<(), StagingError>>>) -> Vec<bool> {
    let mut won = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            Ok(()) => won.push(true),
            Err(StagingError::Conflict { .. }) => won.push(false),
            Err(other) => panic!("{other}"),
        }
    }
    won
}

pub(crate) async fn a_listing_is_sorted_and_knows_sizes(staging: Shared) {
    let mut names = ["b/2", "b/10", "b-c/1", "b.d", "a/x/y/z", "a/x/y.z", "ba/1"].map(name);
    for (size, blob) in names.iter().enumerate() {
        staging.put(blob, vec![0; size].into()).await.unwrap();
    }
    let all = staging.list("").await.unwrap();
    for (blob, size) in &all {
        assert_eq!(names.iter().position(|name| name == blob), usize::try_from(*size).ok());
    }
    names.sort();
    let listed = |prefix: &'static str| {
        let staging = Arc::clone(&staging);
        async move { staging.list(prefix).await.unwrap().into_iter().map(|(blob, _)| blob).collect::<Vec<_>>() }
    };
    assert_eq!(listed("").await, names);
    assert_eq!(listed("b/").await, [name("b/10"), name("b/2")]);
    assert_eq!(listed("a/x/").await, [name("a/x/y.z"), name("a/x/y/z")]);
    assert_eq!(listed("a/x/y/").await, [name("a/x/y/z")]);
    for nothing in ["c/", "b.d/", "../", "/", "a//x/", "a/x/y/z/"] {
        assert!(listed(nothing).await.is_empty(), "{nothing}");
    }
}

pub(crate) async fn a_copy_outlives_its_original(staging: Shared) {
    let (original, copy) = (name("windows/w/attachments/k/0"), name("held/k/0"));
    staging.put_stream(&original, generated(9), u64::MAX).await.unwrap();
    for _ in 0..2 {
        staging.copy(&original, &copy).await.unwrap();
    }
    staging.remove(&original).await.unwrap();
    assert_eq!(staging.list("").await.unwrap(), [(copy.clone(), 9 << 20)]);
    assert_eq!(staging.get_range(&copy, 0..8).await.unwrap(), generated_piece(0).slice(..8));
}

pub(crate) async fn a_copy_never_overwrites(staging: Shared) {
    let (one, two) = (name("one"), name("two"));
    staging.put(&one, Bytes::from_static(b"1")).await.unwrap();
    staging.put(&two, Bytes::from_static(b"2")).await.unwrap();
    let refused = staging.copy(&one, &two).await;
    assert!(matches!(refused, Err(StagingError::Conflict { .. })), "{refused:?}");
    assert_eq!(staging.get(&two, LIMIT).await.unwrap(), "2");
}

pub(crate) async fn what_is_removed_is_gone_and_its_name_free(staging: Shared) {
    let (blob, neighbour) = (name("a/b/blob"), name("a/neighbour"));
    staging.put(&neighbour, Bytes::from_static(b"stays")).await.unwrap();
    for content in ["first", "second"] {
        staging.put(&blob, Bytes::from_static(content.as_bytes())).await.unwrap();
        assert_eq!(staging.get(&blob, LIMIT).await.unwrap(), content);
        for _ in 0..2 {
            staging.remove(&blob).await.unwrap();
        }
        assert!(matches!(staging.get(&blob, LIMIT).await, Err(StagingError::NotFound { .. })));
        assert_eq!(staging.list("").await.unwrap(), [(neighbour.clone(), 5)]);
    }
}

pub(crate) async fn every_name_can_be_put(staging: Shared) {
    let window = Window {
        from: Utc.with_ymd_and_hms(2026, 11, 21, 2, 0, 0).unwrap(),
        to: Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap(),
    };
    let digest = Digest::of(b"x");
    let key = ItemKey(digest);
    let mut names = [
        BlobName::page(window, Cursor(i64::MAX), digest),
        BlobName::page(window, Cursor(0), digest),
        BlobName::attachment(window, key, 0, 0),
        BlobName::attachment(window, key, 12, 3),
        BlobName::held_item(key),
        BlobName::held_attachment(key, 0),
        BlobName::report("2026-11-22/../x y"),
        BlobName::ledger_id(),
        name("..a/.b/c."),
        name(&format!("{}/{}", ["long"; 60].join("/"), "n".repeat(200))),
    ];
    for blob in &names {
        staging.put(blob, blob.as_str().to_owned().into()).await.unwrap();
    }
    for blob in &names {
        assert_eq!(staging.get(blob, LIMIT).await.unwrap(), blob.as_str());
    }
    names.sort();
    let listed: Vec<_> = staging.list("").await.unwrap().into_iter().map(|(blob, _)| blob).collect();
    assert_eq!(listed, names);
}

pub(crate) async fn preparing_again_changes_nothing(staging: Shared) {
    let blob = name("a/blob");
    staging.put(&blob, Bytes::from_static(b"x")).await.unwrap();
    staging.prepare().await.unwrap();
    assert_eq!(staging.list("").await.unwrap(), [(blob, 1)]);
}
