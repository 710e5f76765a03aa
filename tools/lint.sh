#!/bin/sh
# lint.sh format [--fix] - are all C sources laid out as .clang-format says? With --fix: make it so.
# lint.sh static         - cppcheck and clang-tidy on C, shellcheck on shell; wants build/host.
set -eu

sources() {
    find net hal firmware boards tools tests -name '*.[ch]' ! -path '*/corpus/*' | sort
}

jobs=${JOBS:-$(nproc)}

format() {
    if [ "${1:-}" = --fix ]; then
        sources | xargs clang-format -i
        return
    fi
    status=0
    sources | xargs clang-format --dry-run -Werror 2>build/logs/clang-format.log || status=1
    if [ $status -ne 0 ]; then
        grep 'error:' build/logs/clang-format.log | cut -d: -f1 | sort | uniq -c |
            awk '{ printf "%s: laid out differently in %d places; make format\n", $2, $1 }'
    fi
    python3 tools/style.py || status=1
    return $status
}

# What the host build compiles, with its flags; tests prove themselves by running.
compiled() {
    sources | grep '\.c$' | grep -v '^tests/' | while read -r file; do
        if grep -q "\"file\": \".*/$file\"" build/host/compile_commands.json; then
            echo "$file"
        fi
    done
}

static() {
    status=0
    sources | grep '\.c$' | grep -v '^tests/' |
        xargs cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
            --suppress=arrayIndexThenCheck --suppress=normalCheckLevelMaxBranches \
            --suppress=missingIncludeSystem \
            --error-exitcode=1 -j "$jobs" -I . -D__GNUC__=12 -D__STDC_VERSION__=201112L \
            -D'__attribute__(x)=' -DTOCSIN_VERSION='""' -DBOARD_NAME='""' \
            --template='{file}:{line}: {severity}: {message} [{id}]' 2>&1 || status=1
    compiled | xargs -P "$jobs" -n 4 clang-tidy -p build/host --quiet \
        2>build/logs/clang-tidy.log || status=1
    find tools tests .ci \( -name '*.sh' -o -path .ci/run \) -print0 |
        xargs -0 shellcheck || status=1
    return $status
}

mkdir -p build/logs
command=${1:-}
case $command in
format | static)
    shift
    "$command" "$@"
    ;;
*)
    sed -n 's/^# \(lint.sh.*\)/\1/p' "$0" >&2
    exit 2
    ;;
esac
