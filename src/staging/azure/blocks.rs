//! Cuts a stream into blocks, and measures it on the way.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::{BlobName, ByteStream, StagedStream, StagingError};
use crate::digest::Digester;

/// The size of a block, in bytes. Small enough for a slow line to carry it before the service's answer is overdue.
pub(super) const BLOCK: usize = 4 << 20;
/// The most blocks that a blob can have (Azure's limit).
const MAX_BLOCKS: u64 = 50_000;

/// A stream as blocks of [`BLOCK`] bytes, of which only the last may be shorter.
pub(super) struct Blocks<'a> {
    name: &'a BlobName,
    stream: ByteStream<std::io::Error>,
    /// What came with the piece that filled the last block.
    rest: Bytes,
    limit: u64,
    length: u64,
    digester: Digester,
}

impl<'a> Blocks<'a> {
    /// The blocks of a stream of at most `limit` bytes.
    pub(super) fn new(name: &'a BlobName, stream: ByteStream<std::io::Error>, limit: u64) -> Self {
        let limit = limit.min(MAX_BLOCKS * BLOCK as u64);
        Self { name, stream, rest: Bytes::new(), limit, length: 0, digester: Digester::default() }
    }

    /// The next block; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StagingError> {
        let mut block = BytesMut::new();
        while block.len() < BLOCK && self.has_more().await? {
            let part = self.rest.split_to(self.rest.len().min(BLOCK - block.len()));
            if part.len() == BLOCK {
                return Ok(Some(part));
            }
            block.extend_from_slice(&part);
        }
        Ok((!block.is_empty()).then(|| block.freeze()))
    }

    /// What the whole stream was.
    pub(super) fn finish(self) -> StagedStream {
        StagedStream { length: self.length, digest: self.digester.finish() }
    }

    /// Whether something is left, which is in `rest` then.
    async fn has_more(&mut self) -> Result<bool, StagingError> {
        while self.rest.is_empty() {
            let Some(piece) = self.stream.next().await else { return Ok(false) };
            let piece = piece.map_err(|detail| StagingError::StreamBroken { name: self.name.clone(), detail })?;
            self.length = self.length.saturating_add(piece.len() as u64);
            if self.length > self.limit {
                return Err(StagingError::TooLarge { name: self.name.clone(), limit: self.limit });
            }
            self.digester.update(&piece);
            self.rest = piece;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::digest::Digest;

    async fn cut(pieces: Vec<Vec<u8>>, limit: u64) -> Result<Vec<usize>, StagingError> {
        let name = BlobName::parse("x").unwrap();
        let whole = pieces.concat();
        let stream = stream::iter(pieces).map(|piece| Ok(Bytes::from(piece))).boxed();
        let mut blocks = Blocks::new(&name, stream, limit);
        let (mut sizes, mut joined) = (Vec::new(), Vec::new());
        while let Some(block) = blocks.next().await? {
            sizes.push(block.len());
            joined.extend_from_slice(&block);
        }
        assert!(joined == whole);
        assert_eq!(blocks.finish(), StagedStream { length: whole.len() as u64, digest: Digest::of(&whole) });
        Ok(sizes)
    }

    #[tokio::test]
    async fn only_the_last_block_is_short() {
        let pieces = |sizes: &[usize]| sizes.iter().map(|&size| vec![1; size]).collect::<Vec<_>>();
        assert_eq!(cut(pieces(&[]), 0).await.unwrap(), [0; 0]);
        assert_eq!(cut(pieces(&[0, 3, 0, 4]), 7).await.unwrap(), [7]);
        assert_eq!(cut(pieces(&[BLOCK]), u64::MAX).await.unwrap(), [BLOCK]);
        assert_eq!(cut(pieces(&[1, BLOCK]), u64::MAX).await.unwrap(), [BLOCK, 1]);
        assert_eq!(cut(pieces(&[2 * BLOCK + 5, 1]), u64::MAX).await.unwrap(), [BLOCK, BLOCK, 6]);
    }

    #[tokio::test]
    async fn the_limit_holds() {
        let refused = cut(vec![vec![1; 4], vec![1; 4]], 7).await;
        assert!(matches!(refused, Err(StagingError::TooLarge { limit: 7, .. })), "{refused:?}");
    }
}
