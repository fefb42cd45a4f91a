/**
 * The table of rotary: its cosines and sines are those of the runtime, its frequencies those of the checkpoint's scaling,
 * and its bits the same everywhere.
 */
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { cosAndSin, rotaryTable, type Rotary, type RotaryScaling } from '../../src/ops/rotary.ts'
import { near } from '../../src/verify/compare.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

type CosAndSin = typeof cosAndSin

const nearTheRuntime = lawForAll(
  'cosAndSin is within 2e-15 of the cosine and the sine of the runtime, for angles from 0 to 2^17',
  { angle: fc.double({ min: 0, max: 2 ** 17, noNaN: true }), quarter: fc.nat({ max: 83_443 }) },
  (of: CosAndSin, { angle, quarter }) => {
    // Near a multiple of pi / 2 most of the angle is taken away.
    for (const x of [angle, quarter * (Math.PI / 2), quarter * (Math.PI / 4)]) {
      const { cos, sin } = of(x)
      near(`of ${x}`, [cos, sin], [Math.cos(x), Math.sin(x)], 2e-15)
    }
  },
  { runs: 1000 },
)
stateLaw(nearTheRuntime, cosAndSin)

/** The frequency of pair i, by the runtime's power and from the definition of each scaling. */
function frequencyOf({ base, scaling }: Rotary, i: number, K: number): number {
  const frequency = Math.pow(base, (-2 * i) / K)
  if (scaling === null) return frequency
  if (scaling.kind === 'linear') return frequency / scaling.factor
  if (scaling.kind === 'factors') return frequency / scaling.factors[i]
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalPositions } = scaling
  const wavelength = (2 * Math.PI) / frequency
  if (wavelength > originalPositions / lowFrequencyFactor) return frequency / factor
  if (wavelength < originalPositions / highFrequencyFactor) return frequency
  const smooth =
    (originalPositions / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}

const linear = fc.record<RotaryScaling & { kind: 'linear' }>({
  kind: fc.constant('linear'),
  factor: fc.integer({ min: 1, max: 16 }),
})
const llama3 = fc.record<RotaryScaling & { kind: 'llama3' }>({
  kind: fc.constant('llama3'),
  factor: fc.integer({ min: 2, max: 32 }),
  lowFrequencyFactor: fc.integer({ min: 1, max: 2 }),
  highFrequencyFactor: fc.integer({ min: 3, max: 8 }),
  originalPositions: fc.constantFrom(256, 2048, 8192),
})
/** As many as the longest drawn head has pairs. */
const factors = fc.record<RotaryScaling & { kind: 'factors' }>({
  kind: fc.constant('factors'),
  factors: fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 65, maxLength: 65 }),
  magnitude: fc.constantFrom(1, 1.25),
})
const bases = fc.constantFrom(100, 10_000, 100_000, 500_000, 1_000_000)

const POSITIONS = 700

const frequencyLaws = Object.entries({ plain: fc.constant(null), linear, llama3, factors }).map(
  ([kind, scaling]) =>
    lawForAll(
      `${kind}: row t of the table holds cos(t f) and then sin(t f) of the frequencies f, rounded to float32`,
      {
        base: bases,
        scaling: scaling as fc.Arbitrary<RotaryScaling | null>,
        K: fc.integer({ min: 1, max: 130 }),
        rest: fc.oneof(fc.constant(0), fc.nat({ max: 30 })),
      },
      (table: typeof rotaryTable, { base, scaling, K, rest }) => {
        // The first K numbers of a head are rotated.
        const rotary = { base, scaling, ...(rest > 0 && { size: K }) }
        const magnitude = scaling?.kind === 'factors' ? (scaling.magnitude ?? 1) : 1
        const [M, rows] = [Math.floor(K / 2), table(rotary, POSITIONS, K + rest)]
        for (const t of [0, 1, 2, 17, 128, POSITIONS - 1]) {
          const row = rows.subarray(t * K, (t + 1) * K)
          const angles = Array.from({ length: M }, (_, i) => t * frequencyOf(rotary, i, K))
          // Half a unit in the last place, and what the angle is off by.
          const error = (magnitude > 1 ? 2 : 1) * 2 ** -25 + magnitude * (2e-15 + POSITIONS * 4e-15)
          near(
            `cosines of ${t}`,
            row.subarray(0, M),
            angles.map((angle) => magnitude * Math.cos(angle)),
            error,
          )
          near(
            `sines of ${t}`,
            row.subarray(M, 2 * M),
            angles.map((angle) => magnitude * Math.sin(angle)),
            error,
          )
          if (K % 2 === 1) expect(row[K - 1]).toBe(0)
        }
      },
      { runs: 30 },
    ),
)
for (const law of frequencyLaws) stateLaw(law, rotaryTable)
const [ofPlain, ofLinear, ofLlama3, ofFactors] = frequencyLaws

test('the bits of a table are the same on every engine', () => {
  const scaling = {
    kind: 'llama3',
    factor: 32,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalPositions: 8192,
  } as const
  const table = rotaryTable({ base: 500_000, scaling }, 1024, 64)
  expect(createHash('sha256').update(new Uint8Array(table.buffer)).digest('hex')).toBe(
    '6184617ab8675335c2c60e513c50a55ab7fc52edfc27dc2058d3fa9d3380127d',
  )
})

describe('mutants are killed:', () => {
  test('an angle brought to within pi / 4 by one number for pi / 2', () =>
    kills(nearTheRuntime, (angle) => {
      const quarter = Math.round(angle / (Math.PI / 2))
      const { cos, sin } = cosAndSin(Math.abs(angle - quarter * (Math.PI / 2)))
      return quarter % 2 === 0 ? { cos, sin } : { cos: sin, sin: cos }
    }))

  test('sines before cosines', () =>
    kills(ofPlain, (rotary, positions, K) => {
      const [M, table] = [Math.floor(K / 2), rotaryTable(rotary, positions, K)]
      return table.map((_, n) => table[n - (n % K) + (((n % K) + M) % (2 * M || 1))])
    }))

  test('a scaling that is forgotten', async () => {
    for (const law of [ofLinear, ofLlama3, ofFactors])
      await kills(law, (rotary, ...rest) => rotaryTable({ ...rotary, scaling: null }, ...rest))
  })

  test('a magnitude that is forgotten', () =>
    kills(ofFactors, ({ scaling, ...rotary }, ...rest) =>
      rotaryTable(
        { ...rotary, scaling: scaling?.kind === 'factors' ? { ...scaling, magnitude: 1 } : scaling },
        ...rest,
      ),
    ))

  test('frequencies of a whole head where a part of it is rotated', () =>
    kills(ofPlain, (rotary, positions, K) => {
      const { size: R = K } = rotary
      const whole = rotaryTable({ ...rotary, size: K }, positions, K)
      return Float32Array.from({ length: positions * R }, (_, n) => whole[Math.floor(n / R) * K + (n % R)])
    }))

  test('the factor of the neighbouring pair', () =>
    kills(ofFactors, ({ scaling, ...rotary }, ...rest) =>
      rotaryTable(
        {
          ...rotary,
          scaling:
            scaling?.kind === 'factors' ? { ...scaling, factors: scaling.factors.toReversed() } : scaling,
        },
        ...rest,
      ),
    ))

  test('no frequency between those that are divided by the factor and those that stay', () =>
    kills(ofLlama3, ({ scaling, ...rotary }, ...rest) =>
      rotaryTable(
        {
          ...rotary,
          scaling: scaling?.kind === 'llama3' ? { ...scaling, highFrequencyFactor: 1.001 } : scaling,
        },
        ...rest,
      ),
    ))
})
