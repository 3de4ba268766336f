#!/usr/bin/env bash
# Tests with another Python than that of .venv: make test-pythons.
#
#     tests/with_python.sh VERSION
#
# An environment of its own from requirements-dev.lock; then the tests of tests/edge/, those of the code's shape, and the daemon end to
# end: a watched folder, a real broker, an independent subscriber. What is left to the first Python is tests/train/, tests/fuzz/, the rest of
# tests/system/ (other machines, containers and streams, which know no version of Python), and two files that start a program for nearly
# every test, a third of the time of tests/edge/: `classify` and `run` are run all the same. Between the oldest and the newest, what is in
# tests/edge/ is left to these two: what works with both works in between, and the daemon end to end shows it.
# Where the interpreter is missing, the run is skipped with a reason; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1
environment=.venv-$version

# Of this name on PATH, if it runs (a shim of pyenv may not), or among the versions of pyenv.
find_python() {
    local path
    for path in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        if "$path" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$path"
            return
        fi
    done
}

python=$(find_python)
if [[ -z $python ]]; then
    echo "Python $version is missing (with its venv module): apt-get install python$version-venv, or pyenv install $version" >&2
    [[ ${CI-} != true ]] || exit 1
    exit 0
fi

if [[ ! $environment/done -nt requirements-dev.lock ]]; then
    rm -rf "$environment"
    "$python" -m venv "$environment"
    pip=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile)
    "${pip[@]}" --require-hashes -r requirements-dev.lock
    "${pip[@]}" --no-build-isolation -e .
    touch "$environment/done"
fi

tests=(tests/test_house.py tests/system/test_folder.py::test_dropped_in_files_become_records_and_events)
many_starts=(tests/edge/cli/test_commands.py tests/edge/cli/test_classify_pictures.py)
[[ $version == 3.12 ]] || tests+=(tests/edge "${many_starts[@]/#/--ignore=}")
exec "$environment/bin/pytest" -q -p no:cacheprovider "${tests[@]}"
