//! try
use anyhow::Result;
use pgherd_e2e::mirror;
use pgherd_testbed::{AgentProgram, Herd, HerdOptions};
#[tokio::test]
async fn alike() -> Result<()> {
    let patroni = AgentProgram::patroni().unwrap();
    let options = HerdOptions {
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        agent: Some(patroni),
        ..HerdOptions::default()
    };
    let mut herd = Herd::start("mirror", &options).await?;
    herd.members[1]
        .stop(std::time::Duration::from_secs(30))
        .await?;
    herd.members[1].install(AgentProgram::pgherd()?);
    herd.members[1].start()?;
    herd.wait_formed(std::time::Duration::from_secs(60)).await?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    mirror::answer_alike(&herd.members[2], &herd.members[1]).await
}
