//! The REST API of one member (contract §16): health checks for load balancers from memory, documents for
//! people and programs, orders for the agent.
//!
//! Read in this order: `rows` (what may be requested), `beside`, `server` and `places` (thread, listening and
//! connections), `routes` and `app` (who answers what), `checks` and `reads` (what is asked), `access` and `orders` (what is ordered); `manner`, `tls` and `reply` are how.

mod access;
mod app;
mod beside;
mod checks;
mod ciphers;
mod manner;
mod orders;
mod places;
mod reads;
mod reply;
mod routes;
pub mod rows;
mod server;
mod tls;

pub use beside::RestBeside;
pub use server::{ServeError, Server, serve};
pub use tls::TlsError;
