//! Staging on the local disk: the contract, and what is particular to a disk.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use whatsapp_archiver::staging::local::LocalStaging;
use whatsapp_archiver::staging::{BlobName, Staging, StagingError};

use crate::staging_contract::staging_contract;

async fn prepared() -> (Arc<dyn Staging>, TempDir) {
    let directory = TempDir::new().unwrap();
    let staging = staging_in(&directory.path().join("below/staging")).await;
    (staging, directory)
}

async fn staging_in(root: &Path) -> Arc<dyn Staging> {
    let staging = LocalStaging::new(root.to_owned());
    staging.prepare().await.unwrap();
    Arc::new(staging)
}

fn name(text: &str) -> BlobName {
    BlobName::parse(text).unwrap()
}

mod contract {
    use super::*;

    staging_contract!(prepared());
}

#[tokio::test]
async fn only_the_owner_may_read() {
    let (staging, directory) = prepared().await;
    staging.put(&name("a/b/blob"), Bytes::from_static(b"x")).await.unwrap();
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    for directory in ["below/staging", "below/staging/a", "below/staging/a/b", "below/staging/~drafts"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    assert_eq!(mode("below/staging/a/b/blob"), 0o600);
}

#[tokio::test]
async fn empty_directories_go_with_their_last_blob() {
    let (staging, directory) = prepared().await;
    let root = directory.path().join("below/staging");
    for blob in ["windows/w/pages/1", "windows/w/attachments/k/0"] {
        staging.put(&name(blob), Bytes::from_static(b"x")).await.unwrap();
    }
    staging.remove(&name("windows/w/attachments/k/0")).await.unwrap();
    assert!(!root.join("windows/w/attachments").exists());
    assert!(root.join("windows/w/pages/1").exists());
    staging.remove(&name("windows/w/pages/1")).await.unwrap();
    assert!(!root.join("windows").exists());
    assert!(root.exists());
}

#[tokio::test]
async fn no_draft_is_left_behind() {
    let (staging, directory) = prepared().await;
    let blob = name("blob");
    staging.put(&blob, Bytes::from_static(b"x")).await.unwrap();
    staging.put(&blob, Bytes::from_static(b"y")).await.unwrap_err();
    let failing = || Box::pin(futures_util::stream::once(async { Err(std::io::Error::other("broken")) }));
    staging.put_stream(&name("stream"), failing(), 9).await.unwrap_err();
    staging.put_stream(&name("stream"), Box::pin(futures_util::stream::empty()), 0).await.unwrap();
    let drafts = fs::read_dir(directory.path().join("below/staging/~drafts")).unwrap();
    assert_eq!(drafts.count(), 0);
}

#[tokio::test]
async fn preparing_sweeps_what_the_dead_left_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let staging = staging_in(directory.path()).await;
    let drafts = directory.path().join("~drafts");
    fs::write(drafts.join("abandoned"), b"half a page").unwrap();
    fs::create_dir(drafts.join("a-directory")).unwrap();
    let in_use = fs::File::create(drafts.join("in-use")).unwrap();
    in_use.lock().unwrap();

    staging.prepare().await.unwrap();
    assert!(!drafts.join("abandoned").exists());
    assert!(drafts.join("in-use").exists() && drafts.join("a-directory").exists());
    drop(in_use);
    staging.prepare().await.unwrap();
    assert!(!drafts.join("in-use").exists());
}

#[tokio::test]
async fn a_sweep_leaves_a_stream_that_is_under_way() {
    let directory = TempDir::new().unwrap();
    let staging = staging_in(directory.path()).await;
    let (send, receive) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    let stream = futures_util::stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|piece| (piece, receive))
    });
    let blob = name("a/stream");
    let put = tokio::spawn({
        let (staging, blob) = (Arc::clone(&staging), blob.clone());
        async move { staging.put_stream(&blob, Box::pin(stream), 9).await }
    });
    // The second piece has room only when the first was taken, so that the draft is there.
    send.send(Ok(Bytes::from_static(b"one"))).await.unwrap();
    send.send(Ok(Bytes::from_static(b"two"))).await.unwrap();
    staging_in(directory.path()).await;
    drop(send);
    assert_eq!(put.await.unwrap().unwrap().length, 6);
    assert_eq!(staging.get(&blob, 9).await.unwrap(), "onetwo");
}

