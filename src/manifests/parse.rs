//! Text → trees, from the events of the parser that the settings are read with as well.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use serde_saphyr::granit_parser::{
    Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag as WrittenTag, options,
};

use super::{
    document::Unreadable,
    tree::{Kind, Node, NodeId, Style, Tag, Tree},
};

/// A dump of a whole cluster is one document. The depth is limited by the parser, to 255 of each style.
const MOST_NODES: usize = 10_000_000;

/// Reads one document of a file: `range` of its text. `None`: it holds nothing.
pub fn parse(text: &str, range: Range<usize>) -> Result<Option<Tree>, Unreadable> {
    let part = &text[range.clone()];
    let mut options = options! {
        emit_anchor_events: false,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        text,
        offset: range.start,
        nodes: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
    };
    for event in Parser::new_from_str_with_options(part, options) {
        let (event, span) = event.map_err(|error| unreadable(&error, range.start))?;
        builder.event(event, span)?;
    }
    let Builder { nodes, root, .. } = builder;
    Ok(root.map(|root| Tree { nodes, root }))
}

fn unreadable(error: &ScanError, offset: usize) -> Unreadable {
    let at = error.marker().byte_offset().unwrap_or_default();
    Unreadable {
        at: offset + at,
        // The library's texts hold nothing of the document but a character.
        reason: format!("not valid YAML: {}", error.kind()),
    }
}

struct Builder<'a> {
    text: &'a str,
    offset: usize,
    nodes: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    root: Option<NodeId>,
}

/// A collection whose end has not come.
struct Open {
    id: NodeId,
    /// Of a mapping, a key whose value has not come.
    key: Option<NodeId>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let range = self.range(&span);
        match event {
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).copied();
                let is_open = |id| self.open.iter().any(|open| open.id == id);
                let target = target
                    .filter(|id| !is_open(*id))
                    .ok_or_else(|| bad(range.start, "an alias is part of what it refers to"))?;
                self.add(range, Kind::Alias(target), 0, None)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let range = self.without_space_behind(range);
                // The library writes `~` for a value that is not there.
                let is_missing = range.is_empty() && style == ScalarStyle::Plain;
                let text = if is_missing { "".into() } else { text };
                let range = if is_missing {
                    self.behind_colon(range)
                } else {
                    range
                };
                let kind = Kind::Scalar {
                    text: text.into(),
                    style: style_of(style),
                };
                self.add(range, kind, anchor, tag.as_deref())?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let kind = Kind::Sequence {
                    items: Vec::new(),
                    flow: style == StructureStyle::Flow,
                };
                self.begin(range, kind, anchor, tag.as_deref())?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = Kind::Mapping {
                    entries: Vec::new(),
                    flow: style == StructureStyle::Flow,
                };
                self.begin(range, kind, anchor, tag.as_deref())?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(range)?,
            _ => {}
        }
        Ok(())
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or_default();
        self.offset + range.start..self.offset + range.end
    }

    /// A plain scalar of several lines and a block scalar end at the last of their characters.
    fn without_space_behind(&self, range: Range<usize>) -> Range<usize> {
        let length = self.text[range.clone()].trim_end().len();
        if length > 0 {
            return range.start..range.start + length;
        }
        // Of nothing, the parser says where it noticed: perhaps on a later line.
        let before = self.text[..range.start].trim_end_matches([' ', '\t']);
        match before.ends_with('\n') {
            true => before.trim_end().len()..before.trim_end().len(),
            false => range.start..range.start,
        }
    }

    /// Where the value of a key would be, of which the parser says where the key ends.
    fn behind_colon(&self, range: Range<usize>) -> Range<usize> {
        let rest = &self.text[range.start..];
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let at = match rest[spaces..].starts_with(':') {
            true => range.start + spaces + 1,
            false => range.start,
        };
        at..at
    }

    fn begin(
        &mut self,
        range: Range<usize>,
        kind: Kind,
        anchor: usize,
        tag: Option<&WrittenTag>,
    ) -> Result<(), Unreadable> {
        let id = self.add(range, kind, anchor, tag)?;
        self.open.push(Open { id, key: None });
        Ok(())
    }

    fn end(&mut self, range: Range<usize>) -> Result<(), Unreadable> {
        let Some(Open { id, .. }) = self.open.pop() else {
            return Ok(());
        };
        let node = &self.nodes[id.0 as usize];
        let last = match &node.kind {
            Kind::Sequence { items, flow: false } => items.last().copied(),
            Kind::Mapping { entries, flow } => {
                self.check_keys(entries)?;
                entries.last().map(|(_, value)| *value).filter(|_| !flow)
            }
            _ => None,
        };
        let is_block = matches!(
            node.kind,
            Kind::Sequence { flow: false, .. } | Kind::Mapping { flow: false, .. }
        );
        // The end of a block is noticed only at what comes after it.
        let end = match (is_block, last) {
            (false, _) => range.end,
            (true, Some(last)) => self.nodes[last.0 as usize].span.end,
            (true, None) => node.span.end,
        };
        let node = &mut self.nodes[id.0 as usize];
        node.span.end = end.max(node.span.start);
        Ok(())
    }

    fn check_keys(&self, entries: &[(NodeId, NodeId)]) -> Result<(), Unreadable> {
        let mut seen = HashSet::new();
        for (key, _) in entries {
            let node = &self.nodes[key.0 as usize];
            let resolved = match node.kind {
                Kind::Alias(id) => &self.nodes[id.0 as usize],
                _ => node,
            };
            let Kind::Scalar { text, style } = &resolved.kind else {
                return Err(bad(node.span.start, "a key is a map or a list"));
            };
            let is_merge = &**text == "<<" && *style == Style::Plain;
            if !seen.insert(text) && !is_merge {
                return Err(bad(node.span.start, "duplicate mapping key"));
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        span: Range<usize>,
        kind: Kind,
        anchor: usize,
        tag: Option<&WrittenTag>,
    ) -> Result<NodeId, Unreadable> {
        let at = span.start;
        if self.nodes.len() == MOST_NODES {
            let reason = format!("has more than {MOST_NODES} values; split the file");
            return Err(Unreadable { at, reason });
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node {
            span,
            kind,
            anchored: anchor != 0,
            tag: tag.map(tag_of),
        });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.attach(id, at)?;
        Ok(id)
    }

    /// Puts a new node into the innermost open collection.
    fn attach(&mut self, id: NodeId, at: usize) -> Result<(), Unreadable> {
        let Some(open) = self.open.last_mut() else {
            if self.root.replace(id).is_some() {
                return Err(bad(at, "a second document begins without `---`"));
            }
            return Ok(());
        };
        match &mut self.nodes[open.id.0 as usize].kind {
            Kind::Sequence { items, .. } => items.push(id),
            Kind::Mapping { entries, .. } => match open.key.take() {
                Some(key) => entries.push((key, id)),
                None => open.key = Some(id),
            },
            _ => {}
        }
        Ok(())
    }
}

fn bad(at: usize, reason: &str) -> Unreadable {
    Unreadable {
        at,
        reason: format!("not valid YAML: {reason}"),
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

fn tag_of(tag: &WrittenTag) -> Tag {
    match tag.core_suffix() {
        Some("str") => Tag::Str,
        Some("int") => Tag::Int,
        Some("float") => Tag::Float,
        Some("bool") => Tag::Bool,
        Some("null") => Tag::Null,
        _ => Tag::Other,
    }
}
