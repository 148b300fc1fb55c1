//! The table of goals (`shm-bench/reach.json`) and the judgement of measured times by it.
//!
//! A goal compares our time with that of the plain alternative in the same run. `time` goals limit ours / alternative from above,
//! `throughput` goals limit alternative / ours from below; `limit_us` limits our time itself, in microseconds, and `within_ns` by how many
//! nanoseconds it may exceed the alternative's. A row with none of them only informs. `needs` names the language that the row is measured from.

use serde_json::{Map, Value};

/// One operation: which benches belong together and what is to be reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) operation: String,
    /// Criterion's id of our bench, `group/function`.
    pub(crate) ours: String,
    /// The id of the plain way to do the same.
    pub(crate) alternative: String,
    /// The id of the least that any way has to do.
    pub(crate) floor: Option<String>,
    pub(crate) measure: Measure,
    pub(crate) reach: Option<f64>,
    pub(crate) limit_us: Option<f64>,
    pub(crate) within_ns: Option<f64>,
    /// The row is measured from this language, which the machine may lack.
    pub(crate) needs: Option<Language>,
}

/// In which direction better lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Time,
    Throughput,
}

/// A goal with what was measured; times in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) goal: Goal,
    pub(crate) ours: Option<f64>,
    pub(crate) alternative: Option<f64>,
    pub(crate) floor: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// A language besides Rust that rows are measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    C,
    Julia,
    Python,
}

impl Language {
    const ALL: [Self; 3] = [Self::C, Self::Julia, Self::Python];

    /// How rows and benches call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Julia => "julia",
            Self::Python => "python",
        }
    }
}

/// Whether the goal was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    /// The row has no reach.
    Informs,
    /// Ours or the alternative was not measured in this run.
    NotMeasured,
    /// The machine lacks the language.
    Skipped,
}

impl Verdict {
    /// The word for the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::Informs => "-",
            Self::NotMeasured => "not measured",
            Self::Skipped => "skipped",
        }
    }
}

const KEYS: &[&str] = &[
    "operation",
    "ours",
    "alternative",
    "floor",
    "measure",
    "reach",
    "limit_us",
    "within_ns",
    "needs",
    "note",
];

/// Reads the goals from the text of the file.
///
/// # Errors
/// Which row is wrong, and what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<Goal>, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let rows = file.as_array().ok_or("must be a list of rows")?;
    rows.iter()
        .enumerate()
        .map(|(place, row)| {
            let row = row.as_object().ok_or("it is no object".to_owned());
            row.and_then(goal).map_err(|why| format!("row {}: {why}", place + 1))
        })
        .collect()
}

fn goal(row: &Map<String, Value>) -> Result<Goal, String> {
    if let Some(key) = row.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("unknown key \"{key}\"; there are {}", KEYS.join(", ")));
    }
    let text = |key: &str| match row.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(format!("\"{key}\" must be a text")),
    };
    let required = |key: &str| text(key)?.ok_or_else(|| format!("\"{key}\" is missing"));
    let id = |key: &str, value: String| match value.split('/').collect::<Vec<_>>()[..] {
        [group, function] if !group.is_empty() && !function.is_empty() => Ok(value),
        _ => Err(format!("\"{key}\" must be a bench id, group/function, not \"{value}\"")),
    };
    let measure = match required("measure")?.as_str() {
        "time" => Measure::Time,
        "throughput" => Measure::Throughput,
        other => return Err(format!("\"measure\" must be \"time\" or \"throughput\", not \"{other}\"")),
    };
    let number = |key: &str| match row.get(key) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|number| *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("\"{key}\" must be a number above 0")),
        },
    };
    let language = |name: String| {
        let found = Language::ALL.into_iter().find(|language| language.as_str() == name);
        found.ok_or_else(|| format!("\"needs\" must be \"c\", \"julia\" or \"python\", not \"{name}\""))
    };
    Ok(Goal {
        operation: required("operation")?,
        ours: id("ours", required("ours")?)?,
        alternative: id("alternative", required("alternative")?)?,
        floor: text("floor")?.map(|floor| id("floor", floor)).transpose()?,
        measure,
        reach: number("reach")?,
        limit_us: number("limit_us")?,
        within_ns: number("within_ns")?,
        needs: text("needs")?.map(language).transpose()?,
    })
}

