//! The peers port: other members' REST APIs, asked over HTTP.
