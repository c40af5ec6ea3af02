//! Parameters, with PostgreSQL itself as the judge: what it refuses does not reach its files (contract §3.2).

use std::collections::BTreeMap;
use std::io;

use pgherd_pgconf::{Complaint, setting_line};

use crate::files::remove;
use crate::run::{RunError, command, output, watched};
use crate::server::LocalServer;

/// What PostgreSQL said of parameters when it was last asked: as given, and as mended.
#[derive(Debug, Default)]
pub(crate) struct Checked(Option<(BTreeMap<String, String>, BTreeMap<String, String>)>);

impl LocalServer {
    /// The parameters as PostgreSQL takes them: it is asked, and what it refuses is left out or put into
    /// range, with a warning each.
    pub(crate) async fn mended(
        &self,
        given: BTreeMap<String, String>,
        checked: &mut Checked,
    ) -> BTreeMap<String, String> {
        if let Some((asked, mended)) = &checked.0
            && *asked == given
        {
            return mended.clone();
        }
        let mut mended = given.clone();
        // Unknown names hide what is said of values, so a second answer may say more.
        for _ in 0..3 {
            let said = match self.complaints(&mended).await {
                Ok(said) => said,
                Err(error) => {
                    tracing::warn!(%error, "can not have PostgreSQL check its parameters");
                    break;
                }
            };
            let warnings = Complaint::mend(&said, &mut mended);
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            if warnings.is_empty() {
                break;
            }
        }
        checked.0 = Some((given, mended.clone()));
        mended
    }

    async fn complaints(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> io::Result<Vec<Complaint>> {
        let file = self.place.data_dir().join(".pgherd-check.conf");
        let lines: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{}\n", setting_line(name, value)))
            .collect();
        self.place.files().write(&file, &lines.concat())?;
        let mut postgres = command(
            &self.place.tool(&self.place.names().postgres),
            self.place.owner(),
        );
        postgres
            .args(["-D", self.place.data_dir().as_str()])
            .arg(format!("--config-file={file}"))
            .args(["-C", "data_directory"])
            .env("LC_ALL", "C");
        let mut said = String::new();
        let asked = watched(postgres, |line| {
            said.push_str(line);
            said.push('\n');
        })
        .await;
        remove(&file)?;
        match asked {
            Ok(_) => Ok(Vec::new()),
            Err(RunError::Failed { .. }) => Ok(Complaint::parse(&said)),
            Err(error @ RunError::NotStarted { .. }) => Err(io::Error::other(error)),
        }
    }

    /// The value of a parameter as the files say it, without a running server (`postgres -C`).
    pub(crate) async fn parameter(&self, name: &str) -> Result<String, RunError> {
        let mut postgres = command(
            &self.place.tool(&self.place.names().postgres),
            self.place.owner(),
        );
        postgres
            .args(["-D", self.place.data_dir().as_str()])
            .arg(format!("--config-file={}", self.place.conf()))
            .args(["-C", name])
            .env("LC_ALL", "C");
        Ok(output(postgres).await?.trim_end_matches('\n').to_owned())
    }
}
