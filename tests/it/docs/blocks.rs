//! The fenced blocks of all pages.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A fenced block.
pub struct Block {
    page: PathBuf,
    line: usize,
    pub language: String,
    /// Without the indentation that all its lines share.
    pub text: String,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.page.display(), self.line)
    }
}

/// Every block of this language.
pub fn blocks(language: &str) -> Vec<Block> {
    let all = super::pages().into_iter().flat_map(|page| of_page(&page));
    all.filter(|block| block.language == language).collect()
}

#[test]
fn every_block_has_a_language_that_is_checked() {
    for page in super::pages() {
        for block in of_page(&page) {
            // Output of programs, and what no program reads, have none.
            let known = ["sh", "console", "yaml", "text", ""];
            let language = block.language.as_str();
            assert!(known.contains(&language), "{block}: {language}");
        }
    }
}

fn of_page(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(language), None) => {
                open = Some(Block {
                    page: page.to_owned(),
                    line: number + 1,
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => found.extend(open.take().map(dedented)),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block without an end", page.display());
    found
}

fn dedented(mut block: Block) -> Block {
    let lines = || block.text.lines().filter(|line| !line.trim().is_empty());
    let indents = lines().map(|line| line.len() - line.trim_start().len());
    let indent = indents.min().unwrap_or(0);
    let text = block
        .text
        .lines()
        .map(|line| line.get(indent..).unwrap_or(""));
    block.text = text.map(|line| format!("{line}\n")).collect();
    block
}
