//! Every row of the table of keys: what fits is taken and has an effect where the row says so, what does not fit is
//! told with file, line, key, value and what is allowed, variables count like the file, and defaults are in force.

#[cfg(test)]
mod samples;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod told;
#[cfg(test)]
mod world;

use pgherd_settings::keys::{Kind, Origin, Scope};
use pgherd_settings::{Fault, validate_dynamic, variables};
use serde_json::{Value, json};

use samples::{fitting, unfitting};
use told::{assert_one_fault, says};
use world::{World, assert_nothing_new_is_told, only, outermost, rows};

#[test]
fn what_fits_is_taken_in_silence_and_has_its_effect() {
    let mut taken = 0;
    for (key, path) in rows() {
        let Some(values) = fitting(key) else { continue };
        let before = World::of(&path).good();
        for value in &values {
            let mut worlds = Vec::new();
            if key.scope != Scope::Dynamic {
                worlds.push(World::of(&path).with_file(&path, value));
            }
            if key.scope != Scope::Local {
                worlds.push(World::of(&path).with_dynamic(&path, value));
            }
            for world in worlds {
                let told = world.good();
                assert_nothing_new_is_told(&told, &before, &path);
                let counts = told.settings != before.settings;
                let is_first = value == &values[0];
                assert!(
                    counts || !is_first || key.origin == Origin::Accepted,
                    "{path}: {value}"
                );
                taken += 1;
            }
        }
    }
    assert!(taken > 350, "{taken}");
}

