/**
 * `parity run`: its cases try what they say, a backend that is right passes, and one that is wrong is told where.
 *
 * Tests src/parity/export.ts, src/parity/kinds.ts, src/parity/op_suite.ts, src/parity/run_model.ts and
 * src/parity/scores.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import type { ParityTensor } from '../../src/parity/check.ts'
import { exportParity } from '../../src/parity/export.ts'
import type { ParityCases } from '../../src/parity/files.ts'
import { compareTexts, runModel, type ModelOutcome } from '../../src/parity/run_model.ts'
import { runOp, runOps } from '../../src/parity/run_ops.ts'
import { casesOf, type OpCase } from '../../src/parity/op_suite.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { overBackends } from '../harness/backends.ts'
import { mutateKernel } from '../harness/mutate.ts'
import { arraysOf, lettersOf } from '../../src/testing/op_case.ts'
import { owesBits } from '../harness/strict.ts'
import { mutants } from '../ops/all_mutants.ts'
import { loadSmallModel, smallConfig } from '../evaluation/small_model.ts'

const reference = await createBackend('reference')
const seed = 0

describe('the cases of an op', () => {
  type Suite = (op: KernelName) => Iterable<OpCase>
  const small: Suite = (op) => casesOf(op, { seed, small: true })

  /** What an op's cases do not try, one line each. */
  function untried(op: KernelName, suite: Suite): string[] {
    const row = kernels[op]
    const cases = [...suite(op)]
    const missing: string[] = []
    for (const letter of lettersOf(row)) {
      const seen = new Set(cases.map(({ sizes }) => sizes[letter]))
      const least = row.params.find(({ kind, name }) => kind === 'size' && name === letter)
      const from = least?.kind === 'size' && typeof least.least === 'number' ? least.least : 0
      for (const size of [0, 1, 5, 16, 33])
        if (size >= from && !seen.has(size)) missing.push(`${op}: ${letter} = ${size}`)
    }
    for (const { name, optional, mayAlias } of arraysOf(row)) {
      if (optional && new Set(cases.map(({ values }) => values[name] === null)).size < 2)
        missing.push(`${op}: ${name} there and not`)
      if (mayAlias !== null && new Set(cases.map(({ aliased }) => aliased)).size < 2)
        missing.push(`${op}: ${name} in the place of ${mayAlias} and not`)
    }
    return missing
  }

  test('try each size, with and without each optional array, aliased and not', () => {
    expect(kernelNames.flatMap((op) => untried(op, small))).toEqual([])
  })

  test.each<[string, (one: OpCase) => boolean, KernelName, string]>([
    ['no size 0', ({ sizes }) => sizes.T !== 0, 'linear', 'linear: T = 0'],
    ['no odd tail', ({ sizes }) => sizes.I !== 33, 'linear', 'linear: I = 33'],
    ['no bias absent', ({ values }) => values.bias !== null, 'linear', 'linear: bias there and not'],
    ['nothing aliased', ({ aliased }) => !aliased, 'relu', 'relu: y in the place of x and not'],
  ])('a mutant with %s is found', (_, keeps, op, missing) => {
    expect(untried(op, (name) => [...small(name)].filter(keeps))).toContain(missing)
  })

  test('depend on the seed only', () => {
    const values = (of: number): unknown => [...casesOf('attention', { seed: of, small: true })]
    expect(values(1)).toEqual(values(1))
    expect(values(1)).not.toEqual(values(2))
  })

  test('include the sizes of OPT-125m, unless --small is given', () => {
    const largest = (suite: Iterable<OpCase>): number => Math.max(...[...suite].map(({ sizes }) => sizes.I))
    expect(largest(casesOf('linear', { seed }))).toBe(768)
    expect(largest(small('linear'))).toBe(40)
  })
})

overBackends((backend) => {
  test('every op passes, with equal bits or within its bound', async () => {
    const outcomes = []
    for await (const outcome of runOps(backend, { ops: kernelNames, seed, small: true }))
      outcomes.push(outcome)
    expect(outcomes.filter(({ passed }) => !passed)).toEqual([])
    expect(outcomes.map(({ op }) => op)).toEqual(kernelNames)
    const differing = outcomes.filter(({ differing }) => differing > 0)
    if (owesBits(backend)) expect(differing).toEqual([])
    else for (const { owes } of differing) expect(owes).toBe('bound')
    for (const { compared, milliseconds } of outcomes) {
      expect(compared).toBeGreaterThan(0)
      expect(milliseconds).toBeGreaterThanOrEqual(0)
    }
  })

  test('a whole model passes', async () => {
    const { passed, report, checks } = await againstReference(backend)
    expect(report.worst).toBeNull()
    expect(checks.filter((check) => !check.passed)).toEqual([])
    expect(passed).toBe(true)
    expect(new Set(report.tensors.map(({ kind }) => kind)).size).toBe(7)
    expect(report.tensors.map(({ name }) => name)).toContain('masked.logits')
  })
})

