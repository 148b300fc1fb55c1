//! `cargo xtask bench`: runs the criterion benches of `shm-bench` and judges their times by `shm-bench/reach.json`.
//!
//! Criterion measures and keeps its own records; this file only reads the medians of this very run.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::languages::Languages;
use crate::machine;
use crate::process::Program;
use crate::reach::{self, Goal, Row, Verdict};
use crate::table::{Align, Table};
use crate::workspace::Workspace;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Ends each bench as soon as its time is roughly known
    #[arg(long)]
    quick: bool,
    /// Only operations whose name or bench ids contain TEXT
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Prints the result as JSON; what the benches say goes to standard error
    #[arg(long)]
    json: bool,
}

/// Runs the benches and prints the table. A goal that is missed is no failure: benches inform.
///
/// # Errors
/// When there is nothing to run, or the benches do not build or fail (they check their answers first).
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode, String> {
    let file = workspace.root.join("shm-bench/reach.json");
    let text =
        fs::read_to_string(&file).map_err(|error| format!("cannot read shm-bench/reach.json: {error}"))?;
    let goals = reach::parse(&text).map_err(|why| format!("shm-bench/reach.json: {why}"))?;
    let goals = select(goals, args.filter.as_deref())?;
    if workspace.package("shm-bench").is_none_or(|package| package.targets_of("bench").next().is_none()) {
        return Err(
            "shm-bench has no bench yet: each is a file in shm-bench/benches and a [[bench]] in its manifest"
                .into(),
        );
    }

    let languages = Languages::prepare(workspace, goals.iter().filter_map(|goal| goal.needs))?;
    let facts = machine::facts();
    let home = workspace.target.join("criterion");
    let program = languages.tell(program(&goals, args, &home));
    eprintln!("==> {}", program.line());
    // The clock of a file system may be a few milliseconds behind.
    let start = SystemTime::now() - Duration::from_secs(1);
    let outcome = program.run(true);
    if let Some(fault) = outcome.fault {
        return Err(format!("the benches failed ({fault}); what they said stands above"));
    }

    let judge = |goal: Goal| {
        let mut row = goal.judge(|id| estimate(&home, id, start));
        if row.goal.needs.is_some_and(|language| languages.lacks(language).is_some()) {
            row.verdict = Verdict::Skipped;
        }
        row
    };
    let rows: Vec<Row> = goals.into_iter().map(judge).collect();
    if args.json {
        println!("{:#}", to_json(&facts, args, &rows, &languages));
    } else {
        print(&facts, args, &rows);
        for (language, why) in languages.lacking() {
            println!("skipped what needs {}: {why}", language.as_str());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn select(goals: Vec<Goal>, filter: Option<&str>) -> Result<Vec<Goal>, String> {
    let Some(text) = filter else { return Ok(goals) };
    let (chosen, others): (Vec<_>, Vec<_>) = goals.into_iter().partition(|goal| goal.matches(text));
    if chosen.is_empty() {
        let names: Vec<_> =
            others.iter().map(|goal| format!("\n  {} ({})", goal.operation, goal.ours)).collect();
        return Err(format!("no operation contains \"{text}\"; there are{}", names.concat()));
    }
    Ok(chosen)
}

fn program(goals: &[Goal], args: &Args, home: &Path) -> Program {
    // Only targets of the kind bench: the library's own harness does not know criterion's options.
    let mut program = Program::cargo(["bench", "--package", "shm-bench", "--bench", "*", "--", "--noplot"])
        .env("CRITERION_HOME", home.to_string_lossy());
    if args.quick {
        program = program.args(["--quick"]);
    }
    if args.filter.is_some() {
        program = program.args([pattern(goals)]);
    }
    program
}

/// A regular expression for exactly the ids of these goals.
fn pattern(goals: &[Goal]) -> String {
    let ids: Vec<String> = goals.iter().flat_map(Goal::ids).map(escape).collect();
    format!("^({})$", ids.join("|"))
}

fn escape(id: &str) -> String {
    id.chars().fold(String::new(), |mut text, character| {
        if r"\.+*?()|[]{}^$".contains(character) {
            text.push('\\');
        }
        text.push(character);
        text
    })
}

/// The median of a bench in nanoseconds, unless its record is older than `start`.
fn estimate(home: &Path, id: &str, start: SystemTime) -> Option<f64> {
    let file = home.join(id).join("new/estimates.json");
    if fs::metadata(&file).and_then(|found| found.modified()).ok()? < start {
        return None;
    }
    let estimates: Value = serde_json::from_str(&fs::read_to_string(&file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// A time with three digits in the unit that fits.
fn time(nanoseconds: f64) -> String {
    let units = [("s", 1e9), ("ms", 1e6), ("us", 1e3)];
    let (unit, size) = units.into_iter().find(|(_, size)| nanoseconds >= *size).unwrap_or(("ns", 1.0));
    let value = nanoseconds / size;
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

fn print(facts: &[(&str, String)], args: &Args, rows: &[Row]) {
    println!();
    for (label, value) in facts {
        println!("{label}: {value}");
    }
    println!("{}\n", if args.quick { "a quick run: figures are rough" } else { "medians" });

    let mut table = Table::new(&[
        ("operation", Align::Left),
        ("ours", Align::Right),
        ("alternative", Align::Right),
        ("floor", Align::Right),
        ("ratio", Align::Right),
        ("reach", Align::Right),
        ("met", Align::Left),
    ]);
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), time);
    for row in rows {
        table.push(vec![
            row.goal.operation.clone(),
            cell(row.ours),
            cell(row.alternative),
            cell(row.floor),
            row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            row.goal.reach_text(),
            row.verdict.as_str().to_owned(),
        ]);
    }
    println!("{table}");
    let number = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    println!(
        "{} met, {} not met, {} not measured, {} skipped",
        number(Verdict::Met),
        number(Verdict::NotMet),
        number(Verdict::NotMeasured),
        number(Verdict::Skipped)
    );
}

fn to_json(facts: &[(&str, String)], args: &Args, rows: &[Row], languages: &Languages) -> Value {
    let machine: serde_json::Map<_, _> =
        facts.iter().map(|(label, value)| ((*label).to_owned(), json!(value))).collect();
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "operation": row.goal.operation,
                "ours_ns": row.ours,
                "alternative_ns": row.alternative,
                "floor_ns": row.floor,
                "ratio": row.ratio,
                "reach": row.goal.reach,
                "limit_ns": row.goal.limit_us.map(|limit| 1000.0 * limit),
                "within_ns": row.goal.within_ns,
                "at_most": row.goal.measure == reach::Measure::Time,
                "met": match row.verdict {
                    Verdict::Met => json!(true),
                    Verdict::NotMet => json!(false),
                    Verdict::Informs | Verdict::NotMeasured | Verdict::Skipped => Value::Null,
                },
                "skipped": row.goal.needs.and_then(|language| languages.lacks(language)),
            })
        })
        .collect();
    json!({"machine": machine, "quick": args.quick, "rows": rows})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goals() -> Vec<Goal> {
        let text = r#"[
            {"operation": "attach an array", "ours": "attach/ours", "alternative": "attach/alternative", "measure": "time",
             "reach": 1.5},
            {"operation": "sum", "ours": "sum.2/ours", "alternative": "sum.2/alternative", "measure": "throughput"}
        ]"#;
        reach::parse(text).unwrap()
    }

    #[test]
    fn times_have_three_digits() {
        let cases = [
            (0.5, "0.50 ns"),
            (9.04, "9.04 ns"),
            (12.71, "12.7 ns"),
            (2210.0, "2.21 us"),
            (78.25e6, "78.2 ms"),
            (364e6, "364 ms"),
            (1.5e9, "1.50 s"),
        ];
        for (value, text) in cases {
            assert_eq!(time(value), text);
        }
    }

    #[test]
    fn filter_selects_and_names_what_there_is() {
        assert_eq!(select(goals(), None).unwrap().len(), 2);
        assert_eq!(select(goals(), Some("attach")).unwrap().len(), 1);
        let fault = select(goals(), Some("fork")).unwrap_err();
        assert!(fault.contains("attach an array") && fault.contains("sum"), "{fault}");
    }

    #[test]
    fn pattern_is_exact() {
        let chosen = select(goals(), Some("sum")).unwrap();
        assert_eq!(pattern(&chosen), r"^(sum\.2/ours|sum\.2/alternative)$");
    }

    #[test]
    fn only_estimates_of_this_run_count() {
        let home = std::env::temp_dir().join(format!("shm-xtask-{}-estimates", std::process::id()));
        let new = home.join("attach/ours/new");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("estimates.json"), r#"{"median": {"point_estimate": 2.5}}"#).unwrap();
        let past = SystemTime::now() - Duration::from_secs(60);
        let future = SystemTime::now() + Duration::from_secs(60);
        let found = [past, future].map(|start| estimate(&home, "attach/ours", start));
        let missing = estimate(&home, "attach/floor", past);
        fs::remove_dir_all(&home).unwrap();
        assert_eq!((found, missing), ([Some(2.5), None], None));
    }

    #[test]
    fn json_tells_what_was_met() {
        let rows: Vec<Row> = goals()
            .into_iter()
            .map(|goal| goal.judge(|id| Some(if id.ends_with("ours") { 3.0 } else { 1.0 })))
            .collect();
        let args = Args { quick: true, filter: None, json: true };
        let value = to_json(&[("cores", "2".to_owned())], &args, &rows, &Languages::default());
        assert_eq!(value["machine"]["cores"], "2");
        assert_eq!(value["rows"][0]["met"], false);
        assert_eq!(value["rows"][0]["ratio"], 3.0);
        assert_eq!((&value["rows"][1]["met"], &value["rows"][1]["skipped"]), (&Value::Null, &Value::Null));
    }
}
