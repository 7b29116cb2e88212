//! A user directory in a CSV file.
