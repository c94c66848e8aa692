//! The status page.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::invalid;
use crate::{error::Result, metadata::values::Span};

/// The status page.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AdminSettings {
    /// How long the values of each trigger are kept for the status page, at most `24h`; `0`: not at
    /// all. With `1h` or less they take two thirds of the memory.
    pub history: Span,
}

/// What a trigger's history is made for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for AdminSettings {
    fn default() -> Self {
        AdminSettings {
            history: Span(LONGEST),
        }
    }
}

impl AdminSettings {
    /// How long values are kept, checked.
    pub fn history(&self) -> Result<Duration> {
        let Span(history) = self.history;
        match history <= LONGEST {
            true => Ok(history),
            false => Err(invalid("admin.history", "must be at most 24h")),
        }
    }
}
