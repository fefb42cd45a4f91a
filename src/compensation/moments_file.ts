/**
 * Moments as files: safetensors, with tensors for each layer l and kind of unit.
 *
 *   heads.l.means            [N]             means of the activations, float32
 *   heads.l.squares          [N]             the diagonal of C, float32
 *   heads.l.correlations     [N (N - 1) / 2] C_ij / root of (C_ii C_jj) for j < i, row by row, times 32767 and rounded to
 *                                            int16; 0 beside a unit that was never active
 *   heads.l.worths           [H]             what cannot be recovered of each unit and those worth less (worth.ts), float32
 *   neurons.l.…              the same
 *
 * A model of 30 layers of 576 and 1,536 numbers takes 81 MB. Rounding moves a correlation by up to 2⁻¹⁶; float16 would move one near
 * 1 by 2⁻¹². So C may be indefinite by a little, and the λ of fold.ts must outweigh that.
 *
 *   heads.l.firsts           [N]             sums so far: the file of a collection that goes on
 *   heads.l.sums             [N (N + 1) / 2] those of products for j ≤ i, row by row, float32
 *
 * Metadata says which model and calibration a file is of, and how many windows and tokens were added.
 */
import { refusal, quote } from '../io/refusal.ts'
import { readFinite } from '../io/read_finite.ts'
import { openSafetensors, parseSafetensors } from '../io/safetensors.ts'
import { encodeSafetensors, writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'
import { closing, readIntegers, type RawTensorSource } from '../tensor/tensor_source.ts'
import { momentWidths, type LayerMoments, type MomentTables, type MomentWidths } from './moments.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { HeldMoments, ONE, summarize, type UnitMoments } from './held_moments.ts'

const FORMAT = 'shadowllm-moments-2'

/** What a file of moments is of. */
export interface MomentsOrigin {
  /** SHA-256 of the model's files. */
  readonly model: string
  /** The identity of the calibration whose windows they were. */
  readonly calibration: string
  /** Windows and tokens that were added. */
  readonly windows: number
  readonly tokens: number
}

const countEntries = ['windows', 'tokens'] as const

function metadataOf({ model, calibration, windows, tokens }: MomentsOrigin): Record<string, string> {
  return { format: FORMAT, model, calibration, windows: `${windows}`, tokens: `${tokens}` }
}

/** @throws InputError MOMENTS_FORMAT */
function originOf({ metadata }: RawTensorSource, path: string): MomentsOrigin {
  const text = (name: string, pattern: RegExp, expected: string): string => {
    const found = metadata.get(name) ?? ''
    if (pattern.test(found)) return found
    throw refusal('MOMENTS_FORMAT', `${path} ${name}`, expected, found === '' ? 'none' : quote(found))
  }
  text('format', new RegExp(`^${FORMAT}$`), FORMAT)
  const hash = /^[0-9a-f]{64}$/
  const [windows, tokens] = countEntries.map((name) =>
    Number(text(name, /^[1-9]\d{0,14}$/, 'a whole number from 1')),
  )
  const [model, calibration] = ['model', 'calibration'].map((name) => text(name, hash, 'a SHA-256'))
  return { model, calibration, windows, tokens }
}

/**
 * The moments of a finished collection.
 * @param layer of layer l
 * @param worths of its units, from C and its moments over the tokens
 */
export async function writeMoments(
  path: string,
  origin: MomentsOrigin,
  layers: number,
  layer: (l: number) => LayerMoments | Promise<LayerMoments>,
  worths: (l: number, kind: UnitKind, moments: Float64Array) => Float32Array,
): Promise<void> {
  const { tokens } = origin
  await writeLayers(path, origin, layers, layer, ({ first, second }, l, kind) => {
    const { means, squares, correlations } = summarize({ first, second }, tokens)
    return {
      means: listOf('F32', means),
      squares: listOf('F32', squares),
      correlations: listOf('I16', correlations),
      worths: listOf('F32', worths(l, kind, matrixOf({ squares, correlations }))),
    }
  })
}

/** Writes the parts of each layer's matrices. */
async function writeLayers(
  path: string,
  origin: MomentsOrigin,
  layers: number,
  layer: (l: number) => LayerMoments | Promise<LayerMoments>,
  partsOf: (
    tables: MomentTables<Float32Array>,
    l: number,
    kind: UnitKind,
  ) => Readonly<Record<string, TensorToWrite>>,
): Promise<void> {
  const tensors = new Map<string, TensorToWrite>()
  for (let l = 0; l < layers; l++) {
    const matrices = await layer(l)
    for (const kind of unitKinds)
      for (const [part, tensor] of Object.entries(partsOf(matrices[kind], l, kind)))
        tensors.set(`${kind}.${l}.${part}`, tensor)
  }
  await writeSafetensors(path, tensors, metadataOf(origin))
}

function listOf(dtype: 'F32' | 'I16', data: Float32Array | Int16Array): TensorToWrite {
  return { dtype, shape: [data.length], data }
}

/** C: [N, N]. */
function matrixOf({ squares, correlations }: Pick<UnitMoments, 'squares' | 'correlations'>): Float64Array {
  const N = squares.length
  const moments = new Float64Array(N * N)
  const roots = Float64Array.from(squares, Math.sqrt)
  let at = 0
  for (let i = 0; i < N; i++) {
    moments[i * N + i] = squares[i]
    for (let j = 0; j < i; j++)
      moments[i * N + j] = moments[j * N + i] = (correlations[at++] / ONE) * roots[i] * roots[j]
  }
  return moments
}

/** Moments in memory as bytes. The same for equal ones. */
export function encodeHeld({ texts }: HeldMoments): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, TensorToWrite>()
  for (const [m, text] of texts.entries())
    for (const kind of unitKinds)
      for (const [l, { correlations, ...lists }] of text[kind].entries()) {
        const place = `${m}.${kind}.${l}`
        tensors.set(`${place}.correlations`, listOf('I16', correlations))
        for (const [name, list] of Object.entries(lists)) tensors.set(`${place}.${name}`, listOf('F32', list))
      }
  return encodeSafetensors(tensors, { format: FORMAT, texts: `${texts.length}` })
}

