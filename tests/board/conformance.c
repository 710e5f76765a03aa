/* conformance.c - the same test for every board: does struct board keep its promises?
 *
 * A firmware of its own. Its lines are "ok WHAT", "FAIL WHAT" and "none WHAT" for what this board
 * does not have; "now WHAT" asks the other end for something. It resets itself several times in
 * different ways and knows from a counter in no-init RAM how far it is. Flash is written in the
 * last block of the log only, which is left erased. tests/board/conformance.py is the other end; it
 * wants QEMU's user network.
 */
#include "hal/board.h"

#include <string.h>

#define IDLE_MS 60
#define ARP_BURST 24

static bool failed;

struct progress {
    uint32_t magic;
    uint32_t stage;
    uint32_t failures;
};

static struct progress progress __attribute__((section(".noinit")));

static void put(const char *text)
{
    board.console_write(text, strlen(text));
}

static void put_number(uint64_t value)
{
    char digits[21];
    size_t n = sizeof digits;

    digits[--n] = '\0';
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    put(&digits[n]);
}

static bool check(bool good, const char *what)
{
    put(good ? "ok " : "FAIL ");
    put(what);
    put("\r\n");
    failed = failed || !good;
    return good;
}

static void show(const char *what, uint64_t value)
{
    put("   ");
    put(what);
    put(" ");
    put_number(value);
    put("\r\n");
}

static void wait_ms(uint32_t ms)
{
    uint64_t until = board.millis() + ms;

    while (board.millis() < until) {
    }
}

/* --- Clock and sleep --- */

struct sample {
    uint64_t ms;
    uint32_t ticks;
};

/* Both clocks at one moment: in an emulator the CPU may stand still between two readings. */
static struct sample sample(void)
{
    struct sample now;

    do {
        now.ms = board.millis();
        now.ticks = board.ticks();
    } while (board.millis() != now.ms);
    return now;
}

/* Over about ms; in thousandths of a tick, so that short and long spans compare. */
static uint64_t ticks_per_ms(uint32_t ms)
{
    struct sample before = sample();

    wait_ms(ms);
    struct sample after = sample();
    return (uint64_t)(after.ticks - before.ticks) * 1000 / (after.ms - before.ms);
}

static void test_clock(void)
{
    uint64_t begin = board.millis();
    uint64_t last = begin;
    bool back = false;

    while (last < begin + 500) {
        uint64_t now = board.millis();
        back = back || now < last;
        last = now;
    }
    check(!back, "milliseconds never go back");

    uint64_t lengthy = ticks_per_ms(400);
    uint64_t brief = ticks_per_ms(150);
    show("ticks in a ms", lengthy / 1000);
    check(lengthy > 100 * 1000, "ticks are finer than 10 us");
    check(brief > lengthy * 9 / 10 && brief < lengthy * 11 / 10,
          "ticks and milliseconds are one clock");
}

static void test_idle(void)
{
    uint64_t begin = board.millis();

    board.idle(0);
    board.idle(IDLE_MS); /* An interrupt before may end the first one at once. */
    begin = board.millis();
    board.idle(IDLE_MS);
    uint64_t took = board.millis() - begin;
    show("idle(60) took ms", took);
    check(took >= IDLE_MS && took < IDLE_MS + 1000, "idle ends by itself");

    begin = board.millis();
    board.idle(0);
    check(board.millis() - begin < 500, "idle(0) does not sleep");
}

/* --- Console --- */

static int getc_within(uint32_t ms)
{
    uint64_t until = board.millis() + ms;
    int c = board.console_getc();

    while (c < 0 && board.millis() < until) {
        board.idle(10);
        c = board.console_getc();
    }
    return c;
}

static void test_console(void)
{
    while (board.console_getc() >= 0) {
    }
    check(board.console_getc() == -1, "no input is -1");

    put("now key\r\n");
    uint64_t begin = board.millis();
    board.idle(5000);
    uint64_t took = board.millis() - begin;
    show("woken after ms", took);
    check(took < 4000 && getc_within(100) == 'k', "a key ends the sleep and is there");

    put("now burst\r\n");
    wait_ms(600); /* Let it pile up: nothing may be lost behind our back. */
    uint32_t count = 0;
    uint32_t sum = 0;
    for (int c = getc_within(3000); c >= 0 && c != '\n'; c = getc_within(3000)) {
        sum = sum * 31 + (uint32_t)c;
        count++;
    }
    uint32_t expected = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        expected = expected * 31 + 'a' + i % 26;
    }
    show("burst bytes", count);
    check(count == 2000 && sum == expected, "a burst comes whole");
}

