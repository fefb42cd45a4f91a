/**
 * The file of a trace: safetensors, with numbers as tensors and the rest as JSON in the metadata entry `shadowllm.trace`. A
 * file is untrusted input: every size, number and name is checked before it is used.
 *
 *   prompt [P] I32   tokens [N] I32   dense [N] I32, -1 for none   kl [N] F32, -1 for none
 *   heads [S, L, H] F32   neurons [S, L, F] F32    S decisions: 1, N or 0
 *   truth.heads [L, H] F32   truth.neurons [L, F] F32    the oracle scores, or neither
 */
import * as v from 'valibot'
import { readFinite } from '../../io/read_finite.ts'
import { parseSafetensors } from '../../io/safetensors.ts'
import { encodeSafetensors, type TensorToWrite } from '../../io/safetensors_writer.ts'
import { checkSchema, numberBetween, parseBySchema, seedNumber, wholeNumber } from '../../io/schema.ts'
import { scopes } from '../../masks/budget.ts'
import type { UnitScores } from '../../masks/selection.ts'
import { unitKinds, type UnitKind, type UnitShape } from '../../masks/mask.ts'
import { criteria } from '../../criteria/index.ts'
import { InputError } from '../../tensor/errors.ts'
import { present } from '../../tensor/records.ts'
import { readIntegers, type RawTensorSource } from '../../tensor/tensor_source.ts'
import { LEAST_TIME } from '../engine/speed_rounds.ts'
import { decisions, studyPlanners } from '../engine/study_types.ts'
import type { Trace, TraceColumn } from './trace.ts'
import { hasUnit } from './unit_facts.ts'

/** The metadata entry of the JSON part. */
export const traceEntry = 'shadowllm.trace'
const about = { code: 'TRACE_CARD', subject: traceEntry }
const version = 1
/** Limits that no model of this family reaches. */
const max = {
  layers: 1024,
  units: 2 ** 20,
  width: 2 ** 20,
  tokens: 4096,
  rounds: 1024,
  switches: 2 ** 16,
  milliseconds: 1e9,
  temperature: 1e9,
}

const units = wholeNumber(1, max.units)
const texts = v.array(v.string())
const round = v.pipe(v.array(numberBetween(LEAST_TIME, max.milliseconds)), v.maxLength(max.rounds))

const switched = v.object({
  unit: v.object({
    kind: v.picklist(unitKinds),
    layer: wholeNumber(0, max.layers),
    index: wholeNumber(0, max.units),
  }),
  on: v.boolean(),
})

const entrySchema = v.pipe(
  v.object({
    version: v.literal(version),
    name: v.string(),
    shape: v.object({ layers: wholeNumber(1, max.layers), heads: units, neurons: units }),
    width: wholeNumber(1, max.width),
    headSize: v.exactOptional(wholeNumber(1, max.width)),
    keyHeads: v.exactOptional(units),
    gated: v.exactOptional(v.boolean()),
    normsAllHeads: v.exactOptional(v.boolean()),
    planner: v.picklist(studyPlanners),
    criterion: v.picklist(criteria.map(({ name }) => name)),
    decides: v.picklist(decisions),
    sparsity: numberBetween(0, 1),
    scope: v.picklist(scopes),
    // Absent in files of greedy texts from before there was another kind.
    temperature: v.nullish(numberBetween(0, max.temperature), 0),
    seed: seedNumber,
    ranks: v.nullish(v.string(), null),
    denseLayers: wholeNumber(0, max.layers),
    // Absent in files from before texts were generated under them.
    switches: v.nullish(v.pipe(v.array(switched), v.maxLength(max.switches)), []),
    divergence: v.nullish(wholeNumber(0, Number.MAX_SAFE_INTEGER), null),
    pieces: texts,
    texts,
    denseTexts: texts,
    // Absent in files from before speeds were measured in rounds.
    rounds: v.nullish(v.object({ sparse: round, dense: round }), null),
  }),
  v.forward(
    v.check(({ denseLayers, shape }) => denseLayers <= shape.layers, 'at most the layers of the model'),
    ['denseLayers'],
  ),
  v.forward(
    v.check(
      ({ switches, shape }) => switches.every(({ unit }) => hasUnit(shape, unit)),
      'units of the model',
    ),
    ['switches'],
  ),
)

