//! Writing a checkpoint.

use std::time::Duration;

use pgherd_domain::WorkError;

use super::Doing as _;
use crate::connect::ask;
use crate::server::LocalServer;

/// The longest a checkpoint is waited for; the server goes on with it.
const PATIENCE: Duration = Duration::from_secs(3_600);

impl LocalServer {
    /// CHECKPOINT, over a connection of its own that no statement timeout ends.
    pub(super) async fn checkpoint(&self) -> Result<(), WorkError> {
        let mut door = self.door().await;
        door.options = "-c statement_timeout=0";
        let client = door.open(None).await.doing("connect for the checkpoint")?;
        ask(&client, "CHECKPOINT", PATIENCE)
            .await
            .doing("write a checkpoint")?;
        Ok(())
    }
}
