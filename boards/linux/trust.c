/* trust.c - looks for the anchors of a chain in PEM files, and decodes no more than it must
 * (RFC 7468, RFC 5280 4.1).
 *
 * A file is read in pieces into a window that holds any one certificate whole. Of a certificate
 * whose lines are all of one length every byte can be found without the ones before: so its outer
 * lengths lead from field to field to the subject, and to the END line, which has to be just there.
 * A certificate that is written otherwise is decoded from its beginning.
 */
#include "boards/linux/trust.h"

#include "net/digest.h"
#include "net/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_BYTES 32768u     /* A certificate's text must fit; 16 KB is already unheard of. */
#define TOTAL_BYTES (16u << 20) /* Of all files of one search. */
#define FILES_MAX 2000u         /* Of one folder. */
#define BEGIN_BYTES 128         /* Longest BEGIN line. */
#define PATH_BYTES 512

/* Where the systems keep theirs; NULL ends it. */
static const char *const usual[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, OpenWrt, Alpine */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* ... older */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/pki/tls/cacert.pem",                           /* OpenELEC */
    "/etc/ssl/cert.pem",                                 /* Alpine, BSDs, macOS */
    "/usr/local/share/certs/ca-root-nss.crt",            /* FreeBSD */
    "/etc/ssl/certs",                                    /* OpenWrt's ca-certificates */
    NULL,
};

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";
static const char certificate_end[] = "CERTIFICATE-----";

/* One search through all files. */
struct search {
    struct trust *trust;
    const struct tls_dn *names;
    size_t count;
    uint64_t unix_s;
    uint32_t bytes_left;
    struct digest_sha256 *identity; /* Gets what tells the files apart; NULL: not wanted. */
    bool any;                       /* Stop at the first certificate: is there one at all? */
    bool seen;
};

/* The text of one certificate in the window, whose lines are all of one length. */
struct body {
    const char *text; /* The first line. */
    size_t width;     /* Of a line: characters ... */
    size_t step;      /* ... and with its end. */
    size_t limit;     /* Bytes that are encoded for sure. */
    bool bad;         /* A byte was asked for that is not there. */
};

/* 0..63; 64: not of the alphabet. */
static unsigned base64_value(char c)
{
    return c >= 'a' && c <= 'z'   ? (unsigned)(c - 'a') + 26
           : c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A')
           : c >= '0' && c <= '9' ? (unsigned)(c - '0') + 52
           : c == '+'             ? 62u
           : c == '/'             ? 63u
                                  : 64u;
}

static unsigned digit(struct body *body, size_t index)
{
    unsigned value =
        base64_value(body->text[index / body->width * body->step + index % body->width]);

    body->bad = body->bad || value > 63;
    return value;
}

/* The byte at an offset in the certificate. */
static uint8_t byte_at(struct body *body, size_t at)
{
    size_t index = at / 3 * 4 + at % 3;
    unsigned shift = 2 * (unsigned)(at % 3) + 2; /* Bits that are the first digit's. */

    if (body->bad || at >= body->limit) {
        body->bad = true;
        return 0;
    }
    return (uint8_t)(digit(body, index) << shift | digit(body, index + 1) >> (6 - shift));
}

/* Takes an element's head at *at, whose contents must lie within limit; returns their length. */
static size_t take_head(struct body *body, size_t *at, uint8_t tag)
{
    size_t length;
    unsigned bytes;

    body->bad = body->bad || byte_at(body, *at) != tag;
    length = byte_at(body, *at + 1);
    *at += 2;
    if (length >= 0x80) {
        bytes = length & 0x7F;
        body->bad = body->bad || bytes == 0 || bytes > 2;
        for (length = 0; bytes > 0 && !body->bad; bytes--) {
            length = length << 8 | byte_at(body, (*at)++);
        }
    }
    body->bad = body->bad || length > body->limit || *at > body->limit - length;
    return length;
}

static void skip(struct body *body, size_t *at, uint8_t tag)
{
    size_t length = take_head(body, at, tag);

    *at += length;
}

/* Finds out how the lines behind the BEGIN line are; false: not all alike. On success *end is where
 * the END line begins. */
