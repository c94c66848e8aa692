//! Which triggers to show, and in which order: what stands behind `?` in an address, so that a view
//! can be sent to a colleague.

use crate::{
    error::{Error, Kind, Result},
    metadata::schema::nearest,
};

use super::{id_text, parse_id};

/// Triggers of one page, if the query does not say otherwise.
const PER_PAGE: usize = 100;
/// The most of one page, however many the query wants: a page is sent as one piece.
const MOST_PER_PAGE: usize = 1_000;
/// Longer texts match nothing that has a name.
pub const LONGEST_SEARCH: usize = 300;

/// What a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// In namespace, object, metric, connection or query, in any case of letters.
    pub search: String,
    pub namespace: Option<String>,
    pub status: Option<StatusFilter>,
    /// The trigger type.
    pub backend: Option<String>,
    /// The id of a connection.
    pub connection: Option<u64>,
    pub sort: Sort,
    pub descending: bool,
    /// From 1 on.
    pub page: usize,
    pub per_page: usize,
}

/// Triggers of which status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    Good,
    Stale,
    Failing,
    Refused,
    Waiting,
    /// Stale, failing or refused.
    Problem,
}

/// By what triggers are sorted; then by namespace and object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By namespace and object.
    #[default]
    Object,
    Value,
    Replicas,
    Age,
    Status,
}

impl StatusFilter {
    pub const ALL: [(&'static str, StatusFilter); 6] = [
        ("problem", StatusFilter::Problem),
        ("good", StatusFilter::Good),
        ("stale", StatusFilter::Stale),
        ("failing", StatusFilter::Failing),
        ("refused", StatusFilter::Refused),
        ("waiting", StatusFilter::Waiting),
    ];
}

impl Sort {
    pub const ALL: [(&'static str, Sort); 5] = [
        ("object", Sort::Object),
        ("value", Sort::Value),
        ("replicas", Sort::Replicas),
        ("age", Sort::Age),
        ("status", Sort::Status),
    ];

    /// The largest or worst first, as people look for it.
    pub fn descends(self) -> bool {
        self != Sort::Object
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        ListQuery {
            search: String::new(),
            namespace: None,
            status: None,
            backend: None,
            connection: None,
            sort: Sort::default(),
            descending: false,
            page: 1,
            per_page: PER_PAGE,
        }
    }
}

impl ListQuery {
    /// From the query of an address. Empty values count as left out, as forms send them.
    pub fn parse(text: &str) -> Result<Self> {
        let mut query = ListQuery::default();
        let mut order = None;
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match &*name {
                "q" => query.search = search(value)?,
                "namespace" => query.namespace = Some(value.to_owned()),
                "status" => query.status = Some(word("status", value, &StatusFilter::ALL)?),
                "backend" => query.backend = Some(value.to_owned()),
                "connection" => query.connection = Some(id(value)?),
                "sort" => query.sort = word("sort", value, &Sort::ALL)?,
                "order" => {
                    let words = [("ascending", false), ("descending", true)];
                    order = Some(word("order", value, &words)?);
                }
                "page" => query.page = count("page", value, usize::MAX)?,
                "perPage" => query.per_page = count("perPage", value, MOST_PER_PAGE)?,
                unknown => return Err(unknown_name(unknown)),
            }
        }
        query.descending = order.unwrap_or(query.sort.descends());
        Ok(query)
    }

    /// The query of an address; what is left out has its default.
    pub fn text(&self) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                text.append_pair(name, value);
            }
        };
        add("q", Some(&*self.search).filter(|search| !search.is_empty()));
        add("namespace", self.namespace.as_deref());
        add(
            "status",
            self.status
                .map(|status| name_of(status, &StatusFilter::ALL)),
        );
        add("backend", self.backend.as_deref());
        add("connection", self.connection.map(id_text).as_deref());
        let sort = Some(self.sort).filter(|sort| *sort != Sort::default());
        add("sort", sort.map(|sort| name_of(sort, &Sort::ALL)));
        let order = if self.descending {
            "descending"
        } else {
            "ascending"
        };
        add(
            "order",
            Some(order).filter(|_| self.descending != self.sort.descends()),
        );
        add(
            "page",
            Some(&*self.page.to_string()).filter(|_| self.page != 1),
        );
        let per_page = Some(self.per_page.to_string());
        add(
            "perPage",
            per_page.filter(|_| self.per_page != PER_PAGE).as_deref(),
        );
        text.finish()
    }

    /// The address of the overview with this query.
    pub fn href(&self) -> String {
        match self.text() {
            text if text.is_empty() => "/".to_owned(),
            text => format!("/?{text}"),
        }
    }

    /// Whether it shows all triggers, though perhaps not on one page.
    pub fn shows_all(&self) -> bool {
        let filters = [
            self.namespace.is_some(),
            self.status.is_some(),
            self.backend.is_some(),
            self.connection.is_some(),
            !self.search.is_empty(),
        ];
        !filters.contains(&true)
    }
}

