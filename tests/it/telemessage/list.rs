//! Pages: windows, cursors, caps, and every fault of a list response.

use std::sync::Arc;
use std::time::Duration;

use whatsapp_archiver::http::HttpOptions;
use whatsapp_archiver::item::Item;
use whatsapp_archiver::source::{Cursor, Source as _, SourceError};

use super::{Bench, at, day, items, shown, source_at};
use crate::servers::telemessage::{ArchivedItem, CLOUD_ARCHIVER, Fault, PHONE_ARCHIVER, PageFault, PageRequest};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn pages_follow_each_other_to_the_end_of_the_window() {
    let bench = Bench::with_messages(1..=5);
    let first = bench.page(0, 2).await.unwrap();
    assert_eq!((first.items.len(), first.next, first.end), (2, Cursor(2), false));
    let second = bench.page(2, 2).await.unwrap();
    assert_eq!((second.items.len(), second.next, second.end), (2, Cursor(4), false));
    let third = bench.page(4, 2).await.unwrap();
    assert_eq!((third.items.len(), third.next, third.end), (1, Cursor(5), true));
    let nothing = bench.page(5, 2).await.unwrap();
    assert_eq!((nothing.items.len(), nothing.next, nothing.end), (0, Cursor(5), true));
}

#[tokio::test]
async fn the_request_is_the_contracts() {
    let bench = Bench::new();
    bench.page(918_273, 500).await.unwrap();
    let expected = PageRequest {
        source_types: vec![PHONE_ARCHIVER.to_owned(), CLOUD_ARCHIVER.to_owned()],
        from_date: day().from.timestamp_millis(),
        to_date: day().to.timestamp_millis(),
        last_id: 918_273,
        limit: 500,
    };
    assert_eq!(bench.server.page_requests(), [expected]);
    assert_eq!(bench.source.page_size(), 500);
}

#[tokio::test]
async fn items_keep_their_bytes_with_and_without_gzip() {
    let bench = Bench::new();
    let odd = r#"{ "id" : 7 ,"body":{"text":"a\ud800b ✓"} , "new":[1 ,2]}"#;
    bench.server.add([ArchivedItem::verbatim(7, at(0), odd), ArchivedItem::message(8, at(1)).text("Grüße")]);
    let zipped = bench.page(0, 500).await.unwrap();
    bench.server.set_gzip(false);
    let plain = bench.page(0, 500).await.unwrap();
    assert_eq!(zipped.body, plain.body);
    assert_eq!(items(&zipped)[0], odd);
    assert_eq!(Item::read(items(&zipped)[1].as_bytes(), at(0)).unwrap().text, "Grüße");
}

#[tokio::test]
async fn the_window_is_half_open_and_holds_both_products() {
    let bench = Bench::new();
    let end = 86_400_000;
    bench.server.add([
        ArchivedItem::message(1, at(-1)),
        ArchivedItem::message(2, at(0)).product(PHONE_ARCHIVER),
        ArchivedItem::message(3, at(end - 1)),
        ArchivedItem::message(4, at(end)),
        ArchivedItem::message(5, at(1)).product("SMS_ARCHIVER"),
    ]);
    let page = bench.page(0, 500).await.unwrap();
    let ids: Vec<i64> = items(&page).iter().map(|item| Item::read(item.as_bytes(), at(0)).unwrap().id.0).collect();
    assert_eq!(ids, [2, 3]);
}

