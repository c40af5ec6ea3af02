//! `patroni_aws`: a callback that writes the role of this member into the tags of its EC2 instance and volumes.

mod api;
mod signature;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use tracing::error;

use crate::block_on;
use api::Cloud;

/// Not done.
const FAILED: u8 = 1;

/// Runs the program: `ACTION ROLE NAME`. Exit codes: 0 done, 1 not.
pub fn run(line: &[OsString]) -> ExitCode {
    let words: Vec<String> = line
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let [action, role, name] = words.as_slice() else {
        return usage(line.first());
    };
    if !matches!(action.as_str(), "on_start" | "on_stop" | "on_role_change") {
        return usage(line.first());
    }
    pgherd_log::start_program(None);
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    block_on(FAILED, async {
        match tag(role, name, &env).await {
            Ok(()) => 0,
            Err(why) => {
                error!("the tags of this instance were not written: {why}");
                FAILED
            }
        }
    })
}

fn usage(program: Option<&OsString>) -> ExitCode {
    let program = program.map_or("patroni_aws".into(), |program| program.to_string_lossy());
    eprintln!("Usage: {program} action role name");
    ExitCode::from(FAILED)
}

/// Tags the volumes with the cluster, the role and the instance, and the instance with the role.
async fn tag(role: &str, name: &str, env: &BTreeMap<String, String>) -> Result<(), String> {
    let cloud = Cloud::find(env).await?;
    let spilo = format!("spilo_{name}");
    let volumes = cloud.volumes().await?;
    let instance = cloud.instance().to_owned();
    if !volumes.is_empty() {
        let tags = [
            ("Name", spilo.as_str()),
            ("Role", role),
            ("Instance", instance.as_str()),
        ];
        cloud.tag(&volumes, &tags).await?;
    }
    cloud.tag(&[instance], &[("Role", role)]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::StandIn;

    const IDENTITY: &str = r#"{"instanceId": "i-1", "region": "eu-west-1"}"#;
    const CREDENTIALS: &str = r#"{"AccessKeyId": "AK", "SecretAccessKey": "SK", "Token": "TK"}"#;
    const VOLUMES: &str = "<r><volumeSet><item><volumeId>vol-1</volumeId></item>\
        <item><volumeId>vol-2</volumeId></item></volumeSet></r>";

    #[tokio::test]
    async fn volumes_and_instance_are_tagged_with_what_the_machine_may_do() {
        let cloud = StandIn::start(&[
            ("PUT /latest/api/token", &[(200, "T")]),
            (
                "GET /latest/dynamic/instance-identity/document",
                &[(200, IDENTITY)],
            ),
            (
                "GET /latest/meta-data/iam/security-credentials/",
                &[(200, "role-a")],
            ),
            (
                "GET /latest/meta-data/iam/security-credentials/role-a",
                &[(200, CREDENTIALS)],
            ),
            ("POST /", &[(200, VOLUMES), (200, "<ok/>")]),
        ])
        .await;
        let env = [
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.url.clone()),
            ("AWS_ENDPOINT_URL_EC2", cloud.url.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        tag("primary", "herd", &env).await.unwrap();
        let asked = cloud.asked();
        let bodies: Vec<&str> = asked
            .iter()
            .filter(|asked| asked.starts_with("POST / "))
            .map(|asked| asked.rsplit("\r\n").next().unwrap())
            .collect();
        assert_eq!(
            bodies,
            [
                "Action=DescribeVolumes&Filter.1.Name=attachment.instance-id&Filter.1.Value.1=i-1&Version=2016-11-15",
                "Action=CreateTags&ResourceId.1=vol-1&ResourceId.2=vol-2&Tag.1.Key=Name&Tag.1.Value=spilo_herd&\
                 Tag.2.Key=Role&Tag.2.Value=primary&Tag.3.Key=Instance&Tag.3.Value=i-1&Version=2016-11-15",
                "Action=CreateTags&ResourceId.1=i-1&Tag.1.Key=Role&Tag.1.Value=primary&Version=2016-11-15",
            ]
        );
        let signed = asked
            .iter()
            .find(|asked| asked.starts_with("POST / "))
            .unwrap();
        assert!(
            signed.contains("authorization: AWS4-HMAC-SHA256 Credential=AK/"),
            "{signed}"
        );
        assert!(signed.contains("x-amz-security-token: TK"), "{signed}");
        assert!(
            asked[1].contains("x-aws-ec2-metadata-token: T"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_machine_that_is_no_instance_says_so() {
        let env = [(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(),
            "http://127.0.0.1:1".to_owned(),
        )]
        .into();
        let why = tag("primary", "herd", &env).await.unwrap_err();
        assert!(why.contains("127.0.0.1:1"), "{why}");
    }
}
