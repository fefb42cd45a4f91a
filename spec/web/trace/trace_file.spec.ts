/**
 * A trace's file gives back the trace, and whatever else is in such a file is refused in one line.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { criteria } from '../../../src/criteria/index.ts'
import { parseSafetensors } from '../../../src/io/safetensors.ts'
import { encodeSafetensors, type TensorToWrite } from '../../../src/io/safetensors_writer.ts'
import { scopes } from '../../../src/masks/budget.ts'
import { unitKinds, type UnitShape } from '../../../src/masks/mask.ts'
import type { UnitScores } from '../../../src/masks/selection.ts'
import { InputError } from '../../../src/tensor/errors.ts'
import { decisions as ways, studyPlanners } from '../../../src/web/engine/study_types.ts'
import type { UnitSwitch } from '../../../src/web/engine/unit_switches.ts'
import type { Trace } from '../../../src/web/trace/trace.ts'
import { beginsAsTrace, encodeTrace, parseTrace, traceEntry } from '../../../src/web/trace/trace_file.ts'
import { kills, killsEach, lawForAll, lawOf, stateLaw } from '../../harness/seed.ts'

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
)
/** Any finite float32, more often near 0. */
const finite = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 2 ** -149, -(2 ** -149), 2 ** -127, -(2 ** -127), 2 ** -24, -(2 ** -24)),
)
/** A KL is at least 0, except for rounding; -1 stands for no KL. */
const divergence = finite.filter((value) => value !== -1)
/** Any valid token id. */
const id = fc.oneof(fc.nat(9999), fc.nat(), fc.constant(2 ** 31 - 1))
const table = (length: number): fc.Arbitrary<Float32Array> =>
  fc.array(finite, { minLength: length, maxLength: length }).map((values) => Float32Array.from(values))
const scoresOf = (shape: UnitShape): fc.Arbitrary<UnitScores> =>
  fc.record({
    shape: fc.constant(shape),
    heads: table(shape.layers * shape.heads),
    neurons: table(shape.layers * shape.neurons),
  })

const switchesOf = (shape: UnitShape): fc.Arbitrary<UnitSwitch> =>
  fc.constantFrom(...unitKinds).chain((kind) =>
    fc.record({
      unit: fc.record({
        kind: fc.constant(kind),
        layer: fc.nat(shape.layers - 1),
        index: fc.nat(shape[kind] - 1),
      }),
      on: fc.boolean(),
    }),
  )

const traces: fc.Arbitrary<Trace> = fc
  .record({
    shape: fc.record({
      layers: fc.integer({ min: 1, max: 3 }),
      heads: fc.integer({ min: 1, max: 3 }),
      neurons: fc.integer({ min: 1, max: 4 }),
    }),
    prompt: fc.nat(3),
    columns: fc.nat(4),
    deciding: fc.constantFrom('none', 'once', 'always'),
  })
  .chain(({ shape, prompt, columns, deciding }) => {
    const many = deciding === 'none' ? 0 : deciding === 'once' ? 1 : columns
    const written = fc.record({ token: id, text })
    const round = fc.array(fc.double({ min: 1e-3, max: 1e9, noNaN: true }), { maxLength: 12 })
    const exactly = { minLength: columns, maxLength: columns }
    return fc.record({
      model: fc.record({
        name: text,
        shape: fc.constant(shape),
        width: fc.integer({ min: 1, max: 2 ** 20 }),
      }),
      settings: fc.record({
        planner: fc.constantFrom(...studyPlanners),
        criterion: fc.constantFrom(...criteria.map(({ name }) => name)),
        decides: fc.constantFrom(...ways),
        sparsity: fc.double({ min: 0, max: 1, noNaN: true }).map((share) => share + 0),
        scope: fc.constantFrom(...scopes),
        temperature: fc.double({ min: 0, max: 1e9, noNaN: true }).map((value) => value + 0),
        seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      }),
      ranks: fc.option(text),
      denseLayers: fc.nat(shape.layers),
      switches: fc.array(switchesOf(shape), { maxLength: 3 }),
      prompt: fc.array(id, { minLength: prompt, maxLength: prompt }).map((ids) => Int32Array.from(ids)),
      pieces: fc.array(text, { minLength: prompt, maxLength: prompt }),
      columns: fc.array(
        fc
          .tuple(written, fc.option(written), fc.option(divergence))
          .map(([own, dense, kl]) => ({ ...own, dense, kl })),
        exactly,
      ),
      decisions: fc.array(scoresOf(shape), { minLength: many, maxLength: many }),
      oracleScores: fc.option(scoresOf(shape)),
      divergence: fc.option(fc.nat(columns)),
      rounds: fc.option(fc.record({ sparse: round, dense: round })),
    })
  })

