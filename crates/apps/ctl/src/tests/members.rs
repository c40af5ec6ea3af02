//! Commands to members: restart, reload, reinit, flush, pause.

use serde_json::json;

use super::fake::{Member, NOBODY, Store, name, run, view};

#[tokio::test]
async fn a_restart_tells_of_each_member_how_it_went() {
    let a = Member::start(&[(200, "restarted successfully")]).await;
    let b = Member::start(&[(503, "restart conditions are not satisfied")]).await;
    let store = Store::new(view(&a.api_url, &b.api_url, NOBODY));
    let ran = run(&store, "restart demo", "\ny\n15.9\n").await;
    assert!(!ran.ok, "one member was not reached");
    assert_eq!(a.asked(), [r#"POST /restart {"postgres_version":"15.9"}"#]);
    let words = ran.words();
    for part in [
        "When should the restart take place (e.g. ",
        ")  [now]: Are you sure you want to restart members a, b, c? [y/N]: \
         Restart if the PostgreSQL version is less than provided (e.g. 9.5.2)  []: Success: restart on member a",
        "\nFailed: restart for member b, status code=503, (restart conditions are not satisfied)",
        "\nFailed: restart for member c, no answer (http://127.0.0.1:1/restart: Connection refused",
    ] {
        assert!(words.contains(part), "{part} is not in\n{words}");
    }
}

#[tokio::test]
async fn a_planned_restart_replaces_the_old_plan_when_forced() {
    let b = Member::start(&[
        (200, "scheduled restart deleted"),
        (202, "Restart scheduled"),
    ])
    .await;
    let store = Store::new(view(NOBODY, &b.api_url, NOBODY));
    let line = "restart demo b --force --scheduled 2999-01-01T10:00 --timeout 60 --pending";
    let ran = run(&store, line, "").await;
    assert!(
        ran.ok
            && ran
                .out
                .ends_with("Success: restart scheduled on member b\n"),
        "{ran:?}"
    );
    let body = r#"{"schedule":"2999-01-01T10:00:00+00:00","restart_pending":true,"timeout":"60"}"#;
    assert_eq!(
        b.asked(),
        [
            "DELETE /restart".to_owned(),
            format!("POST /restart {body}")
        ]
    );

    let b = Member::start(&[(409, "Another restart is already scheduled")]).await;
    store.change(|view| {
        view.members
            .get_mut(&name("b"))
            .unwrap()
            .api_url
            .clone_from(&b.api_url);
    });
    let ran = run(
        &store,
        "restart demo b --scheduled 2999-01-01T10:00",
        "y\n\n",
    )
    .await;
    assert!(
        ran.out
            .contains("schedule restart of members b at 2999-01-01 10:00:00+00:00? [y/N]: "),
        "{ran:?}"
    );
    assert!(
        ran.out
            .ends_with("Failed: another restart is already scheduled on member b\n"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn only_members_that_wait_for_a_restart_get_one() {
    let b = Member::start(&[(200, "restarted successfully")]).await;
    let store = Store::new(view(NOBODY, &b.api_url, NOBODY));
    let ran = run(&store, "restart demo --pending --force", "").await;
    assert!(ran.ok && ran.words().is_empty(), "{ran:?}");
    store.change(|view| view.members.get_mut(&name("b")).unwrap().pending_restart = true);
    let ran = run(&store, "restart demo --pending --force", "").await;
    assert_eq!(ran.words(), "Success: restart on member b");
    assert_eq!(b.asked(), [r#"POST /restart {"restart_pending":true}"#]);
}

#[tokio::test]
async fn members_are_chosen_by_role_and_name() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    for (line, names) in [
        ("reload demo", "a, b, c"),
        ("reload demo -r leader", "a"),
        ("reload demo -r primary", "a"),
        ("reload demo -r replica", "b, c"),
        ("reload demo -r standby", "b, c"),
        ("reload demo c", "c"),
    ] {
        let ran = run(&store, line, "n\n").await;
        let question = format!("Are you sure you want to reload members {names}? [y/N]: ");
        assert_eq!(
            (ran.words(), ran.err.as_str()),
            (question, "Error: Aborted reload\n"),
            "{line}"
        );
    }
    for (line, error) in [
        ("reload demo z", "No 'any' among provided members"),
        (
            "reload demo b -r leader",
            "No 'leader' among provided members",
        ),
        (
            "reload demo -r standby-leader",
            "demo cluster doesn't have any members",
        ),
        ("reinit demo a", "No replica among provided members"),
    ] {
        assert_eq!(
            run(&store, line, "").await.err,
            format!("Error: {error}\n"),
            "{line}"
        );
    }
    // a name that is nobody's is told, and stops nothing
    let ran = run(&store, "reload demo a z", "n\n").await;
    assert!(
        ran.err
            .contains(" - WARNING - z is not a member in this role\n"),
        "{ran:?}"
    );
    assert!(ran.words().contains("reload members a?"), "{ran:?}");
    store.change(|view| view.members.clear());
    let ran = run(&store, "restart demo", "").await;
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "Error: demo cluster doesn't have any members\n")
    );
}

#[tokio::test]
async fn a_reload_says_within_what_time() {
    let a = Member::start(&[(202, "reload scheduled")]).await;
    let b = Member::start(&[(200, "nothing changed")]).await;
    let store = Store::new(view(&a.api_url, &b.api_url, NOBODY));
    let ran = run(&store, "reload demo a b --force", "").await;
    assert_eq!(
        ran.words(),
        "Reload request received for member a and will be processed within 10 seconds\n\
         No changes to apply on member b"
    );
}

#[tokio::test]
async fn a_busy_member_is_copied_anew_only_when_that_is_wanted() {
    let b = Member::start(&[
        (503, "restarting after failure already in progress"),
        (200, "reinitialize started"),
    ])
    .await;
    let store = Store::new(view(NOBODY, &b.api_url, NOBODY));
    let ran = run(&store, "reinit demo --from-leader", "b\ny\ny\n").await;
    assert!(ran.ok, "{ran:?}");
    assert_eq!(
        b.asked(),
        [
            r#"POST /reinitialize {"force":false,"from_leader":true}"#,
            r#"POST /reinitialize {"force":true,"from_leader":true}"#
        ]
    );
    assert!(
        ran.words()
            .starts_with("Which member do you want to reinitialize [b, c]? []: Are you sure"),
        "{ran:?}"
    );
    assert!(ran.out.contains("Do you want to cancel it and reinitialize anyway? [y/N]: Success: reinitialize for member b"), "{ran:?}");

    let b = Member::start(&[(503, "Cluster has no leader, can not reinitialize")]).await;
    store.change(|view| {
        view.members
            .get_mut(&name("b"))
            .unwrap()
            .api_url
            .clone_from(&b.api_url);
    });
    let ran = run(&store, "reinit demo b --force", "").await;
    assert!(
        ran.words().starts_with(
            "Failed: reinitialize for member b, status code=503, (Cluster has no leader"
        ),
        "{ran:?}"
    );
}

#[tokio::test]
async fn plans_are_forgotten_over_rest_or_in_the_dcs() {
    let b = Member::start(&[(200, "scheduled restart deleted")]).await;
    let store = Store::new(view(NOBODY, &b.api_url, NOBODY));
    store.change(|view| {
        let plan = json!({"schedule": "2999-01-01T10:00:00+00:00"});
        view.members.get_mut(&name("b")).unwrap().scheduled_restart = Some(plan);
    });
    let ran = run(&store, "flush demo b c restart --force", "").await;
    assert_eq!(
        ran.words(),
        "Success: flush scheduled restart for member b\nNo scheduled restart for member c"
    );

    let ran = run(&store, "flush demo switchover", "").await;
    assert_eq!(ran.out, "No pending scheduled switchover\n");
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    run(
        &store,
        "switchover --force --scheduled 2999-01-01T10:00",
        "",
    )
    .await;
    let ran = run(&store, "flush demo switchover", "").await;
    assert_eq!(ran.out, "Success: scheduled switchover deleted\n");
    assert_eq!(store.view().failover, None);
}

#[tokio::test]
async fn pause_goes_to_the_leader_or_to_whoever_answers() {
    let b = Member::start(&[(200, "{}")]).await;
    let store = Store::new(view(NOBODY, &b.api_url, NOBODY));
    let ran = run(&store, "pause", "").await;
    assert_eq!(ran.out, "Success: cluster management is paused\n");
    assert!(
        ran.err
            .contains(" - WARNING - Member a is not accessible: "),
        "{ran:?}"
    );
    assert_eq!(b.asked(), [r#"PATCH /config {"pause":true}"#]);
    assert_eq!(
        run(&store, "resume", "").await.err,
        "Error: Cluster is not paused\n"
    );

    store.change(|view| view.config.as_mut().unwrap().value = json!({"pause": true}));
    assert_eq!(
        run(&store, "pause", "").await.err,
        "Error: Cluster is already paused\n"
    );
    let a = Member::start(&[(200, "{}")]).await;
    store.change(|view| {
        view.members
            .get_mut(&name("a"))
            .unwrap()
            .api_url
            .clone_from(&a.api_url);
    });
    assert_eq!(
        run(&store, "resume", "").await.out,
        "Success: cluster management is resumed\n"
    );
    assert_eq!(a.asked(), [r#"PATCH /config {"pause":null}"#]);

    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "pause", "").await;
    assert!(
        ran.err
            .ends_with("Error: Can not find accessible cluster member\n"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_version_that_is_none_is_refused_before_anybody_is_asked() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "restart demo --force --pg-version 9.x", "").await;
    assert_eq!(ran.err, "Error: Invalid PostgreSQL version: 9.x\n");
    let ran = run(&store, "restart demo", "now\ny\nx\n").await;
    assert_eq!(ran.err, "Error: Invalid PostgreSQL version: x\n");
}

#[tokio::test]
async fn what_is_flushed_must_be_known() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "flush demo nothing", "").await;
    assert_eq!(
        ran.err,
        "Error: Invalid value for '{restart|switchover}': 'nothing' is not one of 'restart', 'switchover'.\n"
    );
}
