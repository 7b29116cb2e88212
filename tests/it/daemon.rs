//! The daemon: in process, where weeks pass at once, and as the program that operations run.

mod begin;
pub(crate) mod bench;
mod beside;
mod clock;
mod clocks;
mod dead;
mod earlier_identity;
mod hung_database;
mod ledger_trouble;
mod pauses;
pub(crate) mod process;
mod refusal;
mod reload;
mod sharing;
mod shipping;
mod signals;
mod upgrade;
mod week;
