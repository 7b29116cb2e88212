//! The one HTTP client, and the one place that sends: time-outs, caps, redaction. Classifies, never retries.