/** The fields whose size depends on the tensors: P tokens of the prompt, N generated tokens. */
const fits = (P: number, N: number): v.GenericSchema<unknown, unknown> => {
  const list = (length: number): v.GenericSchema<string[]> =>
    v.pipe(texts, v.length(length, `${length} texts`))
  return v.object({
    pieces: list(P),
    texts: list(N),
    denseTexts: list(N),
    divergence: v.nullable(wholeNumber(0, N)),
  })
}

/** The bytes of a trace's file. */
export function encodeTrace(trace: Trace): Uint8Array<ArrayBuffer> {
  const { model, settings, ranks, denseLayers, switches, prompt, pieces, columns } = trace
  const { oracleScores, divergence } = trace
  const { layers: L, heads: H, neurons: F } = model.shape
  const entry = {
    version,
    ...model,
    ...settings,
    ranks,
    denseLayers,
    switches,
    divergence,
    pieces,
    texts: columns.map(({ text }) => text),
    denseTexts: columns.map(({ dense }) => dense?.text ?? ''),
    rounds: trace.rounds,
  }
  const table = (kind: UnitKind): Float32Array => {
    const units = L * model.shape[kind]
    const values = new Float32Array(trace.decisions.length * units)
    trace.decisions.forEach((scores, s) => values.set(scores[kind], s * units))
    return values
  }
  const N = columns.length
  const kl = Float32Array.from(columns, (column) => column.kl ?? -1)
  const f32 = (shape: number[], data: Float32Array): TensorToWrite => ({ dtype: 'F32', shape, data })
  const i32 = (data: Int32Array): TensorToWrite => ({ dtype: 'I32', shape: [data.length], data })
  const tensors = new Map<string, TensorToWrite>([
    ['prompt', i32(prompt)],
    ['tokens', i32(Int32Array.from(columns, ({ token }) => token))],
    ['dense', i32(Int32Array.from(columns, ({ dense }) => dense?.token ?? -1))],
    ['kl', f32([N], kl)],
    ['heads', f32([trace.decisions.length, L, H], table('heads'))],
    ['neurons', f32([trace.decisions.length, L, F], table('neurons'))],
  ])
  if (oracleScores) {
    tensors.set('truth.heads', f32([L, H], oracleScores.heads))
    tensors.set('truth.neurons', f32([L, F], oracleScores.neurons))
  }
  return encodeSafetensors(tensors, { [traceEntry]: JSON.stringify(entry) })
}

/** Bytes of a file in which its metadata begins; safetensors puts it first. */
const START = 256

/** Whether a file begins as that of a trace, however it goes on. */
export async function beginsAsTrace(file: Blob): Promise<boolean> {
  return (await file.slice(0, START).text()).includes(traceEntry)
}

/**
 * Reads a trace's file.
 * @throws InputError TRACE_CARD, TRACE_VALUE for invalid values; TENSOR_MISSING, TENSOR_SHAPE, SAFETENSORS_*, JSON_*
 */
export async function parseTrace(bytes: Uint8Array, name = 'trace'): Promise<Trace> {
  const source = await parseSafetensors(bytes, name)
  const entry = parseBySchema(entrySchema, source.metadata.get(traceEntry), about)
  const { shape, width, headSize, keyHeads, gated, normsAllHeads } = entry
  const { planner, criterion, decides, sparsity, scope, temperature, seed } = entry
  const file = new TraceTensors(source, name)
  const prompt = await file.ids('prompt', 0)
  const tokens = await file.ids('tokens', 0)
  checkSchema(fits(prompt.length, tokens.length), entry, about)
  return {
    // A field that is absent stays absent.
    model: { name: entry.name, shape, width, ...present({ headSize, keyHeads, gated, normsAllHeads }) },
    settings: { planner, criterion, decides, sparsity, scope, temperature, seed },
    ranks: entry.ranks,
    denseLayers: entry.denseLayers,
    switches: entry.switches,
    prompt,
    pieces: entry.pieces,
    columns: await readColumns(file, tokens, entry),
    decisions: await readDecisions(file, shape, tokens.length),
    oracleScores: source.tensors.has('truth.heads') ? (await file.scores('truth.', null, shape))[0] : null,
    divergence: entry.divergence,
    rounds: entry.rounds,
  }
}

