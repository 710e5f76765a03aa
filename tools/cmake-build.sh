#!/bin/sh
# cmake-build.sh FOLDER TARGETS JOBS [cmake options] - configure and build into build/FOLDER.
#
# Quiet when it works; when not, what matters of build/logs/build-FOLDER.log is shown.
set -eu

folder=$1 targets=$2 jobs=$3
shift 3
log=build/logs/build-$folder.log
mkdir -p build/logs

# Two makes in one checkout take turns, instead of writing the same files.
exec 9>"build/logs/build-$folder.lock"
flock 9

fail() {
    grep -E -A 4 'error:|Error at|undefined reference|overflowed' "$log" | tail -n 60 >&2 || true
    echo "building $folder failed; all of it is in $log" >&2
    exit 1
}

# A sign of life for the first build, which takes a while.
if [ ! -e "build/$folder/CMakeCache.txt" ]; then
    echo "building $folder"
fi
cmake -S . -B "build/$folder" -G "Unix Makefiles" "$@" >"$log" 2>&1 || fail
# shellcheck disable=SC2086 # TARGETS is a list
cmake --build "build/$folder" --parallel "$jobs" --target $targets >>"$log" 2>&1 || fail
