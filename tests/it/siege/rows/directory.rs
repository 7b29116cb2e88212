//! The rows of the user directory and of the sign-in, which the directory needs first.

use super::{Case, Heard, Site, Staged, Town, case, place};
use crate::servers::graph::{Act, CLIENT_SECRET, Fault, GraphServer, RetryAfter};

fn tenant() -> Site {
    place(Town::graph(GraphServer::start(), "create-message"), Staged::Locally)
}

/// The directory answers so, always.
async fn directory(act: Act) -> Heard {
    let site = tenant();
    site.town.tenant().fail(Fault::always("$batch", act).of("POST"));
    Heard::run(&site).await
}

async fn sign_in(fail: impl FnOnce(&Site)) -> Heard {
    let site = tenant();
    fail(&site);
    Heard::run(&site).await
}

/// The sign-in answers so, for as long as a run asks.
async fn sign_in_answers(act: Act) -> Heard {
    sign_in(|site| site.town.tenant().with(|world| world.login.next = vec![act; 500])).await
}

async fn without_federated_token() -> Heard {
    let mut site = tenant();
    site.change_configuration("client_secret = { file = \"client-secret\" }", "sign_in = \"workload-identity\"");
    site.environment.push(("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent/token"));
    Heard::run(&site).await
}

pub(super) fn cases() -> Vec<Case> {
    const ASKED: &str = "later runs ask again; check --online";
    vec![
        case(
            "DirectoryError::Throttled",
            "429",
            "copies_pending",
            &["\"cause\":\"directory\"", "asks for a pause", "deliveries", ASKED],
            || Box::pin(directory(Act::throttle(RetryAfter::Seconds(0)))),
        ),
        case(
            "DirectoryError::Unavailable",
            "503",
            "copies_pending",
            &["\"cause\":\"directory\"", "is not available", "deliveries", ASKED],
            || Box::pin(directory(Act::reply(503, "serviceNotAvailable"))),
        ),
        case(
            "DirectoryError::Forbidden",
            "403",
            "copies_pending",
            &["\"cause\":\"directory\"", "the user directory refuses", "User.Read.All", "deliveries", ASKED],
            || Box::pin(directory(Act::reply(403, "Authorization_RequestDenied"))),
        ),
        case(
            "DirectoryError::Unexpected",
            "400",
            "copies_pending",
            &["\"cause\":\"directory\"", "unexpected answer", "deliveries", ASKED],
            || Box::pin(directory(Act::reply(400, "NobodyKnowsThis"))),
        ),
        case(
            "SignInError::Refused",
            "an expired secret",
            "copies_pending",
            &["refuses the sign-in", "7000222", "create a new one", "deliveries"],
            || {
                Box::pin(sign_in(|site| {
                    site.town.tenant().with(|world| {
                        world.login.secrets.clear();
                        world.login.expired_secrets = vec![CLIENT_SECRET.to_owned()];
                    });
                }))
            },
        ),
        case(
            "SignInError::Unusable",
            "a federated token that isn't there",
            "copies_pending",
            &["the sign-in can't be used", "deliveries", ASKED],
            || Box::pin(without_federated_token()),
        ),
        case("SignInError::Throttled", "429", "copies_pending", &["asks for a pause", "deliveries", ASKED], || {
            Box::pin(sign_in_answers(Act::throttle(RetryAfter::Seconds(0))))
        }),
        case(
            "SignInError::Unavailable",
            "503",
            "copies_pending",
            &["the sign-in is not available", "deliveries", ASKED],
            || Box::pin(sign_in_answers(Act::reply(503, ""))),
        ),
        case(
            "SignInError::Unexpected",
            "a redirect",
            "copies_pending",
            &["unexpected answer of the sign-in", "deliveries", ASKED],
            || Box::pin(sign_in_answers(Act::reply(304, ""))),
        ),
    ]
}
