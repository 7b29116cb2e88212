//! Whether what is staged can be overwritten or removed, as `check --online` finds out and says.

use whatsapp_archiver::check;
use whatsapp_archiver::fault::remedy::Kinds;

use super::on_a_bad_line;
use crate::servers::azure_wire::Fault;

#[tokio::test]
async fn a_check_says_whether_what_is_staged_can_be_overwritten_or_removed() {
    let (staging, wire) = on_a_bad_line().await;
    let ask = async |prober: &str| {
        let findings = check::staging(&staging, Kinds::CLOUD, prober).await;
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        (findings.iter().all(check::Finding::is_ok), lines.join("\n"))
    };
    let (is_ok, lines) = ask("without a policy").await;
    assert!(is_ok && lines.contains("can be overwritten and removed by whoever has this access"), "{lines}");
    assert!(lines.contains("the container has no policy"), "{lines}");

    let kept = || Fault::error(409, "BlobImmutableDueToPolicy", "", "kept");
    // The listing that finds the container comes first, and is passed on.
    let describe = |answer: Fault| {
        wire.fail("GET", "comp=list", Fault::AnswerCut(usize::MAX));
        wire.fail("GET", "restype=container", answer);
    };
    let container = |headers: &str| Fault::answer(200, headers, "");
    let refuse_overwriting = || {
        // The probe is created, and only then in the way.
        wire.fail("PUT", "probes%2F", Fault::AnswerCut(usize::MAX));
        wire.fail("PUT", "probes%2F", kept());
    };
    refuse_overwriting();
    wire.fail("DELETE", "probes%2F", kept());
    describe(container("x-ms-has-immutability-policy: true\r\nx-ms-has-legal-hold: true\r\n"));
    let (is_ok, lines) = ask("with a policy").await;
    assert!(
        is_ok && lines.contains("what is staged can be neither overwritten nor removed: a policy kept the probe"),
        "{lines}"
    );
    assert!(lines.contains("the container has a time-based retention policy, a legal hold"), "{lines}");
    assert!(!lines.contains("warning"), "{lines}");

    wire.fail("DELETE", "probes%2F", kept());
    describe(Fault::error(403, "AuthorizationPermissionMismatch", "", "no right"));
    let (is_ok, lines) = ask("kept, and the policy is a secret").await;
    assert!(is_ok && lines.contains("can be overwritten by whoever has this access, but not removed"), "{lines}");
    assert!(lines.contains("which policies the container has can't be read"), "{lines}");

    refuse_overwriting();
    describe(container("x-ms-immutable-storage-with-versioning-enabled: true\r\n"));
    let (is_ok, lines) = ask("versions").await;
    assert!(is_ok && lines.contains("can be removed by whoever has this access, but not overwritten"), "{lines}");
    assert!(lines.contains("the container has immutability by versions"), "{lines}");
    assert_eq!(wire.faults_left(), 0);
    wire.fail("DELETE", "probes%2F", Fault::error(403, "AuthorizationPermissionMismatch", "", "no right"));
    let (is_ok, lines) = ask("without the right").await;
    assert!(!is_ok && lines.contains("WRONG"), "a missing right is no policy: {lines}");
    assert!(lines.contains("Storage Blob Data Contributor"), "advice for the way in that is in use: {lines}");
}
