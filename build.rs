//! Says in plain words when the library that LAPACK comes from is missing.

// A build script has no other way to speak.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    let wants_openblas = std::env::var_os("CARGO_FEATURE_OPENBLAS_SYSTEM").is_some();
    if !wants_openblas || !cfg!(target_os = "linux") || std::env::var_os("DOCS_RS").is_some() {
        return;
    }
    if links("-lopenblas") == Some(false) {
        eprintln!(
            "\n*** liftnet needs OpenBLAS with its development files, and the linker does not find it.\n\
             *** Debian, Ubuntu:  sudo apt-get install libopenblas-dev\n\
             *** Fedora:          sudo dnf install openblas-devel\n\
             *** Or build one along with liftnet: cargo features `openblas-static` or `netlib-static`,\n\
             *** with `--no-default-features`.\n"
        );
        std::process::exit(1);
    }
}

/// Whether the system's compiler links an empty program against a library; `None` without one.
fn links(library: &str) -> Option<bool> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let out = std::path::Path::new(&std::env::var_os("OUT_DIR")?).join("links");
    let mut child = Command::new(compiler)
        .args(["-x", "c", "-", library, "-o"])
        .arg(out)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(b"int main(void) { return 0; }\n").ok()?;
    Some(child.wait().ok()?.success())
}