test.each([
  [100, 24],
  [41, 24],
  [32, 16],
  [20, 4],
  [18, 2],
])(
  'a model of %d positions is run on two sequences of %d tokens, whose continuations fit',
  async (positions, T) => {
    const config = makeConfig({ layers: 1, width: 4, heads: 1, neurons: 4, vocabulary: 8, positions })
    const weights = memorySource(initialWeights(config, { seed: 3 }))
    const model = await LanguageModel.load(config, weights, reference)
    const { report } = await runModel(model, model, { seed, strict: true })
    model.dispose()
    const shapes = new Map(report.tensors.map(({ name, shape }) => [name, shape]))
    expect(shapes.get('input_ids')).toEqual([2, T])
    expect(shapes.get('logits')).toEqual([2, T, 8])
  },
)

test('an export under one mask keeps all units of the other kind', async () => {
  const model = await loadSmallModel(reference)
  const { layers, heads, neurons } = model.shape
  const table = (units: number, value: (i: number) => number): ParityTensor => ({
    shape: [layers, units],
    values: Float32Array.from({ length: layers * units }, (_, i) => value(i)),
  })
  const cases = (headMask: ParityTensor | null, ffnMask: ParityTensor | null): ParityCases => {
    const inputIds = Int32Array.of(2, 5, 6, 7)
    return { B: 1, T: 4, inputIds, attentionMask: new Int32Array(4).fill(1), labels: null, headMask, ffnMask }
  }
  const masked = async (...masks: Parameters<typeof cases>): Promise<unknown> =>
    (await exportParity(model, cases(...masks))).get('masked.logits')
  const half = (i: number): number => i % 2
  const [someHeads, someNeurons] = [table(heads, half), table(neurons, half)]
  const [allHeads, allNeurons] = [table(heads, () => 1), table(neurons, () => 1)]
  const [onlyHeads, onlyNeurons] = [await masked(someHeads, null), await masked(null, someNeurons)]
  expect(onlyHeads).toEqual(await masked(someHeads, allNeurons))
  expect(onlyNeurons).toEqual(await masked(allHeads, someNeurons))
  expect(onlyHeads).not.toEqual(onlyNeurons)
  expect(await masked(null, null)).toBeUndefined()
  const short = table(heads - 1, half)
  await expect(masked(short, null)).rejects.toThrow(
    `head_mask: expected [${layers}, ${heads}], got [${layers}, ${heads - 1}]`,
  )
  await expect(masked(null, short)).rejects.toThrow(
    `ffn_mask: expected [${layers}, ${neurons}], got [${layers}, ${heads - 1}]`,
  )
  model.dispose()
})

async function againstReference(backend: Backend): Promise<ModelOutcome> {
  const [model, other] = [await loadSmallModel(backend), await loadSmallModel(reference)]
  try {
    return await runModel(model, other, { seed, strict: owesBits(backend) })
  } finally {
    model.dispose()
    other.dispose()
  }
}

