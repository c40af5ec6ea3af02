//! `show-config` and `edit-config`.

use pgherd_api::{config, diff, yaml};
use pgherd_ports::{Condition, Key, Written};
use pgherd_settings::{patch, read_yaml, validate_dynamic};
use serde_json::Value;

use super::editor;
use super::standby::refuse_itself;
use crate::args::{EditConfig, ShowConfig};
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;

/// `show-config`
pub(super) async fn show(
    args: &ShowConfig,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let view = session.own_cluster(args.cluster.as_deref())?.load().await?;
    match view.config {
        Some(config) => screen.say(&yaml::block(&config.value)),
        None => Ok(()),
    }
}

/// `edit-config`
pub(super) async fn edit(
    args: &EditConfig,
    session: &Session,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let cluster = session.own_cluster(args.cluster.as_deref())?;
    let view = cluster.load().await?;
    let Some(before) = view.config.clone() else {
        return Err(Failure::Refused(format!(
            "The config key does not exist in the cluster {}",
            cluster.name
        )));
    };
    let after = changed(args, &before.value, screen)?;
    if after == before.value {
        return if args.quiet {
            Ok(())
        } else {
            screen.say("Not changed")
        };
    }
    if !args.quiet {
        let difference = diff::unified(&yaml::block(&before.value), &yaml::block(&after));
        editor::page(&difference, screen)?;
    }
    check(&after, screen)?;
    let section = |config: &Value| config.get("standby_cluster").cloned();
    if let Some(section) =
        section(&after).filter(|new| section(&before.value).as_ref() != Some(new))
    {
        refuse_itself(&view, &section)?;
    }
    let from_input = [&args.apply, &args.replace]
        .into_iter()
        .flatten()
        .any(|file| file == "-");
    if !args.force && from_input {
        return screen.say("Use --force option to apply changes");
    }
    if !args.force && !screen.confirm("Apply these changes?")? {
        return Ok(());
    }
    let condition = Condition::unchanged(Some(before.revision));
    match cluster
        .dcs
        .put(&Key::Config, &after.to_string(), condition)
        .await
    {
        Ok(Written::Done(_)) => screen.say("Configuration changed"),
        Ok(Written::Refused) => Err(Failure::refused(
            "Config modification aborted due to concurrent changes",
        )),
        Err(source) => Err(Failure::Dcs {
            what: "write the configuration",
            source,
        }),
    }
}

/// The configuration with every change that is asked for: files first, then single values.
fn changed(args: &EditConfig, before: &Value, screen: &mut Screen) -> Result<Value, Failure> {
    let is_given = args.replace.is_some()
        || args.apply.is_some()
        || !args.set.is_empty()
        || !args.pg.is_empty();
    if !is_given {
        return editor::edit(&yaml::block(before))
            .and_then(|text| mapping(&text, "the edited text"));
    }
    let mut after = match &args.replace {
        Some(file) => document(file, screen)?,
        None => before.clone(),
    };
    if let Some(file) = &args.apply {
        patch(&mut after, document(file, screen)?);
    }
    let parameters = args
        .pg
        .iter()
        .map(|given| format!("postgresql.parameters.{given}"));
    for given in args.set.iter().cloned().chain(parameters) {
        let refused = |error: config::NotAnAssignment| Failure::Refused(error.to_string());
        let (path, text) = config::assignment(&given).map_err(refused)?;
        let value = read_yaml(text).map_err(|why| Failure::Refused(format!("{given}: {why}")))?;
        if let Some(map) = after.as_object_mut() {
            config::set(map, &path, value).map_err(refused)?;
        }
    }
    Ok(after)
}

/// The mapping in a YAML file; `-` is standard input.
fn document(file: &str, screen: &mut Screen) -> Result<Value, Failure> {
    let text = if file == "-" {
        screen.rest()?
    } else {
        let what = format!("read {file}");
        fs_err::read_to_string(file).map_err(|source| Failure::Io { what, source })?
    };
    mapping(&text, file)
}

fn mapping(text: &str, from: &str) -> Result<Value, Failure> {
    match read_yaml(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::Refused(format!(
            "{from} holds no mapping of keys to values"
        ))),
        Err(why) => Err(Failure::Refused(format!("{from}: {why}"))),
    }
}

/// Refuses what the members could not work with; says what they would warn of.
fn check(config: &Value, screen: &mut Screen) -> Result<(), Failure> {
    for warning in validate_dynamic(config)? {
        screen.warn(&warning.to_string());
    }
    Ok(())
}