type Encode = typeof encodeTrace

const comesBack = lawForAll(
  'a trace round-trips through its file',
  { trace: traces },
  async (encode: Encode, { trace }): Promise<void> => expect(await parseTrace(encode(trace))).toEqual(trace),
)
stateLaw(comesBack, encodeTrace)

killsEach(
  'a mutant that %s: killed',
  lawOf(comesBack, (mutate: (trace: Trace) => Trace) => (trace) => encodeTrace(mutate(trace))),
  {
    'drops the switches': (trace) => ({ ...trace, switches: [] }),
    'drops the oracle scores': (trace) => ({ ...trace, oracleScores: null }),
    'exchanges the texts': (trace) => ({
      ...trace,
      columns: trace.columns.map((one) => (one.dense ? { ...one.dense, dense: one, kl: one.kl } : one)),
    }),
    'takes a KL below 0 for no KL': (trace) => ({
      ...trace,
      columns: trace.columns.map((one) => ({ ...one, kl: one.kl !== null && one.kl < 0 ? null : one.kl })),
    }),
    'loses the sign of a zero': (trace) => ({
      ...trace,
      decisions: trace.decisions.map((one) => ({ ...one, heads: one.heads.map((score) => score + 0) })),
    }),
    'flushes subnormals to 0': (trace) => ({
      ...trace,
      columns: trace.columns.map((one) => ({
        ...one,
        kl: one.kl !== null && Math.abs(one.kl) < 2 ** -126 ? 0 : one.kl,
      })),
    }),
    'keeps 31 bits of a seed': (trace) => ({
      ...trace,
      settings: { ...trace.settings, seed: trace.settings.seed & 0x7fffffff },
    }),
    'keeps one decision': (trace) => ({ ...trace, decisions: trace.decisions.slice(0, 1) }),
  },
)

// ---- Files of others ----------------------------------------------------------------------------------------------------

type Read = (bytes: Uint8Array) => Promise<Trace>

/** A trace whose every number can be used, or an error of the one family, in one line. */
async function readOrRefused(read: Read, bytes: Uint8Array): Promise<void> {
  const trace = await read(bytes).catch((error: unknown) => error)
  if (trace instanceof Error) {
    expect(trace).toBeInstanceOf(InputError)
    expect(trace.message).toMatch(/^[^\n]*expected [^\n]*$/)
    return
  }
  const { model, columns, decisions, prompt, pieces, divergence, settings, denseLayers, oracleScores } =
    trace as Trace
  const { layers, heads, neurons } = model.shape
  expect(pieces.length).toBe(prompt.length)
  expect([0, 1, columns.length]).toContain(decisions.length)
  expect(divergence ?? 0).toBeLessThanOrEqual(columns.length)
  expect(denseLayers).toBeLessThanOrEqual(layers)
  expect(settings.sparsity).toBeGreaterThanOrEqual(0)
  expect(settings.sparsity).toBeLessThanOrEqual(1)
  for (const scores of [...decisions, ...(oracleScores ? [oracleScores] : [])]) {
    expect([scores.heads.length, scores.neurons.length]).toEqual([layers * heads, layers * neurons])
    expect([...scores.heads, ...scores.neurons].every(Number.isFinite)).toBe(true)
  }
  for (const { token, dense, kl } of columns) {
    expect(token).toBeGreaterThanOrEqual(0)
    expect(dense?.token ?? 0).toBeGreaterThanOrEqual(0)
    expect(Number.isFinite(kl ?? 0)).toBe(true)
  }
}

const damages = { trace: traces, at: fc.nat(), byte: fc.nat(255), cut: fc.boolean() }

