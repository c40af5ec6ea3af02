//! A kubeconfig: where the API is and how one logs in, for a process that is in no pod.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use serde::Deserialize;

use crate::place::{Login, Place};
use crate::tls::{Pem, Trust};

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: String,
    clusters: Vec<Named<ClusterEntry>>,
    contexts: Vec<Named<ContextEntry>>,
    users: Vec<Named<UserEntry>>,
}

/// The entry's own key is called by its kind.
#[derive(Debug, Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "context", alias = "user")]
    entry: T,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct UserEntry {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

/// Reads a file. `context` goes before the one that it says is current.
pub(crate) fn read(path: &Utf8Path, context: Option<&str>) -> Result<Place, String> {
    let text = fs_err::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text, path, context).map_err(|problem| format!("{path}: {problem}"))
}

fn parse(text: &str, path: &Utf8Path, context: Option<&str>) -> Result<Place, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let context = context.unwrap_or(&file.current_context);
    let found = find(&file.contexts, context).ok_or_else(|| format!("no context `{context}`"))?;
    let cluster = find(&file.clusters, &found.cluster)
        .ok_or_else(|| format!("no cluster `{}`", found.cluster))?;
    let none = UserEntry::default();
    let user = match found.user.as_str() {
        "" => &none,
        name => find(&file.users, name).ok_or_else(|| format!("no user `{name}`"))?,
    };
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(format!(
            "user `{}` logs in by another program (`exec` or `auth-provider`), which is not supported; give a token or \
             a client certificate",
            found.user
        ));
    }
    let folder = path.parent().unwrap_or_else(|| Utf8Path::new("/"));
    let pem = |file: &Option<String>, data: &Option<String>| pem(folder, file, data);
    let authority = pem(
        &cluster.certificate_authority,
        &cluster.certificate_authority_data,
    )?;
    let login = match (&user.token, &user.token_file) {
        (Some(token), _) if !token.is_empty() => Login::Token(token.clone()),
        (_, Some(file)) => Login::File(folder.join(file)),
        (Some(_) | None, None) => Login::None,
    };
    Ok(Place {
        url: cluster.server.trim_end_matches('/').to_owned(),
        trust: match (cluster.insecure_skip_tls_verify, authority) {
            (true, _) => Trust::Anybody,
            (false, Some(pem)) => Trust::Of(pem),
            (false, None) => Trust::Host,
        },
        client: pem(&user.client_certificate, &user.client_certificate_data)?
            .zip(pem(&user.client_key, &user.client_key_data)?),
        login,
        in_pod: false,
    })
}

fn find<'a, T>(all: &'a [Named<T>], name: &str) -> Option<&'a T> {
    let found = all.iter().find(|one| one.name == name)?;
    Some(&found.entry)
}

/// What stands in the file itself goes before the name of another one.
fn pem(
    folder: &Utf8Path,
    file: &Option<String>,
    data: &Option<String>,
) -> Result<Option<Pem>, String> {
    if let Some(data) = data.as_deref().filter(|data| !data.is_empty()) {
        let text = STANDARD
            .decode(data.trim())
            .map_err(|error| format!("base64: {error}"))?;
        return Ok(Some(Pem::Inline(text)));
    }
    let file = file.as_deref().filter(|file| !file.is_empty());
    Ok(file.map(|file| Pem::File(folder.join(file))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: 'https://k1:6443/', certificate-authority: ca.crt}
- name: c2
  cluster: {server: 'https://k2', insecure-skip-tls-verify: true}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: x}
- name: two
  context: {cluster: c2, user: u2}
- name: three
  context: {cluster: c2, user: u3}
users:
- name: u1
  user: {token: secret}
- name: u2
  user: {client-certificate-data: Y2VydA==, client-key: /k/key, tokenFile: token}
- name: u3
  user: {exec: {command: aws}}
";

    fn place(context: Option<&str>) -> Result<Place, String> {
        parse(FILE, Utf8Path::new("/home/x/config"), context)
    }

    #[test]
    fn the_current_context_counts_unless_another_is_named() {
        let one = place(None).unwrap();
        assert_eq!(one.url, "https://k1:6443");
        let authority = Pem::File("/home/x/ca.crt".into());
        assert_eq!(one.trust, Trust::Of(authority));
        assert_eq!(
            (one.login, one.client),
            (Login::Token("secret".into()), None)
        );
        let two = place(Some("two")).unwrap();
        assert_eq!(two.trust, Trust::Anybody);
        assert_eq!(two.login, Login::File("/home/x/token".into()));
        let (cert, key) = two.client.unwrap();
        assert_eq!(cert, Pem::Inline(b"cert".to_vec()));
        assert_eq!(key, Pem::File("/k/key".into()));
    }

    #[test]
    fn what_is_not_there_or_not_supported_is_told() {
        assert_eq!(place(Some("four")).unwrap_err(), "no context `four`");
        let said = place(Some("three")).unwrap_err();
        assert!(said.contains("`u3` logs in by another program"), "{said}");
    }
}
