//! HTTP: the report endpoint, metrics of our own, health.
