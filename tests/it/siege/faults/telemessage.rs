//! TeleMessage: pages and attachments.

use crate::servers::telemessage::{Fault, MediaFault, PageFault};
use crate::siege::indoors::{self, Indoors};
use crate::siege::mailboxes::Town;
use crate::siege::site::Staged;

/// More tries than a run makes.
const MANY: usize = 8;

fn answers() -> Vec<Fault> {
    let date = (indoors::start() + chrono::Duration::minutes(3)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut answers: Vec<Fault> = [401, 403, 408, 429, 500, 502, 503, 504].map(Fault::Status).into();
    answers.extend([300, 301, 306, 308, 309, 400].map(Fault::Code));
    answers.extend([
        Fault::WrappedCode(400),
        Fault::StatusAndCode(500, 400),
        Fault::RetryAfter(429, "7".to_owned()),
        Fault::RetryAfter(429, date),
        Fault::RetryAfter(503, "2".to_owned()),
        Fault::CodeAndRetryAfter(306, "90".to_owned()),
        Fault::Redirect("http://127.0.0.1:1/elsewhere".to_owned()),
        Fault::Drop,
    ]);
    answers
}

async fn indoors(seed: usize) -> Indoors {
    let census = indoors::census(16, "t", 40 + seed as u64);
    Indoors::new(&census, Town::Maildirs, Staged::Locally, indoors::clock()).await
}

/// Whether a fault is a silence, which ends by a time-out alone.
fn is_silent(fault: &impl std::fmt::Debug) -> bool {
    ["Stall", "Silence"].iter().any(|silence| format!("{fault:?}").contains(silence))
}

async fn indoors_for(seed: usize, fault: &impl std::fmt::Debug) -> Indoors {
    let indoors = indoors(seed).await;
    if is_silent(fault) { indoors.impatient() } else { indoors }
}

/// A page's fault, at a page that is another one for each, so often.
async fn page_fault(number: usize, fault: &PageFault, times: usize) {
    let indoors = indoors_for(number % 3, fault).await;
    let what = format!("{times} times {fault:?} at page {}", number % 3);
    // What is wrapped is as good as any.
    (0..number % 3).for_each(|_| indoors.site.source.fail_page(PageFault::Wrapped));
    (0..times).for_each(|_| indoors.site.source.fail_page(fault.clone()));
    indoors.finish(&what).await;
    assert_eq!(indoors.site.source.faults_left(), 0, "{what}: it was met");
}

/// Once and many times in turn.
fn once_or_many(number: usize) -> usize {
    if number.is_multiple_of(2) { 1 } else { MANY }
}

#[tokio::test]
async fn answers_that_are_errors() {
    for (number, fault) in answers().into_iter().enumerate() {
        page_fault(number, &PageFault::Answer(fault), once_or_many(number)).await;
    }
}

#[tokio::test]
#[ignore = "the other half of the faults: tests/long.sh"]
async fn the_other_half() {
    for (number, fault) in answers().into_iter().enumerate() {
        page_fault(number + 1, &PageFault::Answer(fault.clone()), once_or_many(number + 1)).await;
        attachment_fault(number + 1, &MediaFault::Answer(fault), once_or_many(number)).await;
    }
}

#[tokio::test]
async fn pages_that_are_corrupted() {
    let faults = [
        PageFault::BreakOff,
        PageFault::Truncated,
        PageFault::BadGzip,
        PageFault::NotJson,
        PageFault::ForeignJson,
        PageFault::InvalidToken,
        PageFault::LastId(None),
        PageFault::LastId(Some(0)),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        page_fault(number, &fault, 1).await;
        page_fault(number + 1, &fault, MANY).await;
    }
    page_fault(0, &PageFault::Doubled, 2).await;
    page_fault(1, &PageFault::Padded(33 << 20), 1).await;
    page_fault(1, &PageFault::Stall, 1).await;
    page_fault(2, &PageFault::Answer(Fault::Silence), 1).await;
}

/// Archives whose attachment fails so often.
async fn attachment_fault(number: usize, fault: &MediaFault, times: usize) {
    let indoors = indoors_for(number % 3, fault).await;
    let what = format!("{times} times {fault:?} for an attachment");
    let attachments = indoors.site.source.attachments();
    let (item, index) = attachments[number % attachments.len()];
    (0..times).for_each(|_| indoors.site.source.fail_attachment(item, index, fault.clone()));
    indoors.finish(&what).await;
    assert_eq!(indoors.site.source.faults_left(), 0, "{what}: it was met");
}

#[tokio::test]
async fn attachments_that_fail_for_a_while() {
    for (number, fault) in answers().into_iter().enumerate() {
        attachment_fault(number, &MediaFault::Answer(fault), once_or_many(number + 1)).await;
    }
    let trailing = MediaFault::Answer(Fault::Status(404));
    attachment_fault(0, &trailing, MANY).await;
    for (number, fault) in [MediaFault::BreakOff, MediaFault::WrongBytes, MediaFault::LengthOff(9)].iter().enumerate() {
        attachment_fault(number, fault, 1).await;
        attachment_fault(number + 1, fault, 2).await;
    }
    attachment_fault(0, &MediaFault::BreakOff, MANY).await;
    attachment_fault(1, &MediaFault::Stall, 1).await;
}