/* --- Flash --- */

static uint32_t flash_sum(uint32_t address, uint32_t size)
{
    uint8_t piece[128];
    uint32_t sum = 0;

    for (uint32_t i = 0; i < size; i += sizeof piece) {
        if (board.flash->read(board.flash, address + i, piece, sizeof piece) != 0) {
            return 0xDEAD;
        }
        for (size_t k = 0; k < sizeof piece; k++) {
            sum = sum * 31 + piece[k];
        }
    }
    return sum;
}

static bool flash_blank(uint32_t address, uint32_t size)
{
    uint8_t piece[128];

    for (uint32_t i = 0; i < size; i += sizeof piece) {
        if (board.flash->read(board.flash, address + i, piece, sizeof piece) != 0) {
            return false;
        }
        for (size_t k = 0; k < sizeof piece; k++) {
            if (piece[k] != board.flash->erased) {
                return false;
            }
        }
    }
    return true;
}

static void test_flash_geometry(const struct flash *f)
{
    uint32_t erase = f->erase_bytes;

    check(f->size_bytes % erase == 0 && erase % f->page_bytes == 0 &&
              f->page_bytes % f->program_bytes == 0,
          "flash units divide each other");
    check(f->config_base % erase == 0 && f->config_bytes == 2 * erase, "two configuration blocks");
    check(f->log_base % erase == 0 && f->log_bytes % erase == 0 && f->log_bytes >= 3 * erase,
          "at least three log blocks");
    check(f->log_base >= f->config_base + f->config_bytes &&
              f->log_base + f->log_bytes <= f->size_bytes,
          "regions lie within the part and apart");
}

static void test_flash_arguments(const struct flash *f, uint32_t block)
{
    uint8_t bytes[8] = {0};

    check(f->read(f, f->size_bytes, bytes, 1) == E_INVALID &&
              f->read(f, f->size_bytes - 1, bytes, 8) == E_INVALID &&
              f->read(f, 0xFFFFFFFFu, bytes, 8) == E_INVALID,
          "a read past the end is refused");
    check(f->program(f, f->size_bytes, bytes, f->program_bytes) == E_INVALID &&
              f->program(f, block + f->page_bytes - f->program_bytes, bytes,
                         2 * f->program_bytes) == E_INVALID,
          "a program past the end or over a page is refused");
    check(f->program_bytes == 1 ||
              (f->program(f, block + 1, bytes, f->program_bytes) == E_INVALID &&
               f->program(f, block, bytes, 1) == E_INVALID),
          "a misaligned program is refused");
    check(f->erase(f, block + f->page_bytes) == E_INVALID &&
              f->erase(f, f->size_bytes) == E_INVALID,
          "a misaligned erase is refused");
}

/* Pages at the start, in the middle and at the very end of the block, each byte value in them. */
static bool flash_pages(const struct flash *f, uint32_t block)
{
    const uint32_t starts[] = {0, f->erase_bytes / 2, f->erase_bytes - 256};
    uint8_t want[256];
    uint8_t got[256];

    for (size_t k = 0; k < sizeof starts / sizeof starts[0]; k++) {
        for (uint32_t i = 0; i < sizeof want; i++) {
            want[i] = (uint8_t)(i * 7 + k);
        }
        for (uint32_t i = 0; i < sizeof want;) {
            uint32_t count = f->page_bytes < sizeof want - i ? f->page_bytes : sizeof want - i;
            if (f->program(f, block + starts[k] + i, &want[i], count) != 0) {
                return false;
            }
            i += count;
        }
        if (f->read(f, block + starts[k], got, sizeof got) != 0 ||
            memcmp(got, want, sizeof got) != 0) {
            return false;
        }
        /* From an odd address, an odd number of bytes. */
        if (f->read(f, block + starts[k] + 3, got, 101) != 0 || memcmp(got, &want[3], 101) != 0) {
            return false;
        }
    }
    return true;
}

