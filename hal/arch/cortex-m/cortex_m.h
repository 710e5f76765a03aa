/* cortex_m.h - registers of the ARMv7-M system control space (ARM DDI 0403E, B3). */
#ifndef TOCSIN_HAL_ARCH_CORTEX_M_H
#define TOCSIN_HAL_ARCH_CORTEX_M_H

#include <stdint.h>

#define SYST_CSR 0xE000E010u
#define SYST_CSR_ENABLE (1u << 0)
#define SYST_CSR_TICKINT (1u << 1)
#define SYST_CSR_CLKSOURCE (1u << 2) /* The processor's own clock. */
#define SYST_RVR 0xE000E014u
#define SYST_CVR 0xE000E018u

#define NVIC_ISER 0xE000E100u
#define NVIC_ICER 0xE000E180u
#define NVIC_ICPR 0xE000E280u

#define SCB_ICSR 0xE000ED04u
#define SCB_ICSR_VECTACTIVE 0x1FFu
#define SCB_ICSR_PENDSTSET (1u << 26)
#define SCB_VTOR 0xE000ED08u
#define SCB_AIRCR 0xE000ED0Cu
#define SCB_AIRCR_VECTKEY 0x05FA0000u
#define SCB_AIRCR_SYSRESETREQ (1u << 2)
#define SCB_CCR 0xE000ED14u
#define SCB_CCR_DIV_0_TRP (1u << 4)
#define SCB_SHCSR 0xE000ED24u
#define SCB_SHCSR_MEMFAULTENA (1u << 16)
#define SCB_SHCSR_BUSFAULTENA (1u << 17)
#define SCB_SHCSR_USGFAULTENA (1u << 18)
#define SCB_CFSR 0xE000ED28u
#define SCB_HFSR 0xE000ED2Cu
#define SCB_MMFAR 0xE000ED34u
#define SCB_BFAR 0xE000ED38u

#define MPU_TYPE 0xE000ED90u
#define MPU_TYPE_DREGION (0xFFu << 8)
#define MPU_CTRL 0xE000ED94u
#define MPU_CTRL_ENABLE (1u << 0)
#define MPU_CTRL_PRIVDEFENA (1u << 2) /* Elsewhere the default map holds. */
#define MPU_RBAR 0xE000ED9Cu
#define MPU_RBAR_VALID (1u << 4) /* The region's number is in the low bits. */
#define MPU_RASR 0xE000EDA0u
#define MPU_RASR_ENABLE (1u << 0)
#define MPU_RASR_SIZE(log2) (((log2) << 1) - 2u)  /* One less than log2, from bit 1 on. */
#define MPU_RASR_NORMAL ((1u << 19) | (1u << 17)) /* TEX 001, C 1: write-back. */
#define MPU_RASR_AP_NONE (0u << 24)
#define MPU_RASR_AP_FULL (3u << 24)
#define MPU_RASR_XN (1u << 28)

enum exception {
    EXCEPTION_NMI = 2,
    EXCEPTION_HARD_FAULT = 3,
    EXCEPTION_MEM_MANAGE = 4,
    EXCEPTION_BUS_FAULT = 5,
    EXCEPTION_USAGE_FAULT = 6,
    EXCEPTION_SYSTICK = 15,
    EXCEPTION_IRQ0 = 16
};

/* Start-up enters these. */
void reset_entry(void) __attribute__((noreturn));
void fault_entry(void);
void systick_interrupt(void); /* The clock driver's. */

/* SYSRESETREQ, again and again until it takes. */
void cortex_m_reset(void) __attribute__((noreturn));

#endif