const damaged = lawForAll(
  'a truncated file is refused, and one with any byte changed is read or refused',
  { ...damages },
  async (read: Read, { trace, at, byte, cut }): Promise<void> => {
    const bytes = encodeTrace(trace)
    const place = at % bytes.length
    if (cut) return void (await expect(read(bytes.slice(0, place))).rejects.toBeInstanceOf(InputError))
    bytes[place] = byte
    await readOrRefused(read, bytes)
  },
  { runs: 400 },
)
stateLaw(damaged, parseTrace)

test('a reader without checks is found by it', () =>
  kills(damaged, async (bytes) => {
    const source = await parseSafetensors(bytes)
    const entry = JSON.parse(source.metadata.get(traceEntry) ?? '{}') as Trace
    return { ...(await parseTrace(bytes)), ...entry }
  }))

describe('impossible traces are refused by name', () => {
  const trace = fc.sample(
    traces.filter(
      ({ columns, decisions, prompt, oracleScores }) =>
        columns.length === 3 && decisions.length === 3 && prompt.length > 0 && oracleScores !== null,
    ),
    { numRuns: 1, seed: 1 },
  )[0]

  /** The file of the trace with its entry or its tensors changed. */
  async function forged(
    change: (entry: Record<string, unknown>, tensors: Map<string, TensorToWrite>) => void,
  ): Promise<Uint8Array> {
    const source = await parseSafetensors(encodeTrace(trace))
    const entry = JSON.parse(source.metadata.get(traceEntry) as string) as Record<string, unknown>
    const tensors = new Map<string, TensorToWrite>()
    for (const [name, { dtype, shape }] of source.tensors)
      tensors.set(name, { dtype, shape, data: await source.readRaw(name) })
    change(entry, tensors)
    return encodeSafetensors(tensors, { [traceEntry]: JSON.stringify(entry) })
  }

  const long = (length: number): TensorToWrite => ({
    dtype: 'I32',
    shape: [length],
    data: new Int32Array(length),
  })

  /** What is refused, by its code. */
  const forgeries: Readonly<Record<string, Readonly<Record<string, Parameters<typeof forged>[0]>>>> = {
    TRACE_CARD: {
      'another version': (entry) => (entry.version = 2),
      'no entry': (entry) => delete entry.shape,
      'a planner nobody knows': (entry) => (entry.planner = '__proto__'),
      'a criterion nobody knows': (entry) => (entry.criterion = '<script>'),
      'a sparsity of 7': (entry) => (entry.sparsity = 7),
      'more dense layers than layers': (entry) => (entry.denseLayers = 99),
      'sizes beyond any model': (entry) => (entry.shape = { layers: 2 ** 30, heads: 1, neurons: 1 }),
      'a text too few': (entry) => (entry.texts as string[]).pop(),
      'pieces that are no texts': (entry) => (entry.pieces = [[]]),
      'a divergence past the end': (entry) => (entry.divergence = 4),
      'rounds that are text': (entry) => (entry.rounds = { sparse: 'fast', dense: [] }),
    },
    TENSOR_SHAPE: {
      'a size that does not fit the scores': (entry) => (entry.shape = { layers: 9, heads: 9, neurons: 9 }),
      'a prompt of a million tokens': (_, tensors) => tensors.set('prompt', long(1e6)),
      'ids of another length': (_, tensors) => tensors.set('dense', long(2)),
      'ids that are floats': (_, tensors) =>
        tensors.set('tokens', { dtype: 'F32', shape: [3], data: new Float32Array(3) }),
    },
    TRACE_VALUE: {
      'ids below 0': (_, tensors) =>
        tensors.set('tokens', { dtype: 'I32', shape: [3], data: Int32Array.of(1, -1, 1) }),
      'scores that are NaN': (_, tensors) =>
        tensors.set('kl', { dtype: 'F32', shape: [3], data: Float32Array.of(1, NaN, 1) }),
      'two decisions for three tokens': (_, tensors) => {
        const { heads: H, layers: L } = trace.model.shape
        tensors.set('heads', { dtype: 'F32', shape: [2, L, H], data: new Float32Array(2 * L * H) })
      },
    },
    TENSOR_MISSING: {
      'no tokens': (_, tensors) => tensors.delete('tokens'),
      'half of the oracle scores': (_, tensors) => tensors.delete('truth.neurons'),
    },
  }
  const forgedRows = Object.entries(forgeries).flatMap(([code, changes]) =>
    Object.entries(changes).map(([what, change]) => ({ what, code, change })),
  )
  test.each(forgedRows)('$what: $code', async ({ code, change }) => {
    await expect(parseTrace(await forged(change))).rejects.toMatchObject({ code, name: 'InputError' })
  })

  /** The trace with a number of prompt tokens and generated tokens. */
  const ofLength = (prompt: number, columns: number): Trace => ({
    ...trace,
    prompt: new Int32Array(prompt),
    pieces: Array<string>(prompt).fill('a'),
    columns: Array.from({ length: columns }, (_, token) => ({ token, text: 'b', dense: null, kl: null })),
    decisions: trace.decisions.slice(0, 1),
    divergence: columns,
  })

  test('one token more than the limit is refused, and the limit is accepted', async () => {
    const longest = ofLength(4096, 4096)
    expect(await parseTrace(encodeTrace(longest))).toEqual(longest)
    for (const [prompt, columns] of [
      [4097, 1],
      [1, 4097],
    ])
      await expect(parseTrace(encodeTrace(ofLength(prompt, columns)))).rejects.toMatchObject({
        code: 'TENSOR_SHAPE',
      })
  })

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['width', { width: 2 ** 20 }, { width: 2 ** 20 + 1 }],
    ['width of 0', { width: 1 }, { width: 0 }],
    ['seed', { seed: 2 ** 32 - 1 }, { seed: 2 ** 32 }],
    ['temperature', { temperature: 1e9 }, { temperature: 1e9 + 1 }],
    ['temperature below 0', { temperature: 0 }, { temperature: -1e-9 }],
    ['sparsity', { sparsity: 1 }, { sparsity: 1 + 2 ** -52 }],
    ['sparsity below 0', { sparsity: 0 }, { sparsity: -1e-9 }],
    ['divergence', { divergence: 3 }, { divergence: 4 }],
    [
      'time of a token',
      { rounds: { sparse: [1e9], dense: [1e-3] } },
      { rounds: { sparse: [1e9 + 1], dense: [] } },
    ],
    [
      'time below the least',
      { rounds: { sparse: [1e-3], dense: [] } },
      { rounds: { sparse: [0], dense: [] } },
    ],
    [
      'dense layers',
      { denseLayers: trace.model.shape.layers },
      { denseLayers: trace.model.shape.layers + 1 },
    ],
  ])('a %s past its bound; the bound itself is read', async (_, within, past) => {
    await parseTrace(await forged((entry) => Object.assign(entry, within)))
    const broken = parseTrace(await forged((entry) => Object.assign(entry, past)))
    await expect(broken).rejects.toMatchObject({ code: 'TRACE_CARD' })
  })

  test('a file without a temperature is of a greedy text', async () => {
    const { settings } = await parseTrace(await forged((entry) => delete entry.temperature))
    expect(settings).toEqual({ ...trace.settings, temperature: 0 })
  })

  test('a file from before speeds were measured in rounds has no speed', async () => {
    const old = await forged((entry) => {
      delete entry.rounds
      entry.speeds = { sparse: 5, dense: null }
    })
    expect((await parseTrace(old)).rounds).toBeNull()
  })

  test('a file of another format is refused, and told from a trace that is cut', async () => {
    const other = encodeSafetensors(new Map([['a', long(1)]]))
    await expect(parseTrace(other)).rejects.toMatchObject({ code: 'TRACE_CARD' })
    const text = new TextEncoder().encode('<!doctype html>')
    await expect(parseTrace(text)).rejects.toBeInstanceOf(InputError)
    const cut = encodeTrace(trace).subarray(0, 300)
    await expect(parseTrace(cut)).rejects.toBeInstanceOf(InputError)
    const begin = await Promise.all([other, text, cut].map((bytes) => beginsAsTrace(new Blob([bytes]))))
    expect(begin).toEqual([false, false, true])
  })
})
