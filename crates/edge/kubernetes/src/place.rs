//! Where the API of Kubernetes is, and how one logs in there.

use camino::Utf8PathBuf;
use pgherd_settings::Kubernetes;

use crate::kubeconfig;
use crate::options::Surroundings;
use crate::tls::{Pem, Trust};

/// The name that certificates of API servers bear besides their addresses, in every cluster.
pub(crate) const SERVICE_NAME: &str = "kubernetes.default.svc";

/// An API server, or a balancer in front of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `scheme://host:port`, perhaps with a path.
    pub(crate) url: String,
    pub(crate) trust: Trust,
    /// The client's certificate and its key.
    pub(crate) client: Option<(Pem, Pem)>,
    pub(crate) login: Login,
    /// Whether it was found by what pods are told.
    pub(crate) in_pod: bool,
}

/// What goes with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    Token(String),
    /// A token that Kubernetes replaces now and then.
    File(Utf8PathBuf),
}

impl Place {
    /// Looks where it is, now.
    pub(crate) fn find(settings: &Kubernetes, around: &Surroundings) -> Result<Self, String> {
        let mut place = match &around.service {
            Some((host, port)) => Self::of_pod(host, port, around),
            None => {
                let there = around.kubeconfigs.iter().find(|path| path.exists());
                let Some(path) = there else {
                    let looked: Vec<&str> = around.kubeconfigs.iter().map(|p| p.as_str()).collect();
                    return Err(format!(
                        "where the API of Kubernetes is, is not known: KUBERNETES_SERVICE_HOST and \
                         KUBERNETES_SERVICE_PORT are not set, as they are in a pod, and there is no kubeconfig ({})",
                        looked.join(", ")
                    ));
                };
                kubeconfig::read(path, settings.context.as_deref())?
            }
        };
        if let Some(cacert) = &settings.cacert {
            place.trust = Trust::Of(Pem::File(cacert.clone()));
        }
        Ok(place)
    }

    fn of_pod(host: &str, port: &str, around: &Surroundings) -> Self {
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Self {
            url: format!("https://{host}:{port}"),
            trust: Trust::Of(Pem::File(around.account.join("ca.crt"))),
            client: None,
            login: Login::File(around.account.join("token")),
            in_pod: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_where_it_is_and_others_say_what_they_looked_for() {
        let mut around = Surroundings {
            service: Some(("fd00::1".into(), "443".into())),
            account: "/account".into(),
            kubeconfigs: vec!["/no/such/file".into()],
        };
        let settings = Kubernetes::default();
        let place = Place::find(&settings, &around).unwrap();
        assert_eq!(place.url, "https://[fd00::1]:443");
        assert_eq!(place.login, Login::File("/account/token".into()));
        around.service = None;
        let said = Place::find(&settings, &around).unwrap_err();
        assert!(said.contains("no kubeconfig (/no/such/file)"), "{said}");
    }
}
