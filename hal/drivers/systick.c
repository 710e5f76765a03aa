#include "hal/drivers/systick.h"

#include "hal/arch.h"
#include "hal/arch/cortex-m/cortex_m.h"
#include "hal/clock.h"
#include "hal/mmio.h"

#include <stdbool.h>

#define PERIOD_MS 100u

/* The one timer of the one CPU. */
static volatile uint32_t periods; /* Good for 13 years of tenths of a second. */
static uint32_t ticks_per_ms;
static uint32_t period_ticks;

void systick_init(uint32_t clock_hz)
{
    ticks_per_ms = clock_hz / 1000;
    period_ticks = ticks_per_ms * PERIOD_MS;
    mmio_write(SYST_RVR, period_ticks - 1);
    mmio_write(SYST_CVR, 0);
    mmio_write(SYST_CSR, SYST_CSR_ENABLE | SYST_CSR_TICKINT | SYST_CSR_CLKSOURCE);
}

void systick_interrupt(void)
{
    periods = periods + 1;
}

struct moment {
    uint32_t periods;
    uint32_t ticks; /* Within the period. */
};

/* The latest that was told: no later call tells less. */
static struct moment latest;

static struct moment now(void)
{
    uint32_t state = irq_lock();
    uint32_t value = mmio_read(SYST_CVR);
    struct moment moment = {periods, 0};
    bool wrapped = (mmio_read(SCB_ICSR) & SCB_ICSR_PENDSTSET) != 0;

    /* The counter may have wrapped without its interrupt having been taken. Only a value read after
     * the pending bit was seen surely belongs to the new period. */
    if (wrapped) {
        value = mmio_read(SYST_CVR);
        moment.periods++;
    }
    moment.ticks = value == 0 ? 0 : period_ticks - value;
    /* 0 without the pending bit is the end of a period whose interrupt has yet to come up, or the
     * beginning of one whose interrupt has been taken; a stand-still is right for both. */
    bool unsure = value == 0 && !wrapped;
    if (unsure || moment.periods < latest.periods ||
        (moment.periods == latest.periods && moment.ticks < latest.ticks)) {
        moment = latest;
    }
    latest = moment;
    irq_unlock(state);
    return moment;
}

uint64_t clock_millis(void)
{
    struct moment moment = now();

    return (uint64_t)moment.periods * PERIOD_MS + moment.ticks / ticks_per_ms;
}

uint32_t clock_ticks(void)
{
    struct moment moment = now();

    return moment.periods * period_ticks + moment.ticks;
}

uint32_t clock_ticks_per_ms(void)
{
    return ticks_per_ms;
}

uint32_t clock_raw(void)
{
    return mmio_read(SYST_CVR);
}

uint32_t clock_elapsed(uint32_t *last)
{
    uint32_t value = clock_raw(); /* Counts down. */
    uint32_t elapsed = *last >= value ? *last - value : *last + period_ticks - value;

    *last = value;
    return elapsed;
}
