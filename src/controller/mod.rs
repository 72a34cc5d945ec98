//! The only room that holds a kube Client for our kinds: watches, snapshot, act, lease, events.
