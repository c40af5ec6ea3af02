//! User and password of etcd's own authentication.

use etcd_client::{Client, ConnectOptions, Permission, PermissionType};
use pgherd_etcd::{Etcd, EtcdOptions};
use pgherd_ports::{Acquisition, Condition, Dcs as _, DcsError, Key, Wake};
use pgherd_settings::{Secret, Store};

use crate::server::Servers;
use crate::{member, options, ready, until};

/// One server with users: `pg` may use our prefix, `guest` nothing.
async fn server() -> Servers {
    let servers = Servers::start_with(1, "http", &["--bcrypt-cost=4".to_owned()]);
    ready(&member("first", options(servers.urls()))).await;
    enable_users(&servers)
        .await
        .expect("etcd takes users while it asks for none");
    servers
}

async fn enable_users(servers: &Servers) -> Result<(), etcd_client::Error> {
    let mut admin = Client::connect(servers.urls(), None).await?;
    for user in ["root", "pg", "guest"] {
        admin.user_add(user, "right", None).await?;
    }
    for (user, role) in [("root", "root"), ("pg", "herd")] {
        admin.role_add(role).await?;
        admin.user_grant_role(user, role).await?;
    }
    let prefix = Permission::new(PermissionType::Readwrite, "/service/").with_prefix();
    admin.role_grant_permission("herd", prefix).await?;
    admin.auth_enable().await?;
    Ok(())
}

fn as_user(servers: &Servers, user: &str, password: &str) -> EtcdOptions {
    let mut options = options(servers.urls());
    options.etcd.username = Some(user.to_owned());
    options.etcd.password = Some(Secret::new(password));
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_in_and_again_when_the_token_is_lost() {
    let mut servers = server().await;
    let dcs = member("a", as_user(&servers, "pg", "right"));
    dcs.put(&Key::Member(crate::name("a")), "{}", Condition::ALWAYS)
        .await
        .unwrap();
    assert_eq!(dcs.acquire_leader().await.unwrap(), Acquisition::Mine);
    dcs.put(&Key::Status, "{}", Condition::LEADING)
        .await
        .unwrap();
    // Tokens live in memory: a restarted server knows none.
    servers.kill_all();
    servers.start_all();
    until("the token is replaced", async || dcs.load().await.is_ok()).await;
    assert!(dcs.renew().await.is_ok());

    // A password that is changed meanwhile is a denial, and the text says where; a reload brings the new one.
    let root = ConnectOptions::new().with_user("root", "right");
    let mut admin = Client::connect(servers.urls(), Some(root)).await.unwrap();
    admin.user_change_password("pg", "other").await.unwrap();
    until("the old password is refused", async || {
        matches!(dcs.load().await, Err(DcsError::Denied(_)))
    })
    .await;
    let told = |user, password| Store::Etcd(as_user(&servers, user, password).etcd);
    dcs.configure(&told("pg", "other"));
    assert!(dcs.load().await.is_ok());
    // So does another user count at once, although the token of the former one is still good.
    dcs.configure(&told("guest", "right"));
    assert!(matches!(dcs.load().await, Err(DcsError::Denied(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_denied() {
    let servers = server().await;
    for options in [
        as_user(&servers, "pg", "wrong"),
        as_user(&servers, "nobody", "right"),
        as_user(&servers, "guest", "right"),
        options(servers.urls()),
    ] {
        let denied = member("a", options).load().await.unwrap_err();
        assert!(matches!(denied, DcsError::Denied(_)), "{denied}");
        assert!(denied.to_string().contains(&servers.urls()[0]), "{denied}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_where_none_is_needed_does_no_harm() {
    let servers = Servers::start(1);
    let dcs = Etcd::connect(as_user(&servers, "pg", "right"), None, Wake::new());
    ready(&dcs).await;
}
