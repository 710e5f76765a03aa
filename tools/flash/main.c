/* tocsin-flash-BOARD - makes and reads the flash image that one board boots from.
 *
 * One program a board, made of the device's own reader, certificate decoder, slots, journal and
 * queue: what it accepts, the device accepts; what it finds, the device finds. An image is worked
 * on in memory; only `create` writes one, and replaces the file in one step.
 */
#include "common.h"
#include "extract.h"
#include "image.h"
#include "input.h"
#include "report.h"
#include "verify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const char doc_begin[] = "<!-- table: begin -->\n";
static const char doc_end[] = "<!-- table: end -->\n";

static const char usage[] =
    "usage: " TOOL_NAME " COMMAND ...\n"
    "  create [--seedless] CONFIG IMAGE\n"
    "                       checks CONFIG and writes it into the flash image IMAGE, which is\n"
    "                       made if absent; an image that exists keeps its seed, its boot\n"
    "                       count, its queue and its counters. --seedless: a new image without\n"
    "                       a seed for random numbers, whose device refuses TLS\n"
    "  check CONFIG         checks it and shows all settings\n"
    "  list IMAGE           shows what it holds: configurations, settings without the secrets,\n"
    "                       seed, queue, counters, wear\n"
    "  verify IMAGE         checks every header, record and sum; status 1 if one is damaged\n"
    "  extract IMAGE [DIR]  writes the configurations, the queued alerts and the counters to\n"
    "                       files in DIR, which is made if absent; IMAGE.d if not named\n"
    "  doc FILE             renews the table of keys in docs/config.md\n"
    "Commands that read an image never change it.\n";

static void random_or_die(void *out, size_t size)
{
    if (getrandom(out, size, 0) != (ssize_t)size) {
        die(1, TOOL_NAME ": no random numbers: %s\n", strerror(errno));
    }
}

static void give_seed(struct image *image)
{
    uint8_t device_id[JOURNAL_DEVICE_ID_BYTES];
    uint8_t seed[JOURNAL_SEED_BYTES];
    int error;

    random_or_die(device_id, sizeof device_id);
    random_or_die(seed, sizeof seed);
    error = journal_seed_create(&image->journal, device_id, seed);
    if (error < 0) {
        die(1, "%s: the seed could not be written: %s\n", image->path,
            image->journal.problem != NULL ? image->journal.problem : error_name(error));
    }
}

static void take_seed(struct image *image)
{
    if (image->queue.count > 0) {
        die(1, "%s: it holds %u alert%s not yet sent, which --seedless would erase\n", image->path,
            image->queue.count, image->queue.count == 1 ? "" : "s");
    }
    image_clear_log(image);
}

/* What another version wrote is not written over, though it be the older of two configurations. */
static void refuse_foreign(const struct image *image)
{
    if (image->slots.foreign) {
        die(1,
            "%s: a configuration in it was written by another version, which this one cannot "
            "read; nothing was written\n",
            image->path);
    }
    if (image->journal.problem != NULL) {
        die(1, "%s: %s; nothing was written\n", image->path, image->journal.problem);
    }
}

static int create(const char *config_path, const char *image_path, bool seedless)
{
    static const char *const tls[] = {"TLS on connect", "STARTTLS", "clear text"};
    static struct image image;
    const struct input *input = input_check(config_path);
    const struct config *config = &input->config;
    int error;

    image_open(&image, image_path);
    refuse_foreign(&image);
    if (seedless) {
        take_seed(&image);
    } else if (!image.journal.seed_valid) {
        give_seed(&image);
    }
    error = slots_write(&image.slots, input->text.bytes, input->text.size);
    if (error < 0) {
        die(1, "%s: %s; nothing was written\n", image_path,
            image.slots.problem != NULL ? image.slots.problem : error_name(error));
    }
    image_save(&image);
    printf("%s: %s for " BOARD_NAME ": configuration %u, %zu bytes, %u CA certificate%s; %s",
           image_path, image.existed ? "updated" : "created", image.slots.sequence,
           input->text.size, config->ca_count, config->ca_count == 1 ? "" : "s",
           image.journal.seed_valid ? "with a seed" : "without a seed");
    if (image.queue.count > 0) {
        printf("; %u alert%s queued", image.queue.count, image.queue.count == 1 ? "" : "s");
    }
    printf("\n%s: mail from %s to %s%s through %s:%u, %s\n", image_path, config->from, config->to,
           config->to_count > 1 ? " and others" : "", config->mailhub.host, config->mailhub.port,
           tls[config->tls]);
    return 0;
}

static int check(const char *path)
{
    settings_print(&input_check(path)->config, "");
    return 0;
}

/* Puts the table made from the code between the two marks of the file. */
static int renew_doc(const char *path)
{
    static struct buffer file, out;
    char line[700];
    const char *begin, *end;
    FILE *stream;

    if (!read_file(path, INPUT_BYTES_MAX, &file)) {
        die(1, "%s: cannot read it: %s\n", path, strerror(errno));
    }
    begin = strstr(file.bytes, doc_begin);
    end = begin != NULL ? strstr(begin, doc_end) : NULL;
    if (end == NULL) {
        die(1, "%s: the marks around the table are not there\n", path);
    }
    append(&out, file.bytes, (size_t)(begin - file.bytes) + strlen(doc_begin));
    for (unsigned i = 0; config_doc_line(i, line, sizeof line) > 0; i++) {
        append_string(&out, line);
        append_string(&out, "\n");
    }
    append_string(&out, end);
    if (out.size == file.size && memcmp(out.bytes, file.bytes, out.size) == 0) {
        return 0;
    }
    stream = fopen(path, "wb");
    if (stream == NULL || fwrite(out.bytes, 1, out.size, stream) != out.size ||
        fclose(stream) != 0) {
        die(1, "%s: cannot write it: %s\n", path, strerror(errno));
    }
    printf("%s: table renewed\n", path);
    return 0;
}

/* Runs a command on its count arguments; -1: they are not those that it takes. */
static int run(const char *command, int count, char **argument)
{
    if (strcmp(command, "create") == 0) {
        bool seedless = count > 0 && strcmp(argument[0], "--seedless") == 0;

        return count - seedless == 2 ? create(argument[seedless], argument[seedless + 1], seedless)
                                     : -1;
    }
    if (strcmp(command, "extract") == 0 && (count == 1 || count == 2)) {
        return command_extract(argument[0], count == 2 ? argument[1] : NULL);
    }
    if (count != 1) {
        return -1;
    }
    return strcmp(command, "check") == 0    ? check(argument[0])
           : strcmp(command, "list") == 0   ? command_list(argument[0])
           : strcmp(command, "verify") == 0 ? command_verify(argument[0])
           : strcmp(command, "doc") == 0    ? renew_doc(argument[0])
                                            : -1;
}

int main(int argc, char **argv)
{
    int status = -1;

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-' && !(i == 2 && strcmp(argv[i], "--seedless") == 0)) {
            die(2, "%s", usage);
        }
    }
    if (argc >= 2) {
        status = run(argv[1], argc - 2, argv + 2);
    }
    if (status < 0) {
        die(2, "%s", usage);
    }
    if (fflush(stdout) != 0) {
        die(1, TOOL_NAME ": the output could not be written: %s\n", strerror(errno));
    }
    return status;
}
