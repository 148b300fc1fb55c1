//! Gives `libshm.so` its soname, `libshm.so.MAJOR`: what programs that were linked with it ask for, so that a version that would break them is not
//! taken for theirs. `cargo xtask install` lays the library down under that name.
//!
//! Once loaded it stays (`nodelete`, ld(1)): handles, locks and what forks have to do are the process's, and would be lost with the last dlclose(3).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libshm.so.{major}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
