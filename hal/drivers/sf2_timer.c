#include "hal/drivers/sf2_timer.h"

#include "hal/clock.h"
#include "hal/mmio.h"

#define TIMER_BASE 0x40004000u
#define TIM1_LOADVAL (TIMER_BASE + 0x04)
#define TIM1_CTRL (TIMER_BASE + 0x0C)
#define TIM1_CTRL_ENABLE (1u << 0)
#define TIM1_CTRL_ONE_SHOT (1u << 1)
#define TIM1_CTRL_INTEN (1u << 2)
#define TIM1_RIS (TIMER_BASE + 0x10) /* Writing 1 acknowledges. */

#define ALARM_MS_MAX 20000u /* 32 bits at up to 200 MHz. */

static uint32_t timer_ticks_per_ms;

void sf2_timer_init(uint32_t clock_hz)
{
    timer_ticks_per_ms = clock_hz / 1000;
    mmio_write(TIM1_CTRL, 0);
    mmio_write(TIM1_RIS, 1);
}

void sf2_timer_interrupt(void)
{
    mmio_write(TIM1_CTRL, 0);
    mmio_write(TIM1_RIS, 1);
}

void clock_alarm(uint32_t ms)
{
    if (ms > ALARM_MS_MAX) {
        ms = ALARM_MS_MAX;
    }
    mmio_write(TIM1_CTRL, 0);
    mmio_write(TIM1_RIS, 1);
    mmio_write(TIM1_LOADVAL, (ms == 0 ? 1 : ms) * timer_ticks_per_ms);
    mmio_write(TIM1_CTRL, TIM1_CTRL_ENABLE | TIM1_CTRL_ONE_SHOT | TIM1_CTRL_INTEN);
}
