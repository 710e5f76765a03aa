#!/bin/sh
# musl.sh ARCH JOBS MUSL_DIR - build the static C library of the Linux program into build/musl/ARCH.
#
# Out of the tree, once: again only when musl, the compiler or the flags below are other ones. Only
# what a mail program can need of it is compiled; a function of another folder ends in an undefined
# reference, and its folder then belongs into the list.
set -eu

arch=$1 jobs=$2 musl=$3
cc=$(tools/compiler.sh "$arch")

folders="conf ctype dirent env errno exit fcntl internal legacy linux locale malloc malloc/mallocng math
    misc mman multibyte network passwd prng process select setjmp signal stat stdio stdlib string
    temp termios thread time unistd"
flags="-Os -g0"

# As boards/linux/toolchain.cmake says, and why.
start=rcrt1.o
case $arch in
mips | mipsel) flags="$flags -msoft-float -fno-pie" start=crt1.o ;;
esac

target=build/musl/$arch
log=build/logs/musl-$arch.log
mkdir -p "$target" build/logs
exec 9>"build/logs/musl-$arch.lock"
flock 9

musl=$(cd "$musl" && pwd)
key="$musl $(cat "$musl/VERSION") $flags $folders $("$cc" -dumpmachine) $("$cc" -dumpfullversion)"
if [ "$(cat "$target/stamp" 2>/dev/null)" = "$key" ]; then
    exit 0
fi
echo "building musl for $arch"
rm -rf "$target"
mkdir -p "$target"

fail() {
    grep -E -A 4 'error|\*\*\*' "$log" | tail -n 40 >&2 || true
    echo "building musl for $arch failed; all of it is in $log" >&2
    exit 1
}

sources=$musl/crt
for folder in $folders; do
    sources="$sources $musl/src/$folder"
done
build() {
    # musl's own make knows an ARCH as well.
    unset ARCH MAKEFLAGS MFLAGS
    cd "$target" &&
        "$musl/configure" --prefix="$PWD" --disable-shared --disable-wrapper \
            --enable-optimize=size --target="$("$cc" -dumpmachine)" CC="$cc" AR=ar RANLIB=ranlib \
            CFLAGS="$flags" &&
        make -j "$jobs" SRC_DIRS="$sources" lib/libc.a "lib/$start" install-headers &&
        mv "lib/$start" lib/start.o &&
        rm -rf obj config.mak Makefile
}
(build) >"$log" 2>&1 || fail
printf '%s\n' "$key" >"$target/stamp"
