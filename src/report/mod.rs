//! The report route's messages and numbering, shared by the agent (which sends) and the server (which stores).
//!
//! Pure.
