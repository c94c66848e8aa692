//! Which labels an expression of PromQL has in the end, and whether all that it names exist.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    label::{MatchOp, Matchers},
    parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector},
};

pub type Labels = BTreeSet<String>;

/// What is known of a metric.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    /// Its labels, each with the values that it was seen with.
    pub labels: BTreeMap<String, Labels>,
}

impl Metric {
    pub fn names(&self) -> Labels {
        self.labels.keys().cloned().collect()
    }
}

/// Every metric that there is, by its name.
pub type Metrics = BTreeMap<String, Metric>;

/// What Prometheus gives to all series of a target that it finds in Kubernetes.
const OF_TARGETS: [&str; 7] = [
    "namespace",
    "pod",
    "job",
    "instance",
    "container",
    "service",
    "endpoint",
];

/// Labels whose values are names of closed sets, all of which were seen.
const CLOSED: [&str; 5] = ["code", "method", "state", "kind", "metric_target_type"];

/// The labels of the result; `None`: it is a number.
pub fn labels_of(expression: &str, metrics: &Metrics) -> Result<Option<Labels>, String> {
    let parsed = parser::parse(expression)?;
    infer(&parsed, metrics).map_err(|problem| format!("{problem}, in {expression}"))
}

fn infer(expr: &Expr, metrics: &Metrics) -> Result<Option<Labels>, String> {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(None),
        Expr::Paren(inner) => infer(&inner.expr, metrics),
        Expr::Unary(inner) => infer(&inner.expr, metrics),
        Expr::Subquery(inner) => infer(&inner.expr, metrics),
        Expr::VectorSelector(selector) => select(selector, metrics).map(Some),
        Expr::MatrixSelector(matrix) => select(&matrix.vs, metrics).map(Some),
        Expr::Aggregate(aggregate) => aggregated(aggregate, metrics).map(Some),
        Expr::Binary(binary) => combined(binary, metrics),
        Expr::Call(call) => called(call, metrics),
        Expr::Extension(_) => Err("an extension of PromQL".to_owned()),
    }
}

fn select(selector: &VectorSelector, metrics: &Metrics) -> Result<Labels, String> {
    let name = selector.name.as_deref().unwrap_or_default();
    let metric = metrics
        .get(name)
        .ok_or_else(|| format!("there is no metric {name:?}"))?;
    let mut labels = metric.names();
    labels.extend(OF_TARGETS.map(str::to_owned));
    let Matchers {
        matchers,
        or_matchers,
    } = &selector.matchers;
    for matcher in matchers.iter().chain(or_matchers.iter().flatten()) {
        require(&labels, &matcher.name, name)?;
        let closed = CLOSED.contains(&matcher.name.as_str());
        let Some(seen) = metric.labels.get(&matcher.name).filter(|_| closed) else {
            continue;
        };
        let values: Vec<&str> = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
        };
        for value in values {
            if !seen.contains(value) {
                return Err(format!(
                    "{name} has no {}={value:?}: {seen:?}",
                    matcher.name
                ));
            }
        }
    }
    Ok(labels)
}

fn require(labels: &Labels, label: &str, of: &str) -> Result<(), String> {
    match labels.contains(label) {
        true => Ok(()),
        false => Err(format!("{of} has no label {label}: {labels:?}")),
    }
}

fn vector(expr: &Expr, metrics: &Metrics) -> Result<Labels, String> {
    infer(expr, metrics)?.ok_or_else(|| format!("{expr} is a number"))
}

fn aggregated(aggregate: &AggregateExpr, metrics: &Metrics) -> Result<Labels, String> {
    let labels = vector(&aggregate.expr, metrics)?;
    match &aggregate.modifier {
        None => Ok(Labels::new()),
        Some(LabelModifier::Include(by)) => {
            for label in &by.labels {
                require(&labels, label, &aggregate.expr.to_string())?;
            }
            Ok(by.labels.iter().cloned().collect())
        }
        Some(LabelModifier::Exclude(without)) => {
            let kept = labels.into_iter().filter(|l| !without.labels.contains(l));
            Ok(kept.collect())
        }
    }
}

