//! What must hold for whatever is read: files of operators, documents that others wrote to the DCS, requests, and the
//! output of PostgreSQL's tools. Each function takes any bytes and asserts; none may panic otherwise, hang, or overflow
//! the stack.
//!
//! `make test` runs them on texts that proptest makes from good ones; the targets in `fuzz/` are the same functions.

mod documents;
mod requests;
mod settings;
mod tools;

pub use documents::documents;
pub use requests::requests;
pub use settings::{dynamic, local};
pub use tools::tools;