#[test]
fn of_two_layers_the_file_counts_and_where_a_key_has_no_effect_it_is_told() {
    for (key, path) in rows() {
        let Some([one, other]) = fitting(key) else {
            continue;
        };
        match key.scope {
            Scope::Both if path != "pgherd.allow_short_ttl" => {
                let alone = World::of(&path).with_file(&path, &one).good();
                let world = World::of(&path).with_file(&path, &one);
                let both = world.with_dynamic(&path, &other).good();
                assert_eq!(both.settings, alone.settings, "{path}");
            }
            Scope::Both => {}
            Scope::Dynamic => {
                let told = World::of(&path).with_file(&path, &one).good();
                assert_eq!(told.settings, World::of(&path).good().settings, "{path}");
                let told_of = outermost(&path, Scope::Dynamic);
                let warning = told.warnings.iter().find(|odd| odd.path == told_of);
                let warning = warning.unwrap_or_else(|| panic!("{path}: {:?}", told.warnings));
                let line = told_of.matches('.').count() + 1;
                assert_eq!(
                    warning.to_string(),
                    format!(
                        "more.yml:{line}  {told_of}: has no effect here, only in the DCS; set it with `patronictl \
                         edit-config`, for a new cluster under `bootstrap.dcs`"
                    )
                );
            }
            Scope::Local => {
                let told = World::of(&path).with_dynamic(&path, &one).good();
                assert_eq!(told.settings, World::of(&path).good().settings, "{path}");
                let told_of = outermost(&path, Scope::Local);
                let warnings = validate_dynamic(&only(&path, one)).unwrap();
                let shown: Vec<String> = warnings.iter().map(Fault::to_string).collect();
                assert_eq!(
                    shown,
                    [format!(
                        "/config  {told_of}: has no effect here; it belongs into each member's own file"
                    )]
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_one_fault_with_file_line_key_value_and_what_is_allowed() {
    let mut told = 0;
    for (key, path) in rows() {
        let before = World::of(&path).good();
        for (number, value) in unfitting(key).into_iter().enumerate() {
            if key.scope != Scope::Dynamic {
                let world = World::of(&path).with_file(&path, &value);
                assert_one_fault(key, &path, &value, &world, "more.yml");
                told += 1;
            }
            if key.scope != Scope::Local {
                if number == 0 {
                    let inside = format!("bootstrap.dcs.{path}");
                    let world = World::of(&inside).with_file(&inside, &value);
                    assert_one_fault(key, &inside, &value, &world, "more.yml");
                }

                let faults = validate_dynamic(&only(&path, value.clone())).unwrap_err().0;
                assert_eq!(faults.len(), 1, "{path}: {value}: {faults:?}");
                assert!(says(key, &value, &faults[0].problem), "{}", faults[0]);
                let shown = faults[0].to_string();
                assert!(shown.starts_with(&format!("/config  {path}")), "{shown}");
                // in force already, it is told, and the rest counts
                let dynamic = World::of(&path).with_dynamic(&path, &value).dynamic;
                let (settings, warnings) = before.local.effective(Some(&dynamic));
                assert!(!warnings.is_empty(), "{path}: {value}");
                let is_section = matches!(key.kind, Kind::Section);
                assert!(is_section || settings == before.settings, "{path}: {value}");
                told += 2;
            }
        }
    }
    assert!(told > 900, "{told}");
}

/// A value as a variable has it.
fn text_of(value: &Value) -> String {
    let items = |items: &[Value]| {
        let texts: Vec<String> = items.iter().map(text_of).collect();
        texts.join(", ")
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => items(list),
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(name, inner)| format!("{name}: {}", text_of(inner)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[test]
fn every_variable_counts_like_the_file_and_wins_over_it() {
    let all = variables();
    assert!(all.len() > 90, "{}", all.len());
    for (variable, key) in all {
        let user = variable
            .split('_')
            .nth(1)
            .unwrap_or_default()
            .to_lowercase();
        let path = key.path.replace('*', &user);
        let Some([one, other]) = fitting(key) else {
            panic!("{variable} sets a key without a sample")
        };
        let by_file = World::of(&path).with_file(&path, &one).good();
        let by_variable = World::of(&path)
            .with_variable(&variable, &text_of(&one))
            .good();
        assert_eq!(by_variable.settings, by_file.settings, "{variable}");
        let world = World::of(&path).with_file(&path, &other);
        let over_file = world.with_variable(&variable, &text_of(&one)).good();
        assert_eq!(
            over_file.settings, by_file.settings,
            "{variable} over a file"
        );
        let empty = World::of(&path)
            .with_file(&path, &one)
            .with_variable(&variable, "");
        assert_eq!(empty.good().settings, by_file.settings, "empty {variable}");

        for wrong in unfitting(key).iter().filter(|wrong| wrong.is_string()) {
            let Err(faults) = World::of(&path)
                .with_variable(&variable, &text_of(wrong))
                .load()
            else {
                // an empty variable is none, a text is a list of one, and a name alone a mapping of it to nothing
                let names_alone = matches!(key.kind, Kind::Texts | Kind::Mapping);
                let taken = wrong == "" || names_alone || key.kind == Kind::List;
                assert!(taken, "{variable}={wrong}");
                continue;
            };
            let shown = faults.to_string();
            assert!(shown.contains(&format!("{variable}  {path}: ")), "{shown}");
        }
    }
}

#[test]
fn every_default_of_the_table_is_in_force_when_nothing_is_given() {
    let mut defaults = 0;
    for (key, path) in rows().filter(|(key, _)| !key.default.is_empty()) {
        let mut before = World::of(&path).good();
        let default = json!(key.default);
        let given = match key.scope {
            Scope::Dynamic => World::of(&path).with_dynamic(&path, &default),
            Scope::Local | Scope::Both => World::of(&path).with_file(&path, &default),
        };
        let mut told = given.good();
        assert_nothing_new_is_told(&told, &before, &path);
        // a priority is published when it is given, whatever it is
        for settings in [&mut before.settings, &mut told.settings] {
            settings.changing.tags.published.clear();
            // and what is given of the first `/config` is written there
            settings.fixed.bootstrap.dcs.clear();
        }
        assert_eq!(told.settings, before.settings, "{path}: {default}");
        defaults += 1;
    }
    assert!(defaults > 70, "{defaults}");
}
