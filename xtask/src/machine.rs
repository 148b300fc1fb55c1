//! The machine that figures were taken on: a figure without these facts says little.

use std::fs;

use crate::process::Program;

/// Facts in the order in which they are printed, each with its label.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or_else(|_| "unknown".to_owned(), |n| n.to_string());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(unknown);
    let rustc = Program::new("rustc").args(["--version"]).probe().unwrap_or_else(|_| unknown());
    vec![
        ("cpu", cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(unknown)),
        ("cores", cores),
        ("memory", memory),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("huge pages on tmpfs", chosen(&read("/sys/kernel/mm/transparent_hugepage/shmem_enabled"))),
        ("load before the run", read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ("compiler", rustc.trim().to_owned()),
    ]
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of `name: value` in a file of such lines.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (label, value) = line.split_once(':')?;
        (label.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The processor's name; on aarch64, where the kernel tells none, the numbers of its maker and part.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    field(cpuinfo, "model name").or_else(|| {
        let maker = field(cpuinfo, "CPU implementer")?;
        Some(format!("implementer {maker}, part {}", field(cpuinfo, "CPU part")?))
    })
}

/// The word in brackets: how the kernel marks a choice among several.
fn chosen(text: &str) -> String {
    text.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or_else(unknown, |(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_named_on_both_architectures() {
        let x86 = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nprocessor\t: 1\n";
        assert_eq!(cpu_model(x86).as_deref(), Some("Some CPU @ 2.0GHz"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm).as_deref(), Some("implementer 0x41, part 0xd0c"));
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn choice_is_read() {
        assert_eq!(chosen("always within_size [never] deny\n"), "never");
        assert_eq!(chosen(""), "unknown");
    }

    #[test]
    fn facts_are_complete() {
        for (label, value) in facts() {
            assert!(!value.is_empty(), "{label}");
        }
    }
}
