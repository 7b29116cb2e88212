//! What is logged in a format, for tests of it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing_subscriber::Registry;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::layer::SubscriberExt as _;

use super::json::SpanFields;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All that `log` logs.
pub(super) fn logged<F>(format: F, log: impl FnOnce()) -> String
where
    F: FormatEvent<Registry, SpanFields> + Send + Sync + 'static,
{
    let written = Written::default();
    let writer = written.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let layer = layer.fmt_fields(SpanFields).event_format(format);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    let written = written.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}
