//! The operator's commands: list, switchover, failover, explain and the rest.