#[tokio::test]
async fn symbolic_links_are_refused() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), b"outside").unwrap();
    let (staging, directory) = prepared().await;
    let root = directory.path().join("below/staging");
    symlink(outside.path(), root.join("linked")).unwrap();
    symlink(outside.path().join("secret"), root.join("file")).unwrap();

    let (in_linked, linked) = (name("linked/secret"), name("file"));
    for blob in [&in_linked, &linked] {
        let errors = [
            staging.get(blob, 99).await.map(drop),
            staging.get_range(blob, 0..1).await.map(drop),
            staging.put(blob, Bytes::from_static(b"outside")).await,
            staging.put_stream(blob, Box::pin(futures_util::stream::empty()), 9).await.map(drop),
            staging.copy(blob, &name("copy")).await,
            staging.remove(blob).await,
        ];
        assert!(errors.iter().all(|error| matches!(error, Err(StagingError::Refused(_)))), "{errors:?}");
    }
    assert!(matches!(staging.list("linked/").await, Err(StagingError::Refused(_))));
    assert_eq!(staging.list("").await.unwrap(), []);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"outside");
}

#[tokio::test]
async fn a_copy_shares_its_bytes_with_the_original() {
    let (staging, directory) = prepared().await;
    staging.put(&name("a/one"), Bytes::from_static(b"x")).await.unwrap();
    staging.copy(&name("a/one"), &name("b/two")).await.unwrap();
    let inode = |path: &str| fs::metadata(directory.path().join("below/staging").join(path)).unwrap().ino();
    assert_eq!(inode("a/one"), inode("b/two"));
}

#[tokio::test]
async fn a_disk_that_is_gone_is_not_an_empty_one() {
    let (staging, directory) = prepared().await;
    staging.put(&name("a/blob"), Bytes::from_static(b"x")).await.unwrap();
    fs::rename(directory.path().join("below"), directory.path().join("unmounted")).unwrap();
    let blob = name("a/blob");
    let errors = [
        staging.get(&blob, 9).await.map(drop),
        staging.list("").await.map(drop),
        staging.remove(&blob).await,
        staging.put(&name("a/other"), Bytes::from_static(b"x")).await,
    ];
    assert!(errors.iter().all(|error| matches!(error, Err(StagingError::Unavailable(_)))), "{errors:?}");
}

#[tokio::test]
async fn a_file_in_the_place_of_the_directory_is_reported() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("staging");
    fs::write(&root, b"a file").unwrap();
    let refused = LocalStaging::new(root).prepare().await.unwrap_err();
    assert!(matches!(&refused, StagingError::Refused(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_that_come_and_go_lose_nothing() {
    let directory = TempDir::new().unwrap();
    // Two areas on one directory, as two processes have them.
    let (one, two) = (staging_in(directory.path()).await, staging_in(directory.path()).await);
    let work = |staging: Arc<dyn Staging>, own: &'static str| async move {
        let blob = name(&format!("shared/deep/{own}"));
        for round in 0..200_u32 {
            let content = Bytes::from(round.to_string());
            staging.put(&blob, content.clone()).await.unwrap();
            assert_eq!(staging.get(&blob, 99).await.unwrap(), content);
            staging.remove(&blob).await.unwrap();
        }
    };
    let (first, second, third) = tokio::join!(
        tokio::spawn(work(Arc::clone(&one), "1")),
        tokio::spawn(work(one, "2")),
        tokio::spawn(work(two, "3"))
    );
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
}