static bool measure(struct body *body, const char *text, const char *limit, const char **end)
{
    const char *line_end = memchr(text, '\n', (size_t)(limit - text));
    size_t at = 0;
    size_t total;
    size_t chars;
    size_t lines;

    if (line_end == NULL) {
        return false;
    }
    body->text = text;
    body->step = (size_t)(line_end - text) + 1;
    body->width = body->step - (body->step > 1 && line_end[-1] == '\r' ? 2 : 1);
    if (body->width < 8 || body->width % 4 != 0) {
        return false;
    }
    body->limit = body->width / 4 * 3; /* The first line at least. */
    body->bad = false;
    if (byte_at(body, 0) != 0x30 || byte_at(body, 1) != 0x82) {
        return false; /* A certificate takes between 256 and 65,535 bytes, or is odd. */
    }
    total = 4u + ((size_t)byte_at(body, 2) << 8 | byte_at(body, 3));
    chars = (total + 2) / 3 * 4;
    lines = (chars + body->width - 1) / body->width;
    at = chars + lines * (body->step - body->width);
    if (body->bad || at + sizeof end_mark - 1 > (size_t)(limit - text) ||
        memcmp(text + at, end_mark, sizeof end_mark - 1) != 0) {
        return false;
    }
    for (size_t i = 1; i < lines; i++) {
        if (text[i * body->step - 1] != '\n') {
            return false;
        }
    }
    body->limit = total;
    *end = text + at;
    return true;
}

