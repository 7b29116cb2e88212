//! The live self-test and the check of permissions: what is right, what is wrong, what to do.

use chrono::TimeDelta;
use whatsapp_archiver::mailbox::graph::Method;
use whatsapp_archiver::mailbox::graph::self_test::{check_imap_permission, check_permissions};
use whatsapp_archiver::mailbox::self_test::{Finding, SelfTest as _};

use crate::servers::graph::client::Connection;
use crate::servers::graph::client::settings;
use crate::servers::graph::{Act, Fault};

fn wrong(findings: &[Finding]) -> Vec<String> {
    findings.iter().filter(|finding| !finding.is_good()).map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_good_mailbox_passes_and_is_left_clean() {
    for method in [Method::CreateMessage, Method::ImportMime] {
        let connection = Connection::new();
        connection.server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
        let mailbox = connection.mailbox("ana");
        let destination = connection.destination_with(settings(method));
        connection.server.with(|world| world.settle = TimeDelta::seconds(7));
        let findings = destination.self_test(&mailbox).await;
        assert_eq!(wrong(&findings), Vec::<String>::new());
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.iter().any(|line| line.contains("after 8 s")), "{lines:#?}");
        // What import-mime does is shown by a message that is small enough for it, whatever becomes of the large file.
        let small = lines.iter().filter(|line| line.contains("small message by import-mime: imported")).count();
        assert_eq!(small, usize::from(method == Method::ImportMime));
        assert!(lines.contains(&format!("ok: import: by {}", method.name())), "{lines:#?}");
        assert_eq!(findings.len(), 9 + 4 * small);
        for line in ["ok: folder: it holds 0 messages of at most 1000000", "ok: 1024 recipients: imported, all of them"]
        {
            assert!(lines.iter().any(|seen| seen == line), "{lines:#?}");
        }
        assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
    }
}

#[tokio::test]
async fn what_this_tenant_does_otherwise_is_reported() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.with(|world| world.settle = TimeDelta::hours(1));
    let other_class: fn(&mut serde_json::Value) = |reply| {
        if let Some(property) = reply.pointer_mut("/singleValueExtendedProperties/0/value") {
            *property = "IPM.Note".into();
        }
        if let Some(body) = reply.pointer_mut("/body/content") {
            *body = "<p>A disclaimer</p>".into();
        }
    };
    connection.server.fail(Fault::always("/messages/message", Act::Alter(other_class)).of("GET").times(2));
    connection.server.fail(Fault::once("POST", "permanentDelete", Act::reply(403, "ErrorAccessDenied")));
    let findings = connection.destination().self_test(&mailbox).await;
    let wrong = wrong(&findings);
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
    for (line, part) in wrong.iter().zip(["transport rule", "IPM.Note instead of", "Raise mailbox.settle", "by hand"]) {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn a_folder_that_is_nearly_full_and_too_many_recipients_are_reported() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let nearly_full: fn(&mut serde_json::Value) = |reply| {
        if let Some(count) = reply.pointer_mut("/value/0/totalItemCount") {
            *count = 900_000.into();
        }
    };
    connection.server.fail(Fault::always("/mailFolders", Act::Alter(nearly_full)).of("GET"));
    connection.server.with(|world| world.max_recipients = 500);
    let findings = connection.destination().self_test(&mailbox).await;
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let full = lines.iter().find(|line| line.starts_with("warning: folder: it holds 900000 messages"));
    assert!(full.is_some_and(|line| line.contains("name another mailbox.folder")), "{lines:#?}");
    assert_eq!(wrong(&findings).len(), 1, "{lines:#?}");
    assert!(
        wrong(&findings)[0].contains("1024 recipients: ") && wrong(&findings)[0].contains("too many"),
        "{lines:#?}"
    );
    assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
}

#[tokio::test]
async fn a_mailbox_that_makes_drafts_is_reported_at_once() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let draft = Act::Alter(|reply| reply["isDraft"] = true.into());
    connection.server.fail(Fault::once("POST", "/messages", draft));
    let findings = connection.destination().self_test(&mailbox).await;
    assert_eq!(findings.len(), 1);
    assert!(wrong(&findings)[0].contains("it is a draft"), "{findings:?}");
    assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
}

