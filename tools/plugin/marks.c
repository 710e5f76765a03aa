/* marks.c - a QEMU TCG plugin that counts guest instructions, exactly.
 *
 *     qemu-system-arm ... -plugin marks.so,table=FILE,out=FILE
 *
 * The table says what to count, a line each; addresses in hexadecimal, ranges in rising order:
 *
 *     part NAME BEGIN END     instructions in [BEGIN, END) belong to NAME
 *     mark NAME ADDRESS       report each time that the guest gets here
 *     call NAME ADDRESS       report from here to the return to the caller
 *     cut NAME ADDRESS        count how often the guest gets here, all these together
 *     power COUNT AFTER       QEMU is killed AFTER instructions behind cut number COUNT
 *
 * Many ranges may share a name. A call includes all that is called in between; of nested ones the
 * outermost is told. What comes out, counts being of instructions since reset:
 *
 *     mark NAME COUNT         and then all parts as they stand at this moment: part NAME COUNT
 *     call NAME BEGIN END
 *     power COUNT             at the cut
 *     open NAME BEGIN         at exit: a call that never returned to where it came from
 *     end COUNT               at exit
 *
 * tools/bench.py writes the table from the firmware's map and reads the result. Counting is by
 * translated block: a block runs to its end unless one of its instructions faults, which the
 * firmware does not survive anyway. Debian 12's QEMU (plugin API 1) and Debian 13's (API 2 and
 * later) both load it: only what they have in common is called, and the prototypes stand here since
 * Debian 12 ships no header.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- QEMU's plugin interface, as far as it is used ---- */

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void vcpu_callback(unsigned vcpu, void *user);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*translated)(qemu_plugin_id_t id,
                                                              struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, vcpu_callback *callback,
                                          enum qemu_plugin_cb_flags flags, void *user);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, vcpu_callback *callback,
                                            enum qemu_plugin_cb_flags flags, void *user);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                    void (*exited)(qemu_plugin_id_t id, void *user), void *user);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn); /* To be freed. */

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

/* QEMU reads the version after the constructors have run; API 2 brought this function. */
__attribute__((constructor)) static void choose_version(void)
{
    if (dlsym(RTLD_DEFAULT, "qemu_plugin_num_vcpus") != NULL) {
        qemu_plugin_version = 2;
    }
}

/* ---- what to count ---- */

#define NAME_BYTES 64
#define PART_MAX 64
#define POINT_MAX 128
#define RANGE_MAX 8192
#define DEPTH_MAX 256

struct part {
    char name[NAME_BYTES];
    uint64_t count;
};

struct range {
    uint64_t begin, end;
    unsigned part;
};

enum point_kind { POINT_MARK, POINT_CALL, POINT_CUT };

struct point {
    char name[NAME_BYTES];
    uint64_t address;
    enum point_kind kind;
};

/* How many instructions of one translated block belong to one part. */
struct share {
    unsigned part;
    unsigned count;
};

struct block {
    uint64_t begin, end; /* Addresses. */
    bool calls;          /* Its last instruction is a call, which comes back to `end`. */
    unsigned count;
    unsigned share_count;
    struct share share[];
};

/* A point within a block, where instructions before it have been counted in advance. */
struct visit {
    const struct point *point;
    unsigned ahead; /* Instructions of the block from the point on. */
};

/* A plugin is one object in one process, with callbacks that carry no context of its own. */
static struct {
    struct part part[PART_MAX]; /* part[0]: whatever no range names. */
    unsigned part_count;
    struct range range[RANGE_MAX];
    unsigned range_count;
    struct point point[POINT_MAX];
    unsigned point_count;
    FILE *out;
    uint64_t count;
    uint64_t returns[DEPTH_MAX]; /* Where the calls come back to that have not returned yet. */
    unsigned depth;
    const struct block *block; /* The one that runs. */
    const struct point *open;  /* The call that is being counted; NULL: none. */
    uint64_t open_begin;
    unsigned open_depth; /* The depth that its return leaves. */
    uint64_t cuts_left;  /* Until the power is cut; 0: never, or it is being cut. */
    uint64_t cut_after;
    uint64_t cut_at; /* Count of instructions; 0: not yet known. */
} plugin = {.part = {{.name = "other"}}, .part_count = 1};

