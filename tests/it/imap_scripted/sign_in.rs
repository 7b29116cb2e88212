//! Signing in: tokens, passwords, and servers that ask for neither.

use super::*;

#[tokio::test]
async fn a_token_goes_with_the_command_that_names_the_mailbox() {
    let server = ImapScript::start(Script::default()).await;
    assert_eq!(arrived(&import(&server, 3).await), 3);
    let payload = BASE64.encode("user=ana@contoso.example\x01auth=Bearer token1\x01\x01");
    let expected = format!("AUTHENTICATE XOAUTH2 {payload}");
    assert_eq!(server.seen(|seen| seen.commands.iter().filter(|line| **line == expected).count()), 1);
}

#[tokio::test]
async fn without_sasl_ir_the_token_waits_for_its_turn() {
    let server = ImapScript::start(Script { capabilities: BARE, ..Script::default() }).await;
    assert_eq!(arrived(&import(&server, 3).await), 3);
    let payload = BASE64.encode("user=ana@contoso.example\x01auth=Bearer token1\x01\x01");
    assert_eq!(server.count(&format!("SASL {payload}")), 1);
    assert_eq!(server.count("AUTHENTICATE XOAUTH2 "), 0);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let challenge = "+ eyJzdGF0dXMiOiI0MDAifQ==";
    let script = Script { sign_ins: VecDeque::from([challenge]), ..Script::default() };
    let server = ImapScript::start(script).await;
    assert_eq!(arrived(&import(&server, 1).await), 1);
    assert_eq!(server.count("AUTHENTICATE"), 2);

    let script = Script { sign_ins: VecDeque::from([challenge, challenge]), ..Script::default() };
    let server = ImapScript::start(script).await;
    let results = import(&server, 1).await;
    let [Err(ImportError::Forbidden(detail))] = &results[..] else { panic!("{results:?}") };
    assert!(!detail.contains("token"), "{detail}");
    assert_eq!(server.count("AUTHENTICATE"), 2);
}

#[tokio::test]
async fn a_sign_in_that_fails_for_now_is_not_a_wrong_credential() {
    let script = Script { sign_ins: VecDeque::from(["NO [UNAVAILABLE] Try later."]), ..Script::default() };
    let server = ImapScript::start(script).await;
    assert!(matches!(import(&server, 1).await[..], [Err(ImportError::Unavailable(_))]));
    assert_eq!(server.count("AUTHENTICATE"), 1);
}

#[tokio::test]
async fn a_server_that_lets_everybody_in_is_refused() {
    let server = ImapScript::start(Script { greeting: "* PREAUTH Welcome.", ..Script::default() }).await;
    assert!(matches!(import(&server, 1).await[..], [Err(ImportError::Forbidden(_))]));
    assert_eq!(server.kept(), 0);

    let server = ImapScript::start(Script { greeting: "* BYE Too many connections.", ..Script::default() }).await;
    assert!(matches!(import(&server, 1).await[..], [Err(ImportError::Unavailable(_))]));
}

#[tokio::test]
async fn a_refused_password_is_not_tried_for_every_mailbox() {
    let sign_ins = VecDeque::from(vec!["NO [AUTHENTICATIONFAILED] Invalid credentials"; 100]);
    let capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR";
    let server = ImapScript::start(Script { capabilities, sign_ins, ..Script::default() }).await;
    let password = Arc::new(Mutex::new("old".to_owned()));
    let source = Arc::clone(&password);
    let auth = ImapAuth::Password(Arc::new(move || Ok(source.lock().unwrap().clone().into())));
    let destination = Imap::new(ImapSettings { auth, ..settings(&server) }, Arc::new(SystemClock)).unwrap();
    let mailboxes: Vec<Mailbox> = (0..10)
        .map(|n| Mailbox { id: MailboxId(n.to_string()), address: format!("user{n}@contoso.example") })
        .collect();
    for _ in 0..3 {
        for mailbox in &mailboxes {
            let results = destination.import(mailbox, &messages(1), &SendPermit::always()).await;
            assert!(matches!(results[..], [Err(ImportError::Forbidden(_))]), "{results:?}");
        }
    }
    assert_eq!(server.count("AUTHENTICATE"), 3);
    "new".clone_into(&mut password.lock().unwrap());
    destination.import(&mailboxes[0], &messages(1), &SendPermit::always()).await;
    assert_eq!(server.count("AUTHENTICATE"), 4);
}
