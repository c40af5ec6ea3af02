//! The small programs that Patroni installs beside the agent (contract §19), each with its command line and its
//! exit codes: `patroni_barman`, `patroni_aws`, `patroni_wale_restore`.

pub mod aws;
pub mod barman;
mod lenient;
#[cfg(test)]
mod stand_in;
pub mod wale;

use std::future::Future;
use std::process::ExitCode;

/// Runs a program's work on a runtime of its own; `failed` is the exit code when there is none to be had.
fn block_on(failed: u8, work: impl Future<Output = u8>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(work)),
        Err(error) => {
            eprintln!("start the runtime: {error}");
            ExitCode::from(failed)
        }
    }
}
