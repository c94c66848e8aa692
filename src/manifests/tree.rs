//! A document as a tree whose every node knows its bytes in the file.

use std::ops::Range;

/// The nodes of one document.
pub struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub u32);

/// No `Debug`: the text may be a secret.
pub(super) struct Node {
    pub span: Range<usize>,
    pub kind: Kind,
    /// It has an anchor, which aliases may refer to.
    pub anchored: bool,
    pub tag: Option<Tag>,
}

pub(super) enum Kind {
    Scalar {
        text: Box<str>,
        style: Style,
    },
    Sequence {
        items: Vec<NodeId>,
        flow: bool,
    },
    Mapping {
        entries: Vec<(NodeId, NodeId)>,
        flow: bool,
    },
    /// The node of an anchor that stands before it.
    Alias(NodeId),
}

/// What a tag says of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Str,
    Int,
    Float,
    Bool,
    Null,
    /// One that Kubernetes does not know.
    Other,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|` or `>`. Its bytes are those of its lines, without that sign.
    Block,
}

/// A node of a tree.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    pub(super) tree: &'a Tree,
    pub(super) id: NodeId,
}

/// How many mappings are looked at for one key that `<<` may merge: a few lines of them can lead to
/// each other a billion times.
const MERGES: usize = 64;

impl Tree {
    /// The document's own node.
    pub fn root(&self) -> NodeRef<'_> {
        NodeRef {
            tree: self,
            id: self.root,
        }
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl<'a> NodeRef<'a> {
    pub(super) fn node(self) -> &'a Node {
        &self.tree.nodes[self.id.0 as usize]
    }

    pub(super) fn at(self, id: NodeId) -> Self {
        NodeRef { id, ..self }
    }

    /// Its bytes in the file; of an alias, those of the alias.
    pub fn span(self) -> Range<usize> {
        self.node().span.clone()
    }

    /// What an alias refers to; other nodes are themselves.
    pub fn resolved(self) -> Self {
        match self.node().kind {
            // An alias refers to a node that is no alias itself.
            Kind::Alias(id) => self.at(id),
            _ => self,
        }
    }

    /// It is written elsewhere, or what is written here is used elsewhere as well.
    pub fn is_shared(self) -> bool {
        self.node().anchored || matches!(self.node().kind, Kind::Alias(_))
    }

    /// The text of a scalar, as it is after quotes and escapes.
    pub fn text(self) -> Option<&'a str> {
        match &self.resolved().node().kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// How a scalar is written.
    pub fn style(self) -> Option<Style> {
        match self.resolved().node().kind {
            Kind::Scalar { style, .. } => Some(style),
            _ => None,
        }
    }

    /// The items of a sequence; others have none.
    pub fn items(self) -> impl ExactSizeIterator<Item = NodeRef<'a>> {
        let items = match &self.resolved().node().kind {
            Kind::Sequence { items, .. } => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |id| self.at(*id))
    }

    /// The entries of a mapping as they are written, `<<` among them; others have none.
    pub fn entries(self) -> impl ExactSizeIterator<Item = (NodeRef<'a>, NodeRef<'a>)> {
        let entries = match &self.resolved().node().kind {
            Kind::Mapping { entries, .. } => entries.as_slice(),
            _ => &[],
        };
        entries
            .iter()
            .map(move |(key, value)| (self.at(*key), self.at(*value)))
    }

    /// Whether it is a mapping.
    pub fn is_mapping(self) -> bool {
        matches!(self.resolved().node().kind, Kind::Mapping { .. })
    }

    /// The key and the value of an entry, which may be merged from elsewhere by `<<`.
    pub fn entry(self, name: &str) -> Option<(NodeRef<'a>, NodeRef<'a>)> {
        self.entry_within(name, &mut { MERGES })
    }

    /// The value of an entry.
    pub fn get(self, name: &str) -> Option<NodeRef<'a>> {
        self.entry(name).map(|(_, value)| value)
    }

    fn entry_within(self, name: &str, merges: &mut usize) -> Option<(NodeRef<'a>, NodeRef<'a>)> {
        let own = self.entries().find(|(key, _)| key.text() == Some(name));
        if own.is_some() {
            return own;
        }
        *merges = merges.checked_sub(1)?;
        let merged = self.entries().filter(|(key, _)| key.is_merge());
        let mut sources = merged.flat_map(|(_, value)| value.merge_sources());
        sources.find_map(|source| source.entry_within(name, merges))
    }

    /// Whether it is the key `<<`, which merges another mapping into its own.
    pub fn is_merge(self) -> bool {
        self.text() == Some("<<") && self.style() == Some(Style::Plain)
    }

    /// The mappings that the value of `<<` stands for, those that come first winning.
    pub(super) fn merge_sources(self) -> Vec<NodeRef<'a>> {
        match self.is_mapping() {
            true => vec![self],
            false => self.items().filter(|item| item.is_mapping()).collect(),
        }
    }

    /// The text of an entry that is a scalar.
    pub fn text_of(self, name: &str) -> Option<&'a str> {
        self.get(name)?.text()
    }

    /// Whether it is written between braces or brackets.
    pub(super) fn is_flow(self) -> bool {
        match self.node().kind {
            Kind::Sequence { flow, .. } | Kind::Mapping { flow, .. } => flow,
            _ => false,
        }
    }
}
