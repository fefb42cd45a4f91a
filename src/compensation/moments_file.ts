/**
 * Second moments as files: safetensors, with two tensors for each layer l and kind of unit.
 *
 *   heads.l.squares          [N]             mean squares: the diagonal of C, float32
 *   heads.l.correlations     [N (N - 1) / 2] C_ij / root of (C_ii C_jj) for j < i, row by row, times 32767 and rounded to
 *                                            int16; 0 beside a unit that was never active
 *   neurons.l.…              the same
 *
 * A model of 30 layers of 576 and 1,536 numbers takes 81 MB. Rounding moves a correlation by up to 2⁻¹⁶; float16 would move one near
 * 1 by 2⁻¹². So C may be indefinite by a little, and the λ of fold.ts must outweigh that.
 *
 *   heads.l.sums             [N (N + 1) / 2] sums so far for j ≤ i, row by row, float32: the file of a collection that goes on
 *
 * Metadata says which model and calibration a file is of, and how many windows and tokens were added.
 */
import { refusal, quote } from '../io/refusal.ts'
import { readFinite } from '../io/read_finite.ts'
import { openSafetensors } from '../io/safetensors.ts'
import { writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'
import { readIntegers, type RawTensorSource } from '../tensor/tensor_source.ts'
import type { LayerMoments, MomentWidths } from './moments.ts'

const FORMAT = 'shadowllm-moments'

/** What a correlation of 1 is stored as. */
const ONE = 32_767

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

/** The moments of a finished collection. @param layer of layer l */
export async function writeMoments(
  path: string,
  origin: MomentsOrigin,
  layers: number,
  layer: (l: number) => LayerMoments,
): Promise<void> {
  await writeLayers(path, origin, layers, layer, (moments) => {
    const { squares, correlations } = correlationsOf(moments, origin.tokens)
    return { squares: listOf('F32', squares), correlations: listOf('I16', correlations) }
  })
}

/** Writes the parts of each layer's matrices. */
async function writeLayers(
  path: string,
  origin: MomentsOrigin,
  layers: number,
  layer: (l: number) => LayerMoments,
  partsOf: (matrix: Float32Array) => Readonly<Record<string, TensorToWrite>>,
): Promise<void> {
  const tensors = new Map<string, TensorToWrite>()
  for (let l = 0; l < layers; l++) {
    const matrices = layer(l)
    for (const kind of unitKinds)
      for (const [part, tensor] of Object.entries(partsOf(matrices[kind])))
        tensors.set(`${kind}.${l}.${part}`, tensor)
  }
  await writeSafetensors(path, tensors, metadataOf(origin))
}

function listOf(dtype: 'F32' | 'I16', data: Float32Array | Int16Array): TensorToWrite {
  return { dtype, shape: [data.length], data }
}

/** Mean squares and correlations of sums [N, N] over so many tokens. */
function correlationsOf(
  sums: Float32Array,
  tokens: number,
): { readonly squares: Float32Array; readonly correlations: Int16Array } {
  const N = Math.sqrt(sums.length)
  const roots = Float64Array.from({ length: N }, (_, i) => Math.sqrt(sums[i * N + i]))
  const correlations = new Int16Array((N * (N - 1)) / 2)
  let at = 0
  for (let i = 0; i < N; i++)
    for (let j = 0; j < i; j++, at++) {
      const size = roots[i] * roots[j]
      // The sums are rounded, so that a correlation of 1 may lie above it.
      if (size > 0) correlations[at] = Math.round(ONE * Math.max(-1, Math.min(1, sums[i * N + j] / size)))
    }
  return { squares: Float32Array.from({ length: N }, (_, i) => sums[i * N + i] / tokens), correlations }
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

/** Second moments, read layer by layer. `openMoments` makes one. */
export class Moments {
  readonly path: string
  readonly origin: MomentsOrigin
  readonly #source: RawTensorSource

  constructor(path: string, source: RawTensorSource, origin: MomentsOrigin) {
    this.path = path
    this.origin = origin
    this.#source = source
  }

  /**
   * C of a layer: [N, N], over the tokens.
   * @throws InputError TENSOR_MISSING, TENSOR_SHAPE if the file is of a model of another shape, DTYPE, MOMENTS_VALUE for mean squares
   *   below 0 or not finite, or correlations past 1
   */
  async read(kind: UnitKind, layer: number, N: number): Promise<Float64Array> {
    const place = `${kind}.${layer}`
    const { path } = this
    const squares = await readFinite(this.#source, `${place}.squares`, [N], 'MOMENTS_VALUE', path)
    const least = squares.find((value) => value < 0)
    if (least !== undefined)
      throw refusal('MOMENTS_VALUE', `${path} ${place}.squares`, 'mean squares from 0', `${least}`)
    const correlations = await this.#correlations(`${place}.correlations`, (N * (N - 1)) / 2)
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

  async #correlations(name: string, length: number): Promise<Int32Array> {
    const found = this.#source.tensors.get(name)?.shape.join(', ')
    const refuse = (code: string, expected: string, got: string): Error =>
      refusal(code, `${this.path} ${name}`, expected, got, { tensor: name })
    if (found === undefined) throw refuse('TENSOR_MISSING', `[${length}]`, 'no such tensor')
    if (found !== `${length}`) throw refuse('TENSOR_SHAPE', `[${length}]`, `[${found}]`)
    const values = await readIntegers(this.#source, name)
    const wrong = values.find((value) => Math.abs(value) > ONE)
    if (wrong !== undefined) throw refuse('MOMENTS_VALUE', `numbers from -${ONE} to ${ONE}`, `${wrong}`)
    return values
  }

  close(): Promise<void> {
    return this.#source.close()
  }
}

/** The sums of a collection that goes on. */
export async function writeSums(
  path: string,
  origin: MomentsOrigin,
  layers: number,
  layer: (l: number) => LayerMoments,
): Promise<void> {
  await writeLayers(path, origin, layers, layer, (sums) => ({ sums: listOf('F32', lowerTriangle(sums)) }))
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
  const source = await openSafetensors(path)
  try {
    const origin = originOf(source, path)
    const read = async (kind: UnitKind, l: number): Promise<Float32Array> => {
      const N = widths[kind]
      const shape = [(N * (N + 1)) / 2]
      const triangle = await readFinite(source, `${kind}.${l}.sums`, shape, 'MOMENTS_VALUE', path)
      const sums = new Float32Array(N * N)
      for (let i = 0; i < N; i++)
        for (let j = 0; j <= i; j++) sums[i * N + j] = sums[j * N + i] = triangle[(i * (i + 1)) / 2 + j]
      return sums
    }
    const sums: LayerMoments[] = []
    for (let l = 0; l < layers; l++)
      sums.push({ heads: await read('heads', l), neurons: await read('neurons', l) })
    return { origin, sums }
  } finally {
    await source.close()
  }
}
