//! A link in the documentation leads somewhere.

use super::files::File;
use super::{caught, obey};

fn broken_links(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        for (number, line) in prose(&file.text) {
            for target in targets(line) {
                if !leads_somewhere(target, file, files) {
                    broken.push(format!(
                        "{}:{number}: {target} leads nowhere; correct the link",
                        file.path
                    ));
                }
            }
        }
    }
    broken
}

/// The numbered lines outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// What `](…)` and `src="…"` point to.
fn targets(line: &str) -> Vec<&str> {
    let markdown = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let html = line.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    markdown.chain(html).collect()
}

fn leads_somewhere(target: &str, from: &File, files: &[File]) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { from.path.clone() } else { resolve(from.folder(), path) };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match files.iter().find(|file| file.path == path) {
        Some(file) if !anchor.is_empty() && file.has_extension("md") => has_heading(file, anchor),
        Some(_) => true,
        // A folder, or a picture, which is no text.
        None => anchor.is_empty() && root.join(&path).exists(),
    }
}

fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Headings are linked by their words in lower case, with dashes between them.
fn has_heading(file: &File, anchor: &str) -> bool {
    prose(&file.text).any(|(_, line)| {
        let title = line.trim_start_matches('#');
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        title.len() < line.len() && slug == anchor
    })
}

#[test]
fn links_lead_somewhere() {
    obey(broken_links);
    let page = |text: &str| {
        broken_links(&[File::new("docs/A.md", text), File::new("README.md", "# Two words, here\n")])
    };
    caught(&page("see [b](B.md)"), "docs/A.md:1: B.md leads nowhere");
    caught(&page("see [b](../README.md#one-word)"), "leads nowhere");
    caught(&page("<img src=\"no.png\">"), "no.png leads nowhere");
    assert_eq!(page("[r](../README.md#two-words-here) [x](https://example.com)"), [""; 0]);
    assert_eq!(page("```\n[b](B.md)\n```"), [""; 0]);
}
