//! Who is let in: every page, with every way of showing or not showing the token.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use whatsapp_archiver::http::Reply;
use whatsapp_archiver::secret::Secret;

use super::PATHS;
use super::site::{Site, fixed, header, json, now, text};
use whatsapp_archiver::ledger::RunStatus;

const TOKEN: &str = "correct-horse-battery";

async fn guarded() -> Site {
    let mut site = Site::start(Some(fixed(TOKEN))).await;
    site.seed.run(now(), RunStatus::Complete, &[]).await;
    site.health.set_ready();
    site
}

/// The cookie as a browser sends it back.
fn cookie(reply: &Reply) -> String {
    header(&reply.headers, "set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_token_a_proxy_opens_no_page() {
    let mut site = Site::start(None).await;
    site.seed.run(now(), RunStatus::Complete, &[]).await;
    site.health.set_ready();
    for (path, public) in PATHS {
        let proxied = site.get_with(path, &[("x-forwarded-for", "192.0.2.1")]).await;
        assert_eq!(proxied.status.is_success(), public, "{path}");
        assert_eq!(site.get(path).await.status, StatusCode::OK, "{path}");
        assert!(public || text(&proxied).contains("http.token"), "{path}: {}", text(&proxied));
    }
}

#[tokio::test]
async fn the_matrix_of_access() {
    let site = guarded().await;
    let session = cookie(&site.sign_in(&format!("token={TOKEN}"), &[]).await);
    let bearer = format!("Bearer {TOKEN}");
    let ways = [
        ("nothing", vec![], false),
        ("the token", vec![("authorization", bearer.as_str())], true),
        ("a session", vec![("cookie", session.as_str())], true),
        ("a wrong token", vec![("authorization", "Bearer wrong")], false),
        ("no token at all", vec![("authorization", "Bearer ")], false),
        ("another scheme", vec![("authorization", "Basic Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5")], false),
        ("the token as a cookie", vec![("cookie", "whatsapp_archiver_session=correct-horse-battery")], false),
        ("a wrong token beside a session", vec![("authorization", "Bearer wrong"), ("cookie", &session)], false),
    ];
    for (path, public) in PATHS {
        for (way, headers, in_order) in &ways {
            let reply = site.get_with(path, headers).await;
            let expected = if public || *in_order { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            assert_eq!(reply.status, expected, "{path} with {way}");
            if reply.status == StatusCode::UNAUTHORIZED {
                assert!(header(&reply.headers, "www-authenticate").starts_with("Bearer"), "{path}");
                assert!(!text(&reply).contains("regular"), "{path} tells nothing of the run: {}", text(&reply));
            }
        }
        let in_url = site.get(&format!("{path}?token={TOKEN}")).await.status;
        assert_eq!(in_url.is_success(), public, "{path}: a token in the URL counts for nothing");
    }
    for path in ["/nowhere", "/api/nowhere", "/LIVEZ", "/livez/", "//livez", "/sign-in/x"] {
        assert_eq!(site.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn programs_are_answered_in_json_and_people_with_a_form() {
    let site = guarded().await;
    assert!(json(&site.get("/api/status").await)["error"].as_str().unwrap().contains("Bearer"));
    let page = text(&site.get("/").await);
    assert!(page.contains("<form") && page.contains("type=\"password\"") && page.contains("action=\"/sign-in\""));
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let site = guarded().await;
    let reply = site.sign_in(&format!("token={TOKEN}&back=%2F"), &[]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(header(&reply.headers, "location"), "/signed-in");
    let pool = sqlx::SqlitePool::connect(&site.ledger_url()).await.unwrap();
    let recorded: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, detail FROM actions").fetch_all(&pool).await.unwrap();
    assert_eq!(recorded, [("sign_in".to_owned(), "pages, from 127.0.0.1".to_owned())]);
    let session = cookie(&reply);
    let onward = site.get_with("/signed-in", &[("cookie", &session)]).await;
    assert_eq!(header(&onward.headers, "location"), "/");
    assert!(text(&site.get_with("/", &[("cookie", &session)]).await).contains("Sign out"));

    let without = site.get("/signed-in").await;
    assert!(text(&without).contains("did not keep the sign-in"), "the browser refused the cookie");

    let ended = site.ask(Method::POST, "/sign-out", &[("cookie", &session)], "").await;
    assert!(header(&ended.headers, "set-cookie").contains("Max-Age=0"));
    assert_eq!(site.get_with("/", &[("cookie", &cookie(&ended))]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_sign_in_leads_back_and_nowhere_else() {
    let site = guarded().await;
    for (back, to) in [
        ("%2Fruns%2F0193", "/runs/0193"),
        ("%2Fopen", "/open"),
        ("%2F%2Fevil.example", "/signed-in"),
        ("https%3A%2F%2Fevil.example", "/signed-in"),
        ("%2Fruns%2F%0D%0ASet-Cookie%3A+a%3Db", "/signed-in"),
    ] {
        let reply = site.sign_in(&format!("token={TOKEN}&back={back}"), &[]).await;
        assert_eq!(header(&reply.headers, "location"), to);
    }
}

#[tokio::test]
async fn the_cookie_is_for_this_site_alone_and_for_https_beyond_this_machine() {
    let site = guarded().await;
    let form = format!("token={TOKEN}");
    let here = header(&site.sign_in(&form, &[]).await.headers, "set-cookie");
    let beyond = site.sign_in(&form, &[("host", "archiver.contoso.example")]).await;
    let beyond = header(&beyond.headers, "set-cookie");
    for cookie in [&here, &beyond] {
        assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    }
    assert!(!here.contains("Secure") && beyond.ends_with("; Secure"), "{here} {beyond}");
}

#[tokio::test]
async fn a_session_ends_with_its_time() {
    let site = guarded().await;
    let session = cookie(&site.sign_in(&format!("token={TOKEN}"), &[]).await);
    site.clock.advance(Duration::from_hours(11));
    assert_eq!(site.get_with("/", &[("cookie", &session)]).await.status, StatusCode::OK);
    site.clock.advance(Duration::from_hours(1));
    assert_eq!(site.get_with("/", &[("cookie", &session)]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn whoever_shows_a_wrong_token_waits() {
    let site = guarded().await;
    assert_eq!(site.get_as("/", TOKEN).await.status, StatusCode::OK);
    assert_eq!(site.get("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(site.elapsed().is_zero(), "whoever shows the right one, or none, does not");
    assert_eq!(site.get_as("/", "guess").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.elapsed().num_seconds(), 1);
    let form = site.sign_in("token=guess", &[]).await;
    assert_eq!(form.status, StatusCode::UNAUTHORIZED);
    assert!(text(&form).contains("This is not the token.") && !text(&form).contains("guess"));
    assert_eq!(header(&form.headers, "set-cookie"), "");
    assert_eq!(site.elapsed().num_seconds(), 2);
}

/// Hundreds of guesses side by side: some are compared, the others aren't even looked at, though one of them is right.
#[tokio::test]
async fn guesses_are_counted_whatever_they_come_by() {
    let site = guarded().await;
    let session = cookie(&site.sign_in(&format!("token={TOKEN}"), &[]).await);
    // The clock stands while nobody waits, so this is one moment.
    let guess = |_| site.get_with("/api/status", &[("authorization", "Bearer guess")]);
    let replies = futures_util::future::join_all((0..40).map(guess)).await;
    let compared = replies.iter().filter(|reply| reply.status == StatusCode::UNAUTHORIZED).count();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == StatusCode::TOO_MANY_REQUESTS).collect();
    assert_eq!(compared + refused.len(), 40);
    assert!(compared <= 31 && !refused.is_empty(), "{compared} were compared");
    assert!(refused.iter().all(|reply| header(&reply.headers, "retry-after") == "60"));
    assert_eq!(site.get_with("/", &[("cookie", &session)]).await.status, StatusCode::OK, "a session holds");
    site.clock.advance(Duration::from_mins(1));
    assert_eq!(site.get_as("/", TOKEN).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_form_is_bounded() {
    let site = guarded().await;
    let reply = site.sign_in(&format!("token={}", "x".repeat(20_000)), &[]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!site.sign_in("nothing=here", &[]).await.status.is_success());
}

#[tokio::test]
async fn a_token_that_changes_ends_what_the_old_one_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let site = Site::start(Some(Secret::file("http.token", &path))).await;
    let session = cookie(&site.sign_in(&format!("token={TOKEN}"), &[]).await);
    assert_eq!(site.get_with("/", &[("cookie", &session)]).await.status, StatusCode::OK);
    std::fs::write(&path, "another\n").unwrap();
    assert_eq!(site.get_with("/", &[("cookie", &session)]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get_as("/", TOKEN).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get_as("/", "another").await.status, StatusCode::OK);

    std::fs::remove_file(&path).unwrap();
    let reply = site.get_as("/", "another").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "without a token to compare with, nobody is let in");
    assert!(!text(&reply).contains(&path.display().to_string()));
    assert_eq!(site.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn without_a_token_only_this_machine_is_answered() {
    let mut site = Site::open().await;
    site.seed.run(now(), RunStatus::Complete, &[]).await;
    site.health.set_ready();
    for (path, public) in PATHS {
        assert_eq!(site.get(path).await.status, StatusCode::OK, "{path}");
        let named = [("host", "rebound.evil.example")];
        assert_eq!(site.get_with(path, &named).await.status.is_success(), public, "{path} by another name");
    }
    assert!(!text(&site.get("/").await).contains("Sign out"));
    assert_eq!(header(&site.sign_in("token=any", &[]).await.headers, "location"), "/");
}
