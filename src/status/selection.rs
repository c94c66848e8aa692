//! The triggers that a query selects, in its order.

use super::{
    convert::{connection_id, replicas, status_of, value},
    list_query::{ListQuery, Sort, StatusFilter},
    model::TriggerStatus,
    snapshot::Snapshot,
};
use crate::sampling::Inspected;

impl Snapshot {
    /// How many triggers a query selects, and those of its page, in its order.
    pub(super) fn page(&self, query: &ListQuery) -> (usize, Vec<&Inspected>) {
        let selected = self.triggers.iter().filter(|found| selects(query, found));
        let mut selected: Vec<&Inspected> = selected.collect();
        selected
            .sort_by(|a, b| (&a.namespace, &a.object, a.id).cmp(&(&b.namespace, &b.object, b.id)));
        match (query.sort, query.descending) {
            (Sort::Object, false) => {}
            (Sort::Object, true) => selected.reverse(),
            (sort, descending) => selected.sort_by(|a, b| {
                let (a, b) = (sort_key(sort, a), sort_key(sort, b));
                match (a, b, descending) {
                    (Some(a), Some(b), false) => a.total_cmp(&b),
                    (Some(a), Some(b), true) => b.total_cmp(&a),
                    // What has no value comes last.
                    (a, b, _) => a.is_none().cmp(&b.is_none()),
                }
            }),
        }
        let first = (query.page - 1).saturating_mul(query.per_page);
        let page = selected.iter().skip(first).take(query.per_page).copied();
        (selected.len(), page.collect())
    }
}

fn selects(query: &ListQuery, found: &Inspected) -> bool {
    let trigger = || found.state.as_ref().ok().map(|bound| &bound.trigger);
    let is_status = |wanted| {
        let status = status_of(found);
        match wanted {
            StatusFilter::Good => status == TriggerStatus::Good,
            StatusFilter::Stale => status == TriggerStatus::Stale,
            StatusFilter::Failing => status == TriggerStatus::Failing,
            StatusFilter::Refused => status == TriggerStatus::Refused,
            StatusFilter::Waiting => status == TriggerStatus::Waiting,
            StatusFilter::Problem => status >= TriggerStatus::Stale,
        }
    };
    let is_backend = |wanted: &String| trigger().is_some_and(|found| found.trigger_type == wanted);
    query
        .namespace
        .as_ref()
        .is_none_or(|wanted| found.namespace == *wanted)
        && query.status.is_none_or(is_status)
        && query.backend.as_ref().is_none_or(is_backend)
        && query
            .connection
            .is_none_or(|wanted| connection_id(found) == Some(wanted))
        && (query.search.is_empty() || matches_search(&query.search, found))
}

/// Every word of a search is in something that a person knows of the trigger.
fn matches_search(search: &str, found: &Inspected) -> bool {
    let mut text = format!("{}/{}", found.namespace, found.object);
    match &found.state {
        Ok(bound) => {
            let (trigger, name) = (&bound.trigger, bound.trigger.connection());
            let named = name.named.unwrap_or_default();
            text += &format!(
                " {} {} {} {named} {}",
                trigger.metric_name,
                trigger.trigger_type,
                name.address,
                trigger.measures()
            );
        }
        Err(refused) => text += refused.error.what(),
    }
    let text = text.to_lowercase();
    let search = search.to_lowercase();
    search.split_whitespace().all(|word| text.contains(word))
}

fn sort_key(sort: Sort, found: &Inspected) -> Option<f64> {
    match sort {
        Sort::Object => None,
        Sort::Value => value(found),
        Sort::Replicas => replicas(found),
        Sort::Age => {
            let last = found.state.as_ref().ok()?.last.as_ref()?;
            Some(last.age.as_secs_f64())
        }
        Sort::Status => Some(f64::from(status_of(found) as u8)),
    }
}
