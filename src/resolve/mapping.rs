//! The administrator's mapping file: phone numbers to addresses.
