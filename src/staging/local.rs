//! Staging in a directory of the local disk.
