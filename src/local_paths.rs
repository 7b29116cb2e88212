//! The folders of this machine, taken out of what stands in reports and exports: those go to people who have no business with how
//! a server is laid out, and are the same wherever the program runs.

use std::path::Path;

/// Folders that the configuration names, and the keys that name them.
#[derive(Debug, Clone, Default)]
pub struct LocalPaths(Vec<(String, &'static str)>);

impl LocalPaths {
    /// Also takes out this folder, which `key` names.
    pub fn add(&mut self, path: &Path, key: &'static str) {
        let path = path.to_string_lossy().trim_end_matches('/').to_owned();
        // `/` and `.` alone are in too many words.
        if path.len() > 1 {
            self.0.push((path, key));
            // The folder within another one comes first.
            self.0.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
    }

    /// The text with the key in the place of each folder.
    pub fn taken_out(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (path, key)| text.replace(path.as_str(), key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_for_folders() {
        let mut paths = LocalPaths::default();
        paths.add(Path::new("/var/lib/archiver/"), "mailbox.path");
        paths.add(Path::new("/var/lib/archiver/staging"), "staging.path");
        paths.add(Path::new("/"), "source.path");
        let text = "can't read /var/lib/archiver/staging/windows/x, nor /var/lib/archiver: no such file";
        assert_eq!(paths.taken_out(text), "can't read staging.path/windows/x, nor mailbox.path: no such file");
        assert_eq!(LocalPaths::default().taken_out(text), text);
    }
}
