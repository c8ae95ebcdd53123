//! One page: its files and commands, as they stand there.

use std::fs;

/// Where the pages are.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/recipes");

/// What can be taken from a page.
pub(crate) struct Page {
    /// Name and text of each file: ```` ```python title=app.py ````.
    pub(crate) files: Vec<(String, String)>,
    /// What has to be done once: ```` ```sh setup ````.
    pub(crate) setup: Vec<String>,
    /// What starts it: ```` ```sh command ````.
    pub(crate) command: String,
    /// What says its version: ```` ```sh version ````.
    pub(crate) version: String,
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(format!("{FOLDER}/{name}.md"));
        let text = text.unwrap_or_else(|error| panic!("{name}.md: {error}"));
        let mut page = Self {
            files: Vec::new(),
            setup: Vec::new(),
            command: String::new(),
            version: String::new(),
        };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                continue;
            };
            let block: String = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .map(|line| format!("{line}\n"))
                .collect();
            match info.split_once(' ') {
                Some((_, "setup")) => page.setup.push(block),
                Some((_, "command")) => page.command = block,
                Some((_, "version")) => page.version = block,
                Some((_, title)) => {
                    let title = title.strip_prefix("title=").unwrap_or_else(|| {
                        panic!("{name}.md: what is to be done with the block {info:?}?")
                    });
                    page.files.push((title.to_owned(), block));
                }
                None => panic!("{name}.md: what is to be done with the block {info:?}?"),
            }
        }
        assert!(!page.command.is_empty(), "{name}.md: no command");
        assert!(!page.version.is_empty(), "{name}.md: no version");
        page
    }

    /// Replaces a text wherever it stands.
    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        let texts = self.files.iter_mut().map(|(_, text)| text);
        let texts = texts.chain(&mut self.setup);
        for text in texts.chain([&mut self.command, &mut self.version]) {
            *text = text.replace(from, to);
        }
    }
}