static void test_flash(void)
{
    const struct flash *f = board.flash;
    uint32_t block = f->log_base + f->log_bytes - f->erase_bytes;

    test_flash_geometry(f);
    uint32_t neighbour = flash_sum(block - f->erase_bytes, f->erase_bytes);
    uint64_t begin = board.millis();
    check(f->erase(f, block) == 0, "erase");
    show("erase took ms", board.millis() - begin);
    check(flash_blank(block, f->erase_bytes), "an erased block reads erased");
    test_flash_arguments(f, block);
    check(flash_blank(block, f->erase_bytes), "refused calls change nothing");
    begin = board.millis();
    check(flash_pages(f, block), "what is programmed reads back");
    show("768 bytes took ms", board.millis() - begin);
    check(flash_blank(block + 256, f->erase_bytes / 2 - 256), "a program changes nothing else");
    check(f->erase(f, block) == 0 && flash_blank(block, f->erase_bytes), "erase again");
    check(flash_sum(block - f->erase_bytes, f->erase_bytes) == neighbour,
          "the block before is untouched");
}

/* --- Network --- */

static const uint8_t own_ip[4] = {10, 0, 2, 77};
static uint8_t mac[6] = {0x02, 0x54, 0x4F, 0x43, 0x00, 0x01};

/* Who has 10.0.2.2? In three pieces, as a stack would send it. */
static int arp_ask(void)
{
    static const uint8_t broadcast[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    uint8_t head[14];
    uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1};
    static const uint8_t target[4] = {10, 0, 2, 2};

    memcpy(head, broadcast, 6);
    memcpy(head + 6, mac, 6);
    head[12] = 0x08;
    head[13] = 0x06;
    memcpy(arp + 8, mac, 6);
    memcpy(arp + 14, own_ip, 4);
    memcpy(arp + 24, target, 4);
    struct nic_fragment pieces[] = {{head, sizeof head}, {arp, 8}, {arp + 8, sizeof arp - 8}};
    return board.nic->send(board.nic, pieces, 3);
}

/* Takes all frames that are there; how many of them answered arp_ask(). */
static unsigned arp_answers(void)
{
    unsigned answers = 0;

    for (unsigned i = 0; i < 100; i++) {
        size_t size = 0;
        const uint8_t *frame = board.nic->rx_buf(board.nic, &size);
        if (size == 0) {
            break;
        }
        answers += size >= 42 && memcmp(frame, mac, 6) == 0 && frame[12] == 0x08 &&
                   frame[13] == 0x06 && frame[21] == 2 && memcmp(frame + 38, own_ip, 4) == 0;
        board.nic->rx_ack(board.nic);
    }
    return answers;
}

static bool arp_works(uint32_t ms)
{
    uint64_t until = board.millis() + ms;

    if (arp_ask() != 0) {
        return false;
    }
    while (board.millis() < until) {
        if (arp_answers() > 0) {
            return true;
        }
        board.idle(5);
    }
    return false;
}

static bool link_is(bool up, uint32_t ms)
{
    uint64_t until = board.millis() + ms;

    while (board.nic->link_up(board.nic) != up) {
        if (board.millis() > until) {
            return false;
        }
        board.idle(10);
    }
    return true;
}

static void test_nic(void)
{
    const struct nic *nic = board.nic;
    static const uint8_t zeros[NIC_FRAME_BYTES + 1];
    struct nic_fragment whole = {zeros, sizeof zeros};
    struct nic_stats stats;

    if (!check(nic->init(nic, mac) == 0, "network starts")) {
        return;
    }
    check(link_is(true, 5000), "link is up");
    check(nic->send(nic, &whole, 1) == E_INVALID, "an overlong frame is refused");
    check(arp_works(2000), "a frame goes out and its answer comes in");

    (void)arp_answers();
    board.idle(20);
    (void)arp_answers();
    uint64_t begin = board.millis();
    bool sent = arp_ask() == 0;
    board.idle(3000);
    uint64_t took = board.millis() - begin;
    show("woken after ms", took);
    check(sent && took < 2500 && arp_answers() > 0, "a frame ends the sleep");

    for (unsigned i = 0; i < ARP_BURST; i++) {
        (void)arp_ask();
    }
    wait_ms(100);
    (void)arp_answers();
    check(arp_works(2000), "more frames than buffers: it goes on");
    nic->stats(nic, &stats);
    show("frames in", stats.rx_frames);
    show("frames out", stats.tx_frames);
    show("overflows", stats.rx_overflows);
    check(stats.tx_frames >= 3 && stats.rx_frames >= 3, "frames are counted");

    put("now link off\r\n");
    check(link_is(false, 5000), "link goes down");
    put("now link on\r\n");
    check(link_is(true, 5000) && arp_works(2000), "link comes back and carries");
}

