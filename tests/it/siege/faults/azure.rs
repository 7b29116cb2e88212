//! Azure Blob Storage: refused, busy, broken off, and done without an answer.

use crate::servers::azure_wire::{AzureWire, Fault};
use crate::servers::azurite::Azurite;
use crate::siege::indoors::{self, Indoors};
use crate::siege::mailboxes::Town;
use crate::siege::site::Staged;

/// More tries than a run makes.
const MANY: usize = 8;

fn faults() -> Vec<Fault> {
    vec![
        Fault::error(429, "TooManyRequests", "retry-after: 3\r\n", "busy"),
        Fault::error(503, "ServerBusy", "retry-after: Sun, 22 Nov 2026 02:09:00 GMT\r\n", "busy"),
        Fault::error(503, "ServerBusy", "", "busy"),
        Fault::error(500, "InternalError", "", "oops"),
        Fault::error(500, "OperationTimedOut", "", "slow"),
        Fault::answer(504, "", ""),
        Fault::error(403, "AuthorizationFailure", "", "not now"),
        Fault::error(403, "AuthenticationFailed", "", "not now"),
        Fault::error(404, "ContainerNotFound", "", "gone"),
        Fault::error(409, "ContainerBeingDeleted", "", "wait"),
        Fault::Lost,
        Fault::AnswerLost,
        Fault::AnswerCut(20),
    ]
}

/// A fault at requests of this method and part of a target, so often.
async fn fault_at(request: (&'static str, &'static str), fault: &Fault, times: usize) {
    let wire = AzureWire::to(Azurite::shared().port()).await;
    let census = indoors::census(10, "z", 3);
    let indoors = Indoors::new(&census, Town::Maildirs, Staged::AtAzure(wire.port()), indoors::clock()).await;
    let what = format!("{times} times {fault:?} at {request:?}");
    (0..times).for_each(|_| wire.fail(request.0, request.1, fault.clone()));
    indoors.finish(&what).await;
    assert!(wire.faults_left() < times, "{what}: it was met");
}

async fn each_fault_at(request: (&'static str, &'static str)) {
    for (number, fault) in faults().into_iter().enumerate() {
        fault_at(request, &fault, if number % 2 == 0 { 1 } else { MANY }).await;
    }
}

#[tokio::test]
async fn pages_are_not_put() {
    each_fault_at(("PUT", "pages%2F")).await;
}

#[tokio::test]
async fn attachments_are_not_put() {
    each_fault_at(("PUT", "attachments%2F")).await;
}

#[tokio::test]
async fn the_container_and_its_marks_are_not_to_be_had() {
    each_fault_at(("GET", "comp=list")).await;
    each_fault_at(("PUT", "ledger")).await;
}
