//! The machine's own metadata and the EC2 query API (AWS documentation, "Instance metadata" and "Amazon EC2 Query
//! API").

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_ports::{Clock as _, SystemClock};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use super::signature::{Credentials, Request, encoded};

/// Metadata of the machine, which only the machine itself can ask for.
const METADATA: &str = "http://169.254.169.254";
const IDENTITY: &str = "latest/dynamic/instance-identity/document";
const CREDENTIALS: &str = "latest/meta-data/iam/security-credentials/";
/// The version of the API.
const VERSION: &str = "2016-11-15";
/// An answer comes within this.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// This instance, and what it may do.
#[derive(Debug)]
pub(super) struct Cloud {
    http: Client,
    instance: String,
    region: String,
    endpoint: String,
    credentials: Credentials,
}

impl Cloud {
    /// Asks the machine who it is. Other places than the usual ones, and credentials, may be given in the
    /// environment under AWS's own names.
    pub(super) async fn find(env: &BTreeMap<String, String>) -> Result<Self, String> {
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let http = pgherd_peers::public_client()
            .map_err(|error| format!("set up the HTTP client: {error}"))?;
        let metadata = get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let metadata = Metadata::open(&http, metadata.as_deref().unwrap_or(METADATA)).await?;
        let identity = metadata.document(IDENTITY).await?;
        let text = |name: &str| {
            let value = identity.get(name).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("the metadata tell no {name}"))
        };
        let (instance, region) = (text("instanceId")?, text("region")?);
        let credentials = match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
            (Some(key), Some(secret)) => Credentials {
                key,
                secret,
                token: get("AWS_SESSION_TOKEN"),
            },
            _ => metadata.credentials().await?,
        };
        let endpoint = get("AWS_ENDPOINT_URL_EC2")
            .unwrap_or_else(|| format!("https://ec2.{region}.amazonaws.com"));
        Ok(Self {
            http,
            instance,
            region,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            credentials,
        })
    }

    /// This instance.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// The volumes of this instance.
    pub(super) async fn volumes(&self) -> Result<Vec<String>, String> {
        let fields = [
            ("Action", "DescribeVolumes"),
            ("Filter.1.Name", "attachment.instance-id"),
            ("Filter.1.Value.1", &self.instance),
        ];
        let answer = self.ask(&fields).await?;
        let mut found: Vec<String> = answer
            .split("<volumeId>")
            .skip(1)
            .filter_map(|rest| rest.split('<').next())
            .map(str::to_owned)
            .collect();
        // each stands in its attachment once more
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Writes tags.
    pub(super) async fn tag(&self, things: &[String], tags: &[(&str, &str)]) -> Result<(), String> {
        let mut fields = vec![("Action".to_owned(), "CreateTags".to_owned())];
        for (at, thing) in things.iter().enumerate() {
            fields.push((format!("ResourceId.{}", at + 1), thing.clone()));
        }
        for (at, (key, value)) in tags.iter().enumerate() {
            fields.push((format!("Tag.{}.Key", at + 1), (*key).to_owned()));
            fields.push((format!("Tag.{}.Value", at + 1), (*value).to_owned()));
        }
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.ask(&fields).await.map(drop)
    }

    async fn ask(&self, fields: &[(&str, &str)]) -> Result<String, String> {
        let fields = fields.iter().chain([("Version", VERSION)].iter());
        let body: Vec<String> = fields
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        let body = body.join("&");
        let host = self
            .endpoint
            .split_once("://")
            .map_or(self.endpoint.as_str(), |(_, rest)| rest);
        let request = Request {
            host,
            region: &self.region,
            service: "ec2",
            body: &body,
        };
        let mut asking = self.http.post(format!("{}/", self.endpoint));
        for (name, value) in request.headers(&self.credentials, SystemClock.wall()) {
            asking = asking.header(name, value);
        }
        answer(asking.body(body)).await
    }
}

/// The metadata service, with the token that its second version wants.
struct Metadata<'a> {
    http: &'a Client,
    url: String,
    token: String,
}

impl<'a> Metadata<'a> {
    async fn open(http: &'a Client, url: &str) -> Result<Self, String> {
        let url = url.trim_end_matches('/').to_owned();
        let asking = http
            .put(format!("{url}/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = answer(asking).await?;
        Ok(Self { http, url, token })
    }

    async fn text(&self, path: &str) -> Result<String, String> {
        let asking = self
            .http
            .get(format!("{}/{path}", self.url))
            .header("x-aws-ec2-metadata-token", &self.token);
        answer(asking).await
    }

    async fn document(&self, path: &str) -> Result<Value, String> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
    }

    /// Of the role that the machine was given.
    async fn credentials(&self) -> Result<Credentials, String> {
        let roles = self.text(CREDENTIALS).await?;
        let role = roles.lines().next().unwrap_or_default().trim().to_owned();
        let found = self.document(&format!("{CREDENTIALS}{role}")).await?;
        let text = |name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(key), Some(secret)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
            return Err("the metadata tell no credentials; give the instance a role".to_owned());
        };
        Ok(Credentials {
            key,
            secret,
            token: text("Token"),
        })
    }
}

async fn answer(asking: RequestBuilder) -> Result<String, String> {
    let told = |error: reqwest::Error| {
        let url = error.url().map(ToString::to_string).unwrap_or_default();
        format!("{url}: {}", error.without_url())
    };
    let response = asking.timeout(ANSWER_MAX).send().await.map_err(told)?;
    let (code, url) = (response.status(), response.url().clone());
    let text = response.text().await.map_err(told)?;
    if code.is_success() {
        Ok(text)
    } else {
        Err(format!("{url}: status code {code}, {}", text.trim()))
    }
}
