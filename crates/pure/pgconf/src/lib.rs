//! What PostgreSQL is told: its configuration files, recovery settings and command line, as text.
