/**
 * The weights of the embedded model rounded to four bits, so that a page fetches a quarter of them.
 *
 * Each row of a matrix is cut into blocks of 32 numbers. A block is a scale in half precision, and a whole number from -8 to 7 for each
 * number: x = scale n. Matrices with other rows, positions and vectors stay as they are. The file is safetensors, deflated.
 */
import { parseSafetensors } from '../../io/safetensors.ts'
import { encodeSafetensors, type TensorToWrite } from '../../io/safetensors_writer.ts'
import { narrowToF16, widenF16 } from '../../tensor/halves.ts'
import { readIntegers } from '../../tensor/tensor_source.ts'

/** Numbers of a block. */
const BLOCK = 32
/** The ends of two tensors that stand for a matrix. */
const [SCALES, NUMBERS] = ['.scales', '.numbers']

/** A safetensors file, rounded and deflated. @throws InputError as `parseSafetensors` */
export async function packWeights(file: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const source = await parseSafetensors(file, 'weights')
  const tensors = new Map<string, TensorToWrite>()
  for (const [name, { shape }] of source.tensors) {
    const values = await source.read(name)
    const isRounded = shape.length === 2 && shape[1] % BLOCK === 0 && !name.includes('positions')
    if (!isRounded) {
      tensors.set(name, { dtype: 'F16', shape, data: values })
      continue
    }
    const { scales, numbers } = roundBlocks(values)
    tensors.set(name + SCALES, { dtype: 'F16', shape: [shape[0], shape[1] / BLOCK], data: scales })
    tensors.set(name + NUMBERS, { dtype: 'U8', shape: [shape[0], shape[1] / 2], data: numbers })
  }
  return deflated(encodeSafetensors(tensors))
}

/** The safetensors file of rounded weights. @throws TypeError for bytes that are not deflated; InputError as `parseSafetensors` */
export async function unpackWeights(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const file = await inflated(packed)
  const source = await parseSafetensors(file, 'weights')
  const tensors = new Map<string, TensorToWrite>()
  for (const [name, { shape }] of source.tensors) {
    if (name.endsWith(SCALES)) continue
    if (!name.endsWith(NUMBERS)) {
      tensors.set(name, { dtype: 'F32', shape, data: await source.read(name) })
      continue
    }
    const matrix = name.slice(0, -NUMBERS.length)
    const scales = await source.read(matrix + SCALES)
    const numbers = await readIntegers(source, name)
    const data = new Float32Array(2 * numbers.length)
    for (let at = 0; at < numbers.length; at++) {
      const [pair, scale] = [numbers[at], scales[Math.floor((2 * at) / BLOCK)]]
      data[2 * at] = scale * ((pair & 15) - 8)
      data[2 * at + 1] = scale * ((pair >> 4) - 8)
    }
    tensors.set(matrix, { dtype: 'F32', shape: [shape[0], 2 * shape[1]], data })
  }
  return encodeSafetensors(tensors)
}

/**
 * Scales and numbers of blocks. The number that is farthest from zero is -8 or a little less in size; of some scales around that the
 * one with the least squared error is taken.
 */
function roundBlocks(values: Float32Array): { scales: Float32Array; numbers: Uint8Array } {
  const farthest = new Float32Array(values.length / BLOCK)
  for (let i = 0; i < values.length; i++) {
    const block = Math.floor(i / BLOCK)
    if (Math.abs(values[i]) > Math.abs(farthest[block])) farthest[block] = values[i]
  }
  const tried = SHARES.map((share) => widenF16(narrowToF16(farthest.map((x) => (x * share) / -8))))
  const scales = farthest.map((_, block) => nearestScale(values, block, tried))
  const numbers = new Uint8Array(values.length / 2)
  for (let i = 0; i < values.length; i++) {
    const scale = scales[Math.floor(i / BLOCK)]
    const number = scale === 0 ? 0 : nearest(values[i], scale)
    numbers[i >> 1] |= (number + 8) << (i & 1 ? 4 : 0)
  }
  return { scales, numbers }
}

/** Of the scales that are tried for a block the one with the least squared error; 0 for a block of zeros. */
function nearestScale(values: Float32Array, block: number, tried: readonly Float32Array[]): number {
  let [found, least] = [0, Infinity]
  for (const { [block]: scale } of tried) {
    if (scale === 0) continue
    let error = 0
    for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++)
      error += (values[i] - scale * nearest(values[i], scale)) ** 2
    if (error < least) [found, least] = [scale, error]
  }
  return found
}

/** The parts of the farthest number that are tried as 8 scales, on its side and on the other. */
const SHARES = [1, 0.95, 0.9, 0.85, 0.8, -8 / 7]

function nearest(x: number, scale: number): number {
  return Math.max(-8, Math.min(7, Math.round(x / scale)))
}

/** Bytes, deflated. */
export function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return through(bytes, new CompressionStream('deflate-raw'))
}

/** Deflated bytes as they were. @throws TypeError for others */
export function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return through(bytes, new DecompressionStream('deflate-raw'))
}

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const answer = new Response(new Blob([bytes]).stream().pipeThrough(stream))
  return new Uint8Array(await answer.arrayBuffer())
}
