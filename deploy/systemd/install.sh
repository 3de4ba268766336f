#!/usr/bin/env bash
# Installs or upgrades maskgate as a service of systemd: docs/install.md.
#
#     sudo deploy/systemd/install.sh [--wheels DIR] [WHEEL]
#
# WHEEL        maskgate-*.whl; without it, the one in DIR, or else one is built from this checkout
# --wheels DIR the packages come from DIR and nothing from the network; in an unpacked bundle, DIR is its wheels/
#
# Exit codes: 0 done; 1 not done, and the last line says what runs now; 2 wrong usage; 69 something is missing here.
#
# What is where:
#     /opt/maskgate/releases/VERSION-HASH  one virtual environment a release; HASH is of all that goes into it
#     /opt/maskgate/current                the one that runs
#     /opt/maskgate/previous               while another one is tried, the one to go back to
#     /opt/maskgate/bin                    its commands: what the unit starts
#     /usr/local/bin/maskgate              a link to the one that people call
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
readonly here checkout
readonly lock=$checkout/requirements.lock
readonly sample=$here/maskgate.toml
readonly unit_source=$here/maskgate.service

readonly prefix=/opt/maskgate
readonly command_link=/usr/local/bin/maskgate
readonly etc=/etc/maskgate
readonly unit=/etc/systemd/system/maskgate.service
readonly check_unit=/run/systemd/system/maskgate-check.service
readonly password=$etc/mqtt__password
readonly password_dropin=$unit.d/mqtt-password.conf

readonly needed_mb=900       # an upgrade holds two releases of 200 to 250 MB, and their packages pass through the same disk
readonly needed_systemd=248  # PrivateIPC=
readonly journal_lines=15
readonly status_limit_s=10

wheels='' wheel='' python='' work='' release='' unfinished='' changed=''

say() { printf '%s\n' "$*"; }
complain() { printf 'install.sh: %s\n' "$*" >&2; }
give_up() {
    complain "$@"
    exit 1
}
usage() {
    complain "$@"
    complain 'usage: install.sh [--wheels DIR] [WHEEL]'
    exit 2
}

clean_up() {
    if [[ -e $check_unit ]]; then
        rm "$check_unit"
        systemctl reset-failed "$(basename "$check_unit")" 2>/dev/null || true # it had not failed
        systemctl daemon-reload
    fi
    [[ -z $work ]] || rm -rf "$work"
    [[ -z $unfinished ]] || rm -rf "$unfinished"
}

read_arguments() {
    while (($#)); do
        case $1 in
            -h | --help)
                sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            --wheels)
                [[ -d ${2-} ]] || usage "--wheels wants a folder of wheels, and ${2:-nothing} is none"
                wheels=$(cd "$2" && pwd)
                shift
                ;;
            -*) usage "$1: no such option" ;;
            *)
                [[ -z $wheel ]] || usage 'one wheel is enough'
                [[ -f $1 && $1 == *maskgate-*.whl ]] || usage "$1: is no file named maskgate-VERSION-....whl"
                wheel=$(realpath "$1")
                ;;
        esac
        shift
    done
    # A bundle has wheels and no source (deploy/bundle.py).
    [[ -n $wheels || -f $checkout/pyproject.toml || ! -d $checkout/wheels ]] || wheels=$checkout/wheels
}

# What must be here. Each check prints what is missing and its cure, or nothing.

at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

check_root() { ((EUID == 0)) || say 'this must run as root: sudo deploy/systemd/install.sh'; }

check_system() {
    local machine bits
    machine=$(uname -m)
    bits=$(getconf LONG_BIT)
    case $machine in
        aarch64 | x86_64) ;;
        *) say "this processor is $machine, and the packages are for aarch64 and x86_64: use another board" ;;
    esac
    [[ $bits == 64 ]] || say 'this system is a 32-bit one: install the 64-bit Raspberry Pi OS'
}

check_systemd() {
    local version
    if [[ ! -d /run/systemd/system ]]; then
        say 'systemd does not run here: boot with it, or start "maskgate run" by what does'
        return
    fi
    version=$(systemctl --version | awk 'NR == 1 { print $2 }')
    at_least "$needed_systemd" "$version" ||
        say "systemd $version is too old: $needed_systemd is needed, which Debian 12 has"
}

