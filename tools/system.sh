#!/usr/bin/env bash
# Checks for what the build needs from the system and installs Debian packages where it may.
set -euo pipefail

python=${1:-python3}

missing() {
    printf '\nliftnet: %s\n' "$1" >&2
    exit 1
}

install() { # package, what it is for
    if ! command -v apt-get >/dev/null; then
        missing "$2 is missing; install it with your system's package manager (on Debian: $1)."
    fi
    local sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
            missing "$2 is missing. Run: sudo apt-get install $1"
        sudo=sudo
    fi
    echo "liftnet: installing $1 ($2)"
    $sudo apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qq -y "$1" >/dev/null ||
        missing "$2 is missing and could not be installed. Run: sudo apt-get install $1"
}

command -v cargo >/dev/null ||
    missing "Rust is missing. Install the stable toolchain from https://rustup.rs, then try again."
command -v "$python" >/dev/null || missing "$python is missing. Install Python 3.11 or later."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    missing "Python 3.11 or later is needed; $python is $("$python" -V 2>&1)."
command -v cc >/dev/null || install build-essential "a C compiler and linker"
"$python" -c 'import venv, ensurepip' 2>/dev/null || install python3-venv "Python's venv module"
echo 'int main(void) { return 0; }' | cc -x c - -lopenblas -o /dev/null 2>/dev/null ||
    install libopenblas-dev "OpenBLAS with its development files"