static int fail(const char *what, const char *which)
{
    fprintf(stderr, "marks: %s: %s\n", what, which);
    return -1;
}

static unsigned part_of(uint64_t address)
{
    unsigned low = 0;
    unsigned high = plugin.range_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (address < plugin.range[middle].begin) {
            high = middle;
        } else if (address >= plugin.range[middle].end) {
            low = middle + 1;
        } else {
            return plugin.range[middle].part;
        }
    }
    return 0;
}

static int add_part(const char *name, uint64_t begin, uint64_t end)
{
    unsigned part = 0;

    while (part < plugin.part_count && strcmp(plugin.part[part].name, name) != 0) {
        part++;
    }
    if (part == PART_MAX || plugin.range_count == RANGE_MAX) {
        return fail("too many parts", name);
    }
    if (plugin.range_count > 0 && begin < plugin.range[plugin.range_count - 1].end) {
        return fail("ranges are not in rising order", name);
    }
    if (part == plugin.part_count) {
        snprintf(plugin.part[part].name, NAME_BYTES, "%s", name);
        plugin.part_count++;
    }
    plugin.range[plugin.range_count++] = (struct range){.begin = begin, .end = end, .part = part};
    return 0;
}

static int add_point(const char *name, uint64_t address, enum point_kind kind)
{
    struct point *point = &plugin.point[plugin.point_count];

    if (plugin.point_count == POINT_MAX) {
        return fail("too many marks, calls and cuts", name);
    }
    snprintf(point->name, NAME_BYTES, "%s", name);
    point->address = address;
    point->kind = kind;
    plugin.point_count++;
    return 0;
}

static int read_table(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    int result = 0;

    if (file == NULL) {
        return fail("cannot read the table", path);
    }
    while (result == 0 && fgets(line, sizeof line, file) != NULL) {
        char kind[8];
        char name[NAME_BYTES];
        uint64_t begin = 0;
        uint64_t end = 0;
        int fields = sscanf(line, "%7s %63s %" SCNx64 " %" SCNx64, kind, name, &begin, &end);

        if (fields == 4 && strcmp(kind, "part") == 0) {
            result = add_part(name, begin, end);
        } else if (fields == 3 && strcmp(kind, "mark") == 0) {
            result = add_point(name, begin, POINT_MARK);
        } else if (fields == 3 && strcmp(kind, "call") == 0) {
            result = add_point(name, begin, POINT_CALL);
        } else if (fields == 3 && strcmp(kind, "cut") == 0) {
            result = add_point(name, begin, POINT_CUT);
        } else if (sscanf(line, "power %" SCNu64 " %" SCNu64, &begin, &end) == 2) {
            plugin.cuts_left = begin;
            plugin.cut_after = end;
        } else {
            result = fail("not a line of the table", line);
        }
    }
    fclose(file);
    return result;
}

/* ---- counting ---- */

/* Follows calls and returns. Of functions that never return, the oldest give way in the end. */
static void follow(const struct block *before, uint64_t address)
{
    if (before != NULL && before->calls) {
        if (plugin.depth == DEPTH_MAX) {
            memmove(plugin.returns, plugin.returns + 1, sizeof plugin.returns[0] * (DEPTH_MAX - 1));
            plugin.depth--;
        }
        plugin.returns[plugin.depth++] = before->end;
    }
    if (plugin.depth > 0 && plugin.returns[plugin.depth - 1] == address) {
        plugin.depth--;
    }
}

/* The end of the guest, between two instructions. QEMU's threads finish what the chip that they
 * model has already told the guest to be written; then there is no orderly end. */
static void cut_power(void)
{
    const struct timespec writes_end = {.tv_nsec = 50000000};

    fprintf(plugin.out, "power %" PRIu64 "\n", plugin.count);
    fflush(plugin.out);
    nanosleep(&writes_end, NULL);
    kill(getpid(), SIGKILL);
}

static void block_runs(unsigned vcpu, void *user)
{
    const struct block *block = user;

    (void)vcpu;
    if (plugin.cut_at != 0 && plugin.count >= plugin.cut_at) {
        cut_power();
    }
    follow(plugin.block, block->begin);
    if (plugin.open != NULL && plugin.depth <= plugin.open_depth) {
        fprintf(plugin.out, "call %s %" PRIu64 " %" PRIu64 "\n", plugin.open->name,
                plugin.open_begin, plugin.count);
        fflush(plugin.out);
        plugin.open = NULL;
    }
    plugin.block = block;
    plugin.count += block->count;
    for (unsigned i = 0; i < block->share_count; i++) {
        plugin.part[block->share[i].part].count += block->share[i].count;
    }
}

