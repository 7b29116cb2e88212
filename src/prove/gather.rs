//! What is in a proof: captures with their bytes, copies, the mapping's lines, and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Archive, CaptureFacts, Directions, FileFacts, ProofError, ReportFacts};
use crate::convert::convert_as;
use crate::digest::Digest;
use crate::item::{Identifier, Item};
use crate::ledger::{AttachmentRecord, AttachmentState, CopyFacts, ItemName, ItemRecord, Ledger, RunId};
use crate::pipeline::Loader;
use crate::report::signature::PublicKey;
use crate::resolve::mapping::lines_naming;
use crate::staging::{BlobName, Staging};

/// Larger content is not converted: its message would not fit into memory.
const MAX_CONTENT: u64 = 512 * 1024 * 1024;

/// What a proof is made of.
pub struct Prover<'a> {
    /// What is known of the message.
    pub ledger: &'a Ledger,
    /// Where its bytes are.
    pub staging: &'a Arc<dyn Staging>,
    /// The domain of addresses that stand for participants without one.
    pub placeholder_domain: &'a str,
    /// The mapping file as it is now: its bytes.
    pub mapping: Option<Vec<u8>>,
    /// The key that signatures are checked with.
    pub key: Option<PublicKey>,
    /// Whether the pages go in, which have other people's messages too.
    pub with_pages: bool,
}

/// What a proof has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// Captures of the message.
    pub captures: usize,
    /// Copies that mailboxes were to have.
    pub copies: usize,
}

