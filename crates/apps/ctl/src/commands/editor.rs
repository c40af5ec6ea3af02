//! Programs of the operator's choice: an editor for the configuration, a pager for its difference.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::screen::Screen;

/// The shell's answer for a program that is not there.
const NOT_FOUND: i32 = 127;

/// Lets the operator edit a text: `$EDITOR`, else `editor`, else `vi`.
pub(super) fn edit(text: &str) -> Result<String, Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| Failure::Io { what, source }
    };
    let mut file = tempfile::Builder::new()
        .prefix("pgherd-config-")
        .suffix(".yaml")
        .tempfile()
        .map_err(failed("make a file to edit"))?;
    file.write_all(text.as_bytes())
        .map_err(failed("write the file to edit"))?;
    file.flush().map_err(failed("write the file to edit"))?;
    let editor = std::env::var("EDITOR")
        .ok()
        .filter(|editor| !editor.is_empty());
    let is_set = editor.is_some();
    let editor = editor
        .as_deref()
        .unwrap_or("$(command -v editor || command -v vi || echo vi)");
    // the shell splits what stands in $EDITOR, such as `code --wait`
    let ended = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status()
        .map_err(failed("start the editor"))?;
    if !ended.success() {
        return Err(Failure::Refused(match ended.code() {
            Some(NOT_FOUND) if !is_set => {
                "EDITOR environment variable is not set. editor or vi are not available; \
                 set EDITOR, or use --set, --pg or --apply"
                    .to_owned()
            }
            Some(code) => format!("Editor exited with return code {code}"),
            None => format!("the editor was ended by a {ended}"),
        }));
    }
    fs_err::read_to_string(file.path()).map_err(failed("read the edited file"))
}

/// Shows a difference: in colours through `$PAGER`, else `less`, on a terminal; else as it is.
pub(super) fn page(text: &str, screen: &mut Screen) -> Result<(), Failure> {
    if !screen.is_terminal {
        return screen.print(text);
    }
    let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // see no-color.org
    let text = match get("NO_COLOR") {
        Some(_) => text.to_owned(),
        None => coloured(text),
    };
    let pager = get("PAGER").unwrap_or_else(|| "less -F -R -X".to_owned());
    match through(&pager, &text) {
        Some(()) => Ok(()),
        None => screen.print(&text),
    }
}

/// What is added in green, what is gone in red.
fn coloured(difference: &str) -> String {
    let colour = |line: &str| match line.as_bytes().first() {
        Some(b'+') => "\x1b[32m",
        Some(b'-') => "\x1b[31m",
        Some(b'@') => "\x1b[36m",
        _ => "",
    };
    difference
        .lines()
        .map(|line| match colour(line) {
            "" => format!("{line}\n"),
            colour => format!("{colour}{line}\x1b[0m\n"),
        })
        .collect()
}

/// `None` when there is no such pager or it failed.
fn through(pager: &str, text: &str) -> Option<()> {
    let mut pager = Command::new("sh")
        .args(["-c", pager])
        .stdin(Stdio::piped())
        .spawn()
        .ok()?;
    // it may be left before it has read everything
    pager.stdin.take()?.write_all(text.as_bytes()).ok();
    pager.wait().ok()?.success().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_have_colours_and_the_rest_has_none() {
        assert_eq!(
            coloured("@@ -1 +1 @@\n a\n-b\n+c\n"),
            "\x1b[36m@@ -1 +1 @@\x1b[0m\n a\n\x1b[31m-b\x1b[0m\n\x1b[32m+c\x1b[0m\n"
        );
    }

    #[test]
    fn a_pager_that_is_not_there_is_no_failure() {
        assert_eq!(through("exit 1", "text"), None);
        assert_eq!(through("cat >/dev/null", "text"), Some(()));
    }
}
