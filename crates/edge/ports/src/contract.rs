//! What every implementation of the DCS port must do. The real one runs this against a real store, the
//! simulated one in memory.
