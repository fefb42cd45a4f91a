/**
 * The learning rate over a run: a straight rise, then half a cosine down to a floor, in closed form.
 */
import fc from 'fast-check'
import { cosineSchedule } from '../../src/training/schedule.ts'
import { near } from '../../src/verify/compare.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

type Make = typeof cosineSchedule

const runs = fc
  .record({
    peak: fc.double({ min: 1e-5, max: 1, noNaN: true }),
    warmup: fc.integer({ min: 0, max: 300 }),
    falling: fc.integer({ min: 1, max: 2000 }),
    floor: fc.double({ min: 0, max: 1, noNaN: true }),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ warmup, falling, ...rest }) => ({ ...rest, warmup, steps: warmup + falling }))

/**
 * With f the floor: rises by peak / warmup a step; is peak (f + (1 - f) cos^2(pi p / 2)) at share p of the fall, from
 * the peak at 0 to f peak at 1; stays there afterwards.
 */
const isClosedForm = lawForAll(
  'rises to its peak in a straight line and falls to its floor along half a cosine',
  { run: runs },
  (make: Make, { run: { peak, warmup, steps, floor, at } }): void => {
    const schedule = make(peak, steps, warmup, floor)
    const rise = Math.floor(at * warmup)
    if (rise < warmup) near('rise', [schedule(rise)], [(peak / warmup) * (rise + 1)], 1e-12)
    const fall = warmup + Math.round(at * (steps - warmup))
    const share = (fall - warmup) / (steps - warmup)
    const expected = peak * (floor + (1 - floor) * Math.cos((Math.PI / 2) * share) ** 2)
    near('fall', [schedule(fall), schedule(warmup)], [expected, peak], 1e-12)
    near('end', [schedule(steps), schedule(2 * steps)], [floor * peak, floor * peak], 1e-12)
  },
)
stateLaw(isClosedForm, cosineSchedule)

killsEach('a schedule that %s is found', isClosedForm, {
  'falls to nothing': (peak, steps, warmup) => cosineSchedule(peak, steps, warmup),
  'begins its rise at nothing':
    (...given) =>
    (step) =>
      cosineSchedule(...given)(Math.max(0, step - 1)),
  'falls over all steps':
    (peak, steps, warmup = 0, floor = 0) =>
    (step) =>
      cosineSchedule(peak, steps, step < warmup ? warmup : 0, floor)(step),
  'adds its floor to all of it':
    (peak, steps, warmup, floor = 0) =>
    (step) =>
      cosineSchedule(peak, steps, warmup)(step) + floor * peak,
})
