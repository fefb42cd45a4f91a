/**
 * Learning-rate schedules: functions of the step, from 0.
 */

/** The rate at a step. */
export type Schedule = (step: number) => number

/**
 * From `peak` along half a cosine down to the share `floor` of it over `steps` steps, after a linear rise over `warmup`
 * of them.
 */
export function cosineSchedule(peak: number, steps: number, warmup = 0, floor = 0): Schedule {
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / warmup
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
    return floor * peak + (1 - floor) * ((peak * (1 + Math.cos(Math.PI * progress))) / 2)
  }
}
