//! A list on its way into a JSON document: in memory while it is short, in a temporary file without a name beyond that.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};

use serde::Serialize;

/// What is kept in memory, in bytes.
const MAX_IN_MEMORY: usize = 1 << 20;

/// The elements of a JSON array, in the order in which they came.
#[derive(Debug, Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Spool {
    /// Adds an element.
    pub fn push(&mut self, element: &impl Serialize) -> io::Result<()> {
        if self.count > 0 {
            self.memory.push(b',');
        }
        serde_json::to_writer(&mut self.memory, element)?;
        self.count += 1;
        if self.memory.len() > MAX_IN_MEMORY {
            let file = match self.file.take() {
                Some(file) => file,
                None => BufWriter::new(nameless_file()?),
            };
            self.file.insert(file).write_all(&self.memory)?;
            self.memory.clear();
        }
        Ok(())
    }

    /// How many elements there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes the array.
    pub fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"[")?;
        if let Some(file) = self.file {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            io::copy(&mut file, out)?;
        }
        out.write_all(&self.memory)?;
        out.write_all(b"]")
    }
}

/// A file that goes with the process, however that ends.
fn nameless_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("whatsapp-archiver-{}", uuid::Uuid::now_v7().simple()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(count: usize, length: usize) -> Vec<String> {
        let mut spool = Spool::default();
        for number in 0..count {
            spool.push(&format!("{number} {}", "x".repeat(length))).unwrap();
        }
        assert_eq!(spool.count(), count as u64);
        let mut out = Vec::new();
        spool.write_to(&mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn short_and_long_lists_are_written_whole_and_in_order() {
        assert!(written(0, 0).is_empty());
        for (count, length) in [(1, 0), (3, 10), (5000, 1000)] {
            let list = written(count, length);
            assert_eq!(list.len(), count);
            assert!(list.iter().enumerate().all(|(number, text)| text.starts_with(&format!("{number} "))));
        }
    }
}
