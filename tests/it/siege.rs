//! The whole program under siege: killed, lied to, cut off, flooded. Real processes, real servers and servers that keep the
//! contracts and fail on command; and in the end each mailbox holds what belongs in it, once, and the books balance.

mod chaos;
mod faults;
mod indoors;
mod kills;
mod mailboxes;
mod mixtures;
mod population;
mod replicas;
mod restore;
mod site;
mod soak;
mod two;
