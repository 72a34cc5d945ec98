//! The in-pod program: wraps the command, collects its metrics, reports them and obeys a stop.