async function readColumns(
  file: TraceTensors,
  tokens: Int32Array,
  { texts, denseTexts }: v.InferOutput<typeof entrySchema>,
): Promise<TraceColumn[]> {
  const dense = await file.ids('dense', -1, tokens.length)
  const kl = await file.floats('kl', [tokens.length])
  return Array.from(tokens, (token, i) => ({
    token,
    text: texts[i],
    dense: dense[i] < 0 ? null : { token: dense[i], text: denseTexts[i] },
    kl: kl[i] === -1 ? null : kl[i],
  }))
}

async function readDecisions(file: TraceTensors, shape: UnitShape, columns: number): Promise<UnitScores[]> {
  const count = file.firstSize('heads')
  if (count === 0 || count === 1 || count === columns) return file.scores('', count, shape)
  throw file.refuse('heads', `0, 1 or ${columns} decisions`, `${count}`)
}

/** The tensors of a trace, with checks of shapes and values. */
class TraceTensors {
  readonly #source: RawTensorSource
  readonly #name: string

  constructor(source: RawTensorSource, name: string) {
    this.#source = source
    this.#name = name
  }

  refuse(tensor: string, expected: string, got: string, code = 'TRACE_VALUE'): InputError {
    return new InputError(code, `${this.#name} ${tensor}: expected ${expected}, got ${got}`, { tensor })
  }

  firstSize(tensor: string): number {
    return this.#shapeOf(tensor)[0] ?? 0
  }

  /** Token ids [N] from `min`: `length` of them, or at most as many as the limit. */
  async ids(tensor: string, min: number, length?: number): Promise<Int32Array> {
    const shape = this.#shapeOf(tensor)
    const [N] = shape
    if (shape.length !== 1 || N > (length ?? max.tokens) || N < (length ?? 0)) {
      const expected = length === undefined ? `at most ${max.tokens} ids` : `${length} ids`
      throw this.refuse(tensor, expected, `[${shape.join(', ')}]`, 'TENSOR_SHAPE')
    }
    if (this.#source.tensors.get(tensor)?.dtype !== 'I32')
      throw this.refuse(tensor, 'I32', 'another element type', 'TENSOR_SHAPE')
    const ids = await readIntegers(this.#source, tensor)
    const wrong = ids.find((id) => id < min)
    if (wrong !== undefined) throw this.refuse(tensor, `ids from ${min}`, `${wrong}`)
    return ids
  }

  /** Finite numbers of a shape. */
  floats(tensor: string, shape: readonly number[]): Promise<Float32Array> {
    return readFinite(this.#source, tensor, shape, 'TRACE_VALUE', this.#name)
  }

  /** Scores [L, H] and [L, F], `count` of each, or one if the tensors have no leading dimension. */
  async scores(prefix: string, count: number | null, shape: UnitShape): Promise<UnitScores[]> {
    const { layers: L, heads: H, neurons: F } = shape
    const rows = count === null ? [] : [count]
    const heads = await this.floats(`${prefix}heads`, [...rows, L, H])
    const neurons = await this.floats(`${prefix}neurons`, [...rows, L, F])
    return Array.from({ length: count ?? 1 }, (_, s) => ({
      shape,
      heads: heads.slice(s * L * H, (s + 1) * L * H),
      neurons: neurons.slice(s * L * F, (s + 1) * L * F),
    }))
  }

  #shapeOf(tensor: string): readonly number[] {
    const info = this.#source.tensors.get(tensor)
    if (info) return info.shape
    throw this.refuse(tensor, 'a tensor of this name', 'none', 'TENSOR_MISSING')
  }
}
