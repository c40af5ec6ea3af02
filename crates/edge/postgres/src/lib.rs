//! The PostgreSQL port: one local server, its processes, files and queries.