static void point_runs(unsigned vcpu, void *user)
{
    const struct visit *visit = user;
    uint64_t count = plugin.count - visit->ahead;

    (void)vcpu;
    if (visit->point->kind == POINT_CUT) {
        if (plugin.cuts_left > 0 && --plugin.cuts_left == 0) {
            plugin.cut_at = count + plugin.cut_after;
        }
    } else if (visit->point->kind == POINT_MARK) {
        fprintf(plugin.out, "mark %s %" PRIu64 "\n", visit->point->name, count);
        for (unsigned i = 0; i < plugin.part_count; i++) {
            fprintf(plugin.out, "part %s %" PRIu64 "\n", plugin.part[i].name, plugin.part[i].count);
        }
        fflush(plugin.out);
    } else if (plugin.open == NULL && plugin.depth > 0) {
        /* Also when a wrapper jumped here: its caller's return is the one on top. */
        plugin.open = visit->point;
        plugin.open_begin = count;
        plugin.open_depth = plugin.depth - 1;
    }
}

static void watch_point(struct qemu_plugin_insn *insn, const struct point *point, unsigned ahead)
{
    struct visit *visit = malloc(sizeof *visit);

    if (visit == NULL) {
        abort();
    }
    *visit = (struct visit){.point = point, .ahead = ahead};
    qemu_plugin_register_vcpu_insn_exec_cb(insn, point_runs, QEMU_PLUGIN_CB_NO_REGS, visit);
}

/* Of ARM's mnemonics: bl, bl.w, blx and their conditional forms, but not blt, ble, blo and bls. */
static bool is_call(struct qemu_plugin_insn *insn)
{
    char *text = qemu_plugin_insn_disas(insn);
    bool result = false;

    if (text != NULL && strncmp(text, "bl", 2) == 0) {
        size_t length = strcspn(text, " \t");
        result = text[2] == 'x' || text[2] == '.' || length == 2 || length == 4;
    }
    free(text);
    return result;
}

/* Blocks and visits live until QEMU exits, as the code that refers to them may. */
static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    unsigned count = (unsigned)qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block + count * sizeof block->share[0]);

    (void)id;
    if (block == NULL) {
        abort();
    }
    block->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        unsigned part = part_of(address);

        if (i == 0) {
            block->begin = address;
        }
        if (i == count - 1) {
            block->calls = is_call(insn);
        }
        block->end = address + qemu_plugin_insn_size(insn);
        if (block->share_count == 0 || block->share[block->share_count - 1].part != part) {
            block->share[block->share_count++].part = part;
        }
        block->share[block->share_count - 1].count++;
        for (unsigned j = 0; j < plugin.point_count; j++) {
            if (plugin.point[j].address == address) {
                watch_point(insn, &plugin.point[j], count - i);
            }
        }
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, block_runs, QEMU_PLUGIN_CB_NO_REGS, block);
}

static void exited(qemu_plugin_id_t id, void *user)
{
    (void)id;
    (void)user;
    if (plugin.open != NULL) {
        fprintf(plugin.out, "open %s %" PRIu64 "\n", plugin.open->name, plugin.open_begin);
    }
    fprintf(plugin.out, "end %" PRIu64 "\n", plugin.count);
    fclose(plugin.out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    const char *table = NULL;
    const char *out = NULL;

    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "table=", 6) == 0) {
            table = argv[i] + 6;
        } else if (strncmp(argv[i], "out=", 4) == 0) {
            out = argv[i] + 4;
        } else {
            return fail("unknown argument", argv[i]);
        }
    }
    if (table == NULL || out == NULL) {
        return fail("wants", "table=FILE,out=FILE");
    }
    if (read_table(table) != 0) {
        return -1;
    }
    plugin.out = fopen(out, "w");
    if (plugin.out == NULL) {
        return fail("cannot write", out);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    qemu_plugin_register_atexit_cb(id, exited, NULL);
    return 0;
}
