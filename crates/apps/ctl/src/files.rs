//! Reading configuration from disk: one file, or all `*.yml` and `*.yaml` of a folder in the order of their
//! names, each laid over the one before (contract §1.2).

use std::path::Path;

/// The name and text of each file behind `path`.
///
/// # Errors
/// What can not be read and why, or that a folder holds no such file.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = |path: &Path| {
        let bytes = fs_err::read(path).map_err(|error| error.to_string())?;
        let name = path.display().to_string();
        match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = error.as_bytes().get(..good).unwrap_or_default();
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                Err(format!(
                    "{name}:{line}  is not UTF-8; save the file in that encoding"
                ))
            }
        }
    };
    if !path.is_dir() {
        return Ok(vec![text(path)?]);
    }
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(path).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let is_yaml = path
            .extension()
            .is_some_and(|ending| ending == "yml" || ending == "yaml");
        if is_yaml && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(format!(
            "{}: the folder holds no *.yml file",
            path.display()
        ));
    }
    paths.iter().map(|path| text(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_yaml_files_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("20-b.yaml", "b"), ("10-a.yml", "a"), ("30-c.txt", "c")] {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        fs_err::create_dir(folder.path().join("40-d.yml")).unwrap();
        let texts: Vec<String> = read(folder.path())
            .unwrap()
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(texts, ["a", "b"]);
        assert!(read(&folder.path().join("40-d.yml")).is_err());
        assert!(read(&folder.path().join("nothing.yml")).is_err());
        let latin = folder.path().join("latin.yml");
        fs_err::write(&latin, b"scope: a\nname: caf\xe9\n").unwrap();
        let fault = read(&latin).unwrap_err();
        assert!(fault.contains("latin.yml:2  is not UTF-8"), "{fault}");
    }
}
