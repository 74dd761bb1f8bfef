//! The binary on a real engine and a real registry: one test for each story that a user would tell.
