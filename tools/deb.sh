#!/bin/sh
# deb.sh ARCH - a Debian package of build/linux-ARCH/tocsin: build/tocsin_VERSION_ARCHITECTURE.deb.
#
# DEBFULLNAME and DEBEMAIL name who answers for it.
set -eu

arch=$1
debian=boards/linux/debian
root=build/deb/$arch

case $arch in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
armv7) architecture=armhf ;;
*) architecture=$arch ;;
esac
version=$(sed -n 's/^set(TOCSIN_VERSION "\([^"]*\)".*/\1/p' CMakeLists.txt | sed 's/-\(dev\|rc\)/~\1/')
maintainer="${DEBFULLNAME:-The Tocsin authors} <${DEBEMAIL:-tocsin@tocsin.example}>"
# The same sources make the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
umask 022

rm -rf "$root"
mkdir -p "$root/DEBIAN"
DESTDIR=$root PREFIX=/usr tools/install.sh "build/linux-$arch/tocsin"
rm "$root/etc/tocsin.conf.example"
# postinst gives them their group.
chmod 755 "$root/usr/bin/tocsin"

share=$root/usr/share
install -d "$share/tocsin" "$share/doc/tocsin" "$share/lintian/overrides" "$root/etc/cron.d"
install -m 644 boards/linux/tocsin.conf.example "$share/tocsin/tocsin.conf"
install -m 644 "$debian/lintian-overrides" "$share/lintian/overrides/tocsin"
install -m 644 "$debian/cron.d" "$root/etc/cron.d/tocsin"
find "$share/man" -type f -exec gzip -9n {} +
find "$share/man" -type l | while read -r link; do
    ln -s "$(readlink "$link").gz" "$link.gz"
    rm "$link"
done
{
    echo "Tocsin, and the libraries that are in the program."
    echo
    for file in LICENSE "$BEARSSL/LICENSE.txt" "$MUSL/COPYRIGHT"; do
        case $file in
        */LICENSE.txt) echo "BearSSL:" ;;
        */COPYRIGHT) echo "musl:" ;;
        *) echo "Tocsin:" ;;
        esac
        echo
        sed 's/^/    /; s/ *$//' "$file"
        echo
    done
} >"$share/doc/tocsin/copyright"
cat >"$root/changelog" <<END
tocsin ($version) unstable; urgency=medium

  * See CHANGELOG.md of the sources.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
gzip -9nc "$root/changelog" >"$share/doc/tocsin/changelog.gz"
rm "$root/changelog"

for script in postinst prerm postrm; do
    install -m 755 "$debian/$script" "$root/DEBIAN/$script"
done
echo /etc/cron.d/tocsin >"$root/DEBIAN/conffiles"
(cd "$root" && find etc usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
size=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed "s|@VERSION@|$version|; s|@ARCH@|$architecture|; s|@MAINTAINER@|$maintainer|; s|@SIZE@|$size|" \
    "$debian/control" >"$root/DEBIAN/control"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
package=build/tocsin_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >build/logs/deb.log 2>&1 || {
    cat build/logs/deb.log >&2
    exit 1
}
rm -rf "$root"
echo "$package: $(stat -c %s "$package") bytes"