/** Moments in memory from such bytes. @throws InputError MOMENTS_FORMAT, and as `Moments.hold` */
export async function parseHeld(
  bytes: Uint8Array,
  { config, shape }: Pick<LanguageModel, 'config' | 'shape'>,
): Promise<HeldMoments> {
  const source = await parseSafetensors(bytes, 'moments')
  const texts = source.metadata.get('texts') ?? ''
  if (!/^[1-9]\d{0,2}$/.test(texts))
    throw refusal('MOMENTS_FORMAT', 'moments texts', 'a whole number from 1', quote(texts))
  const widths = momentWidths(config)
  const tables = async (m: number, kind: UnitKind): Promise<UnitMoments[]> => {
    const found: UnitMoments[] = []
    for (let l = 0; l < shape.layers; l++)
      found.push(await readTable(source, 'moments', `${m}.${kind}.${l}`, widths[kind], shape[kind]))
    return found
  }
  const all = []
  for (let m = 0; m < Number(texts); m++)
    all.push({ heads: await tables(m, 'heads'), neurons: await tables(m, 'neurons') })
  return new HeldMoments(shape, all)
}

/** Opens a file of moments. Close it. @throws InputError MOMENTS_FORMAT; SAFETENSORS_*, FILE_* and others of the reader */
export async function openMoments(path: string): Promise<Moments> {
  const source = await openSafetensors(path)
  try {
    return new Moments(path, source, originOf(source, path))
  } catch (error) {
    await source.close()
    throw error
  }
}

/** Moments, read layer by layer. `openMoments` makes one. */
export class Moments {
  readonly path: string
  readonly origin: MomentsOrigin
  readonly #source: RawTensorSource

  constructor(path: string, source: RawTensorSource, origin: MomentsOrigin) {
    this.path = path
    this.origin = origin
    this.#source = source
  }

  /** C of a layer: [N, N], over the tokens. @throws InputError as `table` */
  async read(kind: UnitKind, layer: number, N: number): Promise<Float64Array> {
    return matrixOf(await this.table(kind, layer, N))
  }

  /** All of a model, in memory. @throws InputError as `table` */
  async hold({ config, shape }: Pick<LanguageModel, 'config' | 'shape'>): Promise<HeldMoments> {
    const widths = momentWidths(config)
    const tables = async (kind: UnitKind): Promise<UnitMoments[]> => {
      const found: UnitMoments[] = []
      for (let l = 0; l < shape.layers; l++) found.push(await this.table(kind, l, widths[kind], shape[kind]))
      return found
    }
    return new HeldMoments(shape, [{ heads: await tables('heads'), neurons: await tables('neurons') }])
  }

