//! The wire contract of REST and the tables of the command line, as documents.
