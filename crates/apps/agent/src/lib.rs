//! The agent: observes, decides, guards and acts for one member.
