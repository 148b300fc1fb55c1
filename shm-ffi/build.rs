//! Gives `libshm.so` its soname: programs that were linked with it ask for this name, which changes when the ABI breaks.

/// The number behind `libshm.so.`; raised only when a program built with an older header would break.
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libshm.so.{ABI}");
}
