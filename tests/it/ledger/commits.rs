//! A PostgreSQL whose answer to a commit is lost on its way.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use whatsapp_archiver::fault::Fault;
use whatsapp_archiver::ledger::{DeliveryState, Ledger, LedgerError, Outcome};

use super::{Database, at, begin, claim, copy, new_item, outcome, page, prepared, run_id, sender};

const NOTHING: u8 = 0;
/// The connection breaks before the server is told to commit.
const BEFORE: u8 = 1;
/// The connection breaks when the server has committed, and before it is heard.
const AFTER: u8 = 2;
/// The same, and the server is out of reach from then on.
const AFTER_FOR_GOOD: u8 = 3;
/// It is out of reach.
const CLOSED: u8 = 4;

/// Stands before a server, and breaks the connection by which the next commit is asked for.
struct Line {
    url: String,
    breaks: Arc<AtomicU8>,
}

impl Line {
    async fn to(url: &str) -> Self {
        let (before, rest) = url.rsplit_once(':').unwrap();
        let (port, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("{before}:{}/{name}", listener.local_addr().unwrap().port());
        let (port, breaks): (u16, Arc<AtomicU8>) = (port.parse().unwrap(), Arc::default());
        let line = Self { url, breaks: Arc::clone(&breaks) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, port, Arc::clone(&breaks)));
            }
        });
        line
    }

    fn break_at_the_next_commit(&self, at: u8) {
        self.breaks.store(at, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, port: u16, breaks: Arc<AtomicU8>) {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let commits = asked[..count].windows(7).any(|word| word == b"COMMIT\0");
                match breaks.load(Ordering::SeqCst) {
                    CLOSED => return,
                    BEFORE if commits => return breaks.store(NOTHING, Ordering::SeqCst),
                    at @ (AFTER | AFTER_FOR_GOOD) if commits => {
                        breaks.store(if at == AFTER { NOTHING } else { CLOSED }, Ordering::SeqCst);
                        server.write_all(&asked[..count]).await.unwrap();
                        assert!(server.read(&mut answered).await.unwrap() > 0);
                        return;
                    }
                    _ => server.write_all(&asked[..count]).await.unwrap(),
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_committed_without_an_answer_is_known_to_be_there() {
    let database = Database::postgres();
    let line = Line::to(&database.url).await;
    let ledger = Ledger::open(&line.url).await.unwrap();
    begin(&ledger, 1).await;
    // From here on the names have their numbers, which are given in transactions of their own.
    let known = page(&ledger, 1, &[new_item(1)], at(60)).await;
    let ready = |no| [prepared(no, vec![copy(1, usize::try_from(no.0).unwrap(), DeliveryState::Ready)])];
    ledger.record_prepared(&run_id(1), at(60), &ready(known[0])).await.unwrap();

    line.break_at_the_next_commit(AFTER);
    let [no] = page(&ledger, 1, &[new_item(2)], at(60)).await[..] else { panic!("it is one item") };
    line.break_at_the_next_commit(AFTER);
    let first = ledger.record_prepared(&run_id(1), at(60), &ready(no)).await.unwrap();
    assert_eq!(first.len(), 1, "it is the first copy, and no duplicate of itself");
    line.break_at_the_next_commit(AFTER);
    ledger.record(&sender(1), &[], &[claim(1, &[no])]).await.unwrap();
    line.break_at_the_next_commit(AFTER);
    let imported = Outcome { bytes: 7, ..outcome(no, 1, DeliveryState::Imported) };
    ledger.record(&sender(1), &[imported], &[]).await.unwrap();
    assert_eq!(line.breaks.load(Ordering::SeqCst), NOTHING);
    assert_eq!(ledger.runs(1).await.unwrap()[0].bytes_imported, 7);
    assert_eq!(ledger.account(&run_id(1)).await.unwrap().of(DeliveryState::Imported), 1);
}

#[tokio::test]
async fn what_was_not_committed_may_be_repeated_and_what_is_not_known_may_not() {
    let database = Database::postgres();
    let line = Line::to(&database.url).await;
    let ledger = Ledger::open(&line.url).await.unwrap();
    begin(&ledger, 1).await;
    let numbers = page(&ledger, 1, &[new_item(1)], at(60)).await;
    let ready = [prepared(numbers[0], vec![copy(1, 1, DeliveryState::Ready)])];
    ledger.record_prepared(&run_id(1), at(60), &ready).await.unwrap();

    line.break_at_the_next_commit(BEFORE);
    let claims = [claim(1, &numbers)];
    let broken = ledger.record(&sender(1), &[], &claims).await.unwrap_err();
    assert_eq!(Fault::from(&broken), Fault::Retry { after: None }, "{broken}");
    ledger.record(&sender(1), &[], &claims).await.unwrap();

    line.break_at_the_next_commit(AFTER_FOR_GOOD);
    let unknown = ledger.record(&sender(1), &[outcome(numbers[0], 1, DeliveryState::Imported)], &[]).await.unwrap_err();
    assert!(matches!(unknown, LedgerError::CommitUnknown(_)), "{unknown}");
    assert_eq!(Fault::from(&unknown), Fault::Fatal);
}
