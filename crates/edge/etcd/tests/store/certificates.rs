//! Certificates for a test, made by the openssl program.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::server::address;

/// An authority, a server and a client.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        let made = Self {
            dir: TempDir::new().expect("a directory can be made"),
        };
        let names = format!("subjectAltName=IP:{}", address());
        fs_err::write(made.path("names"), names).expect("the directory is ours");
        made.authority("ca");
        made.signed("server", "ca");
        made.signed("client", "ca");
        made.authority("stranger");
        made
    }

    /// `<name>.crt`, `<name>.key`.
    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        let dir = Utf8Path::from_path(self.dir.path()).expect("the path is UTF-8");
        dir.join(name)
    }

    fn authority(&self, name: &str) {
        let days = "-days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
        let line = format!("req -x509 {days} -subj /CN={name} -keyout {name}.key -out {name}.crt");
        self.openssl(&line);
    }

    fn signed(&self, name: &str, by: &str) {
        let key = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
        let request = format!("req -new {key} -subj /CN={name} -keyout {name}.key -out {name}.csr");
        self.openssl(&request);
        let authority = format!("-CA {by}.crt -CAkey {by}.key -CAcreateserial -days 2");
        let sign = format!("x509 -req -in {name}.csr {authority} -extfile names -out {name}.crt");
        self.openssl(&sign);
    }

    fn openssl(&self, line: &str) {
        let status = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("openssl is installed");
        assert!(status.success(), "openssl {line}");
    }
}