/* --- What some boards have --- */

static void test_optional(void)
{
    uint64_t first = 0;
    uint64_t second = 0;
    uint8_t a[16] = {0};
    uint8_t b[16] = {0};

    if (board.rtc_read != NULL) {
        bool good = board.rtc_read(&first) == 0;
        wait_ms(1100);
        good = good && board.rtc_read(&second) == 0 && second > first && second < first + 5;
        check(good, "the calendar clock runs");
        show("unix time", second);
    } else {
        put("none calendar clock\r\n");
    }
    if (board.random != NULL) {
        check(board.random(a, sizeof a) == 0 && board.random(b, sizeof b) == 0 &&
                  memcmp(a, b, sizeof a) != 0,
              "random bytes differ");
    } else {
        put("none random generator\r\n");
    }
}

__attribute__((noinline)) static uint32_t deep(volatile uint32_t levels)
{
    volatile uint32_t room[32];

    room[0] = levels;
    return levels == 0 ? 0 : deep(levels - 1) + room[0];
}

static void test_stack(void)
{
    size_t before = board.stack_used_max();

    check(before > 0 && before < board.stack_bytes() - 1024, "most of the stack is free");
    (void)deep(6);
    size_t after = board.stack_used_max();
    check(after <= board.stack_bytes(), "stack use is within the stack");
    show("stack used", after);
    show("of", board.stack_bytes());
}

/* --- Resets --- */

static bool detail_has(const char *text)
{
    return strstr(board.reset_detail(), text) != NULL;
}

__attribute__((noreturn)) static void finish(void)
{
    put(progress.failures == 0 ? "conformance: passed\r\n" : "conformance: FAILED\r\n");
    for (;;) {
        board.idle(1000);
    }
}

static void first_run(void)
{
    check(board.reset_cause() == RESET_POWER_ON && board.reset_detail()[0] == '\0',
          "first start is a power-on");
    test_stack();
    test_clock();
    test_idle();
    test_console();
    test_flash();
    test_nic();
    test_optional();
}

/* What the start before this one did on purpose, and what the next is to find. */
__attribute__((noreturn)) static void stage(uint32_t number)
{
    volatile uintptr_t nowhere = 8;

    switch (number) {
    case 0:
        first_run();
        progress.failures += failed;
        board.reset(RESET_COMMAND);
    case 1:
        check(board.reset_cause() == RESET_COMMAND, "a commanded reset says so");
        progress.failures += failed;
        board_panic("on purpose", "conformance.c", 42);
    case 2:
        check(board.reset_cause() == RESET_FAULT && detail_has("on purpose") && detail_has(":42"),
              "a panic is told of after the reset");
        progress.failures += failed;
        *(volatile uint32_t *)nowhere = 1;
        __builtin_trap();
    case 3:
        /* DACCVIOL is its name in the ARM manual. */
        check(board.reset_cause() == RESET_FAULT && detail_has("pc=") &&
                  (detail_has("not allowed") || detail_has("DACCVIOL")),
              "a write through NULL is caught and told of");
        progress.failures += failed;
        show("", deep(1u << 20));
        __builtin_trap();
    case 4:
        check(board.reset_cause() == RESET_FAULT && detail_has("stack overflow"),
              "a stack overflow is caught and told of");
        progress.failures += failed;
        put("now system_reset\r\n");
        for (;;) {
            board.idle(1000);
        }
    default:
        check(board.reset_cause() == RESET_EXTERNAL, "a reset from outside is known as one");
        progress.failures += failed;
        finish();
    }
}

int main(void)
{
    board.init();
    if (progress.magic != 0x434F4E46u) {
        progress = (struct progress){.magic = 0x434F4E46u};
    }
    put("\r\nconformance of ");
    put(board.name);
    put(", ");
    put(board.cpu);
    put(", start ");
    put_number(progress.stage);
    put(": ");
    put(board.reset_detail());
    put("\r\n");
    stage(progress.stage++);
}