impl Goal {
    /// All ids of the row.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        [&self.ours, &self.alternative].into_iter().chain(&self.floor).map(String::as_str)
    }

    /// Whether `text` occurs in the operation or in an id.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.operation.contains(text) || self.ids().any(|id| id.contains(text))
    }

    /// The reach for people: `<= 1.5`, `<= 30 us`, or `<= +15 ns`.
    pub(crate) fn reach_text(&self) -> String {
        let reach = self.reach.map(|reach| match self.measure {
            Measure::Time => format!("<= {reach}"),
            Measure::Throughput => format!(">= {reach}"),
        });
        let limit = self.limit_us.map(|limit| format!("<= {limit} us"));
        let within = self.within_ns.map(|within| format!("<= +{within} ns"));
        let texts: Vec<String> = reach.into_iter().chain(limit).chain(within).collect();
        if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
    }

    /// Judges the times that `time` knows (nanoseconds by bench id).
    pub(crate) fn judge(self, time: impl Fn(&str) -> Option<f64>) -> Row {
        let ours = time(&self.ours);
        let alternative = time(&self.alternative);
        let floor = self.floor.as_deref().and_then(&time);
        let ratio = ours.zip(alternative).map(|(ours, alternative)| match self.measure {
            Measure::Time => ours / alternative,
            Measure::Throughput => alternative / ours,
        });
        let reached = self.reach.zip(ratio).map(|(reach, ratio)| match self.measure {
            Measure::Time => ratio <= reach,
            Measure::Throughput => ratio >= reach,
        });
        let in_limit = self.limit_us.zip(ours).map(|(limit, ours)| ours <= 1000.0 * limit);
        let is_within =
            self.within_ns.zip(ours.zip(alternative)).map(|(within, (ours, other))| ours - other <= within);
        let conditions: Vec<bool> = reached.into_iter().chain(in_limit).chain(is_within).collect();
        let verdict = match ratio {
            None => Verdict::NotMeasured,
            Some(_) if conditions.is_empty() => Verdict::Informs,
            Some(_) if conditions.iter().all(|met| *met) => Verdict::Met,
            Some(_) => Verdict::NotMet,
        };
        Row { goal: self, ours, alternative, floor, ratio, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(measure: &str, reach: &str) -> Goal {
        let text = format!(
            r#"[{{"operation": "op", "ours": "g/ours", "alternative": "g/alternative", "floor": "g/floor",
            "measure": "{measure}"{reach}, "note": "why"}}]"#
        );
        parse(&text).unwrap().remove(0)
    }

    fn times(ours: f64, alternative: f64) -> impl Fn(&str) -> Option<f64> {
        move |id| match id {
            "g/ours" => Some(ours),
            "g/alternative" => Some(alternative),
            _ => None,
        }
    }

    #[test]
    fn the_file_of_the_repository_is_good() {
        let goals = parse(include_str!("../../shm-bench/reach.json")).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for goal in &goals {
            assert!(seen.insert(&goal.operation), "twice: {}", goal.operation);
        }
        assert!(!goals.is_empty());
    }

    #[test]
    fn time_is_limited_from_above() {
        let verdict = |ours| one("time", r#", "reach": 1.5"#).judge(times(ours, 2.0)).verdict;
        assert_eq!([verdict(2.9), verdict(3.0), verdict(3.1)], [Verdict::Met, Verdict::Met, Verdict::NotMet]);
    }

    #[test]
    fn a_limit_is_one_of_time_itself() {
        let verdict = |rest, ours| one("time", rest).judge(times(ours, 1.0)).verdict;
        let limit = r#", "limit_us": 5"#;
        assert_eq!([verdict(limit, 5000.0), verdict(limit, 5001.0)], [Verdict::Met, Verdict::NotMet]);
        assert_eq!(verdict(r#", "limit_us": 5, "reach": 3"#, 4000.0), Verdict::NotMet);
        assert_eq!(one("time", limit).reach_text(), "<= 5 us");
    }

    #[test]
    fn an_excess_is_one_over_the_alternative() {
        let verdict = |ours| one("time", r#", "within_ns": 15"#).judge(times(ours, 5.0)).verdict;
        assert_eq!(
            [verdict(4.0), verdict(20.0), verdict(20.1)],
            [Verdict::Met, Verdict::Met, Verdict::NotMet]
        );
        assert_eq!(one("time", r#", "within_ns": 15"#).reach_text(), "<= +15 ns");
        assert_eq!(one("time", r#", "within_ns": 15, "needs": "c""#).needs, Some(Language::C));
    }

    #[test]
    fn throughput_is_limited_from_below() {
        let row = one("throughput", r#", "reach": 0.5"#).judge(times(4.0, 2.0));
        assert_eq!((row.ratio, row.verdict), (Some(0.5), Verdict::Met));
        let row = one("throughput", r#", "reach": 0.5"#).judge(times(4.1, 2.0));
        assert_eq!(row.verdict, Verdict::NotMet);
    }

    #[test]
    fn what_is_missing_is_not_met() {
        let row = one("time", r#", "reach": 1.5"#).judge(|id| (id == "g/ours").then_some(1.0));
        assert_eq!((row.ours, row.ratio, row.verdict), (Some(1.0), None, Verdict::NotMeasured));
        let row = one("time", "").judge(times(1.0, 1.0));
        assert_eq!((row.floor, row.verdict), (None, Verdict::Informs));
        // A broken estimate must not pass for a good one.
        let row = one("time", r#", "reach": 1.5"#).judge(times(f64::NAN, 1.0));
        assert_eq!(row.verdict, Verdict::NotMet);
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let fault = |text: &str| parse(text).unwrap_err();
        assert!(fault("{").contains("no JSON"));
        assert!(fault("{}").contains("list of rows"));
        assert!(fault("[1]").contains("row 1: it is no object"));
        assert!(fault(r#"[{"measur": "time"}]"#).contains("unknown key \"measur\""));
        assert!(fault(r#"[{"measure": "time"}]"#).contains("\"operation\" is missing"));
        assert!(fault(r#"[{"measure": "size"}]"#).contains("not \"size\""));
        let id = r#"[{"operation": "o", "ours": "ours", "alternative": "g/a", "measure": "time"}]"#;
        assert!(fault(id).contains("group/function, not \"ours\""));
        let reach =
            r#"[{"operation": "o", "ours": "g/o", "alternative": "g/a", "measure": "time", "reach": "1"}]"#;
        assert!(fault(reach).contains("number above 0"));
        let needs = r#"[{"operation": "o", "ours": "g/o", "alternative": "g/a", "measure": "time", "needs": "perl"}]"#;
        assert!(fault(needs).contains("not \"perl\""));
    }

    #[test]
    fn text_matches_operation_and_ids() {
        let goal = one("time", r#", "reach": 1.5"#);
        assert!(goal.matches("op") && goal.matches("g/floor") && !goal.matches("other"));
        assert_eq!(goal.reach_text(), "<= 1.5");
        assert_eq!(one("throughput", r#", "reach": 0.95"#).reach_text(), ">= 0.95");
    }
}
