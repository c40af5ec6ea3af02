//! Parameters, with PostgreSQL itself as the judge: what it refuses does not reach its files (contract §3.2).

use std::collections::BTreeMap;
use std::io;

use pgherd_pgconf::{Complaint, PLAIN_WORDS, setting_line};

use crate::files::remove;
use crate::run::{RunError, command, output, watched};
use crate::server::LocalServer;

/// How often PostgreSQL is asked about one set of parameters.
const ANSWERS_MAX: usize = 4;

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
        let unfit = Complaint::of_names(given.keys());
        for warning in Complaint::mend(&unfit, &mut mended) {
            tracing::warn!("{warning}");
        }
        // Unknown names hide what is said of values, and what is beyond all integers its range: a further answer may
        // say more.
        for _ in 0..ANSWERS_MAX {
            let said = match self.refusal(&mended).await {
                Ok(Some(said)) => said,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "can not have PostgreSQL check its parameters");
                    break;
                }
            };
            let warnings = Complaint::mend(&Complaint::parse(&said), &mut mended);
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            if warnings.is_empty() {
                let said = said.trim().replace('\n', "; ");
                tracing::error!(
                    "PostgreSQL refuses its parameters, and will not start or reload with them: {said}; correct \
                     `postgresql.parameters` with `edit-config`, or in the member's file"
                );
                break;
            }
        }
        checked.0 = Some((given, mended.clone()));
        mended
    }

    /// What PostgreSQL says against these parameters; `None`: nothing.
    async fn refusal(&self, parameters: &BTreeMap<String, String>) -> io::Result<Option<String>> {
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
            .args(PLAIN_WORDS.iter().flat_map(|setting| ["-c", setting]))
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
            Ok(_) => Ok(None),
            Err(RunError::Failed { .. }) => Ok(Some(said)),
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