/* Whether the certificate's subject is one of the names. */
static bool is_wanted(struct body *body, const struct search *search)
{
    size_t at = 0;
    size_t subject;
    size_t size;

    take_head(body, &at, 0x30);
    take_head(body, &at, 0x30);
    if (byte_at(body, at) == 0xA0) {
        skip(body, &at, 0xA0);
    }
    skip(body, &at, 0x02); /* Serial number, */
    skip(body, &at, 0x30); /* signature algorithm, */
    skip(body, &at, 0x30); /* issuer, */
    skip(body, &at, 0x30); /* validity. */
    subject = at;
    skip(body, &at, 0x30);
    size = at - subject;
    for (size_t i = 0; i < search->count && !body->bad; i++) {
        size_t left = search->names[i].size;

        if (left == size) {
            /* Names begin alike and end otherwise. */
            while (left > 0 &&
                   byte_at(body, subject + left - 1) == search->names[i].bytes[left - 1]) {
                left--;
            }
            if (left == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool same_anchor(const br_x509_trust_anchor *a, const uint8_t *a_end,
                        const br_x509_trust_anchor *b, const uint8_t *b_end)
{
    size_t size = (size_t)(a_end - a->dn.data);

    return a->flags == b->flags && size == (size_t)(b_end - b->dn.data) &&
           memcmp(a->dn.data, b->dn.data, size) == 0;
}

/* Takes the newest anchor away again where it does not help: it is there already (the same file by
 * another name), or its subject is not wanted. */
static bool is_useful(const struct search *search)
{
    const struct tls_anchors *anchors = &search->trust->anchors;
    const br_x509_trust_anchor *last = &anchors->anchor[anchors->count - 1];

    for (const br_x509_trust_anchor *one = anchors->anchor; one < last; one++) {
        if (same_anchor(one, one[1].dn.data, last, anchors->bytes + anchors->bytes_used)) {
            return false;
        }
    }
    for (size_t i = 0; i < search->count; i++) {
        if (search->names[i].size == last->dn.len &&
            memcmp(search->names[i].bytes, last->dn.data, last->dn.len) == 0) {
            return true;
        }
    }
    return false;
}

/* Remembers what was wrong with a certificate of a wanted name. */
static void note(const struct search *search, const char *why)
{
    struct trust *trust = search->trust;

    text_print(trust->where, sizeof trust->where, "%s: %s", trust->path, why);
}

/* Decodes a certificate; wanted: it is known to have one of the names. */
static void add(struct search *search, const char *text, size_t size, bool wanted)
{
    struct tls_anchors *anchors = &search->trust->anchors;
    size_t count = anchors->count;
    size_t bytes_used = anchors->bytes_used;
    const char *why = "";
    struct tls_pem pem;
    bool good;

    tls_pem_init(&pem, anchors);
    good = tls_pem_push(&pem, text, size, &why) >= 0 && tls_pem_end(&pem, &why) == 1;
    if (good && !is_useful(search)) {
        good = false;
    } else if (good && (search->unix_s > pem.cert.not_after_unix_s ||
                        search->unix_s < pem.cert.not_before_unix_s)) {
        note(search, "it is there but out of date");
        good = false;
    } else if (!good && wanted) {
        note(search, why);
    }
    if (!good) {
        anchors->count = count;
        anchors->bytes_used = bytes_used;
    }
}

/* Whether [text, end) is "-----BEGIN X CERTIFICATE-----" with the blanks that people leave. */
static bool is_begin(const char *text, const char *end)
{
    static const char trusted[] = " TRUSTED ";
    size_t size;

    while (end > text && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) {
        end--;
    }
    size = (size_t)(end - text);
    if (size < sizeof begin_mark + sizeof certificate_end - 2 ||
        memcmp(end - (sizeof certificate_end - 1), certificate_end, sizeof certificate_end - 1) !=
            0) {
        return false;
    }
    end -= sizeof certificate_end - 1;
    return !((size_t)(end - text) >= sizeof trusted - 1 &&
             memcmp(end - (sizeof trusted - 1), trusted, sizeof trusted - 1) == 0);
}

/* The END line of a certificate that is written in its own way, or the BEGIN line of the next, when
 * the END is missing; NULL: neither is in sight. */
static const char *find_end(const char *text, const char *limit)
{
    while ((text = memchr(text, '-', (size_t)(limit - text))) != NULL) {
        size_t left = (size_t)(limit - text);

        if ((left >= sizeof end_mark && memcmp(text, end_mark, sizeof end_mark - 1) == 0) ||
            (left >= sizeof begin_mark && memcmp(text, begin_mark, sizeof begin_mark - 1) == 0)) {
            return text;
        }
        text++;
    }
    return NULL;
}

/* Takes one block that begins at text. Returns what lies behind what was taken; NULL: more of the
 * file is needed. */
static const char *take_block(struct search *search, const char *text, const char *limit)
{
    const char *begin_end = memchr(text, '\n', (size_t)(limit - text));
    const char *line_end;
    const char *end = NULL;
    struct body body;
    bool regular;
    bool wanted = false;

    if (begin_end == NULL) {
        return limit - text < BEGIN_BYTES ? NULL : text + 1;
    }
    if (!is_begin(text, begin_end)) {
        return begin_end;
    }
    search->seen = true;
    if (search->any) {
        return limit;
    }
    regular = measure(&body, begin_end + 1, limit, &end);
    if (!regular) {
        end = find_end(begin_end + 1, limit);
    }
    if (end != NULL && end[5] == 'B') {
        return end;
    }
    line_end = end != NULL ? memchr(end, '\n', (size_t)(limit - end)) : NULL;
    if (line_end == NULL) {
        return NULL;
    }
    if (regular) {
        wanted = is_wanted(&body, search);
    }
    if (!regular || wanted || body.bad) {
        add(search, text, (size_t)(line_end + 1 - text), wanted);
    }
    return line_end;
}

/* Looks through what is in the window; returns how much of it is done with. */
static size_t take_window(struct search *search, const char *window, size_t size)
{
    const char *limit = window + size;
    const char *at = window;

    while ((at = memchr(at, '-', (size_t)(limit - at))) != NULL) {
        const char *behind = at + 1;

        if (memcmp(at, begin_mark, sizeof begin_mark - 1) == 0) {
            behind = take_block(search, at, limit);
        }
        if (behind == NULL || (size_t)(limit - at) < sizeof begin_mark) {
            return (size_t)(at - window);
        }
        at = behind;
    }
    return size;
}

/* Looks through an open file. false: it cannot be read. */
static bool take_file(struct search *search, int fd)
{
    char window[WINDOW_BYTES + sizeof begin_mark];
    size_t size = 0;
    bool end = false;

    while (!end && !(search->any && search->seen)) {
        size_t done;
        ssize_t got = read(fd, window + size, WINDOW_BYTES - 1 - size);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return false;
        }
        end = got == 0 || (size_t)got > search->bytes_left;
        search->bytes_left -= end ? 0 : (uint32_t)got;
        size += (size_t)got;
        if (end) {
            window[size++] = '\n'; /* The last line may have no end. */
        }
        /* What is compared with a mark may end behind the text, at what is none. */
        memset(window + size, 0, sizeof begin_mark);
        done = take_window(search, window, size);
        if (done == 0 && size >= WINDOW_BYTES - 1) {
            done = sizeof begin_mark; /* No certificate is that long. */
        }
        memmove(window, window + done, size - done);
        size -= done;
    }
    return true;
}

/* One file or folder was found: of stat() what tells it from another, for the identity. */
static void mark(struct digest_sha256 *identity, const char *path, const struct stat *status)
{
    const uint64_t marks[] = {
        (uint64_t)status->st_dev,          (uint64_t)status->st_ino,
        (uint64_t)status->st_size,         (uint64_t)status->st_mtim.tv_sec,
        (uint64_t)status->st_mtim.tv_nsec,
    };

    digest_sha256_push(identity, path, strlen(path) + 1);
    digest_sha256_push(identity, marks, sizeof marks);
}

/* Whether a folder's file is one to look into. Links by hashes only, as openssl rehash makes them,
 * stand for files that are looked into by their names. */
static bool is_pem_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL && dot != name &&
           (strcmp(dot, ".pem") == 0 || strcmp(dot, ".crt") == 0 || strcmp(dot, ".cer") == 0);
}

/* Looks through one file. Returns 0, E_MISSING or E_IO. */
static int visit_file(struct search *search, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    int result = 0;

    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? E_MISSING : E_IO;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !take_file(search, fd)) {
        result = E_IO;
    } else if (search->identity != NULL) {
        mark(search->identity, path, &status);
    }
    close(fd);
    return result;
}

/* Looks through a file or the files of a folder, where one that cannot be read is left out. */
static int visit(struct search *search, const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char name[PATH_BYTES];
    unsigned files = 0;

    if (folder == NULL) {
        return errno == ENOTDIR ? visit_file(search, path) : errno == ENOENT ? E_MISSING : E_IO;
    }
    while (files < FILES_MAX && (entry = readdir(folder)) != NULL) {
        if (is_pem_name(entry->d_name) &&
            text_print(name, sizeof name, "%s/%s", path, entry->d_name) < sizeof name - 1) {
            int result = visit_file(search, name);

            (void)result;
            files++;
        }
    }
    closedir(folder);
    return 0;
}

/* All that the path names. Returns 0 or the error of the first that cannot be had. */
static int visit_all(struct search *search, const char *path)
{
    char part[PATH_BYTES];
    int result = visit(search, path);

    if (result != E_MISSING || strchr(path, ':') == NULL) {
        return result;
    }
    for (result = 0; result == 0; path++) {
        size_t size = strcspn(path, ":");

        if (size >= sizeof part) {
            return E_MISSING;
        }
        memcpy(part, path, size);
        part[size] = '\0';
        path += size;
        if (size > 0) {
            result = visit(search, part);
        }
        if (*path == '\0') {
            break;
        }
    }
    return result;
}

static void find(void *context, const struct tls_dn *names, size_t count, uint64_t unix_s)
{
    struct trust *trust = context;
    struct search search = {
        .trust = trust,
        .names = names,
        .count = count,
        .unix_s = unix_s,
        .bytes_left = TOTAL_BYTES,
    };

    trust->anchors.count = 0;
    trust->anchors.bytes_used = 0;
    text_copy(trust->where, sizeof trust->where, trust->path);
    if (visit_all(&search, trust->path) < 0) {
        note(&search, "it cannot be read");
    }
}

static const char *usual_path(void)
{
    size_t i = 0;

    while (usual[i] != NULL && access(usual[i], R_OK) != 0) {
        i++;
    }
    return usual[i];
}

int trust_open(struct trust *trust, const char *path)
{
    struct digest_sha256 identity;
    struct search search = {.trust = trust, .any = true, .bytes_left = TOTAL_BYTES};
    int result;

    memset(trust, 0, sizeof *trust);
    trust->path = path != NULL && path[0] != '\0' ? path : usual_path();
    if (trust->path == NULL) {
        text_print(trust->problem, sizeof trust->problem,
                   "there are no CA certificates on this system (no %s nor the like): install "
                   "ca-certificates or ca-bundle, or set TLS_CA_File",
                   usual[0]);
        return E_MISSING;
    }
    digest_sha256_init(&identity);
    search.identity = &identity;
    result = visit_all(&search, trust->path);
    digest_sha256_end(&identity, trust->identity);
    if (result == 0 && !search.seen) {
        result = E_INVALID;
    }
    if (result < 0) {
        text_print(trust->problem, sizeof trust->problem, "%s %s (TLS_CA_File)", trust->path,
                   result == E_MISSING   ? "is not there"
                   : result == E_INVALID ? "has no certificate in PEM"
                                         : "cannot be read");
        return result;
    }
    trust->finder = (struct tls_finder){
        .find = find,
        .context = trust,
        .identity = trust->identity,
        .where = trust->where,
    };
    text_copy(trust->where, sizeof trust->where, trust->path);
    trust->anchors.finder = &trust->finder;
    return 0;
}