#[tokio::test]
async fn a_capture_that_shows_up_late_is_there_later() {
    let bench = Bench::new();
    let later = at(3 * 86_400_000);
    bench.server.add([ArchivedItem::message(1, at(0)), ArchivedItem::message(2, at(1)).visible_from(later)]);
    assert_eq!(bench.page(0, 500).await.unwrap().items.len(), 1);
    bench.clock.set(later);
    assert_eq!(bench.page(0, 500).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn an_envelope_in_an_array_is_an_envelope() {
    let bench = Bench::with_messages([1, 2]);
    bench.server.fail_page(PageFault::Wrapped);
    let page = bench.page(0, 500).await.unwrap();
    assert_eq!((page.items.len(), page.next, page.end), (2, Cursor(2), true));
}

#[tokio::test]
async fn a_malformed_item_is_an_item_of_its_page() {
    let bench = Bench::with_messages([1, 2]);
    let malformed = r#"{"id":0,"body":[]}"#;
    bench.server.fail_page(PageFault::WithItem(malformed.to_owned()));
    let page = bench.page(0, 500).await.unwrap();
    let read: Vec<bool> = items(&page).iter().map(|item| Item::read(item.as_bytes(), at(0)).is_ok()).collect();
    assert_eq!(read, [false, true, true]);
    assert_eq!(items(&page)[0], malformed);
}

#[tokio::test]
async fn an_item_twice_in_a_page_is_handed_on_twice() {
    let bench = Bench::with_messages([1]);
    bench.server.fail_page(PageFault::Doubled);
    let page = bench.page(0, 500).await.unwrap();
    assert_eq!(items(&page)[0], items(&page)[1]);
}

#[tokio::test]
async fn a_cursor_that_does_not_advance_breaks_the_contract() {
    let bench = Bench::with_messages(1..=5);
    for stuck in [Some(3), Some(2), Some(-1), None] {
        bench.server.fail_page(PageFault::LastId(stuck));
        let error = bench.page(3, 1).await.unwrap_err();
        assert!(matches!(error, SourceError::Contract(_)), "{stuck:?}: {error}");
        assert!(error.to_string().contains("cursor 3"), "{error}");
    }
    bench.server.fail_page(PageFault::LastId(Some(4)));
    assert_eq!(bench.page(3, 1).await.unwrap().next, Cursor(4));
}

/// One wrong `lastId` must not pass over the rest of a day.
#[tokio::test]
async fn the_cursor_never_passes_the_greatest_item_of_its_page() {
    let bench = Bench::with_messages(1..=20);
    let mut seen = Vec::new();
    let mut cursor = 0;
    loop {
        if seen.len() == 9 {
            bench.server.fail_page(PageFault::LastId(Some(i64::MAX)));
        }
        let page = bench.page(cursor, 3).await.unwrap();
        seen.extend(items(&page).iter().map(|item| Item::read(item.as_bytes(), at(0)).unwrap().id.0));
        cursor = page.next.0;
        if page.end {
            break;
        }
    }
    assert_eq!(seen, (1..=20).collect::<Vec<i64>>());
}

/// There is no number to hold `lastId` against.
#[tokio::test]
async fn a_page_without_numbers_leads_neither_far_nor_on_for_ever() {
    let bench = Bench::with_messages(1..=3);
    for last_id in [i64::MAX, 1_000_000_003] {
        bench.server.fail_page(PageFault::Unnumbered(last_id));
        let error = bench.page(2, 2).await.unwrap_err();
        assert!(matches!(&error, SourceError::Contract(text) if text.contains("could skip items")), "{error}");
    }
    let mut pages = 0;
    let error = loop {
        bench.server.fail_page(PageFault::Unnumbered(3 + pages));
        match bench.page(2 + pages, 2).await {
            Ok(page) => assert_eq!(page.next, Cursor(3 + pages)),
            Err(error) => break error,
        }
        pages += 1;
    };
    assert_eq!(pages, 20);
    assert!(matches!(&error, SourceError::Contract(text) if text.contains("pages in a row")), "{error}");
    bench.server.fail_page(PageFault::Unnumbered(5));
    assert_eq!(bench.page(2, 2).await.unwrap().next, Cursor(5), "it is counted anew");
}

#[tokio::test]
async fn a_page_passes_an_item_and_is_in_any_order() {
    let bench = Bench::new();
    let page = |ids: &[i64]| -> Vec<String> { ids.iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect() };
    let unnumbered = || vec![r#"{"id":7},{"id":"none"}"#.to_owned()];
    // What lies past `lastId` comes again with the next page.
    for (items, last_id, next, passed) in [
        (page(&[7, 5, 6]), 7, 7, 3),
        (page(&[7, 5, 6]), 6, 6, 2),
        (page(&[7, 3, 5, 5]), 5, 5, 1),
        (page(&[6, 5]), 9, 6, 2),
        (unnumbered(), 6, 6, 0),
    ] {
        bench.server.fail_page(PageFault::Items(items.clone(), last_id));
        let page = bench.page(4, 3).await.unwrap();
        assert_eq!((page.next, page.passed), (Cursor(next), passed), "{items:?}, {last_id}");
    }
    for items in [page(&[7]), page(&[9, 7, 8]), page(&[3, 7])] {
        bench.server.fail_page(PageFault::Items(items.clone(), 6));
        let error = bench.page(4, 3).await.unwrap_err();
        assert!(
            matches!(&error, SourceError::Contract(text) if text.contains("no item up to its lastId 6")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_page_that_holds_nothing_and_is_not_the_end_breaks_the_contract() {
    let bench = Bench::with_messages(1..=3);
    for last_id in [4, i64::MAX] {
        bench.server.fail_page(PageFault::LastId(Some(last_id)));
        let error = bench.page(3, 3).await.unwrap_err();
        assert!(matches!(&error, SourceError::Contract(text) if text.contains("no items")), "{error}");
    }
}

#[tokio::test]
async fn a_page_of_too_many_entries_is_refused() {
    let bench = Bench::with_messages([1]);
    bench.server.fail_page(PageFault::WithItem(vec!["0"; 10_001].join(",")));
    let error = bench.page_error().await;
    assert!(matches!(&error, SourceError::PageUnreadable { .. }), "{error}");
    assert!(error.to_string().contains("more than 10000 items"), "{error}");
}

#[tokio::test]
async fn an_invalid_token_ends_the_session() {
    let bench = Bench::with_messages([1]);
    bench.server.fail_page(PageFault::InvalidToken);
    assert!(matches!(bench.page_error().await, SourceError::SessionEnded));
    assert_eq!(bench.page(0, 500).await.unwrap().items.len(), 1, "the next session reads on");
}

#[tokio::test]
async fn a_pause_is_reported_with_its_length() {
    let bench = Bench::new();
    let minute = Some(Duration::from_mins(1));
    // The bench's clock stands at 2026-11-23, midnight.
    let cases = [
        (Fault::RetryAfter(429, "60".to_owned()), minute),
        (Fault::RetryAfter(429, "Mon, 23 Nov 2026 00:01:00 GMT".to_owned()), minute),
        (Fault::RetryAfter(429, "Monday, 23-Nov-26 00:01:00 GMT".to_owned()), minute),
        (Fault::RetryAfter(429, "Sun, 22 Nov 2026 00:01:00 GMT".to_owned()), Some(Duration::ZERO)),
        (Fault::RetryAfter(429, "later".to_owned()), None),
        (Fault::RetryAfter(503, "60".to_owned()), minute),
        (Fault::CodeAndRetryAfter(306, "60".to_owned()), minute),
        (Fault::Status(429), None),
        (Fault::StatusAndCode(429, 306), None),
        (Fault::Code(306), None),
        (Fault::WrappedCode(306), None),
    ];
    for (fault, expected) in cases {
        bench.server.fail_page(fault.clone());
        let error = bench.page_error().await;
        assert!(matches!(error, SourceError::Throttled { after, .. } if after == expected), "{fault:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_outage_is_one() {
    let bench = Bench::new();
    for fault in [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
        Fault::Status(408),
        Fault::StatusAndCode(500, 400),
        Fault::Code(400),
        Fault::WrappedCode(400),
        Fault::Drop,
    ] {
        bench.server.fail_page(fault.clone());
        let error = bench.page_error().await;
        assert!(matches!(error, SourceError::Unavailable(_)), "{fault:?}: {error}");
    }
    bench.server.set_outage(Some(Fault::Status(503)));
    for _ in 0..3 {
        assert!(matches!(bench.page_error().await, SourceError::Unavailable(_)));
    }
    bench.server.set_outage(None);
    assert!(bench.page(0, 500).await.unwrap().end);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage() {
    let bench = Bench::new();
    // Bound, so that nobody else takes the port, and never listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let source = source_at(&url, bench.clock(), Arc::clone(&bench.password), &HttpOptions::default());
    let error = source.page(day(), Cursor(0), 500).await.unwrap_err();
    assert!(matches!(&error, SourceError::Unavailable(detail) if detail.contains("no connection to")), "{error}");
}

#[tokio::test]
async fn an_unlisted_answer_is_unexpected() {
    let bench = Bench::new();
    for fault in [
        Fault::Status(404),
        Fault::Status(410),
        Fault::Status(400),
        Fault::Status(204),
        Fault::Code(48),
        Fault::Code(49),
        Fault::Code(7),
        Fault::Code(-1),
        Fault::StatusAndCode(400, 7),
    ] {
        bench.server.fail_page(fault.clone());
        let error = bench.page_error().await;
        assert!(matches!(error, SourceError::Unexpected(_)), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_named_by_its_cursor() {
    let bench = Bench::with_messages(1..=50);
    for fault in
        [PageFault::BreakOff, PageFault::BadGzip, PageFault::Truncated, PageFault::NotJson, PageFault::ForeignJson]
    {
        bench.server.fail_page(fault.clone());
        let error = bench.page(7, 500).await.unwrap_err();
        assert!(matches!(error, SourceError::PageUnreadable { cursor: Cursor(7), .. }), "{fault:?}: {error}");
        assert!(!shown(&error).contains("15550100"), "no part of an item is shown: {error}");
    }
    assert_eq!(bench.page(7, 500).await.unwrap().items.len(), 43);
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_unreadable() {
    let bench = Bench::impatient();
    bench.server.add((1..=50).map(|id| ArchivedItem::message(id, at(id))));
    for fault in [PageFault::Answer(Fault::Silence), PageFault::Stall] {
        bench.server.fail_page(fault.clone());
        let error = bench.page_error().await;
        assert!(matches!(error, SourceError::PageUnreadable { .. }), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn a_page_may_have_32_mib_and_no_more() {
    let bench = Bench::with_options(&patient());
    bench.server.set_gzip(false);
    bench.server.fail_page(PageFault::Padded(32 * MIB));
    assert_eq!(bench.page(0, 500).await.unwrap().body.len(), 32 * MIB);
    bench.server.fail_page(PageFault::Padded(32 * MIB + 1));
    let error = bench.page_error().await;
    assert!(matches!(error, SourceError::PageUnreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_page_of_one_item_may_have_64_mib_and_no_more() {
    let bench = Bench::with_options(&patient());
    bench.server.set_gzip(false);
    bench.server.fail_page(PageFault::Padded(64 * MIB));
    assert_eq!(bench.page(0, 1).await.unwrap().body.len(), 64 * MIB);
    bench.server.fail_page(PageFault::Padded(64 * MIB + 1));
    let error = bench.page(0, 1).await.unwrap_err();
    assert!(matches!(error, SourceError::PageUnreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_small_answer_that_unpacks_into_a_large_one_is_bounded() {
    let bench = Bench::with_options(&patient());
    bench.server.fail_page(PageFault::Padded(33 * MIB));
    let error = bench.page_error().await;
    assert!(matches!(&error, SourceError::PageUnreadable { detail, .. } if detail.contains("33554432")), "{error}");
}

/// For large pages on a busy machine.
fn patient() -> HttpOptions {
    HttpOptions {
        request_timeout: Duration::from_mins(5),
        read_timeout: Duration::from_mins(5),
        ..HttpOptions::default()
    }
}

#[tokio::test]
async fn a_limit_of_nothing_asks_for_one_item() {
    let bench = Bench::with_messages([1, 2]);
    assert_eq!(bench.page(0, 0).await.unwrap().items.len(), 1);
}
