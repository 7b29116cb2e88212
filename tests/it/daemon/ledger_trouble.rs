//! A ledger that can't keep the account of a run can't keep what was posted either: somebody hears of it all the same, once.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use serde_json::Value;

use super::bench::{Bench, RunningDaemon, at};

type Posts = Arc<Mutex<Vec<Value>>>;

/// Keeps what is about the ledger: a run that doesn't come may be posted as well.
async fn receive(State(posts): State<Posts>, body: String) {
    let post: Value = serde_json::from_str(&body).unwrap();
    if post["warning"] == "ledger_unavailable" {
        posts.lock().unwrap().push(post);
    }
}

/// Lets time pass until so much has been posted.
async fn until_posted(bench: &Bench, posts: &Posts, count: usize) {
    let mut beds = bench.time.watch();
    let posted = async {
        while posts.lock().unwrap().len() < count {
            if beds.sleepers_on(&bench.clock) > 0 {
                bench.time.pass_until(bench.now() + chrono::Duration::seconds(5));
            }
            beds.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), posted).await.expect("it is posted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_keeps_no_account_is_posted_once_and_so_is_its_end() {
    let posts = Posts::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/", post(receive)).with_state(Arc::clone(&posts));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let bench = Bench::new(at(10, 2, 0), r#"at = "02:00""#);
    bench.files.write("webhook", &webhook);
    let config = fs::read_to_string(bench.files.config()).unwrap();
    bench.files.write("config.toml", &format!("{config}\n[notify]\nwebhook = {{ file = \"webhook\" }}\n"));

    let daemon: RunningDaemon = bench.start().await;
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite://{}", bench.files.path("ledger.db").display())).await.unwrap();
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON runs BEGIN SELECT RAISE(FAIL, 'no space'); END";
    sqlx::query(broken).execute(&pool).await.unwrap();
    bench.time.pass_until(at(11, 2, 0));
    until_posted(&bench, &posts, 1).await;
    let first = posts.lock().unwrap()[0].clone();
    assert_eq!(
        ["event", "state", "warning"].map(|member| first[member].as_str().unwrap_or_default()),
        ["run_failed", "firing", "ledger_unavailable"],
        "{first}"
    );
    assert!(first["text"].as_str().unwrap().contains("no space"), "{first}");
    assert!(bench.now() - at(11, 2, 0) >= chrono::Duration::minutes(10), "a short one is not");

    sqlx::query("DROP TRIGGER broken").execute(&pool).await.unwrap();
    until_posted(&bench, &posts, 2).await;
    let last = posts.lock().unwrap()[1].clone();
    assert_eq!((&last["state"], &last["warning"]), (&"resolved".into(), &"ledger_unavailable".into()), "{last}");
    daemon.stop().await;
    assert_eq!(posts.lock().unwrap().len(), 2);
}
