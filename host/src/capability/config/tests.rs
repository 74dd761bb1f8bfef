//! Settings and secrets as a plugin sees them.
