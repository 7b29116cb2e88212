//! A folder of TeleMessage's list responses, for exports and trials.