#[tokio::test]
async fn the_missing_permission_is_named_exactly() {
    let cases: [(&[&str], Method, &[&str]); 6] = [
        (&["User.Read.All", "Mail.ReadWrite"], Method::CreateMessage, &[]),
        (&["Mail.ReadWrite"], Method::CreateMessage, &["User.Read.All"]),
        (&["Directory.Read.All"], Method::CreateMessage, &["Mail.ReadWrite"]),
        (&["User.Read.All", "Mail.ReadWrite"], Method::ImportMime, &["Mail-Advanced.ReadWrite.All"]),
        (&["User.Read.All", "Mail.ReadWrite", "Mail-Advanced.ReadWrite.All"], Method::ImportMime, &[]),
        (&[], Method::ImportMime, &["User.Read.All", "Mail-Advanced.ReadWrite.All", "Mail.ReadWrite"]),
    ];
    for (roles, method, missing) in cases {
        let connection = Connection::new();
        connection.server.with(|world| world.login.roles = roles.iter().map(|role| known(role)).collect());
        let findings = check_permissions(&connection.graph(), true, Some(method), None).await;
        let named: Vec<String> =
            findings.iter().filter(|finding| !finding.is_good()).map(|finding| finding.what.clone()).collect();
        let expected: Vec<String> = missing.iter().map(|permission| format!("permission {permission}")).collect();
        assert_eq!(named, expected, "{roles:?}");
        assert!(wrong(&findings).iter().all(|line| line.contains("consent-url")), "{findings:?}");
    }
}

fn known(text: &str) -> &'static str {
    match text {
        "User.Read.All" => "User.Read.All",
        "Directory.Read.All" => "Directory.Read.All",
        "Mail.ReadWrite" => "Mail.ReadWrite",
        _ => "Mail-Advanced.ReadWrite.All",
    }
}

#[tokio::test]
async fn an_rbac_role_is_seen_by_trying() {
    let connection = Connection::new();
    connection.server.with(|world| world.login.roles = vec!["User.Read.All"]);
    let (ana, bo) = (connection.mailbox("ana"), connection.mailbox("bo"));
    connection.server.with(|world| world.rbac_scope.insert(bo.id.0.clone()));
    let check = async |probe| check_permissions(&connection.graph(), true, Some(Method::CreateMessage), probe).await;
    assert_eq!(wrong(&check(Some(&bo)).await), Vec::<String>::new());
    assert_eq!(wrong(&check(Some(&ana)).await).len(), 1);
    assert_eq!(wrong(&check(None).await).len(), 1);
}

#[tokio::test]
async fn a_sign_in_that_is_refused_is_the_one_finding() {
    let connection = Connection::new();
    connection.server.with(|world| world.login.secrets.clear());
    let findings = check_permissions(&connection.graph(), true, Some(Method::CreateMessage), None).await;
    assert_eq!(findings.len(), 1);
    assert!(wrong(&findings)[0].contains("AADSTS7000215"), "{findings:?}");
}

#[tokio::test]
async fn what_a_lost_answer_leaves_behind_is_deleted() {
    for commits in [true, false] {
        let connection = Connection::new();
        let mailbox = connection.mailbox("ana");
        connection.server.with(|world| world.settle = TimeDelta::seconds(7));
        let act = if commits { Act::CommitThen(Box::new(Act::Drop)) } else { Act::Drop };
        connection.server.fail(Fault::once("POST", "/messages", act));
        let findings = connection.destination().self_test(&mailbox).await;
        let left = if commits { "deleted for good" } else { "nothing was made" };
        assert!(wrong(&findings)[0].contains(left), "{findings:?}");
        assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
    }
}

#[tokio::test]
async fn the_permission_for_imap_is_looked_for() {
    let connection = Connection::new();
    let findings = check_imap_permission(&connection.sign_in()).await;
    assert!(wrong(&findings)[0].contains("IMAP.AccessAsApp"), "{findings:?}");
    connection.server.with(|world| world.login.roles.push("IMAP.AccessAsApp"));
    assert_eq!(wrong(&check_imap_permission(&connection.sign_in()).await), Vec::<String>::new());
    connection.server.with(|world| world.login.secrets.clear());
    let findings = check_imap_permission(&connection.sign_in()).await;
    assert!(wrong(&findings)[0].contains("AADSTS7000215"), "{findings:?}");
}

#[tokio::test]
async fn the_method_that_was_used_is_reported() {
    let settings = settings(Method::ImportMime);
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.fail(Fault::always("importMime", Act::reply(413, "ErrorRequestTooLarge")));
    let findings = connection.destination_with(settings).self_test(&mailbox).await;
    assert!(wrong(&findings)[0].contains("create-message was used in its stead"), "{findings:#?}");
    assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
}
