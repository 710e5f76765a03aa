#!/bin/sh
# install.sh PROGRAM - put the Linux program, the flash tools beside it and the manual pages in their
# places; `make install`.
#
# DESTDIR and PREFIX are variables of the environment; FORCE=1 replaces another sendmail.
set -eu

program=$1
destdir=${DESTDIR:-}
prefix=${PREFIX:-/usr}
linux=boards/linux
group=tocsin

# A program that another package has installed is not ours to overwrite.
for name in sbin/sendmail lib/sendmail bin/mailq bin/newaliases; do
    path=$destdir$prefix/$name
    case $(readlink "$path" || true) in
    tocsin | ../bin/tocsin) continue ;;
    esac
    if [ "${FORCE:-}" != 1 ] && { [ -e "$path" ] || [ -L "$path" ]; }; then
        echo "$path is another program's: remove its package first, or say FORCE=1, or PREFIX=/usr/local" >&2
        exit 1
    fi
done

install -d "$destdir$prefix/bin" "$destdir$prefix/sbin" "$destdir$prefix/lib" "$destdir/etc"
install -m 755 "$program" "$destdir$prefix/bin/tocsin"
ln -sf tocsin "$destdir$prefix/bin/mailq"
ln -sf tocsin "$destdir$prefix/bin/newaliases"
ln -sf ../bin/tocsin "$destdir$prefix/sbin/sendmail"
ln -sf ../bin/tocsin "$destdir$prefix/lib/sendmail"
for page in "$linux"/man/*.[0-9]; do
    folder=$destdir$prefix/share/man/man${page##*.}
    install -d "$folder"
    install -m 644 "$page" "$folder"
done
for tool in "${program%/*}"/tocsin-flash-*; do
    if [ -x "$tool" ]; then
        install -m 755 "$tool" "$destdir$prefix/bin"
        ln -sf tocsin.8 "$destdir$prefix/share/man/man8/${tool##*/}.8"
    fi
done
ln -sf tocsin-sendmail.8 "$destdir$prefix/share/man/man8/sendmail.8"
install -m 644 "$linux/tocsin.conf.example" "$destdir/etc/tocsin.conf.example"
install -d "$destdir$prefix/lib/systemd/system"
for unit in "$linux"/systemd/*; do
    sed "s|/usr/|$prefix/|" "$unit" >"$destdir$prefix/lib/systemd/system/${unit##*/}"
    chmod 644 "$destdir$prefix/lib/systemd/system/${unit##*/}"
done
install -d -m 2770 "$destdir/var/spool/tocsin" "$destdir/var/lib/tocsin"

# Each user may queue mail and none may read the password: the program has the rights of a group.
if [ "$(id -u)" = 0 ] && getent group "$group" >/dev/null; then
    chgrp "$group" "$destdir$prefix/bin/tocsin"
    # With what was made there before there was the group; links are not followed.
    chgrp -Rh "$group" "$destdir/var/spool/tocsin" "$destdir/var/lib/tocsin"
    chmod 2755 "$destdir$prefix/bin/tocsin"
    chmod 2770 "$destdir/var/spool/tocsin" "$destdir/var/lib/tocsin"
elif [ -z "$destdir" ]; then
    echo "There is no group \"$group\", so that only root can queue mail. As root:"
    echo "    adduser --system --group --no-create-home --home /nonexistent $group"
    echo "and install again."
fi
