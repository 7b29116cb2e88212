//! Whose mailboxes an item belongs in.
//!
//! For each participant the administrator's mapping is looked at first; where that yields no valid user, the item's
//! e-mail property; where neither does, the item is not imported for that participant. "Valid" means that the user
//! directory says so. No answer of the directory is no answer, never "not valid".

pub mod address;
pub mod mapping;
mod resolver;
mod table;
pub mod users;

pub use resolver::Resolver;
