//! The whole program under siege: killed, lied to, cut off, flooded. Real processes, real servers and servers that keep the
//! contracts and fail on command; and in the end each mailbox holds what belongs in it, once, and the books balance.

mod chaos;
mod faults;
mod heard;
mod indoors;
mod kills;
mod mailboxes;
mod mixtures;
mod outages;
mod population;
mod replicas;
mod restore;
mod rows;
mod site;
mod soak;
mod two;