  /**
   * What the file has of the units of a layer.
   * @param N numbers of all units
   * @param units default N
   * @throws InputError TENSOR_MISSING, TENSOR_SHAPE if the file is of a model of another shape, DTYPE, MOMENTS_VALUE for mean squares
   *   below 0, numbers that are not finite, or correlations past 1
   */
  async table(kind: UnitKind, layer: number, N: number, units: number | null = null): Promise<UnitMoments> {
    return readTable(this.#source, this.path, `${kind}.${layer}`, N, units)
  }

  close(): Promise<void> {
    return this.#source.close()
  }
}

/** The tensors of the units of a layer. @throws InputError as `Moments.table` */
async function readTable(
  source: RawTensorSource,
  path: string,
  place: string,
  N: number,
  units: number | null,
): Promise<UnitMoments> {
  const finite = (part: string, length: number): Promise<Float32Array> =>
    readFinite(source, `${place}.${part}`, [length], 'MOMENTS_VALUE', path)
  const squares = await finite('squares', N)
  const least = squares.find((value) => value < 0)
  if (least !== undefined)
    throw refusal('MOMENTS_VALUE', `${path} ${place}.squares`, 'mean squares from 0', `${least}`)
  return {
    squares,
    means: await finite('means', N),
    correlations: await readCorrelations(source, path, `${place}.correlations`, (N * (N - 1)) / 2),
    worths: units === null ? new Float32Array(0) : await finite('worths', units),
  }
}

async function readCorrelations(
  source: RawTensorSource,
  path: string,
  name: string,
  length: number,
): Promise<Int16Array> {
  const found = source.tensors.get(name)?.shape.join(', ')
  const refuse = (code: string, expected: string, got: string): Error =>
    refusal(code, `${path} ${name}`, expected, got, { tensor: name })
  if (found === undefined) throw refuse('TENSOR_MISSING', `[${length}]`, 'no such tensor')
  if (found !== `${length}`) throw refuse('TENSOR_SHAPE', `[${length}]`, `[${found}]`)
  const values = await readIntegers(source, name)
  const wrong = values.find((value) => Math.abs(value) > ONE)
  if (wrong !== undefined) throw refuse('MOMENTS_VALUE', `numbers from -${ONE} to ${ONE}`, `${wrong}`)
  return Int16Array.from(values)
}

/** The sums of a collection that goes on. */
export async function writeSums(
  path: string,
  origin: MomentsOrigin,
  layers: number,
  layer: (l: number) => LayerMoments,
): Promise<void> {
  await writeLayers(path, origin, layers, layer, ({ first, second }) => ({
    firsts: listOf('F32', first),
    sums: listOf('F32', lowerTriangle(second)),
  }))
}

function lowerTriangle(sums: Float32Array): Float32Array {
  const N = Math.sqrt(sums.length)
  const triangle = new Float32Array((N * (N + 1)) / 2)
  for (let i = 0; i < N; i++) triangle.set(sums.subarray(i * N, i * N + i + 1), (i * (i + 1)) / 2)
  return triangle
}

/** What was collected so far: [L]. @throws InputError as `openMoments` and `Moments.read` */
export async function readSums(
  path: string,
  layers: number,
  widths: MomentWidths,
): Promise<{ readonly origin: MomentsOrigin; readonly sums: readonly LayerMoments[] }> {
  return closing(openSafetensors(path), async (source) => {
    const origin = originOf(source, path)
    const read = async (kind: UnitKind, l: number): Promise<MomentTables<Float32Array>> => {
      const N = widths[kind]
      const first = await readFinite(source, `${kind}.${l}.firsts`, [N], 'MOMENTS_VALUE', path)
      const shape = [(N * (N + 1)) / 2]
      const triangle = await readFinite(source, `${kind}.${l}.sums`, shape, 'MOMENTS_VALUE', path)
      const sums = new Float32Array(N * N)
      for (let i = 0; i < N; i++)
        for (let j = 0; j <= i; j++) sums[i * N + j] = sums[j * N + i] = triangle[(i * (i + 1)) / 2 + j]
      return { first, second: sums }
    }
    const sums: LayerMoments[] = []
    for (let l = 0; l < layers; l++)
      sums.push({ heads: await read('heads', l), neurons: await read('neurons', l) })
    return { origin, sums }
  })
}
