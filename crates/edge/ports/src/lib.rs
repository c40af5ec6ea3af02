//! The ports: what the agent needs of the outside world, as traits with two implementations each, real and simulated.
