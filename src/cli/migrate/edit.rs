//! The changes of one trigger's text.

use super::{
    plan::Fate,
    rewrite::Migrator,
    site::{Outcome, REFERENCE, Site},
};
use crate::manifests::{Edits, Object, Refused, Scaled};

impl Migrator<'_> {
    /// Adds the changes of a trigger that moves.
    pub fn edit(
        &self,
        site: &Site<'_>,
        outcome: &Outcome,
        connection: Option<&str>,
        edits: &mut Edits<'_>,
    ) -> Result<(), Refused> {
        let (node, fates) = (site.node(), &outcome.fates);
        let missing = Refused {
            at: node.span().start,
            reason: "has no entry of its own for what changes",
        };
        let type_node = node.get("type").ok_or(missing.clone())?;
        edits.replace_scalar(type_node, self.new_type(site.object))?;
        let metadata = node.get("metadata").ok_or(missing)?;
        let mut first = vec![
            (
                "scalerAddress".to_owned(),
                self.options.scaler_address.clone(),
            ),
            ("backend".to_owned(), site.scaler.name.to_owned()),
        ];
        if self.options.tls().is_some() {
            first.push(("enableTLS".to_owned(), "true".to_owned()));
        }
        first.extend(connection.map(|name| ("connection".to_owned(), name.to_owned())));
        let goes = |(_, fate): &&(String, Fate)| matches!(fate, Fate::Goes(_) | Fate::ToConnection);
        let removed: Vec<String> = fates
            .iter()
            .filter(goes)
            .map(|(key, _)| key.clone())
            .collect();
        edits.put_first(node, "metadata", &first, &removed)?;
        if outcome.reference_goes.is_some() {
            edits.remove(node, REFERENCE)?;
        }
        for (key, fate) in fates {
            if let Fate::Becomes {
                key: new, value, ..
            } = fate
            {
                if let (Some(text), Some(value)) = (metadata.get(key), value) {
                    edits.replace_scalar(text, value)?;
                }
                edits.rename(metadata, key, new)?;
            }
        }
        Ok(())
    }

    fn new_type(&self, object: &Object<'_>) -> &'static str {
        match self.options.push && object.scaled == Scaled::Object {
            true => "external-push",
            false => "external",
        }
    }
}
