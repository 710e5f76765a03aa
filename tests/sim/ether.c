#include "tests/sim/ether.h"

#include <string.h>

#define THOUSAND 1000
#define NIC 1 /* Index of `sent`. */

uint32_t sim_dice(uint32_t *state, uint32_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (uint32_t)(((uint64_t)*state * n) >> 32);
}

static bool happens(struct ether *ether, unsigned of_thousand, uint32_t *count)
{
    bool yes = sim_dice(&ether->random, THOUSAND) < of_thousand;

    *count += yes ? 1 : 0;
    return yes;
}

static bool is_ip(const struct ether_frame *frame)
{
    return frame->size > ETHER_HEADER_BYTES + 20 && frame->bytes[12] == 8 && frame->bytes[13] == 0;
}

static void spoil(struct ether *ether, struct ether_frame *frame)
{
    if (is_ip(frame) && happens(ether, ether->faults.damaged, &ether->damaged)) {
        size_t payload = frame->size - ETHER_HEADER_BYTES;
        size_t at = ETHER_HEADER_BYTES + sim_dice(&ether->random, (uint32_t)payload);

        frame->bytes[at] ^= (uint8_t)(1 + sim_dice(&ether->random, 255));
    }
    if (is_ip(frame) && happens(ether, ether->faults.cut, &ether->cut)) {
        frame->size = (uint16_t)(1 + sim_dice(&ether->random, frame->size - 1u));
    }
}

/* Where a frame of that size may be built; NULL: the wire is full, and it is lost. */
static struct ether_frame *place(struct ether *ether, bool to_nic, size_t size, uint32_t after_ms)
{
    for (struct ether_frame *frame = ether->frames; frame < ether->frames + ETHER_FRAMES_MAX;
         frame++) {
        if (!frame->used) {
            frame->used = true;
            frame->to_nic = to_nic;
            frame->size = (uint16_t)size;
            frame->number = ether->number++;
            frame->due_ms = *ether->now_ms + ether->delay_ms + after_ms;
            if (happens(ether, ether->faults.late, &ether->late)) {
                frame->due_ms += sim_dice(&ether->random, ether->faults.late_ms_max + 1u);
            }
            ether->frame_count++;
            return frame;
        }
    }
    ether->lost++;
    return NULL;
}

/* One frame, whole, in either direction. */
static void carry(struct ether *ether, bool to_nic, const uint8_t *bytes, size_t size,
                  uint32_t after_ms)
{
    unsigned copies = happens(ether, ether->faults.doubled, &ether->doubled) ? 2 : 1;

    if (!ether->cable) {
        return;
    }
    ether->sent[to_nic]++;
    for (unsigned i = 0; i < copies; i++) {
        struct ether_frame *frame;

        if (happens(ether, ether->faults.lost, &ether->lost)) {
            continue;
        }
        frame = place(ether, to_nic, size, after_ms);
        if (frame != NULL) {
            memcpy(frame->bytes, bytes, size);
            spoil(ether, frame);
        }
    }
}

void ether_send(struct ether *ether, const uint8_t *frame, size_t size, uint32_t after_ms)
{
    uint8_t padded[NIC_FRAME_BYTES];

    memcpy(padded, frame, size);
    for (; size < ETHER_FRAME_BYTES_MIN; size++) {
        padded[size] = (uint8_t)sim_dice(&ether->random, 256);
    }
    carry(ether, true, padded, size, after_ms);
}

static struct ether_frame *first(const struct ether *ether)
{
    const struct ether_frame *best = NULL;

    if (ether->frame_count == 0) {
        return NULL;
    }
    for (const struct ether_frame *frame = ether->frames; frame < ether->frames + ETHER_FRAMES_MAX;
         frame++) {
        if (frame->used && (best == NULL || frame->due_ms < best->due_ms ||
                            (frame->due_ms == best->due_ms && frame->number < best->number))) {
            best = frame;
        }
    }
    return (struct ether_frame *)best;
}

uint64_t ether_next_ms(const struct ether *ether)
{
    const struct ether_frame *frame = first(ether);

    return frame != NULL ? frame->due_ms : UINT64_MAX;
}

void ether_poll(struct ether *ether)
{
    struct ether_frame *frame;

    while ((frame = first(ether)) != NULL && frame->due_ms <= *ether->now_ms) {
        if (!ether->cable) {
            ether->lost++;
        } else if (!frame->to_nic) {
            struct ether_frame copy = *frame; /* Its place may be taken by what answers it. */

            frame->used = false;
            ether->frame_count--;
            ether->receive(ether->context, copy.bytes, copy.size);
            continue;
        } else if (ether->ring_count < ETHER_RING_MAX) {
            ether->ring[ether->ring_count++] = *frame;
        } else {
            ether->overflows++;
        }
        frame->used = false;
        ether->frame_count--;
    }
}

/* --- The NIC --- */

static struct ether *ether_of(const struct nic *nic)
{
    return nic->context;
}

static int nic_init(const struct nic *nic, uint8_t mac[6])
{
    (void)mac;
    ether_reset(ether_of(nic));
    return ether_of(nic)->ill ? E_IO : 0;
}

static bool nic_link_up(const struct nic *nic)
{
    return ether_of(nic)->cable;
}

static int nic_send(const struct nic *nic, const struct nic_fragment *fragments, size_t count)
{
    uint8_t frame[NIC_FRAME_BYTES] = {0};
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        if (fragments[i].size > sizeof frame - size) {
            return E_INVALID;
        }
        memcpy(frame + size, fragments[i].bytes, fragments[i].size);
        size += fragments[i].size;
    }
    size = size < ETHER_FRAME_BYTES_MIN ? ETHER_FRAME_BYTES_MIN : size;
    carry(ether_of(nic), false, frame, size, 0);
    return 0;
}

static const uint8_t *nic_rx_buf(const struct nic *nic, size_t *size)
{
    struct ether *ether = ether_of(nic);

    *size = ether->ring_count > 0 ? ether->ring[0].size : 0;
    return ether->ring[0].bytes;
}

static void nic_rx_ack(const struct nic *nic)
{
    struct ether *ether = ether_of(nic);

    ether->ring_count--;
    memmove(ether->ring, ether->ring + 1, ether->ring_count * sizeof ether->ring[0]);
}

static void nic_stats(const struct nic *nic, struct nic_stats *stats)
{
    const struct ether *ether = ether_of(nic);

    *stats = (struct nic_stats){.rx_frames = ether->sent[NIC],
                                .tx_frames = ether->sent[0],
                                .rx_overflows = ether->overflows};
}

void ether_init(struct ether *ether, const uint64_t *now_ms, uint32_t seed)
{
    memset(ether, 0, sizeof *ether);
    ether->now_ms = now_ms;
    ether->random = seed != 0 ? seed : 1;
    ether->cable = true;
    ether->delay_ms = 1;
    ether->nic = (struct nic){
        .context = ether,
        .init = nic_init,
        .link_up = nic_link_up,
        .send = nic_send,
        .rx_buf = nic_rx_buf,
        .rx_ack = nic_rx_ack,
        .stats = nic_stats,
    };
}

void ether_reset(struct ether *ether)
{
    ether->ring_count = 0;
}
