//! Every fault of both contracts, one by one, on a small archive: once, and so often that a run gives up. When it is over,
//! the program fixes by itself what it left.

mod azure;
mod dovecot;
mod graph;
mod telemessage;
