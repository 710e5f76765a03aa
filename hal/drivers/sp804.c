#include "hal/drivers/sp804.h"

#include "hal/clock.h"
#include "hal/mmio.h"

#define TIMER1_LOAD 0x00u
#define TIMER1_VALUE 0x04u /* Counts down. */
#define TIMER1_CONTROL 0x08u
#define TIMER2_LOAD 0x20u
#define TIMER2_CONTROL 0x28u
#define TIMER2_INT_CLR 0x2Cu
#define CONTROL_ONE_SHOT (1u << 0)
#define CONTROL_32_BIT (1u << 1)
#define CONTROL_INT_ENABLE (1u << 5)
#define CONTROL_ENABLE (1u << 7)

#define ALARM_MS_MAX 1000000u

/* The one time base; millis is what `last` had come to, less `rest` ticks. */
static uintptr_t timer_base;
static uint32_t ticks_per_ms;
static uint32_t last;
static uint32_t rest;
static uint64_t millis;

void sp804_init(uintptr_t base, uint32_t clock_hz)
{
    timer_base = base;
    ticks_per_ms = clock_hz / 1000;
    mmio_write(base + TIMER2_CONTROL, 0);
    mmio_write(base + TIMER2_INT_CLR, 1);
    mmio_write(base + TIMER1_CONTROL, 0);
    mmio_write(base + TIMER1_LOAD, 0xFFFFFFFFu);
    mmio_write(base + TIMER1_CONTROL, CONTROL_ENABLE | CONTROL_32_BIT);
    last = clock_raw();
}

void sp804_interrupt(void)
{
    mmio_write(timer_base + TIMER2_CONTROL, 0);
    mmio_write(timer_base + TIMER2_INT_CLR, 1);
}

uint32_t clock_raw(void)
{
    return ~mmio_read(timer_base + TIMER1_VALUE);
}

uint32_t clock_ticks(void)
{
    return clock_raw();
}

uint32_t clock_ticks_per_ms(void)
{
    return ticks_per_ms;
}

uint32_t clock_elapsed(uint32_t *since)
{
    uint32_t now = clock_raw();
    uint32_t elapsed = now - *since;

    *since = now;
    return elapsed;
}

uint64_t clock_millis(void)
{
    uint32_t elapsed = clock_elapsed(&last);

    millis += elapsed / ticks_per_ms;
    rest += elapsed % ticks_per_ms;
    if (rest >= ticks_per_ms) {
        rest -= ticks_per_ms;
        millis++;
    }
    return millis;
}

void clock_alarm(uint32_t ms)
{
    if (ms > ALARM_MS_MAX) {
        ms = ALARM_MS_MAX;
    }
    mmio_write(timer_base + TIMER2_CONTROL, 0);
    mmio_write(timer_base + TIMER2_INT_CLR, 1);
    mmio_write(timer_base + TIMER2_LOAD, (ms == 0 ? 1 : ms) * ticks_per_ms);
    mmio_write(timer_base + TIMER2_CONTROL,
               CONTROL_ENABLE | CONTROL_32_BIT | CONTROL_INT_ENABLE | CONTROL_ONE_SHOT);
}
