#!/usr/bin/env bash
# Removes what install.sh installed: docs/install.md.
#
#     sudo deploy/systemd/uninstall.sh [--purge]
#
# --purge  the configuration, the password, events that wait for the broker and dropped-in pictures, too
set -euo pipefail

readonly prefix=/opt/maskgate
readonly command_link=/usr/local/bin/maskgate
readonly etc=/etc/maskgate
readonly unit=/etc/systemd/system/maskgate.service
readonly dropins=$unit.d
readonly state=(/var/lib/private/maskgate /var/lib/maskgate) # the folder of a dynamic user, and the link to it

say() { printf '%s\n' "$*"; }

read_arguments() {
    purge=''
    case ${1-} in
        '') ;;
        --purge) purge=yes ;;
        -h | --help)
            sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *)
            printf 'uninstall.sh: %s: no such option\nusage: uninstall.sh [--purge]\n' "$1" >&2
            exit 2
            ;;
    esac
    if ((EUID != 0)); then
        printf 'uninstall.sh: this must run as root: sudo deploy/systemd/uninstall.sh\n' >&2
        exit 69
    fi
}

remove_service() {
    [[ ! -e $unit ]] || systemctl --quiet disable --now maskgate
    rm -f "$unit" "$dropins/mqtt-password.conf"
    [[ -z $purge ]] || rm -rf "$dropins"
    [[ ! -d $dropins ]] || rmdir --ignore-fail-on-non-empty "$dropins"
    systemctl daemon-reload
    systemctl reset-failed maskgate 2>/dev/null || true # it had not failed
}

main() {
    local left=() path
    read_arguments "$@"
    remove_service
    [[ $(readlink "$command_link") != "$prefix/bin/maskgate" ]] || rm "$command_link"
    rm -rf "$prefix"
    [[ -z $purge ]] || rm -rf "$etc" "${state[@]}"
    for path in "$etc" "$dropins" "${state[@]}"; do
        [[ ! -e $path && ! -L $path ]] || left+=("$path")
    done
    say "removed: $prefix, $unit"
    ((${#left[@]} == 0)) || say "left (gone with --purge): ${left[*]}"
    say 'left: the journal of the service, and folders outside /var/lib/maskgate that the configuration named'
}

main "$@"