# The unit sees no home directory, so a Python that lives in one is of no use.
find_python() {
    local name path
    for name in python3 python3.13 python3.12 python3.11; do
        path=$(command -v "$name") || continue
        [[ $(realpath "$path") != @(/home|/root|/run/user)/* ]] || continue
        "$path" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || continue
        say "$path"
        return
    done
}

check_python() {
    if [[ -z $python ]]; then
        say 'Python 3.11, 3.12 or 3.13 is missing: use Raspberry Pi OS or Debian 12 or later, or apt install python3'
    elif ! "$python" -I -c 'import venv, ensurepip' 2>/dev/null; then
        say "$python has no venv module: apt install python3-venv"
    fi
}

# What the wheels of the two runtimes and of OpenCV were linked against.
check_glibc() {
    local needed=2.28 found
    if [[ $(uname -m) == aarch64 && -n $python ]] &&
        "$python" -I -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then
        needed=2.34
    fi
    found=$(getconf GNU_LIBC_VERSION 2>/dev/null) || found='another C library'
    if [[ $found != glibc\ * ]] || ! at_least "$needed" "${found#glibc }"; then
        say "glibc $needed or later is missing, this is $found: use Raspberry Pi OS or Debian 12 or later"
    fi
}

check_space() {
    local there=$prefix free_mb
    while [[ ! -d $there ]]; do there=$(dirname "$there"); done
    free_mb=$(($(df --output=avail -k "$there" | tail -n 1) / 1024))
    ((free_mb >= needed_mb)) ||
        say "$needed_mb MB must be free in $there and $free_mb MB are: delete something, or take a larger card"
}

check_files() {
    local file
    for file in "$lock" "$sample" "$unit_source"; do
        [[ -f $file ]] || say "$file is missing: take the whole repository, not this script alone"
    done
    [[ ! -e $prefix/bin || -L $prefix/bin ]] ||
        say "$prefix holds an installation made by hand: rm -r $prefix (it holds neither settings nor events)"
}

check_machine() {
    local missing line
    python=$(find_python)
    missing=$(
        check_root
        check_system
        check_systemd
        check_python
        check_glibc
        check_space
        check_files
    )
    [[ -z $missing ]] && return
    while IFS= read -r line; do complain "$line"; done <<<"$missing"
    exit 69
}

# The release.

make_work_folder() {
    # Not /tmp, which is memory on some systems.
    mkdir -p "$prefix"
    rm -rf "$prefix"/.install.* # of an installation that was cut off
    work=$(mktemp -d "$prefix/.install.XXXXXX")
    export TMPDIR=$work
}

run_pip() {
    local environment=$1
    shift
    "$environment/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir "$@"
}

find_wheel() {
    local found
    [[ -z $wheel ]] || return 0
    if [[ -n $wheels ]]; then
        found=("$wheels"/maskgate-*.whl)
        [[ ${#found[@]} == 1 && -f ${found[0]} ]] || usage "$wheels must hold one maskgate-*.whl, or name the one to take"
        wheel=${found[0]}
    else
        say 'building the wheel from this checkout'
        "$python" -m venv "$work/build"
        run_pip "$work/build" wheel --no-deps -w "$work" "$checkout" || give_up 'it cannot be built; what runs was not touched'
        wheel=$(echo "$work"/maskgate-*.whl)
    fi
}

system_site_packages() {
    "$python" -I -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("picamera2") is None)' &&
        say --system-site-packages
}

# Two releases of one version differ in their folder if anything in them differs.
name_release() {
    local version hash
    version=$(basename "$wheel" | cut -d - -f 2)
    hash=$({
        sha256sum <"$wheel"
        sha256sum <"$lock"
        sha256sum <"$unit_source"
        "$python" -I -c 'import sys; print(sys.version)'
        system_site_packages || true
    } | sha256sum | head -c 8)
    release=$prefix/releases/$version-$hash
}

install_release() {
    local from=()
    [[ ! -f $release/complete ]] || return 0
    say "installing $(basename "$release")"
    rm -rf "$release"
    unfinished=$release
    # shellcheck disable=SC2046  # no word or one
    "$python" -m venv $(system_site_packages || true) "$release"
    [[ -z $wheels ]] || from=(--no-index --find-links "$wheels")
    # A package of the system that happens to be the locked version would be taken unchecked, and change with the system.
    run_pip "$release" install "${from[@]}" --ignore-installed --only-binary :all: --require-hashes -r "$lock" ||
        give_up 'the packages of requirements.lock cannot be installed; what runs was not touched'
    run_pip "$release" install --no-index --no-deps "$wheel" ||
        give_up "$wheel cannot be installed; what runs was not touched"
    install -m 644 "$unit_source" "$release/maskgate.service"
}

# The unit as it will be when the release runs: with the drop-ins that are here, in the order in which systemd takes them.
future_unit() { # RELEASE
    local folder dropins=$work/dropins
    mkdir -p "$dropins"
    for folder in /usr/lib /usr/local/lib /run /etc; do # of one name, the last one counts
        cp "$folder/systemd/system/maskgate.service.d"/*.conf "$dropins" 2>/dev/null || true
    done
    password_setting >"$dropins/$(basename "$password_dropin")"
    # Under another name it would be another dynamic user, and take the state away from the service that runs.
    printf '[Service]\nUser=maskgate\n' >"$work/user.conf"
    (
        export LC_ALL=C
        awk 1 "$1/maskgate.service" "$work/user.conf" "$dropins"/*.conf
    )
}

# Models, runtime and the configuration that is here, as the service will see them: with the credentials, the variables
# and the sandbox of its unit. What is found is in $work/check.
check_release() { # RELEASE
    {
        future_unit "$1"
        printf '%s\n' '[Service]' Type=oneshot Restart=no WatchdogSec=0 \
            ExecStartPre= ExecStart= ExecStartPost= ExecStopPost= \
            "ExecStart=$1/bin/maskgate check --offline --config $etc/maskgate.toml" \
            "StandardOutput=truncate:$work/check" StandardError=inherit
    } >"$check_unit"
    systemctl daemon-reload
    # It waits for no network.
    systemctl start --job-mode=ignore-dependencies "$(basename "$check_unit")" 2>/dev/null && return
    # Not a word of the program: it was not even started.
    [[ -s $work/check ]] || journal "$(basename "$check_unit")" >"$work/check"
    return 1
}

# Before anything that runs is touched.
try_release() {
    [[ -n $unfinished ]] || return 0
    check_release "$release" || {
        cat "$work/check" >&2
        give_up 'the new release cannot run here, for the reason above; what runs was not touched'
    }
    sync -f "$release" # or a power cut could leave a complete release of empty files
    touch "$release/complete"
    unfinished=''
}

# Configuration, unit, secrets.

install_configuration() {
    mkdir -p "$etc"
    [[ ! -e $etc/maskgate.toml ]] || return 0
    install -m 644 "$sample" "$etc/maskgate.toml"
    say "$etc/maskgate.toml: made from the sample; set your camera and your broker there"
}

put() { # SOURCE TARGET: copies what differs
    cmp -s "$1" "$2" && return
    install -D -m 644 "$1" "$2"
    changed=yes
}

password_setting() { # what the unit needs for it, or nothing
    [[ ! -f $password ]] || printf '[Service]\nLoadCredential=mqtt__password:%s\n' "$password"
}

try_password() {
    [[ -f $password && ! -f $password_dropin ]] || return 0
    check_release "$release" || {
        cat "$work/check" >&2
        give_up "with $password it cannot run, for the reason above; what runs was not touched"
    }
}

install_password() {
    if [[ -f $password ]]; then
        [[ $(stat -c %a "$password") == 600 ]] || chmod 600 "$password"
        password_setting >"$work/password.conf"
        put "$work/password.conf" "$password_dropin"
    elif [[ -f $password_dropin ]]; then
        rm "$password_dropin" # a unit whose credential is gone would not start
        changed=yes
    fi
}

# So that it is found by its name. Another program of that name stays.
link_command() {
    [[ ! -e $command_link && ! -L $command_link ]] || return 0
    ln -s "$prefix/bin/maskgate" "$command_link" || complain "call it $prefix/bin/maskgate"
}

# The service.

point() { # LINK TARGET: in one step, so that there is no moment without it
    [[ $(readlink "$1") != "$2" ]] || return 0
    ln -sfn "$2" "$1.new"
    mv -fT "$1.new" "$1"
    changed=yes
}

# Whether the service has said READY with it: the link alone does not tell, for an installation can be cut off.
runs() { # releases/NAME
    systemctl --quiet is-active maskgate &&
        grep -q -s -F "$prefix/$1/" "/proc/$(systemctl show -P MainPID maskgate)/cmdline"
}

# The one to go back to. What an installation that was cut off has left in $prefix/current may never have been READY.
release_before() {
    local current
    current=$(readlink "$prefix/current") || return 0
    if [[ -d $prefix/previous ]] && ! runs "$current"; then readlink "$prefix/previous"; else say "$current"; fi
}

switch_to() { # releases/NAME
    point "$prefix/current" "$1"
    point "$prefix/bin" current/bin
    put "$prefix/$1/maskgate.service" "$unit"
}

# Returns when the service has said READY, or with an error if it has not.
start() {
    systemctl daemon-reload
    systemctl reset-failed maskgate 2>/dev/null || true # there is nothing to reset the first time
    systemctl restart maskgate
}

journal() { # UNIT.service
    journalctl --sync # what has just been said may still be on its way
    # Not -u, which leaves out what systemd says in the process that was to become the program, when that has already gone.
    journalctl _UID=0 "UNIT=$1" + "_SYSTEMD_UNIT=$1" -o cat --no-pager -n "$journal_lines"
}

go_back() { # releases/NAME
    complain 'the new release did not reach READY; going back to the one before'
    journal "$(basename "$unit")" >&2
    systemctl stop maskgate
    switch_to "$1"
    rm -rf "$release" "$prefix/previous"
    start || give_up "the release before ($(basename "$1")) does not start either: journalctl -u maskgate"
    give_up "the release before ($(basename "$1")) runs again; configuration and state are as they were"
}

activate() {
    local before target
    before=$(release_before)
    target=releases/$(basename "$release")
    [[ -z $before || $before == "$target" ]] || ln -sfn "$before" "$prefix/previous"
    switch_to "$target"
    systemctl --quiet is-enabled maskgate 2>/dev/null || systemctl --quiet enable maskgate
    if [[ -z $changed ]] && runs "$target"; then
        say "$(basename "$release") is installed and runs; nothing was changed"
    elif ! start; then
        [[ -z $before || $before == "$target" ]] || go_back "$before"
        journal "$(basename "$unit")" >&2
        give_up 'installed, but the service does not start, for the reason above. Then: systemctl restart maskgate'
    else
        say "$(basename "$release") runs"
    fi
    rm -f "$prefix/previous"
}

remove_other_releases() {
    local other
    for other in "$prefix"/releases/*; do
        [[ $other == "$release" ]] || rm -rf "$other"
    done
}

status_text() { systemctl show -P StatusText maskgate; }

# Sources and the broker are the service's own, so it is asked about them: a camera opens only once.
show() {
    local waited=0
    check_release "$prefix/current" || true # what is shown decides nothing any more
    cat "$work/check"
    until [[ -n $(status_text) ]] || ((waited++ == status_limit_s)); do sleep 1; done
    say "service: $(systemctl show -P ActiveState maskgate), $(status_text)"
}

main() {
    read_arguments "$@"
    check_machine
    exec 9>/run/maskgate-install.lock # /run/lock is everybody's, who could lock it, or make it a link to something else
    flock -n 9 || give_up 'another install.sh is at work'
    trap clean_up EXIT
    make_work_folder
    find_wheel
    name_release
    install_release
    install_configuration
    try_release
    try_password
    install_password
    activate
    link_command
    remove_other_releases
    show
}

main "$@"
