//! TeleMessage's archive API over HTTPS.
