/* tocsin - the computer's side of mailed orders: keys, signed orders, one-time passwords.
 *
 * Made of the device's own code (net/digest, net/mailed, net/otp). No secret is ever an argument,
 * where other users of the computer could see it.
 */
#include "common.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: tocsin COMMAND ...\n"
    "  key hmac [FILE]    makes a key for HMAC-SHA-256 and prints the line for the device's\n"
    "                     configuration, which is also the key file; FILE: writes it there too\n"
    "  key ecdsa FILE     makes a P-256 key pair: the private key goes to FILE, the line with\n"
    "                     the public one for the device's configuration is printed\n"
    "  key public FILE    prints that line for a private key in PEM that exists\n"
    "  sign --key FILE --device ID --to ADDRESS [OPTION...] COMMAND...\n"
    "                     prints an order as a mail, ready for `sendmail -t`\n"
    "      --key FILE       a private key in PEM, or the key of HMAC\n"
    "      --device ID      the 16 digits that `status` shows\n"
    "      --counter N      greater than any before; seconds since 1970 if not given\n"
    "      --from ADDRESS   else the mail program adds its own\n"
    "      --text FILE      what follows the command, like the configuration of\n"
    "                       `config import`; - is the standard input\n"
    "      --body           the signed block alone, to paste into a mail\n"
    "  otp seed           makes a seed for a new chain\n"
    "  otp chain --seed SEED --sequence N\n"
    "                     prints the line for the device's configuration; N - 1 is the first\n"
    "                     password that can be used, 0 the last\n"
    "  otp list --seed SEED --sequence N [--count 30]\n"
    "                     prints the next passwords; N is the number in the device's\n"
    "                     configuration or report, the first one listed is N - 1\n"
    "      --phrase-file FILE  for both: its first line is the pass phrase, which else is asked\n"
    "                       for on the terminal\n"
    "docs/commands.md tells what a device does with all this.\n";

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        (argc > 2 && strcmp(argv[2], "--help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (strcmp(command, "key") == 0) {
        return command_key(argc - 2, argv + 2);
    }
    if (strcmp(command, "sign") == 0) {
        return command_sign(argc - 2, argv + 2);
    }
    if (strcmp(command, "otp") == 0) {
        return command_otp(argc - 2, argv + 2);
    }
    fputs(usage, stderr);
    return 2;
}
