//! The power fails: the process is gone, and so is everything that the disk didn't promise to keep. Names whose directory
//! was not synchronised vanish, and files that were not synchronised are cut in half. The ledger's own library is trusted to
//! keep its word.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use proptest::prelude::Rng as _;
use whatsapp_archiver::failpoint;

use super::unreliable::library;
use super::{Trial, dice, reported};

/// What the disk promised, by what was written down of its work.
#[derive(Default)]
struct Disk {
    /// Names that are lost with the power, by their directories.
    unsafe_names: HashMap<PathBuf, HashSet<PathBuf>>,
    /// Files whose content is lost with the power.
    unsafe_files: HashSet<u64>,
}

impl Disk {
    fn read(journal: &Path) -> Self {
        let mut disk = Self::default();
        for line in fs::read_to_string(journal).unwrap_or_default().lines() {
            let mut fields = line.splitn(3, ' ');
            let (Some(what), Some(inode), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
            let (inode, path): (u64, _) = (inode.parse().unwrap(), PathBuf::from(path));
            match what {
                "W" => drop(disk.unsafe_files.insert(inode)),
                "S" => {
                    disk.unsafe_files.remove(&inode);
                    disk.unsafe_names.remove(&path);
                }
                _ => drop(disk.unsafe_names.entry(path.parent().unwrap().to_owned()).or_default().insert(path)),
            }
        }
        disk
    }

    /// Takes back what was not promised, below this directory. Tells how many names and files.
    fn lose_power(&self, directory: &Path) -> (usize, usize) {
        let (mut names, mut files) = (0, 0);
        let is_below = |name: &&PathBuf| name.starts_with(directory) && !name.to_string_lossy().contains("ledger.db");
        for name in self.unsafe_names.values().flatten().filter(is_below) {
            let lost = if name.is_dir() { fs::remove_dir_all(name) } else { fs::remove_file(name) };
            names += usize::from(lost.is_ok());
        }
        for area in ["staging", "mailboxes"] {
            for file in files_below(&directory.join(area)) {
                let status = fs::metadata(&file).unwrap();
                if self.unsafe_files.contains(&status.ino()) {
                    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(status.len() / 2).unwrap();
                    files += 1;
                }
            }
        }
        (names, files)
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.unwrap().path())).collect()
}

/// A run whose power fails when a point is passed for the n-th time. Tells what was lost.
fn power_fails_at(trial: &Trial, point: &str, count: u32) -> (usize, usize) {
    let directory = trial.directory.path();
    let journal = directory.join("disk-journal");
    let _ = fs::remove_file(&journal);
    let mut command = trial.command(&["run", "--once"]);
    command.env("WHATSAPP_ARCHIVER_FAIL_AT", format!("{point}:{count}")).env("LD_PRELOAD", library());
    command.env("DISK_JOURNAL", format!("{}:{}", journal.display(), directory.display()));
    let output = command.output().unwrap();
    assert!(matches!(output.status.code(), None | Some(0)), "{}", reported(&output));
    assert!(fs::metadata(&journal).is_ok(), "the disk's work is written down");
    Disk::read(&journal).lose_power(directory)
}

/// The power fails once or several times; then the program runs as if nothing had happened.
async fn survives(seed: u64, moments: &[(&str, u32)]) -> (usize, usize) {
    let trial = Trial::new(seed);
    let lost: Vec<_> = moments.iter().map(|(point, count)| power_fails_at(&trial, point, *count)).collect();
    trial.finish(&format!("seed {seed}: the power failed at {moments:?}, with {lost:?} names and files")).await;
    lost.into_iter().fold((0, 0), |(names, files), lost| (names + lost.0, files + lost.1))
}

/// Whether anything is on its way at the moment of a cut is a matter of threads: there are further rounds where there was nothing in the first.
#[tokio::test]
async fn what_was_promised_outlives_the_power() {
    const MAX_ROUNDS: usize = 5;
    let mut lost = (0, 0);
    let points = failpoint::ALL.iter().cycle().take(MAX_ROUNDS * failpoint::ALL.len());
    for (seed, &point) in (0..).zip(points) {
        if lost.0 > 0 && seed >= failpoint::ALL.len() as u64 {
            break;
        }
        let (names, files) = survives(seed, &[(point, 1 + u32::from(point == failpoint::BATCH_IMPORTED))]).await;
        lost = (lost.0 + names, lost.1 + files);
    }
    assert!(lost.0 > 0, "something was on its way: {lost:?}");
}

#[tokio::test]
#[ignore = "hundreds of power cuts take minutes: tests/long.sh"]
async fn hundreds_of_power_cuts() {
    for seed in 2000..2100 {
        let mut dice = dice(seed);
        let mut moment = || {
            let point = failpoint::ALL[dice.next_u32() as usize % failpoint::ALL.len()];
            (point, 1 + dice.next_u32() % 6)
        };
        survives(seed, &[moment(), moment(), moment()]).await;
    }
    println!("siege: 300 power cuts (seeds 2000 to 2099), each item once in each mailbox");
}
