//! The REST API of one member.
