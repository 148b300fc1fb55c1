//! What a nightly toolchain would add here, and how to install it when it is missing.

use crate::process::Program;

/// Cargo of the nightly toolchain.
pub(crate) fn cargo() -> Program {
    Program::new("rustup").args(["run", "nightly", "cargo"])
}

/// Whether Miri is ready to run; prepares its standard library on first use, which can take a minute.
///
/// # Errors
/// Why it cannot run, with the command that helps.
pub(crate) fn miri() -> Result<(), String> {
    let install = "`rustup toolchain install nightly --component miri,rust-src`";
    cargo().args(["miri", "--version"]).probe().map_err(|_| format!("Miri is not installed: {install}"))?;
    match cargo().args(["miri", "setup"]).probe() {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("`cargo miri setup` failed ({why}); perhaps rust-src is missing: {install}")),
    }
}

/// The target triple of the machine, when a nightly compiler is there to build for it.
///
/// # Errors
/// Why there is none, with the command that helps.
pub(crate) fn host() -> Result<String, String> {
    let program = Program::new("rustup").args(["run", "nightly", "rustc", "-vV"]);
    let output =
        program.probe().map_err(|_| "no nightly toolchain: `rustup toolchain install nightly`".to_owned())?;
    triple(&output).ok_or_else(|| "`rustc -vV` of the nightly toolchain names no host".to_owned())
}

fn triple(output: &str) -> Option<String> {
    output.lines().find_map(|line| line.strip_prefix("host: ")).map(|host| host.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triple_is_found() {
        let output =
            "rustc 1.99.0-nightly\nbinary: rustc\nhost: aarch64-unknown-linux-gnu\nrelease: 1.99.0\n";
        assert_eq!(triple(output).as_deref(), Some("aarch64-unknown-linux-gnu"));
        assert_eq!(triple("rustc 1.99.0\n"), None);
    }
}
