#!/bin/sh
# Makes the keys, certificates and bundles that test_trust.c uses, in the folder given.
#
# Validity is counted from now; the tests move the clock instead of the certificates.
set -eu
mkdir -p "$1"
cd "$1"
printf '[req]\ndistinguished_name = dn\n[dn]\n' > req.cnf

# make NAME KEY ISSUER DAYS SUBJECT EXTENSION: NAME.pem and NAME.der. KEY is a curve, rsa:bits, or the
# name of one whose key it shares; ISSUER - is itself.
make() {
    name=$1 key=$2 issuer=$3 days=$4 subject=$5 extension=$6
    case $key in
    rsa:*) set -- -newkey "$key" -keyout "$name.key" ;;
    P-*) set -- -newkey ec -pkeyopt "ec_paramgen_curve:$key" -keyout "$name.key" ;;
    ed25519) set -- -newkey ed25519 -keyout "$name.key" ;;
    *) set -- -key "$key.key" ;;
    esac
    [ "$issuer" = - ] || set -- "$@" -CA "$issuer.pem" -CAkey "$issuer.key"
    openssl req -x509 -config req.cnf -nodes -days "$days" -subj "$subject" -addext "$extension" \
        -out "$name.pem" "$@" 2>> log
    openssl x509 -in "$name.pem" -outform der -out "$name.der"
}

ca='basicConstraints=critical,CA:TRUE'
san='subjectAltName=DNS:mail.example.com'

make old P-256 - 100 "/O=Old/CN=Old root" "$ca"
make new P-384 - 100 "/O=New/CN=New root" "$ca"
make cross new old 100 "/O=New/CN=New root" "$ca"  # The new root's key, vouched for by the old one.
make inter P-256 new 100 "/O=New/CN=Intermediate" "$ca"
make inter-brief inter new 5 "/O=New/CN=Intermediate" "$ca"
make inter-twin P-256 new 100 "/O=New/CN=Intermediate" "$ca"
make leaf P-256 inter 50 "/CN=mail.example.com" "$san"
make stranger P-256 - 100 "/O=Stranger/CN=Stranger root" "$ca"
make twin P-256 - 100 "/O=New/CN=New root" "$ca"  # Another key of the same name.
make brief P-256 - 5 "/O=Brief/CN=Brief root" "$ca"
make of-brief P-256 brief 50 "/CN=mail.example.com" "$san"
make rsa rsa:2048 - 100 "/O=RSA/CN=RSA root" "$ca"
make of-rsa P-256 rsa 50 "/CN=mail.example.com" "$san"
make self P-256 - 50 "/CN=mail.example.com" "$san"
make pinned P-256 stranger 50 "/CN=mail.example.com" "$san"
make weak rsa:1024 - 100 "/O=RSA/CN=Weak root" "$ca"
make of-weak P-256 weak 50 "/CN=mail.example.com" "$san"
make ed ed25519 - 100 "/CN=Ed25519 root" "$ca"
for i in 0 1 2 3 4 5 6 7 8 9; do
    make "fill$i" P-256 - 100 "/O=Filler/CN=Filler $i" "$ca"
    make "same$i" P-256 - 100 "/O=New/CN=New root" "$ca"
done
# A long path: each signs the next.
make path0 P-256 - 100 "/CN=Path 0" "$ca"
for i in 1 2 3 4 5 6 7 8 9 10 11; do
    make "path$i" P-256 "path$((i - 1))" 100 "/CN=Path $i" "$ca"
done
make of-path8 P-256 path8 50 "/CN=mail.example.com" "$san"
make of-path11 P-256 path11 50 "/CN=mail.example.com" "$san"

openssl x509 -in new.pem -trustout -addreject serverAuth -out trusted.pem
