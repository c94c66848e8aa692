#!/bin/sh
# Installs Debian packages that are missing: packages.sh SET...
#   build            what crates with C code need: a compiler
#   test-build       what tests need besides: librdkafka, which produces and commits for them
#   kerberos         the feature gssapi: MIT's library, and libclang to read its headers
#   kerberos-server  a ticket server for tests
#   redis            redis-server, which is the sentinel too
#   openssl          the openssl command, with which tests make encrypted keys
#   java             Java and Maven, with which tests install and run Kafka
#   python           Python with venv, for the workers of deploy/examples
#   redis-clients    Node.js, Python and Ruby for tests/servers/redis-clients, and Sidekiq
# On other systems it names what is missing and what to install.
set -eu

missing=
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
works() { # works PACKAGE COMMAND...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
header() { # header FILE PACKAGE
    [ -e "$1" ] || missing="$missing $2"
}

for set in "$@"; do
    case $set in
    build) need cc gcc ;;
    test-build)
        need cc gcc; need c++ g++; need make make
        header /usr/include/openssl/ssl.h libssl-dev
        header /usr/include/zlib.h zlib1g-dev
        ;;
    kerberos)
        need pkg-config pkg-config
        header /usr/include/gssapi/gssapi_ext.h libkrb5-dev
        [ -n "$(find /usr/lib -name 'libclang.so*' -print -quit)" ] || missing="$missing libclang-dev"
        ;;
    kerberos-server)
        header /usr/sbin/krb5kdc krb5-kdc
        header /usr/sbin/kadmin.local krb5-admin-server
        need kinit krb5-user
        ;;
    redis) need redis-server redis-server; need redis-cli redis-tools ;;
    openssl) need openssl openssl ;;
    java) need java default-jre-headless; need mvn maven ;;
    python)
        need python3 python3
        works python3-venv python3 -c 'import ensurepip, venv'
        ;;
    redis-clients)
        need node nodejs; need npm npm; need python3 python3
        works python3-venv python3 -c 'import ensurepip, venv'
        need ruby ruby
        works ruby-sidekiq ruby -e 'gem "sidekiq"'
        ;;
    *) echo "packages.sh: unknown set $set" >&2; exit 2 ;;
    esac
done

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is missing: install Rust 1.95 or newer, for example with rustup (https://rustup.rs)." >&2
    exit 1
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing here:$missing (Debian's package names). Install them, then run this again." >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "Missing here:$missing. Install them as root: apt-get install$missing" >&2
        exit 1
    }
    sudo=sudo
    echo "Missing here:$missing. To install them, this runs as root: apt-get update, apt-get install$missing" >&2
    if [ -t 0 ]; then
        printf 'Enter goes on with sudo, Ctrl-C leaves everything as it is: ' >&2
        read -r _
    fi
fi
echo "Installing with apt-get:$missing" >&2
# A service that a package brings must not start by itself: tests and the sample start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod +x $policy
    trap '$sudo rm -f $policy' EXIT
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086 # names of packages, one a word
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
