//! Messages of a window as files: eml, mbox, RSMF.
