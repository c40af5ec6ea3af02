//! The API as a program: `pgherd-kube-api ADDRESS:PORT`. It ends when it is killed.

use anyhow::{Context as _, Result};
use pgherd_kube_api::{KubeApi, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listen = std::env::args().nth(1).context("where to listen?")?;
    let options = Options {
        listen: listen.parse().context("ADDRESS:PORT is needed")?,
        ..Options::default()
    };
    let api = KubeApi::start(options).await?;
    println!("{}", api.url());
    std::future::pending().await
}
