//! The server's items are the domain's: each kind is read as what it is. So tests that build on the server test what they say.

use chrono::Duration;
use whatsapp_archiver::item::{Chat, DeletionScope, Direction, Item, Kind, Product};

use super::{Bench, at, items};
use crate::servers::telemessage::{ArchivedItem, PHONE_ARCHIVER, Who, who};

/// The item as it comes through the list.
async fn read(item: ArchivedItem) -> Item {
    let bench = Bench::new();
    bench.server.add([item]);
    let page = bench.page(0, 500).await.unwrap();
    Item::read(items(&page)[0].as_bytes(), at(0)).unwrap()
}

#[tokio::test]
async fn a_message() {
    let item = read(ArchivedItem::message(1, at(5000)).product(PHONE_ARCHIVER)).await;
    assert_eq!((item.kind.clone(), item.product.clone()), (Kind::Message, Product::PhoneArchiver));
    assert_eq!((item.received, item.time.at), (Some(at(5000)), at(3000)));
    assert_eq!((item.direction, item.chat, item.text.as_str()), (Some(Direction::In), Chat::Direct, "Hi"));
}

#[tokio::test]
async fn participants_and_what_is_known_of_them() {
    let ana = who("15550100").named("Ana", "Berg").with_email("ana.berg@contoso.example");
    let shop = Who::business("CONTOSO");
    let item = read(ArchivedItem::message(1, at(0)).between(&ana, &ana, std::slice::from_ref(&shop))).await;
    assert_eq!(item.direction, Some(Direction::Out));
    let participants = item.participants();
    assert_eq!(participants.len(), 2);
    let person = item.person(participants[0]).unwrap();
    assert_eq!(person.email.as_deref(), Some("ana.berg@contoso.example"));
    assert_eq!(person.display_name().as_deref(), Some("Ana Berg"));
    assert!(item.person(participants[1]).is_none());
}

#[tokio::test]
async fn chats() {
    let group = read(ArchivedItem::message(1, at(0)).group("1@g.us", "Desk")).await;
    assert!(matches!(&group.chat, Chat::Group(name) if name.name.as_deref() == Some("Desk")));
    let broadcast = read(ArchivedItem::message(1, at(0)).broadcast("b1", "Clients")).await;
    assert!(matches!(broadcast.chat, Chat::Broadcast(_)));
}

#[tokio::test]
async fn calls_deletions_edits_and_events() {
    let call = read(ArchivedItem::call(1, at(0), "VIDEO", "1", Duration::seconds(90))).await;
    assert_eq!(call.kind, Kind::Call);
    assert_eq!(call.call.unwrap().call_duration_in_millis, Some(90_000));
    for (prefix, scope) in [
        ("DELETE_FOR_ME", DeletionScope::ForMe),
        ("DELETE_FOR_ALL", DeletionScope::ForAll),
        ("DELETE_ALL_MESSAGES", DeletionScope::WholeChat),
    ] {
        let deletion = read(ArchivedItem::deletion(1, at(0), prefix, "3EB0A", "READ")).await;
        assert_eq!(deletion.kind, Kind::Deletion(scope));
        assert_eq!(deletion.original.unwrap().message_id.as_deref(), Some("3EB0A"));
    }
    let edit = read(ArchivedItem::edit(1, at(0), "3EB0A", 2, "Hello")).await;
    assert_eq!((edit.kind, edit.text.as_str()), (Kind::Edit(Some(2)), "Hello"));
    let reaction = read(ArchivedItem::reaction(1, at(0), "3EB0A", "👍")).await;
    assert_eq!(reaction.kind, Kind::Reaction);
    assert_eq!(reaction.event.unwrap().target_message_id.as_deref(), Some("3EB0A"));
    let join = read(ArchivedItem::event(1, at(0), "Join", &who("15550101"), &[who("15550102")])).await;
    assert_eq!(join.kind, Kind::GroupEvent);
    assert_eq!(join.participants().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_read() {
    assert!(read(ArchivedItem::message(1, at(0)).encrypted()).await.encrypted);
    let undated = ArchivedItem::message(1, at(0)).sent_at(at(-1_000_000_000_000));
    assert!(read(undated).await.time.substituted.is_some());
}

#[tokio::test]
async fn attachments() {
    let item = ArchivedItem::message(1, at(0))
        .attachment("a.jpg", "image/jpeg", "abc")
        .inline_attachment("b.txt", "text/plain", b"inline")
        .attachment_without_digest("c.bin", "application/octet-stream", "xyz");
    let declared = read(item).await.attachments;
    let inline: Vec<bool> = declared.iter().map(|attachment| attachment.inline).collect();
    assert_eq!(inline, [false, true, false]);
    let with_digest: Vec<bool> = declared.iter().map(|attachment| attachment.digest.is_some()).collect();
    assert_eq!(with_digest, [true, true, false]);
    assert_eq!(declared[0].size, Some(3));
}
