//! Settings: Patroni's YAML, environment and dynamic configuration, typed, with all faults told at once.
