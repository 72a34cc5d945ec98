//! `plan(snapshot, now) -> actions`: every decision, apart from all I/O.
