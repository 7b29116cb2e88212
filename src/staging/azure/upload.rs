//! Creates blobs where their names are free.

use std::collections::VecDeque;

use azure_core::http::{Etag, RequestContent};
use azure_storage_blob::models::{
    BlockBlobClientCommitBlockListOptions, BlockBlobClientUploadOptions, BlockLookupList,
};
use bytes::Bytes;

use super::blocks::Blocks;
use super::{AzureStaging, BlobName, Placed, StagingError, fault};

impl AzureStaging {
    /// Creates a blob of one block with one request.
    pub(super) async fn upload_whole(&self, name: &BlobName, bytes: Bytes) -> Result<Placed, StagingError> {
        let options = BlockBlobClientUploadOptions {
            // Whatever its size, it goes in one piece.
            partition_size: std::num::NonZero::new(u64::MAX),
            ..BlockBlobClientUploadOptions::default().if_not_exists()
        };
        let uploaded = self.blob(name).upload(bytes.into(), Some(options)).await;
        self.placed(name, uploaded.map(drop))
    }

    /// Creates a blob of `first` and all that `rest` still has: one block is on its way while the next one is gathered.
    pub(super) async fn upload_blocks(
        &self,
        name: &BlobName,
        first: impl IntoIterator<Item = Bytes>,
        mut rest: Option<&mut Blocks<'_>>,
    ) -> Result<Placed, StagingError> {
        let client = self.blob(name).block_blob_client();
        let mut ids: Vec<Vec<u8>> = Vec::new();
        // An empty blob has no blocks at all.
        let mut queue: VecDeque<Bytes> = first.into_iter().filter(|block| !block.is_empty()).collect();
        while let Some(block) = queue.pop_front() {
            // Ids of one length, and never those of another upload to the same name.
            let id = uuid::Uuid::now_v7().as_bytes().to_vec();
            let staging = async {
                let staged = client.stage_block(&id, block.len() as u64, block.into(), None).await;
                staged.map(drop).map_err(|error| self.faults.of(error, Some(name)))
            };
            let gathering = async {
                match rest.as_mut().filter(|_| queue.is_empty()) {
                    Some(rest) => rest.next().await,
                    None => Ok(None),
                }
            };
            let ((), gathered) = tokio::try_join!(staging, gathering)?;
            queue.extend(gathered);
            ids.push(id);
        }
        let list = BlockLookupList { latest: Some(ids), ..BlockLookupList::default() };
        let list = RequestContent::try_from(list).map_err(|error| self.faults.of(error, Some(name)))?;
        let options = BlockBlobClientCommitBlockListOptions {
            if_none_match: Some(Etag::from("*")),
            ..BlockBlobClientCommitBlockListOptions::default()
        };
        let committed = client.commit_block_list(list, Some(options)).await;
        self.placed(name, committed.map(drop))
    }

    fn placed(&self, name: &BlobName, created: azure_core::Result<()>) -> Result<Placed, StagingError> {
        match created {
            Ok(()) => Ok(Placed::New),
            Err(error) if fault::is_taken(&error) => Ok(Placed::Taken),
            Err(error) => Err(self.faults.of(error, Some(name))),
        }
    }
}
