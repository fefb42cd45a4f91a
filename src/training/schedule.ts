/**
 * Learning-rate schedules: functions of the step, from 0.
 */

/** The rate at a step. */
export type Schedule = (step: number) => number

/**
 * The learning rate of each step of a training, a function of the step from 0: a linear rise, then half a cosine down.
 * @param peak the highest rate
 * @param steps how many steps the training has, the rise included
 * @param warmup how many steps it rises over
 * @param floor the share of the peak at the last step, in [0, 1]
 */
export function cosineSchedule(peak: number, steps: number, warmup = 0, floor = 0): Schedule {
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / warmup
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
    return floor * peak + (1 - floor) * ((peak * (1 + Math.cos(Math.PI * progress))) / 2)
  }
}
