//! TeleMessage's rows.

use super::{Case, Heard, Site, Staged, Town, case, place};
use crate::servers::telemessage::{Fault, MediaFault, PageFault};

/// More tries than a run makes, and more requests than halving makes.
const MANY: usize = 30;

async fn with(fail: impl FnOnce(&Site)) -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    fail(&site);
    Heard::run(&site).await
}

async fn outage(fault: Fault) -> Heard {
    with(|site| site.source.set_outage(Some(fault))).await
}

async fn pages(fault: PageFault) -> Heard {
    with(|site| {
        // The log-in reads a page too; what is wrapped is as good as any.
        site.source.fail_page(PageFault::Wrapped);
        (0..MANY).for_each(|_| site.source.fail_page(fault.clone()));
    })
    .await
}

/// Each attachment fails, always.
async fn attachments(fault: MediaFault) -> Heard {
    with(|site| {
        for (item, index) in site.source.attachments() {
            (0..MANY).for_each(|_| site.source.fail_attachment(item, index, fault.clone()));
        }
    })
    .await
}

/// One attachment fails, always.
async fn one_attachment(fault: MediaFault) -> Heard {
    with(|site| {
        let (item, index) = site.source.attachments()[0];
        (0..MANY).for_each(|_| site.source.fail_attachment(item, index, fault.clone()));
    })
    .await
}

pub(super) fn cases() -> Vec<Case> {
    const NOTHING: &str = "no period is archived in full yet";
    vec![
        case(
            "SourceError::Refused",
            "at the log-in",
            "run_finished",
            &["refuses the credential", "source.password", NOTHING],
            || Box::pin(with(|site| site.source.set_password("another"))),
        ),
        case(
            "SourceError::Throttled",
            "at the log-in",
            "run_finished",
            &["asks for a pause", "tried 4 times in", NOTHING, "wait, and try again"],
            || Box::pin(outage(Fault::RetryAfter(429, "0".to_owned()))),
        ),
        case(
            "SourceError::Unavailable",
            "at the log-in",
            "run_finished",
            &["the source is not available", "status 503", "tried 4 times in", NOTHING, "source.base_url"],
            || Box::pin(outage(Fault::Status(503))),
        ),
        case(
            "SourceError::Unavailable",
            "at an attachment: its item waits, the others don't",
            "attachment_unavailable",
            &["the source is not available", "status 503", "item.id", "later runs ask again"],
            || Box::pin(one_attachment(MediaFault::Answer(Fault::Status(503)))),
        ),
        case(
            "SourceError::Unavailable",
            "at all attachments",
            "run_finished",
            &["the source is not available", "status 503", NOTHING, "source.base_url"],
            || Box::pin(attachments(MediaFault::Answer(Fault::Status(503)))),
        ),
        case(
            "SourceError::SessionEnded",
            "at each page",
            "run_finished",
            &["ended the session", NOTHING, "source.base_url"],
            || Box::pin(pages(PageFault::InvalidToken)),
        ),
        case(
            "SourceError::PageUnreadable",
            "down to a page of one item",
            "run_finished",
            &["can't be read", "stopped at cursor", "tried 4 times in", NOTHING, "open a ticket"],
            || Box::pin(pages(PageFault::NotJson)),
        ),
        case(
            "SourceError::Contract",
            "at a page without its cursor",
            "run_finished",
            &["breaks its contract", NOTHING, "Report it to TeleMessage"],
            || Box::pin(pages(PageFault::LastId(None))),
        ),
        case(
            "SourceError::AttachmentNotFound",
            "at all attachments: merely awaited",
            "copies_pending",
            &["attachment_awaited", "status 404", "source.attachment_wait", "deliveries"],
            || Box::pin(attachments(MediaFault::Answer(Fault::Status(404)))),
        ),
        case(
            "SourceError::AttachmentGone",
            "at all attachments",
            "attachment_left_out",
            &["attachment_missing", "item.id", "status 410", "imported without"],
            || Box::pin(attachments(MediaFault::Answer(Fault::Status(410)))),
        ),
        case(
            "SourceError::Unexpected",
            "at the log-in",
            "run_finished",
            &["unexpected answer of the source", NOTHING, "Report it to TeleMessage"],
            || Box::pin(outage(Fault::Code(999))),
        ),
        case(
            "SourceError::Unexpected",
            "at all attachments",
            "attachment_unavailable",
            &["unexpected answer of the source", "item.id", "later runs ask again"],
            || Box::pin(attachments(MediaFault::Answer(Fault::Code(999)))),
        ),
    ]
}
