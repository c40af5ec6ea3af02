//! The copy of the dynamic configuration beside the data, under the name and in the form that Patroni has, so that
//! whichever of the two is started on this directory next finds it (contract §2.1).

use camino::Utf8Path;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::files::{read, remove};
use crate::observe::DISK_PATIENCE;
use crate::server::LocalServer;

/// Its name in the data directory.
const NAME: &str = "patroni.dynamic.json";

/// What is kept in a data directory; `None` when nothing is.
///
/// # Errors
/// When it can not be read, or is no JSON object.
pub fn kept_dynamic(data_dir: &Utf8Path) -> Result<Option<Map<String, Value>>, String> {
    let path = data_dir.join(NAME);
    let text = match read(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match serde_json::from_str(&text) {
        Ok(map) => Ok(Some(map)),
        Err(error) => Err(format!("{path} is not a JSON object: {error}")),
    }
}

impl LocalServer {
    /// A copy, a rewind or a restored backup has brought another cluster's in. An agent that is started before this cluster's
    /// takes its place would believe it, and it says nothing of following that cluster.
    pub(crate) fn forget_foreign(&self) {
        let path = self.place.data_dir().join(NAME);
        if let Err(error) = remove(&path) {
            tracing::warn!("remove the other cluster's {path}: {error}");
        }
    }

    /// Writes the copy unless it is what was last written.
    pub(crate) async fn keep(&self, dynamic: &Value) {
        if self.wanted().kept.as_deref() == Some(dynamic) {
            return;
        }
        // Also when it fails: the next change tries again, and the log is not filled meanwhile.
        self.want(|wanted| wanted.kept = Some(dynamic.clone().into()));
        let files = self.place.files();
        let (path, text) = (self.place.data_dir().join(NAME), dynamic.to_string());
        let writing = spawn_blocking(move || files.write(&path, &text));
        let trouble = match timeout(DISK_PATIENCE, writing).await {
            Ok(Ok(Ok(_))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the disk does not answer".to_owned(),
        };
        tracing::warn!("keep a copy of the dynamic configuration in {NAME}: {trouble}");
    }
}
