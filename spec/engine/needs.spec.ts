/**
 * Skipping follows from a program: what is not needed under a mask may be anything, and no number of the result changes. Stated over
 * drawn programs, and over the families.
 *
 * Tests src/engine/needs.ts and src/verify/model/program_laws.ts.
 */
import { describe, expect, test } from 'vitest'
import { families, makeConfig } from '../../src/engine/config.ts'
import { neededParts, needsOf, type Need } from '../../src/engine/needs.ts'
import { programOf } from '../../src/engine/program.ts'
import { stepsOf, type Value } from '../../src/spec/program.ts'
import { skippedIsZeroed, type NeedsSubject } from '../../src/verify/model/program_laws.ts'
import { llamaVariants, optVariants } from '../golden/golden.ts'
import { goldenConfig } from '../golden/model.ts'
import { killsEach, stateLaw } from '../harness/seed.ts'

stateLaw(skippedIsZeroed, { needsOf, neededParts })

/** The names of the parameters whose products compute only what is needed. */
function prunedIn(program: Value): string[] {
  const needs = needsOf(program)
  return stepsOf(program).flatMap((step) =>
    step.op === 'linear' && needs.has(step) ? [step.weight.name] : [],
  )
}

test('of OPT, query, key, value and fc1 are computed for needed units; of Llama also gate and up', () => {
  for (const variant of optVariants) {
    const config = goldenConfig(variant)
    const names = prunedIn(programOf(config))
    expect(names.length).toBe(4 * config.layers)
    expect(names.slice(0, 4).map((name) => name.split('.').at(-2))).toEqual([
      'q_proj',
      'k_proj',
      'v_proj',
      'fc1',
    ])
  }
  for (const variant of llamaVariants) {
    const config = goldenConfig(variant)
    const names = prunedIn(programOf(config))
    // A norm over all heads needs every query and key.
    const products = config.normsAllHeads ? ['v_proj'] : ['q_proj', 'k_proj', 'v_proj']
    expect(names.slice(0, products.length).map((name) => name.split('.').at(-2))).toEqual(products)
    expect(names.length).toBe((products.length + 2) * config.layers)
    expect(names.slice(products.length, products.length + 2).map((name) => name.split('.').at(-2))).toEqual([
      'gate_proj',
      'up_proj',
    ])
  }
})

test.each(families)('of %s, a configuration says whether a layer norms over several heads', (family) => {
  const sizes = { layers: 1, width: 8, neurons: 3, vocabulary: 5, positions: 4, family }
  const saysOf = (heads: number): boolean | undefined => makeConfig({ ...sizes, heads }).normsAllHeads
  expect([saysOf(1), saysOf(2)]).toEqual([undefined, family === 'olmo2' ? true : undefined])
})

describe('mutants are killed:', () => {
  const changed = (change: (found: Map<Value, Need>, program: Value) => void): NeedsSubject => ({
    neededParts,
    needsOf: (program) => {
      const found = needsOf(program)
      change(found, program)
      return found
    },
  })
  killsEach('%s', skippedIsZeroed, {
    'a key head is needed for its first head only': {
      needsOf,
      neededParts: (units, count, parts) =>
        neededParts(
          units.filter((unit) => (unit * parts) % count === 0),
          count,
          parts,
        ),
    },
    'head h reads key head h mod G': {
      needsOf,
      neededParts: (units, _count, parts) => {
        const places = units.map((unit) => unit % parts)
        return { needed: Int32Array.from(new Set(places)), places }
      },
    },
    'the result of a product is needed as what it reads': changed((found, program) => {
      for (const step of stepsOf(program)) {
        const [at] = step.of
        if (step.op === 'combine' && at.op === 'units') found.set(step, { at, parts: at.count })
      }
    }),
    'a norm over all heads reads those that are needed': changed((found, program) => {
      for (const step of stepsOf(program)) {
        const need = found.get(step)
        if (step.op === 'rmsNorm' && need) found.set(step.of[0], need)
      }
    }),
    'the stream is needed as its units are': changed((found, program) => {
      for (const step of stepsOf(program)) {
        const need = found.get(step)
        if (step.op === 'linear' && need) found.set(step.of[0], need)
      }
    }),
    'one of two readers decides': {
      neededParts,
      needsOf: (program) => {
        const found = needsOf(program)
        for (const step of stepsOf(program))
          if (step.op === 'units')
            for (const value of step.of) found.set(value, { at: step, parts: step.count })
        return found
      },
    },
    'the last kept unit is not needed': {
      needsOf,
      neededParts: (units, ...sizes) => neededParts(units.subarray(0, -1), ...sizes),
    },
  })
})
