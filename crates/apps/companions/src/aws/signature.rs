//! AWS Signature Version 4 (AWS documentation, "Create a signed AWS API request").

use std::fmt;

use pgherd_domain::WallTime;
use ring::{digest, hmac};

/// What proves who asks.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// A request for `/` with a form in its body.
pub(super) struct Request<'a> {
    pub(super) host: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) body: &'a str,
}

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

impl Request<'_> {
    /// The headers to send, the signature among them.
    pub(super) fn headers(
        &self,
        credentials: &Credentials,
        at: WallTime,
    ) -> Vec<(&'static str, String)> {
        let stamp = at.format("%Y%m%dT%H%M%SZ");
        let day = at.format("%Y%m%d");
        let mut headers = vec![
            ("content-type", FORM.to_owned()),
            ("host", self.host.to_owned()),
            ("x-amz-date", stamp.clone()),
        ];
        if let Some(token) = &credentials.token {
            headers.push(("x-amz-security-token", token.clone()));
        }
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hash(self.body));
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hash(&canonical));
        let secret = format!("AWS4{}", credentials.secret);
        let mut key = mac(secret.as_bytes(), &day);
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &to_sign));
        let key = &credentials.key;
        headers.push((
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
            ),
        ));
        headers
    }
}

/// Percent-encodes all but the letters that need none (RFC 3986).
pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys and hashes of AWS's own example, which is public.
    #[test]
    fn keys_are_derived_as_in_the_example_of_aws() {
        let mut key = mac(b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830");
        for part in ["us-east-1", "iam", "aws4_request"] {
            key = mac(&key, part);
        }
        assert_eq!(
            hex(&key),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
        let to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                       f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        assert_eq!(
            hex(&mac(&key, to_sign)),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn the_scope_and_the_signed_headers_are_told() {
        let request = Request {
            host: "ec2.eu-west-1.amazonaws.com",
            region: "eu-west-1",
            service: "ec2",
            body: "Action=DescribeVolumes",
        };
        let credentials = Credentials {
            key: "AK".into(),
            secret: "SK".into(),
            token: Some("TK".into()),
        };
        let at = WallTime::parse("2026-11-24T03:04:05+00:00").unwrap();
        let headers = request.headers(&credentials, at);
        let (_, authorization) = headers.last().unwrap();
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AK/20261124/eu-west-1/ec2/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
            ),
            "{authorization}"
        );
        assert_eq!(encoded("a b/ä~"), "a%20b%2F%C3%A4~");
    }
}
