#!/bin/sh
# compiler.sh ARCH - the name of the C compiler that makes Linux programs for this architecture.
# compiler.sh      - the architectures that there are.
set -eu

case ${1:-} in
'')
    echo aarch64 armv7 mips mipsel riscv64 x86_64
    exit 0
    ;;
armv7) triplet=arm-linux-gnueabihf own=armv7l ;;
aarch64 | mips | mipsel | riscv64 | x86_64) triplet=$1-linux-gnu own=$1 ;;
*)
    echo "ARCH=$1 is none of: $("$0")" >&2
    exit 2
    ;;
esac
# `uname -m` says mips for both byte orders, so there the compiler is always asked for by its name.
if [ "$own" = "$(uname -m)" ] && [ "$own" != mips ]; then
    echo gcc
else
    echo "$triplet-gcc"
fi
