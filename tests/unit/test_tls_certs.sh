#!/bin/sh
# Makes the keys and certificates that test_tls.c and test_pem.c use, in the folder given.
#
# Validity is counted from now; the tests move the clock instead of the certificates.
set -eu
mkdir -p "$1"
cd "$1"
printf '[req]\ndistinguished_name = dn\n[dn]\n' > req.cnf

ca='basicConstraints=critical,CA:TRUE'
san='subjectAltName=DNS:mail.example.com'

# make NAME KEY ISSUER DAYS SUBJECT [EXTENSION...]: NAME.key and NAME.pem; ISSUER - is itself.
make() {
    name=$1 key=$2 issuer=$3 days=$4 subject=$5
    shift 5
    case $key in
    rsa:*) set -- -newkey "$key" "$@" ;;
    ed25519) set -- -newkey ed25519 "$@" ;;
    *) set -- -newkey ec -pkeyopt "ec_paramgen_curve:$key" "$@" ;;
    esac
    count=$#
    while [ "$count" -gt 0 ]; do
        case $1 in
        *=*) set -- "$@" -addext "$1" ;;
        *) set -- "$@" "$1" ;;
        esac
        shift
        count=$((count - 1))
    done
    [ "$issuer" = - ] || set -- "$@" -CA "$issuer.pem" -CAkey "$issuer.key"
    openssl req -x509 -config req.cnf -nodes -days "$days" -subj "$subject" -utf8 \
        -keyout "$name.key" -out "$name.pem" "$@" 2>> log
}

make root-rsa rsa:2048 - 100 "/O=Tocsin/CN=RSA root" "$ca"
make root-4096 rsa:4096 - 100 "/CN=Large root" "$ca" "$san" -sha512 # Serves itself as well.
make root-p256 P-256 - 100 "/CN=P-256 root" "$ca"
make root-p384 P-384 - 100 "/CN=P-384 root" "$ca" -sha384
make root-other P-256 - 100 "/CN=Another root" "$ca"

make inter-p256 P-256 root-p384 50 "/CN=Intermediate" "$ca" -sha384
make inter-rsa rsa:2048 root-rsa 50 "/CN=RSA intermediate" "$ca"
make inter-brief P-256 root-p256 5 "/CN=Brief intermediate" "$ca"
make inter-false P-256 root-p256 50 "/CN=No CA" basicConstraints=CA:FALSE
make inter-bare P-256 root-p256 50 "/CN=Bare"
make inter-path0 P-256 root-p256 50 "/CN=Path 0" "$ca,pathlen:0"
make inter-path1 P-256 inter-path0 50 "/CN=Path 1" "$ca"
make inter-names P-256 root-p256 50 "/CN=Constrained" "$ca" \
    "nameConstraints=permitted;DNS:example.org"
make inter-client P-256 root-p256 50 "/CN=For clients" "$ca" extendedKeyUsage=clientAuth
make inter-nosign P-256 root-p256 50 "/CN=No signing" "$ca" keyUsage=critical,digitalSignature

make rsa rsa:2048 root-rsa 30 "/CN=mail.example.com" "$san"
make by4096 P-256 root-4096 30 "/CN=mail.example.com" "$san" -sha512
make p256 P-256 root-p256 30 "/CN=mail.example.com" "$san"
make p384 P-384 root-p384 30 "/CN=mail.example.com" "$san" -sha384
make p521 P-521 root-p256 30 "/CN=mail.example.com" "$san"
make mixed rsa:2048 inter-p256 30 "/CN=mail.example.com" "$san"
make chained P-256 inter-rsa 30 "/CN=mail.example.com" "$san"
make brief P-256 inter-brief 30 "/CN=mail.example.com" "$san"
make false P-256 inter-false 30 "/CN=mail.example.com" "$san"
make bare P-256 inter-bare 30 "/CN=mail.example.com" "$san"
make path P-256 inter-path1 30 "/CN=mail.example.com" "$san"
make names P-256 inter-names 30 "/CN=mail.example.com" "$san"
make ofclient P-256 inter-client 30 "/CN=mail.example.com" "$san"
make ofnosign P-256 inter-nosign 30 "/CN=mail.example.com" "$san"

make wild P-256 root-p256 30 "/CN=wild" "subjectAltName=DNS:*.example.com"
make cn P-256 root-p256 30 "/CN=mail.example.com"
make cnsan P-256 root-p256 30 "/CN=mail.example.com" \
    "subjectAltName=DNS:a.example.com,DNS:b.example.com"
make nosubject P-256 root-p256 30 "/" "$san"
make address P-256 root-p256 30 "/CN=host" "subjectAltName=DNS:host,IP:127.0.0.1"
make address2 P-256 root-p256 30 "/CN=127.0.0.1" "subjectAltName=DNS:127.0.0.1,IP:127.0.0.2"
# A NUL in a name must not end it: dNSName "mail.example.com\0.x".
make nul P-256 root-p256 30 "/CN=x" \
    "2.5.29.17=DER:301582136D61696C2E6578616D706C652E636F6D002E78"
make client P-256 root-p256 30 "/CN=mail.example.com" "$san" extendedKeyUsage=clientAuth
make server P-256 root-p256 30 "/CN=mail.example.com" "$san" extendedKeyUsage=clientAuth,serverAuth
make critical P-256 root-p256 30 "/CN=mail.example.com" "$san" 1.2.3.4=critical,DER:0500
make sha1 rsa:2048 root-rsa 30 "/CN=mail.example.com" "$san" -sha1
make rsa1024 rsa:1024 root-rsa 30 "/CN=mail.example.com" "$san"
make pss rsa:2048 root-rsa 30 "/CN=mail.example.com" "$san" -sigopt rsa_padding_mode:pss
make ed25519 ed25519 - 30 "/CN=Ed25519 root" "$ca"
make unknown P-256 root-other 30 "/CN=mail.example.com" "$san"

make self-ca P-256 - 30 "/CN=mail.example.com" "$san" "$ca"
make self-false rsa:2048 - 30 "/CN=mail.example.com" "$san" basicConstraints=CA:FALSE
make self-bare P-256 - 30 "/CN=mail.example.com"
make self-rsa rsa:2048 - 30 "/CN=mail.example.com" # X.509 version 1, as it has no extension.
make self-escape P-256 - 30 "/CN=$(printf 'red \033[31m alert')"

# The same name as root-p256 with another key.
make root-twin P-256 - 100 "/CN=P-256 root" "$ca"
