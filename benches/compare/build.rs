//! Records the compiler: the one in the path when the table is printed may be another.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc)
        .arg("--version")
        .output()
        .expect("the compiler tells its version");
    let version = String::from_utf8_lossy(&output.stdout);
    println!("cargo::rustc-env=COMPARE_RUSTC={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