/// The word of a value.
pub fn name_of<T: PartialEq + Copy>(value: T, words: &[(&'static str, T)]) -> &'static str {
    let found = words.iter().find(|(_, known)| *known == value);
    found.map_or("", |(name, _)| name)
}

fn word<T: Copy>(name: &str, value: &str, words: &[(&'static str, T)]) -> Result<T> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, known)| *known).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        invalid(name, value, &format!("must be one of {}", known.join(", ")))
    })
}

fn search(value: &str) -> Result<String> {
    match value.len() <= LONGEST_SEARCH {
        true => Ok(value.to_owned()),
        false => Err(invalid(
            "q",
            "…",
            &format!("may have {LONGEST_SEARCH} bytes"),
        )),
    }
}

fn id(value: &str) -> Result<u64> {
    parse_id(value).ok_or_else(|| invalid("connection", value, "must be an id of 16 digits"))
}

fn count(name: &str, value: &str, most: usize) -> Result<usize> {
    let number = value
        .parse()
        .ok()
        .filter(|number| (1..=most).contains(number));
    let allowed = match most {
        usize::MAX => "must be a whole number from 1".to_owned(),
        most => format!("must be a whole number from 1 to {most}"),
    };
    number.ok_or_else(|| invalid(name, value, &allowed))
}

fn invalid(name: &str, value: &str, reason: &str) -> Error {
    let what = format!("{name}: `{value}` {reason}");
    Error::new(Kind::Invalid, what, "Correct the address of the page.")
}

fn unknown_name(name: &str) -> Error {
    let known = [
        "q",
        "namespace",
        "status",
        "backend",
        "connection",
        "sort",
        "order",
        "page",
        "perPage",
    ];
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", known.join(", ")),
    };
    let what = format!("{name}: is not part of this query; {hint}");
    Error::new(Kind::Invalid, what, "Correct the address of the page.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_says_what_is_not_the_default() {
        assert_eq!(ListQuery::parse("").unwrap(), ListQuery::default());
        assert_eq!(ListQuery::default().href(), "/");
        let text = "q=orders&status=problem&sort=value";
        let query = ListQuery::parse(text).unwrap();
        assert!(query.descending);
        assert_eq!(query.text(), text);
        // A form sends every field.
        let form = "q=&namespace=&status=&backend=&sort=object&order=";
        assert_eq!(ListQuery::parse(form).unwrap(), ListQuery::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (text, reason) in [
            ("sort=size", "sort: `size` must be one of object, value"),
            ("sorted=value", "did you mean `sort`?"),
            ("page=0", "page: `0` must be a whole number from 1."),
            (
                "perPage=5000",
                "perPage: `5000` must be a whole number from 1 to 1000",
            ),
            ("connection=1", "must be an id of 16 digits"),
        ] {
            let error = ListQuery::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn an_address_leads_back_to_its_query(
            (search, namespace) in ("\\PC{0,20}", "\\PC{1,20}"),
            (status, sort) in (0..StatusFilter::ALL.len(), 0..Sort::ALL.len()),
            (descending, page, connection) in (any::<bool>(), 1..1000_usize, any::<u64>()),
        ) {
            let trimmed = namespace.trim();
            let query = ListQuery {
                search: search.trim().to_owned(),
                namespace: (!trimmed.is_empty()).then(|| trimmed.to_owned()),
                status: Some(StatusFilter::ALL[status].1),
                backend: None,
                connection: Some(connection),
                sort: Sort::ALL[sort].1,
                descending,
                page,
                per_page: PER_PAGE,
            };
            prop_assert_eq!(ListQuery::parse(&query.text()).unwrap(), query);
        }

        #[test]
        fn no_query_panics(text in "\\PC{0,100}") {
            let _ = ListQuery::parse(&text);
        }
    }
}