fn combined(binary: &BinaryExpr, metrics: &Metrics) -> Result<Option<Labels>, String> {
    let (left, right) = (infer(&binary.lhs, metrics)?, infer(&binary.rhs, metrics)?);
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (left, right) => return Ok(left.or(right)),
    };
    let matching = binary.modifier.as_ref().and_then(|m| m.matching.as_ref());
    let on = match matching {
        Some(LabelModifier::Include(on)) => {
            for label in &on.labels {
                require(&left, label, &binary.lhs.to_string())?;
                require(&right, label, &binary.rhs.to_string())?;
            }
            Some(&on.labels)
        }
        Some(LabelModifier::Exclude(_)) => return Err("ignoring() is not known here".to_owned()),
        // Two alternatives may differ; all else would match nothing.
        None if binary.op.to_string() == "or" => None,
        None if left != right => {
            return Err(format!("{left:?} never match {right:?}"));
        }
        None => None,
    };
    if binary.op.is_set_operator() {
        let both = match binary.op.to_string().as_str() {
            "or" => left.union(&right).cloned().collect(),
            _ => left,
        };
        return Ok(Some(both));
    }
    // Between one and one, the result has the labels that were matched by.
    Ok(Some(on.map_or(left, |on| on.iter().cloned().collect())))
}

fn called(call: &Call, metrics: &Metrics) -> Result<Option<Labels>, String> {
    let args = &call.args.args;
    let text = |at: usize| match &*args[at] {
        Expr::StringLiteral(text) => Ok(text.val.clone()),
        other => Err(format!("{other} is no string")),
    };
    let found = args.iter().map(|arg| infer(arg, metrics));
    let found: Vec<Option<Labels>> = found.collect::<Result<_, _>>()?;
    let mut labels = found.into_iter().flatten().next();
    match call.func.name {
        "time" => return Ok(None),
        "vector" | "absent" => return Ok(Some(Labels::new())),
        "label_replace" => {
            let labels = labels.get_or_insert_default();
            require(labels, &text(3)?, &args[0].to_string())?;
            labels.insert(text(1)?);
        }
        "histogram_quantile" => {
            let labels = labels.get_or_insert_default();
            require(labels, "le", &args[1].to_string())?;
            labels.remove("le");
        }
        _ => {}
    }
    Ok(labels)
}

#[test]
fn what_does_not_exist_is_found() {
    let metric = |labels: &[(&str, &str)]| Metric {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Labels::from([(*value).to_owned()])))
            .collect(),
    };
    let metrics = Metrics::from([
        ("a".to_owned(), metric(&[("x", "1"), ("code", "OK")])),
        ("b".to_owned(), metric(&[("x", "1")])),
        ("c_bucket".to_owned(), metric(&[("x", "1"), ("le", "1")])),
    ]);
    let problem = |expression| labels_of(expression, &metrics).unwrap_err();
    for (expression, says) in [
        ("d", "there is no metric \"d\""),
        ("a{y=\"1\"}", "a has no label y"),
        ("a{code=~\"OK|Ok\"}", "a has no code=\"Ok\""),
        ("sum by (y) (a)", "a has no label y"),
        ("a / b", "never match"),
        ("sum(a) and on (x) b", "sum(a) has no label x"),
        (
            "label_replace(a, \"z\", \"$1\", \"y\", \".*\")",
            "no label y",
        ),
        (
            "histogram_quantile(0.5, sum by (x) (c_bucket))",
            "no label le",
        ),
    ] {
        let said = problem(expression);
        assert!(said.contains(says), "{expression}: {said}");
    }
    let labels = |expression| labels_of(expression, &metrics).unwrap().unwrap();
    let x = Labels::from(["x".to_owned()]);
    assert_eq!(labels("sum by (x) (a) / on (x) sum by (x) (b)"), x);
    assert_eq!(
        labels("histogram_quantile(0.5, sum by (x, le) (c_bucket))"),
        x
    );
    assert_eq!(labels("absent(a)"), Labels::new());
}