describe('a planted bug', () => {
  test('of the suite is found: one in twelve here, all in run_ops.full.spec.ts', () => {
    const some = mutants.filter((_, i) => i % 12 === 5)
    const missed = some
      .filter(({ op, plant }) => runOp(plant(reference), op, { seed, small: true }).passed)
      .filter(({ op, plant }) => runOp(plant(reference), op, { seed }).passed)
    expect(missed.map(({ op, bug }) => `${op} ${bug}`)).toEqual([])
    expect(some.length).toBeGreaterThan(12)
  })

  test('is named by op, number and sizes, with the largest error', () => {
    const broken = mutateKernel(reference, 'add', (add) => (y, a, b, N) => {
      add(y, a, b, N)
      if (N === 33) y[32] += 1
    })
    const { passed, worst, fault } = runOp(broken, 'add', { seed, small: true })
    expect({ passed, fault }).toEqual({ passed: false, fault: null })
    expect(worst).toMatchObject({ output: 'y', index: 32, passed: false, sizes: { N: 33 } })
    expect((worst?.actual ?? 0) - (worst?.expected ?? 0)).toBeCloseTo(1, 5)
  })

  test('that throws is a finding and does not end the run', () => {
    const broken = mutateKernel(reference, 'add', () => (_y, _a, _b, N) => {
      throw new Error(`no kernel for ${N}`)
    })
    expect(runOp(broken, 'add', { seed, small: true })).toMatchObject({
      passed: false,
      fault: 'no kernel for 0',
      milliseconds: null,
    })
    expect(reference.liveBuffers).toBe(0)
  })

  test('past a bound fails, where a bound is allowed', () => {
    const relaxed = (error: number): Backend => {
      const broken = mutateKernel(reference, 'linear', (linear) => (y, ...rest) => {
        linear(y, ...rest)
        y.forEach((value, i) => (y[i] = value + error * Math.abs(value)))
      })
      return new Proxy(broken, {
        get: (target, key) => (key === 'name' ? 'wasm-relaxed' : Reflect.get(target, key)),
      })
    }
    expect(runOp(relaxed(1e-7), 'linear', { seed, small: true })).toMatchObject({
      passed: true,
      owes: 'bound',
    })
    expect(runOp(relaxed(1e-3), 'linear', { seed, small: true }).passed).toBe(false)
  })

  test.each<[string, (backend: Backend) => Backend, string]>([
    [
      'in attention shows in its heads',
      (backend) =>
        mutateKernel(
          backend,
          'attention',
          (attention) =>
            (y, q, k, v, heads, keyHeads, scale, ...sizes) =>
              attention(y, q, k, v, heads, keyHeads, scale * 1.01, ...sizes),
        ),
      'head_out',
    ],
    [
      'in a skipped product shows under the mask alone',
      (backend) =>
        mutateKernel(backend, 'linear', (linear) => (y, x, weight, bias, rows, ...sizes) => {
          linear(y, x, weight, bias, rows, ...sizes)
          if (rows && rows.length > 1) y[rows[0]] += 1
        }),
      'masked.logits',
    ],
    [
      'in the gradient shows in gradients',
      (backend) =>
        mutateKernel(backend, 'attention_backward', (definition) => (query, key, value, ...rest) => {
          definition(query, key, value, ...rest)
          value.forEach((number, i) => (value[i] = number * 1.01))
        }),
      'head_out_grad',
    ],
  ])('of the model %s', async (_, plant, tensor) => {
    const { passed, report } = await againstReference(plant(reference))
    expect(passed).toBe(false)
    const failed = report.tensors.filter((found) => !found.passed).map(({ name }) => name)
    expect(failed).toContain(tensor)
    if (tensor === 'masked.logits') expect(failed).toEqual([tensor])
  })

  test('in the choice of tokens is told in the texts, as the token that came in place of the expected one', async () => {
    const { vocabulary } = smallConfig
    const broken = mutateKernel(reference, 'linear', (linear) => (y, ...rest) => {
      linear(y, ...rest)
      if (y.length % vocabulary === 0) y.forEach((_, i) => (y[i] += i % vocabulary === 7 ? 1e6 : 0))
    })
    const { checks } = await againstReference(broken)
    const texts = checks.filter(({ name }) => name !== 'masks')
    expect(texts.map(({ name }) => name)).toEqual(['greedy dense', 'greedy sparse'])
    for (const { passed, detail } of texts) {
      expect(passed).toBe(false)
      expect(detail).toMatch(/^token \d+ is 7, expected (?!7,)\d+, whose logit is \d\.\de[+-]\d+ higher$/)
    }
  })

  test('in ranking appears in masks', async () => {
    const broken = mutateKernel(reference, 'top_k', () => (indices, _scores, N, R) => {
      for (let i = 0; i < R; i++) indices[i] = N - R + i
    })
    const backend = new Proxy(broken, {
      get: (target, key) => (key === 'name' ? 'wasm' : Reflect.get(target, key)),
    })
    const { checks } = await againstReference(backend)
    expect(checks.find(({ name }) => name === 'masks')).toMatchObject({ passed: false })
  })
})

describe('greedy texts', () => {
  const text = (tokens: number[], first: number[]) => ({
    tokens,
    logits: tokens.map(() => Float32Array.from(first)),
  })

  test.each<[string, number[], number[], boolean, boolean]>([
    ['equal', [1, 2], [0, 5, 3], true, true],
    ['parted without a tie', [0, 2], [0, 5, 3], false, false],
    ['parted at a tie, bits owed', [0, 2], [5, 5.0001, 3], true, false],
    ['parted at a tie, bits not owed', [0, 2], [5, 5.0001, 3], false, true],
  ])('%s', (_, tokens, logits, strict, passed) => {
    expect(compareTexts('greedy dense', text([1, 2], logits), text(tokens, logits), strict).passed).toBe(
      passed,
    )
  })
})

test('a run that is told to stop stops', async () => {
  const stop = new AbortController()
  const outcomes: string[] = []
  const run = async (): Promise<void> => {
    for await (const { op } of runOps(reference, {
      ops: ['add', 'relu'],
      seed,
      small: true,
      signal: stop.signal,
    })) {
      outcomes.push(op)
      stop.abort()
    }
  }
  await expect(run()).rejects.toThrow(/abort/i)
  expect(outcomes).toEqual(['add'])
})

test('arguments of other names and types are refused in a line', async () => {
  const first = (...given: unknown[]): Promise<unknown> =>
    runOps(...(given as Parameters<typeof runOps>)).next()
  const backend = { name: 'wasm', liveBuffers: 0 }
  await expect(first('wasm')).rejects.toThrow(
    'backend: expected a backend of createBackend, got the text wasm',
  )
  await expect(first(backend, null)).rejects.toThrow('options: expected an object, got null')
  await expect(first(backend, { ops: ['lineer'], seed: 0 })).rejects.toThrow('(did you mean linear?)')
  await expect(runModel({} as never, {} as never, {} as never)).rejects.toThrow(
    'model: expected a loaded model',
  )
})
