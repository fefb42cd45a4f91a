/**
 * Learning-rate schedules: functions of the step, from 0.
 */

/** The rate at a step. */
export type Schedule = (step: number) => number

/** From `peak` to 0 along half a cosine over `steps` steps, after a linear rise over `warmup` steps. */
export function cosineSchedule(peak: number, steps: number, warmup = 0): Schedule {
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / warmup
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
    return (peak * (1 + Math.cos(Math.PI * progress))) / 2
  }
}