impl Prover<'_> {
    /// Writes the proof of a message. Nothing is left of one that fails.
    pub async fn write(&self, sought: &ItemName, path: &Path) -> Result<Proven, ProofError> {
        let records = self.ledger.captures(sought).await?;
        if records.is_empty() {
            return Err(ProofError::Unknown);
        }
        let (records, purged) = self.without_purged(records).await?;
        let mut archive = Archive::create(path)?;
        let mut directions = Directions { purged, ..Directions::default() };
        // The runs whose reports belong to it, each with the digests of the pages that it staged.
        let mut runs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut proven = Proven { captures: records.len(), copies: 0 };
        for (number, record) in records.iter().enumerate() {
            let copies = self.ledger.copies_of(record.no).await?;
            let facts = self.capture(&mut archive, number + 1, record, &copies).await?;
            runs.entry(record.run.0.clone()).or_default().insert(facts.page_sha256.clone());
            for copy in &copies {
                runs.entry(copy.run.0.clone()).or_default();
            }
            proven.copies += copies.iter().filter(|copy| copy.mailbox.is_some()).count();
            directions.captures.push(facts);
        }
        for (run, pages) in runs {
            self.report(&mut archive, &mut directions, RunId(run), pages).await?;
        }
        if let Some(key) = self.key.as_ref().filter(|_| directions.has_key) {
            archive.add("report.pub.pem", key.to_pem().as_bytes())?;
            directions.fingerprint = key.fingerprint().to_string();
        }
        directions.has_every_page = directions.captures.iter().all(|capture| capture.has_page);
        archive.finish(&directions)?;
        Ok(proven)
    }

    /// The captures that staging has, and the names of those that were purged from it. Fails where all of them were.
    async fn without_purged(&self, records: Vec<ItemRecord>) -> Result<(Vec<ItemRecord>, Vec<String>), ProofError> {
        let (mut staged, mut purged) = (Vec::new(), Vec::new());
        for record in records {
            if self.ledger.is_purged(record.no).await? {
                purged.push(record);
            } else {
                staged.push(record);
            }
        }
        match purged.first() {
            Some(first) if staged.is_empty() => {
                Err(ProofError::Purged { item: first.name(), run: first.run.0.clone() })
            }
            _ => Ok((staged, purged.iter().map(ItemRecord::name).collect())),
        }
    }

    async fn capture(
        &self,
        archive: &mut Archive,
        number: usize,
        record: &ItemRecord,
        copies: &[CopyFacts],
    ) -> Result<CaptureFacts, ProofError> {
        let loader = Loader::new(Arc::clone(self.staging));
        let folder = format!("capture-{number}");
        let (raw, item) = loader.item(record).await?;
        let malformed = item.as_ref().err().map(ToString::to_string);
        let item = item.ok();
        archive.add(&format!("{folder}/item.json"), &raw)?;
        let page_sha256 = record.page.strip_suffix(".json").and_then(|page| page.rsplit_once('-'));
        let page_sha256 = page_sha256.map(|(_, digest)| digest.to_owned()).unwrap_or_default();
        let mut facts = CaptureFacts {
            item: record.name(),
            sha256: record.key.to_string(),
            staged_at: time(record.staged_at),
            page: record.page.clone(),
            page_sha256,
            offset: record.offset,
            length: record.length,
            folder,
            ..CaptureFacts::default()
        };
        self.page(archive, record, &mut facts).await?;
        self.attachments(archive, record, item.as_ref(), &mut facts).await?;
        let resolution = record.resolution.clone().unwrap_or_default();
        match &item {
            Some(item) => self.message(archive, &loader, record, &raw, item, copies, &mut facts).await?,
            None => facts.why_no_message = malformed.clone().unwrap_or_default(),
        }
        let mapping = self.mapping(record, item.as_ref()).await?;
        let document = json!({
            "item": facts.item, "item_no": record.no.0, "item_sha256": facts.sha256, "malformed": malformed, "staged_at": facts.staged_at, "run": record.run,
            "message_id": copies.iter().find_map(|copy| copy.manifest.as_ref()).map(|sent| sent.message_id.to_string()),
            "sent": item.as_ref().map(|item| time(item.time.at)),
            "received": item.as_ref().and_then(|item| item.received).map(time),
            "owner": item.as_ref().and_then(|item| item.owner.as_ref()).map(|owner| &owner.value),
            "page": {"name": facts.page, "sha256": facts.page_sha256, "offset": facts.offset, "length": facts.length},
            "attachments": record.attachments, "resolution": resolution, "mapping": mapping, "copies": copies,
        });
        archive.add_json(&format!("{}/capture.json", facts.folder), &document)?;
        Ok(facts)
    }

    async fn page(
        &self,
        archive: &mut Archive,
        record: &ItemRecord,
        facts: &mut CaptureFacts,
    ) -> Result<(), ProofError> {
        if !self.with_pages {
            "it has other people's messages".clone_into(&mut facts.why_no_page);
            return Ok(());
        }
        // Without the digest in its name nothing ties a page to the report.
        facts.has_page = match (BlobName::parse(&record.page), facts.page_sha256.parse()) {
            (Some(page), Ok(expected)) => {
                let place = format!("{}/page.json", facts.folder);
                archive.add_blob(&place, self.staging.as_ref(), &page, expected).await?
            }
            _ => false,
        };
        if !facts.has_page {
            "its window is purged from staging; a copy of the item was kept".clone_into(&mut facts.why_no_page);
        }
        Ok(())
    }

    /// The attachments as they were staged; one within the item is in `item.json` already.
    async fn attachments(
        &self,
        archive: &mut Archive,
        record: &ItemRecord,
        item: Option<&Item>,
        facts: &mut CaptureFacts,
    ) -> Result<(), ProofError> {
        for (index, attachment) in record.attachments.iter().enumerate() {
            let AttachmentRecord { state: AttachmentState::Staged { blob }, digest: Some(digest), .. } = attachment
            else {
                continue;
            };
            let Some(name) = BlobName::parse(blob) else { continue };
            let declared = item.and_then(|item| item.attachments.get(index)).and_then(|one| one.name.as_deref());
            let path = format!("attachments/{}-{}", index + 1, safe_name(declared.unwrap_or("attachment")));
            let place = format!("{}/{path}", facts.folder);
            let held = BlobName::held_attachment(record.key, index);
            if archive.add_blob(&place, self.staging.as_ref(), &name, *digest).await?
                || archive.add_blob(&place, self.staging.as_ref(), &held, *digest).await?
            {
                facts.attachments.push(FileFacts { path, sha256: digest.to_string() });
            }
        }
        Ok(())
    }

    /// The message, where this program makes the same bytes of the item as were sent.
    #[expect(clippy::too_many_arguments, reason = "all of one capture")]
    async fn message(
        &self,
        archive: &mut Archive,
        loader: &Loader,
        record: &ItemRecord,
        raw: &[u8],
        item: &Item,
        copies: &[CopyFacts],
        facts: &mut CaptureFacts,
    ) -> Result<(), ProofError> {
        let Some(sent) = copies.iter().find_map(|copy| copy.manifest.as_ref()) else {
            "none was sent".clone_into(&mut facts.why_no_message);
            return Ok(());
        };
        if record.attachments.iter().map(|attachment| attachment.size).sum::<u64>() > MAX_CONTENT {
            "it is too large to be converted here".clone_into(&mut facts.why_no_message);
            return Ok(());
        }
        let attachments = loader.attachments(record, raw, &record.attachments).await?;
        let resolution = record.resolution.clone().unwrap_or_default();
        let message = convert_as(item, &attachments, &resolution, self.placeholder_domain, record.identity);
        if Digest::of(message.mime()) != sent.mime {
            facts.why_no_message = format!(
                "another version of the program or of its configuration sent it, with SHA-256 {}: compare with a copy from a mailbox",
                sent.mime
            );
            return Ok(());
        }
        archive.add(&format!("{}/message.eml", facts.folder), message.mime())?;
        facts.mime = Some(sent.mime.to_string());
        Ok(())
    }

    /// Which mapping was in force in the run that first saw the item; its lines of the participants where it is unchanged.
    async fn mapping(&self, record: &ItemRecord, item: Option<&Item>) -> Result<Value, ProofError> {
        let inputs = self.ledger.run(&record.run).await?.map(|run| run.inputs).unwrap_or_default();
        let inputs: Value = serde_json::from_str(&inputs).unwrap_or_default();
        let in_force = inputs.get("mapping_sha256").and_then(Value::as_str);
        let now = self.mapping.as_deref().map(|bytes| Digest::of(bytes).to_string());
        let unchanged = in_force.is_some() && in_force == now.as_deref();
        let participants = item
            .into_iter()
            .flat_map(|item| item.participants().into_iter().flat_map(|participant| item.identifiers_of(participant)));
        let identifiers: BTreeSet<Identifier> = participants.collect();
        let lines = self.mapping.as_deref().filter(|_| unchanged).map(|bytes| lines_naming(bytes, &identifiers));
        Ok(json!({"sha256": in_force, "sha256_now": now, "lines": lines, "inputs": inputs}))
    }

    async fn report(
        &self,
        archive: &mut Archive,
        directions: &mut Directions,
        run: RunId,
        pages: BTreeSet<String>,
    ) -> Result<(), ProofError> {
        let path = format!("reports/{run}.json");
        let Some((entry, drawn)) = self.ledger.stored_report(&run).await? else {
            directions.without_report.push(run.0);
            return Ok(());
        };
        let (staging, sequence) = (self.staging.as_ref(), entry.sequence);
        let beside = BlobName::report_beside(&run.0, sequence);
        let is_beside = archive.add_blob(&path, staging, &beside, drawn.sha256).await?;
        if !is_beside && !archive.add_blob(&path, staging, &BlobName::report(&run.0), drawn.sha256).await? {
            directions.without_report.push(run.0);
            return Ok(());
        }
        let name = if is_beside {
            BlobName::report_signature_beside(&run.0, sequence)
        } else {
            BlobName::report_signature(&run.0)
        };
        let is_signed = match &drawn.signature {
            Some(signature) => archive.add_blob(&format!("{path}.sig"), staging, &name, Digest::of(signature)).await?,
            None => false,
        };
        let is_ours =
            |key: &PublicKey| drawn.signature.as_deref().is_some_and(|signature| key.verifies(drawn.sha256, signature));
        directions.has_key |= is_signed && self.key.as_ref().is_some_and(is_ours);
        directions.reports.push(ReportFacts {
            path,
            sequence: entry.sequence,
            previous_run: entry.previous_run.map(|run| run.0),
            sha256: drawn.sha256.to_string(),
            page_sha256s: pages.into_iter().collect(),
            is_signed,
        });
        Ok(())
    }
}

fn time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A name that any system and shell takes: letters, digits, dots and dashes of ASCII.
fn safe_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain =
        |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' };
    let safe: String = base.chars().map(plain).take(100).collect();
    if safe.trim_matches(['.', '_']).is_empty() { "attachment".to_owned() } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_shell() {
        for (name, safe) in
            [("../a b.pdf", "a_b.pdf"), ("'; rm -rf ~", "___rm_-rf__"), ("..", "attachment"), ("", "attachment")]
        {
            assert_eq!(safe_name(name), safe, "{name}");
        }
    }
}
